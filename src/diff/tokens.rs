//! Verdicts on the record of bootstrap tokens.

use crate::cluster::TokenEnd;
use crate::facts::IssuedToken;
use crate::observed::{Mode, TokensSeen};
use crate::resource::TokensSpec;
use crate::verdict::{Difference, Verdict};

use super::mode;

/// The mode of the record: it may hold a secret.
pub const MODE: u32 = 0o600;

/// Every token that ends is recorded, and none that is no longer wanted.
#[must_use]
pub fn judge(spec: &TokensSpec, seen: &TokensSeen, now: i64) -> Verdict {
    let mut differences = Vec::new();
    for (id, end) in &spec.tokens {
        let name = id.as_deref().unwrap_or("(made up)");
        let difference = match recorded(seen, id.as_deref()) {
            None if id.is_some() && *end == TokenEnd::Never => continue,
            None => Difference::added(name, "recorded"),
            Some((_, token)) if ended(token, now) && spec.renew_ended => Difference::new(name, "ended", "renewed"),
            Some((_, token)) if differs(token, *end) => Difference::new(name, "another end", "the end configured"),
            Some(_) => continue,
        };
        differences.push(difference);
    }
    for (id, token) in &seen.tokens {
        let wanted =
            spec.tokens.iter().any(|(wanted, _)| wanted.as_ref().map_or(token.secret.is_some(), |wanted| wanted == id));
        if !wanted {
            differences.push(Difference::removed(id.clone(), "recorded"));
        }
    }
    if let Some(mode) = seen.mode {
        differences.extend(mode::between("", mode, Mode { mode: MODE, owner: spec.owner }));
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// The record of a token: by its id, or of the one that was made up.
#[must_use]
pub fn recorded<'a>(seen: &'a TokensSeen, id: Option<&str>) -> Option<(&'a String, &'a IssuedToken)> {
    match id {
        Some(id) => seen.tokens.get_key_value(id),
        None => seen.tokens.iter().find(|(_, token)| token.secret.is_some()),
    }
}

/// The token has ended.
#[must_use]
pub fn ended(token: &IssuedToken, now: i64) -> bool {
    token.ends.is_some_and(|end| end <= now)
}

/// The recorded end is not one that the configuration could have led to.
fn differs(token: &IssuedToken, end: TokenEnd) -> bool {
    match end {
        TokenEnd::Never => token.ends.is_some(),
        TokenEnd::After(_) => token.ends.is_none(),
        TokenEnd::At(end) => token.ends != Some(end),
    }
}

/// Where two wishes differ: tokens that came, went, or are to end at another time.
#[must_use]
pub fn between(before: &TokensSpec, after: &TokensSpec) -> Vec<Difference> {
    let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "(made up)".to_owned());
    let only = |here: &TokensSpec, there: &TokensSpec| -> Vec<String> {
        here.tokens.iter().filter(|token| !there.tokens.contains(token)).map(|(id, _)| name(id)).collect()
    };
    let (came, went) = (only(after, before), only(before, after));
    came.into_iter()
        .map(|id| Difference::added(id, "recorded"))
        .chain(went.into_iter().map(|id| Difference::removed(id, "recorded")))
        .collect()
}
