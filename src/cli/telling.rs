//! What `watch` shows of itself: its state as a status, kept, served, and told of in the cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::arguments::Place;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run;
use crate::cli::status::paused;
use crate::cluster::{Cluster, STATUS_ADDRESS};
use crate::desired::kubeconfig;
use crate::engine::Pass;
use crate::host::api::{Access, Api};
use crate::host::connections::Connections;
use crate::host::files::Disk;
use crate::host::machine;
use crate::host::publish::{Label, Publisher};
use crate::host::shown::{self, Shown};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::resource::Desired;
use crate::status::update::{Inputs, Looked, Ran};
use crate::status::{self, Configuration, Fight, Moment, Pause, Problem, Rejected, Status, Wake};
use crate::watch::log::{Level, Log};
use crate::watch::{self, State};

/// Called when the label of the cluster that pauses was set or taken away.
pub type Woken = Arc<dyn Fn() + Send + Sync>;

/// What is shown of a watch.
pub struct Telling<'a> {
    place: &'a Place,
    log: Log,
    woken: Woken,
    shown: Shown<Disk>,
    runtime: Connections,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The last look, until it is shown.
    seen: Option<Seen>,
    /// When the pass that was shown last began.
    pass: Option<Instant>,
    /// The cluster that was last looked at.
    cluster: Option<Arc<Cluster>>,
    adopted: bool,
    publisher: Option<Publisher>,
    /// The API server that it is told through.
    server: String,
    /// The cluster is not told of this host, and so has no say in a pause.
    silent: bool,
    /// What was last warned of.
    warned: Option<String>,
}

struct Seen {
    cluster: Arc<Cluster>,
    desired: Desired,
    observed: Observed,
    plan: Plan,
}

impl<'a> Telling<'a> {
    /// Begins with what was last written down. It is served from the first moment on, at its default address, on a real host.
    ///
    /// # Errors
    /// The root cannot be opened or read, or the system gives no threads.
    pub fn open(place: &'a Place, log: Log, woken: Woken) -> Result<Self, Failure> {
        let root = place.path();
        let program = shown::this_process(status::Mode::Watch, machine::now());
        let shown = Shown::open(run::disk(root)?, machine::owner(), program, machine::now);
        let runtime = Connections::new();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let telling = Self { place, log, woken, shown, runtime, kept: Mutex::default() };
        if place.root.is_none() {
            telling.listen(Some(STATUS_ADDRESS));
        }
        Ok(telling)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another watch may be served at the address already, which is no reason not to keep the host.
    fn listen(&self, address: Option<std::net::SocketAddr>) {
        if let Err(error) = self.shown.listen(address, self.runtime.handle()) {
            self.warn(&format!("the status is not served over HTTP: {error}"));
        }
    }

    fn warn(&self, what: &str) {
        let mut kept = self.kept();
        if kept.warned.as_deref() != Some(what) {
            self.log.tell(Level::Warning, "Status", what, &[]);
            kept.warned = Some(what.to_owned());
        }
    }

    /// Takes a look at the host: a pass has begun.
    pub fn looked(&self, cluster: &Cluster, pass: &Pass) {
        self.shown.begin();
        let mut kept = self.kept();
        kept.adopted = pass.facts.adopted;
        let cluster = Arc::new(cluster.clone());
        kept.cluster = Some(Arc::clone(&cluster));
        let (desired, observed, plan) = (pass.desired.clone(), pass.observed.clone(), pass.plan.clone());
        kept.seen = Some(Seen { cluster, desired, observed, plan });
    }

    /// The pause that is in force.
    pub fn paused(&self) -> Option<Pause> {
        let (now, root) = (Moment(machine::now()), self.place.path());
        let (label, silent) = {
            let kept = self.kept();
            (kept.publisher.as_ref().map(Publisher::label).unwrap_or_default(), kept.silent)
        };
        let shown = self.shown.status().pause.clone();
        paused(root, now).or_else(|| match label {
            Label::Read(label) => Pause::of_label(label.as_deref(), shown.as_ref(), now),
            // A host that was paused by it when this process began is until the label can be read.
            Label::Unread => shown.filter(|shown| !silent && shown.is_of_label()),
        })
    }

    /// Shows what there is to say now.
    pub fn show(&self, state: &State) {
        let (seen, cluster, last) = {
            let mut kept = self.kept();
            (kept.seen.take(), kept.cluster.clone(), kept.pass)
        };
        if let Some(cluster) = &cluster
            && self.place.root.is_none()
        {
            self.listen(cluster.settings.status_address);
            self.publish(cluster);
        }
        let before = self.shown.status();
        let now = Moment(machine::now());
        let (configuration, rejected) = (configuration(state, &before), rejected(state));
        let fights = fights(state, &before, now);
        let next = state.next.as_ref().map(|(at, wake)| Wake { at: Moment(*at), reason: wake.to_string() });
        let ended = state.pass.as_ref().filter(|pass| last != Some(pass.began));
        let trigger = ended.map(triggers).unwrap_or_default();
        let blind = state.pass.as_ref().and_then(|pass| pass.result.as_ref().err());
        let ran = ended.and_then(|pass| {
            let report = pass.result.as_ref().ok()?;
            Some(Ran { trigger: &trigger, took: pass.took, done: &report.done, failed: &report.failed })
        });
        let left = ended.and_then(|pass| Some(&pass.result.as_ref().ok()?.left));
        let looked = seen.as_ref().map(|seen| Looked {
            cluster: &seen.cluster,
            desired: &seen.desired,
            observed: &seen.observed,
            // What the run says at its end knows more than its last look: what failed holds others.
            plan: left.unwrap_or(&seen.plan),
        });
        let program = self.shown.program();
        let inputs = Inputs {
            now,
            program: &program,
            configuration: configuration.as_ref(),
            rejected: rejected.as_ref(),
            looked,
            blind: blind.map(String::as_str),
            idle: state.idle.as_deref(),
            ran,
            pause: state.paused.as_ref(),
            fights: &fights,
            next_wake: next.as_ref(),
        };
        if let Err(error) = self.shown.show(&inputs) {
            self.warn(&error.chain());
        }
        let after = self.shown.status();
        let untold = {
            let mut kept = self.kept();
            kept.pass = state.pass.as_ref().map(|pass| pass.began);
            kept.publisher.as_ref().and_then(|publisher| {
                publisher.tell(&before, &after);
                publisher.error()
            })
        };
        // While the API server is away there is nothing to say of that.
        if let Some(why) = untold.filter(|_| after.api_reachable == Some(true)) {
            self.warn(&format!("the cluster is not told of this host: {why}"));
        }
    }

    /// Tells of the host in its cluster, where that is wanted.
    fn publish(&self, cluster: &Arc<Cluster>) {
        let mut kept = self.kept();
        let wanted = cluster.settings.publish_status.unwrap_or(!kept.adopted);
        let was_silent = std::mem::replace(&mut kept.silent, !wanted);
        if !wanted {
            kept.publisher = None;
            if !was_silent && self.shown.status().is_paused_by_label() {
                (self.woken)();
            }
            return;
        }
        let server = format!("https://{}", cluster.endpoint.host_port());
        if kept.publisher.is_none() || kept.server != server {
            let handle = self.runtime.handle().clone();
            let (woken, timeout) = (Arc::clone(&self.woken), cluster.timeouts.kubernetes_api_call);
            kept.server.clone_from(&server);
            let connect = move || {
                let [admin, ..] = kubeconfig::NAMES;
                let text = std::fs::read_to_string(kubeconfig::path(admin)).map_err(|error| error.to_string())?;
                let access = Access { kubeconfig: &text, fallback: None, server: Some(&server), timeout };
                Api::new(&access, handle.clone()).map_err(|error| error.to_string())
            };
            kept.publisher = Publisher::start(Box::new(connect), Box::new(move || woken())).ok();
        }
    }
}

/// What woke a pass: the first reason, and how many more there were.
fn triggers(pass: &watch::LastPass) -> String {
    let first = pass.wakes.first().map(ToString::to_string).unwrap_or_default();
    match pass.wakes.len() {
        0 | 1 => first,
        many => format!("{first} and {} more", many - 1),
    }
}

fn configuration(state: &State, before: &Status) -> Option<Configuration> {
    let version = state.in_force.as_ref()?;
    let (source, hash, revision) = (version.source.clone(), version.hash.clone(), commit(&version.resolved));
    let since = Moment(version.since);
    Some(Configuration { source, hash, revision, since }.after(before.configuration.as_ref()))
}

fn rejected(state: &State) -> Option<Rejected> {
    let rejected = state.rejected.as_ref()?;
    let problems = rejected.problems.iter().map(Problem::from).collect();
    Some(Rejected { hash: rejected.hash.clone(), since: Moment(rejected.since), problems })
}

fn fights(state: &State, before: &Status, now: Moment) -> Vec<Fight> {
    let fight = |fight: &watch::fights::Fight| {
        let resource = fight.id.0.clone();
        let old = before.fights.iter().find(|old| old.resource == resource);
        let since = old.map_or(now, |old| old.since);
        let until = until(fight.until, old.and_then(|old| old.until), now);
        Fight { resource, by: fight.by.clone(), since, until: Some(until) }
    };
    state.fights.iter().map(fight).collect()
}

/// A moment of the clock by which this process measures, as one of the calendar. It is rounded, so that one that is the same may differ by a
/// second from when it was last shown: then it stays, since what changes is written down.
fn until(at: Instant, before: Option<Moment>, now: Moment) -> Moment {
    let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
    let until = now.0.saturating_add(i64::try_from(left.as_secs()).unwrap_or(i64::MAX));
    before.filter(|before| before.0.abs_diff(until) <= 1).unwrap_or(Moment(until))
}

/// The commit that a path has in it, as that of git-sync's worktrees does.
fn commit(resolved: &str) -> Option<String> {
    let is_commit = |name: &&str| matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    resolved.rsplit('/').find(is_commit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_the_commit_of_git_syncs_worktree() {
        let path = "1f0e".repeat(10);
        assert_eq!(commit(&format!("/git/.worktrees/{path}/cluster")), Some(path));
        assert_eq!(commit("/etc/planekeeper/cluster.yaml"), None);
    }

    #[test]
    fn the_end_of_a_pause_in_a_fight_does_not_move_by_rounding() {
        let at = Instant::now() + Duration::from_secs(10);
        let first = until(at, None, Moment(100));
        assert_eq!(until(at, Some(first), Moment(101)), first);
        assert_ne!(until(at + Duration::from_secs(20), Some(first), Moment(101)), first);
    }
}
