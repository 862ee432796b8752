//! A status for programs: `planekeeper status -o json` and `/api/v1/status`.

use serde_json::{Value, json};

use super::verdict::{Presence, View};
use crate::config::planekeeper::API_VERSION;

/// The status with its verdict, and whether it is so now.
#[must_use]
pub fn told(view: &View<'_>) -> Value {
    let (word, sentence) = view.verdict();
    let working = match view.presence {
        Presence::Watching(working) => working,
        _ => None,
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "Status",
        "verdict": word.name(),
        "message": sentence,
        "now": view.now,
        "stale": view.stale(),
        "workingSince": working,
        "ageSeconds": view.status.looked_at.map(|at| view.now.since(at)),
        "status": view.status,
    })
}
