//! `bootstrapTokens`. What is said here never shows a token's secret half.

use std::collections::BTreeMap;

use super::super::duration::GoDuration;
use super::super::kubeadm::v1beta4::BootstrapToken as Written;
use super::super::report::Report;
use super::super::words;
use crate::cluster::{BootstrapToken, Token, TokenEnd};

const FIELD: &str = "InitConfiguration.bootstrapTokens";
const USAGES: [&str; 2] = ["signing", "authentication"];
const DEFAULT_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
const GROUP_PREFIX: &str = "system:bootstrappers:";
const DAY: i64 = 24 * 60 * 60;

/// The tokens; one is made up where none is given.
pub fn check(written: &[Written], report: &mut Report) -> Vec<BootstrapToken> {
    let one = [Written::default()];
    let written = if written.is_empty() { &one } else { written };
    let mut seen = BTreeMap::new();
    let mut tokens = Vec::new();
    for (index, token) in written.iter().enumerate() {
        let path = format!("{FIELD}[{index}]");
        let id = token.token.as_deref().map(|token| token.split('.').next().unwrap_or_default());
        if let Some(first) = seen.insert(id, index) {
            let message = if id.is_none() {
                format!("bootstrapTokens[{first}] has no token either: only one can be made up, so write this one")
            } else {
                format!("bootstrapTokens[{first}] has the same id: each token needs its own")
            };
            report.error(format!("{path}.token"), message);
        }
        tokens.extend(check_one(token, &path, report));
    }
    tokens
}

fn check_one(written: &Written, path: &str, report: &mut Report) -> Option<BootstrapToken> {
    let token = written.token.as_deref().map(parse);
    if token == Some(None) {
        let message = "is not a token: write six small letters or digits, a dot and sixteen more, as `kubeadm token \
                       generate` prints them, or leave it out to have one made up";
        report.error(format!("{path}.token"), message);
    }
    if !written.expires.is_empty() {
        let message = "is refused by kubeadm, which gives every token a ttl and takes only one of the two: write ttl";
        report.error(format!("{path}.expires"), message);
    }
    let usages = or_default(&written.usages, &USAGES);
    for (index, usage) in usages.iter().enumerate().filter(|(_, usage)| !USAGES.contains(&usage.as_str())) {
        report.error(format!("{path}.usages[{index}]"), words::unknown("usage", usage, USAGES));
    }
    let groups = or_default(&written.groups, &[DEFAULT_GROUP]);
    if !usages.iter().any(|usage| usage == "authentication") {
        let message = "has no \"authentication\", which the token's groups need (kubeadm always gives it one): add it";
        report.error(format!("{path}.usages"), message);
    }
    for (index, group) in groups.iter().enumerate().filter(|(_, group)| !is_group(group)) {
        let message = format!(
            "{group:?} is not a group for bootstrap tokens: write {GROUP_PREFIX} and small letters, digits, \":\" or \"-\""
        );
        report.error(format!("{path}.groups[{index}]"), message);
    }
    let end = end(written.ttl, path, report)?;
    Some(BootstrapToken { token: token.flatten(), end, usages, groups, description: written.description.clone() })
}

fn end(ttl: Option<GoDuration>, path: &str, report: &mut Report) -> Option<TokenEnd> {
    let Some(ttl) = ttl.unwrap_or(GoDuration::from_secs(DAY)).to_std() else {
        report.error(format!("{path}.ttl"), "is negative: write how long the token lives, 24h, or 0s for ever");
        return None;
    };
    Some(if ttl.is_zero() { TokenEnd::Never } else { TokenEnd::After(ttl) })
}

fn or_default(written: &[String], default: &[&str]) -> Vec<String> {
    if written.is_empty() { default.iter().map(|text| (*text).to_owned()).collect() } else { written.to_vec() }
}

fn parse(text: &str) -> Option<Token> {
    let plain =
        |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let (id, secret) = text.split_once('.')?;
    (plain(id, 6) && plain(secret, 16)).then(|| Token { id: id.to_owned(), secret: secret.to_owned() })
}

/// `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`
fn is_group(group: &str) -> bool {
    let Some(name) = group.strip_prefix(GROUP_PREFIX) else { return false };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=256).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b':' || b == b'-')
        && name.bytes().last().is_some_and(plain)
}
