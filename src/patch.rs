//! Seam for the helper that writes patches: take that branch's `src/patch.rs` over this one. Nothing is patched here.

use serde_json::Value;

use crate::cluster::Patch;

/// Whose merge keys a strategic merge goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeSchema {
    /// `core/v1` Pod.
    Pod,
    /// `KubeletConfiguration`.
    KubeletConfiguration,
}

/// Applies the patches of a target.
///
/// # Errors
/// Never: nothing is applied.
pub fn apply(_target: &str, _schema: MergeSchema, value: &Value, _patches: &[Patch]) -> Result<Value, String> {
    Ok(value.clone())
}
