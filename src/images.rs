//! The container images of a control plane, by kubeadm's rules for their names.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, DnsKind, Etcd, LocalEtcd};
use crate::versions::KUBE_DNS_TAG;

/// Where Kubernetes publishes its images, and the only registry with folders in it: a mirror is flat.
const OFFICIAL: &str = "registry.k8s.io";

/// The registry of images that name none.
const DOCKER: &str = "docker.io";

/// The image of a component that comes with each Kubernetes release: `kube-apiserver`, `kube-proxy` and so on.
#[must_use]
pub fn kubernetes(cluster: &Cluster, component: &str) -> String {
    format!("{}/{component}:{}", cluster.image_repository, cluster.version)
}

/// The image of a local etcd.
#[must_use]
pub fn etcd(cluster: &Cluster, etcd: &LocalEtcd) -> String {
    let repository = etcd.image_repository.as_ref().unwrap_or(&cluster.image_repository);
    format!("{repository}/etcd:{}", etcd.image_tag.as_deref().unwrap_or(cluster.release.etcd))
}

/// The image that holds a Pod's namespaces.
#[must_use]
pub fn pause(cluster: &Cluster) -> String {
    format!("{}/pause:{}", cluster.image_repository, cluster.release.pause)
}

/// The image of CoreDNS.
#[must_use]
pub fn coredns(cluster: &Cluster) -> String {
    dns(cluster, "coredns", "coredns", cluster.release.coredns)
}

/// The images of KubeDNS's containers: the server, its cache and its health check.
#[must_use]
pub fn kube_dns(cluster: &Cluster) -> [String; 3] {
    ["k8s-dns-kube-dns", "k8s-dns-dnsmasq-nanny", "k8s-dns-sidecar"]
        .map(|image| dns(cluster, "dns", image, KUBE_DNS_TAG))
}

/// An image of a DNS server, in `folder` of the official registry.
fn dns(cluster: &Cluster, folder: &str, image: &str, tag: &str) -> String {
    let repository = cluster.dns.image_repository.as_ref().unwrap_or(&cluster.image_repository);
    let folder = if repository == OFFICIAL { format!("/{folder}") } else { String::new() };
    format!("{repository}{folder}/{image}:{}", cluster.dns.image_tag.as_deref().unwrap_or(tag))
}

/// Every image that this host needs, in the order of `kubeadm config images list`.
#[must_use]
pub fn list(cluster: &Cluster) -> Vec<String> {
    let mut images: Vec<String> = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .map(|component| kubernetes(cluster, component))
        .into();
    if !cluster.proxy_disabled {
        images.push(kubernetes(cluster, "kube-proxy"));
    }
    if !cluster.dns.disabled {
        match cluster.dns.kind {
            DnsKind::CoreDns => images.push(coredns(cluster)),
            DnsKind::KubeDns => images.extend(kube_dns(cluster)),
        }
    }
    images.push(pause(cluster));
    if let Etcd::Local(local) = &cluster.etcd {
        images.push(etcd(cluster, local));
    }
    images
}

/// Those of the wanted images that are not among the `present` ones, in their order. What is present is named as it is wanted.
#[must_use]
pub fn missing<'a>(wanted: &'a [String], present: &BTreeSet<String>) -> Vec<&'a str> {
    wanted.iter().map(String::as_str).filter(|reference| !present.contains(*reference)).collect()
}

/// Those of the wanted images that are to be pulled by an `imagePullPolicy`, as kubeadm's preflight does: `Always` all, `IfNotPresent` what
/// is missing, `Never` none.
#[must_use]
pub fn due(policy: &str, wanted: &[String], present: &BTreeSet<String>) -> Vec<String> {
    match policy {
        "Never" => Vec::new(),
        "Always" => wanted.to_vec(),
        _ => missing(wanted, present).into_iter().map(str::to_owned).collect(),
    }
}

/// The host (and port) of the registry that an image is pulled from. A first part without a dot or a port is a folder of Docker's registry.
#[must_use]
pub fn registry(reference: &str) -> &str {
    let (first, _) = reference.split_once('/').unwrap_or_default();
    if first == "localhost" || first.contains(['.', ':']) { first } else { DOCKER }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    #[test]
    fn the_list_is_kubeadms() {
        let expected = [
            "registry.k8s.io/kube-apiserver:v1.37.2",
            "registry.k8s.io/kube-controller-manager:v1.37.2",
            "registry.k8s.io/kube-scheduler:v1.37.2",
            "registry.k8s.io/kube-proxy:v1.37.2",
            "registry.k8s.io/coredns/coredns:v1.14.6",
            "registry.k8s.io/pause:3.10.2",
            "registry.k8s.io/etcd:3.7.0-0",
        ];
        assert_eq!(list(&fixture()), expected);
    }

    #[test]
    fn kube_dns_needs_its_three_images_and_not_coredns() {
        let mut cluster = fixture();
        cluster.dns.kind = DnsKind::KubeDns;
        let images = list(&cluster);
        assert_eq!(
            images.iter().filter(|image| image.starts_with("registry.k8s.io/dns/k8s-dns-")).count(),
            3,
            "{images:?}"
        );
        assert!(!images.iter().any(|image| image.contains("coredns")), "{images:?}");
    }

    #[test]
    fn what_is_missing_keeps_its_order() {
        let wanted = ["c", "a", "b"].map(str::to_owned);
        assert_eq!(missing(&wanted, &BTreeSet::from(["a".to_owned()])), ["c", "b"]);
        assert!(missing(&wanted, &BTreeSet::from(wanted.clone())).is_empty());
    }

    #[test]
    fn what_is_pulled_is_what_the_policy_says() {
        let wanted = ["a", "b"].map(str::to_owned);
        let present = BTreeSet::from(["a".to_owned()]);
        let due = |policy| due(policy, &wanted, &present).concat();
        assert_eq!(["Always", "IfNotPresent", "Never"].map(due), ["ab", "b", ""]);
    }

    #[test]
    fn the_registry_of_an_image_is_told_from_a_folder() {
        let registries =
            ["registry.k8s.io/coredns/coredns:v1", "mirror:5000/etcd:1", "localhost/etcd:1", "k8s/etcd:1", "etcd:1"];
        assert_eq!(registries.map(registry), ["registry.k8s.io", "mirror:5000", "localhost", "docker.io", "docker.io"]);
    }

    #[test]
    fn a_mirror_is_flat_and_dns_and_etcd_may_have_their_own() {
        let mut cluster = fixture();
        cluster.image_repository = "mirror.example:5000/k8s".to_owned();
        assert_eq!(coredns(&cluster), "mirror.example:5000/k8s/coredns:v1.14.6");
        cluster.dns.image_repository = Some("dns.example".to_owned());
        cluster.dns.image_tag = Some("v1.2.3".to_owned());
        assert_eq!(coredns(&cluster), "dns.example/coredns:v1.2.3");
        cluster.dns.image_repository = Some(OFFICIAL.to_owned());
        assert_eq!(coredns(&cluster), "registry.k8s.io/coredns/coredns:v1.2.3");
        assert_eq!(kube_dns(&cluster)[2], "registry.k8s.io/dns/k8s-dns-sidecar:v1.2.3");
        if let Etcd::Local(local) = &mut cluster.etcd {
            local.image_tag = Some("3.6.0-0".to_owned());
        }
        assert!(list(&cluster).contains(&"mirror.example:5000/k8s/etcd:3.6.0-0".to_owned()));
    }
}
