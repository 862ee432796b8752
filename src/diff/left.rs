//! Fields that are left to others, who own them: the replicas of CoreDNS, say. They are wanted as they are seen to be.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::file;
use super::value::{below, command, names, split_flag};
use crate::observed::{FileSeen, Mode, Seen};
use crate::resource::{Content, FileSpec, Spec};
use crate::yaml;

/// Says of a field, by the name that plans show, whether it is left as it is.
type IsLeft<'a> = &'a mut dyn FnMut(&str) -> bool;

/// What is wanted, with the fields that are left as they are seen to be.
#[must_use]
pub fn spec<'a>(wanted: &'a Spec, seen: &Seen, left: &BTreeSet<String>) -> Cow<'a, Spec> {
    if left.is_empty() {
        return Cow::Borrowed(wanted);
    }
    spec_with(wanted, seen, &mut |field| left.contains(field))
}

/// Those fields of a resource that there is a choice to leave.
pub fn fields(wanted: &Spec, seen: &Seen, mut may_be: impl FnMut(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    spec_with(wanted, seen, &mut |field| {
        let is = may_be(field);
        if is {
            found.insert(field.to_owned());
        }
        is
    });
    found
}

fn spec_with<'a>(wanted: &'a Spec, seen: &Seen, is_left: IsLeft<'_>) -> Cow<'a, Spec> {
    match (wanted, seen) {
        (Spec::Object(wanted), Seen::Object(Some(seen))) => Cow::Owned(Spec::Object(value(wanted, seen, is_left))),
        (Spec::File(wanted), Seen::File(seen)) => Cow::Owned(Spec::File(file_with(wanted, seen, is_left))),
        _ => Cow::Borrowed(wanted),
    }
}

fn file_with(wanted: &FileSpec, seen: &FileSeen, is_left: IsLeft<'_>) -> FileSpec {
    let Mode { mode, owner } = seen.mode;
    FileSpec {
        content: content(&wanted.content, &seen.bytes, is_left),
        mode: if is_left("mode") { mode } else { wanted.mode },
        owner: if is_left("owner") { owner } else { wanted.owner },
        ..wanted.clone()
    }
}

/// A file that cannot be read as what it should be has no fields.
fn content(wanted: &Content, seen: &[u8], is_left: IsLeft<'_>) -> Content {
    let seen = std::str::from_utf8(seen).unwrap_or_default();
    match wanted {
        Content::Yaml(wanted) => match yaml::parse(seen) {
            Ok(seen @ Value::Object(_)) => Content::Yaml(value(wanted, &seen, is_left)),
            _ => Content::Yaml(wanted.clone()),
        },
        Content::Text(text) => match (file::flags(text), file::flags(seen)) {
            (Some(wanted), Some(seen)) => {
                let line = words(&wanted, &seen, is_left).join(" ");
                Content::Text(text.replacen(&wanted.join(" "), &line, 1))
            }
            _ => Content::Text(text.clone()),
        },
    }
}

/// A value, with the fields that are left as they are seen to be.
pub fn value(wanted: &Value, seen: &Value, is_left: IsLeft<'_>) -> Value {
    taken("", Some(wanted), Some(seen), is_left).unwrap_or_default()
}

fn taken(path: &str, wanted: Option<&Value>, seen: Option<&Value>, is_left: IsLeft<'_>) -> Option<Value> {
    match (wanted, seen) {
        (Some(Value::Object(wanted)), Some(Value::Object(seen))) => Some(maps(path, wanted, seen, is_left)),
        (Some(Value::Object(wanted)), None | Some(Value::Null)) if !wanted.is_empty() => {
            Some(maps(path, wanted, &Map::new(), is_left)).filter(|map| *map != Value::Object(Map::new()))
        }
        (None, Some(Value::Object(seen))) if !seen.is_empty() => {
            Some(maps(path, &Map::new(), seen, is_left)).filter(|map| *map != Value::Object(Map::new()))
        }
        (Some(Value::Array(wanted)), Some(Value::Array(seen))) => lists(path, wanted, seen, is_left),
        _ => leaf(path, wanted, seen, is_left),
    }
}

fn leaf(path: &str, wanted: Option<&Value>, seen: Option<&Value>, is_left: IsLeft<'_>) -> Option<Value> {
    if is_left(path) { seen.cloned() } else { wanted.cloned() }
}

fn maps(path: &str, wanted: &Map<String, Value>, seen: &Map<String, Value>, is_left: IsLeft<'_>) -> Value {
    let mut whole = Map::new();
    let more = seen.keys().filter(|key| !wanted.contains_key(*key));
    for key in wanted.keys().chain(more) {
        if let Some(value) = taken(&below(path, key), wanted.get(key), seen.get(key), is_left) {
            whole.insert(key.clone(), value);
        }
    }
    Value::Object(whole)
}

/// Lists have the fields that a comparison of them shows.
fn lists(path: &str, wanted: &[Value], seen: &[Value], is_left: IsLeft<'_>) -> Option<Value> {
    if let (Some(wanted), Some(seen)) = (command(wanted), command(seen)) {
        return Some(words(&wanted, &seen, is_left).into());
    }
    if let (Some(wanted_names), Some(seen_names)) = (names(wanted), names(seen)) {
        let seen: BTreeMap<&str, &Value> = seen_names.iter().copied().zip(seen).collect();
        let more = seen_names.iter().filter(|name| !wanted_names.contains(name)).map(|name| (*name, None));
        let both = wanted_names.iter().copied().zip(wanted.iter().map(Some)).chain(more);
        let member = |(name, wanted): (&str, Option<&Value>)| {
            taken(&format!("{path}[{name}]"), wanted, seen.get(name).copied(), is_left)
        };
        return Some(Value::Array(both.filter_map(member).collect()));
    }
    if wanted.len() == seen.len() && names(wanted).is_none() {
        let pairs = wanted.iter().zip(seen).enumerate();
        let member = |(at, (wanted, seen))| taken(&format!("{path}[{at}]"), Some(wanted), Some(seen), is_left);
        return Some(Value::Array(pairs.filter_map(member).collect()));
    }
    let (wanted, seen) = (Value::Array(wanted.to_vec()), Value::Array(seen.to_vec()));
    leaf(path, Some(&wanted), Some(&seen), is_left)
}

/// The words of a command line, whose flags are left by their names. Its order is that of what is seen, where nothing else differs.
fn words<'a>(wanted: &[&'a str], seen: &[&'a str], is_left: IsLeft<'_>) -> Vec<&'a str> {
    let mut left = |word: &str| word.starts_with("--") && is_left(split_flag(word).0);
    let kept: Vec<&str> = wanted.iter().filter(|word| !left(word)).copied().collect();
    let theirs: Vec<&str> = seen.iter().filter(|word| left(word)).copied().collect();
    let stays = |word: &&&str| kept.contains(word) || theirs.contains(word);
    if kept.iter().all(|word| seen.contains(word)) && seen.iter().all(|word| stays(&word)) {
        return seen.to_vec();
    }
    let mut whole = kept;
    whole.extend(theirs);
    whole
}
