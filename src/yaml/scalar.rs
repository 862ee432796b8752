//! What a plain (unquoted) scalar means in YAML 1.1 as `go-yaml` reads it: whether a text needs quotes to stay a text.

/// Whether the text, written without quotes, would be read as that same text: not as null, a boolean, a number, a
/// date, or the merge key.
pub(super) fn stays_text(text: &str) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    match first {
        // A second sign makes a number of nothing: flags, of which manifests are full.
        b'-' if text[1..].starts_with('-') => true,
        b'0'..=b'9' | b'+' | b'-' => !(is_special(text) || is_date(text) || is_number(text) || is_base60(text)),
        b'.' => !(is_special(text) || is_go_float(text)),
        _ => !is_special(text),
    }
}

fn is_special(text: &str) -> bool {
    text.len() <= LONGEST_WORD && WORDS.contains(&text)
}

/// The length of the longest of [`WORDS`], in bytes.
const LONGEST_WORD: usize = 5;

/// The words with a meaning of their own. `<<` is not among them: `go-yaml` has it in its table and never looks, as
/// no word of the table that it does look up begins with `<`.
const WORDS: [&str; 38] = [
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false",
    "False", "FALSE", "off", "Off", "OFF", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF",
    "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// An integer in any of Go's bases, or a float. Underscores are taken out first, wherever they stand.
fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    is_integer(&plain) || is_decimal_float(&plain)
}

/// Go's `strconv.ParseInt` or `ParseUint` with base 0, and `go-yaml`'s own reading of `0b` with a sign after it.
fn is_integer(text: &str) -> bool {
    let (sign, digits) = split_sign(text);
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let magnitude = |digits: &str| {
        if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
    };
    match magnitude(digits) {
        Some(value) => match sign {
            None => true,
            Some('-') => value <= 1 << 63,
            Some(_) => i64::try_from(value).is_ok(),
        },
        None if sign.is_none() && text.starts_with("0b") => {
            let (inner, digits) = split_sign(digits);
            inner.is_some() && magnitude(digits).is_some_and(|value| value < 1 << 63)
        }
        None => false,
    }
}

fn split_sign(text: &str) -> (Option<char>, &str) {
    match text.chars().next() {
        Some(sign @ ('+' | '-')) => (Some(sign), &text[1..]),
        _ => (None, text),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, within the range of a double.
fn is_decimal_float(text: &str) -> bool {
    let (_, rest) = split_sign(text);
    let (whole, rest) = digits(rest);
    let rest = match rest.strip_prefix('.') {
        Some(after) => {
            let (fraction, after) = digits(after);
            if whole.is_empty() && fraction.is_empty() {
                return false;
            }
            after
        }
        None if whole.is_empty() => return false,
        None => rest,
    };
    let exponent_is_right = match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let (number, end) = digits(split_sign(exponent).1);
            !number.is_empty() && end.is_empty()
        }
        None => rest.is_empty(),
    };
    exponent_is_right && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A float that starts with its point. Here `go-yaml` leaves underscores to Go, which wants digits around each.
fn is_go_float(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let underscores_part_digits =
        bytes.iter().enumerate().all(|(at, byte)| *byte != b'_' || digit(at.checked_sub(1)) && digit(Some(at + 1)));
    underscores_part_digits && is_decimal_float(&text.replace('_', ""))
}

/// `1:30`, which YAML 1.1 has for ninety: `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_base60(text: &str) -> bool {
    let (_, rest) = split_sign(text);
    let whole = rest.split_once('.').map_or(rest, |(whole, fraction)| {
        if fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') { whole } else { "" }
    });
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let sixty = |part: &str| match part.as_bytes() {
        [unit] => unit.is_ascii_digit(),
        [ten, unit] => (b'0'..=b'5').contains(ten) && unit.is_ascii_digit(),
        _ => false,
    };
    whole.contains(':')
        && first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && parts.all(sixty)
}

/// A date as `go-yaml` has it: `2001-1-2`, alone or with a time after a space, or after `T` or `t` and with a zone.
fn is_date(text: &str) -> bool {
    date(text).is_some()
}

fn date(text: &str) -> Option<()> {
    let (year, rest) = text.split_at_checked(4)?;
    let year = year.bytes().all(|b| b.is_ascii_digit()).then(|| year.parse::<u32>().ok())??;
    let (month, rest) = short_number(rest.strip_prefix('-')?, 1, 12)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (_, rest) = short_number(rest.strip_prefix('-')?, 1, days)?;
    if rest.is_empty() {
        return Some(());
    }
    if let Some(time) = rest.strip_prefix(['T', 't']) {
        return zone(clock(time)?);
    }
    let time = rest.trim_start_matches(' ');
    (time.len() < rest.len() && clock(time)?.is_empty()).then_some(())
}

/// `15:4:5`, with a fraction or without; gives what follows.
fn clock(text: &str) -> Option<&str> {
    let (_, rest) = short_number(text, 0, 23)?;
    let (_, rest) = short_number(rest.strip_prefix(':')?, 0, 59)?;
    let (_, rest) = short_number(rest.strip_prefix(':')?, 0, 59)?;
    Some(match rest.strip_prefix(['.', ',']).map(digits) {
        Some((fraction, after)) if !fraction.is_empty() => after,
        _ => rest,
    })
}

/// `Z`, or `+01:00`; Go lets 24 hours and 60 minutes pass.
fn zone(text: &str) -> Option<()> {
    if text == "Z" {
        return Some(());
    }
    let rest = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = rest.split_once(':')?;
    let two = |part: &str, most: u32| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n <= most)
    };
    (two(hours, 24) && two(minutes, 60)).then_some(())
}

/// A number of one or two digits within bounds, and what follows it.
fn short_number(text: &str, least: u32, most: u32) -> Option<(u32, &str)> {
    let (all, _) = digits(text);
    let (number, rest) = text.split_at(all.len().min(2));
    let number = number.parse::<u32>().ok()?;
    (least..=most).contains(&number).then_some((number, rest))
}

/// The decimal digits at the front, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}
