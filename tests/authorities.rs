//! A CA that somebody has brought, changed or lost: what it may be used for, and what of its files others get to see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{SMALL, View, cluster, converge, put, reconcile, rewrite};
use planekeeper::facts::Owner;
use planekeeper::host::files::FileSystem;
use planekeeper::host::memory::Memory;
use planekeeper::observed::Mode;

const PKI: &str = "/etc/kubernetes/pki";
const CLUSTER_INFO: &str = "/cluster/kube-public/ConfigMap.cluster-info.yaml";
const MANAGER: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";

fn read(host: &Memory, path: &str) -> Vec<u8> {
    host.read(path).unwrap().unwrap_or_else(|| panic!("there is no {path}")).0
}

/// A CA of openssl's with a key usage and an end: its certificate and its key. It begins the day before the tests' clock stands still.
fn authority(usage: &str, end: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::TempDir::new().unwrap();
    let configuration = format!(
        "[req]\ndistinguished_name=name\n[name]\n[ca]\ndefault_ca=it\n[it]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\n\
         default_md=sha256\npolicy=any\nx509_extensions=authority\n[any]\ncommonName=supplied\n[authority]\n\
         basicConstraints=critical,CA:TRUE\nkeyUsage=critical,{usage}\nsubjectKeyIdentifier=hash\n"
    );
    std::fs::write(folder.path().join("ca.cnf"), configuration).unwrap();
    std::fs::write(folder.path().join("index.txt"), "").unwrap();
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.cnf -subj /CN=kubernetes -keyout ca.key -out ca.csr";
    let sign = "ca -batch -notext -config ca.cnf -selfsign -keyfile ca.key -in ca.csr -out ca.crt -startdate 20261121000000Z -enddate";
    for words in [request.to_owned(), format!("{sign} {end}")] {
        let mut openssl = Command::new("openssl");
        let done = openssl.current_dir(folder.path()).args(words.split(' ')).output();
        let done = done.expect("the tests need openssl in PATH");
        assert!(done.status.success(), "{done:?}");
    }
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    (file("ca.crt"), file("ca.key"))
}

fn bring(host: &Memory, (certificate, key): &(Vec<u8>, Vec<u8>)) {
    let mode = |mode| Mode { mode, owner: Owner::default() };
    put(host, &format!("{PKI}/ca.crt"), certificate, mode(0o644));
    put(host, &format!("{PKI}/ca.key"), key, mode(0o600));
}

#[test]
fn nothing_but_its_certificates_is_told_of_a_ca_whatever_else_is_in_its_file() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    let before = read(&host, CLUSTER_INFO);
    let key = read(&host, &format!("{PKI}/ca.key"));
    let with_words = |certificate: Vec<u8>| [b"Subject: O=M\xfcller\r\n".to_vec(), certificate, key].concat();
    rewrite(&host, &format!("{PKI}/ca.crt"), with_words);
    host.remove_file("/etc/kubernetes/admin.conf").unwrap();
    let report = reconcile(View(&host), &wanted, Some(&wanted));
    let done: Vec<&str> = report.done.iter().map(|step| step.id.0.as_str()).collect();
    assert!(report.converged() && done == ["kubeconfig:admin.conf"], "{report:#?}");
    assert_eq!(read(&host, CLUSTER_INFO), before);
    let conf = String::from_utf8(read(&host, "/etc/kubernetes/admin.conf")).unwrap();
    let data = conf.lines().find_map(|line| line.trim().strip_prefix("certificate-authority-data: ")).unwrap();
    let data = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
    assert!(data.starts_with("-----BEGIN CERTIFICATE-----\n") && !data.contains("PRIVATE KEY"), "{data}");
}

#[test]
fn a_ca_that_may_not_sign_is_refused_before_anything_is_signed() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    bring(&host, &authority("digitalSignature", "20361121000000Z"));
    let report = reconcile(View(&host), &wanted, None);
    let refused = &report.left.refused[0];
    assert!(refused.id.0 == "certificate:ca" && refused.reason.contains("may sign others"), "{refused:?}");
    assert!(!report.done.iter().any(|step| step.id.0 == "certificate:apiserver"), "{report:#?}");
}

#[test]
fn a_person_is_told_of_the_end_of_a_ca_in_the_last_tenth_of_its_life() {
    for (end, told) in [("20261123000000Z", false), ("20261122020000Z", true)] {
        let (host, wanted) = (Memory::default(), cluster(SMALL));
        bring(&host, &authority("keyCertSign", end));
        let left = reconcile(View(&host), &wanted, None).left;
        let mine: Vec<_> = left.by_hand.iter().filter(|one| one.id.0 == "certificate:ca").collect();
        assert_eq!(mine.iter().any(|one| one.errand.contains("this CA ends on 2026-11-22")), told, "{left:#?}");
    }
}

#[test]
fn a_key_of_the_ca_that_is_lost_makes_no_external_ca_of_it_without_a_word() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    let before = read(&host, MANAGER);
    let key = host.read(&format!("{PKI}/ca.key")).unwrap().unwrap();
    host.remove_file(&format!("{PKI}/ca.key")).unwrap();
    let report = reconcile(View(&host), &wanted, Some(&wanted));
    let why: Vec<_> = report.left.refused.iter().map(|refused| &*refused.reason).collect();
    assert!(
        why.len() == 1 && why[0].contains("/ca.key, which is gone: restore it from a backup"),
        "{why:?}, {:?}",
        report.done
    );
    assert_eq!(read(&host, MANAGER), before);
    put(&host, &format!("{PKI}/ca.key"), &key.0, key.1);
    assert!(reconcile(View(&host), &wanted, Some(&wanted)).converged());
}

#[test]
fn the_manifest_of_who_reads_a_ca_shows_that_there_was_one() {
    for (authority, manifest) in [("ca", "kube-apiserver"), ("front-proxy-ca", "kube-apiserver"), ("etcd/ca", "etcd")] {
        let (host, wanted) = (Memory::default(), cluster(SMALL));
        converge(&host, &wanted);
        let keep = format!("/etc/kubernetes/manifests/{manifest}.yaml");
        for path in
            host.touched().into_keys().filter(|path| path.starts_with("/etc/kubernetes/") && !path.ends_with('/'))
        {
            if path != keep {
                host.remove_file(&path).unwrap();
            }
        }
        let report = reconcile(View(&host), &wanted, None);
        let refused = report.left.refused.iter().find(|refused| refused.id.0 == format!("certificate:{authority}"));
        assert!(refused.is_some_and(|refused| refused.reason.contains("shows that there was a CA")), "{report:#?}");
    }
}
