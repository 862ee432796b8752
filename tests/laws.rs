//! The laws that hold for every resource, on a host in memory: the real drivers over a file system that fails, kills and loses power.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use common::{Fault, Faulty, SMALL, View, cluster, converge, reconcile, setting};
use planekeeper::cluster::{AddressOrigin, Cluster};
use planekeeper::config::{self, Source};
use planekeeper::desired::desired;
use planekeeper::engine::{self, Report, Run};
use planekeeper::facts::{Facts, Machine};
use planekeeper::host::files::{FileSystem, Writer, parent};
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::{Sandbox, object_path};
use planekeeper::host::{ApplyError, Host, Tell};
use planekeeper::observed::{Mode, ObserveError, Observed, Seen};
use planekeeper::resource::{Desired, Id, Issuer, Resource, Spec, Want};
use planekeeper::verdict::Verdict;

/// Configurations that between them have every kind of resource.
fn clusters() -> Vec<(&'static str, Cluster)> {
    let audit =
        "audit: {enabled: true}\nfilePermissions: CIS\ndns: {type: KubeDNS}\ndynamicKubeletConfig: {enabled: true}\n";
    vec![("small", cluster(SMALL)), ("settings", cluster(&common::with_settings(audit)))]
}

fn wanted(files: &Memory, cluster: &Cluster) -> Desired {
    let host = Sandbox::new(View(files), setting());
    desired(cluster, &host.facts(cluster).unwrap())
}

/// The files of a resource.
fn paths(resource: &Resource) -> Vec<String> {
    match &resource.want {
        Want::Absent(_) | Want::Theirs { .. } => Vec::new(),
        Want::Present(spec) => match spec {
            Spec::Directory(spec) => vec![spec.path.clone()],
            Spec::File(spec) => vec![spec.path.clone()],
            Spec::KeyPair(spec) => vec![spec.private.clone(), spec.public.clone()],
            Spec::Certificate(spec) => vec![spec.certificate.clone(), spec.key.clone()],
            Spec::Kubeconfig(spec) => vec![spec.path.clone()],
            Spec::Tokens(spec) => vec![spec.path.clone()],
            Spec::Object(object) => vec![object_path(object)],
            Spec::Image(_) | Spec::Unit(_) | Spec::StaticPod(_) | Spec::Gate(_) => unreachable!("a sandbox has none"),
        },
    }
}

/// What a person may not lose: CAs and the service account keys.
fn is_protected(resource: &Resource) -> bool {
    match &resource.want {
        Want::Present(Spec::Certificate(spec)) => matches!(spec.issuer, Issuer::SelfSigned { .. }),
        Want::Present(Spec::KeyPair(_)) => true,
        _ => false,
    }
}

/// The content and mode of every file, but for planekeeper's staging files.
fn content(files: &Memory) -> BTreeMap<String, (Vec<u8>, Mode)> {
    let paths = files.touched().into_keys().filter(|path| !path.ends_with('/'));
    paths.filter_map(|path| files.read(&path).ok().flatten().map(|read| (path, read))).collect()
}

#[test]
fn law_1_a_second_run_writes_nothing() {
    for (name, cluster) in clusters() {
        let files = Memory::default();
        converge(&files, &cluster);
        let before = files.touched();
        let report = reconcile(View(&files), &cluster, None);
        assert!(report.converged() && report.done.is_empty() && report.passes == 1, "{name}: {report:#?}");
        assert_eq!(files.touched(), before, "{name}");
    }
}

#[test]
fn what_could_not_be_said_before_a_first_run_costs_no_other_look_at_everything() {
    let made_up = SMALL.replace("bootstrapTokens:\n- token: abcdef.0123456789abcdef\n", "");
    for text in [SMALL, &made_up] {
        let (files, looks) = (Memory::default(), Mutex::new(Vec::new()));
        let tell = |event: engine::Event<'_>| {
            if let engine::Event::Looked(pass) = event {
                looks.lock().unwrap().push(pass.plan.waiting.len());
            }
        };
        let report = engine::reconcile(&Sandbox::new(View(&files), setting()), &cluster(text), None, 1, &tell).unwrap();
        assert!(report.converged(), "{report:#?}");
        // Before the first step, and after the last; what waited was looked at alone between these.
        let looks = looks.into_inner().unwrap();
        assert!(looks.len() == 2 && looks[0] > 0 && report.passes == 3, "{looks:?}, {} passes", report.passes);
    }
}

#[test]
fn a_host_is_the_same_however_many_steps_run_side_by_side() {
    let cluster = cluster(SMALL);
    let (one, many) = (Memory::default(), Memory::default());
    converge(&one, &cluster);
    let report = engine::reconcile(&Sandbox::new(View(&many), setting()), &cluster, None, 8, &|_| {}).unwrap();
    assert!(report.converged(), "{report:#?}");
    let names = |files: &Memory| content(files).into_iter().map(|(path, (_, mode))| (path, mode)).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&many));
}

/// What somebody might do to a file.
const DRIFTS: [&str; 7] = ["delete", "edit", "truncate", "garbage", "chmod", "link", "empty folder"];

/// Does it; false where it makes no sense.
fn drift(files: &Memory, path: &str, kind: &str, folder: bool) -> bool {
    let Ok(Some((bytes, mode))) = files.read(path) else {
        if folder && kind == "chmod" {
            let owner = planekeeper::facts::Owner::default();
            files.set_mode(path, Mode { mode: 0o777, owner }).unwrap();
            return true;
        }
        return false;
    };
    let put = |bytes: &[u8]| {
        files.remove_file(path).unwrap();
        let mut handle = files.create(path).unwrap();
        files.write(&mut handle, bytes).unwrap();
        files.grant(&handle, mode).unwrap();
    };
    match kind {
        "delete" => files.remove_file(path).unwrap(),
        "edit" => put(&edited(&bytes)),
        "truncate" => put(b""),
        "garbage" => put(b"\xff\xfe{{{: - not what it was"),
        "chmod" => files.set_mode(path, Mode { mode: mode.mode ^ 0o044, ..mode }).unwrap(),
        "link" => {
            files.remove_file(path).unwrap();
            let mut handle = files.create("/elsewhere").unwrap();
            files.write(&mut handle, b"somebody's").unwrap();
            files.link(path, "/elsewhere").unwrap();
        }
        "empty folder" => {
            files.remove_file(path).unwrap();
            files.create_directory(path).unwrap();
        }
        other => unreachable!("{other}"),
    }
    true
}

/// A change of what a file says: one letter of a value.
fn edited(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(body) = text.strip_prefix("-----BEGIN ").and_then(|rest| rest.find('\n')) {
        // In PEM the letter lies within the private value of a key, and within what a certificate's signature covers.
        let at = "-----BEGIN ".len() + body + 1 + 14;
        let letter = if bytes[at] == b'A' { b'B' } else { b'A' };
        return [&bytes[..at], &[letter], &bytes[at + 1..]].concat();
    }
    let values = [
        ("10.96.0.", "10.97.0."),
        ("cp1", "cp2"),
        ("kube-system", "kube-elsewhere"),
        ("system", "sistem"),
        ("get", "got"),
    ];
    match values.iter().find(|(from, _)| text.contains(from)) {
        Some((from, to)) => text.replacen(from, to, 1).into_bytes(),
        None => text.replacen('e', "f", 1).into_bytes(),
    }
}

#[test]
fn law_2_every_single_drift_is_repaired_and_only_that() {
    for (name, cluster) in clusters() {
        let healthy = Memory::default();
        converge(&healthy, &cluster);
        let desired = wanted(&healthy, &cluster);
        let mut tried = BTreeSet::new();
        for resource in desired.resources.iter().filter(|resource| !is_protected(resource)) {
            let folder = matches!(&resource.want, Want::Present(Spec::Directory(_)));
            for path in paths(resource) {
                // The mode of an object's file is the sandbox's own affair: the API has none.
                let object = matches!(&resource.want, Want::Present(Spec::Object(_)));
                for kind in DRIFTS.into_iter().filter(|kind| !(object && *kind == "chmod")) {
                    let files = healthy.snapshot();
                    if !drift(&files, &path, kind, folder) {
                        continue;
                    }
                    tried.insert((resource.id.clone(), kind));
                    repaired(&files, &healthy, resource, &cluster, &format!("{name}: {kind} {path}"));
                }
            }
        }
        let files = desired.resources.iter().filter(|resource| !is_protected(resource) && !paths(resource).is_empty());
        let untried: Vec<_> = files.filter(|resource| !tried.iter().any(|(id, _)| *id == resource.id)).collect();
        let only_folders = untried.iter().all(|resource| matches!(&resource.want, Want::Present(Spec::Directory(_))));
        assert!(only_folders, "{name}: no drift was tried on {untried:#?}");
    }
}

/// One run repairs the drift, touches no file but the resource's own, and a second run has nothing to do.
fn repaired(files: &Memory, healthy: &Memory, resource: &Resource, cluster: &Cluster, what: &str) {
    let before = files.touched();
    let report = reconcile(View(files), cluster, Some(cluster));
    assert!(report.converged(), "{what}: {report:#?}");
    let own: BTreeSet<String> = paths(resource).into_iter().collect();
    let touched = files.touched();
    for (path, count) in &touched {
        let known = before.get(path) == Some(count);
        let allowed =
            own.contains(path.trim_end_matches('/')) || own.iter().any(|own| parent(own) == path.trim_end_matches('/'));
        assert!(known || allowed, "{what}: {path} was touched");
    }
    let names = |files: &Memory| -> BTreeMap<String, Mode> {
        content(files)
            .into_iter()
            .filter(|(path, _)| path != "/elsewhere")
            .map(|(path, (_, mode))| (path, mode))
            .collect()
    };
    assert_eq!(names(files), names(healthy), "{what}: files or modes differ");
    if let Ok(Some((bytes, _))) = files.read("/elsewhere") {
        assert_eq!(bytes, b"somebody's", "{what}: what the link pointed to was written");
    }
    let again = reconcile(View(files), cluster, Some(cluster));
    assert!(again.converged() && again.done.is_empty(), "{what}: {again:#?}");
    assert!(report.done.iter().all(|step| step.id == resource.id), "{what}: {report:#?}");
}

#[test]
fn law_6_what_a_person_may_not_lose_is_refused_and_left_as_it_is() {
    let cluster = cluster(SMALL);
    let healthy = Memory::default();
    converge(&healthy, &cluster);
    for resource in wanted(&healthy, &cluster).resources.iter().filter(|resource| is_protected(resource)) {
        for path in paths(resource) {
            for kind in ["edit", "truncate", "garbage"] {
                let files = healthy.snapshot();
                assert!(drift(&files, &path, kind, false));
                let before = content(&files);
                let report = reconcile(View(&files), &cluster, Some(&cluster));
                let refused = report.left.refused.iter().any(|refused| refused.id == resource.id);
                assert!(refused, "{kind} {path} was not refused: {report:#?}");
                assert_eq!(content(&files).get(&path), before.get(&path), "{kind} {path} was overwritten");
            }
        }
    }
}

#[test]
fn law_6_a_folder_with_something_in_it_is_never_moved_out_of_the_way() {
    let cluster = cluster(SMALL);
    let healthy = Memory::default();
    converge(&healthy, &cluster);
    for resource in &wanted(&healthy, &cluster).resources {
        if matches!(&resource.want, Want::Present(Spec::Directory(_))) {
            continue;
        }
        for path in paths(resource) {
            let files = healthy.snapshot();
            files.remove_file(&path).unwrap();
            files.create_directory(&path).unwrap();
            files.create(&format!("{path}/precious")).unwrap();
            let report = reconcile(View(&files), &cluster, Some(&cluster));
            let refused = report.left.refused.iter().find(|refused| refused.id == resource.id);
            assert!(refused.is_some_and(|refused| refused.reason.contains(&path)), "{path}: {report:#?}");
            assert_eq!(files.list(&path).unwrap(), ["precious"]);
        }
    }
}

#[test]
fn law_6_no_second_ca_is_made_where_the_first_is_gone() {
    let cluster = cluster(SMALL);
    let healthy = Memory::default();
    converge(&healthy, &cluster);
    for ca in ["/etc/kubernetes/pki/ca", "/etc/kubernetes/pki/front-proxy-ca", "/etc/kubernetes/pki/etcd/ca"] {
        let files = healthy.snapshot();
        files.remove_file(&format!("{ca}.crt")).unwrap();
        files.remove_file(&format!("{ca}.key")).unwrap();
        let report = reconcile(View(&files), &cluster, Some(&cluster));
        assert!(!report.left.refused.is_empty(), "{ca}: {report:#?}");
        assert_eq!(files.read(&format!("{ca}.crt")).unwrap(), None, "{ca} was made anew");
    }
    for ca in
        ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/front-proxy-ca.crt", "/etc/kubernetes/pki/etcd/ca.crt"]
    {
        let files = healthy.snapshot();
        files.remove_file(ca).unwrap();
        let report = reconcile(View(&files), &cluster, Some(&cluster));
        assert!(!report.left.refused.is_empty(), "{ca}: {report:#?}");
        assert_eq!(files.read(ca).unwrap(), None, "{ca} was made anew");
    }
    let keys = ["ca.crt", "ca.key", "front-proxy-ca.key", "etcd/ca.crt", "etcd/ca.key", "sa.key", "sa.pub"];
    for gone in [
        "/etc/kubernetes/",
        "/etc/kubernetes/pki/",
        "/etc/kubernetes/pki/etcd/",
        "/etc/kubernetes/pki/front-proxy",
        "/",
    ] {
        let files = healthy.snapshot();
        let below: Vec<String> = files.touched().into_keys().filter(|path| path.starts_with(gone)).collect();
        let lost: Vec<&String> = below.iter().filter(|path| files.remove_file(path).is_ok()).collect();
        let report = reconcile(View(&files), &cluster, Some(&cluster));
        assert!(!lost.is_empty() && !report.left.refused.is_empty(), "{gone}: {report:#?}");
        for key in keys.map(|key| format!("/etc/kubernetes/pki/{key}")) {
            assert!(!lost.contains(&&key) || files.read(&key).unwrap().is_none(), "{key} was made anew without {gone}");
        }
    }
    let files = healthy.snapshot();
    files.remove_file("/etc/kubernetes/pki/sa.key").unwrap();
    files.remove_file("/etc/kubernetes/pki/sa.pub").unwrap();
    let report = reconcile(View(&files), &cluster, Some(&cluster));
    assert!(
        !report.left.refused.is_empty() && files.read("/etc/kubernetes/pki/sa.key").unwrap().is_none(),
        "{report:#?}"
    );
}

#[test]
fn law_6_what_a_refused_ca_says_is_told_to_nobody() {
    let cluster = cluster(SMALL);
    let healthy = Memory::default();
    converge(&healthy, &cluster);
    let info = "/cluster/kube-public/ConfigMap.cluster-info.yaml";
    let other = Memory::default();
    converge(&other, &cluster);
    let foreign = other.read("/etc/kubernetes/pki/ca.crt").unwrap().unwrap().0;
    for text in [b"a: b".to_vec(), Vec::new(), foreign] {
        let files = healthy.snapshot();
        files.remove_file("/etc/kubernetes/pki/ca.crt").unwrap();
        let mut handle = files.create("/etc/kubernetes/pki/ca.crt").unwrap();
        files.write(&mut handle, &text).unwrap();
        let report = reconcile(View(&files), &cluster, Some(&cluster));
        assert!(!report.left.refused.is_empty(), "{report:#?}");
        assert_eq!(files.read(info).unwrap(), healthy.read(info).unwrap(), "{report:#?}");
    }
}

/// A run that is about some resources, as a watch makes it.
fn reconcile_about(files: &Memory, cluster: &Cluster, about: &[&str]) -> Report {
    let about: BTreeSet<Id> = about.iter().map(|id| Id((*id).to_owned())).collect();
    let run = Run { about: &about, ..Run::new(1, &|_| {}) };
    engine::reconcile_with(&Sandbox::new(View(files), setting()), cluster, Some(cluster), None, &run).unwrap()
}

#[test]
fn what_a_run_is_about_is_put_right_first_and_everything_else_all_the_same() {
    let cluster = cluster(SMALL);
    let healthy = Memory::default();
    converge(&healthy, &cluster);
    let desired = wanted(&healthy, &cluster);
    let other = "/var/lib/kubelet/kubeadm-flags.env"; // nothing is judged by it
    for resource in desired.resources.iter().filter(|resource| !is_protected(resource)) {
        let Some(path) = paths(resource).into_iter().next().filter(|path| path != other) else { continue };
        let files = healthy.snapshot();
        if !drift(&files, &path, "delete", false) {
            continue;
        }
        files.remove_file(other).unwrap();
        let report = reconcile_about(&files, &cluster, &[&resource.id.0, "certificate:nobody"]);
        assert!(report.converged(), "{path}: {report:#?}");
        let done: Vec<&str> = report.done.iter().map(|step| step.id.0.as_str()).collect();
        assert_eq!(done, [&resource.id.0, "file:/var/lib/kubelet/kubeadm-flags.env"], "{path}");
    }
}

#[test]
fn law_6_no_second_ca_is_made_by_a_run_that_is_about_the_first() {
    let cluster = cluster(SMALL);
    let files = Memory::default();
    converge(&files, &cluster);
    for path in ["/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/etcd/ca.key"] {
        files.remove_file(path).unwrap();
    }
    let report = reconcile_about(&files, &cluster, &["certificate:etcd/ca", "certificate:etcd/server"]);
    assert!(!report.left.refused.is_empty() && report.done.is_empty(), "{report:#?}");
    assert_eq!(files.read("/etc/kubernetes/pki/etcd/ca.crt").unwrap(), None);
}

#[test]
fn what_the_configuration_no_longer_says_of_an_object_is_taken_out_of_it() {
    let files = Memory::default();
    let before = cluster(SMALL);
    converge(&files, &before);
    let text = SMALL
        .replace("0123456789abcdef\n", "0123456789abcdef\n  ttl: 0s\n")
        .replace("name: cp1\n", "name: cp1\n  taints: []\n");
    let after = cluster(&text);
    let report = reconcile(View(&files), &after, Some(&before));
    assert!(report.converged(), "{report:#?}");
    let fresh = Memory::default();
    converge(&fresh, &after);
    for path in ["/cluster/Node.cp1.yaml", "/cluster/kube-system/Secret.bootstrap-token-abcdef.yaml"] {
        let read = |files: &Memory| {
            planekeeper::yaml::parse(&String::from_utf8(files.read(path).unwrap().unwrap().0).unwrap())
        };
        let strip = |value: serde_json::Value| {
            planekeeper::diff::value::differences(
                &value,
                &read(&fresh).unwrap(),
                planekeeper::diff::value::Extent::Whole,
            )
        };
        assert_eq!(strip(read(&files).unwrap()), [], "{path}");
    }
    let again = reconcile(View(&files), &after, Some(&after));
    assert!(again.converged() && again.done.is_empty(), "{again:#?}");
}

/// How many effects a first run has.
fn effects_of_a_first_run(cluster: &Cluster) -> usize {
    let files = Memory::default();
    let faulty = Faulty::new(&files, usize::MAX, None);
    let counted = Sandbox::new(faulty, setting());
    assert!(engine::reconcile(&counted, cluster, None, 1, &|_| {}).unwrap().converged());
    counted.files().effects.load(Ordering::SeqCst)
}

/// What a reader that polls the manifests sees: every name without a dot is a whole manifest, and no Pod is there twice. What was
/// whole before (`known`) need not be read again.
fn manifests_are_whole(files: &Memory, known: &Mutex<BTreeSet<Vec<u8>>>) {
    let folder = "/etc/kubernetes/manifests";
    for name in files.list(folder).unwrap_or_default().iter().filter(|name| !name.starts_with('.')) {
        let (bytes, _) = files.read(&format!("{folder}/{name}")).unwrap().unwrap();
        if !known.lock().unwrap().insert(bytes.clone()) {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let pod = planekeeper::yaml::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        let (file, pod_name) = (name.trim_end_matches(".yaml"), pod.pointer("/metadata/name"));
        assert_eq!(pod_name.and_then(serde_json::Value::as_str), Some(file), "{name} is not whole:\n{text}");
        assert!(pod.get("spec").is_some_and(|spec| spec["volumes"].is_array()), "{name} is not whole:\n{text}");
    }
}

/// Keys that must never change once they are whole on the disk.
fn precious(files: &Memory) -> BTreeMap<String, Vec<u8>> {
    let keep = |path: &str| path.ends_with("ca.key") || path.ends_with("sa.key");
    content(files)
        .into_iter()
        .filter(|(path, _)| keep(path) && !path.contains("/."))
        .map(|(path, (bytes, _))| (path, bytes))
        .collect()
}

/// What a power cut leaves of a file system.
type PowerCut = fn(&Memory) -> Memory;

/// What was waited for.
const STRICT: PowerCut = Memory::after_power_cut;

/// What was waited for, and all else but what others are signed by or checked with: the worst order that a disk may have of its own.
const WORST: PowerCut =
    |files| files.after_power_cut_but(|path| !["ca.crt", "ca.key", "sa."].iter().any(|name| path.contains(name)));

fn killed_at(cluster: &Cluster, at: usize, fault: Fault, power_cut: Option<PowerCut>) {
    let files = Memory::default();
    let known = Mutex::default();
    let after = Box::new(|files: &Memory| manifests_are_whole(files, &known));
    let faulty = Faulty { after, ..Faulty::new(&files, at, Some(fault)) };
    let _ = engine::reconcile(&Sandbox::new(faulty, setting()), cluster, None, 1, &|_| {});
    let files = power_cut.map_or_else(|| files.snapshot(), |cut| cut(&files));
    manifests_are_whole(&files, &Mutex::default());
    let keys = precious(&files);
    let report = reconcile(View(&files), cluster, None);
    assert!(report.converged(), "{fault:?} at effect {at}, power cut: {}: {report:#?}", power_cut.is_some());
    for (path, bytes) in keys {
        assert_eq!(precious(&files)[&path], bytes, "{fault:?} at effect {at}: {path} was replaced");
    }
    let staged: Vec<_> = files.touched().into_keys().filter(|path| path.ends_with(".planekeeper")).collect();
    assert!(staged.is_empty(), "{fault:?} at effect {at}: left {staged:?}");
}

#[test]
fn law_3_killed_at_any_effect_the_next_run_converges_and_no_reader_sees_half_a_manifest() {
    let cluster = cluster(SMALL);
    killed_at(&cluster, 0, Fault::KillBefore, None); // before any other effect is after the one before it
    for at in 0..effects_of_a_first_run(&cluster) {
        for fault in [Fault::KillAmid, Fault::KillAfter] {
            killed_at(&cluster, at, fault, None);
        }
    }
}

#[test]
fn law_3_after_a_power_cut_at_any_effect_the_next_run_converges_and_no_file_is_torn() {
    let cluster = cluster(SMALL);
    for at in 0..effects_of_a_first_run(&cluster) {
        killed_at(&cluster, at, Fault::KillAfter, Some(STRICT));
    }
}

#[test]
fn law_3_after_a_power_cut_at_any_effect_no_certificate_is_left_without_its_ca_whatever_the_order_of_the_disk() {
    let cluster = cluster(SMALL);
    for at in 0..effects_of_a_first_run(&cluster) {
        killed_at(&cluster, at, Fault::KillAfter, Some(WORST));
    }
}

#[test]
fn law_5_any_error_at_any_effect_is_named_and_the_next_run_converges() {
    const ERRORS: [i32; 5] =
        [28 /* ENOSPC */, 13 /* EACCES */, 30 /* EROFS */, 5 /* EIO */, 122 /* EDQUOT */];
    let cluster = cluster(SMALL);
    for at in 0..effects_of_a_first_run(&cluster) {
        let error = ERRORS[at % ERRORS.len()];
        let files = Memory::default();
        let faulty = Sandbox::new(Faulty::new(&files, at, Some(Fault::Error(error))), setting());
        let report = engine::reconcile(&faulty, &cluster, None, 1, &|_| {}).unwrap();
        let text = std::io::Error::from_raw_os_error(error).to_string();
        // A later pass of the same run tries again: either it has converged, or it says what went wrong.
        let errors = report.failed.iter().map(|failed| &failed.error).chain(&report.unsettled);
        let named = errors.map(planekeeper::host::ApplyError::chain).any(|chain| chain.contains(&text));
        assert!(report.converged() || named, "effect {at}: {report:#?}");
        converge(&files, &cluster);
    }
}

/// A host on which one resource cannot be applied.
struct Refusing<'a, H> {
    host: H,
    refuses: &'a Id,
}

impl<H: Host> Host for Refusing<'_, H> {
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        self.host.facts(cluster)
    }
    fn observe(&self, desired: &Desired) -> Observed {
        self.host.observe(desired)
    }
    fn doubts_clock(&self) -> Option<String> {
        self.host.doubts_clock()
    }
    fn settle(&self) -> Result<(), ApplyError> {
        self.host.settle()
    }
    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict, tell: Tell<'_>) -> Result<(), ApplyError> {
        if resource.id == *self.refuses {
            return Err(ApplyError::new("write", resource.id.0.clone(), "it fails on purpose"));
        }
        self.host.apply(resource, seen, verdict, tell)
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError> {
        self.host.keep(path, text)
    }

    fn forget(&self, name: &str) -> Result<(), ApplyError> {
        self.host.forget(name)
    }
}

/// Everything that needs a resource, directly or not.
fn dependents(desired: &Desired, id: &Id) -> BTreeSet<Id> {
    let mut found = BTreeSet::from([id.clone()]);
    for resource in &desired.resources {
        if resource.needs.iter().any(|need| found.contains(need)) {
            found.insert(resource.id.clone());
        }
    }
    found
}

#[test]
fn law_4_nothing_that_needs_what_failed_is_written_and_everything_else_is() {
    let cluster = cluster(SMALL);
    let full = Memory::default();
    converge(&full, &cluster);
    let desired = wanted(&full, &cluster);
    for resource in &desired.resources {
        let files = Memory::default();
        let host = Refusing { host: Sandbox::new(View(&files), setting()), refuses: &resource.id };
        let report: Report = engine::reconcile(&host, &cluster, None, 1, &|_| {}).unwrap();
        if matches!(resource.want, Want::Absent(_)) {
            continue;
        }
        assert_eq!(report.failed.iter().map(|failed| &failed.id).collect::<Vec<_>>(), [&resource.id]);
        let dependents = dependents(&desired, &resource.id);
        let done: BTreeSet<&Id> = report.done.iter().map(|step| &step.id).collect();
        let wrongly: Vec<_> = done.iter().filter(|id| dependents.contains(id)).collect();
        assert!(wrongly.is_empty(), "{}: {wrongly:?} were written", resource.id);
    }
}

#[test]
fn needs_name_resources_that_come_before() {
    for (name, cluster) in clusters() {
        let files = Memory::default();
        converge(&files, &cluster);
        let facts = Sandbox::new(View(&files), setting()).facts(&cluster).unwrap();
        for live in [false, true] {
            let mut known = BTreeSet::new();
            for resource in &desired(&cluster, &Facts { live, ..facts.clone() }).resources {
                let (id, needs) = (&resource.id, &resource.needs);
                for need in needs {
                    assert!(
                        known.contains(need),
                        "{name}, live: {live}: {id} needs {need}, which does not come before it"
                    );
                }
                assert!(known.insert(id.clone()), "{name}, live: {live}: {id} is there twice");
            }
        }
    }
}

#[test]
fn an_address_that_no_file_names_stays_what_it_was_wherever_the_default_route_leads_now() {
    let unnamed = SMALL.replace("  advertiseAddress: 192.0.2.10\n", "  {}\n");
    let now = Machine { default_address: "198.51.100.1".parse().ok(), ..common::machine() };
    let at = |text: &str, machine: &Machine| {
        let sources = [Source { name: "cluster.yaml".into(), text: text.into() }];
        config::parse(&sources).complete(machine, &[]).unwrap().cluster
    };
    let (before, after) = (at(&unnamed, &common::machine()), at(&unnamed, &now));
    let host = Memory::default();
    converge(&host, &before);
    // With the record of the last good configuration, with one that lacks the address, and with none.
    let mut unrecorded = after.clone();
    unrecorded.endpoint.origin = AddressOrigin::Unrecorded;
    for last_good in [Some(&before), Some(&unrecorded), None] {
        let left = reconcile(View(&host), &after, last_good).left;
        let [forbidden] = &left.forbidden[..] else { panic!("{left:#?}") };
        assert_eq!(forbidden.field, "InitConfiguration.localAPIEndpoint.advertiseAddress");
        assert_eq!((&*forbidden.before, &*forbidden.after), ("192.0.2.10", "198.51.100.1"));
        assert!(reconcile(View(&host), &before, last_good).done.is_empty(), "nothing had been written");
    }
    let flag = "apiServer:\n  extraArgs:\n  - {name: advertise-address, value: 203.0.113.9}\n";
    let text = format!("{unnamed}{flag}");
    let told = |machine: &Machine| at(&text, machine);
    let left = |cluster: &Cluster, last_good: &Cluster| {
        reconcile(View(&Memory::default()), cluster, Some(last_good)).left.forbidden.len()
    };
    assert_eq!(left(&told(&common::machine()), &before), 0, "what the API server tells others is the user's to change");
    assert_eq!(left(&told(&now), &told(&common::machine())), 1, "etcd and the certificates would move all the same");
    let other = Memory::default();
    converge(&other, &told(&common::machine()));
    let left = reconcile(View(&other), &told(&common::machine()), None).left;
    assert!(
        left.forbidden.is_empty(),
        "without a record, the user's flag does not show what the address was: {left:#?}"
    );
    let named = at(&SMALL.replace("192.0.2.10", "198.51.100.1"), &now);
    assert!(reconcile(View(&host), &named, Some(&before)).converged(), "an address that the file names is wanted");
    let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
    let (bytes, mode) = host.read(manifest).unwrap().unwrap();
    let flag = String::from_utf8(bytes).unwrap().replace("address=198.51.100.1", "address=$(HOST_IP)");
    Writer::new(View(&host)).write(manifest, flag.as_bytes(), mode).unwrap();
    assert!(reconcile(View(&host), &before, None).left.forbidden.is_empty(), "what the kubelet fills in shows nothing");
}

#[test]
fn a_host_whose_certificates_are_all_another_cas_is_refused_and_one_stray_file_is_drift() {
    let cluster = cluster(SMALL);
    let (host, other) = (Memory::default(), Memory::default());
    converge(&host, &cluster);
    converge(&other, &cluster);
    let plan_of_somebody_elses = |files: &Memory| {
        let sandbox = Sandbox::new(View(files), setting());
        let facts = Facts { adopted: true, ..sandbox.facts(&cluster).unwrap() };
        let desired = desired(&cluster, &facts);
        planekeeper::plan::plan(&cluster, &desired, &sandbox.observe(&desired), None, &facts)
    };
    let put = |path: &str| {
        let (bytes, mode) = other.read(path).unwrap().unwrap();
        Writer::new(View(&host)).write(path, &bytes, mode).unwrap();
    };
    assert!(plan_of_somebody_elses(&host).forbidden.is_empty());
    put("/etc/kubernetes/admin.conf");
    let plan = plan_of_somebody_elses(&host);
    assert!(plan.forbidden.is_empty() && !plan.steps.is_empty(), "one stray kubeconfig: {plan:#?}");
    put("/etc/kubernetes/pki/ca.key");
    put("/etc/kubernetes/pki/ca.crt");
    host.remove_file("/etc/kubernetes/admin.conf").unwrap();
    let plan = plan_of_somebody_elses(&host);
    assert_eq!(plan.forbidden.len(), 1, "{plan:#?}");
    assert!(plan.steps.is_empty(), "nothing is done");
}
