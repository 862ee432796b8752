//! Switches of the kernel.

use crate::cluster::Cluster;
use crate::preflight::{Check, Finding, Group, Scene, families, in_identifier};

const IPV4_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const IPV4_BRIDGE: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const IPV6_FORWARD: &str = "/proc/sys/net/ipv6/conf/default/forwarding";
const IPV6_BRIDGE: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";

/// Forwarding is kubeadm's; the bridge's it has dropped, since not every Pod network has a bridge.
pub(super) fn checks(cluster: &Cluster) -> Vec<Check> {
    let (ipv4, ipv6) = families(cluster);
    let of = |path: &'static str, used: bool, ask: fn(&Scene, &str) -> Finding| {
        Check::new(format!("FileContent-{}", in_identifier(path)), Group::Kernel, move |scene| {
            if used { ask(scene, path) } else { Finding::skipped("the cluster does not use this family of addresses") }
        })
    };
    vec![
        of(IPV4_FORWARD, ipv4, forwards),
        of(IPV4_BRIDGE, ipv4, bridged),
        of(IPV6_FORWARD, ipv6, forwards),
        of(IPV6_BRIDGE, ipv6, bridged),
    ]
}

/// Whether a switch is on, or what it is.
fn is_on(scene: &Scene, path: &str) -> Result<(), String> {
    match scene.machine.read(path) {
        Ok(Some(text)) if text.starts_with('1') => Ok(()),
        Ok(Some(text)) => Err(format!("{} is {}", name(path), text.trim())),
        Ok(None) => Err(format!("{path} is not there")),
        Err(why) => Err(why),
    }
}

fn name(path: &str) -> String {
    path.trim_start_matches("/proc/sys/").replace('/', ".")
}

fn set(path: &str) -> String {
    format!("sysctl -w {}=1, and the same line in a file of /etc/sysctl.d/", name(path))
}

fn forwards(scene: &Scene, path: &str) -> Finding {
    match is_on(scene, path) {
        Ok(()) => Finding::ok("1"),
        Err(found) => Finding::error(found, "1, so that Pods are reached", set(path)),
    }
}

fn bridged(scene: &Scene, path: &str) -> Finding {
    match is_on(scene, path) {
        Ok(()) => Finding::ok("1"),
        Err(found) => {
            let needed = "1 where the Pod network has a bridge, so that Services are reached through it";
            Finding::warning(found, needed, format!("modprobe br_netfilter; {}", set(path)))
        }
    }
}
