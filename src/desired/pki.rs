//! Certificates and keys below `certificatesDir`, with kubeadm's names, subjects and usages (its `GetDefaultCertList`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, Etcd, LocalEtcd};
use crate::desired::origins::Origins;
use crate::desired::{apiserver, directories, etcd, static_pod};
use crate::facts::Facts;
use crate::resource::{
    CaRef, CertificateSpec, Desired, Effect, Id, Issuer, KeyPairSpec, Origin, Profile, Resource, Spec,
};

/// Name of the cluster's CA, which signs for the API server and its clients.
pub const CLUSTER_CA: &str = "ca";
/// Name of the CA behind the API server's requests to aggregated API servers.
pub const FRONT_PROXY_CA: &str = "front-proxy-ca";
/// Name of etcd's CA.
pub const ETCD_CA: &str = "etcd/ca";

/// A certificate that a CA signs.
struct Leaf {
    name: &'static str,
    phase: &'static str,
    ca: &'static str,
    common_name: String,
    organization: Option<&'static str>,
    server: bool,
    client: bool,
    names: Names,
    effect: Effect,
    origins: Vec<Origin>,
}

/// Subject alternative names.
#[derive(Default)]
pub(super) struct Names {
    pub dns: BTreeSet<String>,
    pub ip: BTreeSet<IpAddr>,
}

/// CAs, what they sign, and the key pair that signs for service accounts.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    let leaves = leaves(cluster);
    let mut authorities = vec![
        // Clients of the API server are checked against a changed file at once; what the controller manager hands out to
        // Pods as their root CA is read when it starts.
        (CLUSTER_CA, "certs/ca", "kubernetes", Effect::Restart("kube-controller-manager")),
        (FRONT_PROXY_CA, "certs/front-proxy-ca", "front-proxy-ca", Effect::Reload("kube-apiserver")),
    ];
    if matches!(cluster.etcd, Etcd::Local(_)) {
        authorities.push((ETCD_CA, "certs/etcd-ca", "etcd-ca", Effect::Restart("etcd")));
    }
    for (name, phase, common_name, effect) in authorities {
        let witnesses = witnesses(name, &leaves);
        desired.push(authority(cluster, facts, name, phase, common_name, witnesses, effect));
        for leaf in leaves.iter().filter(|leaf| leaf.ca == name) {
            desired.push(certificate(cluster, facts, leaf));
        }
    }
    desired.push(service_account_keys(cluster, facts));
    desired
}

/// The path of a file below `certificatesDir`: `etcd/ca.crt`.
#[must_use]
pub fn path(cluster: &Cluster, file: &str) -> String {
    format!("{}/{file}", cluster.certificates_dir)
}

/// By how much a certificate is made anew earlier than it has to be, in thousandths: another number for each host and certificate, and
/// always the same.
#[must_use]
pub fn early(cluster: &Cluster, name: &str) -> u16 {
    let digest = Sha256::digest(format!("{}/{name}", cluster.node.name).as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % 1000
}

/// A CA, for who is signed by it.
#[must_use]
pub fn ca(cluster: &Cluster, name: &str) -> CaRef {
    CaRef {
        id: Id::certificate(name),
        certificate: path(cluster, &format!("{name}.crt")),
        key: path(cluster, &format!("{name}.key")),
    }
}

/// What shows that a CA was there before: everything it signs, and the manifest of who reads it.
fn witnesses(authority: &str, leaves: &[Leaf]) -> Vec<Id> {
    let mut witnesses: Vec<_> =
        leaves.iter().filter(|leaf| leaf.ca == authority).map(|leaf| Id::certificate(leaf.name)).collect();
    if authority == CLUSTER_CA {
        witnesses.extend(crate::desired::kubeconfig::NAMES.map(Id::kubeconfig));
    }
    let reads = if authority == ETCD_CA { etcd::NAME } else { apiserver::NAME };
    witnesses.push(Id::file(&static_pod::path(reads)));
    witnesses
}

/// The folder that a certificate lies in.
fn folder(cluster: &Cluster, name: &str) -> Id {
    if name.starts_with("etcd/") {
        Id::directory(&directories::etcd_certificates(cluster))
    } else {
        Id::directory(&cluster.certificates_dir)
    }
}

fn authority(
    cluster: &Cluster,
    facts: &Facts,
    name: &str,
    phase: &'static str,
    common_name: &str,
    witnesses: Vec<Id>,
    effect: Effect,
) -> Resource {
    let CaRef { id, certificate, key } = ca(cluster, name);
    let spec = CertificateSpec {
        certificate,
        key,
        profile: Profile::ca(common_name, cluster.key_algorithm, cluster.ca_certificate_validity),
        issuer: Issuer::SelfSigned { witnesses },
        owner: facts.owner,
        effect,
    };
    Resource::present(id, phase, vec![folder(cluster, name)], Spec::Certificate(spec)).from(
        Origins::of(cluster)
            .field("key", "ClusterConfiguration.encryptionAlgorithm")
            .field("validity", "ClusterConfiguration.caCertificateValidityPeriod")
            .list(),
    )
}

fn certificate(cluster: &Cluster, facts: &Facts, leaf: &Leaf) -> Resource {
    let spec = CertificateSpec {
        certificate: path(cluster, &format!("{}.crt", leaf.name)),
        key: path(cluster, &format!("{}.key", leaf.name)),
        profile: Profile {
            common_name: leaf.common_name.clone(),
            organization: leaf.organization.map(str::to_owned),
            dns_names: leaf.names.dns.clone(),
            ip_addresses: leaf.names.ip.clone(),
            server: leaf.server,
            client: leaf.client,
            algorithm: cluster.key_algorithm,
            validity: cluster.certificate_validity,
            renew_before: cluster.settings.renew_before,
            early: early(cluster, leaf.name),
        },
        issuer: Issuer::Ca(ca(cluster, leaf.ca)),
        owner: facts.owner,
        effect: leaf.effect.clone(),
    };
    let needs = vec![folder(cluster, leaf.name), Id::certificate(leaf.ca)];
    let mut origins = leaf.origins.clone();
    origins.extend(
        Origins::of(cluster)
            .field("key", "ClusterConfiguration.encryptionAlgorithm")
            .field("validity", "ClusterConfiguration.certificateValidityPeriod")
            .field("renewal", "PlanekeeperConfiguration.renewBefore")
            .list(),
    );
    Resource::present(Id::certificate(leaf.name), leaf.phase, needs, Spec::Certificate(spec)).from(origins)
}

/// The keys that sign ServiceAccount tokens. Tokens of a running cluster depend on them.
fn service_account_keys(cluster: &Cluster, facts: &Facts) -> Resource {
    let spec = KeyPairSpec {
        private: path(cluster, "sa.key"),
        public: path(cluster, "sa.pub"),
        algorithm: cluster.key_algorithm,
        owner: facts.owner,
        witnesses: vec![Id::file(&format!("{}/kube-apiserver.yaml", directories::MANIFESTS))],
    };
    Resource::present(Id::key_pair("sa"), "certs/sa", vec![folder(cluster, "sa")], Spec::KeyPair(spec))
}

fn leaves(cluster: &Cluster) -> Vec<Leaf> {
    let api_server = Effect::Reload("kube-apiserver");
    let client = |name, phase, ca, common_name: &str, effect: &Effect| Leaf {
        name,
        phase,
        ca,
        common_name: common_name.to_owned(),
        organization: None,
        server: false,
        client: true,
        names: Names::default(),
        effect: effect.clone(),
        origins: Vec::new(),
    };
    let mut leaves = vec![
        api_server_leaf(cluster),
        Leaf {
            organization: cluster.release.kubelet_client_is_cluster_admin.then_some("kubeadm:cluster-admins"),
            ..client(
                "apiserver-kubelet-client",
                "certs/apiserver-kubelet-client",
                CLUSTER_CA,
                "kube-apiserver-kubelet-client",
                &api_server,
            )
        },
        client("front-proxy-client", "certs/front-proxy-client", FRONT_PROXY_CA, "front-proxy-client", &api_server),
    ];
    if let Etcd::Local(etcd) = &cluster.etcd {
        leaves.extend(etcd_leaves(cluster, etcd));
        leaves.push(client(
            "etcd/healthcheck-client",
            "certs/etcd-healthcheck-client",
            ETCD_CA,
            "kube-etcd-healthcheck-client",
            &Effect::None,
        ));
        leaves.push(client(
            "apiserver-etcd-client",
            "certs/apiserver-etcd-client",
            ETCD_CA,
            "kube-apiserver-etcd-client",
            &api_server,
        ));
    }
    leaves
}

fn api_server_leaf(cluster: &Cluster) -> Leaf {
    let mut names = Names::default();
    for name in [&cluster.node.name, "kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
        names.dns.insert(name.to_owned());
    }
    names.dns.insert(format!("kubernetes.default.svc.{}", cluster.networking.dns_domain));
    names.ip.insert(cluster.endpoint.address);
    // With two service subnets too, kubeadm takes the address of the first only.
    names.ip.extend(cluster.networking.api_service_addresses.first());
    if let Some((host, _port)) = cluster.control_plane_endpoint.as_deref().and_then(|place| place.rsplit_once(':')) {
        names.add(host.trim_start_matches('[').trim_end_matches(']'));
    }
    for name in &cluster.api_server_cert_sans {
        names.add(name);
    }
    Leaf {
        name: "apiserver",
        phase: "certs/apiserver",
        ca: CLUSTER_CA,
        common_name: "kube-apiserver".to_owned(),
        organization: None,
        server: true,
        client: false,
        names,
        effect: Effect::Reload("kube-apiserver"),
        origins: Origins::of(cluster)
            .field("SAN", "ClusterConfiguration.apiServer.certSANs")
            .field("SAN", "ClusterConfiguration.controlPlaneEndpoint")
            .field("SAN", "ClusterConfiguration.networking")
            .field("SAN", "InitConfiguration.localAPIEndpoint.advertiseAddress")
            .field("SAN", "InitConfiguration.nodeRegistration.name")
            .list(),
    }
}

/// etcd's own: its server and its peers are each other's clients too.
fn etcd_leaves(cluster: &Cluster, etcd: &LocalEtcd) -> [Leaf; 2] {
    [
        ("etcd/server", "certs/etcd-server", &etcd.server_cert_sans, "ClusterConfiguration.etcd.local.serverCertSANs"),
        ("etcd/peer", "certs/etcd-peer", &etcd.peer_cert_sans, "ClusterConfiguration.etcd.local.peerCertSANs"),
    ]
    .map(|(name, phase, sans, field)| {
        let mut names = Names::default();
        names.dns.extend([cluster.node.name.clone(), "localhost".to_owned()]);
        names.ip.extend([cluster.endpoint.address, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        for name in sans {
            names.add(name);
        }
        Leaf {
            name,
            phase,
            ca: ETCD_CA,
            common_name: cluster.node.name.clone(),
            organization: None,
            server: true,
            client: true,
            names,
            effect: Effect::Reload("etcd"),
            origins: Origins::of(cluster)
                .field("SAN", field)
                .field("SAN", "InitConfiguration.localAPIEndpoint.advertiseAddress")
                .field("SAN", "InitConfiguration.nodeRegistration.name")
                .field("CN", "InitConfiguration.nodeRegistration.name")
                .list(),
        }
    })
}

impl Names {
    /// A single name.
    pub(super) fn of(name: &str) -> Self {
        let mut names = Self::default();
        names.add(name);
        names
    }

    /// Adds a name: an address where it is one, and an IPv4 address as such even if it is written as an IPv6 one.
    fn add(&mut self, name: &str) {
        match name.parse::<IpAddr>() {
            Ok(address) => self.ip.insert(address.to_canonical()),
            Err(_) => self.dns.insert(name.to_owned()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::resource::Want;

    fn profile(cluster: &Cluster, name: &str) -> Profile {
        let resources = desired(cluster, &Facts::default()).resources;
        let found = resources.into_iter().find(|resource| resource.id == Id::certificate(name)).unwrap();
        match found.want {
            Want::Present(Spec::Certificate(spec)) => spec.profile,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_api_servers_certificate_names_every_way_to_reach_it() {
        let mut cluster = fixture();
        cluster.control_plane_endpoint = Some("[fd00::99]:6443".to_owned());
        cluster.api_server_cert_sans = vec!["*.example.com".to_owned(), "10.1.1.1".to_owned()];
        // kubeadm names the address of the first service subnet only.
        cluster.networking.api_service_addresses.push("fd01::1".parse().unwrap());
        let profile = profile(&cluster, "apiserver");
        let addresses: Vec<_> = profile.ip_addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.10", "10.1.1.1", "10.96.0.1", "fd00::99"]);
        assert!(profile.dns_names.contains("*.example.com") && profile.dns_names.contains("cp1"));
    }

    #[test]
    fn the_kubelets_client_is_an_admin_only_where_the_release_needs_it() {
        let mut cluster = fixture();
        assert_eq!(profile(&cluster, "apiserver-kubelet-client").organization, None);
        cluster.release = &crate::versions::RELEASES[0];
        let organization = profile(&cluster, "apiserver-kubelet-client").organization;
        assert_eq!(organization.as_deref(), Some("kubeadm:cluster-admins"));
    }

    #[test]
    fn certificates_are_not_all_renewed_at_one_moment_and_each_always_at_the_same() {
        let (one, other) = (fixture(), Cluster { name: "other".to_owned(), ..fixture() });
        assert_eq!(early(&one, "apiserver"), early(&other, "apiserver"));
        let names = ["apiserver", "etcd/server", "etcd/peer", "admin.conf", "scheduler.conf"];
        let different: BTreeSet<u16> = names.iter().map(|name| early(&one, name)).collect();
        assert!(different.len() == names.len() && different.iter().all(|early| *early < 1000), "{different:?}");
    }

    #[test]
    fn a_ca_is_known_by_what_it_signed() {
        let resources = desired(&fixture(), &Facts::default()).resources;
        let Want::Present(Spec::Certificate(ca)) = &resources[0].want else { panic!() };
        let Issuer::SelfSigned { witnesses } = &ca.issuer else { panic!() };
        assert!(witnesses.contains(&Id::certificate("apiserver")), "{witnesses:?}");
        assert!(witnesses.contains(&Id::kubeconfig("kubelet.conf")), "{witnesses:?}");
        assert!(!witnesses.contains(&Id::certificate("etcd/server")), "{witnesses:?}");
    }
}
