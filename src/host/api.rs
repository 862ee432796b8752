//! The objects in a live cluster: read, applied and deleted through its API server. It judges nothing.
//!
//! The API is sync, since the engine's steps run on threads; inside, a tokio runtime of the caller's carries the connections.

mod body;
mod cache;
mod call;
pub(in crate::host) mod client;
mod error;
mod in_the_way;
mod kinds;
mod shared;
mod subresource;
pub(in crate::host) mod tls;

pub use cache::Changed;
pub use error::{ApiError, Refusal, Retry, Unreachable, Why, failed_checks};

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join;
use futures::stream::{self, StreamExt as _};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::diff::left;
use crate::diff::owned::{FIELD_MANAGER, without_defaults};
use crate::resource::Id;

use cache::Cache;
use call::{Again, Call};
use kinds::Place;

#[cfg(test)]
mod tests;

/// Reading ends after this long, however much is read and however often it is tried.
const READ: Duration = Duration::from_secs(10);

/// A server that does not answer `/readyz` in this time is not ready.
const READY: Duration = Duration::from_secs(3);

/// So many objects are read at a time; on a connection of its own each, where the server has no HTTP/2. Their requests leave together,
/// which wakes both sides less often than one after the other.
const AT_ONCE: usize = 32;

/// So often is an object patched that others change at the same time.
const CONFLICTS: usize = 10;

/// Media types of patches.
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

/// How to reach an API server.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The text of `admin.conf`.
    pub kubeconfig: &'a str,
    /// The text of `super-admin.conf`: a call that the first credential may not make is made with this one. kubeadm makes the
    /// binding of `kubeadm:cluster-admins`, without which `admin.conf` may do nothing, in this way.
    pub fallback: Option<&'a str>,
    /// The URL to talk to in place of the kubeconfig's. kubeadm talks to the API server of its own host at
    /// `https://<advertiseAddress>:<bindPort>`, since a load balancer may lead to another one or to none yet.
    pub server: Option<&'a str>,
    /// How long one change may take with all its attempts: kubeadm's `timeouts.kubernetesAPICall`.
    pub timeout: Duration,
}

/// The API server of a cluster.
pub struct Api {
    runtime: Handle,
    caller: Caller,
    timeout: Duration,
    /// Copies that the server keeps up to date, where it was asked for that.
    cache: Option<Cache>,
}

/// What a look at the API server has found.
#[derive(Debug)]
pub struct Look {
    /// The objects, in the order in which they were named; `None` where there is none, an error where that is unknown.
    pub objects: Vec<Result<Option<Value>, ApiError>>,
    /// Whether the server is ready, as [`Api::ready`], where that was asked.
    pub ready: Option<Result<(), ApiError>>,
}

impl Api {
    /// An API server, to which no connection is made yet. The runtime has several threads, and the calling thread is none of
    /// them.
    ///
    /// # Errors
    /// [`Why::Kubeconfig`]
    pub fn new(access: &Access<'_>, runtime: Handle) -> Result<Self, ApiError> {
        let entered = runtime.enter();
        let client = client::of_kubeconfig(access.kubeconfig, access.server)
            .map_err(|why| ApiError { operation: "reach the API server".to_owned(), why })?;
        drop(entered);
        let fallback = access.fallback.map(|text| Zeroizing::new(text.to_owned()));
        let caller =
            Caller { client, fallback, server: access.server.map(str::to_owned), fallback_client: OnceCell::new() };
        Ok(Self { runtime, caller, timeout: access.timeout, cache: None })
    }

    /// Has the server tell of changes. From then on a look asks only for what is not known.
    #[must_use]
    pub fn watched(self, changed: Changed) -> Self {
        let cache = Cache::new(self.caller.client.clone(), self.runtime.clone(), changed);
        Self { cache: Some(cache), ..self }
    }

    /// Has the server tell of changes of these objects, and of no others, if it tells of any.
    pub fn keep(&self, wanted: &[&Value]) {
        if let Some(cache) = &self.cache {
            cache.want(wanted);
        }
    }

    /// The object of the same `apiVersion`, `kind`, namespace and name; `None` where there is none.
    ///
    /// # Errors
    /// It could not be read: whether it is there is unknown.
    pub fn get(&self, wanted: &Value) -> Result<Option<Value>, ApiError> {
        let deadline = Instant::now() + READ;
        self.runtime.block_on(self.caller.get(wanted, deadline))
    }

    /// The objects of the same names as these, in the same order, several at a time, with one deadline for all; and, where that is
    /// asked, whether the server is ready.
    ///
    /// # Errors
    /// The server does not answer: nothing is known.
    pub fn look(&self, wanted: &[&Value], ready: bool) -> Result<Look, ApiError> {
        let Some(cache) = &self.cache else { return self.ask(wanted, ready) };
        let known: Vec<_> = wanted.iter().map(|object| cache.get(&Id::of_object(object))).collect();
        let unknown = wanted.iter().zip(&known).filter(|(_, known)| known.is_err()).map(|(object, _)| *object);
        let unknown: Vec<&Value> = unknown.collect();
        let asked = self.ask(&unknown, ready)?;
        for (object, found) in unknown.iter().zip(&asked.objects) {
            if let Ok(found) = found {
                cache.put(&Id::of_object(object), found.as_ref());
            }
        }
        if matches!(asked.ready, Some(Ok(()))) {
            cache.set_ready();
        }
        let mut found = asked.objects.into_iter();
        let objects = known.into_iter().filter_map(|known| known.ok().map(Ok).or_else(|| found.next())).collect();
        Ok(Look { objects, ready: asked.ready })
    }

    /// An object that the server tells of again and again, as of a Lease, and did a moment ago.
    #[must_use]
    pub fn recent(&self, wanted: &Value) -> Option<Value> {
        self.cache.as_ref()?.recent(&Id::of_object(wanted))
    }

    /// The server was ready, and tells of what is written through it ever since: there is no need to ask.
    #[must_use]
    pub fn is_known_ready(&self) -> bool {
        self.cache.as_ref().is_some_and(Cache::is_ready)
    }

    /// Asks the server for all of it.
    fn ask(&self, wanted: &[&Value], ready: bool) -> Result<Look, ApiError> {
        let deadline = Instant::now() + READ;
        self.runtime.block_on(async {
            // One makes the connection that all the others share, and tells whether there is anybody.
            let Some((first, others)) = wanted.split_first() else {
                return Ok(Look {
                    objects: Vec::new(),
                    ready: if ready { Some(self.asked_ready().await) } else { None },
                });
            };
            let first = self.caller.get(first, deadline).await;
            if let Err(ApiError { why: why @ Why::Unreachable(_), .. }) = first {
                return Err(ApiError { operation: "reach the API server".to_owned(), why });
            }
            let gets: Vec<_> = others.iter().map(|object| self.caller.get(object, deadline)).collect();
            let others = stream::iter(gets).buffered(AT_ONCE).collect::<Vec<_>>();
            let asked = async { if ready { Some(self.asked_ready().await) } else { None } };
            let (others, ready) = join(others, asked).await;
            Ok(Look { objects: std::iter::once(first).chain(others).collect(), ready })
        })
    }

    /// Makes an object what is wanted by server-side apply; fields that `wanted` has as null are taken out of it, whoever
    /// set them. A Node is never made, only changed. `seen` is what was last read, and spares a Node another reading.
    ///
    /// # Errors
    /// The server did not do it, or it is unknown whether it did.
    pub fn apply(&self, wanted: &Value, seen: Option<&Value>) -> Result<(), ApiError> {
        self.apply_but(wanted, seen, &BTreeSet::new())
    }

    /// [`Api::apply`], without the fields that are left to others: they stay as they are, whoever changes them meanwhile.
    ///
    /// # Errors
    /// As [`Api::apply`].
    pub fn apply_but(&self, wanted: &Value, seen: Option<&Value>, left: &BTreeSet<String>) -> Result<(), ApiError> {
        let deadline = Instant::now() + self.timeout;
        self.runtime.block_on(async {
            let place = place("apply", wanted)?;
            let change = Change { place: &place, wanted, left, deadline };
            let result = match place.kind.as_str() {
                "Node" => self.caller.apply_node(&change, seen).await,
                _ => self.caller.apply(&change, seen).await,
            };
            self.forget(wanted);
            result.map_err(failed("apply", &place))
        })
    }

    /// Deletes an object and, later, what it owns. One that is not there is as good as deleted.
    ///
    /// # Errors
    /// The server did not do it, or it is unknown whether it did.
    pub fn delete(&self, target: &Value) -> Result<(), ApiError> {
        let deadline = Instant::now() + self.timeout;
        let place = place("delete", target)?;
        let deleted = self.runtime.block_on(self.caller.delete(&place, None, deadline));
        self.forget(target);
        deleted.map_err(failed("delete", &place))
    }

    /// What was known of an object before it was changed from here is not worth knowing.
    fn forget(&self, object: &Value) {
        if let Some(cache) = &self.cache {
            cache.forget(&Id::of_object(object));
        }
    }

    /// The server says that it is ready, and its certificate is one of the cluster's. Asked once.
    ///
    /// # Errors
    /// It is not; what it says of its checks is in the message.
    pub fn ready(&self) -> Result<(), ApiError> {
        self.runtime.block_on(self.asked_ready())
    }

    async fn asked_ready(&self) -> Result<(), ApiError> {
        let mut call = Call::new(Method::GET, "/readyz", Instant::now() + READY);
        call.again = Again::Nothing;
        self.text(&call).await.map(drop)
    }

    /// A client gets through to the server with its credential.
    ///
    /// # Errors
    /// It does not.
    pub fn answers(&self) -> Result<(), ApiError> {
        self.get_text("/version").map(drop)
    }

    /// What the server answers to a GET of some path.
    ///
    /// # Errors
    /// There was none, or one with an error status.
    pub fn get_text(&self, path: &str) -> Result<String, ApiError> {
        self.runtime.block_on(self.text(&Call::new(Method::GET, path, Instant::now() + READ)))
    }

    async fn text(&self, call: &Call) -> Result<String, ApiError> {
        let answer = self.caller.run(call).await;
        let answer = answer.map_err(|why| ApiError { operation: format!("get {}", call.path), why })?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// What is to become of an object.
struct Change<'a> {
    place: &'a Place,
    wanted: &'a Value,
    /// Fields that are left to others.
    left: &'a BTreeSet<String>,
    deadline: Instant,
}

/// Who makes calls: a client, and one with more rights for what the first may not do.
struct Caller {
    client: Client,
    server: Option<String>,
    fallback: Option<Zeroizing<String>>,
    /// Made when it is first needed.
    fallback_client: OnceCell<Client>,
}

impl Caller {
    /// Makes a call; one that is forbidden once more, with the credential that is kept for that.
    async fn run(&self, call: &Call) -> Result<Vec<u8>, Why> {
        match (call.run(&self.client).await, &self.fallback) {
            (Err(Why::Refused(refusal)), Some(text)) if refusal.code == 403 => {
                let make = || async { client::of_kubeconfig(text, self.server.as_deref()) };
                call.run(self.fallback_client.get_or_try_init(make).await?).await
            }
            (result, _) => result,
        }
    }

    async fn get(&self, wanted: &Value, deadline: Instant) -> Result<Option<Value>, ApiError> {
        let place = place("get", wanted)?;
        self.read(&place, deadline).await.map_err(failed("get", &place))
    }

    async fn read(&self, place: &Place, deadline: Instant) -> Result<Option<Value>, Why> {
        match self.run(&call(place, Method::GET, "", deadline)).await {
            Ok(answer) => call::object(&answer).map(Some),
            Err(Why::Refused(refusal)) if refusal.code == 404 => Ok(None),
            Err(why) => Err(why),
        }
    }

    async fn patch(&self, change: &Change<'_>, kind: &'static str, body: &Value) -> Result<Value, Why> {
        let force = if kind == APPLY { "&force=true" } else { "" };
        let query = format!("?fieldManager={FIELD_MANAGER}{force}");
        let mut call = call(change.place, Method::PATCH, &query, change.deadline);
        call.body = Some((kind, body.to_string().into_bytes()));
        if body.pointer("/metadata/resourceVersion").is_some() {
            call.again = Again::NoConflict;
        }
        call::object(&self.run(&call).await?)
    }

    async fn apply(&self, change: &Change<'_>, seen: Option<&Value>) -> Result<(), Why> {
        let &Change { place, wanted, left, deadline } = change;
        let applied = body::applied(wanted);
        let live = match self.patch_but(change, &applied, seen).await {
            Err(Why::Refused(refusal)) if refusal.code == 422 && self.make_room(place, wanted, deadline).await? => {
                self.patch(change, APPLY, &applied).await?
            }
            result => result?,
        };
        let wanted = left::value(wanted, &live, &mut |field| left.contains(field));
        if let Some(patch) = body::leftovers(&live, &without_defaults(&wanted, &live)) {
            self.patch(change, MERGE, &patch).await?;
        }
        Ok(())
    }

    /// Applies a body without the fields that are left to others.
    async fn patch_but(&self, change: &Change<'_>, applied: &Value, seen: Option<&Value>) -> Result<Value, Why> {
        if change.left.is_empty() {
            return self.patch(change, APPLY, applied).await;
        }
        let mut seen = seen.cloned();
        let mut conflict = Refusal::default();
        for _ in 0..CONFLICTS {
            let live = match seen.take() {
                Some(live) => Some(live),
                None => self.read(change.place, change.deadline).await?,
            };
            let body = live.map_or_else(|| applied.clone(), |live| shared::body(applied, &live, change.left));
            match self.patch(change, APPLY, &body).await {
                Err(Why::Refused(refusal)) if refusal.code == 409 => conflict = refusal,
                result => return result,
            }
        }
        Err(Why::Refused(conflict))
    }

    /// Patches a Node that the kubelet has registered.
    async fn apply_node(&self, change: &Change<'_>, seen: Option<&Value>) -> Result<(), Why> {
        let &Change { place, wanted, left, deadline } = change;
        let mut seen = seen.cloned();
        let mut conflict = None;
        for _ in 0..CONFLICTS {
            let live = match seen.take() {
                Some(live) => live,
                None => self.read(place, deadline).await?.ok_or_else(unregistered)?,
            };
            let wanted = left::value(wanted, &live, &mut |field| left.contains(field));
            let Some(patch) = body::node_patch(&live, &wanted) else { return Ok(()) };
            let mut call = call(place, Method::PATCH, &format!("?fieldManager={FIELD_MANAGER}"), deadline);
            call.body = Some((MERGE, patch.to_string().into_bytes()));
            call.again = Again::NoConflict;
            match self.run(&call).await {
                Err(Why::Refused(refusal)) if refusal.code == 409 => conflict = Some(refusal),
                Err(Why::Refused(refusal)) if refusal.code == 404 => return Err(unregistered()),
                result => return result.map(drop),
            }
        }
        Err(Why::Refused(conflict.unwrap_or_default()))
    }

    /// Deletes an object; where one was `seen`, that one alone, and none that has taken its place since.
    async fn delete(&self, place: &Place, seen: Option<&Value>, deadline: Instant) -> Result<(), Why> {
        let mut call = call(place, Method::DELETE, "", deadline);
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if let Some(seen) = seen {
            options["preconditions"] = json!({"uid": seen["metadata"]["uid"]});
        }
        call.body = Some(("application/json", options.to_string().into_bytes()));
        match self.run(&call).await {
            Err(Why::Refused(refusal)) if refusal.code == 404 => Ok(()),
            result => result.map(drop),
        }
    }
}

/// A Node that is not there is for its kubelet to make.
fn unregistered() -> Why {
    let message = "the kubelet has not registered the Node yet".to_owned();
    Why::Refused(Refusal { code: 404, reason: "NotFound".to_owned(), message, retry_after: None })
}

fn call(place: &Place, method: Method, query: &str, deadline: Instant) -> Call {
    let mut call = Call::new(method, format!("{}{query}", place.path), deadline);
    call.secret = place.kind == "Secret";
    call
}

fn place(operation: &str, object: &Value) -> Result<Place, ApiError> {
    Place::of(object).map_err(|error| ApiError { operation: format!("{operation} an object"), why: Why::Object(error) })
}

fn failed(operation: &'static str, place: &Place) -> impl FnOnce(Why) -> ApiError {
    let operation = format!("{operation} {place}");
    move |why| ApiError { operation, why }
}
