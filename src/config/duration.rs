//! Durations as Go writes them: `1h0m0s`, `300ms`, `0s`.
//!
//! Every duration in a Kubernetes configuration is a `metav1.Duration`: Go's `time.ParseDuration` reads it and
//! `Duration.String` writes it, so `60m` in a file comes back as `1h0m0s`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A signed duration in nanoseconds, Go's `time.Duration`. Its text is Go's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// A text that Go would not read as a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write it as numbers with units, such as 1h30m, 10s or 500ms")]
pub struct NotADuration(String);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl GoDuration {
    /// A duration of whole seconds; more than Go can hold becomes the longest that it can.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// A duration of nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The duration in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// As std's duration; `None` where it is negative.
    #[must_use]
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

impl From<Duration> for GoDuration {
    /// More than Go can hold (292 years) becomes the longest that it can.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..NANOS_PER_SECOND => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / (60 * NANOS_PER_SECOND);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND, "s")
            }
        }
    }
}

/// Writes `nanos / unit` exactly, without zeros at the end of the fraction.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    if !nanos.is_multiple_of(unit) {
        let digits = (unit + nanos % unit).to_string(); // a one before the fraction keeps its leading zeros
        write!(f, ".{}", digits[1..].trim_end_matches('0'))?;
    }
    f.write_str(name)
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        parse(text).map(Self).ok_or_else(|| NotADuration(text.to_owned()))
    }
}

/// Go's `time.ParseDuration`, in nanoseconds.
fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, after) = parse_part(rest)?;
        total = total.checked_add(nanos).filter(|sum| *sum <= 1 << 63)?;
        rest = after;
    }
    if negative { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

/// One number with its unit from the front of the text, in nanoseconds, and what follows it.
fn parse_part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, rest) = rest.split_at(rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len()));
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000, // the micro sign and the Greek letter
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3600 * NANOS_PER_SECOND,
        _ => return None,
    };
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    // Beyond eighteen digits a fraction of an hour is less than a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = if fraction.is_empty() {
        0
    } else {
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        u64::try_from(fraction.parse::<u128>().ok()? * u128::from(unit) / scale).ok()?
    };
    Some((whole.checked_mul(unit)?.checked_add(part)?, rest))
}

/// The decimal digits at the front, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "go-duration" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_go_writes_it() {
        let cases = [
            ("0", "0s"),
            ("0s", "0s"),
            ("-0h", "0s"),
            ("60m", "1h0m0s"),
            ("8760h", "8760h0m0s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("1h15m30.918s", "1h15m30.918s"),
            ("100ms", "100ms"),
            ("1500us", "1.5ms"),
            ("1.000001ms", "1.000001ms"),
            ("10µs", "10µs"),
            ("10μs", "10µs"),
            ("17ns", "17ns"),
            (".5h", "30m0s"),
            ("2.h", "2h0m0s"),
            ("-1m1s", "-1m1s"),
            ("+5s", "5s"),
            ("0.9223372036854775807h", "55m20.413933267s"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), want, "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in
            ["", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "1 h", "1h ", "1é", "9223372036854775808ns", "3000000h"]
        {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_negative_duration_has_no_std_form() {
        assert_eq!(GoDuration::from_secs(-1).to_std(), None);
        assert_eq!(GoDuration::from(Duration::from_secs(90)).to_string(), "1m30s");
    }
}
