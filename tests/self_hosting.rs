//! Laws of a control plane that moves into Pods of its own cluster, with a machine in memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::machine::{Fault, Machine, Run, up};
use common::{SMALL, cluster};
use planekeeper::cluster::{Cluster, Hosting};
use planekeeper::desired::self_hosting::COMPONENTS;
use planekeeper::engine;
use planekeeper::host::files::FileSystem;
use planekeeper::plan::{Action, Cause};

const SELF_HOSTED: &str =
    "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ncontrolPlaneHosting: SelfHosted\n";

fn self_hosted() -> Cluster {
    cluster(&format!("{SMALL}{SELF_HOSTED}"))
}

/// A control plane is self-hosted, whole and quiet.
fn is_self_hosted(machine: &Machine) {
    for component in COMPONENTS {
        assert!(machine.hosts(component) && !machine.has_manifest(component), "{component}");
    }
    let before = machine.files.touched();
    let again = Run::new(machine, Fault::None).reconcile(&self_hosted());
    assert!(again.converged() && again.done.is_empty(), "{:#?}", again.done);
    assert_eq!(machine.files.touched(), before);
}

/// Files and objects without planekeeper's records.
fn left(machine: &Machine) -> Vec<String> {
    machine
        .files
        .touched()
        .into_keys()
        .filter(|path| path.contains("manifests/") || path.contains("DaemonSet"))
        .collect()
}

#[test]
fn a_control_plane_moves_into_daemon_sets_and_back_and_is_then_as_it_was() {
    let (machine, _) = up(&cluster(SMALL));
    let before = left(&machine);
    let moved = Run::new(&machine, Fault::None);
    assert!(engine::reconcile(&moved, &self_hosted(), Some(&cluster(SMALL)), 1, &|_| {}).unwrap().converged());
    is_self_hosted(&machine);
    let marked = || {
        let (node, _) = machine.files.read("/cluster/Node.cp1.yaml").unwrap().unwrap();
        String::from_utf8(node).unwrap().contains("planekeeper.dev/self-hosted")
    };
    assert!(marked());
    let back =
        engine::reconcile(&Run::new(&machine, Fault::None), &cluster(SMALL), Some(&self_hosted()), 1, &|_| {}).unwrap();
    assert!(back.converged(), "{back:#?}");
    assert_eq!(left(&machine), before);
    assert!(!marked());
    assert!(machine.hosted.lock().unwrap().is_empty());
}

#[test]
fn a_bare_machine_becomes_self_hosted_in_one_run() {
    let (machine, _) = up(&self_hosted());
    is_self_hosted(&machine);
}

#[test]
fn a_self_hosted_control_plane_comes_back_after_a_reboot_though_drift_is_only_reported() {
    let report_only = format!("{SMALL}{SELF_HOSTED}drift: {{policy: Report}}\n");
    let (machine, _) = up(&self_hosted());
    machine.reboot();
    let report = Run::new(&machine, Fault::None).reconcile(&cluster(&report_only));
    assert!(report.converged(), "{report:#?}");
    let recovered =
        report.done.iter().filter(|step| step.cause == Cause::Recovery && step.action != Action::Wait).count();
    assert_eq!(recovered, 6, "each manifest comes and goes: {:#?}", report.done);
    is_self_hosted(&machine);
}

#[test]
fn what_is_lost_of_a_self_hosted_control_plane_is_helped_up_and_the_rest_left_alone() {
    for lost in COMPONENTS {
        let (machine, _) = up(&self_hosted());
        machine.hosted.lock().unwrap().remove(lost);
        let report = Run::new(&machine, Fault::None).reconcile(&self_hosted());
        assert!(report.converged(), "{lost}: {report:#?}");
        let manifests = report.done.iter().filter(|step| step.id.0.contains("/manifests/"));
        assert!(
            manifests.clone().count() == 2 && manifests.clone().all(|step| step.id.0.contains(lost)),
            "{lost}: {report:#?}"
        );
        is_self_hosted(&machine);
    }
}

#[test]
fn a_self_hosted_component_starts_again_for_what_it_cannot_reload_and_the_others_go_on() {
    for (lost, component) in
        [("scheduler.conf", "kube-scheduler"), ("controller-manager.conf", "kube-controller-manager")]
    {
        let (machine, _) = up(&self_hosted());
        machine.stopped();
        machine.files.remove_file(&format!("/etc/kubernetes/{lost}")).unwrap();
        let report = Run::new(&machine, Fault::None).reconcile(&self_hosted());
        assert!(report.converged(), "{lost}: {report:#?}");
        assert_eq!(machine.stopped(), [component]);
        is_self_hosted(&machine);
        assert!(machine.stopped().is_empty(), "{lost}: once is enough");
    }
}

#[test]
fn a_self_hosted_api_server_starts_again_beside_an_etcd_that_is_changed() {
    let (machine, _) = up(&self_hosted());
    machine.stopped();
    let changed =
        format!("{SMALL}etcd: {{local: {{extraArgs: [{{name: snapshot-count, value: \"5000\"}}]}}}}\n{SELF_HOSTED}");
    let changed = cluster(&changed);
    let report = Run::new(&machine, Fault::None).reconcile_from(&changed, Some(&self_hosted()));
    assert!(report.converged(), "{report:#?}");
    assert_eq!(machine.stopped(), ["etcd", "kube-apiserver"]);
}

#[test]
fn an_api_server_that_goes_away_amid_a_run_is_helped_up_by_the_same_run() {
    let (machine, _) = up(&self_hosted());
    machine.files.remove_file("/cluster/kube-system/ConfigMap.coredns.yaml").unwrap();
    let report = Run::new(&machine, Fault::Lost("object:ConfigMap/kube-system/coredns")).reconcile(&self_hosted());
    assert!(report.converged(), "{report:#?}");
    is_self_hosted(&machine);
}

#[test]
fn a_manifest_that_somebody_puts_back_goes_and_is_called_drift() {
    let (plain, _) = up(&cluster(SMALL));
    let (machine, _) = up(&self_hosted());
    let path = "/etc/kubernetes/manifests/kube-scheduler.yaml";
    let (manifest, mode) = plain.files.read(path).unwrap().unwrap();
    let mut handle = machine.files.create(path).unwrap();
    machine.files.write(&mut handle, &manifest).unwrap();
    machine.files.grant(&handle, mode).unwrap();
    let report = Run::new(&machine, Fault::None).reconcile(&self_hosted());
    assert!(report.converged(), "{report:#?}");
    assert!(
        report.done.iter().any(|step| step.action == Action::Remove && step.cause == Cause::Drift),
        "{:#?}",
        report.done
    );
    is_self_hosted(&machine);
}

/// A scheduler with a flag.
fn with_flag(value: &str) -> Cluster {
    let flag = format!("scheduler: {{extraArgs: [{{name: v, value: \"{value}\"}}]}}\n{SELF_HOSTED}");
    cluster(&format!("{SMALL}{flag}"))
}

/// What a run does that begins with a configuration that was in force before.
fn run(machine: &Machine, cluster: &Cluster, last_good: &Cluster) -> engine::Report {
    Run::new(machine, Fault::None).reconcile_from(cluster, Some(last_good))
}

fn flags(machine: &Machine) -> String {
    let (object, _) =
        machine.files.read("/cluster/kube-system/DaemonSet.self-hosted-kube-scheduler.yaml").unwrap().unwrap();
    String::from_utf8(object).unwrap()
}

const RECORD: &str = "/var/lib/planekeeper/rollout-self-hosted-kube-scheduler.json";

#[test]
fn a_flag_with_which_a_self_hosted_component_does_not_come_up_is_taken_back_and_not_tried_again() {
    let (good, bad) = (self_hosted(), with_flag("bad"));
    let (machine, _) = up(&good);
    let before = flags(&machine);
    let tried = run(&machine, &bad, &good);
    assert!(!tried.converged() && flags(&machine) == before, "{tried:#?}");
    let touched = machine.files.touched();
    let again = run(&machine, &bad, &good);
    let refused: Vec<&str> = again.left.refused.iter().map(|refused| refused.id.0.as_str()).collect();
    assert_eq!(refused, ["object:DaemonSet/kube-system/self-hosted-kube-scheduler"]);
    assert!(again.done.is_empty() && again.failed.is_empty(), "nothing is waited for again: {again:#?}");
    assert!(again.left.held.iter().any(|held| held.id.0.contains("kubeadm-config")), "{:#?}", again.left.held);
    assert_eq!(machine.files.touched(), touched);
    let other = run(&machine, &with_flag("4"), &good);
    assert!(other.converged() && flags(&machine).contains("--v=4"), "{other:#?}");
    assert!(machine.files.read(RECORD).unwrap().is_none(), "what was given up is forgotten");
}

#[test]
fn what_was_given_up_is_not_what_helps_a_self_hosted_component_up_after_a_reboot() {
    let (good, bad) = (self_hosted(), with_flag("bad"));
    let (machine, _) = up(&good);
    run(&machine, &bad, &good);
    machine.reboot();
    let report = run(&machine, &bad, &good);
    assert!(report.failed.is_empty() && report.left.steps.is_empty(), "{report:#?}");
    assert!(machine.hosts("kube-scheduler") && !machine.has_manifest("kube-scheduler"));
    let back = run(&machine, &good, &good);
    assert!(back.converged() && machine.files.read(RECORD).unwrap().is_none(), "{back:#?}");
}

#[test]
fn a_change_of_a_self_hosted_component_that_was_killed_is_given_up_by_the_next_run() {
    let (good, bad) = (self_hosted(), with_flag("bad"));
    let (machine, _) = up(&good);
    let before = flags(&machine);
    let killed = Run::new(&machine, Fault::From(1)).reconcile_from(&bad, Some(&good));
    assert!(!killed.converged() && flags(&machine) != before, "{killed:#?}");
    let next = run(&machine, &bad, &good);
    assert!(!next.left.refused.is_empty() && flags(&machine) == before, "{next:#?}");
}

#[test]
fn a_drift_policy_that_only_reports_does_not_keep_what_was_given_up() {
    let (machine, _) = up(&self_hosted());
    let before = flags(&machine);
    let flag = "scheduler: {extraArgs: [{name: v, value: bad}]}\n";
    let bad = cluster(&format!("{SMALL}{flag}{SELF_HOSTED}drift: {{policy: Report}}\n"));
    run(&machine, &bad, &self_hosted());
    assert_eq!(flags(&machine), before);
}

#[test]
fn a_move_that_is_stopped_after_any_step_and_the_power_cut_is_carried_on_by_the_next_run() {
    let (from, to) = (cluster(SMALL), self_hosted());
    let (machine, _) = up(&from);
    let go = |to: &Cluster, from: &Cluster, fault: Fault<'_>| {
        engine::reconcile(&Run::new(&machine, fault), to, Some(from), 1, &|_| {}).unwrap()
    };
    let mut stops = [0; 2];
    // There and back: each is carried on, and the other way is then gone whole.
    for (way, stop) in (0..36).map(|number| (number % 2, number / 2)) {
        let (before, after) = if way == 0 { (&from, &to) } else { (&to, &from) };
        if go(after, before, Fault::From(stop)).converged() {
            continue;
        }
        stops[way] += 1;
        if stop % 3 == 0 {
            machine.reboot();
        }
        let next = go(after, before, Fault::None);
        assert!(next.converged(), "after {stop} steps: {next:#?}");
        let wanted = after.settings.hosting == Hosting::SelfHosted;
        for component in COMPONENTS {
            let is = (machine.hosts(component), machine.has_manifest(component));
            assert_eq!(is, (wanted, !wanted), "{component} after {stop} steps");
        }
    }
    assert!(stops.iter().all(|stops| *stops > 6), "{stops:?}");
}
