//! Connections within the cluster must not go through a proxy: neither those of tools that are run here, by the environment, nor those
//! of the control plane's Pods, by `proxyEnvironment`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Cidr;
use crate::preflight::{self, Finding, Scene};

/// The port that kubeadm asks with: one that no exception names.
const PORT: u16 = 1234;

/// The way to this host's API server.
pub(super) fn host(scene: &Scene) -> Finding {
    let address = scene.cluster.endpoint.address;
    Finding::together(&way(scene, address, &format!("connections to {address}")))
}

/// The ways to Services and Pods: kubeadm asks for the first address of each subnet.
pub(super) fn subnets(scene: &Scene) -> Finding {
    let ways = preflight::subnets(&scene.cluster).filter_map(|subnet| {
        // The second address of its range, the first that a host can have.
        let address = subnet.parse::<Cidr>().ok()?.at(1)?;
        Some(way(scene, address, &format!("connections to {subnet}")))
    });
    Finding::together(&ways.flatten().collect::<Vec<_>>())
}

fn way(scene: &Scene, address: IpAddr, what: &str) -> Vec<Finding> {
    let environment = scene.machine.proxy_variables();
    let sources = [("the environment", &environment), ("proxyEnvironment", &scene.cluster.settings.proxy_environment)];
    let of = |(source, variables): (&str, &BTreeMap<String, String>)| {
        let found =
            proxy(variables, address).map(|proxy| format!("{what} use the proxy {} of {source}", without_user(&proxy)));
        found.map_or_else(
            || Finding::ok("direct"),
            |found| {
                Finding::warning(
                    found,
                    "no proxy within the cluster",
                    format!("add what is named to NO_PROXY of {source}, as a subnet or an address"),
                )
            },
        )
    };
    sources.map(of).into()
}

/// A proxy without what may be its password.
fn without_user(proxy: &str) -> String {
    match (proxy.find("://"), proxy.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &proxy[..scheme + 3], &proxy[at + 1..]),
        (None, Some(at)) => proxy[at + 1..].to_owned(),
        _ => proxy.to_owned(),
    }
}

/// The proxy that Go's programs use for HTTPS to an address. The upper case counts first.
fn proxy(variables: &BTreeMap<String, String>, address: IpAddr) -> Option<String> {
    let get =
        |names: [&str; 2]| names.into_iter().find_map(|name| variables.get(name)).filter(|value| !value.is_empty());
    let proxy = get(["HTTPS_PROXY", "https_proxy"])?;
    let none = get(["NO_PROXY", "no_proxy"]).map_or("", String::as_str);
    let direct = address.is_loopback() || none.split(',').map(str::trim).any(|exception| excepts(exception, address));
    (!direct).then(|| proxy.clone())
}

/// Whether an entry of `NO_PROXY` is about an address: `*`, an address, one with a port, or a network. Names are about no address.
fn excepts(exception: &str, address: IpAddr) -> bool {
    exception == "*"
        || exception.parse() == Ok(address)
        || exception.parse() == Ok(SocketAddr::new(address, PORT))
        || network(exception).is_some_and(|network| network.contains(address))
}

/// A network of `NO_PROXY`. Its prefix may begin with zeros, which Go skips, and which are an error in a configuration.
fn network(exception: &str) -> Option<Cidr> {
    let (address, prefix) = exception.split_once('/')?;
    let prefix: u8 = prefix.parse().ok()?;
    format!("{address}/{prefix}").parse().ok()
}
