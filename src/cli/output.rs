//! Writing to the terminal or a pipe.

use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::cli::exit::{Exit, Failure};

/// Prints results. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// Standard output cannot be written.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Prints an error.
pub fn error(text: &str) {
    let style = color(AnsiColor::Red).bold();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {text}");
}

/// Prints a warning.
pub fn warning(text: &str) {
    let style = color(AnsiColor::Yellow).bold();
    let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {text}");
}

/// A style with a colour.
#[must_use]
pub fn color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(color.into()))
}
