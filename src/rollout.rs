//! Records of changes of components' manifests: what ran before, and what became of the change.
//!
//! One is kept before a manifest is replaced whose component was well, and goes once the component is well with the new one. So a run
//! that was killed meanwhile is carried on by the next, and what was given up is not tried again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pki;
use crate::record;

/// The static Pods, in the order in which they depend on each other.
pub const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The same components, as they are named where they run in Pods of `DaemonSet`s that are made of their manifests.
pub const SELF_HOSTED: [&str; 3] =
    ["self-hosted-kube-apiserver", "self-hosted-kube-controller-manager", "self-hosted-kube-scheduler"];

/// A change of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The SHA-256 of the new manifest, in hexadecimal digits.
    pub manifest: String,
    /// The manifest with which the component was well.
    pub before: String,
    /// Why the new one was given up, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// When it began, in seconds since 1970, where that is not seen by the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
}

/// Records by component.
pub type Records = BTreeMap<&'static str, Record>;

impl Record {
    /// Its text on disk.
    #[must_use]
    pub fn to_text(&self) -> String {
        record::text_of(self)
    }

    /// What a record says; `None` where it is damaged.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// This manifest was given up.
    #[must_use]
    pub fn gives_up(&self, manifest: &str) -> bool {
        self.failed.is_some() && self.manifest == hash(manifest)
    }
}

/// Where a component's record is.
#[must_use]
pub fn path(component: &str) -> String {
    format!("/var/lib/planekeeper/rollout-{component}.json")
}

/// What a manifest is known by.
#[must_use]
pub fn hash(manifest: &str) -> String {
    pki::hex(&Sha256::digest(manifest.as_bytes()))
}

/// All records of a host, by who reads a file.
///
/// # Errors
/// The first that is there and cannot be read.
pub fn records<E>(read: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Records, E> {
    let mut records = Records::new();
    for component in COMPONENTS.into_iter().chain(SELF_HOSTED) {
        if let Some(record) = read(&path(component))?.as_deref().and_then(Record::read) {
            records.insert(component, record);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let record =
            Record { manifest: hash("new"), before: "old".into(), failed: Some("it crashed".into()), since: None };
        let read = |path: &str| -> Result<Option<String>, ()> {
            Ok(match path {
                "/var/lib/planekeeper/rollout-etcd.json" => Some(record.to_text()),
                "/var/lib/planekeeper/rollout-kube-scheduler.json" => Some("{".into()),
                _ => None,
            })
        };
        assert_eq!(records(read), Ok(Records::from([("etcd", record.clone())])));
        assert!(record.gives_up("new") && !record.gives_up("old"));
        assert!(!Record { failed: None, ..record }.gives_up("new"), "it may yet come up");
    }
}
