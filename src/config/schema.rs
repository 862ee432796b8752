//! Documents checked against the JSON Schema that is derived from the Rust types: one checker for every kind.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::node::{Entry, Kind, Node};
use super::report::Report;
use super::words;

/// The `format` of texts that are Go durations.
const DURATION: &str = "go-duration";

/// The schema of a type. Types that are used in it stand in its `$defs`, each once.
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    generate::<T>(false)
}

/// The schema of a type with everything in place: it has no references.
#[must_use]
pub fn whole<T: JsonSchema>() -> Value {
    generate::<T>(true)
}

fn generate<T: JsonSchema>(inline: bool) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = inline;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Checks a document and says everything that is wrong with its shape. What is right is returned, so that it can be
/// checked further; the top level's `apiVersion` and `kind` are not in it.
pub fn check(node: &Node, schema: &Value, kind: &str, file: &str, report: &mut Report) -> Node {
    let mut checker = Checker { root: schema, file, report };
    let mut node = node.clone();
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|entry| entry.key != "apiVersion" && entry.key != "kind");
    }
    let line = node.line;
    checker.value(node, schema, kind).unwrap_or(Node { line, kind: Kind::Map(Vec::new()) })
}

/// Says which keys are written twice, in the whole tree.
pub fn duplicates(node: &Node, path: &str, file: &str, report: &mut Report) {
    match &node.kind {
        Kind::Map(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                let path = child(path, &entry.key);
                if let Some(first) = entries[..index].iter().find(|first| first.key == entry.key) {
                    let message = format!("is written twice: first in line {}; keep one of them", first.line);
                    report.shape(file, entry.line, &path, message);
                }
                duplicates(&entry.value, &path, file, report);
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                duplicates(item, &format!("{path}[{index}]"), file, report);
            }
        }
        _ => {}
    }
}

/// The path of a field.
#[must_use]
pub fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct Checker<'a> {
    /// The schema of the document, which has the types that others refer to.
    root: &'a Value,
    file: &'a str,
    report: &'a mut Report,
}

impl<'a> Checker<'a> {
    /// The schema of a value that is there, without references.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let schema = without_null(schema);
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        name.and_then(|name| self.root.pointer(name)).unwrap_or(schema)
    }

    fn value(&mut self, node: Node, schema: &'a Value, path: &str) -> Option<Node> {
        if node.kind == Kind::Null {
            return Some(node); // as in Go: a field without a value is not set
        }
        let schema = self.resolve(schema);
        let line = node.line;
        match (expected(schema), node.kind) {
            (Expected::Anything, kind) => Some(Node { line, kind }),
            (Expected::Object, Kind::Map(entries)) => Some(self.object(line, entries, schema, path)),
            (Expected::List, Kind::List(items)) => Some(self.list(line, items, schema, path)),
            (Expected::Text, Kind::Text(text)) => self.text(line, text, schema, path),
            (Expected::Bool, Kind::Bool(value)) => Some(Node { line, kind: Kind::Bool(value) }),
            (Expected::Integer, Kind::Number(number)) if number.is_i64() || number.is_u64() => {
                self.integer(line, number, schema, path)
            }
            (Expected::Number, Kind::Number(number)) => Some(Node { line, kind: Kind::Number(number) }),
            (expected, found) => {
                self.report.shape(self.file, line, path, mismatch(expected, &found));
                None
            }
        }
    }

    fn object(&mut self, line: u64, entries: Vec<Entry>, schema: &'a Value, path: &str) -> Node {
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties").filter(|schema| schema.is_object());
        let free = properties.is_none() && additional.is_none();
        let mut kept = Vec::new();
        for mut entry in entries {
            let path = child(path, &entry.key);
            let field = properties.and_then(|fields| fields.get(&entry.key));
            let Some(field) = field.or(additional) else {
                if free {
                    kept.push(entry);
                } else {
                    let names = properties.into_iter().flat_map(|fields| fields.keys().map(String::as_str));
                    self.report.shape(self.file, entry.line, &path, unknown_field(&entry.key, names));
                }
                continue;
            };
            if entry.value.kind == Kind::Null && properties.is_none() {
                let message = "has no value: write \"\" for an empty one, or remove the line".to_owned();
                self.report.shape(self.file, entry.line, &path, message);
                continue;
            }
            if let Some(value) = self.value(entry.value, field, &path) {
                entry.value = value;
                kept.push(entry);
            }
        }
        Node { line, kind: Kind::Map(kept) }
    }

    fn list(&mut self, line: u64, items: Vec<Node>, schema: &'a Value, path: &str) -> Node {
        let schema = schema.get("items").unwrap_or(&Value::Bool(true));
        let mut kept = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = item.line;
            if item.kind == Kind::Null {
                self.report.shape(self.file, place, &path, "is empty: give it a value or remove the line".to_owned());
            }
            // A wrong item stays in its place, empty, so that the paths of those behind it stay right.
            let item = self.value(item, schema, &path).filter(|item| item.kind != Kind::Null);
            kept.push(item.unwrap_or_else(|| Node { line: place, kind: empty(expected(self.resolve(schema))) }));
        }
        Node { line, kind: Kind::List(kept) }
    }

    fn text(&mut self, line: u64, text: String, schema: &Value, path: &str) -> Option<Node> {
        let choices = choices(schema);
        if !choices.is_empty() && !choices.contains(&text.as_str()) {
            let message = words::unknown("value", &text, choices.iter().copied());
            self.report.shape(self.file, line, path, message);
            return None;
        }
        if schema.get("format").and_then(Value::as_str) == Some(DURATION)
            && let Err(error) = text.parse::<super::duration::GoDuration>()
        {
            self.report.shape(self.file, line, path, error.to_string());
            return None;
        }
        Some(Node { line, kind: Kind::Text(text) })
    }

    fn integer(&mut self, line: u64, number: serde_json::Number, schema: &Value, path: &str) -> Option<Node> {
        let (least, most) = range(schema);
        let value = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).unwrap_or_default();
        if (least..=most).contains(&value) {
            return Some(Node { line, kind: Kind::Number(number) });
        }
        self.report.shape(self.file, line, path, format!("{value} is out of range: write {least} to {most}"));
        None
    }
}

/// What a schema asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Anything,
    Object,
    List,
    Text,
    Bool,
    Integer,
    Number,
}

/// The schema of an optional value, without the `null` that Rust's `Option` adds.
fn without_null(schema: &Value) -> &Value {
    let variants = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)).and_then(Value::as_array);
    let is_null = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some("null");
    match variants.map(Vec::as_slice) {
        Some([one, null]) if is_null(&null) => one,
        Some([null, one]) if is_null(&null) => one,
        _ => schema,
    }
}

fn expected(schema: &Value) -> Expected {
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            // Of several types the type's own reader judges.
            kinds.next().filter(|_| kinds.next().is_none()).unwrap_or_default()
        }
        _ if !choices(schema).is_empty() => "string",
        _ => "",
    };
    match kind {
        "object" => Expected::Object,
        "array" => Expected::List,
        "string" => Expected::Text,
        "boolean" => Expected::Bool,
        "integer" => Expected::Integer,
        "number" => Expected::Number,
        _ => Expected::Anything,
    }
}

/// The values of an enumeration; schemars writes them as `enum`, or as `oneOf` where they have descriptions.
fn choices(schema: &Value) -> Vec<&str> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter_map(Value::as_str).collect();
    }
    let variants = schema.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut values = Vec::new();
    for variant in variants {
        values.extend(variant.get("const").and_then(Value::as_str));
        values.extend(variant.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str));
    }
    values
}

fn range(schema: &Value) -> (i128, i128) {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let (least, most) = match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" => (0, u64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let bound = |key| schema.get(key).and_then(Value::as_i64).map(i128::from);
    (bound("minimum").unwrap_or(least), bound("maximum").unwrap_or(most))
}

fn empty(expected: Expected) -> Kind {
    match expected {
        Expected::Object => Kind::Map(Vec::new()),
        Expected::List => Kind::List(Vec::new()),
        Expected::Text => Kind::Text(String::new()),
        Expected::Bool => Kind::Bool(false),
        Expected::Integer | Expected::Number => Kind::Number(0.into()),
        Expected::Anything => Kind::Null,
    }
}

fn mismatch(expected: Expected, found: &Kind) -> String {
    let found = match found {
        Kind::Null => "nothing",
        Kind::Bool(_) => "a boolean",
        Kind::Number(_) => "a number",
        Kind::Text(_) => "text",
        Kind::List(_) => "a list",
        Kind::Map(_) => "a mapping",
    };
    let (wanted, hint) = match expected {
        Expected::Text if found == "a list" || found == "a mapping" => ("text", "write one value"),
        Expected::Text => ("text", "put the value in quotes"),
        Expected::Bool => ("true or false", "write one of them, without quotes"),
        Expected::Integer => ("a whole number", "write digits only, without quotes"),
        Expected::Number => ("a number", "write it without quotes"),
        Expected::List => ("a list", "begin each item with \"- \""),
        Expected::Object | Expected::Anything => ("a mapping", "write \"key: value\" lines below it"),
    };
    format!("is {found} where {wanted} belongs: {hint}")
}

fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    match words::nearest(name, known.iter().copied()) {
        Some(near) => format!("no such field: did you mean {near}?"),
        None => format!("no such field; the fields here are {}", words::list(known)),
    }
}
