//! The record of bootstrap tokens on disk: `{"tokens": {"abcdef": {"ends": "2026-11-23T10:00:00Z"}}}`.
//!
//! It remembers when a token was to end, so that running again does not prolong it, and the secret of the one that was made up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calendar;
use crate::cluster::TokenEnd;
use crate::diff::tokens::{ended, recorded};
use crate::facts::IssuedToken;
use crate::observed::TokensSeen;
use crate::record;
use crate::resource::TokensSpec;

#[derive(Serialize, Deserialize)]
struct Record {
    tokens: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Reads a record; what cannot be understood is an empty one, and is written anew.
#[must_use]
pub fn read(bytes: &[u8]) -> BTreeMap<String, IssuedToken> {
    let Ok(record) = serde_json::from_slice::<Record>(bytes) else {
        return BTreeMap::new();
    };
    let token =
        |entry: Entry| IssuedToken { ends: entry.ends.as_deref().and_then(calendar::seconds), secret: entry.secret };
    record.tokens.into_iter().map(|(id, entry)| (id, token(entry))).collect()
}

/// The text of a record.
#[must_use]
pub fn text(tokens: &BTreeMap<String, IssuedToken>) -> String {
    let entry = |token: &IssuedToken| Entry {
        ends: token.ends.map(|ends| calendar::rfc3339(ends).unwrap_or_default()),
        secret: token.secret.clone(),
    };
    let record = Record { tokens: tokens.iter().map(|(id, token)| (id.clone(), entry(token))).collect() };
    record::text_of(&record)
}

/// The record that is wanted: what was recorded stays, what is new begins its life now.
///
/// # Errors
/// There is no randomness to make a token up.
pub fn renewed(
    spec: &TokensSpec,
    seen: &TokensSeen,
    now: i64,
    met: impl Fn(&str) -> Option<i64>,
) -> Result<BTreeMap<String, IssuedToken>, String> {
    let mut tokens = BTreeMap::new();
    for (id, end) in &spec.tokens {
        let fresh = |id: &str| match end {
            TokenEnd::Never => None,
            TokenEnd::At(end) => Some(*end),
            TokenEnd::After(life) => {
                Some(met(id).unwrap_or(now.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX))))
            }
        };
        let (id, token) = match recorded(seen, id.as_deref()) {
            Some((id, token)) if !(ended(token, now) && spec.renew_ended) && keeps(token, *end) => {
                (id.clone(), token.clone())
            }
            // One whose id the configuration names begins anew; one that was made up is another from then on.
            _ => match id {
                Some(_) if *end == TokenEnd::Never => continue,
                Some(id) => (id.clone(), IssuedToken { ends: fresh(id), secret: None }),
                None => {
                    let id = random_text(6)?;
                    let ends = fresh(&id);
                    (id, IssuedToken { ends, secret: Some(random_text(16)?) })
                }
            },
        };
        tokens.insert(id, token);
    }
    Ok(tokens)
}

/// The recorded end is one that the configuration could have led to.
fn keeps(token: &IssuedToken, end: TokenEnd) -> bool {
    match end {
        TokenEnd::Never => token.ends.is_none(),
        TokenEnd::At(end) => token.ends == Some(end),
        TokenEnd::After(_) => token.ends.is_some(),
    }
}

/// Characters of a bootstrap token, each as likely as any other.
pub(super) fn random_text(length: usize) -> Result<String, String> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut byte = [0_u8; 1];
        aws_lc_rs::rand::fill(&mut byte).map_err(|_| "the system has no randomness".to_owned())?;
        // 252 is the largest multiple of 36 in a byte: what is above would favour some letters.
        if byte[0] < 252 {
            text.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    Ok(text)
}

/// The life of the token of such a Secret.
#[must_use]
pub fn issued(secret: &Value) -> IssuedToken {
    let expiration = secret.pointer("/data/expiration").and_then(Value::as_str);
    let text = expiration.and_then(|encoded| STANDARD.decode(encoded).ok());
    IssuedToken { ends: text.and_then(|text| calendar::seconds(std::str::from_utf8(&text).ok()?)), secret: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Owner;
    use std::time::Duration;

    fn spec(renew_ended: bool) -> TokensSpec {
        let tokens = vec![
            (Some("abcdef".to_owned()), TokenEnd::After(Duration::from_secs(100))),
            (None, TokenEnd::After(Duration::from_secs(100))),
        ];
        TokensSpec { path: String::new(), tokens, renew_ended, owner: Owner::default() }
    }

    #[test]
    fn a_token_that_is_recorded_is_not_prolonged_and_one_that_ended_is_renewed_only_where_declared() {
        let first = renewed(&spec(false), &TokensSeen::default(), 1000, |_| None).unwrap();
        assert_eq!(first["abcdef"].ends, Some(1100));
        let seen = TokensSeen { tokens: read(text(&first).as_bytes()), mode: None };
        assert_eq!(seen.tokens, first, "what is written is what is read");
        assert_eq!(renewed(&spec(false), &seen, 2000, |_| None).unwrap(), first);
        let later = renewed(&spec(true), &seen, 2000, |_| None).unwrap();
        assert_eq!(later["abcdef"].ends, Some(2100));
        assert_eq!(later.len(), 2);
    }

    #[test]
    fn a_token_that_the_cluster_has_already_keeps_its_end() {
        let tokens =
            renewed(&spec(false), &TokensSeen::default(), 1000, |id| (id == "abcdef").then_some(1234)).unwrap();
        assert_eq!(tokens["abcdef"].ends, Some(1234));
    }
}
