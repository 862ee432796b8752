//! What a watch says of what it does: a line a decision on standard error, for people or for programs. Nothing secret is in it: what a step
//! changes is told by its name.

use std::io::{Write, stderr};

use serde_json::{Map, Value};

use crate::calendar;
use crate::host::machine;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much a line matters. The numbers are those of syslog, by which the journal sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something a person has to see to.
    Error = 3,
    /// Something that is not as it should be, and may pass.
    Warning = 4,
    /// Something was done or decided.
    Info = 6,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// How they are written.
    pub format: Format,
    /// The journal takes them: it has the time and reads the level from the line's beginning.
    pub journal: bool,
}

impl Log {
    /// Writes one line: what happened by a name that does not change, and in words. What cannot be written is not worth stopping for.
    pub fn tell(self, level: Level, event: &str, message: &str, fields: &[(&str, Value)]) {
        let now = calendar::rfc3339(machine::now()).unwrap_or_default();
        let _ = stderr().write_all(self.line(&now, level, event, message, fields).as_bytes());
    }

    fn line(self, now: &str, level: Level, event: &str, message: &str, fields: &[(&str, Value)]) -> String {
        if self.format == Format::Json {
            let mut line = Map::new();
            let head = [("ts", now), ("level", level.name()), ("event", event), ("message", message)];
            line.extend(head.map(|(name, value)| (name.to_owned(), value.into())));
            line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            return Value::Object(line).to_string() + "\n";
        }
        let head = if self.journal { format!("<{}>", level as u8) } else { format!("{now} {:<7} ", level.name()) };
        // One line, whatever is in it.
        let message = message.split('\n').map(str::trim).collect::<Vec<_>>().join("; ");
        format!("{head}{event}: {message}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T00:00:00Z";

    #[test]
    fn a_line_for_people_has_the_time_unless_the_journal_has_it() {
        let log = Log { format: Format::Text, journal: false };
        let line = log.line(NOW, Level::Warning, "Held", "a\n  b", &[("n", 1.into())]);
        assert_eq!(line, "2026-11-22T00:00:00Z warning Held: a; b\n");
        let line = Log { journal: true, ..log }.line(NOW, Level::Info, "Held", "a", &[]);
        assert_eq!(line, "<6>Held: a\n");
    }

    #[test]
    fn a_line_for_programs_is_one_object_whatever_is_in_it() {
        let log = Log { format: Format::Json, journal: true };
        let line = log.line(NOW, Level::Error, "Failed", "a\n\"b\"", &[("passes", 2.into())]);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["message"], &value["passes"]), (&"a\n\"b\"".into(), &2.into()));
    }
}
