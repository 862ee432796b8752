//! Whose control plane a host has: what planekeeper put there is no fault.

use crate::desired::static_pod;
use crate::origin::{self, Origin};
use crate::preflight::machine::Machine;

/// Whose control plane a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None. Whatever is in the way of one is a fault.
    Bare,
    /// planekeeper's, be it half made: set up by it, or taken over.
    Ours,
    /// Somebody else's, kubeadm's say. `reconcile` takes it over, or asks for `--adopt`.
    Others,
}

impl Standing {
    /// By planekeeper's own record, and else by the API server's manifest.
    #[must_use]
    pub fn of(machine: &dyn Machine) -> Self {
        let read = |path: &str| machine.read(path).ok().flatten();
        if Origin::read(read(origin::PATH).as_deref()).is_some() {
            return Self::Ours;
        }
        match read(&static_pod::path("kube-apiserver")) {
            Some(text) if is_pod(&text, "kube-apiserver") => Self::Others,
            _ => Self::Bare,
        }
    }
}

/// Whether a manifest is that of a component's Pod.
fn is_pod(text: &str, component: &str) -> bool {
    let Ok(manifest) = crate::yaml::parse(text) else { return false };
    manifest["kind"] == "Pod" && manifest.pointer("/metadata/name").is_some_and(|name| name == component)
}
