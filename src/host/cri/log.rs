//! The end of a container's log, as CRI runtimes write it.
//!
//! An entry is a line `2026-11-22T19:18:01.777019389Z stdout F text`: time, stream, tags, text. The first tag is `F` for a whole line
//! and `P` for a part whose rest follows in later entries of the same stream, as runtimes cut long lines (containerd: at 16 KiB).

use std::io::{self, Read, Seek, SeekFrom};

/// How much of the end of a log is read: what a person can look through.
const TAIL_BYTES_MAX: u64 = 64 * 1024;

/// The last lines of a log, oldest first, without time and stream. Characters that would steer a terminal are replaced.
///
/// At most 64 KiB of the file are looked at; a line that began before them lacks its beginning.
///
/// # Errors
/// The log could not be read.
pub fn tail(mut log: impl Read + Seek, lines: usize) -> io::Result<Vec<String>> {
    let length = log.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(TAIL_BYTES_MAX);
    log.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    log.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if from > 0 => bytes.get(end + 1..).unwrap_or_default(),
        _ => &bytes,
    };
    let mut found = join(&String::from_utf8_lossy(whole));
    found.drain(..found.len().saturating_sub(lines));
    Ok(found)
}

/// The lines of a log's text, in the order in which they ended. What is not in CRI's form is taken as it is.
fn join(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // Streams are written beside each other: a part is continued by the next entry of its own stream.
    let mut open: [(&str, Option<String>); 2] = [("stdout", None), ("stderr", None)];
    for line in text.lines() {
        let Some((stream, whole, part)) = entry(line) else {
            lines.push(plain(line));
            continue;
        };
        let Some((_, begun)) = open.iter_mut().find(|(name, _)| *name == stream) else { continue };
        let so_far = begun.take().unwrap_or_default() + &plain(part);
        if whole {
            lines.push(so_far);
        } else {
            *begun = Some(so_far);
        }
    }
    // A container that died in the middle of a line said that much.
    lines.extend(open.into_iter().filter_map(|(_, begun)| begun));
    lines
}

/// The stream, whether the line ends here, and the text of an entry.
fn entry(line: &str) -> Option<(&str, bool, &str)> {
    let mut fields = line.splitn(4, ' ');
    let (time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
    let known = time.contains('T') && matches!(stream, "stdout" | "stderr");
    let whole = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    known.then_some((stream, whole, fields.next().unwrap_or_default()))
}

/// Text that a terminal shows and does not obey.
pub(in crate::host) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn last(log: &str, lines: usize) -> Vec<String> {
        tail(Cursor::new(log.as_bytes()), lines).unwrap()
    }

    const AT: &str = "2026-11-22T19:18:01.777019389Z";

    #[test]
    fn the_last_lines_come_oldest_first_without_time_and_stream() {
        let log = format!("{AT} stdout F one\n{AT} stderr F two  \n{AT} stdout F \n{AT} stderr F a b c\n");
        assert_eq!(last(&log, 3), ["two  ", "", "a b c"]);
        assert_eq!(last(&log, 10).len(), 4);
        assert!(last(&log, 0).is_empty() && last("", 5).is_empty());
    }

    #[test]
    fn parts_of_a_line_are_joined_within_their_own_stream() {
        let log = format!(
            "{AT} stdout P be\n{AT} stderr F other\n{AT} stdout P:x gi\n{AT} stdout F n\n{AT} stderr P died here\n"
        );
        assert_eq!(last(&log, 10), ["other", "begin", "died here"]);
    }

    #[test]
    fn what_is_no_entry_is_shown_as_it_is() {
        let log =
            format!("plain text\n{AT} stdout Q odd\n{AT} stdin F odd\n{AT} stdout F end of the file without a break");
        let odd = [format!("{AT} stdout Q odd"), format!("{AT} stdin F odd")];
        assert_eq!(last(&log, 10), ["plain text", &odd[0], &odd[1], "end of the file without a break"]);
    }

    #[test]
    fn a_log_cannot_steer_the_terminal() {
        let log = format!("{AT} stdout F a\u{1b}[2J\tb\r\n");
        // `lines` takes a carriage return at the end of a line with it.
        assert_eq!(last(&log, 1), ["a\u{fffd}[2J\tb"]);
        assert_eq!(tail(Cursor::new(format!("{AT} stdout F ").as_bytes()), 1).unwrap(), [""]);
        assert_eq!(tail(Cursor::new(b"\xff\xfe\n"), 1).unwrap(), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn of_a_long_log_only_the_end_is_read_and_no_broken_entry_is_shown() {
        let log: String =
            (0..10_000).map(|number| format!("{AT} stderr F line {number}")).collect::<Vec<_>>().join("\n");
        let lines = last(&log, 10_000);
        assert_eq!(lines.last().unwrap(), "line 9999");
        assert!(lines.iter().all(|line| line.starts_with("line ")), "{}", lines[0]);
        let most = usize::try_from(TAIL_BYTES_MAX).unwrap() / format!("{AT} stderr F line 9999\n").len();
        assert!(lines.len() <= most && lines.len() + 1 >= most, "{} of {most}", lines.len());
    }
}
