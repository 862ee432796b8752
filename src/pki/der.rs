//! The little DER that a certificate is written in (X.690).
//!
//! By hand because the issuer's name has to be repeated byte for byte: a corporate CA may have several OU or DC values,
//! non-Latin text or an unusual order, and a name that is taken apart and put together again would no longer match.

/// Tag of SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// Tag of SET.
pub const SET: u8 = 0x31;
/// Tag of INTEGER.
pub const INTEGER: u8 = 0x02;
/// Tag of BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Tag of OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// Tag of OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// Tag of `UTF8String`.
const UTF8_STRING: u8 = 0x0c;
/// Tag of `PrintableString`.
const PRINTABLE_STRING: u8 = 0x13;
/// Tag of `UTCTime`.
pub const UTC_TIME: u8 = 0x17;
/// Tag of `GeneralizedTime`.
pub const GENERALIZED_TIME: u8 = 0x18;
/// BOOLEAN TRUE, whole.
pub const TRUE: &[u8] = &[0x01, 0x01, 0xff];
/// NULL, whole.
pub const NULL: &[u8] = &[0x05, 0x00];

/// A value: tag, length, content. The content is the parts one after another.
pub fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8)); // a usize has at most eight bytes
        out.extend_from_slice(significant);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A BIT STRING of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes])
}

/// Text of a name: `PrintableString` where its alphabet allows, as Go's `encoding/asn1` chooses, else `UTF8String`.
pub fn text(text: &str) -> Vec<u8> {
    let printable = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    value(if printable { PRINTABLE_STRING } else { UTF8_STRING }, &[text.as_bytes()])
}

/// The content of the value at the start of `input` if it has this tag, and what follows the value.
pub fn read(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = input.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
