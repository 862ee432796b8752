//! TCP ports that are to be free, unless this control plane itself has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::cluster::{Arg, Cluster};
use crate::desired::arguments::last;
use crate::desired::live::KUBELET;
use crate::preflight::machine::{Listener, Process};
use crate::preflight::standing::Standing;
use crate::preflight::{Check, Finding, Group, Scene, local_etcd, release};

/// Who is to have a port.
#[derive(Clone, Copy)]
enum Wants {
    /// A static Pod of this name.
    StaticPod(&'static str),
    /// The kubelet.
    Kubelet,
}

struct Port {
    number: u16,
    /// The addresses that will be listened on; none is all of them.
    addresses: Vec<IpAddr>,
    wants: Wants,
}

/// The ports of the control plane, of the kubelet and of a local etcd.
pub(super) fn checks(cluster: &Cluster) -> Vec<Check> {
    let minor = cluster.release.minor;
    let (scheduler, controller_manager) = release::component_ports(minor);
    let component = |number: u16, args: &[Arg], name| {
        let number = last(args, "secure-port").and_then(|port| port.parse().ok()).unwrap_or(number);
        Port { number, addresses: bind_address(args), wants: Wants::StaticPod(name) }
    };
    let api = bind_address(&cluster.api_server.extra_args);
    let mut ports = vec![
        (
            Group::ControlPlane,
            Port { number: cluster.endpoint.port, addresses: api, wants: Wants::StaticPod("kube-apiserver") },
        ),
        (Group::ControlPlane, component(scheduler, &cluster.scheduler.extra_args, "kube-scheduler")),
        (
            Group::ControlPlane,
            component(controller_manager, &cluster.controller_manager.extra_args, "kube-controller-manager"),
        ),
        (Group::Kubelet, Port { number: kubelet_port(cluster), addresses: Vec::new(), wants: Wants::Kubelet }),
    ];
    if local_etcd(cluster).is_some() {
        let (client, peer) = etcd_addresses(cluster);
        let port = |number, addresses| Port { number, addresses, wants: Wants::StaticPod("etcd") };
        ports.extend([(Group::Etcd, port(2379, client)), (Group::Etcd, port(2380, peer))]);
    }
    // Port 0 is none: it was turned off.
    let ports = ports.into_iter().filter(|(_, port)| port.number != 0);
    ports
        .map(|(group, port)| Check::new(format!("Port-{}", port.number), group, move |scene| free(scene, &port)))
        .collect()
}

/// Where etcd will listen: its clients' port on loopback too. kubeadm before 1.37 asks for every address.
fn etcd_addresses(cluster: &Cluster) -> (Vec<IpAddr>, Vec<IpAddr>) {
    if release::kubeadm_minor(cluster.release.minor) < 37 {
        return (Vec::new(), Vec::new());
    }
    let advertised = last(&cluster.api_server.extra_args, "advertise-address").and_then(|address| address.parse().ok());
    let address: IpAddr = advertised.unwrap_or(cluster.endpoint.address);
    let loopback: IpAddr = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    (vec![address, loopback], vec![address])
}

fn bind_address(args: &[Arg]) -> Vec<IpAddr> {
    let address = last(args, "bind-address").and_then(|address| address.parse::<IpAddr>().ok());
    address.into_iter().filter(|address| !address.is_unspecified()).collect()
}

fn kubelet_port(cluster: &Cluster) -> u16 {
    let port = cluster.kubelet.value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0).unwrap_or(10250)
}

fn free(scene: &Scene, port: &Port) -> Finding {
    let name = match port.wants {
        Wants::StaticPod(name) => name,
        Wants::Kubelet => "kubelet",
    };
    let needed = format!("TCP port {} free for {name}", port.number);
    let cannot_tell = |why: String| Finding::unknown(why, needed.clone());
    for address in &port.addresses {
        match scene.machine.has_address(*address) {
            Ok(true) => {}
            Ok(false) => {
                let found = format!("{address} is not an address of this host");
                return Finding::error(
                    found,
                    format!("an address of this host for {name}"),
                    "set localAPIEndpoint.advertiseAddress, or the component's bind-address",
                );
            }
            Err(why) => return cannot_tell(why),
        }
    }
    let listeners = match scene.machine.listeners(port.number) {
        Ok(listeners) => listeners,
        Err(why) => return cannot_tell(why),
    };
    let taken: Vec<&Listener> = listeners.iter().filter(|listener| clashes(listener, port)).collect();
    let stranger =
        taken.iter().find(|listener| !listener.process.as_ref().is_some_and(|process| ours(scene, port, process)));
    match (stranger, taken.first()) {
        (Some(stranger), _) => in_use(stranger, needed),
        (None, Some(Listener { process: Some(process), .. })) => Finding::ok(format!("{process}, as it should be")),
        (None, _) => Finding::ok("free"),
    }
}

fn in_use(listener: &Listener, needed: String) -> Finding {
    let Some(process) = &listener.process else {
        let found = format!("in use on {}, by a process that cannot be found", listener.address);
        return Finding::error(found, needed, format!("ss -tlnp sport = :{}", listener.port));
    };
    let mend = match process.service() {
        Some(service) if !process.of_pod() => format!("systemctl disable --now {service}"),
        _ => format!("end it, or give it another port: kill {}", process.pid),
    };
    Finding::error(format!("in use by {process}"), needed, mend)
}

/// Whether a socket keeps another from listening.
fn clashes(listener: &Listener, port: &Port) -> bool {
    // `::` is for both families, as a rule.
    let everywhere =
        |wanted: &IpAddr| listener.address.is_unspecified() && (listener.address.is_ipv6() || wanted.is_ipv4());
    let clash = |wanted: &IpAddr| *wanted == listener.address || everywhere(wanted);
    port.addresses.is_empty() || port.addresses.iter().any(clash)
}

/// Whether a process is the one that the port is for: the kubelet's service, or a Pod of the control plane that this host has.
fn ours(scene: &Scene, port: &Port, process: &Process) -> bool {
    match port.wants {
        Wants::StaticPod(name) => scene.standing != Standing::Bare && process.program == name && process.of_pod(),
        Wants::Kubelet => process.program == "kubelet" && is_kubelet(scene, process),
    }
}

/// By its control group or, where it was told to move to another, by its number.
fn is_kubelet(scene: &Scene, process: &Process) -> bool {
    let unit = || scene.machine.unit(KUBELET).ok().flatten();
    process.service() == Some(KUBELET) || unit().is_some_and(|unit| unit.pid == Some(process.pid))
}
