//! One pass: the lock, whose control plane it is, the run.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Keeper;
use crate::cluster::Cluster;
use crate::engine::{self, Claim, Event, Report, Run};
use crate::host::{Host, machine};
use crate::origin::{self, Origin};
use crate::plan::{Action, Cause, Step};
use crate::record::{self, Record};
use crate::resource::Id;
use crate::watch::backoff::{self, FULL_PASS};
use crate::watch::log::Level;
use crate::watch::pass::{self, Sight};
use crate::watch::version::Version;
use crate::watch::{LastPass, Wake};

/// So long another planekeeper at work on the host is waited for before it is said, and tried again later.
const LOCK_MOST: Duration = Duration::from_secs(30);
/// How often a host that is not ready is asked again. Nothing tells of a port that is free, or of a program that was installed.
pub(super) const READY_EVERY: Duration = Duration::from_secs(10);
/// How often the lock is tried.
const LOCK_EVERY: Duration = Duration::from_millis(20);
/// What waits makes way for something else only so long after the last step: what was just done wakes too.
const SETTLE: Duration = Duration::from_millis(250);

/// The configuration that the host was last made to be.
#[derive(Default)]
pub(super) struct LastGood {
    text: Option<String>,
    /// `None` where it is the version in force, or none.
    other: Option<Cluster>,
}

impl LastGood {
    /// It is the version in force.
    fn is(&self, version: &Version) -> bool {
        self.text.as_deref() == Some(&version.text)
    }

    /// The cluster that it wanted.
    fn cluster<'a>(&'a self, version: &'a Version) -> Option<&'a Cluster> {
        if self.is(version) { Some(&version.cluster) } else { self.other.as_ref() }
    }
}

impl Keeper<'_> {
    /// Makes a pass, if one may be made.
    pub(super) fn pass(&mut self, wakes: BTreeSet<Wake>) {
        let chance = chance();
        self.timers.full = Instant::now() + backoff::jittered(FULL_PASS, chance);
        if self.version.is_none() {
            return;
        }
        let paused = (self.seams.paused)();
        if paused != self.state.paused {
            let (event, message) = match &paused {
                Some(pause) => ("Paused", pause.reason.as_str()),
                None => ("Resumed", "the pause is over"),
            };
            self.log.tell(Level::Info, event, message, &[]);
        }
        self.state.paused = paused;
        if self.state.paused.is_some() {
            return self.look();
        }
        self.service.beat(true);
        let began = Instant::now();
        let result = match self.locked() {
            Ok(Some(_lock)) => self.reconcile(&self.sight.about_all(&wakes)),
            Ok(None) => return,
            Err(why) => Err(why),
        };
        let Some(result) = result.transpose() else { return };
        let last = LastPass { began, took: began.elapsed(), wakes, result };
        self.conclude(last, chance);
    }

    /// Looks at the host and leaves it as it is: what drifts during a pause is shown.
    fn look(&mut self) {
        let Some(version) = self.version.take() else { return };
        if let Ok(host) = self.host(&version) {
            let read = (self.seams.read)(record::PATH);
            self.remember(read.ok().flatten(), &version);
            if let Ok(pass) = engine::look(&*host, &version.cluster, self.last_good.cluster(&version)) {
                self.sight = Sight::of(&pass, self.setting.sandbox);
                (self.seams.looked)(&version.cluster, &pass);
            }
            self.host = Some(host);
        }
        self.version = Some(version);
        self.rearm();
    }

    /// Takes the host, which is opened where it is not. A folder that was removed and made again is another one.
    fn host(&mut self, version: &Version) -> Result<Box<dyn Host>, String> {
        match self.host.take().filter(|_| !self.setting.sandbox) {
            Some(host) => Ok(host),
            None => (self.seams.open)(&version.cluster, true),
        }
    }

    /// The host's lock. A person's run goes first: it is waited for, and does the same.
    fn locked(&mut self) -> Result<Option<File>, String> {
        let start = Instant::now();
        while !self.inbox.stopped() {
            if let Some(lock) = (self.seams.lock)()? {
                return Ok(Some(lock));
            }
            if start.elapsed() > LOCK_MOST {
                self.idle("another planekeeper works on this host");
                self.timers.retry = Some(Instant::now() + backoff::LEAST);
                return Ok(None);
            }
            std::thread::sleep(LOCK_EVERY);
        }
        Ok(None)
    }

    /// Says, once, why nothing is done.
    pub(super) fn idle(&mut self, why: &str) {
        if self.state.idle.as_deref() != Some(why) {
            self.log.tell(Level::Warning, "Idle", why, &[]);
            self.state.idle = Some(why.to_owned());
        }
    }

    /// One run over the host; `None` where nothing may be done.
    fn reconcile(&mut self, about: &BTreeSet<Id>) -> Result<Option<Report>, String> {
        let Some(version) = self.version.take() else { return Ok(None) };
        let result = self.reconcile_to(&version, about);
        self.version = Some(version);
        result
    }

    fn reconcile_to(&mut self, version: &Version, about: &BTreeSet<Id>) -> Result<Option<Report>, String> {
        let host = self.host(version)?;
        let result = self.run_over(&*host, version, about);
        self.host = Some(host);
        result
    }

    fn run_over(&mut self, host: &dyn Host, version: &Version, about: &BTreeSet<Id>) -> Result<Option<Report>, String> {
        let cluster = &version.cluster;
        self.remember((self.seams.read)(record::PATH)?, version);
        let last_good = std::mem::take(&mut self.last_good);
        let (same, before) = (last_good.is(version), last_good.cluster(version));
        let may = self.setting.sandbox || self.may_change(host, cluster, before)?;
        let report = may.then(|| self.engine(host, cluster, before, about)).transpose();
        self.last_good = last_good;
        let report = report?;
        if !same && report.as_ref().is_some_and(Report::converged) {
            host.keep(record::PATH, &version.text).map_err(|error| error.chain())?;
            for kept in report.iter().flat_map(|report| &report.left.kept) {
                let message = format!("{}: {}", kept.id, kept.reason);
                self.log.tell(Level::Info, "Stays", &message, &[("resource", json!(kept.id.0))]);
            }
        }
        Ok(report)
    }

    /// Knows what the host was last made to be.
    fn remember(&mut self, text: Option<String>, version: &Version) {
        if text != self.last_good.text {
            let other = text.as_deref().filter(|text| *text != version.text);
            let other = other.and_then(|text| Record::cluster(text, &machine::machine()));
            self.last_good = LastGood { text, other };
        }
    }

    /// Whether this control plane may be changed: it is planekeeper's, it is bare, it is as wanted, or somebody asked to adopt it.
    fn may_change(&mut self, host: &dyn Host, cluster: &Cluster, before: Option<&Cluster>) -> Result<bool, String> {
        if Origin::read((self.seams.read)(origin::PATH)?.as_deref()).is_some() {
            return Ok(true);
        }
        let claim = engine::claim(host, cluster, before, self.setting.adopt).map_err(|error| error.to_string())?;
        match claim {
            Claim::Foreign(_) => {
                self.idle(
                    "this host has a control plane that planekeeper did not set up, and it differs from the configuration: nothing is \
                     changed. See `planekeeper plan`; change the configuration, or adopt it with `planekeeper reconcile --adopt`",
                );
                Ok(false)
            }
            Claim::Incomplete(plan) => {
                let missing = plan.refused.iter().map(|refused| format!("{}: {}", refused.id, refused.reason));
                let missing: Vec<String> = missing.collect();
                self.idle(&format!("nothing is changed before a person has acted: {}", missing.join("; ")));
                self.timers.retry = Some(Instant::now() + READY_EVERY);
                Ok(false)
            }
            Claim::May { work: true, .. } if !self.is_ready(cluster) => Ok(false),
            Claim::May { origin, .. } => {
                host.keep(origin::PATH, &origin.to_text()).map(|()| true).map_err(|error| error.chain())
            }
        }
    }

    /// Asks, before the first change of all, whether the host is ready. One that planekeeper has begun to set up is not asked again: what
    /// drifts on it is put right whatever else is not well.
    fn is_ready(&mut self, cluster: &Cluster) -> bool {
        let Err(why) = (self.seams.ready)(cluster) else { return true };
        self.idle(&why);
        self.timers.retry = Some(Instant::now() + READY_EVERY);
        false
    }

    fn engine(
        &mut self,
        host: &dyn Host,
        cluster: &Cluster,
        before: Option<&Cluster>,
        about: &BTreeSet<Id>,
    ) -> Result<Report, String> {
        let sight = Mutex::new(None);
        let start = Instant::now();
        let elapsed = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last_step = AtomicU64::new(0);
        let looked = self.seams.looked;
        let (log, sandbox, inbox, service) = (self.log, self.setting.sandbox, &self.inbox, &self.service);
        let tell = |event: Event<'_>| match event {
            Event::Looked(pass) => {
                service.looked();
                looked(cluster, pass);
                *sight.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sight::of(pass, sandbox));
            }
            Event::Ended(step, None) if step.action != Action::Wait => {
                last_step.store(elapsed(), Ordering::Relaxed);
                log.tell(Level::Info, event_of(step), &pass::words(step), &[("resource", json!(step.id.0))]);
            }
            _ => {}
        };
        let settle = u64::try_from(SETTLE.as_millis()).unwrap_or(u64::MAX);
        let make_way = || elapsed().saturating_sub(last_step.load(Ordering::Relaxed)) >= settle && inbox.is_due();
        let held = self.fights.held(start).into_iter().map(|fight| (fight.id.clone(), fight.reason())).collect();
        inbox.set_alarm(self.timers.follow);
        let stop = || inbox.stopped();
        let run = Run { workers: engine::workers(), tell: &tell, about, held: &held, stop: &stop, make_way: &make_way };
        let report = engine::reconcile_with(host, cluster, before, None, &run).map_err(|error| error.to_string());
        if let Some(sight) = sight.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.sight = sight;
        }
        report
    }
}

/// The name of what a step is to a reader of the log.
fn event_of(step: &Step) -> &'static str {
    match step.action {
        Action::Renew => "Renewed",
        _ if step.cause == Cause::Drift => "DriftRepaired",
        _ => "Changed",
    }
}

/// A number between 0 and 1 that differs from host to host and from time to time. Nothing secret depends on it.
fn chance() -> f64 {
    let mut bytes = [0; 2];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u16::from_ne_bytes(bytes)) / f64::from(u16::MAX)
}
