//! What users rely on, checked with openssl where it is the better judge: it is a declared need of this test suite.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::KeyAlgorithm;
use crate::resource::Profile;

const NOW: i64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);

fn ca(key: &PrivateKey, now: i64) -> String {
    issue(&Profile::ca("kubernetes", KeyAlgorithm::EcdsaP256, 3650 * DAY), key, None, now).unwrap()
}

fn server() -> Profile {
    Profile {
        common_name: "kube-apiserver".into(),
        organization: Some("kubeadm:cluster-admins".into()),
        dns_names: ["kubernetes".into(), "cp1".into()].into(),
        ip_addresses: ["10.96.0.1".parse().unwrap(), "fd00::1".parse().unwrap()].into(),
        server: true,
        client: true,
        algorithm: KeyAlgorithm::EcdsaP256,
        validity: 365 * DAY,
        renew_before: None,
        early: 0,
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output.expect("the tests need openssl in PATH");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Issues a leaf under the CA of the folder (`ca.crt`, `ca.key`) and has openssl judge it.
fn leaf_verifies(folder: &Path, now: i64) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let ca_key = PrivateKey::from_pem(read("ca.key").as_bytes()).unwrap();
    let key = generate_key(KeyAlgorithm::EcdsaP384).unwrap();
    let leaf = issue(&server(), &key, Some((&read("ca.crt"), &ca_key)), now).unwrap();
    std::fs::write(folder.join("leaf.crt"), &leaf).unwrap();
    openssl(folder, &["verify", "-x509_strict", "-CAfile", "ca.crt", "leaf.crt"]);
    assert_eq!(inspect(leaf.as_bytes(), Some(read("ca.crt").as_bytes())).unwrap().signed_by_issuer, Some(true));
    leaf
}

fn system_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs().try_into().unwrap()
}

#[test]
fn openssl_accepts_the_chain_of_every_key_algorithm() {
    for algorithm in KeyAlgorithm::ALL {
        let folder = tempfile::tempdir().unwrap();
        let key = generate_key(algorithm).unwrap();
        let now = system_now();
        std::fs::write(folder.path().join("ca.crt"), ca(&key, now)).unwrap();
        std::fs::write(folder.path().join("ca.key"), key.to_pem().unwrap().as_bytes()).unwrap();
        let leaf = leaf_verifies(folder.path(), now);
        let seen = inspect(ca(&key, now).as_bytes(), None).unwrap();
        assert_eq!((seen.algorithm, key.algorithm()), (Some(algorithm), Some(algorithm)));
        assert!(leaf.starts_with("-----BEGIN CERTIFICATE-----\n") && !leaf.contains('\r'));
    }
}

#[test]
fn a_users_ca_signs_whatever_its_key_format_and_its_name() {
    let keys: [&[&str]; 5] = [
        &["genrsa", "-traditional", "-out", "ca.key", "2048"],
        &["genrsa", "-out", "ca.key", "2048"],
        &["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca.key"],
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "ca.key"],
        &["ecparam", "-name", "secp521r1", "-genkey", "-noout", "-out", "ca.key"],
    ];
    for key in keys {
        let folder = tempfile::tempdir().unwrap();
        openssl(folder.path(), key);
        let subject = "/DC=org/DC=example/OU=A/OU=B/O=Gesellschaft für Schlüssel/CN=Root";
        let request = ["req", "-x509", "-key", "ca.key", "-out", "ca.crt", "-utf8", "-subj", subject];
        openssl(folder.path(), &[&request[..], &["-addext", "keyUsage=critical,keyCertSign,cRLSign"]].concat());
        leaf_verifies(folder.path(), system_now());
    }
}

#[test]
fn a_key_is_written_as_kubeadm_writes_it_and_read_again() {
    for (algorithm, label) in [(KeyAlgorithm::Rsa2048, "RSA PRIVATE KEY"), (KeyAlgorithm::EcdsaP256, "EC PRIVATE KEY")]
    {
        let pem = generate_key(algorithm).unwrap().to_pem().unwrap();
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")));
        let again = PrivateKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(*again.to_pem().unwrap(), *pem);
        assert!(public_keys_contain(again.public_key_pem().unwrap().as_bytes(), &again));
    }
}

#[test]
fn a_certificate_says_what_its_profile_asks_for() {
    let (ca_key, key) = (generate_key(KeyAlgorithm::Rsa2048).unwrap(), generate_key(KeyAlgorithm::EcdsaP256).unwrap());
    let ca = ca(&ca_key, NOW);
    let leaf = issue(&server(), &key, Some((&ca, &ca_key)), NOW).unwrap();
    let seen = inspect(leaf.as_bytes(), Some(ca.as_bytes())).unwrap();
    let want = server();
    assert_eq!((seen.common_name.as_str(), seen.issuer.as_str()), ("kube-apiserver", "kubernetes"));
    assert_eq!(seen.organizations, ["kubeadm:cluster-admins"]);
    assert_eq!((seen.dns_names, seen.ip_addresses), (want.dns_names, want.ip_addresses));
    assert!(seen.server && seen.client && !seen.is_ca);
    assert_eq!((seen.not_before, seen.not_after), (NOW - 300, NOW + 365 * 86_400));
    assert!(keys_match(leaf.as_bytes(), &key) && !keys_match(leaf.as_bytes(), &ca_key));
}

#[test]
fn key_identifiers_are_those_of_kubeadm() {
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), &["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca.key"]);
    let plain = ["req", "-x509", "-key", "ca.key", "-out", "ca.crt", "-subj", "/CN=plain"];
    let with = |id| [&plain[..], &["-addext", id]].concat();
    for (id, shown) in [("subjectKeyIdentifier=0102030405", "01:02:03:04:05"), ("subjectKeyIdentifier=none", "")] {
        openssl(folder.path(), &with(id));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let ca_key = PrivateKey::from_pem(read("ca.key").as_bytes()).unwrap();
        let leaf = issue(&server(), &ca_key, Some((&read("ca.crt"), &ca_key)), NOW).unwrap();
        std::fs::write(folder.path().join("leaf.crt"), leaf).unwrap();
        let text = openssl(folder.path(), &["x509", "-in", "leaf.crt", "-noout", "-text"]);
        assert!(!text.contains("Subject Key Identifier"), "{text}");
        assert_eq!(text.contains("Authority Key Identifier"), !shown.is_empty(), "{text}");
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
fn another_ca_of_the_same_name_did_not_sign() {
    let (one, other) = (generate_key(KeyAlgorithm::EcdsaP256).unwrap(), generate_key(KeyAlgorithm::EcdsaP256).unwrap());
    let leaf = issue(&server(), &one, Some((&ca(&one, NOW), &one)), NOW).unwrap();
    assert_eq!(inspect(leaf.as_bytes(), Some(ca(&other, NOW).as_bytes())).unwrap().signed_by_issuer, Some(false));
    assert_eq!(issue(&server(), &one, Some((&ca(&other, NOW), &one)), NOW), Err(PkiError::IssuerPair));
    assert_eq!(issue(&server(), &one, Some((&leaf, &one)), NOW), Err(PkiError::IssuerNotCa));
}

#[test]
fn a_leaf_counts_as_the_issuers_if_its_file_holds_the_intermediates() {
    let folder = tempfile::tempdir().unwrap();
    let root =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "r.key", "-out", "r.crt", "-subj", "/CN=root"];
    openssl(folder.path(), &root);
    let middle = ["-newkey", "rsa:2048", "-keyout", "m.key", "-out", "m.crt", "-CA", "r.crt", "-CAkey", "r.key"];
    openssl(folder.path(), &[&["req", "-x509", "-nodes", "-subj", "/CN=middle"], &middle[..]].concat());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let key = PrivateKey::from_pem(read("m.key").as_bytes()).unwrap();
    let leaf = issue(&server(), &key, Some((&read("m.crt"), &key)), system_now()).unwrap();
    let signed = |pem: String| inspect(pem.as_bytes(), Some(read("r.crt").as_bytes())).unwrap().signed_by_issuer;
    assert_eq!((signed(leaf.clone()), signed(leaf + &read("m.crt"))), (Some(false), Some(true)));
}

#[test]
fn the_discovery_hash_is_openssls() {
    let folder = tempfile::tempdir().unwrap();
    let pem = ca(&generate_key(KeyAlgorithm::EcdsaP256).unwrap(), NOW);
    std::fs::write(folder.path().join("ca.crt"), &pem).unwrap();
    openssl(folder.path(), &["x509", "-pubkey", "-noout", "-in", "ca.crt", "-out", "ca.pub"]);
    openssl(folder.path(), &["pkey", "-pubin", "-in", "ca.pub", "-outform", "der", "-out", "ca.der"]);
    let sum = openssl(folder.path(), &["dgst", "-sha256", "-r", "ca.der"]);
    assert_eq!(discovery_hash(pem.as_bytes()).unwrap(), format!("sha256:{}", &sum[..64]));
}

#[test]
fn a_ca_of_a_hundred_years_ends_then() {
    let key = generate_key(KeyAlgorithm::EcdsaP256).unwrap();
    let profile = |days: u32| Profile::ca("kubernetes", KeyAlgorithm::EcdsaP256, days * DAY);
    let pem = issue(&profile(36_500), &key, None, NOW).unwrap();
    assert_eq!(inspect(pem.as_bytes(), None).unwrap().not_after, NOW + 36_500 * 86_400);
    assert_eq!(issue(&profile(u32::MAX), &key, None, NOW), Err(PkiError::Validity));
}

#[test]
fn an_unusable_key_is_refused_in_words() {
    let error = |pem: &str| PrivateKey::from_pem(pem.as_bytes()).err().unwrap().to_string();
    assert_eq!(error(""), "no usable private key: there is no private key in it");
    assert!(error("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("damaged"));
    assert!(
        error("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .contains("encrypted")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_damage_to_a_certificate_or_key_makes_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        static MADE: std::sync::LazyLock<[Vec<u8>; 2]> = std::sync::LazyLock::new(|| {
            let key = generate_key(KeyAlgorithm::EcdsaP256).unwrap();
            let leaf = issue(&server(), &key, Some((&ca(&key, NOW), &key)), NOW).unwrap();
            [leaf, key.to_pem().unwrap().to_string()].map(|pem| pem::parse(pem).unwrap().into_contents())
        });
        for (original, label) in MADE.iter().zip(["CERTIFICATE", "EC PRIVATE KEY"]) {
            let mut damaged = original.clone();
            for (place, byte) in &edits {
                let place = place.index(damaged.len());
                damaged[place] = *byte;
            }
            if cut.index(3) == 0 {
                damaged.truncate(cut.index(damaged.len()));
            }
            let block = pem_block(label, &damaged);
            let _ = inspect(block.as_bytes(), Some(block.as_bytes()));
            let _ = PrivateKey::from_pem(block.as_bytes());
            let _ = inspect(&damaged, None);
        }
    }
}

#[test]
fn a_server_that_nobody_signs_for_signs_for_itself_and_is_no_ca() {
    let key = generate_key(KeyAlgorithm::EcdsaP256).unwrap();
    let certificate = issue(&server(), &key, None, NOW).unwrap();
    let facts = inspect(certificate.as_bytes(), Some(certificate.as_bytes())).unwrap();
    assert!(facts.server && !facts.is_ca, "{facts:?}");
    assert_eq!(facts.issuer, facts.common_name);
    assert!(keys_match(certificate.as_bytes(), &key));
}
