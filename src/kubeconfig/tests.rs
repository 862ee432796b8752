use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::KeyAlgorithm;
use crate::facts::Owner;
use crate::resource::{CaRef, Effect, Id, Profile};

const NOW: i64 = 1_800_000_000;

fn spec() -> KubeconfigSpec {
    let mut profile = Profile::ca("kubernetes-admin", KeyAlgorithm::EcdsaP256, Duration::from_secs(86_400));
    profile.dns_names.clear();
    profile.client = true;
    KubeconfigSpec {
        path: "/etc/kubernetes/admin.conf".into(),
        cluster: "kubernetes".into(),
        server: "https://10.0.0.10:6443".into(),
        user: "kubernetes-admin".into(),
        profile,
        issuer: CaRef { id: Id::certificate("ca"), certificate: "/pki/ca.crt".into(), key: "/pki/ca.key".into() },
        rotated: None,
        mode: 0o600,
        owner: Owner::default(),
        effect: Effect::None,
    }
}

/// A CA and a kubeconfig of it.
fn made() -> (String, String) {
    let key = pki::generate_key(KeyAlgorithm::EcdsaP256).unwrap();
    let ca = Profile::ca("kubernetes", KeyAlgorithm::EcdsaP256, Duration::from_secs(864_000));
    let ca = pki::issue(&ca, &key, None, NOW).unwrap();
    let spec = spec();
    let leaf = pki::issue(&spec.profile, &key, Some((&ca, &key)), NOW).unwrap();
    let text = render(&spec, &ca, Credential::Embedded { certificate: &leaf, key: &key.to_pem().unwrap() }).to_string();
    (ca, text)
}

#[test]
fn the_short_way_reads_what_is_written_and_nothing_that_only_looks_like_it() {
    let (ca, text) = made();
    assert!(rendered(text.as_bytes()).is_some(), "what is written does not go the short way:\n{text}");
    let spelt_otherwise = text.replace("apiVersion: v1\n", "apiVersion: \"v1\"\n");
    assert!(rendered(spelt_otherwise.as_bytes()).is_none());
    let facts = |text: &str| format!("{:?}", inspect(text.as_bytes(), Some(ca.as_bytes())).unwrap());
    assert_eq!(facts(&text), facts(&spelt_otherwise), "the two ways differ");
    for (from, to) in [
        ("server: https", "server: # https"),
        ("    user: kubernetes-admin", "    user: yes"),
        ("    user: kubernetes-admin", "    user: &a kubernetes-admin"),
        ("kind: Config\n", "kind: Config\nkind: Config\n"),
        ("client-key-data: ", "client-key-data: |"),
    ] {
        let other = text.replacen(from, to, 1);
        assert!(other != text && rendered(other.as_bytes()).is_none(), "{to} goes the short way");
    }
    assert!(rendered(format!("{text}extensions: []\n").as_bytes()).is_none());
}

#[test]
fn what_is_written_is_read_as_wanted() {
    let (ca, text) = made();
    let seen = inspect(text.as_bytes(), Some(ca.as_bytes())).unwrap();
    assert_eq!((seen.cluster.as_str(), seen.server.as_str()), ("kubernetes", "https://10.0.0.10:6443"));
    assert_eq!((seen.user.as_str(), seen.context.as_str()), ("kubernetes-admin", "kubernetes-admin@kubernetes"));
    assert_eq!(seen.ca_is_issuer, Some(true));
    let CredentialSeen::Embedded { certificate: Ok(certificate), pair: true } = seen.credential else { panic!() };
    assert_eq!(certificate.signed_by_issuer, Some(true));
    let (other, _) = made();
    assert_eq!(inspect(text.as_bytes(), Some(other.as_bytes())).unwrap().ca_is_issuer, Some(false));
}

#[test]
fn its_lines_stand_in_client_gos_order() {
    let (_, text) = made();
    let keys: Vec<_> =
        text.lines().map(|line| line.trim_start_matches(['-', ' ']).split(':').next().unwrap()).collect();
    assert_eq!(
        keys.join(" "),
        "apiVersion clusters cluster certificate-authority-data server name contexts context cluster user name \
         current-context kind users name user client-certificate-data client-key-data"
    );
}

#[test]
fn what_the_user_added_does_not_hide_the_rest() {
    let (_, text) = made();
    let text =
        text.replace("contexts:\n", "contexts:\n- name: other\n  context: {cluster: c, user: u, namespace: n}\n");
    let text = text.replace("kind: Config\n", "kind: Config\npreferences: {}\nextensions: []\n");
    assert_eq!(inspect(text.as_bytes(), None).unwrap().user, "kubernetes-admin");
}

#[test]
fn rotated_and_foreign_credentials_are_told_apart() {
    let (_, text) = made();
    let start = text.find("    client-certificate-data").unwrap();
    let with = |user: &str| inspect(format!("{}{user}", &text[..start]).as_bytes(), None).unwrap().credential;
    let files = with("    client-certificate: /k/current.pem\n    client-key: /k/current.pem\n");
    assert!(
        matches!(files, CredentialSeen::Files { certificate, key, .. } if certificate == key && key == "/k/current.pem")
    );
    assert!(matches!(with("    token: hush\n"), CredentialSeen::Other(name) if name == "token"));
    assert!(matches!(with("    client-key-data: aHVzaA==\n"), CredentialSeen::Other(_)));
}

#[test]
fn an_error_never_repeats_what_it_read() {
    for broken in
        ["client-key-data: [hush", "hush", "kind: hush\n", "users: hush\n", "- hush\n", "kind: Config\nusers: []\n"]
    {
        let error = inspect(broken.as_bytes(), None).unwrap_err();
        assert!(!error.contains("hush"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_kubeconfig_makes_a_panic(place in any::<prop::sample::Index>(), bytes in any::<[u8; 3]>()) {
        static MADE: std::sync::LazyLock<(String, String)> = std::sync::LazyLock::new(made);
        let mut damaged = MADE.1.clone().into_bytes();
        let place = place.index(damaged.len() - 3);
        damaged[place..place + 3].copy_from_slice(&bytes);
        let _ = inspect(&damaged, Some(MADE.0.as_bytes()));
    }
}
