//! JSON merge patches (RFC 7386) and JSON patches (RFC 6902), as the library `evanphx/json-patch` applies them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

/// More values than this are not copied by one patch: a few copies of a copy would fill the memory.
const MOST_COPIED: usize = 100_000;

/// RFC 7386. Objects new to the target lose their nulls; inside a list too, unless it takes an object's place.
pub(super) fn merge(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, change) in patch {
        let before = fields.remove(&name);
        let merged = match (before, change) {
            (_, Value::Null) => continue,
            (Some(before @ Value::Object(_)), change) => merge(before, change),
            (_, change) => without_nulls(change),
        };
        fields.insert(name, merged);
    }
    Value::Object(fields)
}

/// A value that is new to the original: without nulls in objects, which say that a field is to go.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// One operation of a JSON patch.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add {
        path: String,
        value: Value,
    },
    Remove {
        path: String,
    },
    Replace {
        path: String,
        value: Value,
    },
    Move {
        from: String,
        path: String,
    },
    Copy {
        from: String,
        path: String,
    },
    Test {
        path: String,
        #[serde(default)]
        value: Value,
    },
}

/// Whether a value is a list of operations.
pub(super) fn check(patch: &Value) -> Result<(), String> {
    operations(patch).map(drop)
}

fn operations(patch: &Value) -> Result<Vec<Operation>, String> {
    let items = patch.as_array().ok_or("a JSON patch is a list of operations")?;
    let read = |(index, item): (usize, &Value)| {
        Operation::deserialize(item).map_err(|error| format!("operation {}: {error}", index + 1))
    };
    items.iter().enumerate().map(read).collect()
}

/// RFC 6902, as far as the library follows it: an index may count from the end (`-1` is the last item), a `replace`
/// of an object's field may be its first value, and a `copy` of a field that is not there is null.
pub(super) fn apply(mut target: Value, patch: &Value) -> Result<Value, String> {
    let mut copied = 0;
    for (index, operation) in operations(patch)?.into_iter().enumerate() {
        perform(&mut target, operation, &mut copied).map_err(|error| format!("operation {}: {error}", index + 1))?;
    }
    Ok(target)
}

fn perform(target: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(target, &path, value),
        Operation::Remove { path } => remove(target, &path).map(drop),
        Operation::Replace { path, value } => {
            let (parent, last) = parent(target, &path)?;
            if let Value::Object(fields) = parent {
                fields.insert(last.into_owned(), value);
                return Ok(());
            }
            *child(parent, &last).ok_or_else(|| missing(&path))? = value;
            Ok(())
        }
        Operation::Move { from, path } => {
            let value = remove(target, &from)?;
            add(target, &path, value)
        }
        Operation::Copy { from, path } => {
            let (parent, last) = parent(target, &from)?;
            let absent = parent.is_object().then_some(Value::Null);
            let value = child(parent, &last).map(|value| value.clone()).or(absent).ok_or_else(|| missing(&from))?;
            *copied += size(&value);
            if *copied > MOST_COPIED {
                return Err(format!("the patch copies more than {MOST_COPIED} values"));
            }
            add(target, &path, value)
        }
        Operation::Test { path, value } => {
            let seen = if path.is_empty() {
                Some(&*target)
            } else {
                let (parent, last) = parent(target, &path)?;
                child(parent, &last).map(|seen| &*seen)
            };
            let same = seen.map_or(value.is_null(), |seen| equal(seen, &value));
            if same { Ok(()) } else { Err(format!("the test of {path:?} failed")) }
        }
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (parent, last) = parent(target, path)?;
    match parent {
        Value::Object(fields) => {
            fields.insert(last.into_owned(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(&last, items.len() + 1).ok_or_else(|| missing(path))?;
            items.insert(at, value);
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = parent(target, path)?;
    let removed = match parent {
        Value::Object(fields) => fields.remove(last.as_ref()),
        Value::Array(items) => index(&last, items.len()).map(|at| items.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing(path))
}

/// The object or list that a path's last step is taken in, and that step.
fn parent<'v, 'p>(target: &'v mut Value, path: &'p str) -> Result<(&'v mut Value, Cow<'p, str>), String> {
    let steps = path.strip_prefix('/').ok_or_else(|| format!("the path {path:?} does not start with a slash"))?;
    let (before, last) = steps.rsplit_once('/').map_or((None, steps), |(before, last)| (Some(before), last));
    let mut here = target;
    for step in before.into_iter().flat_map(|before| before.split('/')) {
        here = child(here, &unescaped(step)).ok_or_else(|| missing(path))?;
    }
    Ok((here, unescaped(last)))
}

fn child<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => {
            let at = index(step, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    }
}

/// A step as a place in a list with so many places.
fn index(step: &str, places: usize) -> Option<usize> {
    let at: i64 = step.parse().ok()?;
    let at = if at < 0 { at.checked_add_unsigned(u64::try_from(places).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < places)
}

fn unescaped(step: &str) -> Cow<'_, str> {
    if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() }
}

fn missing(path: &str) -> String {
    format!("there is no {path:?}")
}

/// Equality of JSON: 1 and 1.0 are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(name, x)| y.get(name).is_some_and(|y| equal(x, y)))
        }
        _ => a == b,
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}
