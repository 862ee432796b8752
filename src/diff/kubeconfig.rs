//! Kubeconfigs. What a client makes of one counts, not its bytes: another context, a namespace or a comment that a person
//! added stays until something that is wanted has to be written.

use std::time::Duration;

use super::certificate::{IssuerState, cannot_sign, differences as certificate_differences, may_stay, request};
use super::mode::{self, Repair};
use crate::cluster::RenewBefore;
use crate::observed::{CertificateFacts, CredentialSeen, KubeconfigFacts, KubeconfigSeen};
use crate::resource::{KubeconfigSpec, Profile};
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
        if seen.is_some() && may_stay(&found, seen.and_then(embedded), now) {
            return kept;
        }
        let wrong: Vec<_> = found.iter().map(|difference| difference.field.as_str()).collect();
        let why = if wrong.is_empty() { "missing".into() } else { format!("not as wanted ({})", wrong.join(", ")) };
        return Verdict::Refuse(format!(
            "{} is {why}, and {reason}; write it for cluster {}, server {}, user {}, with a client certificate signed by \
             the CA {} with {}",
            spec.path,
            spec.cluster,
            spec.server,
            spec.user,
            spec.issuer.certificate,
            request(&spec.profile),
        ));
    }
    if seen.is_none() { Verdict::Create } else { Verdict::Update(found.into_iter().chain(modes).collect()) }
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
        CredentialSeen::Embedded { certificate: Ok(certificate), pair } => {
            if let Some(rotated) = spec.rotated.as_ref().filter(|rotated| rotated.required) {
                return vec![Difference::new("credential", "in this file", format!("in {}", rotated.path))];
            }
            let mut found = certificate_differences(&spec.profile, &spec.issuer, certificate, now);
            if !pair {
                found.push(Difference::new("key", "unreadable, or of another certificate", "a new key"));
            }
            found
        }
    }
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
    certificate_differences(&profile, &spec.issuer, certificate, now)
}

/// The credential is the one that the kubelet renews by itself.
fn is_rotated(spec: &KubeconfigSpec, facts: &KubeconfigFacts) -> bool {
    matches!(&facts.credential, CredentialSeen::Files { certificate, key, .. }
        if spec.rotated.as_ref().is_some_and(|rotated| rotated.path == *certificate) && certificate == key)
}

/// The embedded certificate, where it can be read.
fn embedded(seen: &KubeconfigSeen) -> Option<&CertificateFacts> {
    match &seen.content.as_ref().ok()?.credential {
        CredentialSeen::Embedded { certificate, .. } => certificate.as_deref().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::KeyAlgorithm;
    use crate::facts::Owner;
    use crate::observed::Mode;
    use crate::resource::Rotated;
    use crate::resource::{CaRef, Effect, Id, Profile};

    const PEM: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

    fn spec() -> KubeconfigSpec {
        let mut profile = Profile::ca("system:node:cp1", KeyAlgorithm::EcdsaP256, Duration::from_secs(86_400));
        profile.dns_names.clear();
        KubeconfigSpec {
            path: "/etc/kubernetes/kubelet.conf".into(),
            cluster: "kubernetes".into(),
            server: "https://cp:6443".into(),
            user: "system:node:cp1".into(),
            profile,
            issuer: CaRef { id: Id::certificate("ca"), certificate: "/pki/ca.crt".into(), key: "/pki/ca.key".into() },
            rotated: Some(Rotated { path: PEM.into(), required: false }),
            mode: 0o600,
            owner: Owner::default(),
            effect: Effect::None,
        }
    }

    fn rotated(server: &str, user: &str, path: &str, mode: u32) -> Verdict {
        let facts = KubeconfigFacts {
            cluster: "kubernetes".into(),
            server: server.into(),
            user: user.into(),
            context: format!("{user}@kubernetes"),
            ca_is_issuer: Some(true),
            credential: CredentialSeen::Files { certificate: path.into(), key: path.into(), content: None },
        };
        let seen = KubeconfigSeen { content: Ok(facts), mode: Mode { mode, owner: Owner::default() } };
        judge(&spec(), Some(&seen), &IssuerState::Signs, 0)
    }

    #[test]
    fn the_kubelets_own_client_certificate_is_left_alone() {
        assert_eq!(rotated("https://cp:6443", "system:node:cp1", PEM, 0o600), Verdict::Same);
        assert_eq!(rotated("https://cp:6443", "default-auth", PEM, 0o600), Verdict::Same);
        let Verdict::Update(found) = rotated("https://cp:6443", "system:node:cp1", "/tmp/x", 0o600) else { panic!() };
        assert_eq!(found, [Difference::new("credential", "/tmp/x", "a client certificate")]);
    }

    #[test]
    fn a_changed_endpoint_shows_both_urls() {
        let Verdict::Update(found) = rotated("https://old:6443", "system:node:cp1", PEM, 0o600) else { panic!() };
        assert_eq!(found, [Difference::new("server", "https://old:6443", "https://cp:6443")]);
    }

    #[test]
    fn a_loosened_mode_makes_no_new_credential() {
        let Verdict::Update(found) = rotated("https://cp:6443", "system:node:cp1", PEM, 0o644) else { panic!() };
        assert!(mode::only_modes(&found));
    }

    #[test]
    fn without_the_cas_key_it_says_what_a_person_must_write() {
        let Verdict::Refuse(why) = judge(&spec(), None, &IssuerState::CertificateOnly, 0) else { panic!() };
        for part in ["kubelet.conf", "/pki/ca.key", "https://cp:6443", "CN=system:node:cp1"] {
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(judge(&spec(), None, &IssuerState::Absent, 0), Verdict::Create);
    }
}
