//! Tables for people.

use std::fmt::Write;

/// Columns three spaces apart, the last without spaces at its end.
#[must_use]
pub fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for cells in lines {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "{cell:<w$}", w = width + 3); // writing to a String does not fail
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
