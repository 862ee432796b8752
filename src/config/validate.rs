//! From documents of the right shape to the parts of a [`crate::cluster::Cluster`]: one file a part. Each function fills
//! in kubeadm's defaults, says everything that is wrong, and returns the part where nothing is.

pub mod certificates;
pub mod component;
pub mod endpoint;
pub mod etcd;
pub mod folders;
pub mod networking;
pub mod node;
pub mod phases;
pub mod self_hosting;
pub mod settings;
pub mod tokens;
pub mod version;

use super::report::Report;

/// Reports what a check of a field says.
fn note<T>(report: &mut Report, field: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|message| report.error(field, message)).ok()
}

/// A text, unless it is empty.
fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A text, or its default where it is empty.
fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

/// The folder of static Pods, the only one that kubeadm writes to.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
