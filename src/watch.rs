//! Continuous reconciling: sleep until something happens, then do what one run does.
//!
//! A wake carries a reason and never data: whatever woke it, a pass looks at the host itself. So an event that is lost, late or wrong costs
//! time at worst, and the full pass that comes every now and then finds what no event tells.
//!
//! What decides here is pure, over a time that is given to it: when a burst of events is over ([`debounce`]), when to try again
//! ([`backoff`]), when to leave something alone that another writer changes back each time ([`fights`]), when to take another version of
//! the configuration ([`follower`]). Around it are a thread that listens to the kernel ([`folders`]), one for signals ([`signals`]), and the
//! loop ([`keeper`]).

pub mod backoff;
pub mod debounce;
pub mod fights;
pub mod folders;
pub mod follower;
pub mod inbox;
pub mod keeper;
pub mod log;
pub mod pass;
pub mod paths;
pub mod service;
pub mod signals;
pub mod version;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::Report;
use crate::problem::Problem;
use crate::resource::Id;
use fights::Fight;

pub use crate::status::Pause;

/// Why the loop woke up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A file or folder of the configuration, or one on the way to it.
    Configuration,
    /// A file or folder of the host, or one on the way to it.
    File(String),
    /// An object of the API.
    Object(Id),
    /// A systemd unit.
    Unit(String),
    /// A container of a component.
    Container(String),
    /// Something may have happened that nobody told: events were lost, or a folder is watched only from now on.
    Missed,
    /// A certificate, kubeconfig or token is due.
    Due,
    /// What failed or was left alone is tried again.
    Retry,
    /// Somebody asked for it.
    Signal,
    /// It is time for a full pass.
    Timer,
    /// A pause began or ended.
    Pause,
}

impl fmt::Display for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("configuration"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Object(id) => id.fmt(f),
            Self::Unit(name) => write!(f, "unit:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Missed => f.write_str("missed"),
            Self::Due => f.write_str("due"),
            Self::Retry => f.write_str("retry"),
            Self::Signal => f.write_str("signal"),
            Self::Timer => f.write_str("timer"),
            Self::Pause => f.write_str("pause"),
        }
    }
}

/// Everything there is to say of a watch, for whoever shows it. Times are in seconds since 1970.
#[derive(Debug, Default)]
pub struct State {
    /// The version of the configuration that the host is kept to.
    pub in_force: Option<InForce>,
    /// A version that was refused, while it is there.
    pub rejected: Option<Rejected>,
    /// The last pass over the version in force.
    pub pass: Option<LastPass>,
    /// What is left alone, since another writer changes it back each time.
    pub fights: Vec<Fight>,
    /// Why nothing is done at all, where that is so: there is no configuration, the control plane is somebody else's, another planekeeper
    /// is at work.
    pub idle: Option<String>,
    /// Somebody asked for a pause.
    pub paused: Option<Pause>,
    /// When the next pass comes of itself, and why.
    pub next: Option<(i64, Wake)>,
}

/// A version of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The SHA-256 of its record, in hexadecimal digits.
    pub hash: String,
    /// Where it was read: the path as it was named, or the record of the last good configuration.
    pub source: String,
    /// Where that path leads, through all links: git-sync and ConfigMaps have the name of a revision in it.
    pub resolved: String,
    /// Since when it is in force in this process.
    pub since: i64,
}

/// A version of the configuration that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The SHA-256 of its record; of why it cannot be read, where that is so.
    pub hash: String,
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
    /// Since when.
    pub since: i64,
}

/// A pass that has ended.
#[derive(Debug)]
pub struct LastPass {
    /// When it began, by a clock that no two passes read alike.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// Why it was made.
    pub wakes: BTreeSet<Wake>,
    /// What it did and what is left, or why the host could not be looked at.
    pub result: Result<Report, String>,
}
