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

const YEAR: i64 = 365 * 86_400;

/// A kubeconfig with a certificate for a year in it.
fn embedded(server: &str, common_name: &str) -> KubeconfigSeen {
    let certificate = CertificateFacts {
        common_name: common_name.into(),
        organizations: Vec::new(),
        dns_names: [].into(),
        ip_addresses: [].into(),
        server: false,
        client: true,
        is_ca: false,
        algorithm: None,
        serial: "01".into(),
        issuer: "kubernetes".into(),
        not_before: 0,
        not_after: YEAR,
        signed_by_issuer: Some(true),
    };
    let facts = KubeconfigFacts {
        cluster: "kubernetes".into(),
        server: server.into(),
        user: "system:node:cp1".into(),
        context: "system:node:cp1@kubernetes".into(),
        ca_is_issuer: Some(true),
        credential: CredentialSeen::Embedded { certificate: Ok(Box::new(certificate)), pair: true },
    };
    KubeconfigSeen { content: Ok(facts), mode: Mode { mode: 0o600, owner: Owner::default() } }
}

fn without_key(spec: &KubeconfigSpec, seen: &KubeconfigSeen, now: i64) -> Verdict {
    judge(spec, Some(seen), &IssuerState::CertificateOnly, now)
}

#[test]
fn without_the_cas_key_a_good_certificate_is_kept_and_all_else_is_put_right() {
    let rotating = KubeconfigSpec { rotated: Some(Rotated { path: PEM.into(), required: true }), ..spec() };
    let fields = |verdict: &Verdict| match verdict {
        Verdict::Update(found) => found.iter().map(|one| one.field.clone()).collect(),
        _ => Vec::new(),
    };
    let here = embedded("https://cp:6443", "system:node:cp1");
    assert_eq!(without_key(&spec(), &here, YEAR - 1), Verdict::Same);
    assert_eq!(fields(&without_key(&rotating, &here, 0)), ["credential"]);
    let elsewhere = without_key(&spec(), &embedded("https://old:6443", "system:node:cp1"), 0);
    assert_eq!(fields(&elsewhere), ["server"]);
    assert!(keeps_certificate(&elsewhere));
    for spec in [spec(), rotating] {
        let other = without_key(&spec, &embedded("https://old:6443", "system:node:cp2"), 0);
        assert!(matches!(other, Verdict::Refuse(_)), "{other:?}");
        assert!(matches!(without_key(&spec, &here, YEAR), Verdict::Refuse(_)), "it has ended");
    }
}

#[test]
fn the_kubelet_has_its_time_to_renew_its_certificate_before_a_person_is_asked() {
    let seen = embedded("https://cp:6443", "system:node:cp1");
    let told = |required, now| {
        let spec = KubeconfigSpec { rotated: Some(Rotated { path: PEM.into(), required }), ..spec() };
        by_hand(&spec, &seen, &IssuerState::CertificateOnly, now)
    };
    assert!(told(true, YEAR - YEAR / 10).unwrap().contains("CertificateSigningRequest"));
    assert_eq!(told(true, YEAR - YEAR / 10 - 1), None);
    assert!(!told(false, YEAR - 86_400 / 3).unwrap().contains("CertificateSigningRequest"));
}

#[test]
fn without_the_cas_key_it_says_what_a_person_must_write() {
    let Verdict::Refuse(why) = judge(&spec(), None, &IssuerState::CertificateOnly, 0) else { panic!() };
    for part in ["kubelet.conf", "/pki/ca.key", "https://cp:6443", "CN=system:node:cp1"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(judge(&spec(), None, &IssuerState::Absent, 0), Verdict::Create);
}
