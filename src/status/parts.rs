//! Which part of a control plane a resource belongs to, and where it can be seen: on disk, in what runs, or in the API.

/// Where a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Files and folders.
    Disk,
    /// Images, units, and what runs.
    Process,
    /// Objects.
    Api,
}

impl Layer {
    /// All, in the order in which what is wanted goes through them.
    pub const ALL: [Self; 3] = [Self::Disk, Self::Process, Self::Api];

    /// Where the resource of an id is.
    #[must_use]
    pub fn of(id: &str) -> Self {
        match kind(id) {
            "image" | "unit" | "pod" | "gate" => Self::Process,
            "object" => Self::Api,
            _ => Self::Disk,
        }
    }

    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Process => "process",
            Self::Api => "API",
        }
    }
}

/// The kind of a resource, which its id begins with: `file`, `object`.
#[must_use]
pub fn kind(id: &str) -> &str {
    id.split_once(':').map_or(id, |(kind, _)| kind)
}

/// The part that a resource belongs to, by kubeadm's phase and, of what runs, by its name.
#[must_use]
pub fn part(phase: &str, id: &str) -> &'static str {
    let name = id.split_once(':').map_or(id, |(_, name)| name);
    match (kind(id), name) {
        ("image", _) => return "images",
        ("gate" | "pod", "etcd") => return "etcd",
        ("gate" | "pod", "kube-apiserver" | "api") => return "kube-apiserver",
        ("gate" | "pod", "kube-controller-manager") => return "kube-controller-manager",
        ("gate" | "pod", "kube-scheduler") => return "kube-scheduler",
        ("gate", "node") => return "node",
        ("gate" | "unit", "kubelet" | "kubelet-steady" | "kubelet.service") => return "kubelet",
        ("directory", _) => return "folders",
        _ => {}
    }
    match phase.split_once('/').unwrap_or((phase, "")) {
        ("certs", _) => "certificates",
        ("kubeconfig", _) => "kubeconfigs",
        ("etcd", _) => "etcd",
        ("control-plane", "controller-manager") => "kube-controller-manager",
        ("control-plane", "scheduler") => "kube-scheduler",
        ("control-plane", _) => "kube-apiserver",
        ("kubelet-start", _) => "kubelet",
        ("upload-config" | "upload-certs", _) => "uploads",
        ("mark-control-plane", _) => "node",
        ("bootstrap-token", _) => "bootstrap tokens",
        ("addon", "kube-proxy") => "kube-proxy",
        ("addon", _) => "DNS",
        _ => "others",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_belongs_to_its_component_whatever_waits_for_it() {
        assert_eq!(part("wait-control-plane", "gate:api"), "kube-apiserver");
        assert_eq!(
            part("control-plane/apiserver", "file:/etc/kubernetes/manifests/kube-apiserver.yaml"),
            "kube-apiserver"
        );
        assert_eq!(
            (part("etcd/local", "file:/x/etcd.yaml"), part("wait-control-plane", "gate:etcd")),
            ("etcd", "etcd")
        );
        assert_eq!(part("addon/coredns", "object:Deployment/kube-system/coredns"), "DNS");
        assert_eq!((Layer::of("gate:api"), Layer::of("certificate:ca")), (Layer::Process, Layer::Disk));
    }
}
