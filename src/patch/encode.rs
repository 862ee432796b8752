//! A patched object as Kubernetes' typed encoder writes it: kubeadm reads it into its Go type and writes that again.
//!
//! What is empty is left out where the type says so, quantities get their one spelling. A field that the type does not
//! have is an error here; kubeadm drops it and says nothing.

use serde_json::{Map, Value};

use crate::quantity;

/// The types and their fields; the file says how to read it.
const TYPES: &str = include_str!("types.txt");

/// What to do with a structure that has nothing in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    /// Write it: `resources: {}`.
    Write,
    /// Leave it out, as the API takes it.
    Omit,
}

/// A value as it is written, and whether Go counts it as empty.
struct Encoded {
    value: Value,
    empty: bool,
}

impl Encoded {
    const fn full(value: Value) -> Self {
        Self { value, empty: false }
    }
}

/// Writes an object of a type again.
///
/// # Errors
/// The first field that the type does not have, or that has a value of another kind.
pub(super) fn encode(name: &str, object: &Value, empty: Empty) -> Result<Value, String> {
    Ok(structure(name, Some(object), empty)?.value)
}

/// A value of a kind: one of the letters that the table explains, or a type.
fn encode_kind(kind: &str, value: Option<&Value>, empty: Empty) -> Result<Encoded, String> {
    let value = value.filter(|value| !value.is_null());
    if let Some(inner) = kind.strip_prefix('*') {
        return match value {
            None => Ok(Encoded { value: Value::Null, empty: true }),
            value => Ok(Encoded::full(encode_kind(inner, value, empty)?.value)),
        };
    }
    if let Some(inner) = kind.strip_prefix("[]") {
        return list(inner, value, empty);
    }
    if let Some(inner) = kind.strip_prefix("{}") {
        return map(inner, value, empty);
    }
    match kind {
        "any" => Ok(Encoded::full(value.cloned().unwrap_or_else(|| Map::new().into()))),
        "q" => Ok(Encoded::full(quantity::canonical_value(value.unwrap_or(&Value::Null))?.into())),
        "s" | "t" | "b" | "i" | "x" => plain(kind, value),
        _ => structure(kind, value, empty),
    }
}

/// A text, time, boolean, integer, or what is either an integer or a text.
fn plain(kind: &str, value: Option<&Value>) -> Result<Encoded, String> {
    let integer = |number: &Value| number.as_i64().or_else(|| whole(number.as_f64()?));
    Ok(match (kind, value) {
        ("s", None) => Encoded { value: "".into(), empty: true },
        ("t", None) => Encoded { value: Value::Null, empty: true },
        ("b", None) => Encoded { value: false.into(), empty: true },
        ("i", None) => Encoded { value: 0.into(), empty: true },
        (_, None) => Encoded::full(0.into()),
        ("s" | "t", Some(Value::String(text))) => Encoded { value: text.as_str().into(), empty: text.is_empty() },
        ("x", Some(Value::String(text))) => Encoded::full(text.as_str().into()),
        ("b", Some(Value::Bool(flag))) => Encoded { value: (*flag).into(), empty: !flag },
        ("i" | "x", Some(value)) if let Some(number) = integer(value) => {
            Encoded { value: number.into(), empty: kind == "i" && number == 0 }
        }
        (_, Some(value)) => return Err(wrong(value, expected(kind))),
    })
}

/// A number without a fraction as an integer.
#[allow(clippy::cast_possible_truncation)] // checked right before
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

fn list(inner: &str, value: Option<&Value>, empty: Empty) -> Result<Encoded, String> {
    let Some(value) = value else { return Ok(Encoded { value: Value::Null, empty: true }) };
    let items = value.as_array().ok_or_else(|| wrong(value, "a list"))?;
    let encoded = items.iter().enumerate().map(|(index, item)| {
        let encoded = encode_kind(inner, Some(item), empty).map_err(|error| under(&format!("[{index}]"), &error))?;
        Ok(encoded.value)
    });
    Ok(Encoded { value: encoded.collect::<Result<_, String>>()?, empty: items.is_empty() })
}

fn map(inner: &str, value: Option<&Value>, empty: Empty) -> Result<Encoded, String> {
    let Some(value) = value else { return Ok(Encoded { value: Value::Null, empty: true }) };
    let fields = value.as_object().ok_or_else(|| wrong(value, "an object"))?;
    let encoded = fields.iter().map(|(name, field)| {
        let encoded = encode_kind(inner, Some(field), empty).map_err(|error| under(&format!(".{name}"), &error))?;
        Ok((name.clone(), encoded.value))
    });
    Ok(Encoded { value: Value::Object(encoded.collect::<Result<_, String>>()?), empty: fields.is_empty() })
}

fn structure(name: &str, value: Option<&Value>, empty: Empty) -> Result<Encoded, String> {
    let nothing = Map::new();
    let fields = match value {
        None => &nothing,
        Some(value) => value.as_object().ok_or_else(|| wrong(value, "an object"))?,
    };
    let known: Vec<(&str, &str)> = fields_of(name).collect();
    if let Some(unknown) = fields.keys().find(|field| !known.iter().any(|(name, _)| name == field)) {
        return Err(under(&format!(".{unknown}"), &format!("is not a field of Kubernetes' {name}")));
    }
    let mut written = Map::new();
    for (field, kind) in known {
        let (kind, always) = kind.strip_suffix('!').map_or((kind, false), |kind| (kind, true));
        let encoded =
            encode_kind(kind, fields.get(field), empty).map_err(|error| under(&format!(".{field}"), &error))?;
        if always || !encoded.empty {
            written.insert(field.to_owned(), encoded.value);
        }
    }
    let empty = written.is_empty() && empty == Empty::Omit;
    Ok(Encoded { value: Value::Object(written), empty })
}

/// The fields of a type: names and kinds.
fn fields_of(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let line = TYPES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_default().split(' ').filter_map(|field| field.split_once(':'))
}

/// An error below a field. Fields join to a path; the message follows after a space.
fn under(field: &str, error: &str) -> String {
    if error.starts_with(['.', '[']) { format!("{field}{error}") } else { format!("{field} {error}") }
}

const fn expected(kind: &str) -> &'static str {
    match kind.as_bytes() {
        b"s" | b"t" => "a text",
        b"b" => "true or false",
        b"i" => "an integer",
        _ => "an integer or a text",
    }
}

fn wrong(value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("is {found}: write {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_type_that_is_named_is_in_the_table() {
        let kinds = TYPES.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split(' ').skip(1));
        for kind in kinds.filter_map(|field| field.split_once(':')) {
            let kind = kind.1.trim_start_matches(['*', '[', ']', '{', '}']).trim_end_matches('!');
            let known = ["s", "b", "i", "q", "x", "t", "any"].contains(&kind) || fields_of(kind).next().is_some();
            assert!(known, "{kind}");
        }
    }

    #[test]
    fn what_is_empty_is_left_out_and_quantities_get_their_one_spelling() {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {}},
            "spec": {
                "hostNetwork": false,
                "terminationGracePeriodSeconds": 0,
                "overhead": {"cpu": 0.5},
                "containers": [{
                    "name": "a",
                    "env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
                    "resources": {"limits": {"memory": "1024Mi"}, "requests": null},
                }, {"livenessProbe": {"httpGet": {"port": 80, "path": ""}}}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1500m"}}],
            },
        });
        let written = encode("Pod", &pod, Empty::Write);
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "overhead": {"cpu": "500m"},
                "containers": [{
                    "name": "a",
                    "env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}],
                    "resources": {"limits": {"memory": "1Gi"}},
                }, {"name": "", "livenessProbe": {"httpGet": {"port": 80}}, "resources": {}}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1500m"}}],
            },
            "status": {},
        });
        assert_eq!(written, Ok(expected));
    }

    #[test]
    fn what_a_pod_does_not_have_is_an_error_with_its_path() {
        let pod = |spec: Value| encode("Pod", &json!({"spec": spec}), Empty::Write).unwrap_err();
        assert_eq!(
            pod(json!({"containers": [{"nam": "x"}]})),
            ".spec.containers[0].nam is not a field of Kubernetes' Container"
        );
        assert_eq!(pod(json!({"priority": "high"})), ".spec.priority is a text: write an integer");
        assert_eq!(pod(json!({"hostNetwork": [true]})), ".spec.hostNetwork is a list: write true or false");
        assert!(pod(json!({"overhead": {"cpu": "1x"}})).starts_with(".spec.overhead.cpu \"1x\" is not a quantity"));
    }
}
