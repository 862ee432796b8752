//! An etcd that is somebody else's: its certificate files, and its version.

use crate::cluster::{Etcd, ExternalEtcd};
use crate::preflight::{Check, Finding, Group, Scene};

/// The oldest etcd that kubeadm 1.34 to 1.37 accept.
const OLDEST: (u32, u32, u32) = (3, 5, 24);

const LOCAL: &str = "etcd is this host's own";

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check::new("ExternalEtcdClientCertificates", Group::Etcd, certificates),
        Check::new("ExternalEtcdVersion", Group::Etcd, version),
    ]
}

fn external(scene: &Scene) -> Option<&ExternalEtcd> {
    match &scene.cluster.etcd {
        Etcd::External(etcd) => Some(etcd),
        Etcd::Local(_) => None,
    }
}

fn certificates(scene: &Scene) -> Finding {
    let Some(etcd) = external(scene) else { return Finding::skipped(LOCAL) };
    let paths = [&etcd.ca_file, &etcd.cert_file, &etcd.key_file].into_iter().filter(|path| !path.is_empty());
    let look = |path: &String| match scene.machine.exists(path) {
        Ok(true) => Finding::ok(path),
        Ok(false) => Finding::error(
            format!("there is no {path}"),
            "the files that etcd.external names",
            format!("copy it from the etcd cluster: {path}"),
        ),
        Err(why) => Finding::unknown(why, "the files that etcd.external names"),
    };
    Finding::together(&paths.map(look).collect::<Vec<_>>())
}

fn version(scene: &Scene) -> Finding {
    let Some(etcd) = external(scene) else { return Finding::skipped(LOCAL) };
    let (major, minor, patch) = OLDEST;
    let needed = format!("etcd {major}.{minor}.{patch} or later at each endpoint");
    let ask = |endpoint: &String| match scene.machine.etcd_version(endpoint, etcd) {
        Ok(version) if numbers(&version).is_some_and(|version| version >= OLDEST) => {
            Finding::ok(format!("{endpoint} is {version}"))
        }
        Ok(version) => Finding::error(format!("{endpoint} is {version:?}"), needed.clone(), "upgrade etcd"),
        Err(why) => Finding::error(
            format!("{endpoint}: {why}"),
            needed.clone(),
            format!("curl --cacert CA --cert CERT --key KEY {endpoint}/version"),
        ),
    };
    Finding::together(&etcd.endpoints.iter().map(ask).collect::<Vec<_>>())
}

fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split(['-', '+']).next()?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}
