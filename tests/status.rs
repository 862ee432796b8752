//! How a control plane is seen: its status, and everything that is made of it.
//!
//! What people and programs read is kept in `tests/status/`, of a control plane in trouble and of one that is well, at a moment that stands
//! still. `UPDATE_STATUS=1 cargo test --test status` writes what is made now, and fails all the same: read the difference before you keep it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{NOW, SMALL, View as Files, cluster, converge, setting, with_settings};
use planekeeper::cluster::Cluster;
use planekeeper::desired;
use planekeeper::engine::{self, Failed, Pass};
use planekeeper::facts::Facts;
use planekeeper::host::ApplyError;
use planekeeper::host::connections::Connections;
use planekeeper::host::files::FileSystem;
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::Sandbox;
use planekeeper::host::shown::Shown;
use planekeeper::observed::{Mode as FileMode, Observed, Seen, StaticPodSeen, UnitSeen};
use planekeeper::plan::Plan;
use planekeeper::resource::{Desired, Id, Spec, Want};
use planekeeper::status::conditions::{
    self, CERTIFICATES_VALID, COMPONENTS_HEALTHY, CONFIGURATION_ACCEPTED, CONVERGED, PAUSED, READY, ROLLED_BACK,
};
use planekeeper::status::update::{self, Inputs, Looked, Ran};
use planekeeper::status::verdict::{Presence, View, Word};
use planekeeper::status::{
    Configuration, Fight, GivenUp, Health, Mode, Moment, Pause, Problem, Program, Rejected, State, Status, Truth, Wake,
    health, metrics, object, page, text,
};

const HASH: &str = "3f1c9a04d2b7e6583f1c9a04d2b7e6583f1c9a04d2b7e6583f1c9a04d2b7e658";

fn program() -> Program {
    Program {
        version: "0.1.0".into(),
        mode: Mode::Watch,
        process: 4711,
        started_at: Moment(NOW - 12 * 86_400),
        address: Some("127.0.0.1:10264".into()),
    }
}

fn configuration() -> Configuration {
    let source = "/etc/planekeeper/".into();
    Configuration { source, hash: HASH.into(), revision: Some("4f2a9c1d".into()), since: Moment(NOW - 3 * 3600) }
}

/// Nothing happened, and nobody looked.
fn inputs<'a>(program: &'a Program, configuration: &'a Configuration) -> Inputs<'a> {
    Inputs {
        now: Moment(NOW),
        program,
        configuration: Some(configuration),
        rejected: None,
        looked: None,
        blind: None,
        idle: None,
        ran: None,
        pause: None,
        fights: &[],
        next_wake: None,
    }
}

/// A host in memory that is as configured, and a look at it.
struct Host {
    files: Memory,
    cluster: Cluster,
}

impl Host {
    fn new(config: &str) -> Self {
        let host = Self { files: Memory::default(), cluster: cluster(config) };
        converge(&host.files, &host.cluster);
        host
    }

    fn look(&self) -> Pass {
        let host = Sandbox::new(Files(&self.files), setting());
        engine::look(&host, &self.cluster, Some(&self.cluster)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let _ = self.files.remove_file(path);
        let mut handle = self.files.create(path).unwrap();
        self.files.write(&mut handle, text.as_bytes()).unwrap();
        let owner = planekeeper::facts::Owner::default();
        self.files.grant(&handle, FileMode { mode: 0o600, owner }).unwrap();
    }

    fn change(&self, path: &str, from: &str, to: &str) {
        let (bytes, _) = self.files.read(path).unwrap().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(path, &text.replace(from, to));
    }

    /// The status after a look at a moment.
    fn status(&self, previous: Option<&Status>, now: i64) -> Status {
        let (program, configuration, pass) = (program(), configuration(), self.look());
        let inputs =
            Inputs { now: Moment(now), looked: Some(looked(&self.cluster, &pass)), ..inputs(&program, &configuration) };
        update::next(previous, &inputs)
    }
}

fn looked<'a>(cluster: &'a Cluster, pass: &'a Pass) -> Looked<'a> {
    Looked { cluster, desired: &pass.desired, observed: &pass.observed, plan: &pass.plan }
}

#[test]
fn a_host_is_not_called_as_configured_before_it_was_compared_with_the_configuration_that_was_taken_last() {
    let host = Host::new(SMALL);
    let well = host.status(None, NOW);
    let view = |status| View { status, now: Moment(NOW), presence: Presence::Written };
    assert!(view(&well).ready());
    let (program, taken) = (program(), Configuration { hash: "4".repeat(64), ..configuration() });
    let status = update::next(Some(&well), &inputs(&program, &taken));
    assert_eq!(view(&status).verdict().0, Word::Pending);
    let pass = host.look();
    let looked = Some(looked(&host.cluster, &pass));
    let status = update::next(Some(&status), &Inputs { looked, ..inputs(&program, &taken) });
    assert!(view(&status).ready());
}

const SCHEDULER: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";

fn truth(status: &Status, kind: &str) -> (Truth, String) {
    let condition = status.condition(kind).unwrap();
    (condition.status, condition.reason.clone())
}

fn watching(status: &Status, now: i64) -> View<'_> {
    View { status, now: Moment(now), presence: Presence::Watching(None) }
}

/// A live control plane that is as wanted: what it is made of is what [`desired`] says, its certificates are those of a host in memory.
fn live(cluster: &Cluster) -> (Desired, Observed) {
    let facts = Facts { live: true, now: NOW, ca_certificate: Some(String::new()), ..Facts::default() };
    let desired = desired::desired(cluster, &facts);
    let host = Host { files: Memory::default(), cluster: cluster.clone() };
    converge(&host.files, cluster);
    let mut observed = host.look().observed;
    let certificate = observed[&Id::certificate("apiserver")].clone();
    observed.insert(Id::certificate("kubelet-server"), certificate);
    for resource in &desired.resources {
        let seen = match &resource.want {
            Want::Present(Spec::Gate(_)) => Seen::Gate(Ok(())),
            Want::Present(Spec::StaticPod(_)) => Seen::StaticPod(StaticPodSeen::default()),
            Want::Present(Spec::Unit(_)) => {
                Seen::Unit(UnitSeen { active: Ok(()), enabled: Ok(()), started: None, reads: Vec::new() })
            }
            _ => continue,
        };
        observed.insert(resource.id.clone(), Ok(seen));
    }
    (desired, observed)
}

/// A live control plane that is well, seen for the first time.
fn well() -> Status {
    let cluster = cluster(SMALL);
    let (desired, observed) = live(&cluster);
    let plan = Plan { unchanged: desired.resources.len(), ..Plan::default() };
    let (program, configuration) = (program(), configuration());
    let next = Wake { at: Moment(NOW + 52), reason: "a look at everything".into() };
    let looked = Looked { cluster: &cluster, desired: &desired, observed: &observed, plan: &plan };
    let ran = Ran { trigger: "timer", took: Duration::from_millis(190), done: &[], failed: &[] };
    let inputs = Inputs {
        now: Moment(NOW - 8),
        looked: Some(looked),
        ran: Some(ran),
        next_wake: Some(&next),
        ..inputs(&program, &configuration)
    };
    update::next(None, &inputs)
}

/// A live control plane in all kinds of trouble.
fn trouble() -> Status {
    let cluster = cluster(SMALL);
    let (desired, mut observed) = live(&cluster);
    observed.insert(Id::gate("kube-scheduler"), Ok(Seen::Gate(Err("restarts again and again: <exit code 1>".into()))));
    observed.insert(
        Id::gate("node"),
        Err(planekeeper::observed::ObserveError { what: "Node".into(), why: "timeout".into() }),
    );
    let host = Host::new(SMALL);
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    host.write("/etc/kubernetes/pki/sa.pub", "x");
    host.files.remove_file("/etc/kubernetes/manifests/etcd.yaml").unwrap();
    let pass = host.look();
    let mut plan = Plan { steps: pass.plan.steps.clone(), ..Plan::default() };
    let held = planekeeper::plan::Held { id: Id::gate("node"), reason: "cannot read Node: timeout".into() };
    plan.held.push(held);
    let failed = [Failed {
        id: Id::object("ConfigMap", Some("kube-system"), "coredns"),
        error: ApplyError::new("apply", "ConfigMap kube-system/coredns", "connection refused"),
    }];
    let problem = |line: u32, field: &str, message: &str| Problem {
        place: format!("cluster.yaml:{line}"),
        field: field.into(),
        message: message.into(),
    };
    let rejected = Rejected {
        hash: HASH.replace('3', "4"),
        since: Moment(NOW - 120),
        problems: vec![
            problem(5, "ClusterConfiguration.networking.podSubnet", "\"10.244.0.0/33\" is not a subnet"),
            problem(6, "ClusterConfiguration.networking.dnsDomian", "no such field: did you mean dnsDomain?"),
        ],
    };
    let fights = [Fight {
        resource: format!("file:{SCHEDULER}"),
        by: None,
        since: Moment(NOW - 600),
        until: Some(Moment(NOW + 1800)),
    }];
    let (program, configuration) = (program(), configuration());
    let before = well();
    let inputs = Inputs {
        rejected: Some(&rejected),
        looked: Some(Looked { cluster: &cluster, desired: &desired, observed: &observed, plan: &plan }),
        ran: Some(Ran {
            trigger: "file",
            took: Duration::from_millis(21_450),
            done: &pass.plan.steps,
            failed: &failed,
        }),
        fights: &fights,
        ..inputs(&program, &configuration)
    };
    update::next(Some(&before), &inputs)
}

fn compare(name: &str, made: &str, rewritten: &mut Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status").join(name);
    if fs::read_to_string(&path).unwrap_or_default() == made {
        return;
    }
    assert!(std::env::var_os("UPDATE_STATUS").is_some(), "what is made is not {}:\n{made}", path.display());
    fs::write(&path, made).unwrap();
    rewritten.push(name.to_owned());
}

/// Certificates are made anew for each test, and begin and end in the same second only as long as the clock stands still, which it does.
#[test]
fn everything_that_is_shown_is_as_expected() {
    let mut rewritten = Vec::new();
    for (name, status) in [("well", well()), ("trouble", trouble())] {
        let view = watching(&status, NOW);
        compare(&format!("{name}.txt"), &text::text(&view), &mut rewritten);
        compare(&format!("{name}.html"), &page::page(&view), &mut rewritten);
        compare(&format!("{name}.prom"), &metrics::metrics(&view), &mut rewritten);
        compare(&format!("{name}.json"), &status.to_text(), &mut rewritten);
        compare(&format!("{name}.object.json"), &format!("{:#}\n", object::with_status(&status)), &mut rewritten);
        let checks = health::ready(&view);
        compare(&format!("{name}.readyz"), &health::text("readyz", &checks, true), &mut rewritten);
    }
    assert!(rewritten.is_empty(), "rewritten, read them: {rewritten:?}");
}

#[test]
fn a_host_that_is_as_configured_is_converged_and_ready() {
    let status = well();
    for kind in [READY, CONVERGED, CONFIGURATION_ACCEPTED, COMPONENTS_HEALTHY, CERTIFICATES_VALID] {
        assert_eq!(truth(&status, kind).0, Truth::True, "{kind}: {:?}", status.condition(kind));
    }
    assert_eq!(truth(&status, PAUSED).0, Truth::False);
    let (word, sentence) = watching(&status, NOW).verdict();
    assert_eq!(word, Word::Converged, "{sentence}");
    assert!(
        health::passed(&health::ready(&watching(&status, NOW)))
            && health::passed(&health::live(&watching(&status, NOW)))
    );
}

#[test]
fn every_condition_is_there_from_the_first_moment_and_none_claims_what_nobody_saw() {
    let (program, configuration) = (program(), configuration());
    let status = update::next(None, &inputs(&program, &configuration));
    assert_eq!(status.conditions.len(), 7);
    for kind in [READY, CONVERGED, COMPONENTS_HEALTHY, CERTIFICATES_VALID, ROLLED_BACK] {
        assert_eq!(truth(&status, kind).0, Truth::Unknown, "{kind}");
    }
    assert_eq!(watching(&status, NOW).verdict().0, Word::Unknown);
}

#[test]
fn what_was_taken_back_is_told_with_its_reason() {
    let well = well();
    assert_eq!(truth(&well, ROLLED_BACK).0, Truth::False);
    let given_up = GivenUp { resource: "file:/x/kube-apiserver.yaml".into(), reason: "unknown flag".into() };
    let status = Status { given_up: vec![given_up], ..well };
    let told = conditions::conditions(&status, Some(&status), Moment(NOW));
    let told = told.iter().find(|condition| condition.kind == ROLLED_BACK).unwrap();
    assert_eq!((told.status, told.reason.as_str()), (Truth::True, "ChangeRolledBack"));
    assert!(told.message.contains("kube-apiserver.yaml: unknown flag"), "{}", told.message);
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let host = Host::new(SMALL);
    let first = host.status(None, NOW);
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    let drifted = host.status(Some(&first), NOW + 100);
    host.change(SCHEDULER, "--leader-elect=false", "--leader-elect=maybe");
    let still = host.status(Some(&drifted), NOW + 200);
    let time = |status: &Status, kind| status.condition(kind).unwrap().last_transition_time.0;
    assert_eq!((time(&drifted, CONVERGED), time(&still, CONVERGED)), (NOW + 100, NOW + 100));
    assert_ne!(drifted.condition(CONVERGED).unwrap().message, still.condition(CONVERGED).unwrap().message);
    assert_eq!(time(&still, CERTIFICATES_VALID), NOW, "what did not change keeps its time");
}

#[test]
fn a_pass_that_finds_nothing_new_leaves_nothing_to_write() {
    let host = Host::new(SMALL);
    let first = host.status(None, NOW);
    let second = host.status(Some(&first), NOW + 60);
    assert_ne!(first, second, "its age is another");
    assert_eq!(first.without_ages(), second.without_ages());
    assert_eq!(object::with_status(&first), object::with_status(&second), "nor in the cluster");
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    assert_ne!(host.status(Some(&second), NOW + 90).without_ages(), second.without_ages());
}

#[test]
fn drift_is_shown_with_what_differs_and_counted_when_it_is_put_right() {
    let host = Host::new(SMALL);
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    let drifted = host.status(None, NOW);
    let resource = drifted.resources.iter().find(|resource| resource.id.ends_with("kube-scheduler.yaml")).unwrap();
    assert_eq!((resource.state, drifted.drift.now), (State::Drifted, 1));
    assert!(resource.message.contains("--leader-elect: false -> true"), "{}", resource.message);
    assert_eq!(truth(&drifted, CONVERGED), (Truth::False, "Drifted".into()));

    let steps = host.look().plan.steps;
    host.change(SCHEDULER, "--leader-elect=false", "--leader-elect=true");
    let (program, configuration, pass) = (program(), configuration(), host.look());
    let ran = Ran { trigger: "file", took: Duration::from_millis(80), done: &steps, failed: &[] };
    let inputs =
        Inputs { looked: Some(looked(&host.cluster, &pass)), ran: Some(ran), ..inputs(&program, &configuration) };
    let repaired = update::next(Some(&drifted), &inputs);
    assert_eq!(truth(&repaired, CONVERGED).0, Truth::True);
    assert_eq!((repaired.drift.now, repaired.drift.repaired), (0, 1));
    assert_eq!(repaired.counters.repairs["file"], 1);
    assert_eq!((repaired.actions[0].what.as_str(), repaired.actions[0].cause.as_str()), ("repaired", "drift"));
    let reasons: Vec<_> = object::events(&drifted, &repaired).into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["Repaired"]);
}

#[test]
fn what_is_to_be_reported_only_is_converged_and_still_shown() {
    let host = Host::new(&with_settings("drift:\n  policy: Report\n"));
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    let status = host.status(None, NOW);
    assert_eq!(status.drift.now, 1);
    assert!(text::text(&watching(&status, NOW)).contains("--leader-elect"), "{}", text::text(&watching(&status, NOW)));
}

#[test]
fn a_rejected_configuration_is_told_with_its_line_while_the_old_one_stays_in_force() {
    let status = trouble();
    let condition = status.condition(CONFIGURATION_ACCEPTED).unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (Truth::False, "ConfigurationRejected"));
    assert!(condition.message.starts_with("cluster.yaml:5: "), "{}", condition.message);
    assert!(condition.message.contains("stays in force"), "{}", condition.message);
    assert_eq!(status.configuration.as_ref().unwrap().hash, HASH);
    let shown = text::text(&watching(&status, NOW));
    assert!(shown.contains("cluster.yaml:6: ClusterConfiguration.networking.dnsDomian"), "{shown}");
    assert_eq!(status.counters.rejections, 1);
}

#[test]
fn a_pause_is_shown_with_what_drifts_meanwhile() {
    let host = Host::new(SMALL);
    let before = host.status(None, NOW);
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    let pause = Pause {
        reason: "the disk is replaced".into(),
        since: Moment(NOW),
        until: Some(Moment(NOW + 3600)),
        by: "root".into(),
    };
    let (program, configuration, pass) = (program(), configuration(), host.look());
    let inputs =
        Inputs { looked: Some(looked(&host.cluster, &pass)), pause: Some(&pause), ..inputs(&program, &configuration) };
    let status = update::next(Some(&before), &inputs);
    assert_eq!(truth(&status, PAUSED).0, Truth::True);
    let (word, sentence) = watching(&status, NOW).verdict();
    assert_eq!(word, Word::Paused);
    assert!(sentence.contains("the disk is replaced") && sentence.contains("1 resource differs"), "{sentence}");
    let reasons: Vec<_> = object::events(&before, &status).into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["Drifted", "Paused"]);
    assert!(object::events(&status, &status).is_empty(), "an Event is told once");
}

#[test]
fn what_nobody_keeps_true_is_never_shown_as_true() {
    let status = well();
    for presence in [Presence::Gone, Presence::Silent] {
        let view = View { status: &status, now: Moment(NOW + 7200), presence };
        let (word, sentence) = view.verdict();
        assert_eq!(word, Word::Unknown);
        assert!(sentence.contains("2h ago") && sentence.contains("CONVERGED"), "{sentence}");
        assert!(page::page(&view).contains("<body class=\"stale\">"));
        assert!(metrics::metrics(&view).contains("\nplanekeeper_stale 1\n"));
        assert!(!health::passed(&health::ready(&view)));
    }
}

#[test]
fn a_watch_that_does_not_look_when_it_should_is_not_alive() {
    let status = well();
    let due = status.next_wake.as_ref().unwrap().at.0;
    let alive = |now: i64, working: Option<i64>| {
        let presence = Presence::Watching(working.map(Moment));
        health::passed(&health::live(&View { status: &status, now: Moment(now), presence }))
    };
    assert!(alive(due + 30, None));
    assert!(!alive(due + 300, None), "nothing looks");
    assert!(alive(due + 300, Some(due)), "it looks, which takes its time");
    assert!(!alive(due + 9000, Some(due)), "it looks for hours");
}

#[test]
fn a_certificate_that_ended_since_the_last_look_is_not_called_valid() {
    let status = well();
    let end = status.certificates.iter().filter_map(|certificate| certificate.expires).min().unwrap();
    let view = View { status: &status, now: Moment(end.0 + 1), presence: Presence::Watching(Some(end)) };
    assert_eq!(view.verdict().0, Word::Degraded);
    assert!(page::page(&view).contains(">expired</span>"));
}

#[test]
fn certificates_that_a_person_has_to_renew_are_told_of_in_time_and_ready_all_the_same() {
    let host = Host::new(SMALL);
    host.files.remove_file("/etc/kubernetes/pki/ca.key").unwrap();
    converge(&host.files, &host.cluster);
    let before = host.status(None, NOW);
    let end = before.certificates.iter().filter_map(|one| one.expires).min().unwrap();
    let now = end.0 - 86_400;
    let status = host.status(Some(&before), now);
    assert_eq!(truth(&status, "CertificatesValid"), (Truth::True, "RenewalNeeded".to_owned()));
    let message = &status.condition("CertificatesValid").unwrap().message;
    assert!(message.contains("apiserver, ") && message.contains("scheduler.conf"), "{message}");
    assert!(!message.contains("etcd-server"), "its CA has its key: {message}");
    let events: Vec<_> =
        object::events(&before, &status).into_iter().map(|event| (event.warning, event.reason)).collect();
    assert!(events.contains(&(true, "CertificateRenewalNeeded")), "{events:?}");
    assert!(object::events(&status, &status).is_empty(), "an Event is told once");
    let view = watching(&status, now);
    assert_eq!(view.verdict().0, Word::Converged);
    let metrics = metrics::metrics(&view);
    assert!(metrics.contains("planekeeper_certificate_renewal_needed{name=\"apiserver\",ca=\"ca\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("planekeeper_certificate_renewal_needed{name=\"etcd-server\""), "{metrics}");
    assert!(text::text(&view).contains("TO BE RENEWED BY HAND: admin.conf, apiserver"), "{}", text::text(&view));
}

#[test]
fn a_component_that_fails_is_told_of_whatever_the_plan_holds() {
    let status = trouble();
    let scheduler = status.components.iter().find(|component| component.name == "kube-scheduler").unwrap();
    assert_eq!(scheduler.health, Health::Unhealthy);
    assert_eq!(watching(&status, NOW).verdict().0, Word::Degraded);
    assert_eq!(status.components.iter().find(|component| component.name == "etcd").unwrap().health, Health::Healthy);
}

#[test]
fn why_nothing_is_done_at_all_is_the_verdict() {
    let (program, configuration) = (program(), configuration());
    let why = Some("the control plane is somebody else's");
    let status = update::next(Some(&well()), &Inputs { idle: why, ..inputs(&program, &configuration) });
    let (word, sentence) = watching(&status, NOW).verdict();
    assert_eq!(
        (word, sentence.as_str()),
        (Word::Blocked, "cp1: nothing is done: the control plane is somebody else's")
    );
}

#[test]
fn a_failure_is_remembered_once_however_often_it_is_met() {
    let (program, configuration) = (program(), configuration());
    let failed = [Failed { id: Id::file("/x"), error: ApplyError::new("write", "/x", "the disk is full") }];
    let ran = Ran { trigger: "timer", took: Duration::ZERO, done: &[], failed: &failed };
    let inputs = Inputs { ran: Some(ran), ..inputs(&program, &configuration) };
    let first = update::next(None, &inputs);
    let second = update::next(Some(&first), &inputs);
    assert_eq!((second.actions.len(), second.counters.failures["file"]), (1, 2));
}

#[test]
fn the_page_runs_no_script_and_loads_nothing() {
    let mut status = trouble();
    status.node = "<script>alert(1)</script>".into();
    status.resources[0].message = "\"'><img src=x>".into();
    let html = page::page(&watching(&status, NOW));
    for text in
        ["<script", "<img", "<link", "<iframe", "javascript:", " style=", "http://", "https://", "@import", "url("]
    {
        assert!(!html.contains(text), "{text}");
    }
    assert!(page::security_policy().starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(page::page(&watching(&well(), NOW)).len() < 64 << 10, "{}", page::page(&watching(&well(), NOW)).len());
}

#[test]
fn metrics_are_well_formed_and_each_family_is_there_once() {
    for status in [well(), trouble(), Status::default()] {
        let text = metrics::metrics(&watching(&status, NOW));
        let mut families = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name), "{name} twice");
                assert!(name.starts_with("planekeeper_"), "{name}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let name = series.split('{').next().unwrap();
                assert!(families.iter().any(|family| name.starts_with(family)), "{line}");
            }
        }
    }
}

#[test]
fn the_alerts_ask_only_for_metrics_and_labels_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus/alerts.yaml");
    let rules = planekeeper::yaml::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let told = metrics::metrics(&watching(&trouble(), NOW));
    let mut asked = 0;
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let expression = rule["expr"].as_str().unwrap();
        for part in expression.split("planekeeper_").skip(1) {
            let end = part.find(|char: char| !char.is_ascii_lowercase() && char != '_').unwrap_or(part.len());
            let name = format!("planekeeper_{}", &part[..end]);
            assert!(told.contains(&format!("# TYPE {name} ")), "{name}");
            if let Some(labels) = part[end..].strip_prefix('{') {
                for label in labels.split('}').next().unwrap().split(',') {
                    let label = label.split(['=', '!']).next().unwrap();
                    assert!(told.contains(&format!("{label}=\"")), "{name}: {label}");
                }
            }
            asked += 1;
        }
    }
    assert!(asked > 8, "{asked}");
}

/// What must be in no output: private keys, tokens' secrets, whatever is in a Secret.
#[test]
fn no_secret_is_in_anything_that_is_shown() {
    let host = Host::new(SMALL);
    let mut secrets =
        vec!["0123456789abcdef".to_owned(), "MDEyMzQ1Njc4OWFiY2RlZg".to_owned(), "PRIVATE KEY".to_owned()];
    let keys: Vec<String> = host
        .files
        .touched()
        .into_keys()
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "key"))
        .collect();
    assert!(keys.len() > 8, "{keys:?}");
    for path in keys {
        let text = String::from_utf8(host.files.read(&path).unwrap().unwrap().0).unwrap();
        secrets.extend(text.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    }
    // Everything that may hold a secret is gone or another, one after the other, so that each is told of.
    let paths: Vec<String> = host.files.touched().into_keys().filter(|path| !path.ends_with('/')).collect();
    assert!(paths.len() > 40);
    for path in &paths {
        let (bytes, _) = host.files.read(path).unwrap().unwrap();
        let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
        host.write(path, &format!("{}\nx: {secret}", secrets[3]));
        let broken = host.status(None, NOW);
        host.files.remove_file(path).unwrap();
        let gone = host.status(Some(&broken), NOW);
        for status in [&broken, &gone] {
            let view = watching(status, NOW);
            let shown = [
                text::text(&view),
                page::page(&view),
                metrics::metrics(&view),
                status.to_text(),
                object::with_status(status).to_string(),
                health::text("readyz", &health::ready(&view), true),
                format!("{:?}", object::events(&Status::default(), status)),
                format!("{status:?}"),
            ];
            for (index, text) in shown.iter().enumerate() {
                let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
                assert_eq!(found, None, "{path} is broken, output {index}: {text}");
            }
        }
        let _ = host.files.remove_file(path);
        host.write(path, &String::from_utf8(bytes).unwrap());
    }
}

#[test]
fn a_status_is_read_back_as_it_was_written() {
    for status in [well(), trouble(), Status::default()] {
        assert_eq!(Status::read(&status.to_text()), Some(status));
    }
    assert_eq!(Status::read("{"), None);
}

#[test]
fn the_crd_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/controlplanenodes.planekeeper.dev.yaml");
    let want = planekeeper::yaml::to_string(&object::crd());
    let there = fs::read_to_string(path).unwrap_or_default();
    if there != want && std::env::var_os("UPDATE_CRDS").is_some() {
        fs::write(path, &want).unwrap();
    }
    assert!(there == want, "crds/ is not that of the types: run UPDATE_CRDS=1 cargo test crd, and again");
}

/// Names of fields of what is told in the cluster that its schema does not have.
fn unknown_fields(value: &serde_json::Value, schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let below = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                match below {
                    Some(schema) => unknown_fields(value, schema, &format!("{path}.{name}"), found),
                    None => found.push(format!("{path}.{name}")),
                }
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                unknown_fields(item, &schema["items"], path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_in_the_cluster_has_every_field_that_is_told_there() {
    let crd = object::crd();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for status in [well(), trouble()] {
        let mut found = Vec::new();
        unknown_fields(&object::with_status(&status)["status"], &schema["properties"]["status"], "status", &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}

/// A prompt with a sandbox.
struct Prompt(tempfile::TempDir);

impl Prompt {
    fn new() -> Self {
        let prompt = Self(tempfile::TempDir::new().unwrap());
        fs::write(prompt.0.path().join("cluster.yaml"), SMALL).unwrap();
        prompt
    }

    fn run(&self, line: &str) -> (String, i32) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_planekeeper"));
        command.args(line.split_whitespace()).args(["--root", "host"]).current_dir(self.0.path());
        let output = command.env_clear().env("PLANEKEEPER_CONFIG", "cluster.yaml").env("USER", "ada").output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (said, output.status.code().unwrap())
    }

    fn modified(&self) -> std::time::SystemTime {
        fs::metadata(self.0.path().join("host/var/lib/planekeeper/status.json")).unwrap().modified().unwrap()
    }
}

#[test]
fn a_run_leaves_its_status_behind_and_one_with_nothing_to_do_does_not_touch_it() {
    let prompt = Prompt::new();
    let (said, code) = prompt.run("status");
    assert!(code == 1 && said.contains("has not looked at this host yet"), "{said}");
    assert_eq!(prompt.run("reconcile").1, 0);
    let before = prompt.modified();
    let (said, code) = prompt.run("status");
    // Nobody watches: it is not claimed that the host still is so, nor by the exit code.
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("UNKNOWN  no planekeeper watches this host. When it was last looked at, "), "{said}");
    assert!(said.contains(" ago, it was CONVERGED: cp1 is as configured"), "{said}");
    assert_eq!(prompt.run("reconcile").1, 0);
    assert_eq!(prompt.modified(), before);
    let (json, _) = prompt.run("status -o json");
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&told["verdict"], &told["status"]["node"]), (&"UNKNOWN".into(), &"cp1".into()));
    assert!(told["stale"].is_string() && told["ageSeconds"].is_i64(), "{told}");
}

#[test]
fn waiting_ends_when_its_time_is_over() {
    let prompt = Prompt::new();
    assert_eq!(prompt.run("status --wait --timeout 1ms").1, 1);
    assert_eq!(prompt.run("status --wait --timeout never").1, 64);
    assert_eq!(prompt.run("status --timeout 5s").1, 64, "there is nothing to time without --wait");
}

#[test]
fn a_pause_is_written_with_its_reason_and_end_and_taken_back() {
    let prompt = Prompt::new();
    fs::create_dir(prompt.0.path().join("host")).unwrap();
    assert_eq!(prompt.run("pause").1, 64, "a pause has a reason");
    assert_eq!(prompt.run("pause --reason \u{1b}[2J").1, 64, "it is shown on terminals");
    let (said, code) = prompt.run("pause --reason maintenance --for 2h");
    assert!(code == 0 && said.starts_with("This host is paused by ada since "), "{said}");
    let (said, _) = prompt.run("pause --reason maintenance --for 2h --output json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["pause"]["by"], "ada");
    let text = fs::read_to_string(prompt.0.path().join("host/var/lib/planekeeper/pause.json")).unwrap();
    let pause = Pause::read(&Ok(Some(text.into_bytes())), Moment(0)).unwrap();
    assert_eq!((pause.reason.as_str(), pause.by.as_str()), ("maintenance", "ada"));
    assert_eq!(pause.until.unwrap().since(pause.since), 7200);
    assert_eq!(prompt.run("resume").1, 0);
    assert!(!prompt.0.path().join("host/var/lib/planekeeper/pause.json").exists());
    assert_eq!(prompt.run("resume"), ("It was not paused.\n".into(), 0));
}

/// What somebody on this host is answered.
fn get(address: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_watches_is_asked_and_writes_down_only_what_is_new() {
    let host = Host::new(SMALL);
    let runtime = Connections::new().unwrap();
    let files = Memory::default();
    for folder in ["/var", "/var/lib", "/var/lib/planekeeper"] {
        files.create_directory(folder).unwrap();
    }
    let owner = planekeeper::facts::Owner::default();
    let shown = Shown::open(Files(&files), owner, program(), || NOW);
    // Any port that is free, which is then the one that it keeps.
    shown.listen(Some("127.0.0.1:0".parse().unwrap()), runtime.handle()).unwrap();
    let address = shown.program().address.unwrap().parse().unwrap();
    assert!(get(address, "/statusz").contains("UNKNOWN"), "nobody has looked yet");
    let show = |now: i64| {
        let (program, configuration, pass) = (shown.program(), configuration(), host.look());
        let looked = Some(looked(&host.cluster, &pass));
        shown.show(&Inputs { now: Moment(now), looked, ..inputs(&program, &configuration) }).unwrap();
    };
    show(NOW);
    assert!(get(address, "/statusz").contains("CONVERGED"));
    assert!(get(address, "/readyz").starts_with("HTTP/1.0 200 OK"));
    let written = files.touched();
    show(NOW + 60);
    assert_eq!(files.touched(), written, "nothing is new but ages");
    host.change(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    show(NOW + 120);
    assert_ne!(files.touched(), written);
    assert!(get(address, "/readyz").starts_with("HTTP/1.0 503"));
    assert!(get(address, "/api/v1/status").contains("\"verdict\": \"PENDING\""));
    shown.listen(None, runtime.handle()).unwrap();
    assert_eq!(shown.program().address, None);

    // The next process goes on from there.
    let next = Shown::open(Files(&files), owner, program(), || NOW);
    assert_eq!(next.status().without_ages().resources, shown.status().resources);
}
