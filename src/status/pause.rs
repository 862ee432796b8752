//! A pause: planekeeper looks and says, and changes nothing, until somebody resumes it or the pause ends by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Moment, Status};

/// Where a pause is kept. It is there while there is a pause; one that has ended does not count.
pub const PATH: &str = "/var/lib/planekeeper/pause.json";

/// The label of a `ControlPlaneNode` that pauses its host, unless its value is `false`.
pub const LABEL: &str = "planekeeper.dev/paused";

/// A pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pause {
    /// Why, in the words of who paused.
    pub reason: String,
    /// Since when.
    pub since: Moment,
    /// When it ends by itself; never, where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Who or what paused.
    pub by: String,
}

impl Pause {
    /// The pause that a file describes, as far as it could be read, where it has not ended. One that is damaged or cannot be read pauses
    /// too: who made it wanted a pause.
    #[must_use]
    pub fn read(read: &Result<Option<Vec<u8>>, String>, now: Moment) -> Option<Self> {
        let damaged = |why: &str| Self { reason: format!("{PATH} {why}"), since: now, ..Self::default() };
        let pause = match read {
            Ok(None) => return None,
            Ok(Some(bytes)) => {
                serde_json::from_slice(bytes).unwrap_or_else(|_| damaged("is there and cannot be understood"))
            }
            Err(why) => damaged(&format!("cannot be read: {why}")),
        };
        pause.until.is_none_or(|until| now < until).then_some(pause)
    }

    /// The pause that a label of the `ControlPlaneNode` asks for.
    #[must_use]
    pub fn of_label(value: Option<&str>, previous: Option<&Self>, now: Moment) -> Option<Self> {
        if matches!(value?, "false" | "False" | "no") {
            return None;
        }
        let since = previous.filter(|previous| previous.is_of_label()).map_or(now, |previous| previous.since);
        Some(Self { reason: String::new(), since, until: None, by: by_label() })
    }

    /// A label asked for it.
    #[must_use]
    pub fn is_of_label(&self) -> bool {
        self.by == by_label()
    }

    /// Its text on disk.
    #[must_use]
    pub fn to_text(&self) -> String {
        crate::record::text_of(self)
    }

    /// In one clause: `paused by root since 2026-11-22T00:00:00Z, until 2026-11-22T02:00:00Z: disk is replaced`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let by = if self.by.is_empty() { String::new() } else { format!(" by {}", self.by) };
        let until = self.until.map(|until| format!(", until {until}")).unwrap_or_default();
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("paused{by} since {}{until}{reason}", self.since)
    }
}

impl Status {
    /// The host is paused by a label.
    #[must_use]
    pub fn is_paused_by_label(&self) -> bool {
        self.pause.as_ref().is_some_and(Pause::is_of_label)
    }
}

fn by_label() -> String {
    format!("the label {LABEL}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_with_an_end_ends_by_itself_and_one_without_does_not() {
        let pause = Pause { until: Some(Moment(100)), ..Pause::default() };
        let read = |pause: &Pause, now| Pause::read(&Ok(Some(pause.to_text().into_bytes())), now);
        assert_eq!(read(&pause, Moment(99)), Some(pause.clone()));
        assert_eq!(read(&pause, Moment(100)), None);
        let endless = Pause::default();
        assert_eq!(read(&endless, Moment(i64::MAX)), Some(endless));
        assert_eq!(Pause::read(&Ok(None), Moment(0)), None);
    }

    #[test]
    fn a_file_that_is_damaged_or_cannot_be_read_pauses() {
        for bytes in [&b"{"[..], b"{\"reason\": \"caf\xe9\"}"] {
            assert!(Pause::read(&Ok(Some(bytes.to_vec())), Moment(0)).is_some());
        }
        assert!(Pause::read(&Ok(Some(Vec::new())), Moment(0)).is_some(), "touch is a way to pause");
        let unread = Pause::read(&Err("Input/output error".to_owned()), Moment(0));
        assert!(unread.is_some_and(|pause| pause.reason.contains("Input/output error")));
    }

    #[test]
    fn a_label_pauses_from_when_it_was_first_seen() {
        let first = Pause::of_label(Some("true"), None, Moment(5)).unwrap();
        assert_eq!(Pause::of_label(Some("true"), Some(&first), Moment(9)).unwrap().since, Moment(5));
        assert_eq!(Pause::of_label(Some("false"), None, Moment(5)), None);
        assert_eq!(Pause::of_label(None, None, Moment(5)), None);
    }
}
