//! A block-style YAML writer whose bytes are those of `sigs.k8s.io/yaml`, the library behind every Kubernetes tool.
//!
//! The library is libyaml's emitter in Go, and the places where it breaks a line, writes a blank or indents a sequence
//! depend on a little state. The same state is kept here ([`Emitter`]), as kubeadm stores a checksum of such bytes and
//! as a file that kubeadm wrote should come out the same.

use serde_json::{Map, Number, Value};

use super::keys;
use super::scalar::stays_text;
use super::shape::{Shape, is_break, is_printable, is_word};

/// Lines are folded at the first blank beyond this column, counted in characters.
const FOLD_AT: usize = 80;
/// Columns of one level.
const INDENT: usize = 2;
/// A longer key is written as `? key`, in bytes.
const LONGEST_SIMPLE_KEY: usize = 128;
/// Blanks to indent with, as deep as most lines are.
const BLANKS: &str = "                                ";

/// The value as one document.
pub(super) fn document(value: &Value) -> String {
    let mut emitter = Emitter { out: String::new(), column: 0, indent: None, after_blank: true, only_indention: true };
    emitter.node(value, Place::Elsewhere);
    emitter.start_line();
    emitter.out
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A key on one line with its value: nothing in it may break the line.
    SimpleKey,
    /// A key or a value of a mapping.
    Mapping,
    /// An item of a sequence, or the root.
    Elsewhere,
}

struct Emitter {
    out: String,
    /// Characters since the line's start.
    column: usize,
    /// Columns before the current collection; `None` before there is one.
    indent: Option<usize>,
    /// The last thing written separates: the next needs no blank before it.
    after_blank: bool,
    /// The line holds nothing yet but indention and the indicators `-`, `?`, `:`.
    only_indention: bool,
}

impl Emitter {
    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::Null => self.plain("null", place),
            Value::Bool(truth) => self.plain(if *truth { "true" } else { "false" }, place),
            Value::Number(number) => self.plain(&number_text(number), place),
            Value::String(text) => self.text(text, place),
            Value::Array(items) if items.is_empty() => self.empty('[', ']'),
            Value::Object(fields) if fields.is_empty() => self.empty('{', '}'),
            Value::Array(items) => self.sequence(items, place),
            Value::Object(fields) => self.mapping(fields),
        }
    }

    fn sequence(&mut self, items: &[Value], place: Place) {
        let outer = self.indent;
        // Right below its key a sequence is not indented.
        if outer.is_none() || place != Place::Mapping || self.only_indention {
            self.deepen();
        }
        for item in items {
            self.start_line();
            self.indicator("-", true, true);
            self.node(item, Place::Elsewhere);
        }
        self.indent = outer;
    }

    fn mapping(&mut self, fields: &Map<String, Value>) {
        let outer = self.indent;
        self.deepen();
        for (key, value) in keys::sorted(fields) {
            self.start_line();
            if key.len() <= LONGEST_SIMPLE_KEY && !key.contains(is_break) {
                self.text(key, Place::SimpleKey);
                self.indicator(":", false, false);
            } else {
                self.indicator("?", true, true);
                self.text(key, Place::Mapping);
                self.start_line();
                self.indicator(":", true, true);
            }
            self.node(value, Place::Mapping);
        }
        self.indent = outer;
    }

    fn deepen(&mut self) {
        self.indent = Some(self.indent.map_or(0, |indent| indent + INDENT));
    }

    fn empty(&mut self, open: char, close: char) {
        self.indicator(open.encode_utf8(&mut [0; 4]), true, false);
        self.put(close);
        self.after_blank = false;
    }

    /// A scalar that is known to need no quotes.
    fn plain(&mut self, text: &str, place: Place) {
        self.scalar(place, |emitter, fold| emitter.write_plain(text, fold));
    }

    fn text(&mut self, text: &str, place: Place) {
        if is_word(text) && stays_text(text) {
            return self.word(text);
        }
        let shape = Shape::of(text);
        let simple_key = place == Place::SimpleKey;
        let literal = text.contains('\n') && shape.may_be_literal && !simple_key;
        let quoted = text.contains('\n') || !stays_text(text) || simple_key && shape.breaks;
        self.scalar(place, |emitter, fold| {
            if literal {
                emitter.write_literal(text);
            } else if quoted || !shape.may_be_single_quoted {
                emitter.write_double_quoted(text, fold);
            } else if shape.may_be_plain {
                emitter.write_plain(text, fold);
            } else {
                emitter.write_single_quoted(text, fold);
            }
        });
    }

    /// One word, as most texts are: nothing in it to fold or to quote.
    fn word(&mut self, text: &str) {
        if !self.after_blank {
            self.put(' ');
        }
        self.put_all(text);
        self.after_blank = false;
        self.only_indention = false;
    }

    /// Runs `write` one level deeper, where lines that a scalar continues on begin.
    fn scalar(&mut self, place: Place, write: impl FnOnce(&mut Self, bool)) {
        let outer = self.indent;
        self.indent = Some(outer.map_or(INDENT, |indent| indent + INDENT));
        write(self, place != Place::SimpleKey);
        self.indent = outer;
    }

    fn write_plain(&mut self, text: &str, fold: bool) {
        if !self.after_blank {
            self.put(' ');
        }
        if fold && self.column + text.len() > FOLD_AT {
            self.write_folded(text);
        } else {
            self.put_all(text);
        }
        self.after_blank = false;
        self.only_indention = false;
    }

    fn write_folded(&mut self, text: &str) {
        let mut after_space = false;
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c == ' ' && !after_space && self.column > FOLD_AT && !rest.as_str().starts_with(' ') {
                self.start_line();
            } else {
                self.put(c);
            }
            after_space = c == ' ';
        }
    }

    fn write_single_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("'", true, false);
        let (mut after_space, mut after_break) = (false, false);
        let mut rest = text.chars();
        let mut first = true;
        while let Some(c) = rest.next() {
            if c == ' ' {
                let between = !first && !rest.as_str().is_empty() && !rest.as_str().starts_with(' ');
                if fold && !after_space && self.column > FOLD_AT && between {
                    self.start_line();
                } else {
                    self.put(c);
                }
                after_space = true;
            } else if is_break(c) {
                self.put_break(c);
                self.only_indention = true;
                after_break = true;
            } else {
                if after_break {
                    self.start_line();
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.only_indention = false;
                (after_space, after_break) = (false, false);
            }
            first = false;
        }
        self.close('\'');
    }

    fn write_double_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("\"", true, false);
        // libyaml looks for the byte order mark at the text's start, whichever character it is at.
        let all = text.starts_with('\u{feff}');
        let mut after_space = false;
        let mut rest = text.chars();
        let mut first = true;
        while let Some(c) = rest.next() {
            if all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.put_all(&escape(c));
                after_space = false;
            } else if c == ' ' {
                let between = !first && !rest.as_str().is_empty();
                if fold && !after_space && self.column > FOLD_AT && between {
                    self.start_line();
                    if rest.as_str().starts_with(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                after_space = true;
            } else {
                self.put(c);
                after_space = false;
            }
            first = false;
        }
        self.close('"');
    }

    fn write_literal(&mut self, text: &str) {
        self.indicator("|", true, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.put('2'); // INDENT
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next().is_none_or(is_break)) {
            (false, _) => self.put('-'),
            (true, true) => self.put('+'),
            (true, false) => {}
        }
        self.put_break('\n');
        self.only_indention = true;
        self.after_blank = true;
        for line in text.split_inclusive(is_break) {
            let content = line.trim_end_matches(is_break);
            if !content.is_empty() {
                self.start_line();
                self.put_all(content);
                self.only_indention = false;
            }
            if let Some(end) = line[content.len()..].chars().next() {
                self.put_break(end);
                self.only_indention = true;
            }
        }
    }

    /// Moves to the indention of the current collection, on a new line unless this one is still empty.
    fn start_line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.only_indention || self.column > indent || self.column == indent && !self.after_blank {
            self.put_break('\n');
        }
        while self.column < indent {
            self.put_all(&BLANKS[..BLANKS.len().min(indent - self.column)]);
        }
        self.after_blank = true;
        self.only_indention = true;
    }

    fn indicator(&mut self, text: &str, needs_blank: bool, is_indention: bool) {
        if needs_blank && !self.after_blank {
            self.put(' ');
        }
        self.put_all(text);
        self.after_blank = false;
        self.only_indention &= is_indention;
    }

    fn close(&mut self, quote: char) {
        self.put(quote);
        self.after_blank = false;
        self.only_indention = false;
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// What breaks no line, at once.
    fn put_all(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn put_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }
}

/// A number as Go's JSON, YAML and `strconv` libraries make it in turn: a whole number that fits 64 bits loses its
/// point, others have an exponent below 0.0001 and from a million on.
fn number_text(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let plain = float.to_string();
    if float == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let whole = plain.parse::<i64>().is_ok() || plain.parse::<u64>().is_ok();
    if whole || (-4..6).contains(&exponent) {
        plain
    } else {
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

/// A character in a double-quoted text that cannot stand there as itself.
fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            return match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}
