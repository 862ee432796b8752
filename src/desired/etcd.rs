//! etcd as a static Pod of this host.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::cluster::{Arg, Cluster, Etcd, LocalEtcd, Version};
use crate::desired::arguments::{arg, command, last};
use crate::desired::origins::Origins;
use crate::desired::static_pod::{self, Probes, StaticPod};
use crate::desired::{directories, pki, volumes};
use crate::facts::Facts;
use crate::images;
use crate::resource::{Desired, Id};
use crate::yaml;

/// The Pod's name.
pub const NAME: &str = "etcd";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const METRICS_PORT: u16 = 2381;

/// The manifest; nothing where etcd is somebody else's.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    let Etcd::Local(etcd) = &cluster.etcd else { return desired };
    let pod = StaticPod {
        name: NAME,
        command: command(NAME, base_arguments(cluster, etcd, facts), &etcd.extra_args),
        image: images::etcd(cluster, etcd),
        env: static_pod::environment(&BTreeMap::new(), &etcd.extra_envs),
        mounts: vec![
            volumes::folder("etcd-data", &etcd.data_dir, false),
            volumes::folder("etcd-certs", &directories::etcd_certificates(cluster), false),
        ],
        requests: [("cpu", "100m"), ("memory", "100Mi")].into(),
        probes: probes(cluster, etcd),
        annotations: [("kubeadm.kubernetes.io/etcd.advertise-client-urls", client_url(cluster))].into(),
    };
    let needs = [pki::ETCD_CA, "etcd/server", "etcd/peer"].map(Id::certificate);
    let needs = [Id::directory(etcd.data_dir.trim_end_matches('/'))].into_iter().chain(needs).collect();
    let origins = Origins::of(cluster)
        .arguments(&etcd.extra_args, "ClusterConfiguration.etcd.local.extraArgs")
        .field("--data-dir", "ClusterConfiguration.etcd.local.dataDir")
        .field("--name", "InitConfiguration.nodeRegistration.name")
        .field("--advertise-client-urls", "InitConfiguration.localAPIEndpoint.advertiseAddress")
        .field(".spec.containers[etcd].image", "ClusterConfiguration.etcd.local.imageTag")
        .field(".spec.containers[etcd].env", "ClusterConfiguration.etcd.local.extraEnvs")
        .patched("ClusterConfiguration.etcd.local")
        .list();
    desired.push(static_pod::resource(cluster, facts, "etcd/local", &pod, needs, origins));
    desired
}

/// Where clients on this host reach it.
#[must_use]
pub fn local_url(cluster: &Cluster) -> String {
    format!("https://{}", at(localhost(cluster), CLIENT_PORT))
}

fn tag<'a>(cluster: &Cluster, etcd: &'a LocalEtcd) -> &'a str {
    etcd.image_tag.as_deref().unwrap_or(cluster.release.etcd)
}

fn client_url(cluster: &Cluster) -> String {
    format!("https://{}", SocketAddr::new(cluster.endpoint.address, CLIENT_PORT))
}

/// This host, in the address family of the advertised address.
fn localhost(cluster: &Cluster) -> &'static str {
    if cluster.endpoint.address.is_ipv6() { "::1" } else { "127.0.0.1" }
}

fn at(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn peer_url(cluster: &Cluster) -> String {
    format!("https://{}", SocketAddr::new(cluster.endpoint.address, PEER_PORT))
}

/// What a member that has joined a cluster was told of its members, by the manifest that is there: `kubeadm join` writes it. It counts
/// should the member ever have to join again, and tells a reset that there are others.
#[must_use]
pub fn joined(cluster: &Cluster, manifest: &str) -> Option<String> {
    let state = "--initial-cluster-state=existing";
    // Nearly all have founded theirs, and are not parsed.
    let pod = manifest.contains(state).then(|| yaml::parse(manifest).ok())??;
    let command = static_pod::container_of(&pod, NAME)?.get("command")?.as_array()?;
    let told = command.iter().filter_map(|word| word.as_str()?.strip_prefix("--initial-cluster=")).next_back()?;
    let own = format!("{}={}", cluster.node.name, peer_url(cluster));
    let others = told.contains(',');
    let is_told = others && command.iter().any(|word| word == state) && told.split(',').any(|member| member == own);
    is_told.then(|| told.to_owned())
}

fn base_arguments(cluster: &Cluster, etcd: &LocalEtcd, facts: &Facts) -> Vec<Arg> {
    let client = client_url(cluster);
    let peer = peer_url(cluster);
    let name = &cluster.node.name;
    let members = facts.etcd_joined.clone().unwrap_or_else(|| format!("{name}={peer}"));
    let state = facts.etcd_joined.as_ref().map(|_| arg("initial-cluster-state", "existing"));
    let file = |file| pki::path(cluster, file);
    let (corruption_check, progress_notify) = if cluster.release.etcd_experimental_flags
        && before_3_6(tag(cluster, etcd))
    {
        (arg("experimental-initial-corrupt-check", "true"), arg("experimental-watch-progress-notify-interval", "5s"))
    } else {
        (arg("feature-gates", "InitialCorruptCheck=true"), arg("watch-progress-notify-interval", "5s"))
    };
    let arguments = [
        arg("name", name),
        arg("data-dir", &etcd.data_dir),
        arg("listen-client-urls", format!("{},{client}", local_url(cluster))),
        arg("advertise-client-urls", &client),
        arg("listen-peer-urls", &peer),
        arg("initial-advertise-peer-urls", &peer),
        arg("initial-cluster", members),
        arg("listen-metrics-urls", format!("http://{}", at(localhost(cluster), METRICS_PORT))),
        arg("cert-file", file("etcd/server.crt")),
        arg("key-file", file("etcd/server.key")),
        arg("trusted-ca-file", file("etcd/ca.crt")),
        arg("client-cert-auth", "true"),
        arg("peer-cert-file", file("etcd/peer.crt")),
        arg("peer-key-file", file("etcd/peer.key")),
        arg("peer-trusted-ca-file", file("etcd/ca.crt")),
        arg("peer-client-cert-auth", "true"),
        arg("snapshot-count", "10000"),
        corruption_check,
        progress_notify,
    ];
    arguments.into_iter().chain(state).collect()
}

/// The tag names a version before 3.6.0, or none: kubeadm takes both for an etcd that only knows the flags'
/// experimental names. As in semantic versions, `3.6.0-0` comes before `3.6.0`.
fn before_3_6(tag: &str) -> bool {
    if !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte)) {
        return true; // with a digest, say
    }
    let number = tag.split(['-', '+']).next().unwrap_or_default();
    let prerelease = tag[number.len()..].starts_with('-');
    match number.parse::<Version>() {
        Ok(version) => (version.major, version.minor, version.patch, !prerelease) < (3, 6, 0, true),
        Err(()) => true,
    }
}

/// The probes ask the first of the URLs where etcd says how it is.
fn probes(cluster: &Cluster, etcd: &LocalEtcd) -> Probes {
    let local = localhost(cluster);
    let place = last(&etcd.extra_args, "listen-metrics-urls").and_then(first_url);
    let (host, port, tls) = place.unwrap_or(("", None, false));
    Probes {
        host: if host.is_empty() { local } else { host }.to_owned(),
        port: port.unwrap_or(METRICS_PORT),
        tls,
        liveness: "/livez",
        readiness: Some("/readyz"),
        startup: "/readyz",
        startup_timeout: cluster.timeouts.control_plane_component_health_check,
    }
}

/// Host, port and "it is HTTPS" of the first of a list of URLs.
fn first_url(urls: &str) -> Option<(&str, Option<u16>, bool)> {
    let (scheme, rest) = urls.split(',').next()?.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']')?;
            (host, port.strip_prefix(':').unwrap_or_default())
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, port.parse().ok().filter(|port| *port > 0), scheme.eq_ignore_ascii_case("https")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_follow_the_address_where_metrics_are() {
        assert_eq!(first_url("https://10.0.0.1:3381,http://127.0.0.1:2381"), Some(("10.0.0.1", Some(3381), true)));
        assert_eq!(first_url("http://[::]:2381/metrics"), Some(("::", Some(2381), false)));
        assert_eq!(first_url("http://localhost"), Some(("localhost", None, false)));
        assert_eq!(first_url("http://localhost:99999"), Some(("localhost", None, false)));
        assert_eq!(first_url("127.0.0.1:2381"), None);
        assert_eq!(first_url("http://localhost:http"), None);
    }

    #[test]
    fn an_older_etcd_gets_the_flags_that_it_knows() {
        for old in ["3.5.24-0", "v3.5.9", "3.6.0-0", "latest", "3.6"] {
            assert!(before_3_6(old), "{old}");
        }
        for new in ["3.6.0", "3.6.5-0", "v3.7.0", "3.6.0+patched", "4.0.0-rc.1"] {
            assert!(!before_3_6(new), "{new}");
        }
    }
}
