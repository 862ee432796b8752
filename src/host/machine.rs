//! What the machine that planekeeper runs on says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::facts::{CA_FOLDERS, Machine, Owner};

/// What the configuration's defaults are taken from.
#[must_use]
pub fn machine() -> Machine {
    Machine { hostname: hostname(), default_address: default_address(), proxy_variables: proxy_variables() }
}

/// The host's name, as `uname` has it.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The address that the default route would send from. Connecting a UDP socket asks the kernel for it and sends nothing.
fn default_address() -> Option<IpAddr> {
    // Addresses of documentation, which are routed like any other: RFC 5737, RFC 3849.
    let ask = |bind: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    };
    ask("0.0.0.0:0", "192.0.2.1:9").or_else(|| ask("[::]:0", "[2001:db8::1]:9"))
}

/// The proxy variables of the environment, which kubeadm would copy into static Pods.
pub(super) fn proxy_variables() -> BTreeMap<String, String> {
    let proxy = |(name, value): &(String, String)| name.to_lowercase().ends_with("_proxy") && !value.is_empty();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(proxy)
        .collect()
}

/// Those of kubeadm's extra folders of CA certificates that the machine has.
#[must_use]
pub fn ca_folders() -> BTreeSet<String> {
    CA_FOLDERS.iter().filter(|folder| Path::new(folder).exists()).map(|folder| (*folder).to_owned()).collect()
}

/// `systemd-resolved` runs: it keeps its folder under `/run` while it does.
#[must_use]
pub fn systemd_resolved() -> bool {
    Path::new("/run/systemd/resolve/resolv.conf").exists()
}

/// Who planekeeper runs as.
#[must_use]
pub fn owner() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
