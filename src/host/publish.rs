//! The status in the cluster: a `ControlPlaneNode`, its CRD, and Events.
//!
//! It is told by a thread of its own, so that an API server that does not answer holds up nobody. What is told is bounded: of statuses the
//! newest counts, Events wait in a queue that forgets the oldest, and neither is sent more often than an API server should be asked.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::planekeeper::API_VERSION;
use crate::host::api::{Api, ApiError};
use crate::pki;
use crate::resource::Id;
use crate::status::object::{self, Event};
use crate::status::{Moment, Status, pause};

/// A status is written no more often than this.
const APART: Duration = Duration::from_secs(5);
/// The object is looked at this often where nobody tells of it: its API server does, once there is a watch.
const LOOK: Duration = Duration::from_secs(30);
/// What failed is tried again after this long; it doubles up to [`AGAIN_MAX`].
const AGAIN_MIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// So many Events wait to be sent.
const EVENTS_MAX: usize = 32;
/// So many Events are sent at once; another may follow each [`EVENT_EVERY`].
const EVENTS_BURST: u32 = 20;
const EVENT_EVERY: Duration = Duration::from_secs(30);
/// So many Events are remembered, to count one that comes again rather than to tell it anew.
const KNOWN_MAX: usize = 64;

/// Gives a client of the API server, with credentials as they are now; or says why there is none.
pub type Connect = dyn Fn() -> Result<Api, String> + Send;

/// Called when the label that pauses has changed.
pub type Woken = dyn Fn() + Send;

/// The label that pauses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// It was not read yet.
    #[default]
    Unread,
    /// Its value, if there is one, when it was last read.
    Read(Option<String>),
}

/// Tells of a host in its cluster, until it is dropped.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    status: Option<Status>,
    events: VecDeque<(Event, Moment)>,
    label: Label,
    /// Why the last attempt to tell failed, if it did.
    error: Option<String>,
    /// Somebody has changed the object.
    changed: bool,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// A publisher. Nothing is sent before there is something to tell.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(connect: Box<Connect>, woken: Box<Woken>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Work {
            shared: Arc::clone(&shared),
            connect,
            api: None,
            woken,
            sent: None,
            crd: false,
            known: BTreeMap::new(),
            budget: Budget { left: EVENTS_BURST, since: Instant::now() },
        };
        let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || work.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes a status to tell, and what happened since the one before. A status of no Node is not told.
    pub fn tell(&self, before: &Status, after: &Status) {
        if after.node.is_empty() {
            return;
        }
        let mut queue = self.shared.lock();
        let now = after.looked_at.unwrap_or_default();
        // The first status of a process says nothing of what happened.
        if !before.conditions.is_empty() {
            queue.events.extend(object::events(before, after).into_iter().map(|event| (event, now)));
        }
        while queue.events.len() > EVENTS_MAX {
            queue.events.pop_front();
        }
        queue.status = Some(after.clone());
        self.shared.changed.notify_all();
    }

    /// What is known of the label that pauses.
    #[must_use]
    pub fn label(&self) -> Label {
        self.shared.lock().label.clone()
    }

    /// Why the status is not in the cluster as it is here, if the last attempt failed.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared.lock().error.clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        // A call that is under way has its own bound; the process does not wait for it.
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// How many Events may be sent.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_secs() / EVENT_EVERY.as_secs();
        if earned > 0 {
            self.left = self.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(EVENTS_BURST);
            self.since = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// What is sent, by the thread.
struct Work {
    shared: Arc<Shared>,
    connect: Box<Connect>,
    /// The connection of the last time, where that went well.
    api: Option<Api>,
    woken: Box<Woken>,
    /// The object as it was last sent.
    sent: Option<Value>,
    crd: bool,
    /// Events that were sent, by their reason and note: when first, and how often.
    known: BTreeMap<(String, String), (Moment, u64)>,
    budget: Budget,
}

impl Work {
    fn run(mut self) {
        let mut again = AGAIN_MIN;
        let mut wait = LOOK;
        while let Some((status, events)) = self.next(wait) {
            let error = self.send(&status, events).err();
            if error.is_none() {
                (again, wait) = (AGAIN_MIN, LOOK);
            } else {
                (self.crd, self.sent) = (false, None);
                wait = again;
                again = (again * 2).min(AGAIN_MAX);
            }
            self.shared.lock().error = error;
            self.rest(if wait == LOOK { APART } else { wait });
        }
    }

    /// Waits until there is something to tell, or a time is over; `None` at the end.
    fn next(&self, wait: Duration) -> Option<(Status, Vec<(Event, Moment)>)> {
        let queue = self.shared.lock();
        let idle = |queue: &mut Queue| !queue.stop && !self.has_news(queue);
        let waited = self.shared.changed.wait_timeout_while(queue, wait, idle);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.stop {
            return None;
        }
        queue.changed = false;
        let events = queue.events.drain(..).collect();
        Some((queue.status.clone().unwrap_or_default(), events))
    }

    fn has_news(&self, queue: &Queue) -> bool {
        queue.changed
            || !queue.events.is_empty()
            || queue.status.as_ref().is_some_and(|status| self.sent.as_ref() != Some(&object::with_status(status)))
    }

    /// Sends nothing for a while, unless it is the end.
    fn rest(&self, wait: Duration) {
        let queue = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(queue, wait, |queue| !queue.stop);
        drop(waited);
    }

    fn send(&mut self, status: &Status, events: Vec<(Event, Moment)>) -> Result<(), String> {
        if status.node.is_empty() {
            return Ok(());
        }
        let api = match self.api.take() {
            Some(api) => api,
            None => self.connected()?,
        };
        let sent = self.send_status(&api, status);
        for (event, at) in events {
            if sent.is_err() {
                // They wait for an API server that answers, as far as there is room.
                let mut queue = self.shared.lock();
                if queue.events.len() < EVENTS_MAX {
                    queue.events.push_back((event, at));
                }
            } else if self.budget.take(Instant::now()) {
                // One that cannot be sent is not worth more: what it tells is in the status.
                let _ = self.send_event(&api, &status.node, &event, at);
            }
        }
        // What failed may have been the credential, which is renewed now and then: the next try reads it again.
        self.api = sent.is_ok().then_some(api);
        sent.map_err(|error| error.to_string())
    }

    /// A client that is told of changes of the object.
    fn connected(&self) -> Result<Api, String> {
        let shared = Arc::clone(&self.shared);
        let changed = move |_: Id| {
            shared.lock().changed = true;
            shared.changed.notify_all();
        };
        Ok((self.connect)()?.watched(Arc::new(changed)))
    }

    fn send_status(&mut self, api: &Api, status: &Status) -> Result<(), ApiError> {
        if !self.crd {
            api.apply(&object::crd(), None)?;
            self.crd = true;
        }
        let bare = object::object(&status.node);
        api.keep(&[&bare]);
        let live = api.look(&[&bare], false)?.objects.pop().transpose()?.flatten();
        if live.is_none() {
            api.apply(&bare, None)?;
            // From here on the watch tells of it: nobody has to ask again.
            api.look(&[&bare], false)?;
            self.sent = None;
        }
        self.read_label(live.as_ref().unwrap_or(&bare));
        let wanted = object::with_status(status);
        if self.sent.as_ref() != Some(&wanted) {
            api.apply_status(&wanted)?;
            self.sent = Some(wanted);
        }
        Ok(())
    }

    fn read_label(&self, live: &Value) {
        let label = Label::Read(live["metadata"]["labels"][pause::LABEL].as_str().map(str::to_owned));
        let changed = {
            let mut queue = self.shared.lock();
            let changed = match (&queue.label, &label) {
                // It is what everybody believed, unless the host is paused by it since before this process began.
                (Label::Unread, Label::Read(None)) => queue.status.as_ref().is_some_and(Status::is_paused_by_label),
                (before, now) => before != now,
            };
            queue.label = label;
            changed
        };
        if changed {
            (self.woken)();
        }
    }

    fn send_event(&mut self, api: &Api, node: &str, event: &Event, at: Moment) -> Result<(), ApiError> {
        let key = (event.reason.to_owned(), event.note.clone());
        let (first, count) = self.known.get(&key).map_or((at, 1), |(first, count)| (*first, count + 1));
        api.apply(&body(node, event, first, at, count), None)?;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, (first, count));
        Ok(())
    }
}

/// An Event of `events.k8s.io/v1` about the Node, where `kubectl describe node` shows it, with the `ControlPlaneNode` beside it. One that
/// comes again is the same object with another count.
fn body(node: &str, event: &Event, first: Moment, last: Moment, count: u64) -> Value {
    let micro = |moment: Moment| moment.to_string().replace('Z', ".000000Z");
    let text = format!("{}\n{}\n{}", event.reason, event.note, first);
    let hash = pki::hex(&Sha256::digest(text.as_bytes())[..8]);
    let mut body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        // Events about what is in no namespace are in this one.
        "metadata": { "namespace": "default", "name": format!("{node}.{hash}") },
        "eventTime": micro(first),
        "reportingController": "planekeeper.dev/planekeeper",
        "reportingInstance": node,
        "action": event.action,
        "reason": event.reason,
        "regarding": { "apiVersion": "v1", "kind": "Node", "name": node, "uid": node },
        "related": { "apiVersion": API_VERSION, "kind": object::KIND, "name": node },
        "note": event.note,
        "type": if event.warning { "Warning" } else { "Normal" },
    });
    if count > 1 {
        body["series"] = json!({ "count": count, "lastObservedTime": micro(last) });
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_comes_again_is_the_same_object_with_a_count() {
        let event = Event { warning: true, reason: "Drifted", action: "Look", note: "file:/x".into() };
        let (first, again) =
            (body("cp1", &event, Moment(0), Moment(0), 1), body("cp1", &event, Moment(0), Moment(60), 2));
        assert_eq!(first["metadata"], again["metadata"]);
        assert_eq!((first.get("series"), &again["series"]["count"]), (None, &json!(2)));
        assert_eq!(again["series"]["lastObservedTime"], "1970-01-01T00:01:00.000000Z");
        assert_ne!(first["metadata"], body("cp1", &event, Moment(1), Moment(1), 1)["metadata"]);
    }

    #[test]
    fn events_beyond_the_budget_are_not_sent_until_time_has_passed() {
        let start = Instant::now();
        let mut budget = Budget { left: EVENTS_BURST, since: start };
        assert!((0..EVENTS_BURST).all(|_| budget.take(start)));
        assert!(!budget.take(start));
        assert!(budget.take(start + EVENT_EVERY));
        assert!(!budget.take(start + EVENT_EVERY));
    }

    #[test]
    fn what_cannot_be_told_waits_within_bounds() {
        let publisher = Publisher::start(Box::new(|| Err("nobody".into())), Box::new(|| {})).unwrap();
        let condition = |reason: &str| crate::status::Condition {
            kind: "Paused".into(),
            status: crate::status::Truth::True,
            reason: reason.into(),
            message: String::new(),
            last_transition_time: Moment(0),
        };
        let before = Status { node: "cp1".into(), conditions: vec![condition("a")], ..Status::default() };
        let action = |index| crate::status::Action {
            what: "repaired".into(),
            resource: format!("{index}"),
            ..Default::default()
        };
        for round in 0..10 {
            let after = Status { actions: (0..20).map(|index| action(round * 20 + index)).collect(), ..before.clone() };
            publisher.tell(&before, &after);
        }
        assert!(publisher.shared.lock().events.len() <= EVENTS_MAX);
    }
}
