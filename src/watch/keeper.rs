//! The loop: it sleeps, follows the configuration, and makes passes.

mod conclude;
mod follow;
mod reconcile;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::BackOff;
use super::fights::Fights;
use super::folders::Folders;
use super::follower::Follower;
use super::inbox::{Batch, Inbox};
use super::log::{Level, Log};
use super::pass::Sight;
use super::paths::Wanted;
use super::service::Service;
use super::version::Version;
use super::{Pause, State, Wake};
use crate::cluster::Cluster;
use crate::host::{Host, machine};
use crate::resource::Id;
use reconcile::LastGood;

/// After so many passes one after the other that found nothing to do, events cause no more than one pass in [`PACE`].
const FRUITLESS_MAX: u32 = 20;
/// See [`FRUITLESS_MAX`].
const PACE: Duration = Duration::from_secs(1);
/// The clock may be set and the machine may sleep: a far time is looked at again after so long.
const ALARM_MOST: Duration = Duration::from_secs(600);

/// What a watch is about.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The configuration, as it was named.
    pub config: PathBuf,
    /// The root of the host: `/`, or a sandbox.
    pub root: PathBuf,
    /// The root is a sandbox.
    pub sandbox: bool,
    /// A control plane that somebody else set up may be changed.
    pub adopt: bool,
}

/// Opens the host for a cluster: to keep it, so that its changes have to be told, or to look once. In words, why not.
pub type Open<'a> = dyn Fn(&Cluster, bool) -> Result<Box<dyn Host>, String> + 'a;

/// What the loop is given by whoever starts it.
pub struct Seams<'a> {
    /// Opens the host.
    pub open: &'a Open<'a>,
    /// Reads a record of planekeeper's own.
    pub read: &'a dyn Fn(&str) -> Result<Option<String>, String>,
    /// Takes the host's lock, which lasts as long as the file is open; `None` where another holds it.
    pub lock: &'a dyn Fn() -> Result<Option<File>, String>,
    /// Takes what there is to say, after each pass and each change of it.
    pub show: &'a dyn Fn(&State),
    /// Whether a host that planekeeper is about to set up or to take over is ready for it; in words, why not.
    pub ready: &'a dyn Fn(&Cluster) -> Result<(), String>,
    /// Takes each look at the host.
    pub looked: &'a (dyn Fn(&Cluster, &crate::engine::Pass) + Sync),
    /// Whether somebody asked for a pause.
    pub paused: &'a dyn Fn() -> Option<Pause>,
}

/// The loop and all that it knows.
pub struct Keeper<'a> {
    setting: Setting,
    seams: Seams<'a>,
    log: Log,
    service: Service,
    inbox: Arc<Inbox>,
    folders: Arc<Folders>,
    version: Option<Version>,
    /// The version at hand has been judged, or waited for in vain: the host may be changed.
    begun: bool,
    /// What the configuration was read from when it was last followed.
    configuration: Wanted,
    follower: Follower,
    host: Option<Box<dyn Host>>,
    last_good: LastGood,
    fights: Fights,
    backoff: BackOff,
    sight: Sight,
    timers: Timers,
    fruitless: u32,
    /// What was complained about at the last pass, so that it is said once.
    told: BTreeMap<String, String>,
    /// What a person was reminded of at the last pass, so that it is said once.
    reminded: BTreeMap<String, String>,
    state: State,
}

/// When the loop has something to do of itself.
#[derive(Debug)]
struct Timers {
    full: Instant,
    retry: Option<Instant>,
    follow: Option<Instant>,
}

impl<'a> Keeper<'a> {
    /// A loop that has not begun.
    ///
    /// # Errors
    /// The system gives no inotify instance or no thread.
    pub fn new(setting: Setting, seams: Seams<'a>, log: Log, inbox: Arc<Inbox>) -> std::io::Result<Self> {
        let folders = Folders::new(Arc::clone(&inbox))?;
        let timers = Timers { full: Instant::now(), retry: None, follow: None };
        Ok(Self {
            setting,
            seams,
            log,
            service: Service::new()?,
            inbox,
            folders,
            version: None,
            begun: false,
            configuration: Wanted::default(),
            follower: Follower::default(),
            host: None,
            last_good: LastGood::default(),
            fights: Fights::default(),
            backoff: BackOff::default(),
            sight: Sight::default(),
            timers,
            fruitless: 0,
            told: BTreeMap::new(),
            reminded: BTreeMap::new(),
            state: State::default(),
        })
    }

    /// Keeps the host until the process is told to end.
    pub fn run(mut self) {
        self.restore();
        self.follow();
        self.turn(BTreeSet::from([Wake::Missed]));
        loop {
            if self.begun {
                self.service.looked();
            }
            self.show();
            self.service.beat(false);
            self.inbox.set_alarm(Some(self.alarm()));
            match self.inbox.wait() {
                Batch::Stop => break,
                Batch::Wakes(wakes) => self.turn(wakes),
            }
        }
        self.service.stopping();
        self.log.tell(Level::Info, "Stopped", "told to end; the host stays as it is", &[]);
    }

    /// Goes round once.
    fn turn(&mut self, mut wakes: BTreeSet<Wake>) {
        let now = Instant::now();
        let asked = wakes.contains(&Wake::Signal);
        if asked {
            self.service.reloading();
            self.state.rejected = None; // who asks is told again
            self.backoff.reset();
        }
        let (again, full) = (is_over(self.timers.follow, now), self.timers.full <= now);
        // What was refused may be no fault of the text: the host had no default route yet, say.
        if asked || full || (again && self.version.is_none()) {
            self.follower.reconsider();
        }
        let changed = wakes.remove(&Wake::Configuration) || again;
        if asked || full || changed || wakes.contains(&Wake::Missed) {
            let before = self.state.in_force.clone();
            self.follow();
            if self.state.in_force != before {
                wakes.insert(Wake::Configuration);
                self.show();
            }
        }
        if !self.begun {
            if self.timers.follow.is_some() && self.timers.full > now {
                if asked {
                    self.service.reloaded();
                }
                return;
            }
            self.begun = true;
            wakes.insert(Wake::Missed);
        }
        wakes.extend(self.due(now));
        let held: BTreeSet<Id> = self.fights.held(now).into_iter().map(|fight| fight.id).collect();
        wakes.retain(|wake| self.sight.about(wake).is_none_or(|id| !held.contains(id)));
        if wakes.is_empty() {
            return;
        }
        if self.fruitless >= FRUITLESS_MAX && only_events(&wakes) {
            self.timers.retry.get_or_insert(now + PACE);
            return;
        }
        self.pass(wakes);
        if asked {
            self.service.reloaded();
        }
    }

    /// The reasons that the clock gives for a pass.
    fn due(&mut self, now: Instant) -> BTreeSet<Wake> {
        let mut wakes = BTreeSet::new();
        if self.timers.full <= now {
            wakes.insert(Wake::Timer);
        }
        if is_over(self.timers.retry, now) {
            self.timers.retry = None;
            wakes.insert(Wake::Retry);
        }
        if self.sight.due.is_some_and(|due| due <= machine::now()) {
            self.sight.due = None;
            wakes.insert(Wake::Due);
        }
        if self.pause_ends().is_some_and(|end| end <= machine::now()) {
            wakes.insert(Wake::Pause);
        }
        wakes
    }

    /// When the pause ends of itself, in seconds since 1970.
    fn pause_ends(&self) -> Option<i64> {
        self.state.paused.as_ref()?.until.map(|until| until.0)
    }

    /// When the loop goes on of itself.
    fn alarm(&self) -> Instant {
        let now = Instant::now();
        let at = |at: i64| now + Duration::from_secs(u64::try_from(at - machine::now()).unwrap_or(0)).min(ALARM_MOST);
        let (due, pause) = (self.sight.due.map(at), self.pause_ends().map(at));
        let mine = [Some(self.timers.full), self.timers.retry, self.timers.follow, due, pause];
        mine.into_iter().flatten().min().unwrap_or(now).min(now + ALARM_MOST)
    }
}

/// Nothing but events of the kernel and the API, whose pace others set.
fn only_events(wakes: &BTreeSet<Wake>) -> bool {
    let event = |wake: &Wake| {
        matches!(wake, Wake::File(_) | Wake::Object(_) | Wake::Unit(_) | Wake::Container(_) | Wake::Missed)
    };
    wakes.iter().all(event)
}

fn is_over(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}
