//! What somebody else has done to a host or to its cluster, and is not taken back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::{SMALL, View, cluster, converge, put, reconcile, rewrite, setting, try_cluster};
use planekeeper::cluster::Cluster;
use planekeeper::config::PatchFile;
use planekeeper::engine::{self, Report, Run};
use planekeeper::host::files::FileSystem;
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::Sandbox;
use planekeeper::resource::Id;
use planekeeper::rollout::{self, Record};

const MANIFESTS: &str = "/etc/kubernetes/manifests";
const KUBEADM_CONFIG: &str = "/cluster/kube-system/ConfigMap.kubeadm-config.yaml";

fn edit(host: &Memory, path: &str, from: &str, to: &str) {
    rewrite(host, path, |content| {
        let text = String::from_utf8(content).unwrap();
        assert!(text.contains(from), "{text}");
        text.replace(from, to).into_bytes()
    });
}

fn manifest(component: &str) -> String {
    format!("{MANIFESTS}/{component}.yaml")
}

/// The fields whose change is refused; nothing was written.
fn refused(host: &Memory, cluster: &Cluster, run: impl FnOnce() -> Report) -> Vec<String> {
    let before = host.touched();
    let report = run();
    assert_eq!(host.touched(), before, "{} was written to", cluster.node.name);
    report.left.forbidden.into_iter().map(|forbidden| forbidden.field).collect()
}

#[test]
fn an_etcd_of_a_newer_minor_release_is_not_taken_back_until_the_tag_says_so() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    edit(&host, &manifest("etcd"), "/etcd:3.7.", "/etcd:3.8.");
    edit(&host, &manifest("kube-scheduler"), "--leader-elect=true", "--leader-elect=false");
    let left = reconcile(View(&host), &wanted, Some(&wanted)).left;
    let [refused] = &left.refused[..] else { panic!("{left:#?}") };
    assert!(refused.id == Id::file(&manifest("etcd")) && refused.reason.contains("imageTag"), "{refused:?}");
    assert!(left.forbidden.is_empty() && left.held.is_empty(), "all else goes on: {left:#?}");
    let leave = common::with_settings("drift: {rules: [{resources: 'file:*/etcd.yaml', policy: Leave}]}\n");
    let theirs = cluster(&leave);
    assert!(reconcile(View(&host), &theirs, Some(&theirs)).converged(), "who leaves it to others has it left");
    let tagged = cluster(&SMALL.replace("networking:", "etcd: {local: {imageTag: 3.8.0-0}}\nnetworking:"));
    assert!(reconcile(View(&host), &tagged, Some(&wanted)).converged(), "it is kept");
    edit(&host, &manifest("etcd"), "3.8.0-0", "3.8.1-0");
    assert!(reconcile(View(&host), &tagged, Some(&tagged)).converged(), "within a minor release there is no harm");
}

#[test]
fn a_host_that_was_upgraded_by_somebody_else_is_left_alone_whatever_a_look_is_about() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        edit(&host, &manifest(component), ":v1.37.", ":v1.38.");
    }
    edit(&host, "/var/lib/kubelet/config.yaml", "kind:", "maxPods: 7\nkind:");
    for about in [manifest("kube-scheduler"), "/var/lib/kubelet/config.yaml".to_owned()] {
        let about = [Id::file(&about)].into();
        let sandbox = Sandbox::new(View(&host), setting());
        let run = || {
            let run = Run { about: &about, ..Run::new(1, &|_| {}) };
            engine::reconcile_with(&sandbox, &wanted, Some(&wanted), None, &run).unwrap()
        };
        assert_eq!(refused(&host, &wanted, run), ["ClusterConfiguration.kubernetesVersion"]);
    }
}

#[test]
fn a_version_is_read_of_the_component_and_not_of_what_a_patch_puts_beside_it() {
    let text = "spec:\n  containers:\n  - {name: plugin, image: 'example.com/kms-plugin:v1.20.0', command: [plugin]}\n";
    let patch = PatchFile { name: "kube-apiserver.yaml".to_owned(), text: text.to_owned() };
    let config = SMALL.replace("kind: InitConfiguration\n", "kind: InitConfiguration\npatches: {directory: patches}\n");
    let (host, wanted) = (Memory::default(), try_cluster(&config, &[patch]).unwrap());
    converge(&host, &wanted);
    let report = reconcile(View(&host), &wanted, None);
    assert!(report.converged() && report.done.is_empty(), "{report:#?}");
    edit(&host, &manifest("kube-apiserver"), ":v1.37.2", ":v1.38.0@sha256:0123456789abcdef");
    let fields = refused(&host, &wanted, || reconcile(View(&host), &wanted, None));
    assert_eq!(fields, ["ClusterConfiguration.kubernetesVersion"], "a digest hides no version");
}

#[test]
fn what_all_nodes_share_is_not_taken_back_once_another_host_has_upgraded_it() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    edit(&host, KUBEADM_CONFIG, "kubernetesVersion: v1.37.2", "kubernetesVersion: v1.38.0");
    let proxy = "/cluster/kube-system/DaemonSet.kube-proxy.yaml";
    edit(&host, proxy, "kube-proxy:v1.37.2", "kube-proxy:v1.38.0");
    edit(&host, &manifest("kube-scheduler"), "--leader-elect=true", "--leader-elect=false");
    let report = reconcile(View(&host), &wanted, Some(&wanted));
    let done: Vec<&str> = report.done.iter().map(|step| step.id.0.as_str()).collect();
    assert_eq!(done, [format!("file:{}", manifest("kube-scheduler"))], "what is of this host alone is repaired");
    let refused: BTreeMap<&str, &str> = report.left.refused.iter().map(|one| (&*one.id.0, &*one.reason)).collect();
    for id in ["object:ConfigMap/kube-system/kubeadm-config", "object:DaemonSet/kube-system/kube-proxy"] {
        assert!(refused[id].contains("set kubernetesVersion to v1.38.0 here too"), "{refused:#?}");
    }
    let about = [Id("object:DaemonSet/kube-system/kube-proxy".to_owned())].into();
    let run = Run { about: &about, ..Run::new(1, &|_| {}) };
    let sandbox = Sandbox::new(View(&host), setting());
    let report = engine::reconcile_with(&sandbox, &wanted, Some(&wanted), None, &run).unwrap();
    assert!(report.done.is_empty() && !report.converged(), "a look at it alone knows too: {report:#?}");
}

#[test]
fn a_member_of_etcd_that_joined_keeps_what_it_was_told_of_the_others() {
    let (host, wanted) = (Memory::default(), cluster(SMALL));
    converge(&host, &wanted);
    let alone = "    - --initial-cluster=cp1=https://192.0.2.10:2380\n";
    let joined = "    - --initial-cluster=cp0=https://192.0.2.9:2380,cp1=https://192.0.2.10:2380\n    - --initial-cluster-state=existing\n";
    edit(&host, &manifest("etcd"), alone, joined);
    let report = reconcile(View(&host), &wanted, Some(&wanted));
    assert!(report.converged() && report.done.is_empty(), "{report:#?}");
    let changed =
        cluster(&SMALL.replace("networking:", "etcd: {local: {extraArgs: [{name: v, value: '1'}]}}\nnetworking:"));
    assert!(reconcile(View(&host), &changed, Some(&wanted)).converged());
    let text = || String::from_utf8(host.read(&manifest("etcd")).unwrap().unwrap().0).unwrap();
    assert!(text().contains(joined) && text().contains("--v=1"), "{}", text());
    let before = Record { manifest: String::new(), before: text(), failed: None, since: None };
    let mode = host.read(&manifest("etcd")).unwrap().unwrap().1;
    put(&host, &rollout::path("etcd"), before.to_text().as_bytes(), mode);
    host.remove_file(&manifest("etcd")).unwrap();
    assert!(reconcile(View(&host), &changed, Some(&changed)).converged());
    assert!(text().contains(joined), "killed while the manifest was away, it is made as it was: {}", text());
    host.remove_file(&rollout::path("etcd")).unwrap();
    edit(&host, &manifest("etcd"), "cp1=https://192.0.2.10:2380\n", "cp1=https://192.0.2.99:2380\n");
    assert!(reconcile(View(&host), &wanted, Some(&changed)).converged());
    assert!(text().contains(alone), "what does not name this member is drift: {}", text());
}
