//! Copies of objects, which the API server keeps up to date: it tells of each change, and is asked nothing meanwhile.
//!
//! Only what is wanted is kept. What a copy cannot be relied on for, since the server is away or planekeeper itself has just changed the
//! object, is not known here, and is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::kinds;
use crate::resource::Id;

#[cfg(test)]
mod tests;

/// So many objects come at a time when all are listed: what nobody wants is dropped at once.
const PAGE: u32 = 50;
/// How long to wait before a watch that broke is begun anew; it doubles from one to the next.
const WAIT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// What the server has told of in this time is as it is now: a Lease lives for fifteen seconds, and is renewed every two.
const RECENT: Duration = Duration::from_secs(15);

/// Takes the id of an object that has changed, in whatever is not the server's own bookkeeping.
pub type Changed = Arc<dyn Fn(Id) + Send + Sync>;

/// Copies of the objects that are wanted.
pub(super) struct Cache {
    client: Client,
    runtime: Handle,
    shared: Arc<Shared>,
    watches: Mutex<BTreeMap<Collection, AbortHandle>>,
}

/// What one watch is about: objects of one kind in one namespace, or one of them by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Collection {
    version: String,
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
}

/// Nobody knows whether an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// An object, or that there is none.
type Known = Result<Option<Value>, Unknown>;

struct Shared {
    changed: Changed,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    copies: BTreeMap<Id, Held>,
    /// The watches that go on, whose copies are what the server has.
    current: BTreeSet<Collection>,
    /// Objects that somebody wanted to know, and that nobody has read since.
    missed: BTreeSet<Id>,
    /// The server was ready, and no watch has broken since.
    ready: bool,
}

struct Held {
    of: Collection,
    object: Known,
    /// What is older than this is not worth knowing.
    least: u64,
    /// The newest that was told of while that was not worth knowing.
    told: u64,
    /// When the server told of it last.
    heard: Option<Instant>,
}

impl Held {
    fn new(of: Collection) -> Self {
        Self { of, object: Err(Unknown), least: 0, told: 0, heard: None }
    }

    fn is_recent(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < RECENT)
    }
}

impl Cache {
    /// No copies yet. Connections are made in the runtime.
    pub fn new(client: Client, runtime: Handle, changed: Changed) -> Self {
        let shared = Arc::new(Shared { changed, state: Mutex::default() });
        Self { client, runtime, shared, watches: Mutex::default() }
    }

    /// Keeps copies of these objects from now on, and of no others.
    pub fn want(&self, wanted: &[&Value]) {
        let wanted = collections(wanted);
        let collections: BTreeSet<&Collection> = wanted.values().collect();
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|collection, watch| {
            let stays = collections.contains(collection);
            if !stays {
                watch.abort();
            }
            stays
        });
        let mut state = self.shared.lock();
        state.current.retain(|collection| collections.contains(collection));
        state.copies.retain(|id, copy| wanted.get(id) == Some(&copy.of));
        state.missed.retain(|id| wanted.contains_key(id));
        for (id, of) in &wanted {
            state.copies.entry(id.clone()).or_insert_with(|| Held::new(of.clone()));
        }
        drop(state);
        for collection in collections {
            if !watches.contains_key(collection)
                && let Some(watch) = self.watch(collection)
            {
                watches.insert(collection.clone(), watch);
            }
        }
    }

    /// A copy of an object, or that there is none.
    ///
    /// # Errors
    /// That is not known.
    pub fn get(&self, id: &Id) -> Known {
        let mut state = self.shared.lock();
        let copy = state.copies.get(id).ok_or(Unknown)?;
        let known = if state.current.contains(&copy.of) { copy.object.clone() } else { Err(Unknown) };
        if known.is_err() {
            state.missed.insert(id.clone());
        }
        known
    }

    /// A copy of an object that the server has told of a moment ago, as it does again and again of a Lease.
    pub fn recent(&self, id: &Id) -> Option<Value> {
        self.shared.lock().recent(id)
    }

    /// The server was ready, and has told of something a moment ago that somebody wrote through it: it works, and so does what it keeps
    /// objects in.
    pub fn is_ready(&self) -> bool {
        self.shared.lock().is_ready()
    }

    /// The server has said that it is ready.
    pub fn set_ready(&self) {
        self.shared.lock().ready = true;
    }

    /// Takes an object as it was read just now, unless it was told of since.
    pub fn put(&self, id: &Id, object: Option<&Value>) {
        let outdated = self.shared.lock().put(id, object);
        if outdated {
            (self.shared.changed)(id.clone());
        }
    }

    /// An object was changed by who asks: what the server told until now is not worth knowing.
    pub fn forget(&self, id: &Id) {
        if let Some(copy) = self.shared.lock().copies.get_mut(id) {
            (copy.least, copy.told) = (u64::MAX, 0);
            copy.object = Err(Unknown);
        }
    }

    fn watch(&self, collection: &Collection) -> Option<AbortHandle> {
        let plural = kinds::plural(&collection.kind)?;
        let (group, version) = collection.version.split_once('/').unwrap_or(("", &collection.version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: collection.version.clone(),
            kind: collection.kind.clone(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = match &collection.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let name = collection.name.as_ref().map(|name| format!("metadata.name={name}"));
        let config = watcher::Config { field_selector: name, page_size: Some(PAGE), ..watcher::Config::default() };
        let (shared, collection) = (Arc::clone(&self.shared), collection.clone());
        let follow = async move {
            let mut patience = Patience(WAIT[0]);
            loop {
                let mut events = pin!(watcher(api.clone(), config.clone()));
                let mut listed = BTreeSet::new();
                // One that goes on where it broke would never say again that all is known: it begins anew.
                while let Some(Ok(event)) = events.next().await {
                    if !matches!(event, Event::Init) {
                        patience = Patience(WAIT[0]);
                    }
                    shared.take(&collection, Some(event), &mut listed);
                }
                shared.take(&collection, None, &mut listed);
                tokio::time::sleep(patience.next()).await;
            }
        };
        Some(self.runtime.spawn(follow).abort_handle())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for watch in self.watches.lock().unwrap_or_else(PoisonError::into_inner).values() {
            watch.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of a watch, or that it broke. `listed` is what has been listed since the watch began anew.
    fn take(&self, collection: &Collection, event: Option<Event<DynamicObject>>, listed: &mut BTreeSet<Id>) {
        let mut state = self.lock();
        let changed = match event {
            None => {
                state.current.remove(collection);
                state.ready = false;
                state.begin_anew(collection);
                Vec::new()
            }
            Some(Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Some(Event::InitApply(object)) => {
                let object = value(collection, &object);
                listed.insert(Id::of_object(&object));
                state.set(object).into_iter().collect()
            }
            Some(Event::InitDone) => {
                let mine = state.copies.iter().filter(|(_, copy)| copy.of == *collection);
                let gone: Vec<Id> = mine.map(|(id, _)| id.clone()).filter(|id| !listed.contains(id)).collect();
                let mut changed: Vec<Id> = gone.into_iter().filter(|id| state.remove(id, None)).collect();
                listed.clear();
                state.current.insert(collection.clone());
                // What could not be known until now may have to be done now.
                let missed = std::mem::take(&mut state.missed);
                let is_mine = |id: &Id| state.copies.get(id).is_some_and(|copy| copy.of == *collection);
                let (mine, others) = missed.into_iter().partition::<BTreeSet<Id>, _>(is_mine);
                state.missed = others;
                changed.extend(mine);
                changed
            }
            Some(Event::Apply(object)) => {
                let object = value(collection, &object);
                state.hear(&object);
                state.set(object).into_iter().collect()
            }
            Some(Event::Delete(object)) => {
                let object = value(collection, &object);
                let id = Id::of_object(&object);
                if state.remove(&id, Some(version(&object))) { vec![id] } else { Vec::new() }
            }
        };
        drop(state);
        // A Lease is renewed every two seconds: it is there for who asks, and wakes nobody.
        if collection.kind != "Lease" {
            for id in changed {
                (self.changed)(id);
            }
        }
    }
}

impl State {
    /// Takes an object as it was read. Whether it is known to be another one meanwhile.
    fn put(&mut self, id: &Id, object: Option<&Value>) -> bool {
        self.missed.remove(id);
        let Some(copy) = self.copies.get_mut(id) else { return false };
        if self.current.contains(&copy.of) && copy.object.is_ok() {
            return false; // the watch has begun since it was asked for
        }
        let outdated = object.is_some_and(|object| version(object) < copy.told);
        copy.least = object.map_or(0, version);
        copy.object = if outdated { Err(Unknown) } else { Ok(object.cloned()) };
        copy.told = 0;
        outdated
    }

    fn recent(&self, id: &Id) -> Option<Value> {
        let copy = self.copies.get(id).filter(|copy| copy.is_recent())?;
        copy.object.clone().ok().flatten()
    }

    fn is_ready(&self) -> bool {
        self.ready && self.copies.values().any(Held::is_recent)
    }

    /// Remembers when the server told of an object.
    fn hear(&mut self, object: &Value) {
        if let Some(copy) = self.copies.get_mut(&Id::of_object(object)) {
            copy.heard = Some(Instant::now());
        }
    }

    /// What is told from now on counts, whatever was told before: etcd may have been restored from a backup, where versions are older.
    fn begin_anew(&mut self, collection: &Collection) {
        for copy in self.copies.values_mut().filter(|copy| copy.of == *collection) {
            copy.told = 0;
            if copy.least != u64::MAX {
                copy.least = 0;
            }
        }
    }

    /// Takes an object that the server tells of. Its id, where that is another object than before.
    fn set(&mut self, object: Value) -> Option<Id> {
        let id = Id::of_object(&object);
        let copy = self.copies.get_mut(&id)?;
        if version(&object) < copy.least {
            copy.told = copy.told.max(version(&object));
            return None;
        }
        let same = matches!(&copy.object, Ok(Some(known)) if content(known) == content(&object));
        copy.object = Ok(Some(object));
        (!same).then_some(id)
    }

    /// Takes that an object is gone. Whether that is news.
    fn remove(&mut self, id: &Id, version: Option<u64>) -> bool {
        let Some(copy) = self.copies.get_mut(id) else { return false };
        if version.unwrap_or(u64::MAX - 1) < copy.least {
            copy.told = copy.told.max(version.unwrap_or(0));
            return false;
        }
        let known = std::mem::replace(&mut copy.object, Ok(None));
        known != Ok(None)
    }
}

/// The watch that each object is in: where several of a kind are wanted in a namespace, one for all.
fn collections(wanted: &[&Value]) -> BTreeMap<Id, Collection> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let whole = |object: &Value| Collection {
        version: text(object, "/apiVersion").unwrap_or_default(),
        kind: text(object, "/kind").unwrap_or_default(),
        namespace: text(object, "/metadata/namespace"),
        name: None,
    };
    let mut count = BTreeMap::<Collection, usize>::new();
    for object in wanted {
        *count.entry(whole(object)).or_default() += 1;
    }
    let of = |object: &&Value| {
        let mut collection = whole(object);
        if count.get(&collection) == Some(&1) {
            collection.name = text(object, "/metadata/name");
        }
        (Id::of_object(object), collection)
    };
    wanted.iter().map(of).collect()
}

/// An object as a GET has it: those of a list do not say their kind.
fn value(collection: &Collection, object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = json!(collection.version);
    value["kind"] = json!(collection.kind);
    value
}

/// The resource version: those of one kind are in the order of the changes.
fn version(object: &Value) -> u64 {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// An object without its status and the server's bookkeeping.
fn content(object: &Value) -> Value {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
    }
    content
}

/// See [`WAIT`].
struct Patience(Duration);

impl Patience {
    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(WAIT[1]);
        wait
    }
}
