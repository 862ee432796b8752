//! Laws of changes of what runs, on a machine in memory: one component at a time, the shortest way, and back to what worked where the
//! new does not, whenever a run is killed or the power fails.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Mutex;

use common::machine::{BAD, Fault, Machine, Run, up};
use common::{SMALL, cluster};
use planekeeper::cluster::Cluster;
use planekeeper::engine::{self, Event, Report};
use planekeeper::host::files::FileSystem;
use planekeeper::host::rollout::Runtime;
use planekeeper::plan::Action;
use planekeeper::resource::Id;
use planekeeper::rollout::{self, COMPONENTS, Record};

/// More effects than any rollout here has.
const EFFECTS_MAX: usize = 1000;

const GOOD: &str = "--v=2";

/// A configuration with another flag for some components.
fn with_flag(value: &str, components: &[&str]) -> Cluster {
    let args = format!("extraArgs: [{{name: v, value: '{value}'}}]");
    let field = |name: &str| match name {
        "etcd" => format!("etcd: {{local: {{{args}}}}}\n"),
        "kube-apiserver" => format!("apiServer: {{{args}}}\n"),
        "kube-controller-manager" => format!("controllerManager: {{{args}}}\n"),
        _ => format!("scheduler: {{{args}}}\n"),
    };
    cluster(&format!("{SMALL}{}", components.iter().map(|name| field(name)).collect::<String>()))
}

fn reconcile(machine: &Machine, cluster: &Cluster) -> Report {
    Run::new(machine, Fault::None).reconcile_from(cluster, Some(&common::cluster(SMALL)))
}

/// A run for which something else is due as soon as it waits.
fn reconcile_making_way(machine: &Machine, wanted: &Cluster) -> (Report, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| {
        if let Event::Ended(step, None) = event {
            told.lock().unwrap().push(step.id.0.clone());
        }
    };
    let run = engine::Run { make_way: &|| true, ..engine::Run::new(1, &tell) };
    let before = cluster(SMALL);
    let report = engine::reconcile_with(&Run::new(machine, Fault::None), wanted, Some(&before), None, &run).unwrap();
    (report, told.into_inner().unwrap())
}

fn manifest(machine: &Machine, component: &str) -> String {
    let path = format!("/etc/kubernetes/manifests/{component}.yaml");
    machine.files.read(&path).unwrap().map(|(bytes, _)| String::from_utf8(bytes).unwrap()).unwrap_or_default()
}

fn record(machine: &Machine, component: &str) -> Option<Record> {
    let (bytes, _) = machine.files.read(&rollout::path(component)).unwrap()?;
    Record::read(std::str::from_utf8(&bytes).unwrap())
}

fn is_given_up(report: &Report, component: &str) -> bool {
    let id = Id::file(&format!("/etc/kubernetes/manifests/{component}.yaml"));
    report.left.refused.iter().any(|refused| refused.id == id && refused.reason.contains("last words"))
}

#[test]
fn a_changed_manifest_is_swapped_and_never_overtakes_the_pod_that_runs() {
    for component in COMPONENTS {
        let (machine, _) = up(&cluster(SMALL));
        let changed = with_flag("2", &[component]);
        let report = reconcile(&machine, &changed);
        assert!(report.converged(), "{component}: {report:#?}");
        assert!(machine.runs_with(component, GOOD), "{component}");
        // Without etcd an API server keeps the kubelet waiting.
        let stopped = if component == "etcd" { vec![component, "kube-apiserver"] } else { vec![component] };
        assert_eq!((machine.stopped(), machine.overtaken()), (stopped, 0));
        assert_eq!(record(&machine, component), None, "nothing is left to remember of {component}");
        let before = machine.files.touched();
        let again = Run::new(&machine, Fault::None).reconcile(&changed);
        assert!(again.converged() && again.done.is_empty(), "{:#?}", again.done);
        assert_eq!((machine.files.touched(), machine.stopped()), (before, vec![]));
    }
}

#[test]
fn a_kubelet_that_does_not_let_go_of_a_pod_is_started_anew_and_the_change_is_rolled_out() {
    let (machine, _) = up(&cluster(SMALL));
    *machine.deaf.lock().unwrap() = true;
    let report = reconcile(&machine, &with_flag("2", &["kube-apiserver"]));
    assert!(report.converged(), "{report:#?}");
    assert_eq!(
        machine.stopped(),
        ["kube-apiserver"; 2],
        "what the kubelet began meanwhile is in the way of the new one"
    );
    assert!(machine.runs_with("kube-apiserver", GOOD));
    let bad = with_flag("bad", &["kube-apiserver"]);
    let report = reconcile(&machine, &bad);
    assert!(!report.converged());
    assert!(machine.api_answers(), "the one of before does not run");
    let again = reconcile(&machine, &bad);
    assert!(is_given_up(&again, "kube-apiserver"), "{again:#?}");
}

#[test]
fn when_all_manifests_change_one_component_restarts_after_the_other() {
    let (machine, _) = up(&cluster(SMALL));
    let report = reconcile(&machine, &with_flag("2", &COMPONENTS));
    assert!(report.converged(), "{report:#?}");
    let mut stopped = machine.stopped();
    assert_eq!(stopped.remove(1), "kube-apiserver", "it goes with etcd");
    assert_eq!((stopped, machine.overtaken()), (COMPONENTS.to_vec(), 0));
}

#[test]
fn what_does_not_come_up_gives_way_to_what_ran_before_and_is_not_tried_again_until_another_is_wanted() {
    for component in COMPONENTS {
        let (machine, _) = up(&cluster(SMALL));
        let before = manifest(&machine, component);
        let bad = with_flag("bad", &[component]);
        let report = reconcile(&machine, &bad);
        assert!(!report.converged());
        let told = report.failed.iter().any(|failed| failed.error.chain().contains("restored the manifest of before"));
        assert!(told || is_given_up(&report, component), "{component}: {report:#?}");
        assert_eq!(manifest(&machine, component), before);
        assert!(!machine.runs_with(component, BAD) && machine.api_answers());
        machine.stopped();
        let (seen, again) = (machine.files.touched(), reconcile(&machine, &bad));
        assert!(is_given_up(&again, component), "{component}: {again:#?}");
        assert!(again.done.is_empty() && again.failed.is_empty(), "{again:#?}");
        assert_eq!((machine.files.touched(), machine.stopped()), (seen, vec![]), "it is tried again");
        let good = reconcile(&machine, &with_flag("2", &[component]));
        assert!(good.converged() && machine.runs_with(component, GOOD), "{component}: {good:#?}");
        assert_eq!(record(&machine, component), None);
    }
}

#[test]
fn what_was_given_up_is_forgotten_once_it_is_no_longer_wanted() {
    let (machine, _) = up(&cluster(SMALL));
    reconcile(&machine, &with_flag("bad", &["kube-scheduler"]));
    assert!(record(&machine, "kube-scheduler").is_some_and(|record| record.failed.is_some()));
    let back = Run::new(&machine, Fault::None).reconcile(&cluster(SMALL));
    assert!(back.converged(), "{back:#?}");
    assert_eq!(record(&machine, "kube-scheduler"), None);
    let again = Run::new(&machine, Fault::None).reconcile(&cluster(SMALL));
    assert!(again.converged() && again.done.is_empty(), "{:#?}", again.done);
}

#[test]
fn a_component_is_not_changed_after_one_that_it_depends_on_was_given_up_but_put_back_where_it_is_gone() {
    let (machine, _) = up(&cluster(SMALL));
    let args = |value: &str| format!("{{extraArgs: [{{name: v, value: '{value}'}}]}}");
    let wanted = cluster(&format!("{SMALL}apiServer: {}\nscheduler: {}\n", args("bad"), args("2")));
    let report = reconcile(&machine, &wanted);
    assert!(!machine.runs_with("kube-scheduler", GOOD), "{report:#?}");
    let again = reconcile(&machine, &wanted);
    assert!(is_given_up(&again, "kube-apiserver") && again.done.is_empty(), "{again:#?}");
    let held = again.left.held.iter().find(|held| held.id.0.ends_with("kube-scheduler.yaml")).unwrap();
    assert!(held.reason.contains("kube-apiserver.yaml"), "{}", held.reason);
    for gone in ["kube-apiserver", "kube-scheduler"] {
        machine.files.remove_file(&format!("/etc/kubernetes/manifests/{gone}.yaml")).unwrap();
        machine.tick();
        reconcile(&machine, &wanted);
        assert!(machine.runs_with(gone, gone), "{gone} is not put back");
    }
    assert!(!machine.runs_with("kube-apiserver", BAD));
}

/// What holds of a machine on which a rollout was broken off, after the next run.
fn check_carried_on(machine: &Machine, wanted: &Cluster, component: &str, before: &str, moment: &str) {
    let next = reconcile(machine, wanted);
    if wanted_is_bad(wanted) {
        let last = reconcile(machine, wanted);
        assert!(is_given_up(&last, component), "{moment}: {next:#?}\n{last:#?}");
        assert_eq!(manifest(machine, component), before, "{moment}: what ran before is lost");
        assert!(machine.runs_with(component, component) && machine.api_answers(), "{moment}: it does not run");
    } else {
        assert!(next.converged(), "{moment}: {next:#?}");
        assert!(machine.runs_with(component, GOOD), "{moment}");
        assert_eq!(record(machine, component), None, "{moment}");
    }
}

fn wanted_is_bad(cluster: &Cluster) -> bool {
    let last = |args: &[planekeeper::cluster::Arg]| args.iter().any(|arg| arg.value == "bad");
    last(&cluster.api_server.extra_args) || last(&cluster.scheduler.extra_args)
}

#[test]
fn a_rollout_that_is_killed_or_loses_its_power_at_any_moment_is_carried_on_by_the_next_run() {
    let (whole, _) = up(&cluster(SMALL));
    for component in ["kube-apiserver", "kube-scheduler"] {
        let before = manifest(&whole, component);
        for value in ["2", "bad"] {
            let wanted = with_flag(value, &[component]);
            let mut effects = 0;
            loop {
                let machine = whole.copy();
                let killed = machine.killed_after(effects, || drop(reconcile(&machine, &wanted)));
                let moment = format!("{component} --v={value}, killed after {effects} effects");
                let dark = machine.after_power_cut();
                check_carried_on(&machine, &wanted, component, &before, &moment);
                check_carried_on(&dark, &wanted, component, &before, &format!("{moment}, and the power cut"));
                if !killed {
                    break;
                }
                effects += 1;
                assert!(effects < EFFECTS_MAX, "there is no end");
            }
            assert!(effects > 10, "{effects} effects: nothing was killed");
        }
    }
}

#[test]
fn a_change_that_makes_way_is_told_once_and_seen_through_by_the_next_run() {
    let (machine, _) = up(&cluster(SMALL));
    machine.slow.lock().unwrap().insert("kube-controller-manager");
    let wanted = with_flag("2", &["kube-controller-manager", "kube-scheduler"]);
    let (first, told) = reconcile_making_way(&machine, &wanted);
    assert_eq!(told, ["file:/etc/kubernetes/manifests/kube-controller-manager.yaml"]);
    assert_eq!(first.done.iter().map(|step| step.id.0.clone()).collect::<Vec<_>>(), told);
    assert!(first.interrupted && first.failed.is_empty(), "{first:#?}");
    assert!(!machine.runs_with("kube-scheduler", GOOD), "it is not known yet whether the first change works");
    machine.slow.lock().unwrap().clear();
    let next = reconcile(&machine, &wanted);
    assert!(next.converged() && machine.runs_with("kube-scheduler", GOOD), "{next:#?}");
    assert!(next.done.iter().all(|step| step.id.0 != told[0]), "it is made twice: {:#?}", next.done);
    assert_eq!(record(&machine, "kube-controller-manager"), None);
    assert_eq!(machine.stopped(), ["kube-controller-manager", "kube-scheduler"]);
}

#[test]
fn a_restart_that_makes_way_is_told_and_not_made_again() {
    let (machine, _) = up(&cluster(SMALL));
    machine.slow.lock().unwrap().insert("kube-scheduler");
    machine.wait(1);
    touch(&machine, "/etc/kubernetes/scheduler.conf");
    let (first, told) = reconcile_making_way(&machine, &cluster(SMALL));
    assert_eq!((told.as_slice(), first.interrupted), (&["pod:kube-scheduler".to_owned()][..], true), "{first:#?}");
    machine.slow.lock().unwrap().clear();
    assert!(reconcile(&machine, &cluster(SMALL)).converged());
    assert_eq!(machine.stopped(), ["kube-scheduler"]);
}

#[test]
fn while_what_ran_before_comes_back_something_else_may_be_done() {
    let (machine, _) = up(&cluster(SMALL));
    let before = manifest(&machine, "kube-scheduler");
    machine.slow.lock().unwrap().insert("kube-scheduler");
    let bad = with_flag("bad", &["kube-scheduler"]);
    let seconds = machine.now();
    let mut runs = 0;
    while record(&machine, "kube-scheduler").is_none_or(|record| record.failed.is_none()) {
        let (report, _) = reconcile_making_way(&machine, &bad);
        assert!(report.interrupted, "{report:#?}");
        runs += 1;
        assert!(runs < 10, "it is not given up");
    }
    assert!(machine.now() - seconds < 60, "it was waited for: {} s", machine.now() - seconds);
    assert_eq!(manifest(&machine, "kube-scheduler"), before);
    assert!(is_given_up(&reconcile(&machine, &bad), "kube-scheduler"));
}

#[test]
fn a_manifest_of_another_pod_is_not_taken_for_what_ran_before() {
    let (whole, _) = up(&cluster(SMALL));
    let path = "/etc/kubernetes/manifests/kube-scheduler.yaml";
    let edited = manifest(&whole, "kube-scheduler").replace("namespace: kube-system", "namespace: kube-sistem");
    let (_, mode) = whole.files.read(path).unwrap().unwrap();
    planekeeper::host::files::Writer::new(common::View(&whole.files)).write(path, edited.as_bytes(), mode).unwrap();
    for effects in 0.. {
        let machine = whole.copy();
        let killed = machine.killed_after(effects, || drop(reconcile(&machine, &cluster(SMALL))));
        assert_eq!(record(&machine, "kube-scheduler"), None, "after {effects} effects");
        if !killed {
            assert!(effects > 1 && manifest(&machine, "kube-scheduler") != edited, "after {effects} effects");
            break;
        }
        assert!(effects < EFFECTS_MAX, "there is no end");
    }
}

/// Writes a file anew, with the same content.
fn touch(machine: &Machine, path: &str) {
    let (bytes, mode) = machine.files.read(path).unwrap().unwrap();
    planekeeper::host::files::Writer::new(common::View(&machine.files)).write(path, &bytes, mode).unwrap();
}

#[test]
fn what_a_component_cannot_reload_restarts_it_alone_and_once() {
    let (pki, etc) = ("/etc/kubernetes/pki", "/etc/kubernetes");
    for (path, restarted) in [
        (format!("{etc}/controller-manager.conf"), vec!["kube-controller-manager"]),
        (format!("{etc}/scheduler.conf"), vec!["kube-scheduler"]),
        (format!("{pki}/ca.crt"), vec!["kube-controller-manager"]),
        (format!("{pki}/sa.key"), vec!["kube-apiserver", "kube-controller-manager"]),
        (format!("{pki}/etcd/ca.crt"), vec!["etcd", "kube-apiserver"]),
        (format!("{pki}/apiserver.crt"), vec![]),
        (format!("{pki}/front-proxy-client.crt"), vec![]),
        (format!("{pki}/apiserver-etcd-client.crt"), vec![]),
        (format!("{pki}/apiserver-kubelet-client.crt"), vec![]),
        (format!("{pki}/etcd/server.crt"), vec![]),
        (format!("{pki}/etcd/peer.crt"), vec![]),
        (format!("{etc}/admin.conf"), vec![]),
    ] {
        let cluster = cluster(SMALL);
        let (machine, _) = up(&cluster);
        touch(&machine, &path);
        let manifests = COMPONENTS.map(|component| manifest(&machine, component));
        let report = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(report.converged(), "{path}: {report:#?}");
        assert_eq!(machine.stopped(), restarted, "{path}");
        assert_eq!(COMPONENTS.map(|component| manifest(&machine, component)), manifests);
        let again = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(again.done.is_empty() && machine.stopped().is_empty(), "{path}: {:#?}", again.done);
    }
}

#[test]
fn a_component_that_runs_and_does_nothing_is_restarted() {
    let cluster = cluster(SMALL);
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let (machine, _) = up(&cluster);
        machine.hang(component);
        let report = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(report.converged() || report.done.is_empty(), "it has only just started: {report:#?}");
        machine.wait(120);
        let report = Run::new(&machine, Fault::None).reconcile(&cluster);
        assert!(report.converged(), "{report:#?}");
        assert_eq!(machine.stopped(), [component]);
    }
}

#[test]
fn one_that_is_sick_holds_those_after_it() {
    let cluster = cluster(SMALL);
    let (machine, _) = up(&cluster);
    for path in ["/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/scheduler.conf"] {
        touch(&machine, path);
    }
    let report = Run::new(&machine, Fault::On("pod:kube-controller-manager")).reconcile(&cluster);
    assert!(!report.converged());
    assert_eq!(machine.stopped(), Vec::<&str>::new(), "the scheduler was restarted all the same");
    let next = Run::new(&machine, Fault::None).reconcile(&cluster);
    assert!(next.converged(), "{next:#?}");
    assert_eq!(machine.stopped(), ["kube-controller-manager", "kube-scheduler"]);
}

#[test]
fn nothing_is_renewed_by_a_clock_that_may_be_wrong() {
    let cluster = cluster(SMALL);
    let (machine, _) = up(&cluster);
    machine.wait(300 * 24 * 60 * 60);
    *machine.doubt.lock().unwrap() = Some("the clock is not synchronized yet".to_owned());
    let certificates = |path: &str| path.starts_with("/etc/kubernetes/") && !path.contains("/manifests/");
    let touched = || machine.files.touched().into_iter().filter(|(path, _)| certificates(path)).collect::<Vec<_>>();
    let before = touched();
    let report = Run::new(&machine, Fault::None).reconcile(&cluster);
    let held = report.left.held.iter().find(|held| held.id == Id::certificate("apiserver")).unwrap();
    assert!(held.reason.contains("not synchronized"), "{}", held.reason);
    assert!(!report.converged() && touched() == before);
    *machine.doubt.lock().unwrap() = None;
    let pass = engine::look(&Run::new(&machine, Fault::None), &cluster, Some(&cluster)).unwrap();
    assert!(pass.plan.steps.iter().any(|step| step.id == Id::certificate("apiserver") && step.action == Action::Renew));
}
