//! Fields that a cluster's users own, as `drift.rules[].fields` says: they stay, everything else of the same resource is put right.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{View, cluster, converge, reconcile, with_settings};
use planekeeper::cluster::Cluster;
use planekeeper::desired::desired;
use planekeeper::diff::value::{self, Extent};
use planekeeper::engine::Report;
use planekeeper::facts::Facts;
use planekeeper::host::files::FileSystem as _;
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::object_path;
use planekeeper::resource::{Content, Resource, Spec, Want};
use planekeeper::yaml;
use serde_json::Value;

const DEPLOYMENT: &str = "/cluster/kube-system/Deployment.coredns.yaml";
const COREDNS: &str = "object:Deployment/kube-system/coredns";
const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const SCHEDULER: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";

/// The text of a configuration with one rule about fields.
fn ruled(resources: &str, fields: &[&str], policy: &str) -> String {
    let fields = serde_json::to_string(fields).unwrap();
    with_settings(&format!("drift: {{rules: [{{resources: '{resources}', fields: {fields}, policy: {policy}}}]}}\n"))
}

fn text(files: &Memory, path: &str) -> String {
    String::from_utf8(files.read(path).unwrap().unwrap().0).unwrap()
}

fn put(files: &Memory, path: &str, text: &str) {
    let mode = files.read(path).unwrap().unwrap().1;
    files.remove_file(path).unwrap();
    let mut handle = files.create(path).unwrap();
    files.write(&mut handle, text.as_bytes()).unwrap();
    files.grant(&handle, mode).unwrap();
}

fn replace(files: &Memory, path: &str, from: &str, to: &str) {
    let before = text(files, path);
    assert!(before.contains(from), "{path} has no {from:?}:\n{before}");
    put(files, path, &before.replacen(from, to, 1));
}

fn again(files: &Memory, cluster: &Cluster) -> Report {
    let report = reconcile(View(files), cluster, Some(cluster));
    assert!(report.converged(), "{report:#?}");
    report
}

/// Nothing is done, and nothing is touched.
fn is_left(files: &Memory, cluster: &Cluster, what: &str) -> Report {
    let before = files.touched();
    let report = again(files, cluster);
    assert!(report.done.is_empty(), "{what}: {:#?}", report.done);
    assert_eq!(files.touched(), before, "{what}");
    report
}

/// Where the YAML of a resource lies, if it is one that has fields.
fn path(resource: &Resource) -> Option<String> {
    match &resource.want {
        Want::Present(Spec::Object(object)) => Some(object_path(object)),
        Want::Present(Spec::File(file)) if matches!(file.content, Content::Yaml(_)) => Some(file.path.clone()),
        _ => None,
    }
}

/// Every text, number and truth value of a value, but for what names it, each as a pointer into it.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if !["apiVersion", "kind", "name", "namespace", "key", "resourceVersion"].contains(&key.as_str()) {
                leaves(value, &below(key), found);
            }
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| leaves(value, &below(&index.to_string()), found));
        }
        Value::Null => {}
        _ => found.push(at.to_owned()),
    }
}

/// A value in which something at a place is otherwise, and the field that shows it.
fn edited(value: &Value, at: &str) -> (Value, String) {
    let mut other = value.clone();
    let place = other.pointer_mut(at).unwrap();
    *place = match &*place {
        Value::Bool(truth) => (!truth).into(),
        Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
        Value::String(text) => format!("{text}x").into(),
        other => panic!("{other} is no leaf"),
    };
    let field = value::differences(&other, value, Extent::Whole).remove(0).field;
    (other, field)
}

#[test]
fn a_field_that_is_left_stays_and_the_others_of_its_resource_are_put_right() {
    let healthy = Memory::default();
    let plain = cluster(&with_settings("drift: {}\n"));
    converge(&healthy, &plain);
    let mut tried = 0;
    for resource in desired(&plain, &Facts::default()).resources {
        let Some(path) = path(&resource).filter(|path| healthy.read(path).unwrap().is_some()) else { continue };
        let value = yaml::parse(&text(&healthy, &path)).unwrap();
        let mut places = Vec::new();
        leaves(&value, "", &mut places);
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        for (ours, theirs) in [(first, last), (last, first)] {
            let (left, field) = edited(&value, theirs);
            let (both, other) = edited(&left, ours);
            if field == other {
                continue; // one list that is compared as a whole
            }
            tried += 1;
            let what = format!("{} {field}, beside {other}", resource.id);
            let leave = cluster(&ruled(&resource.id.0, &[&field], "Leave"));
            let files = healthy.snapshot();
            put(&files, &path, &yaml::to_string(&left));
            is_left(&files, &leave, &what);
            put(&files, &path, &yaml::to_string(&both));
            let done = again(&files, &leave).done;
            assert!(done.len() == 1 && done[0].id == resource.id, "{what}: {done:#?}");
            assert_eq!(yaml::parse(&text(&files, &path)).unwrap(), left, "{what}");
            is_left(&files, &leave, &what);
            let report = cluster(&ruled(&resource.id.0, &[&field], "Report"));
            let reported = is_left(&files, &report, &what).left.reported;
            let fields: Vec<_> = reported[0].changes.iter().map(|change| change.difference.field.as_str()).collect();
            assert_eq!((reported.len(), fields), (1, vec![field.as_str()]), "{what}");
        }
    }
    assert!(tried > 30, "only {tried} fields were tried");
}

#[test]
fn what_lies_within_a_field_is_left_with_it_and_so_is_what_is_taken_out_of_it() {
    let resources = ".spec.template.spec.containers[*].resources";
    let leave = cluster(&ruled(COREDNS, &[".spec.replicas", resources], "Leave"));
    let files = Memory::default();
    converge(&files, &leave);
    let mut value = yaml::parse(&text(&files, DEPLOYMENT)).unwrap();
    value["spec"]["replicas"] = 5.into();
    value["spec"]["template"]["spec"]["containers"][0]["resources"] = serde_json::json!({"limits": {"memory": "1Gi"}});
    value["metadata"]["labels"] = Value::Null;
    put(&files, DEPLOYMENT, &yaml::to_string(&value));
    assert_eq!(again(&files, &leave).done.len(), 1);
    let after = yaml::parse(&text(&files, DEPLOYMENT)).unwrap();
    assert_eq!(after["spec"], value["spec"]);
    assert_eq!(after["metadata"]["labels"]["k8s-app"], "kube-dns");
    files.remove_file(DEPLOYMENT).unwrap();
    again(&files, &leave);
    assert_eq!(yaml::parse(&text(&files, DEPLOYMENT)).unwrap()["spec"]["replicas"], 2, "what is gone is made whole");
}

#[test]
fn flags_of_manifests_and_of_the_kubelet_and_modes_are_fields() {
    let files = Memory::default();
    let leave = cluster(&ruled("file:*", &["--v", "--leader-elect", "--node-ip", "mode"], "Leave"));
    converge(&files, &leave);
    replace(&files, SCHEDULER, "    - --leader-elect=true\n", "    - --v=4\n    - --leader-elect=false\n");
    replace(&files, FLAGS, "ARGS=\"", "ARGS=\"--node-ip=192.0.2.7 ");
    let mode = |mode| planekeeper::observed::Mode { mode, owner: common::setting().owner };
    files.set_mode(SCHEDULER, mode(0o640)).unwrap();
    is_left(&files, &leave, "flags and a mode");
    replace(&files, SCHEDULER, "--bind-address=127.0.0.1", "--bind-address=0.0.0.0");
    let other = text(&files, FLAGS).replace("--node-ip=192.0.2.7 ", "--node-ip=192.0.2.7 --lock-file=/x ");
    put(&files, FLAGS, &other);
    assert_eq!(again(&files, &leave).done.len(), 2);
    let scheduler = text(&files, SCHEDULER);
    assert!(scheduler.contains("--bind-address=127.0.0.1") && scheduler.contains("--v=4"), "{scheduler}");
    assert!(scheduler.contains("--leader-elect=false"), "{scheduler}");
    assert_eq!(files.read(SCHEDULER).unwrap().unwrap().1.mode, 0o640);
    let flags = text(&files, FLAGS);
    assert!(flags.contains("--node-ip=192.0.2.7") && !flags.contains("--lock-file"), "{flags}");
    is_left(&files, &leave, "both are as they should be");
}

#[test]
fn what_the_configuration_changes_is_applied_though_the_field_is_left() {
    let with = |level: &str| {
        let text = ruled(&format!("file:{SCHEDULER}"), &["--v"], "Leave");
        let flag = format!("scheduler: {{extraArgs: [{{name: v, value: '{level}'}}]}}\nencryptionAlgorithm");
        cluster(&text.replace("encryptionAlgorithm", &flag))
    };
    let files = Memory::default();
    converge(&files, &with("2"));
    replace(&files, SCHEDULER, "--v=2", "--v=9");
    is_left(&files, &with("2"), "the flag");
    let report = reconcile(View(&files), &with("3"), Some(&with("2")));
    assert!(report.converged(), "{report:#?}");
    assert!(text(&files, SCHEDULER).contains("--v=3"));
}

#[test]
fn another_release_brings_its_own_but_not_over_what_somebody_made_his_own() {
    let image = ".spec.template.spec.containers[coredns].image";
    let of = |version: &str| cluster(&ruled(COREDNS, &[image], "Leave").replace("v1.37.2", version));
    let (old, new) = (of("v1.34.4"), of("v1.35.4"));
    let coredns = |files: &Memory| {
        yaml::parse(&text(files, DEPLOYMENT)).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let upgraded = |files: &Memory| {
        let report = reconcile(View(files), &new, Some(&old));
        assert!(report.converged(), "{report:#?}");
        coredns(files)
    };
    let files = Memory::default();
    converge(&files, &old);
    let (mine, before) = (files.snapshot(), coredns(&files));
    assert_ne!(upgraded(&files), before);
    replace(&mine, DEPLOYMENT, before.as_str().unwrap(), "registry.example.com/coredns:mine");
    assert_eq!(upgraded(&mine), "registry.example.com/coredns:mine");
}

#[test]
fn fields_of_a_control_plane_that_is_taken_over_are_left_too() {
    let files = Memory::default();
    let leave = cluster(&ruled(COREDNS, &[".spec.replicas"], "Leave"));
    converge(&files, &leave);
    replace(&files, DEPLOYMENT, "replicas: 2", "replicas: 3");
    let report = reconcile(View(&files), &leave, None);
    assert!(report.converged() && report.done.is_empty(), "{report:#?}");
}
