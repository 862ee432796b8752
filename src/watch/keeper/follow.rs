//! Following the configuration.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::reconcile::{LastGood, READY_EVERY};
use super::{Fights, Keeper};
use crate::desired::patched;
use crate::engine;
use crate::host::machine;
use crate::origin;
use crate::problem::Problem;
use crate::record;
use crate::status::pause;
use crate::watch::follower::{Next, Reading};
use crate::watch::log::Level;
use crate::watch::paths::Wanted;
use crate::watch::version::{Seen, Version, problem, resolved};
use crate::watch::{InForce, Rejected, Wake};

/// So long the version at hand is waited for at the start. Each full pass is made whatever becomes of it.
const BEGIN_MOST: Duration = Duration::from_secs(10);

impl Keeper<'_> {
    /// Begins with the version that the host was last made to be: the one at hand may be a bad one. That is judged before anything is
    /// changed: a host that is on its way there would be taken back first, and there again.
    pub(super) fn restore(&mut self) {
        let record = (self.seams.read)(record::PATH).ok().flatten();
        let Some(version) = record.and_then(|text| Version::of_record(&text, &machine::machine())) else { return };
        let source = record::PATH.to_owned();
        self.take(version, source);
        self.timers.full = Instant::now() + BEGIN_MOST;
    }

    /// Looks at the configuration, and at when to look again.
    pub(super) fn follow(&mut self) {
        let seen = Seen::read(&self.setting.config);
        self.configuration = Wanted::default();
        seen.watch(&self.setting.config, &mut self.configuration);
        let armed = self.arm();
        let less = match (&seen.sources, &self.version) {
            (Ok(sources), Some(version)) => version.is_more_than(sources),
            (Err(_), version) => version.is_some(),
            (Ok(_), None) => false,
        };
        let reading = Reading { hash: seen.hash.clone(), less, open: self.folders.is_open(&Wake::Configuration) };
        self.timers.follow = match self.follower.read(&reading, Instant::now()) {
            Next::LookAt(at) => Some(at),
            Next::Judge => {
                self.judge(seen);
                self.judged_again()
            }
            Next::InForce => {
                if self.state.rejected.take().is_some() {
                    self.log.tell(Level::Info, "ConfigurationRestored", "the version in force is back", &[]);
                }
                if let Some(in_force) = &mut self.state.in_force {
                    in_force.source = self.setting.config.display().to_string();
                    in_force.resolved = resolved(&self.setting.config);
                }
                None
            }
            Next::Refused => self.judged_again(),
        };
        if armed {
            self.inbox.wake(Wake::Configuration);
        }
    }

    /// When a version that was refused is judged again, though it is the same: each full pass does, but there is none without a version.
    fn judged_again(&self) -> Option<Instant> {
        self.version.is_none().then(|| Instant::now() + READY_EVERY)
    }

    /// Watches what the configuration and the host are made of. True where a folder is watched that was not before.
    fn arm(&self) -> bool {
        let mut wanted = self.configuration.clone();
        wanted.add(Path::new("/"), &self.setting.root, &Wake::Missed);
        // A person may adopt the control plane meanwhile.
        wanted.add(&self.setting.root, Path::new(origin::PATH), &Wake::Missed);
        wanted.add(&self.setting.root, Path::new(pause::PATH), &Wake::Pause);
        self.sight.watch(&self.setting.root, &mut wanted);
        match self.folders.arm(wanted) {
            Ok(new) => new,
            Err((folder, error)) => {
                let message = format!("{} cannot be watched: {error}; its changes are found later", folder.display());
                self.log.tell(Level::Warning, "NotWatched", &message, &[]);
                false
            }
        }
    }

    /// Watches what the host is made of since the last look.
    pub(super) fn rearm(&self) {
        if self.arm() {
            self.inbox.wake(Wake::Missed);
        }
    }

    /// Decides about a version that stays as it is.
    fn judge(&mut self, seen: Seen) {
        let hash = seen.hash;
        let machine = machine::machine();
        let read = seen.sources.map_err(|why| vec![problem(why)]);
        let judged = read.and_then(|sources| Version::of_sources(sources, self.version.as_ref(), &machine));
        let judged = judged.and_then(|(version, warnings)| self.can_be(&version).map(|()| (version, warnings)));
        match judged {
            Ok((version, warnings)) => {
                for warning in warnings {
                    self.log.tell(Level::Warning, "ConfigurationWarning", &warning.to_string(), &[]);
                }
                let source = self.setting.config.display().to_string();
                self.take(version, source);
            }
            Err(problems) => self.refuse(hash, problems),
        }
    }

    /// Whether the host could be made what a version says: its patches fit, and it would destroy nothing.
    fn can_be(&self, version: &Version) -> Result<(), Vec<Problem>> {
        // Without a version in force there is nothing to keep to meanwhile: the pass says the same.
        let Some(before) = &self.version else { return Ok(()) };
        let one = |why: String| vec![problem(why)];
        let host = (self.seams.open)(&version.cluster, false).map_err(one)?;
        let facts = host.facts(&version.cluster).map_err(|error| one(error.to_string()))?;
        if let Some(why) = patched::failures(&version.cluster, &facts).into_values().next() {
            return Err(one(why));
        }
        let looked = engine::look(&*host, &version.cluster, Some(&before.cluster));
        let forbidden = looked.map_err(|error| one(error.to_string()))?.plan.forbidden;
        if forbidden.is_empty() {
            return Ok(());
        }
        let refused = forbidden.into_iter();
        Err(refused
            .map(|change| {
                let message = format!("{} -> {}: {}", change.before, change.after, change.reason);
                Problem { place: change.place, field: change.field, message }
            })
            .collect())
    }

    /// Puts a version in force.
    fn take(&mut self, version: Version, source: String) {
        let hash = version.hash.clone();
        let message = format!("{source} is in force, sha256 {hash}");
        self.log.tell(
            Level::Info,
            "ConfigurationTaken",
            &message,
            &[("sha256", json!(hash)), ("source", json!(source))],
        );
        let resolved = resolved(Path::new(&source));
        self.state.in_force = Some(InForce { hash: hash.clone(), source, resolved, since: machine::now() });
        self.state.rejected = None;
        self.state.idle = None;
        self.state.pass = None;
        self.follower.take(hash);
        self.version = Some(version);
        self.host = None;
        // What was known of the last good configuration was known against another version.
        self.last_good = LastGood::default();
        self.fights = Fights::default();
        self.backoff.reset();
    }

    /// Leaves a version out of force, and says why.
    fn refuse(&mut self, hash: String, problems: Vec<Problem>) {
        if self.state.rejected.as_ref().is_some_and(|known| known.hash == hash && known.problems == problems) {
            return self.follower.refuse(hash);
        }
        for problem in &problems {
            let fields = [("sha256", json!(hash)), ("line", json!(problem.place.as_ref().map(|place| place.line)))];
            self.log.tell(Level::Error, "ConfigurationRejected", &problem.to_string(), &fields);
        }
        if self.version.is_none() {
            self.state.idle = Some("there is no valid configuration yet".to_owned());
        }
        self.state.rejected = Some(Rejected { hash: hash.clone(), problems, since: machine::now() });
        self.follower.refuse(hash);
    }
}
