//! Commands in `PATH`.

use crate::preflight::{Check, Finding, Group, Scene};

struct Command {
    name: &'static str,
    /// The first minor release that does without it; none does without those that have none.
    until: Option<u32>,
    /// What for, or what it was for.
    used: &'static str,
}

const fn needed(name: &'static str, used: &'static str) -> Command {
    Command { name, until: None, used }
}

const fn dropped(name: &'static str, until: u32, used: &'static str) -> Command {
    Command { name, until: Some(until), used }
}

/// What kubeadm asks for, and what it asked for once. The releases are those in which its checks, or the need for them, went.
const COMMANDS: [Command; 13] = [
    needed("losetup", "block volumes (the kubelet)"),
    needed("mount", "volumes (the kubelet)"),
    needed("cp", "copies of etcd's data (kubeadm)"),
    dropped("conntrack", 32, "stale connections (kube-proxy)"),
    dropped("socat", 32, "port forwarding"),
    dropped("ebtables", 32, "bridges"),
    dropped("ip", 33, "networks"),
    dropped("ethtool", 33, "networks"),
    dropped("tc", 33, "bandwidth"),
    dropped("iptables", 33, "Services"),
    dropped("nsenter", 34, "mounts"),
    dropped("crictl", 34, "the container runtime"),
    dropped("touch", 34, "files"),
];

pub(super) fn checks() -> impl Iterator<Item = Check> {
    COMMANDS.iter().map(|command| {
        Check::new(format!("FileExisting-{}", command.name), Group::Commands, move |scene| in_path(scene, command))
    })
}

fn in_path(scene: &Scene, command: &Command) -> Finding {
    let minor = scene.cluster.release.minor;
    let Command { name, until, used } = command;
    if scene.machine.has_command(name) {
        return Finding::ok("in PATH");
    }
    let (found, mend) = (format!("{name} is not in PATH"), format!("install it: {}", package(name)));
    match until {
        Some(until) if *until <= minor && *name == "iptables" => {
            let needed = "iptables where kube-proxy or the Pod network uses it: the kubelet marks its rules by it";
            Finding::warning(found, needed, mend)
        }
        Some(until) if *until <= minor => Finding::skipped(format!("{found}; v1.{minor} does without")),
        _ => Finding::error(found, format!("{name} in PATH, for {used}"), mend),
    }
}

/// The package that has a command, by its name on Debian and, where it differs, on Fedora.
fn package(name: &str) -> String {
    let package = match name {
        "losetup" | "mount" | "nsenter" => "util-linux (and mount)",
        "cp" | "touch" => "coreutils",
        "ip" | "tc" => "iproute2 (iproute)",
        "crictl" => "cri-tools",
        other => other,
    };
    format!("the package {package}")
}
