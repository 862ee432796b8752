//! YAML documents as trees in which every value knows its line.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::{DuplicateKeyPolicy, MessageFormatter, Options, Spanned, UserMessageFormatter};

/// Bytes that one file may have.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Levels of lists and mappings in a document. The deepest Kubernetes configuration has ten.
const MAX_DEPTH: usize = 64;
/// Values in a document, counted after aliases are followed. A full configuration has some hundred.
const MAX_NODES: usize = 20_000;
/// Aliases in a document.
const MAX_ALIASES: usize = 200;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line in the file, from 1.
    pub line: u64,
    /// The value.
    pub kind: Kind,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true`, and what YAML 1.1 reads as it: `yes`, `on`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, with every key as often as it is written.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key; a number or boolean as the text that Go makes of it.
    pub key: String,
    /// Line of the key, from 1.
    pub line: u64,
    /// The value.
    pub value: Node,
}

/// A document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl Node {
    /// Reads one document. `before` is the number of lines of the file above it.
    ///
    /// # Errors
    /// The text is not YAML, or larger than this program reads.
    pub fn parse(text: &str, before: u64) -> Result<Self, Unreadable> {
        let mut node: Self =
            serde_yaml::from_str_with_options(text, options()).map_err(|error| explain(&error, text, before))?;
        node.move_down(before);
        Ok(node)
    }

    fn move_down(&mut self, lines: u64) {
        self.line += lines;
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| item.move_down(lines)),
            Kind::Map(entries) => {
                for entry in entries {
                    entry.line += lines;
                    entry.value.move_down(lines);
                }
            }
            _ => {}
        }
    }

    /// The value of a key of a mapping; the last one where it is written twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value without its lines. A key without a value is left out, as Go's decoder leaves the field unset.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.value(false)
    }

    /// [`Node::to_value`], with the keys that have no value: to a patch they say that a field is to go.
    #[must_use]
    pub fn to_patch(&self) -> Value {
        self.value(true)
    }

    fn value(&self, nulls: bool) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) => Value::String(value.clone()),
            Kind::List(items) => items.iter().map(|item| item.value(nulls)).collect(),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter(|entry| nulls || entry.value.kind != Kind::Null)
                    .map(|entry| (entry.key.clone(), entry.value.value(nulls)))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

fn options() -> Options {
    serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough, // found one by one later, with both lines
        legacy_octal_numbers: true, // as Go's YAML: 0777 is 511
        with_snippet: false,
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_documents: 1,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_NODES },
    }
}

/// What the parser says, in words for people.
fn explain(error: &serde_yaml::Error, text: &str, before: u64) -> Unreadable {
    let line = before + error.location().map_or(1, |location| location.line().max(1));
    let said: String = UserMessageFormatter.format_message(error).chars().filter(|c| !c.is_control()).collect();
    if ["too large", "budget", "limit", "alias", "nesting"].iter().any(|word| said.contains(word)) {
        let message = format!(
            "the document is larger or deeper than planekeeper reads ({said}): it may have {MAX_NODES} values, \
             {MAX_ALIASES} aliases and {MAX_DEPTH} levels"
        );
        return Unreadable { line, message };
    }
    // The parser names the value before the tab; the line to mend is the one with the tab.
    let indented_by_tab = |line: &&str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    if let Some(tab) = text.lines().zip(before + 1..).find(|(line, _)| indented_by_tab(line)) {
        let message = "the line is indented by a tab: YAML indents by spaces only".to_owned();
        return Unreadable { line: tab.1, message };
    }
    Unreadable { line, message: format!("this is not YAML: {said}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Node>()? {
            let text = match key.kind {
                Kind::Text(text) => text,
                Kind::Bool(value) => value.to_string(),
                Kind::Number(value) => value.to_string(),
                Kind::Null | Kind::List(_) | Kind::Map(_) => return Err(de::Error::custom("a key has to be text")),
            };
            entries.push(Entry { key: text, line: key.line, value: map.next_value()? });
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let node = Node::parse("a: 1\nb:\n- x\n- {c: y}\na: 2\n", 10).unwrap();
        let Kind::Map(entries) = &node.kind else { panic!("{node:?}") };
        let lines: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(lines, [("a", 11), ("b", 12), ("a", 15)]);
        let Kind::List(items) = &entries[1].value.kind else { panic!("{node:?}") };
        assert_eq!((items[0].line, items[1].line), (13, 14));
    }

    #[test]
    fn scalars_are_read_as_go_reads_them() {
        let cases = [("yes", Kind::Bool(true)), ("off", Kind::Bool(false)), ("'yes'", Kind::Text("yes".into()))];
        let numbers = [("0777", 511), ("0x1F", 31), ("-3", -3)];
        for (text, want) in
            cases.into_iter().chain(numbers.map(|(text, number): (_, i64)| (text, Kind::Number(number.into()))))
        {
            assert_eq!(Node::parse(text, 0).unwrap().kind, want, "{text}");
        }
        for text in ["v1.37.2", "10.0.0.10", "1h", "2027-01-01T00:00:00Z", "fd00::10"] {
            assert_eq!(Node::parse(text, 0).unwrap().kind, Kind::Text(text.into()));
        }
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            writeln!(text, "a{level}: &a{level} [{}]", [alias.as_str(); 9].join(", ")).unwrap();
        }
        let error = Node::parse(&text, 0).unwrap_err();
        assert!(error.message.contains("larger or deeper"), "{error:?}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "[".repeat(100_000);
        assert!(Node::parse(&text, 0).unwrap_err().message.contains("larger or deeper"));
    }

    #[test]
    fn a_tab_is_named_with_its_line() {
        let error = Node::parse("a:\n  b: 1\n\tc: 2\n", 0).unwrap_err();
        assert_eq!(error.line, 3, "{error:?}");
    }
}
