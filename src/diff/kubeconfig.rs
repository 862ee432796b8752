//! Kubeconfigs. What a client makes of one counts, not its bytes: another context, a namespace or a comment that a person
//! added stays until something that is wanted has to be written.

use std::time::Duration;

use super::certificate::{self, IssuerState, cannot_sign, date, may_stay, request};
use super::mode::{self, Repair};
use crate::cluster::RenewBefore;
use crate::observed::{CertificateFacts, CredentialSeen, KubeconfigFacts, KubeconfigSeen};
use crate::resource::{KubeconfigSpec, Profile, Rotated};
use crate::verdict::{Difference, Verdict};

/// Judges a kubeconfig. `seen` is `None` where the file is not there; `now` is in seconds since 1970.
#[must_use]
pub fn judge(spec: &KubeconfigSpec, seen: Option<&KubeconfigSeen>, issuer: &IssuerState, now: i64) -> Verdict {
    let found = seen.map_or_else(Vec::new, |seen| differences(spec, seen, now));
    let modes = seen.map_or_else(Vec::new, |seen| mode::differences(mode_repairs(spec, seen).into_iter().collect()));
    let kept = if modes.is_empty() { Verdict::Same } else { Verdict::Update(modes.clone()) };
    if seen.is_some() && found.is_empty() {
        return kept;
    }
    if let Some(reason) = cannot_sign(issuer, &spec.issuer) {
        if let Some(moved) = seen.and_then(|seen| without_signing(spec, seen, &found, now)) {
            return if moved.is_empty() { kept } else { Verdict::Update(moved.into_iter().chain(modes).collect()) };
        }
        let wrong: Vec<_> = found.iter().map(|difference| difference.field.as_str()).collect();
        let why = if wrong.is_empty() { "missing".into() } else { format!("not as wanted ({})", wrong.join(", ")) };
        return Verdict::Refuse(format!("{} is {why}, and {reason}; {}", spec.path, errand(spec)));
    }
    if seen.is_none() { Verdict::Create } else { Verdict::Update(found.into_iter().chain(modes).collect()) }
}

/// What a person has to do before the certificate of a kubeconfig ends that planekeeper cannot renew; `None` where there is nothing to do,
/// or where it is too late and the kubeconfig is refused.
#[must_use]
pub fn by_hand(spec: &KubeconfigSpec, seen: &KubeconfigSeen, issuer: &IssuerState, now: i64) -> Option<String> {
    let reason = cannot_sign(issuer, &spec.issuer)?;
    let facts = client(seen)?;
    without_signing(spec, seen, &differences(spec, seen, now), now)?;
    let request = if required(spec).is_some() {
        "approve and sign the CertificateSigningRequest of the kubelet, or "
    } else {
        ""
    };
    (now >= renews_at(spec, facts)).then(|| {
        let end = date(facts.not_after);
        format!("the certificate of {} ends on {end}, and {reason}; {request}{}", spec.path, errand(spec))
    })
}

/// When a client certificate is due to be made anew, in seconds since 1970. The kubelet sees to its own when seven to nine tenths of its life
/// are over: only after that has it failed to.
#[must_use]
pub fn renews_at(spec: &KubeconfigSpec, facts: &CertificateFacts) -> i64 {
    match required(spec) {
        Some(_) => facts.not_after.saturating_sub(facts.not_after.saturating_sub(facts.not_before) / 10),
        None => certificate::renews_at(&spec.profile, facts),
    }
}

/// The client certificate of a kubeconfig, where it can be read.
#[must_use]
pub fn client(seen: &KubeconfigSeen) -> Option<&CertificateFacts> {
    match &seen.content.as_ref().ok()?.credential {
        CredentialSeen::Embedded { certificate, .. } => certificate.as_deref().ok(),
        CredentialSeen::Files { content, .. } => content.as_ref()?.as_deref().ok(),
        CredentialSeen::Other(_) => None,
    }
}

/// What is to be written, with what to sign for it.
fn errand(spec: &KubeconfigSpec) -> String {
    format!(
        "write it for cluster {}, server {}, user {}, with a client certificate signed by the CA {} with {}",
        spec.cluster,
        spec.server,
        spec.user,
        spec.issuer.certificate,
        request(&spec.profile),
    )
}

/// What can be put right where nobody can sign, since the client certificate is good: where the kubeconfig leads, and in which file the
/// certificate is. `None` where something is wrong that takes another certificate.
fn without_signing(
    spec: &KubeconfigSpec,
    seen: &KubeconfigSeen,
    found: &[Difference],
    now: i64,
) -> Option<Vec<Difference>> {
    let to_move = required(spec).map(to_move);
    let (mended, mut rest): (Vec<_>, Vec<_>) =
        found.iter().cloned().partition(|one| is_place(one) || Some(one) == to_move.as_ref());
    // What is only to be moved has not been judged yet.
    if let (
        Some(_),
        Ok(KubeconfigFacts { credential: CredentialSeen::Embedded { certificate: Ok(facts), pair }, .. }),
    ) = (to_move, &seen.content)
    {
        rest.extend(embedded_differences(spec, facts, *pair, now));
    }
    may_stay(&rest, client(seen), now).then_some(mended)
}

/// A difference in where a kubeconfig leads, and not in who comes.
fn is_place(difference: &Difference) -> bool {
    ["server", "cluster", "user", "current-context", "certificate-authority"].contains(&difference.field.as_str())
}

/// The client certificate in a kubeconfig stays as it is: the update is about nothing but where that leads.
#[must_use]
pub fn keeps_certificate(verdict: &Verdict) -> bool {
    let Verdict::Update(differences) = verdict else { return false };
    let mut others = differences.iter().filter(|one| !is_place(one)).cloned();
    others.all(|one| mode::only_modes(&[one]))
}

/// The file in which the kubelet renews its certificate, where the kubeconfig has to name it.
fn required(spec: &KubeconfigSpec) -> Option<&Rotated> {
    spec.rotated.as_ref().filter(|rotated| rotated.required)
}

/// The certificate is in the kubeconfig and not where the kubelet renews it. Once it has ended there, the kubelet would not start, whatever
/// it has renewed meanwhile.
fn to_move(rotated: &Rotated) -> Difference {
    Difference::new("credential", "in this file", format!("in {}", rotated.path))
}

/// The mode and owner to set, if they differ.
#[must_use]
pub fn mode_repairs(spec: &KubeconfigSpec, seen: &KubeconfigSeen) -> Option<Repair> {
    mode::exact(&spec.path, seen.mode, spec.mode, spec.owner)
}

/// Where two wishes differ, in the fields that [`judge`] names.
#[must_use]
pub fn between(before: &KubeconfigSpec, after: &KubeconfigSpec) -> Vec<Difference> {
    let mut found = super::certificate::between(&before.profile, &after.profile);
    for (field, before, after) in [
        ("server", &before.server, &after.server),
        ("cluster", &before.cluster, &after.cluster),
        ("user", &before.user, &after.user),
    ] {
        if before != after {
            found.push(Difference::new(field, before.as_str(), after.as_str()));
        }
    }
    if (&before.user, &before.cluster) != (&after.user, &after.cluster) {
        let context = |spec: &KubeconfigSpec| format!("{}@{}", spec.user, spec.cluster);
        found.push(Difference::new("current-context", context(before), context(after)));
    }
    found
}

/// How the content differs from what is wanted.
fn differences(spec: &KubeconfigSpec, seen: &KubeconfigSeen, now: i64) -> Vec<Difference> {
    let facts = match &seen.content {
        Ok(facts) => facts,
        Err(reason) => return vec![Difference::new("content", reason.as_str(), "a kubeconfig")],
    };
    let mut found = Vec::new();
    let mut compare = |field: &str, before: &str, after: &str| {
        if before != after {
            found.push(Difference::new(field, before, after));
        }
    };
    compare("server", &facts.server, &spec.server);
    // A kubelet that joined names its cluster, user and context itself.
    if !is_rotated(spec, facts) {
        compare("cluster", &facts.cluster, &spec.cluster);
        compare("user", &facts.user, &spec.user);
        compare("current-context", &facts.context, &format!("{}@{}", spec.user, spec.cluster));
    }
    if facts.ca_is_issuer == Some(false) {
        compare("certificate-authority", "another CA", &spec.issuer.certificate);
    }
    found.extend(credential_differences(spec, facts, now));
    found
}

fn credential_differences(spec: &KubeconfigSpec, facts: &KubeconfigFacts, now: i64) -> Vec<Difference> {
    const WANTED: &str = "a client certificate";
    match &facts.credential {
        CredentialSeen::Files { content, .. } if is_rotated(spec, facts) => {
            rotated_differences(spec, content.as_ref(), now)
        }
        CredentialSeen::Files { certificate, .. } => {
            vec![Difference::new("credential", certificate.as_str(), WANTED)]
        }
        CredentialSeen::Other(name) => vec![Difference::new("credential", name.as_str(), WANTED)],
        CredentialSeen::Embedded { certificate: Err(reason), .. } => {
            vec![Difference::new("credential", format!("an unreadable certificate: {reason}"), WANTED)]
        }
        CredentialSeen::Embedded { certificate: Ok(certificate), pair } => match required(spec) {
            Some(rotated) => vec![to_move(rotated)],
            None => embedded_differences(spec, certificate, *pair, now),
        },
    }
}

fn embedded_differences(spec: &KubeconfigSpec, facts: &CertificateFacts, pair: bool, now: i64) -> Vec<Difference> {
    let mut found = certificate::differences(&spec.profile, &spec.issuer, facts, now);
    if !pair {
        found.push(Difference::new("key", "unreadable, or of another certificate", "a new key"));
    }
    found
}

/// The kubelet renews this certificate by itself, long before its end: only one that is of no use is made anew.
fn rotated_differences(
    spec: &KubeconfigSpec,
    content: Option<&Result<Box<CertificateFacts>, String>>,
    now: i64,
) -> Vec<Difference> {
    match content {
        None => Vec::new(),
        Some(Err(reason)) => vec![Difference::new("credential", reason.as_str(), "a client certificate")],
        Some(Ok(certificate)) => usable(spec, certificate, now),
    }
}

/// What is wrong with a certificate that its user renews by itself, not counting that it nears its end.
#[must_use]
pub fn usable(spec: &KubeconfigSpec, certificate: &CertificateFacts, now: i64) -> Vec<Difference> {
    let profile = Profile { renew_before: Some(RenewBefore::Time(Duration::ZERO)), ..spec.profile.clone() };
    certificate::differences(&profile, &spec.issuer, certificate, now)
}

/// The credential is the one that the kubelet renews by itself.
fn is_rotated(spec: &KubeconfigSpec, facts: &KubeconfigFacts) -> bool {
    matches!(&facts.credential, CredentialSeen::Files { certificate, key, .. }
        if spec.rotated.as_ref().is_some_and(|rotated| rotated.path == *certificate) && certificate == key)
}

#[cfg(test)]
mod tests;
