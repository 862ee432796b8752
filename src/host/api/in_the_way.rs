//! What stands in the way of an object that the server calls invalid, and is of no use to anybody: it is removed.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Caller;
use super::error::Why;
use super::kinds::Place;

impl Caller {
    /// Removes what stands in the way of an object. True where the object may be taken now.
    pub(super) async fn make_room(&self, place: &Place, wanted: &Value, deadline: Instant) -> Result<bool, Why> {
        match place.kind.as_str() {
            "RoleBinding" | "ClusterRoleBinding" => self.make_room_for_a_binding(place, wanted, deadline).await,
            "Service" => self.make_room_for_a_service(place, wanted, deadline).await,
            _ => Ok(false),
        }
    }

    /// What a binding binds to cannot be changed; `kubectl auth reconcile` makes another in its place.
    async fn make_room_for_a_binding(&self, place: &Place, wanted: &Value, deadline: Instant) -> Result<bool, Why> {
        let other = self.read(place, deadline).await?.is_some_and(|live| live["roleRef"] != wanted["roleRef"]);
        if other {
            self.delete(place, None, deadline).await?;
        }
        Ok(other)
    }

    /// The API server gives a Service its address before it stores it. Where it, or whoever asked, ends in between, the address stays
    /// taken by a Service that there is not, until the server frees it a minute later (its IP address repair loop). It is freed now.
    async fn make_room_for_a_service(&self, place: &Place, wanted: &Value, deadline: Instant) -> Result<bool, Why> {
        if self.read(place, deadline).await?.is_some() {
            return Ok(true); // what was asked for before is stored by now
        }
        let address = wanted["spec"]["clusterIP"].as_str().unwrap_or_default();
        let taken = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": address}});
        let Ok(taken) = Place::of(&taken) else { return Ok(false) };
        let live = self.read(&taken, deadline).await?;
        let Some(live) = live.filter(|live| is_of(&live["spec"]["parentRef"], &wanted["metadata"])) else {
            return Ok(false);
        };
        self.delete(&taken, Some(&live), deadline).await?;
        Ok(true)
    }
}

/// A reference is to the Service of this name.
fn is_of(parent: &Value, service: &Value) -> bool {
    let group = parent["group"].as_str().unwrap_or_default();
    let named = parent["namespace"] == service["namespace"] && parent["name"] == service["name"];
    group.is_empty() && parent["resource"] == "services" && named
}
