//! `localAPIEndpoint`, `controlPlaneEndpoint` and the API server's names.

use std::net::IpAddr;

use super::super::kubeadm::v1beta4::ApiEndpoint as Written;
use super::super::report::Report;
use super::super::syntax;
use super::note;
use crate::cluster::{AddressOrigin, ApiEndpoint};
use crate::facts::Machine;

const ADDRESS: &str = "InitConfiguration.localAPIEndpoint.advertiseAddress";
const PORT: &str = "InitConfiguration.localAPIEndpoint.bindPort";
const ENDPOINT: &str = "ClusterConfiguration.controlPlaneEndpoint";

/// Where this host's API server is.
pub fn check(written: &Written, machine: &Machine, report: &mut Report) -> Option<ApiEndpoint> {
    let port = match written.bind_port {
        0 => Some(6443),
        port => u16::try_from(port).ok(),
    };
    if port.is_none() {
        report.error(PORT, format!("{} is not a port: write 1 to 65535", written.bind_port));
    }
    let address = address(&written.advertise_address, machine, report)?;
    let is_named = written.advertise_address.parse() == Ok(address);
    let origin = if is_named { AddressOrigin::Named } else { AddressOrigin::DefaultRoute };
    Some(ApiEndpoint { address, port: port?, origin })
}

/// The address as written; that of the default route where it is not, or where it is `0.0.0.0` or `::`.
fn address(written: &str, machine: &Machine, report: &mut Report) -> Option<IpAddr> {
    let parsed = match written {
        "" => None,
        text => {
            let Ok(address) = text.parse::<IpAddr>() else {
                report.error(ADDRESS, format!("{text:?} is not an address: write it like 10.0.0.10 or fd00::10"));
                return None;
            };
            Some(address)
        }
    };
    match parsed {
        Some(address) if address.is_loopback() || address.is_multicast() => {
            report.error(
                ADDRESS,
                format!("{address} cannot be reached by other hosts as this one's: write its own address"),
            );
            None
        }
        Some(address) if is_mapped(address) => {
            report.error(ADDRESS, format!("{address} is an IPv4 address written as an IPv6 one: write it as IPv4"));
            None
        }
        Some(address) if !address.is_unspecified() => Some(address),
        any => {
            let same_family = |address: &IpAddr| any.is_none_or(|any| any.is_ipv4() == address.is_ipv4());
            let found = machine.default_address.filter(same_family);
            if found.is_none() {
                report.error(
                    ADDRESS,
                    "is not set, and the host has no default route to take it from: write the host's address",
                );
            }
            found
        }
    }
}

/// An IPv4 address in the clothes of an IPv6 one, which Go and Rust treat differently.
const fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// The stable address of the API servers, with the bind port where it has none.
pub fn control_plane(written: &str, bind_port: Option<u16>, report: &mut Report) -> Option<String> {
    if written.is_empty() {
        return None;
    }
    let (host, port) = note(report, ENDPOINT, syntax::host_port(written))?;
    let bind_port = bind_port?;
    let Some(port) = port else { return Some(syntax::join_host_port(&host, bind_port)) };
    if port != bind_port {
        let message = format!(
            "has port {port}, the API server of this host {bind_port}: something has to lead from one to the other"
        );
        report.warn(ENDPOINT, message);
    }
    // Go takes brackets from an IPv4 address too; nobody else would understand them.
    let bracketed = written.starts_with('[') && !host.contains(':');
    Some(if bracketed { syntax::join_host_port(&host, port) } else { written.to_owned() })
}
