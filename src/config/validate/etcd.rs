//! `etcd`.

use super::super::kubeadm::v1beta4::{Etcd as Written, ExternalEtcd as WrittenExternal, LocalEtcd as WrittenLocal};
use super::super::report::Report;
use super::super::syntax;
use super::{component, filled, folders, note, or};
use crate::cluster::{Etcd, ExternalEtcd, LocalEtcd};

const FIELD: &str = "ClusterConfiguration.etcd";
const LOCAL: &str = "ClusterConfiguration.etcd.local";
const EXTERNAL: &str = "ClusterConfiguration.etcd.external";

/// The etcd that is wanted: on this host unless another is named.
pub fn check(written: &mut Written, certificates: &str, minor: Option<u32>, report: &mut Report) -> Etcd {
    if written.local.is_some() && written.external.is_some() {
        report.error(FIELD, "names both a local and an external etcd: keep one of them");
    }
    if let Some(external) = &mut written.external {
        return Etcd::External(check_external(external, minor, report));
    }
    let local = written.local.get_or_insert_default();
    or(&local.data_dir, "/var/lib/etcd").to_owned().clone_into(&mut local.data_dir);
    Etcd::Local(check_local(local, certificates, report))
}

fn check_local(local: &mut WrittenLocal, certificates: &str, report: &mut Report) -> LocalEtcd {
    folders::of_data(&format!("{LOCAL}.dataDir"), &local.data_dir, certificates, report);
    images(LOCAL, &local.image_repository, &local.image_tag, report);
    for (field, names) in [("serverCertSANs", &local.server_cert_sans), ("peerCertSANs", &local.peer_cert_sans)] {
        sans(&format!("{LOCAL}.{field}"), names, report);
    }
    LocalEtcd {
        data_dir: local.data_dir.clone(),
        image_repository: filled(&local.image_repository),
        image_tag: filled(&local.image_tag),
        extra_args: component::args(&format!("{LOCAL}.extraArgs"), &local.extra_args, report),
        extra_envs: component::envs(&format!("{LOCAL}.extraEnvs"), &mut local.extra_envs, report),
        server_cert_sans: local.server_cert_sans.clone(),
        peer_cert_sans: local.peer_cert_sans.clone(),
    }
}

/// Names for a certificate.
pub fn sans(path: &str, names: &[String], report: &mut Report) {
    for (index, name) in names.iter().enumerate() {
        note(report, &format!("{path}[{index}]"), syntax::subject_alternative_name(name));
    }
}

/// Where an image comes from; empty is the cluster's.
pub fn images(path: &str, repository: &str, tag: &str, report: &mut Report) {
    if !repository.is_empty() {
        note(report, &format!("{path}.imageRepository"), syntax::image_repository(repository));
    }
    if !tag.is_empty() {
        note(report, &format!("{path}.imageTag"), syntax::image_tag(tag));
    }
}

fn check_external(external: &mut WrittenExternal, minor: Option<u32>, report: &mut Report) -> ExternalEtcd {
    let files = [("caFile", &external.ca_file), ("certFile", &external.cert_file), ("keyFile", &external.key_file)];
    for (field, path) in files.iter().filter(|(_, path)| !path.is_empty()) {
        note(report, &format!("{EXTERNAL}.{field}"), syntax::absolute_path(path));
    }
    let [ca, cert, key] = files.map(|(_, path)| !path.is_empty());
    if cert != key {
        let missing = if cert { "keyFile" } else { "certFile" };
        report.error(format!("{EXTERNAL}.{missing}"), "is missing: certFile and keyFile belong together");
    }
    if cert && key && !ca {
        report.error(format!("{EXTERNAL}.caFile"), "is missing: a client certificate needs the CA of etcd beside it");
    }
    if external.endpoints.is_empty() {
        report.error(format!("{EXTERNAL}.endpoints"), "is empty: write at least one URL, https://10.0.0.21:2379");
    }
    urls(&format!("{EXTERNAL}.endpoints"), &external.endpoints, ca || cert || key, report);
    urls(&format!("{EXTERNAL}.httpEndpoints"), &external.http_endpoints, false, report);
    complete_http_endpoints(external, minor, report);
    ExternalEtcd {
        endpoints: external.endpoints.clone(),
        ca_file: external.ca_file.clone(),
        cert_file: external.cert_file.clone(),
        key_file: external.key_file.clone(),
    }
}

/// kubeadm writes `httpEndpoints` since 1.35; the one before does not know the field.
fn complete_http_endpoints(external: &mut WrittenExternal, minor: Option<u32>, report: &mut Report) {
    let Some(minor) = minor else { return };
    if minor >= 35 {
        if external.http_endpoints.is_empty() {
            external.http_endpoints.clone_from(&external.endpoints);
        }
    } else if !external.http_endpoints.is_empty() {
        report.error(format!("{EXTERNAL}.httpEndpoints"), format!("is not a field in 1.{minor}: remove it"));
    }
}

fn urls(path: &str, urls: &[String], secure: bool, report: &mut Report) {
    for (index, url) in urls.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if !matches!(scheme, "http" | "https") {
            report.error(path, format!("{url:?} is not a URL of etcd: write https://host:2379"));
        } else if secure && scheme != "https" {
            report.error(path, format!("{url:?} is not https, which the certificates beside it are for"));
        } else if let Err(message) = syntax::host_port(host) {
            // A URL has brackets around an IPv6 address even without a port.
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            if bracketed.is_none_or(|host| host.parse::<std::net::Ipv6Addr>().is_err()) {
                report.error(path, message);
            }
        }
    }
}
