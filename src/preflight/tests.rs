//! Every fault is found under its identifier, and under no other.

use std::collections::BTreeMap;

use serde_json::json;

use super::fake::Fake;
use super::{Finding, Ignore, Report, Scene, Status};
use crate::cluster::{Arg, Cluster, Etcd, ExternalEtcd, Version, fixture};
use crate::desired::static_pod;
use crate::origin::{self, Origin};
use crate::versions::release;

mod control_plane;
mod system;

const SYSTEM: &str = "SystemVerification";

/// What is found on a healthy host once it was changed, besides what is well; of warnings and errors each says all that a person needs.
fn found(change: impl FnOnce(&mut Fake, &mut Cluster)) -> BTreeMap<String, Finding> {
    let (mut fake, mut cluster) = (Fake::healthy(), fixture());
    change(&mut fake, &mut cluster);
    let report = fake.report(cluster, &Ignore::default());
    let bad = report.outcomes.into_iter().filter(|outcome| outcome.finding.status >= Status::Warning);
    bad.map(|outcome| {
        let finding = &outcome.finding;
        let complete = [&finding.found, &finding.needed, &finding.mend].iter().all(|text| !text.is_empty());
        assert!(complete, "{}: {finding:?}", outcome.id);
        (outcome.id, outcome.finding)
    })
    .collect()
}

/// A change leads to exactly these identifiers, each with a status and words that are said of it.
fn finds<const N: usize>(expected: [(&str, Status, &str); N], change: impl FnOnce(&mut Fake, &mut Cluster)) {
    let found = found(change);
    let ids: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut wanted: Vec<&str> = expected.iter().map(|(id, ..)| *id).collect();
    wanted.sort_unstable();
    assert_eq!(ids, wanted, "{found:#?}");
    for (id, status, words) in expected {
        assert_eq!(found[id].status, status, "{id}: {:?}", found[id]);
        assert!(format!("{:?}", found[id]).contains(words), "{id} says nothing of {words:?}: {:?}", found[id]);
    }
}

/// How one check ends.
fn status(id: &str, change: impl FnOnce(&mut Fake, &mut Cluster)) -> Status {
    let (mut fake, mut cluster) = (Fake::healthy(), fixture());
    change(&mut fake, &mut cluster);
    let report = fake.report(cluster, &Ignore::default());
    report.outcomes.iter().find(|outcome| outcome.id == id).map(|outcome| outcome.finding.status).unwrap()
}

fn set_version(cluster: &mut Cluster, minor: u32) {
    cluster.version = Version { major: 1, minor, patch: 0 };
    cluster.release = release(cluster.version).unwrap();
}

#[test]
fn a_healthy_host_passes_without_a_warning() {
    finds([], |_, _| {});
}

#[test]
fn each_identifier_of_kubeadm_is_there_once() {
    let report = Fake::healthy().report(fixture(), &Ignore::default());
    let ids: Vec<&str> = report.outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    for id in [
        "NumCPU",
        "Mem",
        "KubernetesVersion",
        "Firewalld",
        "Port-6443",
        "Port-10259",
        "Port-10257",
        "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
        "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
        "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
        "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
        "HTTPProxy",
        "HTTPProxyCIDR",
        "CRI",
        "ContainerRuntimeVersion",
        "Swap",
        "FileExisting-losetup",
        "FileExisting-mount",
        "FileExisting-cp",
        "SystemVerification",
        "Hostname",
        "KubeletVersion",
        "Service-kubelet",
        "Port-10250",
        "FileContent--proc-sys-net-ipv4-ip_forward",
        "FileContent--proc-sys-net-ipv6-conf-default-forwarding",
        "ExternalEtcdVersion",
        "Port-2379",
        "Port-2380",
        "DirAvailable--var-lib-etcd",
        "ExternalEtcdClientCertificates",
        "ImagePull",
    ] {
        assert_eq!(ids.iter().filter(|known| **known == id).count(), 1, "{id}");
    }
}

#[test]
fn errors_that_are_to_be_ignored_are_warnings_whatever_the_case_and_others_stay_errors() {
    let broken = || Fake { processors: 1, mebibytes: 512, ..Fake::healthy() };
    let ignore = Ignore::new(&["numcpu".to_owned()]);
    let one = broken().report(fixture(), &ignore);
    assert!(!one.passed());
    let ids = |report: &Report, status| report.with(status).map(|outcome| outcome.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&one, Status::Warning), ids(&one, Status::Error)), (vec!["NumCPU".into()], vec!["Mem".into()]));
    assert!(one.outcomes.iter().any(|outcome| outcome.id == "NumCPU" && outcome.ignored));
    let all = broken().report(fixture(), &Ignore::new(&["ALL".to_owned()]));
    assert!(all.passed() && all.with(Status::Warning).count() == 2);
}

#[test]
fn an_identifier_to_be_ignored_that_no_check_has_is_told() {
    let ignore = Ignore::new(&["Swap".to_owned(), "Swapp".to_owned(), "all".to_owned(), " ".to_owned()]);
    assert_eq!(ignore.unknown(["Swap", "Mem"]), ["Swapp"]);
}

#[test]
fn whoever_is_not_root_is_told_so() {
    let scene = |root| Scene::new(Box::new(Fake { root, ..Fake::healthy() }), fixture());
    assert_eq!((super::root().ask)(&scene(true)).status, Status::Ok);
    assert_eq!((super::root().ask)(&scene(false)).status, Status::Error);
}

#[test]
fn a_machine_that_answers_nothing_passes_no_check_that_needs_an_answer() {
    let found = found(|fake, _| fake.silent = true);
    for id in ["NumCPU", "Mem", "Swap", SYSTEM, "CRI", "ImagePull", "KubeletVersion", "Service-kubelet", "Port-6443"] {
        assert_eq!(found.get(id).map(|finding| finding.status), Some(Status::Error), "{id}");
    }
    for id in ["Hostname", "Firewalld"] {
        assert_eq!(found[id].status, Status::Warning, "{id}: as with kubeadm");
    }
}
