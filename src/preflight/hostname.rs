//! The Node's name: it can be one, it resolves, and something answers there.

use std::net::SocketAddr;

use crate::preflight::{Finding, Scene};

/// The most characters of a Node's name, as kubeadm has it: it becomes the value of a label.
const NAME_MAX: usize = 63;

/// The port that is tried: the kubelet's. A refusal is an answer too.
const PORT: u16 = 10250;

/// The most addresses that are tried.
const ADDRESSES_MAX: usize = 4;

pub(super) fn hostname(scene: &Scene) -> Finding {
    let name = &scene.cluster.node.name;
    let needed = "a name that resolves to this host";
    if !is_name(name) {
        let needed =
            format!("at most {NAME_MAX} letters, digits, '-', '_' and '.', with a letter or digit at both ends");
        return Finding::warning(format!("{name:?} cannot be a Node's name"), needed, "set nodeRegistration.name");
    }
    let mend = format!("add the line \"{} {name}\" to /etc/hosts", scene.cluster.endpoint.address);
    let addresses = match scene.machine.resolve(name) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return Finding::warning(format!("{name} resolves to no address"), needed, mend),
        Err(why) => return Finding::warning(format!("{name} does not resolve: {why}"), needed, mend),
    };
    let mut failed = String::new();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match scene.machine.reach(SocketAddr::new(*address, PORT)) {
            Ok(()) => return Finding::ok(format!("{name} is {address}")),
            Err(why) => failed = format!("{name} is {address}, where nothing answers: {why}"),
        }
    }
    Finding::warning(failed, needed, mend)
}

fn is_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let inner = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    bytes.len() <= NAME_MAX && ends(bytes.first()) && ends(bytes.last()) && inner
}
