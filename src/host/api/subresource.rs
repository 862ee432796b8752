//! The status of an object, which is written apart from the object itself.

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{APPLY, Api, ApiError, call, failed, place};

/// Who planekeeper is where it writes a status: whoever gives up the object does not give up its status.
const FIELD_MANAGER: &str = "planekeeper-status";

impl Api {
    /// Makes the status of an object that is there what its `status` says, by server-side apply.
    ///
    /// # Errors
    /// The server did not do it, or it is unknown whether it did.
    pub fn apply_status(&self, object: &Value) -> Result<(), ApiError> {
        let place = place("apply the status of", object)?;
        let deadline = Instant::now() + self.timeout;
        let query = format!("/status?fieldManager={FIELD_MANAGER}&force=true");
        let mut call = call(&place, Method::PATCH, &query, deadline);
        let body = json!({
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "metadata": { "name": object["metadata"]["name"] },
            "status": object["status"],
        });
        call.body = Some((APPLY, body.to_string().into_bytes()));
        let done = self.runtime.block_on(self.caller.run(&call));
        done.map(drop).map_err(failed("apply the status of", &place))
    }
}
