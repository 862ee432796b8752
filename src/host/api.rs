//! The objects in a live cluster: read, applied and deleted through its API server. It judges nothing.
//!
//! The API is sync, since the engine's steps run on threads; inside, a tokio runtime of the caller's carries the connections.

mod body;
mod call;
pub(in crate::host) mod client;
mod error;
mod kinds;
mod subresource;

pub use error::{ApiError, Refusal, Retry, Unreachable, Why, failed_checks};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::diff::owned::{FIELD_MANAGER, without_defaults};

use call::{Again, Call};
use kinds::Place;

#[cfg(test)]
mod tests;

/// Reading ends after this long, however much is read and however often it is tried.
const READ: Duration = Duration::from_secs(10);

/// A server that does not answer `/readyz` in this time is not ready.
const READY: Duration = Duration::from_secs(3);

/// So many objects are read at a time, each on a connection of its own.
const AT_ONCE: usize = 4;

/// So often is a Node patched that others change at the same time.
const NODE_ATTEMPTS: usize = 10;

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
    caller: Arc<Caller>,
    timeout: Duration,
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
        Ok(Self { runtime, caller: Arc::new(caller), timeout: access.timeout })
    }

    /// The object of the same `apiVersion`, `kind`, namespace and name; `None` where there is none.
    ///
    /// # Errors
    /// It could not be read: whether it is there is unknown.
    pub fn get(&self, wanted: &Value) -> Result<Option<Value>, ApiError> {
        let deadline = Instant::now() + READ;
        self.runtime.block_on(self.caller.get(wanted, deadline))
    }

    /// The objects of the same names as these, in the same order, several at a time. All have one deadline.
    #[must_use]
    pub fn get_all(&self, wanted: &[&Value]) -> Vec<Result<Option<Value>, ApiError>> {
        let deadline = Instant::now() + READ;
        self.runtime.block_on(async {
            // The tasks outlive this borrow as far as the compiler knows.
            let names: Arc<Vec<Value>> = Arc::new(wanted.iter().map(|object| name_of(object)).collect());
            let next = Arc::new(AtomicUsize::new(0));
            let mut tasks = JoinSet::new();
            for _ in 0..AT_ONCE.min(names.len()) {
                let (caller, names, next) = (Arc::clone(&self.caller), Arc::clone(&names), Arc::clone(&next));
                tasks.spawn(async move {
                    let mut found = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(name) = names.get(index) else { return found };
                        found.push((index, caller.get(name, deadline).await));
                    }
                });
            }
            let mut found: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
            found.sort_by_key(|(index, _)| *index);
            found.into_iter().map(|(_, result)| result).collect()
        })
    }

    /// Makes an object what is wanted by server-side apply; fields that `wanted` has as null are taken out of it, whoever
    /// set them. A Node is never made, only changed. `seen` is what was last read, and spares a Node another reading.
    ///
    /// # Errors
    /// The server did not do it, or it is unknown whether it did.
    pub fn apply(&self, wanted: &Value, seen: Option<&Value>) -> Result<(), ApiError> {
        let deadline = Instant::now() + self.timeout;
        self.runtime.block_on(async {
            let place = place("apply", wanted)?;
            let result = match place.kind.as_str() {
                "Node" => self.caller.apply_node(&place, wanted, seen, deadline).await,
                _ => self.caller.apply(&place, wanted, deadline).await,
            };
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
        self.runtime.block_on(self.caller.delete(&place, deadline)).map_err(failed("delete", &place))
    }

    /// The server says that it is ready, and its certificate is one of the cluster's. Asked once.
    ///
    /// # Errors
    /// It is not; what it says of its checks is in the message.
    pub fn ready(&self) -> Result<(), ApiError> {
        let mut call = Call::new(Method::GET, "/readyz", Instant::now() + READY);
        call.again = Again::Nothing;
        self.text(&call).map(drop)
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
        self.text(&Call::new(Method::GET, path, Instant::now() + READ))
    }

    fn text(&self, call: &Call) -> Result<String, ApiError> {
        let answer = self.runtime.block_on(self.caller.run(call));
        let answer = answer.map_err(|why| ApiError { operation: format!("get {}", call.path), why })?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
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

    async fn patch(&self, place: &Place, kind: &'static str, body: &Value, deadline: Instant) -> Result<Value, Why> {
        let force = if kind == APPLY { "&force=true" } else { "" };
        let mut call = call(place, Method::PATCH, &format!("?fieldManager={FIELD_MANAGER}{force}"), deadline);
        call.body = Some((kind, body.to_string().into_bytes()));
        call::object(&self.run(&call).await?)
    }

    async fn apply(&self, place: &Place, wanted: &Value, deadline: Instant) -> Result<(), Why> {
        let applied = body::applied(wanted);
        let live = match self.patch(place, APPLY, &applied, deadline).await {
            // What a binding binds to cannot be changed; `kubectl auth reconcile` makes another in its place.
            Err(Why::Refused(refusal))
                if refusal.code == 422 && self.binds_another_role(place, wanted, deadline).await? =>
            {
                self.delete(place, deadline).await?;
                self.patch(place, APPLY, &applied, deadline).await?
            }
            result => result?,
        };
        if let Some(patch) = body::leftovers(&live, &without_defaults(wanted, &live)) {
            self.patch(place, MERGE, &patch, deadline).await?;
        }
        Ok(())
    }

    async fn binds_another_role(&self, place: &Place, wanted: &Value, deadline: Instant) -> Result<bool, Why> {
        if !matches!(place.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
            return Ok(false);
        }
        Ok(self.read(place, deadline).await?.is_some_and(|live| live["roleRef"] != wanted["roleRef"]))
    }

    /// Patches a Node that the kubelet has registered.
    async fn apply_node(
        &self,
        place: &Place,
        wanted: &Value,
        seen: Option<&Value>,
        deadline: Instant,
    ) -> Result<(), Why> {
        let mut seen = seen.cloned();
        let mut conflict = None;
        for _ in 0..NODE_ATTEMPTS {
            let live = match seen.take() {
                Some(live) => live,
                None => self.read(place, deadline).await?.ok_or_else(unregistered)?,
            };
            let Some(patch) = body::node_patch(&live, wanted) else { return Ok(()) };
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

    async fn delete(&self, place: &Place, deadline: Instant) -> Result<(), Why> {
        let mut call = call(place, Method::DELETE, "", deadline);
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
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

/// What names an object, and nothing else of it.
fn name_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
    })
}
