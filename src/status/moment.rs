//! Moments: seconds since 1970 in the program, RFC 3339 in every output, as Kubernetes' `metav1.Time` is.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::calendar;

/// A moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Seconds from an earlier moment to this one; none where it is no earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond the year 9999 there is no such text; the last second that has one stands for all of them.
        f.write_str(calendar::rfc3339(self.0).as_deref().unwrap_or("9999-12-31T23:59:59Z"))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        calendar::seconds(&text).map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A length of time as kubectl shows it, in one or two units: `8s`, `3m`, `2h15m`, `61d`, `1y20d`.
#[must_use]
pub fn length(seconds: i64) -> String {
    const UNITS: [(i64, &str); 5] = [(365 * 86_400, "y"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = seconds.max(0);
    let first = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[first];
    let whole = seconds / size;
    match UNITS.get(first + 1) {
        // What is left of a minute or of many of a unit says nothing.
        Some((smaller, name)) if size > 60 && whole < 10 && seconds % size / smaller > 0 => {
            format!("{whole}{unit}{}{name}", seconds % size / smaller)
        }
        _ => format!("{whole}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_kubectl_writes_them() {
        let shown = [0, 8, 125, 2 * 3600 + 900, 86_400 * 61, 365 * 86_400 + 20 * 86_400, -5].map(length);
        assert_eq!(shown, ["0s", "8s", "2m", "2h15m", "61d", "1y20d", "0s"]);
    }

    #[test]
    fn a_moment_is_its_text_and_back() {
        let text = serde_json::to_string(&Moment(1_795_305_600)).unwrap();
        assert_eq!(text, "\"2026-11-22T00:00:00Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), Moment(1_795_305_600));
        assert!(serde_json::from_str::<Moment>("\"yesterday\"").is_err());
    }
}
