//! Where things are on a host that may have no configuration any more: what its own files say, what the configuration says, what
//! kubeadm does by default, in this order. And which folders nobody means to empty.

use std::net::IpAddr;

use serde_json::Value;

use crate::cluster::{Cluster, Etcd};
use crate::desired::{apiserver, etcd, static_pod};
use crate::{system_folders, yaml};

/// kubeadm's default `certificatesDir`.
const CERTIFICATES: &str = "/etc/kubernetes/pki";
/// kubeadm's default `etcd.local.dataDir`.
const ETCD_DATA: &str = "/var/lib/etcd";
/// kubeadm's default `criSocket`.
const CRI_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";
/// The port of etcd's clients, which kubeadm fixes.
const ETCD_CLIENT_PORT: u16 = 2379;

/// The files of a host that say where things are; none where they are not there, or cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// etcd's manifest.
    pub etcd: Option<String>,
    /// The API server's manifest.
    pub api_server: Option<String>,
    /// `instance-config.yaml` and `config.yaml` of the kubelet.
    pub kubelet: [Option<String>; 2],
    /// The kubelet's `kubeadm-flags.env`.
    pub kubelet_flags: Option<String>,
}

/// Where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// CAs, certificates and keys.
    pub certificates: String,
    /// etcd's data; none where etcd is not this host's.
    pub etcd_data: Option<String>,
    /// The container runtime's address.
    pub cri_socket: String,
    /// etcd, as its manifest has it.
    pub etcd: Option<EtcdPod>,
}

/// What a manifest says of etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdPod {
    /// The member's name.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach this member, then the others that it was started with.
    pub endpoints: Vec<String>,
    /// It was started as a member of a cluster that was there.
    pub joined: bool,
}

/// Says where things are on a host.
#[must_use]
pub fn places(texts: &Texts, cluster: Option<&Cluster>) -> Places {
    let manifest = |text: &Option<String>| text.as_deref().and_then(|text| yaml::parse(text).ok());
    let (etcd, api_server) = (manifest(&texts.etcd), manifest(&texts.api_server));
    let in_manifest = api_server.as_ref().and_then(|pod| volume(pod, "k8s-certs"));
    let certificates = in_manifest.or(cluster.map(|cluster| cluster.certificates_dir.clone()));
    let data = etcd.as_ref().and_then(|pod| volume(pod, "etcd-data"));
    Places {
        certificates: certificates.unwrap_or_else(|| CERTIFICATES.to_owned()),
        etcd_data: data.or_else(|| match cluster.map(|cluster| &cluster.etcd) {
            Some(Etcd::Local(local)) => Some(local.data_dir.clone()),
            Some(Etcd::External(_)) => None,
            None => {
                (etcd.is_some() || !api_server.is_some_and(|pod| etcd_is_elsewhere(&pod))).then(|| ETCD_DATA.to_owned())
            }
        }),
        cri_socket: cri_socket(texts)
            .or(cluster.map(|cluster| cluster.node.cri_socket.clone()))
            .unwrap_or_else(|| CRI_SOCKET.to_owned()),
        etcd: etcd.as_ref().map(etcd_pod),
    }
}

/// The folder of the host that a static Pod has under a name. kubeadm looks for etcd's data in this way too.
fn volume(pod: &Value, name: &str) -> Option<String> {
    let volumes = pod.pointer("/spec/volumes")?.as_array()?;
    let volume = volumes.iter().find(|volume| volume["name"] == name)?;
    Some(volume.pointer("/hostPath/path")?.as_str()?.to_owned())
}

/// A flag of a component in its static Pod, the last one where there are several.
fn flag<'a>(pod: &'a Value, component: &str, name: &str) -> Option<&'a str> {
    let command = static_pod::container_of(pod, component)?.get("command")?.as_array()?;
    let value = |word: &'a Value| word.as_str()?.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=');
    command.iter().filter_map(value).next_back()
}

fn urls(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect()
}

/// The host in a URL.
fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// The API server has its data elsewhere. kubeadm gives it this host's etcd at the loopback address.
fn etcd_is_elsewhere(api_server: &Value) -> bool {
    let servers = urls(flag(api_server, apiserver::NAME, "etcd-servers"));
    let local = |url: &String| {
        let host = host(url).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    !servers.is_empty() && !servers.iter().any(local)
}

fn etcd_pod(pod: &Value) -> EtcdPod {
    let flag = |name| flag(pod, etcd::NAME, name);
    let peer_urls = urls(flag("initial-advertise-peer-urls"));
    let first = urls(flag("initial-cluster"));
    let peers = first.iter().filter_map(|member| member.split_once('=').map(|(_, url)| url));
    let others: Vec<String> = peers
        .filter(|url| !peer_urls.iter().any(|ours| ours == url))
        .map(|url| format!("https://{}:{ETCD_CLIENT_PORT}", host(url)))
        .collect();
    // The loopback address comes first there, as kubeadm writes it.
    let mut endpoints = urls(flag("listen-client-urls"));
    endpoints.truncate(1);
    let joined = !others.is_empty();
    endpoints.extend(others);
    EtcdPod { name: flag("name").unwrap_or_default().to_owned(), peer_urls, endpoints, joined }
}

fn cri_socket(texts: &Texts) -> Option<String> {
    let of_file = |text: &Option<String>| {
        let value = yaml::parse(text.as_deref()?).ok()?;
        Some(value.get("containerRuntimeEndpoint")?.as_str()?.to_owned())
    };
    let of_flags = || {
        let words = texts.kubelet_flags.as_deref()?.split([' ', '"', '\n']);
        words.filter_map(|word| word.strip_prefix("--container-runtime-endpoint=")).next_back().map(str::to_owned)
    };
    // As for the kubelet, a flag counts more than a file.
    of_flags().or_else(|| texts.kubelet.iter().find_map(of_file)).filter(|socket| !socket.is_empty())
}

/// Why a folder must not be emptied; `kept` are files that stay whatever is said, such as the configuration.
///
/// # Errors
/// The reason.
pub fn may_empty(path: &str, kept: &[String]) -> Result<(), String> {
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(format!("{path} is not an absolute path"));
    }
    let path = system_folders::plain(path);
    let path = path.as_str();
    if system_folders::is_one(path) {
        return Err(format!("{path} is a folder of the system, and is not emptied"));
    }
    match kept.iter().find(|file| system_folders::holds(path, file)) {
        Some(file) => Err(format!("{file} lies in {path}, which would be emptied; move it away first")),
        None => Ok(()),
    }
}

/// The mounts below a folder, in the order in which they can be unmounted; from the text of `/proc/self/mounts`.
#[must_use]
pub fn mounts_below(mounts: &str, folder: &str) -> Vec<String> {
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(unescaped);
    let mut below: Vec<String> = points.filter(|point| point.starts_with(&prefix)).collect();
    // The last mount of a point lies over those before it, and deeper ones come after those that they lie in.
    below.reverse();
    below.sort_by_key(|point| std::cmp::Reverse(point.len()));
    below
}

/// The kernel writes blanks and backslashes of paths as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, char)| text.replace(code, char))
}
