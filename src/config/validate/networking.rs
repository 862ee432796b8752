//! `networking`, and the addresses that follow from it.

use std::net::IpAddr;

use super::super::kubeadm::v1beta4::{Arg, Networking as Written};
use super::super::report::Report;
use super::super::syntax::{self, Cidr};
use super::{filled, note, or};
use crate::cluster::Networking;

const SERVICES: &str = "ClusterConfiguration.networking.serviceSubnet";
const PODS: &str = "ClusterConfiguration.networking.podSubnet";
const DOMAIN: &str = "ClusterConfiguration.networking.dnsDomain";

/// Host bits that a service subnet may have; the API server keeps a bitmap of it in etcd.
const MOST_SERVICE_BITS: u8 = 20;
/// The bits of a node's subnet may be so many more than those of the Pods' subnet; the controller manager keeps a bitmap.
const MOST_NODE_BITS: u8 = 16;
/// The cluster's DNS has the tenth address of the service subnet.
const DNS_INDEX: u32 = 10;

/// The networking, where it is right.
pub fn check(written: &Written, controller_args: &[Arg], report: &mut Report) -> Option<Networking> {
    let service_subnet = or(&written.service_subnet, "10.96.0.0/12").to_owned();
    let dns_domain = or(&written.dns_domain, "cluster.local").to_owned();
    note(report, DOMAIN, syntax::dns_subdomain(&dns_domain));
    let services = subnets(&service_subnet, DNS_INDEX, SERVICES, report);
    for cidr in services.iter().flatten().filter(|cidr| cidr.host_bits() > MOST_SERVICE_BITS) {
        let most = cidr.prefix + cidr.host_bits() - MOST_SERVICE_BITS;
        let message = format!("/{} is too large for Services: write /{most} or a longer prefix", cidr.prefix);
        report.error(SERVICES, message);
    }
    let pods = match written.pod_subnet.as_str() {
        "" => Some(Vec::new()),
        text => subnets(text, 14, PODS, report),
    };
    if argument(controller_args, "allocate-node-cidrs") != Some("false") {
        for cidr in pods.iter().flatten() {
            node_mask(*cidr, controller_args, report);
        }
    }
    let (services, pods) = (services?, pods?);
    together(&services, &pods, report);
    Some(Networking {
        service_subnet,
        pod_subnet: filled(&written.pod_subnet),
        dns_domain,
        api_service_addresses: services.iter().filter_map(|cidr| cidr.at(1)).collect(),
        dns_address: services.first()?.at(DNS_INDEX)?,
    })
}

/// The networks of a field: one, or one of each family.
fn subnets(text: &str, least: u32, field: &str, report: &mut Report) -> Option<Vec<Cidr>> {
    let example = "write it like 10.96.0.0/12, or 10.96.0.0/16,fd00:10:96::/112 for both families";
    let parsed: Result<Vec<Cidr>, ()> = text.split(',').map(str::parse).collect();
    let Ok(subnets) = parsed else {
        report.error(field, format!("{text:?} is not a subnet: {example}"));
        return None;
    };
    let one_each = |a: &Cidr, b: &Cidr| a.network.is_ipv4() != b.network.is_ipv4();
    if !matches!(&subnets[..], [_]) && !matches!(&subnets[..], [a, b] if one_each(a, b)) {
        report.error(field, format!("{text:?} is neither one subnet nor one of each address family: {example}"));
        return None;
    }
    // kubeadm counts all addresses of the subnet; the one needed last has to be among them as well.
    if let Some(small) = subnets.iter().find(|cidr| cidr.at(least).is_none()) {
        let message = format!("/{} is too small: it needs more than {least} addresses", small.prefix);
        report.error(field, message);
        return None;
    }
    Some(subnets)
}

/// A flag's value; the last one counts.
fn argument<'a>(args: &'a [Arg], name: &str) -> Option<&'a str> {
    args.iter().rev().find(|arg| arg.name == name).map(|arg| arg.value.as_str())
}

/// The subnets of nodes have to fit into that of all Pods.
fn node_mask(pods: Cidr, args: &[Arg], report: &mut Report) {
    let (flag, default) =
        if pods.network.is_ipv4() { ("node-cidr-mask-size-ipv4", 24) } else { ("node-cidr-mask-size-ipv6", 64) };
    let mask = match argument(args, flag).filter(|value| !value.is_empty()) {
        None => default,
        Some(value) => {
            let Ok(mask) = value.parse::<u8>() else {
                let message = format!("the controller manager's {flag} is {value:?}: write a number of bits");
                return report.error("ClusterConfiguration.controllerManager.extraArgs", message);
            };
            mask
        }
    };
    if pods.prefix > mask {
        let message = format!(
            "/{} is smaller than the /{mask} of one node: write /{mask} or a shorter prefix, or set the controller \
             manager's {flag}",
            pods.prefix
        );
        report.error(PODS, message);
    } else if mask - pods.prefix > MOST_NODE_BITS {
        let message = format!(
            "/{} holds too many nodes of /{mask} each: write /{} or a longer prefix, or set the controller manager's {flag}",
            pods.prefix,
            mask - MOST_NODE_BITS
        );
        report.error(PODS, message);
    }
}

/// Subnets that cannot work together.
fn together(services: &[Cidr], pods: &[Cidr], report: &mut Report) {
    for (pod, service) in pods.iter().flat_map(|pod| services.iter().map(move |service| (pod, service))) {
        if pod.overlaps(*service) {
            let message = format!(
                "{}/{} overlaps the service subnet {}/{}: choose networks without common addresses",
                pod.network, pod.prefix, service.network, service.prefix
            );
            report.error(PODS, message);
        }
    }
    for service in services {
        if !pods.is_empty() && !pods.iter().any(|pod| pod.network.is_ipv4() == service.network.is_ipv4()) {
            let family = family(service.network);
            let message = format!("has no {family} network, but Services have one: add an {family} subnet");
            report.error(PODS, message);
        }
    }
}

/// Addresses that cannot be this host's in these networks.
pub fn check_endpoint(address: IpAddr, networking: &Networking, report: &mut Report) {
    const FIELD: &str = "InitConfiguration.localAPIEndpoint.advertiseAddress";
    let parse = |text: &str| text.split(',').filter_map(|cidr| cidr.parse::<Cidr>().ok()).collect::<Vec<_>>();
    let services = parse(&networking.service_subnet);
    if let Some(first) = services.first()
        && first.network.is_ipv4() != address.is_ipv4()
    {
        let message = format!(
            "{address} is {}, but the first service subnet is {}: the API server would not start. Advertise an {} \
             address, or write the {} subnet first",
            family(address),
            family(first.network),
            family(first.network),
            family(address)
        );
        report.error(FIELD, message);
    }
    let pods = networking.pod_subnet.as_deref().map(parse).unwrap_or_default();
    for (what, subnets) in [("service", services), ("Pod", pods)] {
        if let Some(cidr) = subnets.iter().find(|cidr| cidr.contains(address)) {
            let message = format!(
                "{address} lies in the {what} subnet {}/{}: packets to one may end at the other",
                cidr.network, cidr.prefix
            );
            report.warn(FIELD, message);
        }
    }
}

const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
