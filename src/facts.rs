//! What [`crate::desired`] may know besides the configuration: a snapshot of the host, read once a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::followed::Followed;
use crate::rollout::Records;

/// What the configuration's defaults are taken from: read before the configuration is.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The host's name, as `uname` has it.
    pub hostname: String,
    /// The address of the default route, where there is one.
    pub default_address: Option<IpAddr>,
    /// Environment variables that end in `_proxy` (in any case) and have a value.
    pub proxy_variables: BTreeMap<String, String>,
}

/// The rest: what changes as the host converges.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // each is one thing that is so or not
pub struct Facts {
    /// Things run here: services, containers, an API server. In a sandbox nothing does.
    pub live: bool,
    /// The run was asked to end when the add-ons' Pods are ready, and not before.
    pub await_addons: bool,
    /// The control plane was there before planekeeper.
    pub adopted: bool,
    /// The host's name, as `uname` has it.
    pub hostname: String,
    /// Seconds since 1970.
    pub now: i64,
    /// What of a self-hosted control plane runs here, and the manifests of static Pods that there are.
    pub hosting: HostingFacts,
    /// The owner that files of the host have: 0:0 on a live host, in a sandbox whoever runs planekeeper.
    pub owner: Owner,
    /// Those of [`CA_FOLDERS`] that the host has.
    pub ca_folders: BTreeSet<String>,
    /// `systemd-resolved` runs, so the kubelet is told its real `resolv.conf`.
    pub systemd_resolved: bool,
    /// The cluster CA's certificate in PEM, once it is there.
    pub ca_certificate: Option<String>,
    /// `ca.crt` is there and `ca.key` is not: somebody else signs.
    pub external_ca: bool,
    /// Bootstrap tokens that this host has made or met, by token id.
    pub tokens: BTreeMap<String, IssuedToken>,
    /// What this host's etcd was told of the cluster that it has joined; `None` where it has founded its own.
    pub etcd_joined: Option<String>,
    /// Changes of static Pods' manifests that have not ended well yet.
    pub rollouts: Records,
    /// The id of the token that was made up, once it is there.
    pub generated_token: Option<String>,
    /// What of a `ConfigMap` the kubelet follows, where it follows one or did so before.
    pub followed: Option<Followed>,
}

impl Facts {
    /// These facts before the kubelet's configuration was another; `None` where it is what it was.
    #[must_use]
    pub fn earlier(&self) -> Option<Self> {
        let followed = self.followed.as_ref().filter(|followed| followed.moved())?.earlier();
        Some(Self { followed: Some(followed), ..self.clone() })
    }
}

/// Where components of the control plane run on this host: by their names, `kube-apiserver`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostingFacts {
    /// Those of which there is a manifest of a static Pod.
    pub manifests: BTreeSet<String>,
    /// Those of which a container runs in a Pod of a `DaemonSet`, with the time since when the oldest one does: in seconds since 1970.
    pub self_hosted: BTreeMap<String, i64>,
    /// The cluster may have their `DaemonSet`s.
    pub daemon_sets: bool,
    /// Those whose static Pod shares its port, where they are to be static Pods alone: it is not known yet that their `DaemonSet` has gone.
    pub shared: BTreeSet<String>,
}

/// Folders of CA certificates that kubeadm mounts into components where the host has them (its
/// `caCertsExtraVolumePaths`).
pub const CA_FOLDERS: [&str; 5] = [
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// Owner of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A bootstrap token's life, remembered so that running again does not prolong it.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// When it ends, in seconds since 1970; `None` is never.
    pub ends: Option<i64>,
    /// Its secret half, where planekeeper made it up. Never shown.
    pub secret: Option<String>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("ends", &self.ends).finish_non_exhaustive()
    }
}
