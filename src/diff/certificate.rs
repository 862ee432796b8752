//! Certificates with their keys.
//!
//! A leaf is kept while it satisfies what is wanted. Neither its lifetime nor its key's algorithm is a reason to make it
//! anew: `certificateValidityPeriod` and `encryptionAlgorithm` are about what is made. A CA is never replaced.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use super::mode::{self, Repair};
use crate::calendar;
use crate::cluster::RenewBefore;
use crate::observed::{CertificateFacts, CertificateSeen, KeySeen};
use crate::resource::{CaRef, CertificateSpec, Id, Issuer, Profile};
use crate::verdict::{Difference, Verdict};

/// The field of a subject alternative name.
const NAME: &str = "SAN";

/// What an issuer can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerState {
    /// Its certificate and key are there and sound: it signs.
    Signs,
    /// Its certificate is there and its key is not: somebody else signs (an external CA).
    CertificateOnly,
    /// It is not there yet. What needs it waits for it.
    Absent,
    /// It is there and cannot be used, for this reason.
    Unusable(String),
}

impl IssuerState {
    /// The state of the CA that was seen; `None` where nothing is there.
    #[must_use]
    pub fn of(seen: Option<&CertificateSeen>, now: i64) -> Self {
        let Some(seen) = seen else { return Self::Absent };
        match (&seen.certificate, seen.key) {
            (None, _) => Self::Absent,
            (Some(_), _) if let Some(reason) = ca_fault(seen, now) => Self::Unusable(reason),
            (Some(_), KeySeen::Absent) => Self::CertificateOnly,
            (Some(_), _) => Self::Signs,
        }
    }
}

/// Judges a certificate. `seen` is `None` where neither file is there; `witness` is a resource that shows that there was
/// a CA before; `now` is in seconds since 1970.
#[must_use]
pub fn judge(
    spec: &CertificateSpec,
    seen: Option<&CertificateSeen>,
    issuer: &IssuerState,
    witness: Option<&Id>,
    now: i64,
) -> Verdict {
    match &spec.issuer {
        Issuer::SelfSigned { .. } => judge_ca(spec, seen, witness, now),
        Issuer::Ca(ca) => judge_leaf(spec, seen, ca, issuer, now),
        Issuer::Own => judge_own(spec, seen, now),
    }
}

/// The modes and owners to set. Those of files that a person may have brought along, a CA's and what a kubelet serves, count only where they are
/// dangerous: a certificate that others may write, a key that others may read.
#[must_use]
pub fn mode_repairs(spec: &CertificateSpec, seen: &CertificateSeen) -> Vec<Repair> {
    let repair = |path: &str, seen, wanted, forbidden| match spec.issuer {
        Issuer::SelfSigned { .. } | Issuer::Own => mode::lenient(path, seen, wanted, forbidden),
        Issuer::Ca(_) => mode::exact(path, seen, wanted, spec.owner),
    };
    let certificate = seen.certificate_mode.and_then(|seen| repair(&spec.certificate, seen, mode::CERTIFICATE, 0o022));
    let key = seen.key_mode.and_then(|seen| repair(&spec.key, seen, mode::KEY, 0o077));
    certificate.into_iter().chain(key).collect()
}

/// When a certificate is due to be made anew, in seconds since 1970. A `renew_before` that a new certificate would
/// already be within does not count: there would be no end of renewing. Nor is it made anew so early that there could be.
#[must_use]
pub fn renews_at(profile: &Profile, facts: &CertificateFacts) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    // A certificate begins somewhat in the past: that is no part of the life that a new one has before it.
    let life = facts.not_after.saturating_sub(facts.not_before).min(seconds(profile.validity));
    let before = match profile.renew_before {
        Some(RenewBefore::Time(before)) if before < profile.validity => seconds(before),
        Some(RenewBefore::Share(hundredths)) => {
            life / 100 * i64::from(hundredths) + life % 100 * i64::from(hundredths) / 100
        }
        Some(RenewBefore::Time(_)) | None => life / 3,
    };
    let most = before.min(life.saturating_sub(before)).max(0) / 10;
    let early = i128::from(most) * i128::from(profile.early) / 1000;
    facts.not_after.saturating_sub(before).saturating_sub(i64::try_from(early).unwrap_or(most))
}

/// How a leaf differs from its profile; empty where it satisfies it.
pub(super) fn differences(profile: &Profile, issuer: &CaRef, facts: &CertificateFacts, now: i64) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field: &str, before: String, after: String| {
        if before != after {
            differences.push(Difference::new(field, before, after));
        }
    };
    compare("subject", subject(&facts.common_name, &facts.organizations), wanted_subject(profile));
    if (profile.server && !facts.server) || (profile.client && !facts.client) {
        compare("usages", usages(facts.server, facts.client), usages(profile.server, profile.client));
    }
    if facts.is_ca {
        compare("CA", "true".into(), "false".into());
    }
    if facts.signed_by_issuer == Some(false) {
        differences.push(Difference::new("issuer", format!("CN={}", facts.issuer), issuer.certificate.as_str()));
    }
    differences.extend(set_differences(&facts.dns_names, &profile.dns_names));
    differences.extend(set_differences(&facts.ip_addresses, &profile.ip_addresses));
    differences.extend(age(profile, facts, now));
    differences
}

/// Where two profiles differ, in the fields that [`judge`] names.
#[must_use]
pub fn between(before: &Profile, after: &Profile) -> Vec<Difference> {
    let mut differences = Vec::new();
    let subjects = (wanted_subject(before), wanted_subject(after));
    if subjects.0 != subjects.1 {
        differences.push(Difference::new("subject", subjects.0, subjects.1));
    }
    differences.extend(set_differences(&before.dns_names, &after.dns_names));
    differences.extend(set_differences(&before.ip_addresses, &after.ip_addresses));
    differences
}

/// A date for people and machines, RFC 3339 in UTC.
#[must_use]
pub fn date(seconds: i64) -> String {
    calendar::rfc3339(seconds).unwrap_or_else(|| format!("@{seconds}"))
}

/// What a person has to have signed, where planekeeper cannot.
pub(super) fn request(profile: &Profile) -> String {
    let sans: Vec<_> = (profile.dns_names.iter().map(|name| format!("DNS:{name}")))
        .chain(profile.ip_addresses.iter().map(|ip| format!("IP:{ip}")))
        .collect();
    let sans = if sans.is_empty() { String::new() } else { format!(", SAN {}", sans.join(" ")) };
    format!("subject {}{sans}, usages {}", wanted_subject(profile), usages(profile.server, profile.client))
}

/// Why an issuer cannot sign; `None` where it can, now or as soon as it is there.
pub(super) fn cannot_sign(state: &IssuerState, issuer: &CaRef) -> Option<String> {
    match state {
        IssuerState::Signs | IssuerState::Absent => None,
        IssuerState::CertificateOnly => Some(format!("{} is not there to sign with", issuer.key)),
        IssuerState::Unusable(reason) => Some(format!("the CA {} cannot sign: {reason}", issuer.certificate)),
    }
}

/// Nothing but its age speaks against the certificate, and it has not ended: it may stay where nobody can sign. So may one with more
/// names than are wanted, which its owner had signed on purpose.
pub(super) fn may_stay(differences: &[Difference], facts: Option<&CertificateFacts>, now: i64) -> bool {
    let harmless = |one: &Difference| one.age || (one.field == NAME && one.after.is_none());
    differences.iter().all(harmless) && facts.is_some_and(|facts| now < facts.not_after)
}

/// What a person has to do before a certificate ends that planekeeper cannot renew; `None` where there is nothing to do, or where it is
/// too late and the certificate is refused.
#[must_use]
pub fn by_hand(spec: &CertificateSpec, seen: &CertificateSeen, issuer: &IssuerState, now: i64) -> Option<String> {
    let Issuer::Ca(ca) = &spec.issuer else { return None };
    let reason = cannot_sign(issuer, ca)?;
    let facts = seen.certificate.as_ref()?.as_ref().ok()?;
    let due = now >= renews_at(&spec.profile, facts)
        && may_stay(&leaf_differences(spec, seen, Some(ca), now), Some(facts), now);
    due.then(|| format!("{} ends on {}, and {reason}; {}", spec.certificate, date(facts.not_after), errand(spec, ca)))
}

/// What is to be signed, and where it belongs.
fn errand(spec: &CertificateSpec, ca: &CaRef) -> String {
    format!(
        "have a certificate signed by the CA {} with {}, and put it there with its key as {}",
        ca.certificate,
        request(&spec.profile),
        spec.key
    )
}

fn judge_leaf(
    spec: &CertificateSpec,
    seen: Option<&CertificateSeen>,
    ca: &CaRef,
    issuer: &IssuerState,
    now: i64,
) -> Verdict {
    let facts = seen.and_then(|seen| seen.certificate.as_ref()).and_then(|read| read.as_ref().ok());
    let found = seen.map_or_else(Vec::new, |seen| leaf_differences(spec, seen, Some(ca), now));
    let modes = seen.map_or_else(Vec::new, |seen| mode::differences(mode_repairs(spec, seen)));
    if seen.is_some() && found.is_empty() {
        return if modes.is_empty() { Verdict::Same } else { Verdict::Update(modes) };
    }
    if let Some(reason) = cannot_sign(issuer, ca) {
        if seen.is_some() && may_stay(&found, facts, now) {
            return if modes.is_empty() { Verdict::Same } else { Verdict::Update(modes) };
        }
        let fields: BTreeSet<_> = found.iter().map(|difference| difference.field.as_str()).collect();
        let why = if fields.is_empty() {
            "missing".to_owned()
        } else {
            format!("not as wanted ({})", fields.into_iter().collect::<Vec<_>>().join(", "))
        };
        return Verdict::Refuse(format!("{} is {why}, and {reason}; {}", spec.certificate, errand(spec, ca)));
    }
    if seen.is_none() { Verdict::Create } else { Verdict::Update(found.into_iter().chain(modes).collect()) }
}

fn judge_own(spec: &CertificateSpec, seen: Option<&CertificateSeen>, now: i64) -> Verdict {
    let Some(seen) = seen else { return Verdict::Create };
    let mut found = leaf_differences(spec, seen, None, now);
    found.extend(mode::differences(mode_repairs(spec, seen)));
    if found.is_empty() { Verdict::Same } else { Verdict::Update(found) }
}

/// It is of no CA but its own: planekeeper's, or one that a kubelet made for itself, whose CA it threw away. Another is somebody's own.
fn signs_itself(facts: &CertificateFacts) -> bool {
    let of_a_kubelet = facts.common_name.replacen('@', "-ca@", 1) == facts.issuer && facts.common_name.contains('@');
    of_a_kubelet || facts.issuer == facts.common_name
}

/// How a leaf's two files differ from what is wanted, but for modes and owners. Of one that signs itself only its age counts.
fn leaf_differences(spec: &CertificateSpec, seen: &CertificateSeen, ca: Option<&CaRef>, now: i64) -> Vec<Difference> {
    let mut found = match &seen.certificate {
        None => vec![Difference::added("certificate", wanted_subject(&spec.profile))],
        Some(Err(reason)) => {
            vec![Difference::new("certificate", format!("unreadable: {reason}"), wanted_subject(&spec.profile))]
        }
        Some(Ok(facts)) => match ca {
            Some(ca) => differences(&spec.profile, ca, facts, now),
            None if signs_itself(facts) => age(&spec.profile, facts, now).into_iter().collect(),
            None => Vec::new(),
        },
    };
    let readable = matches!(seen.certificate, Some(Ok(_)));
    match seen.key {
        KeySeen::Absent => found.push(Difference::added("key", "a new key")),
        KeySeen::Unreadable => found.push(Difference::new("key", "unreadable", "a new key")),
        KeySeen::Present(_) if readable && !seen.pair => {
            found.push(Difference::new("key", "of another certificate", "a new key"));
        }
        KeySeen::Present(_) => {}
    }
    found
}

fn judge_ca(spec: &CertificateSpec, seen: Option<&CertificateSeen>, witness: Option<&Id>, now: i64) -> Verdict {
    let (certificate, key) = (&spec.certificate, &spec.key);
    let Some(seen) = seen else {
        return witness.map_or(Verdict::Create, |witness| {
            Verdict::Refuse(format!(
                "{certificate} and {key} are gone, but {witness} shows that there was a CA: a new one would lock out \
                 everything that trusts the old one; restore both from a backup or from another control plane node"
            ))
        });
    };
    if let Some(reason) = ca_fault(seen, now) {
        return Verdict::Refuse(format!(
            "{certificate}: {reason}; a CA is never replaced: restore {certificate} and {key} from a backup, or renew \
             the CA by hand and distribute it before it is used"
        ));
    }
    match (&seen.certificate, seen.key) {
        // A run that was cut off between the two: nothing is signed by it yet.
        (None, KeySeen::Present(_)) if witness.is_none() => Verdict::Create,
        (None, KeySeen::Present(_)) => Verdict::Refuse(format!(
            "{certificate} is missing, and what it said is not known from {key}: restore it from a backup, or from the \
             certificate-authority-data of /etc/kubernetes/admin.conf"
        )),
        (None, _) => Verdict::Refuse(format!(
            "{key} holds no usable private key and {certificate} is missing; restore both from a backup, or move {key} \
             away if there never was a cluster"
        )),
        (Some(_), _) => match mode::differences(mode_repairs(spec, seen)) {
            modes if modes.is_empty() => Verdict::Same,
            modes => Verdict::Update(modes),
        },
    }
}

/// What a person has to do about a CA in the last tenth of its life.
pub(super) fn ca_ends(seen: &CertificateSeen, now: i64) -> Option<String> {
    let facts = seen.certificate.as_ref()?.as_ref().ok()?;
    let (life, left) = (facts.not_after - facts.not_before, facts.not_after - now);
    (left > 0 && left < life / 10).then(|| {
        format!(
            "this CA ends on {}, and all that it has signed with it: make another by hand, and have everybody trust both before it is used",
            date(facts.not_after)
        )
    })
}

/// What is wrong with a CA whose certificate is there.
fn ca_fault(seen: &CertificateSeen, now: i64) -> Option<String> {
    let facts = match seen.certificate.as_ref()? {
        Ok(facts) => facts,
        Err(reason) => return Some(format!("it cannot be read: {reason}")),
    };
    if !facts.is_ca {
        return Some("it is not the certificate of a CA that may sign others".into());
    }
    if now >= facts.not_after {
        return Some(format!("it expired on {}", date(facts.not_after)));
    }
    if now < facts.not_before {
        return Some(format!("it begins only on {}; is the clock right?", date(facts.not_before)));
    }
    match seen.key {
        KeySeen::Unreadable => Some("its key file holds no usable private key".into()),
        KeySeen::Present(_) if !seen.pair => Some("its key belongs to another certificate".into()),
        KeySeen::Absent | KeySeen::Present(_) => None,
    }
}

/// Names that are missing, and names that are no longer wanted: a name taken out of the configuration must lose its
/// effect.
fn set_differences<T: Ord + Display>(seen: &BTreeSet<T>, wanted: &BTreeSet<T>) -> Vec<Difference> {
    let added = wanted.difference(seen).map(|name| Difference::added(NAME, name.to_string()));
    added.chain(seen.difference(wanted).map(|name| Difference::removed(NAME, name.to_string()))).collect()
}

/// The certificate nears its end, has ended or has not begun.
fn age(profile: &Profile, facts: &CertificateFacts, now: i64) -> Option<Difference> {
    let seconds = i64::try_from(profile.validity.as_secs()).unwrap_or(i64::MAX);
    let (field, before, after) = if now < facts.not_before {
        ("begins", facts.not_before, now)
    } else if now >= renews_at(profile, facts) {
        ("expires", facts.not_after, now.saturating_add(seconds))
    } else {
        return None;
    };
    Some(Difference { age: true, ..Difference::new(field, date(before), date(after)) })
}

/// A subject as openssl writes it, O first.
fn subject(common_name: &str, organizations: &[String]) -> String {
    let mut parts: Vec<_> = organizations.iter().map(|organization| format!("O={organization}")).collect();
    parts.push(format!("CN={common_name}"));
    parts.join(", ")
}

fn wanted_subject(profile: &Profile) -> String {
    subject(&profile.common_name, profile.organization.as_slice())
}

fn usages(server: bool, client: bool) -> String {
    let names: Vec<_> = [(server, "serverAuth"), (client, "clientAuth")]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
