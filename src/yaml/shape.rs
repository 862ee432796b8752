//! Which ways of writing a text in YAML keep it what it is, as libyaml's emitter judges.

/// Which ways of writing keep a text what it is.
#[allow(clippy::struct_excessive_bools)] // four independent answers
pub(super) struct Shape {
    pub(super) may_be_plain: bool,
    pub(super) may_be_single_quoted: bool,
    pub(super) may_be_literal: bool,
    pub(super) breaks: bool,
}

impl Shape {
    pub(super) fn of(text: &str) -> Self {
        let (mut breaks, mut break_then_space, mut unwritable) = (false, false, false);
        let mut previous = None;
        for c in text.chars() {
            if is_break(c) {
                breaks = true;
                unwritable |= previous == Some(' ');
            }
            break_then_space |= c == ' ' && previous.is_some_and(is_break);
            unwritable |= !is_printable(c);
            previous = Some(c);
        }
        let spaced = text.starts_with(' ') || text.ends_with(' ');
        Self {
            may_be_plain: !(spaced || breaks || unwritable || has_indicator(text)),
            may_be_single_quoted: !(break_then_space || unwritable),
            may_be_literal: !(text.ends_with(' ') || unwritable),
            breaks,
        }
    }
}

/// Whether the text begins as a word, a path or a flag and holds nothing but letters, digits and signs that mean nothing to YAML
/// where they stand.
pub(super) fn is_word(text: &str) -> bool {
    let signs = |byte: u8| matches!(byte, b'/' | b'.' | b'_' | b'-' | b'=' | b':');
    let start = text.strip_prefix("--").unwrap_or(text);
    start.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || signs(byte))
}

/// Whether the text holds what would end it, begin a comment, or be taken for structure.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut previous = ' ';
    let mut rest = text.chars();
    let mut first = true;
    while let Some(c) = rest.next() {
        let before_blank = rest.as_str().chars().next().is_none_or(|next| next == ' ' || next == '\t');
        let stops = match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => first,
            '#' => previous == ' ' || previous == '\t' || previous == '\0' || is_break(previous),
            '?' | '-' => first && before_blank,
            ':' => before_blank,
            _ => false,
        };
        if stops {
            return true;
        }
        previous = c;
        first = false;
    }
    false
}

/// The characters that libyaml writes as they are: no control characters, no byte order mark, none beyond U+FFFD.
pub(super) const fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// The line breaks of YAML 1.1.
pub(super) const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
