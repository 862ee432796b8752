//! Laws of a host on which things run, with a machine in memory: images, a kubelet that starts what its manifests say, an API
//! server that answers once it runs. What only real ones can show is tested on real hosts, by `hack/host-tests`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use common::machine::{Fault, Machine, Run, up};
use common::{SMALL, View, cluster, converge, copy, rewrite};
use planekeeper::cluster::Cluster;
use planekeeper::engine;
use planekeeper::facts::Facts;
use planekeeper::host::files::FileSystem;
use planekeeper::host::memory::Memory;
use planekeeper::observed::Seen;
use planekeeper::plan::Action;
use planekeeper::resource::{Desired, Id};

#[test]
fn a_bare_machine_comes_up_in_one_run_and_the_next_does_nothing() {
    let cluster = cluster(SMALL);
    let (machine, first) = up(&cluster);
    assert!(first.done.iter().any(|step| step.action == Action::Wait), "nothing was waited for");
    let before = machine.files.touched();
    let again = Run::new(&machine, Fault::None).reconcile(&cluster);
    assert!(again.converged() && again.done.is_empty(), "{:#?}", again.done);
    assert_eq!(machine.files.touched(), before);
}

#[test]
fn what_others_wait_for_is_made_before_what_nobody_needs_is_waited_for() {
    let machine = Machine::bare();
    let run =
        Run::new(&machine, Fault::Until("gate:kube-apiserver", "/cluster/kube-public/ConfigMap.cluster-info.yaml"));
    let report = engine::reconcile(&run, &cluster(SMALL), None, 4, &|_| {}).unwrap();
    assert!(report.converged(), "{report:#?}");
    assert!(run.waited.load(Ordering::SeqCst) < 1000, "it was waited for while there was something to do");
}

#[test]
fn what_only_has_to_be_waited_for_needs_no_look_after_it_has_come() {
    let cluster = cluster(SMALL);
    let (machine, _) = up(&cluster);
    let run =
        Run::new(&machine, Fault::Until("gate:kube-apiserver", "/cluster/kube-public/ConfigMap.cluster-info.yaml"));
    let report = run.reconcile(&cluster);
    assert!(report.converged(), "{report:#?}");
    assert_eq!(report.done.iter().map(|step| step.id.0.as_str()).collect::<Vec<_>>(), ["gate:kube-apiserver"]);
    assert!(matches!(report.seen.1[&Id::gate("kube-apiserver")], Ok(Seen::Gate(Ok(())))), "what came was seen");
    assert_eq!(run.looks.load(Ordering::SeqCst), 1);
}

#[test]
fn a_plan_for_a_bare_machine_shows_its_objects_before_there_is_an_api_server() {
    let machine = Machine::bare();
    let pass = engine::look(&Run::new(&machine, Fault::None), &cluster(SMALL), None).unwrap();
    let made = |id: &str| pass.plan.steps.iter().any(|step| step.id.0 == id && step.action == Action::Create);
    assert!(made("object:Deployment/kube-system/coredns"));
    assert!(pass.plan.settled(), "{:#?}", pass.plan.held);
}

#[test]
fn a_run_that_is_stopped_after_any_step_is_carried_on_by_the_next() {
    let cluster = cluster(SMALL);
    let steps = up(&cluster).1.done.len();
    for stop in 0..steps {
        let machine = Machine::bare();
        let stopped = Run::new(&machine, Fault::From(stop)).reconcile(&cluster);
        assert!(!stopped.converged(), "stopped after {stop} steps, and yet all is done");
        let ca = machine.files.read("/etc/kubernetes/pki/ca.key").unwrap();
        let next = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(next.converged(), "after {stop} steps: {next:#?}");
        assert!(ca.is_none() || machine.files.read("/etc/kubernetes/pki/ca.key").unwrap() == ca, "after {stop} steps");
    }
}

/// Everything that needs a resource, however long the way.
fn behind<'a>(cluster: &Cluster, id: &'a Id) -> BTreeSet<&'a Id> {
    let facts = Facts {
        live: true,
        ca_certificate: Some(String::new()),
        tokens: [("abcdef".to_owned(), planekeeper::facts::IssuedToken { ends: Some(i64::MAX), secret: None })].into(),
        ..Facts::default()
    };
    let desired: &'static Desired = Box::leak(Box::new(planekeeper::desired::desired(cluster, &facts)));
    let mut found: BTreeSet<&Id> = [id].into();
    for resource in &desired.resources {
        if resource.needs.iter().any(|need| found.contains(need)) {
            found.insert(&resource.id);
        }
    }
    found.remove(id);
    found
}

#[test]
fn what_does_not_come_up_is_named_holds_what_depends_on_it_and_nothing_else() {
    let cluster = cluster(SMALL);
    let (_, all) = up(&cluster);
    let ids: Vec<&Id> = all.done.iter().map(|step| &step.id).collect();
    let kinds = ["image:", "unit:", "gate:"];
    for id in ids.iter().filter(|id| kinds.iter().any(|kind| id.0.starts_with(kind))) {
        let machine = Machine::bare();
        let report = Run::new(&machine, Fault::On(&id.0)).reconcile(&cluster);
        assert!(report.failed.iter().any(|failed| failed.id == **id), "{id} is not named: {report:#?}");
        let done: BTreeSet<&Id> = report.done.iter().map(|step| &step.id).collect();
        let needing: BTreeSet<&Id> = behind(&cluster, id);
        for other in &ids {
            let held = needing.contains(other) || other == id;
            assert!(
                held != done.contains(other),
                "{id} fails, and {other} is {}",
                if held { "done" } else { "not done" }
            );
        }
        let next = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(next.converged(), "once {id} is well again: {next:#?}");
    }
}

#[test]
fn what_was_waited_for_in_vain_is_not_waited_for_again_in_the_same_run() {
    let machine = Machine::bare();
    let run = Run::new(&machine, Fault::On("gate:kube-scheduler"));
    let report = run.reconcile(&cluster(SMALL));
    assert!(report.passes > 1, "it had but one chance");
    assert_eq!(run.waited.load(Ordering::SeqCst), 1);
    let error = report.failed[0].error.chain();
    assert_eq!(error, "cannot see gate:kube-scheduler: it went wrong", "the reason is that of the first time");
}

#[test]
fn a_kubelet_that_ends_as_often_as_it_is_started_ends_the_run() {
    let mut machine = Machine::bare();
    machine.crashes = true;
    let report = Run::new(&machine, Fault::None).reconcile(&cluster(SMALL));
    assert!(report.failed.iter().any(|failed| failed.id == Id::gate("kubelet")), "{report:#?}");
    let starts = report.done.iter().filter(|step| step.id.0.starts_with("unit:")).count();
    assert_eq!(starts, 2, "it is tried again once, and not until the bound on passes");
}

#[test]
fn what_is_waited_for_is_no_drift_that_a_policy_could_leave() {
    let leave = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ndrift: {rules: [{resources: 'gate:*', policy: Leave}]}\n";
    let cluster = cluster(&format!("{SMALL}{leave}"));
    let (machine, _) = up(&cluster);
    *machine.started.lock().unwrap() = false;
    let report = Run::new(&machine, Fault::None).reconcile(&cluster);
    assert!(report.converged(), "{report:#?}");
    assert!(report.done.iter().any(|step| step.id == Id::gate("kubelet")), "{:#?}", report.done);
}

#[test]
fn a_changed_flag_is_written_and_waited_for_and_nothing_else_is_touched() {
    let (machine, _) = up(&cluster(SMALL));
    let changed = cluster(&format!("{SMALL}scheduler: {{extraArgs: [{{name: v, value: '2'}}]}}\n"));
    let report = Run::new(&machine, Fault::None).reconcile(&changed);
    assert!(report.converged(), "{report:#?}");
    let done: Vec<&str> = report.done.iter().map(|step| step.id.0.as_str()).collect();
    assert_eq!(
        done,
        [
            "file:/etc/kubernetes/manifests/kube-scheduler.yaml",
            "object:ConfigMap/kube-system/kubeadm-config",
            "gate:kube-scheduler",
        ]
    );
}

#[test]
fn a_kubelets_certificate_that_a_person_brings_moves_to_where_the_kubelet_renews_it_unless_that_has_one_as_good() {
    const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let (machine, cluster) = (Machine::bare(), cluster(SMALL));
    Run::new(&machine, Fault::None).reconcile(&cluster);
    // Where nothing runs, the certificate is in the kubeconfig.
    let elsewhere = Memory::default();
    for name in ["ca.crt", "ca.key"] {
        copy(&machine.files, &elsewhere, &format!("/etc/kubernetes/pki/{name}"));
    }
    converge(&elsewhere, &cluster);
    let path = "/etc/kubernetes/kubelet.conf";
    let read = |path: &str| String::from_utf8(machine.files.read(path).unwrap().unwrap().0).unwrap();
    let brought = String::from_utf8(elsewhere.read(path).unwrap().unwrap().0).unwrap();
    let (certificate, key) = planekeeper::kubeconfig::embedded(brought.as_bytes()).unwrap();
    machine.files.remove_file("/etc/kubernetes/pki/ca.key").unwrap();
    let manager = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
    let signs = [
        "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
        "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
    ];
    rewrite(&machine.files, manager, |content| {
        let text = String::from_utf8(content).unwrap();
        signs.iter().fold(text, |text, flag| text.replace(flag, &flag[..=flag.find('=').unwrap()])).into_bytes()
    });
    let bring = || {
        machine.files.remove_file(path).unwrap();
        copy(&elsewhere, &machine.files, path);
        let report = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(report.converged(), "{:#?}", report.left);
        assert!(read(path).contains(CURRENT) && !read(path).contains("client-key-data"));
    };
    let before = read(CURRENT);
    bring();
    assert_eq!(read(CURRENT), before, "it ends no later");
    machine.files.remove_file(CURRENT).unwrap();
    bring();
    assert_eq!(read(CURRENT), format!("{certificate}{}", key.as_str()));
}

#[test]
fn what_a_kubelet_cannot_live_with_is_given_up_remembered_and_not_tried_again_until_it_changes() {
    const MAP: &str = "/cluster/kube-system/ConfigMap.kubelet-config.yaml";
    const FILE: &str = "/var/lib/kubelet/config.yaml";
    const FAILED: &str = "/var/lib/planekeeper/kubelet-config.failed";
    let follows = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ndynamicKubeletConfig: {enabled: true}\n";
    let cluster = cluster(&format!("{SMALL}{follows}"));
    let (machine, _) = up(&cluster);
    let read = |path: &str| {
        machine.files.read(path).unwrap().map(|(bytes, _)| String::from_utf8(bytes).unwrap()).unwrap_or_default()
    };
    let (map, good) = (read(MAP), read(FILE));
    let change = |pods: &str| {
        let text = map.replace(
            "    kind: KubeletConfiguration\n",
            &format!("    kind: KubeletConfiguration\n    maxPods: {pods}\n"),
        );
        assert_ne!(text, map);
        let (_, mode) = machine.files.read(MAP).unwrap().unwrap();
        planekeeper::host::files::Writer::new(View(&machine.files)).write(MAP, text.as_bytes(), mode).unwrap();
    };
    change("60");
    let sick = Run::new(&machine, Fault::On("gate:kubelet-steady"));
    let report = sick.reconcile(&cluster);
    assert!(report.left.refused[0].reason.contains("did not come up with it: it went wrong"), "{report:#?}");
    assert_eq!((read(FILE), sick.waited.load(Ordering::SeqCst)), (good.clone(), 1));
    let again = Run::new(&machine, Fault::None).reconcile(&cluster);
    assert!(again.done.is_empty() && !again.converged(), "{again:#?}");
    change("61");
    let report = Run::new(&machine, Fault::None).reconcile(&cluster);
    assert!(report.converged() && read(FILE).contains("maxPods: 61") && read(FAILED).is_empty(), "{report:#?}");
}
