//! The verdict: one word and one sentence, true at the moment at which they are read.

use super::conditions::{self, CERTIFICATES_VALID, COMPONENTS_HEALTHY, CONFIGURATION_ACCEPTED, CONVERGED, READY};
use super::moment::length;
use super::{Moment, Status, Truth};

/// A pass that is due and did not begin within this many seconds does not come any more.
const OVERDUE: i64 = 60;

/// A status as somebody reads it: when, and whether it can still be true.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The status.
    pub status: &'a Status,
    /// The time.
    pub now: Moment,
    /// Whether whoever it is from still looks.
    pub presence: Presence,
}

/// Whether a `planekeeper watch` keeps a status true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It told it just now; a pass that runs began at this moment.
    Watching(Option<Moment>),
    /// It runs and writes every change down, which is all that it does to be seen: this is what it wrote last.
    Written,
    /// It runs, and could not be asked: the status is the one that it last wrote, which it does where something changes.
    Silent,
    /// None runs: nobody knows what happened since.
    Gone,
}

/// The first word of every output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// As configured, and working.
    Converged,
    /// About to be as configured.
    Pending,
    /// Something has to be done by a person.
    Blocked,
    /// Something does not work.
    Degraded,
    /// Nothing is changed for now.
    Paused,
    /// Nobody knows.
    Unknown,
}

impl Word {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Converged => "CONVERGED",
            Self::Pending => "PENDING",
            Self::Blocked => "BLOCKED",
            Self::Degraded => "DEGRADED",
            Self::Paused => "PAUSED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl View<'_> {
    /// Why what was seen may no longer be so, if it may.
    #[must_use]
    pub fn stale(&self) -> Option<String> {
        match self.presence {
            Presence::Gone => Some("no planekeeper watches this host".to_owned()),
            Presence::Silent => Some("the planekeeper that watches this host could not be asked".to_owned()),
            Presence::Watching(Some(_)) | Presence::Written => None,
            Presence::Watching(None) => {
                let due = self.status.next_wake.as_ref().map(|wake| wake.at)?;
                let late = self.now.since(due);
                (late > OVERDUE).then(|| format!("a look at the host is {} late", length(late)))
            }
        }
    }

    /// The word and the sentence.
    #[must_use]
    pub fn verdict(&self) -> (Word, String) {
        let (word, sentence) = self.seen();
        match self.stale() {
            None => (word, sentence),
            Some(why) => {
                let age = self.status.looked_at.map_or_else(|| "never".to_owned(), |at| ago(self.now, at));
                (Word::Unknown, format!("{why}. When it was last looked at, {age}, it was {}: {sentence}", word.name()))
            }
        }
    }

    /// As it was when it was last looked at.
    fn seen(&self) -> (Word, String) {
        let status = self.status;
        let name = if status.node.is_empty() { "this host" } else { &status.node };
        let conditions = conditions::conditions(status, Some(status), self.now);
        let find = |kind: &str| conditions.iter().find(|condition| condition.kind == kind);
        let is = |kind: &str, truth| find(kind).is_some_and(|condition| condition.status == truth);
        let ready = find(READY).map(|ready| ready.message.clone()).unwrap_or_default();
        if let Some(pause) = &status.pause {
            let left = status.out_of_sync().len();
            let differs = match left {
                0 => "it is as configured".to_owned(),
                1 => "1 resource differs".to_owned(),
                many => format!("{many} resources differ"),
            };
            return (Word::Paused, format!("{name} is {}; {differs}", pause.sentence()));
        }
        let named = |word, message: &str| (word, format!("{name}: {message}"));
        if let Some(why) = &status.idle {
            return named(Word::Blocked, &format!("nothing is done: {why}"));
        }
        if is(COMPONENTS_HEALTHY, Truth::False) || is(CERTIFICATES_VALID, Truth::False) {
            let why = [COMPONENTS_HEALTHY, CERTIFICATES_VALID].iter().find(|kind| is(kind, Truth::False));
            return named(Word::Degraded, why.and_then(|kind| find(kind)).map_or("", |why| &why.message));
        }
        if is(CONFIGURATION_ACCEPTED, Truth::False) {
            let why = find(CONFIGURATION_ACCEPTED).map_or("", |why| &why.message);
            return named(Word::Blocked, &format!("a configuration was rejected: {why}"));
        }
        if let Some(fight) = status.fights.first() {
            let (what, who) = (&fight.resource, fight.other());
            return named(Word::Blocked, &format!("{who} changes {what} back again and again"));
        }
        if is(CONVERGED, Truth::False) {
            let reason = find(CONVERGED).map_or("", |converged| &converged.reason);
            let passing = matches!(reason, "ChangesPending" | "Drifted" | "Waiting");
            return named(if passing { Word::Pending } else { Word::Blocked }, &ready);
        }
        if is(READY, Truth::Unknown) {
            return named(Word::Unknown, &ready);
        }
        let components = match status.components.len() {
            0 => String::new(),
            count => format!(" {count} components healthy,"),
        };
        let resources = status.resources.len();
        (
            Word::Converged,
            format!(
                "{name} is as configured: {resources} resources,{components} Kubernetes {}",
                status.kubernetes_version
            ),
        )
    }

    /// Whether it is so now that the host is as configured and works.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.verdict().0 == Word::Converged
    }
}

/// How long ago something was.
#[must_use]
pub fn ago(now: Moment, then: Moment) -> String {
    format!("{} ago", length(now.since(then)))
}
