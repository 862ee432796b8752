//! Connections within the cluster must not go through a proxy: neither those of tools that are run here, by the environment, nor those
//! of the control plane's Pods, by `proxyEnvironment`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::preflight::{Finding, Scene};

/// The port that kubeadm asks with: one that no exception names.
const PORT: u16 = 1234;

/// The way to this host's API server.
pub(super) fn host(scene: &Scene) -> Finding {
    let address = scene.cluster.endpoint.address;
    Finding::together(&way(scene, address, &format!("connections to {address}")))
}

/// The ways to Services and Pods: kubeadm asks for the first address of each subnet.
pub(super) fn subnets(scene: &Scene) -> Finding {
    let networking = &scene.cluster.networking;
    let subnets = [Some(&networking.service_subnet), networking.pod_subnet.as_ref()];
    let subnets = subnets.into_iter().flatten().flat_map(|subnets| subnets.split(','));
    let ways = subnets.filter_map(|subnet| {
        let subnet = subnet.trim();
        Some(way(scene, first_address(subnet)?, &format!("connections to {subnet}")))
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

/// The second address of a subnet's range, the first that a host can have.
fn first_address(subnet: &str) -> Option<IpAddr> {
    let (address, bits) = subnet.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => Ipv4Addr::from_bits((address.to_bits() & mask_v4(bits)).wrapping_add(1)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits((address.to_bits() & mask_v6(bits)).wrapping_add(1)).into(),
    })
}

/// The first bits of an IPv4 address.
fn mask_v4(bits: u32) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0)
}

/// The first bits of an IPv6 address.
fn mask_v6(bits: u32) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0)
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

/// Whether an entry of `NO_PROXY` is about an address: `*`, an address, one with a port, or a subnet. Names are about no address.
fn excepts(exception: &str, address: IpAddr) -> bool {
    if exception == "*" || exception.parse() == Ok(address) {
        return true;
    }
    if let Some((network, bits)) = exception.split_once('/') {
        let Ok(bits) = bits.parse() else { return false };
        return match (network.parse(), address) {
            (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
                bits <= 32 && (network.to_bits() ^ address.to_bits()) & mask_v4(bits) == 0
            }
            (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
                bits <= 128 && (network.to_bits() ^ address.to_bits()) & mask_v6(bits) == 0
            }
            _ => false,
        };
    }
    exception.parse() == Ok(std::net::SocketAddr::new(address, PORT))
}
