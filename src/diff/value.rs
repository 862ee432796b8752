//! Differences between two values, in the words of the people who write them: flags by their names, containers by theirs.

use serde_json::{Map, Value};

use crate::verdict::Difference;

/// How far two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is there must be what is wanted, and nothing else.
    Whole,
    /// What is there may have more fields than are wanted: others own them.
    Subset,
}

/// The differences between what is there and what is wanted. Null, an empty map, an empty list and an absent field are the same,
/// as they are to the API.
#[must_use]
pub fn differences(seen: &Value, wanted: &Value, extent: Extent) -> Vec<Difference> {
    let mut found = Vec::new();
    if seen != wanted {
        compare("", Some(seen), Some(wanted), extent, &mut found);
    }
    found
}

/// To the API this is the same as an absent field.
#[must_use]
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Something in the value is said to be absent.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(holds_null),
        _ => false,
    }
}

fn compare(path: &str, seen: Option<&Value>, wanted: Option<&Value>, extent: Extent, found: &mut Vec<Difference>) {
    let seen = seen.filter(|value| !is_empty(value));
    let wanted = wanted.filter(|value| !is_empty(value) || seen.is_some() && holds_null(value));
    match (seen, wanted) {
        // Said to be absent: whoever else may own the rest.
        (Some(seen), Some(Value::Null)) => found.push(Difference::removed(path, show(seen))),
        (Some(seen), None) if extent == Extent::Whole => found.push(Difference::removed(path, show(seen))),
        (_, None) => {}
        (None, Some(wanted)) => found.push(Difference::added(path, show(wanted))),
        (Some(Value::Object(seen)), Some(Value::Object(wanted))) => maps(path, seen, wanted, extent, found),
        (Some(Value::Array(seen)), Some(Value::Array(wanted))) => lists(path, seen, wanted, extent, found),
        (Some(Value::String(seen)), Some(Value::String(wanted))) if wanted.contains('\n') => {
            text(path, seen, wanted, found);
        }
        (Some(seen), Some(wanted)) if seen == wanted => {}
        (Some(seen), Some(wanted)) => found.push(Difference::new(path, show(seen), show(wanted))),
    }
}

fn maps(
    path: &str,
    seen: &Map<String, Value>,
    wanted: &Map<String, Value>,
    extent: Extent,
    found: &mut Vec<Difference>,
) {
    let keys: std::collections::BTreeSet<&String> = seen.keys().chain(wanted.keys()).collect();
    for key in keys {
        compare(&below(path, key), seen.get(key), wanted.get(key), extent, found);
    }
}

/// The name of a field within another.
#[must_use]
pub fn below(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) { format!("{path}[{key}]") } else { format!("{path}.{key}") }
}

fn lists(path: &str, seen: &[Value], wanted: &[Value], extent: Extent, found: &mut Vec<Difference>) {
    if let (Some(seen), Some(wanted)) = (command(seen), command(wanted)) {
        return flags(path, &seen, &wanted, found);
    }
    if let (Some(seen_names), Some(wanted_names)) = (names(seen), names(wanted)) {
        if seen_names == wanted_names || !same_members(&seen_names, &wanted_names) {
            return named(path, (&seen_names, seen), (&wanted_names, wanted), extent, found);
        }
    } else if seen.len() == wanted.len() {
        for (index, (seen, wanted)) in seen.iter().zip(wanted).enumerate() {
            compare(&format!("{path}[{index}]"), Some(seen), Some(wanted), extent, found);
        }
        return;
    }
    // The same members in another order, or lists that have no members in common to speak of.
    if seen != wanted {
        found.push(Difference::new(path, show_list(seen), show_list(wanted)));
    }
}

/// A command line: a program and flags, each `--name=value`.
pub(super) fn command(list: &[Value]) -> Option<Vec<&str>> {
    let words: Vec<&str> = list.iter().map(Value::as_str).collect::<Option<_>>()?;
    let rest = words.get(1..)?;
    (!rest.is_empty() && rest.iter().all(|word| word.starts_with("--"))).then_some(words)
}

/// Differences between two lists of words, flags by name.
pub(super) fn flags(path: &str, seen: &[&str], wanted: &[&str], found: &mut Vec<Difference>) {
    let before = found.len();
    let mut left: Vec<&str> = seen.iter().filter(|word| !wanted.contains(word)).copied().collect();
    for word in wanted.iter().filter(|word| !seen.contains(word)) {
        let (name, value) = split_flag(word);
        let old = left.iter().position(|other| split_flag(other).0 == name).map(|index| left.remove(index));
        found.push(match old {
            Some(old) => Difference::new(name, split_flag(old).1, value),
            None => Difference::added(name, value),
        });
    }
    found.extend(left.into_iter().map(split_flag).map(|(name, value)| Difference::removed(name, value)));
    if found.len() == before && seen != wanted {
        found.push(Difference::new(path, seen.join(" "), wanted.join(" ")));
    }
}

pub(super) fn split_flag(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

/// The names of a list whose members are maps with a name or a key, each its own.
#[must_use]
pub fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list.iter().map(member_name).collect::<Option<_>>()?;
    let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
    (!names.is_empty() && unique.len() == names.len()).then_some(names)
}

fn member_name(member: &Value) -> Option<&str> {
    member.get("name").or_else(|| member.get("key"))?.as_str()
}

fn same_members(left: &[&str], right: &[&str]) -> bool {
    left.len() == right.len() && left.iter().all(|name| right.contains(name))
}

fn named(
    path: &str,
    seen: (&[&str], &[Value]),
    wanted: (&[&str], &[Value]),
    extent: Extent,
    found: &mut Vec<Difference>,
) {
    let get = |(names, list): (&[&str], &'_ [Value]), name: &str| {
        names.iter().position(|other| *other == name).map(|at| list[at].clone())
    };
    for name in wanted.0 {
        compare(&format!("{path}[{name}]"), get(seen, name).as_ref(), get(wanted, name).as_ref(), extent, found);
    }
    // A list is whole even where its members are not: a member too many is a difference.
    for name in seen.0.iter().filter(|name| !wanted.0.contains(name)) {
        compare(&format!("{path}[{name}]"), get(seen, name).as_ref(), None, Extent::Whole, found);
    }
}

/// Differences between two texts of several lines: what is left when the common beginning and end are taken away.
pub(super) fn text(path: &str, seen: &str, wanted: &str, found: &mut Vec<Difference>) {
    if seen == wanted {
        return;
    }
    let (seen, wanted): (Vec<&str>, Vec<&str>) = (seen.lines().collect(), wanted.lines().collect());
    let start = seen.iter().zip(&wanted).take_while(|(left, right)| left == right).count();
    let end =
        seen[start..].iter().rev().zip(wanted[start..].iter().rev()).take_while(|(left, right)| left == right).count();
    let part = |lines: &[&str]| lines[start..lines.len() - end].join("\n");
    let (seen, wanted) = (part(&seen), part(&wanted));
    found.push(match (seen.is_empty(), wanted.is_empty()) {
        (true, true) => Difference::new(path, "another end of line", "its end of line"),
        (true, false) => Difference::added(path, wanted),
        (false, true) => Difference::removed(path, seen),
        (false, false) => Difference::new(path, seen, wanted),
    });
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn show_list(list: &[Value]) -> String {
    Value::Array(list.to_vec()).to_string()
}
