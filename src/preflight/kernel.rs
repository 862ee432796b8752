//! The operating system, the kernel's release and its options: kubeadm's `SystemVerification`.

use std::collections::BTreeMap;

use crate::preflight::{Finding, Scene, system};

const OS: &str = "/proc/sys/kernel/ostype";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Options that every host needs. One of several names is enough.
const REQUIRED: [&[&str]; 13] = [
    &["NAMESPACES"],
    &["NET_NS"],
    &["PID_NS"],
    &["IPC_NS"],
    &["UTS_NS"],
    &["CPUSETS"],
    &["MEMCG"],
    &["INET"],
    &["EXT4_FS"],
    &["PROC_FS"],
    &["NETFILTER_XT_TARGET_REDIRECT", "IP_NF_TARGET_REDIRECT"],
    &["NETFILTER_XT_MATCH_COMMENT"],
    &["FAIR_GROUP_SCHED"],
];

/// Options for control groups of the first version. Since 1.35 kubeadm asks for these; before, for `CGROUPS` alone.
const CGROUPS_V1: [&[&str]; 6] =
    [&["CGROUPS"], &["CGROUP_CPUACCT"], &["CGROUP_DEVICE"], &["CGROUP_FREEZER"], &["CGROUP_PIDS"], &["CGROUP_SCHED"]];

/// Options for control groups of the second version.
const CGROUPS_V2: [&[&str]; 4] = [&["CGROUPS"], &["CGROUP_BPF"], &["CGROUP_PIDS"], &["CGROUP_SCHED"]];

/// The kernel's release as the kernel writes it, `6.1.0-37-amd64`.
pub(super) fn release(scene: &Scene) -> Result<String, String> {
    let text = scene.machine.read(RELEASE)?.ok_or_else(|| format!("there is no {RELEASE}"))?;
    Ok(text.trim().to_owned())
}

/// The major and the minor number of a kernel's release.
pub(super) fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The system is Linux, of a release that Kubernetes supports.
pub(super) fn os_and_release(scene: &Scene) -> Finding {
    match scene.machine.read(OS) {
        Ok(Some(os)) if os.trim() == "Linux" => {}
        Ok(os) => {
            return Finding::error(
                format!("the system is {:?}", os.unwrap_or_default().trim()),
                "Linux",
                "run planekeeper on Linux",
            );
        }
        Err(why) => return Finding::unknown(why, "Linux"),
    }
    let release = match release(scene) {
        Ok(release) => release,
        Err(why) => return Finding::unknown(why, "a kernel whose release is known"),
    };
    match numbers(&release) {
        Some((5, 4 | 10 | 15) | (6.., _)) => Finding::ok(format!("Linux {release}")),
        _ => Finding::warning(
            format!("Linux {release}"),
            "5.4, 5.10, 5.15, or 6 and later",
            "install a kernel with long-term support",
        ),
    }
}

/// Options without which the kernel runs no Pods.
pub(super) fn options(scene: &Scene) -> Finding {
    let configuration = match configuration(scene) {
        Ok(configuration) => configuration,
        Err(why) => {
            return Finding::warning(
                why,
                "the kernel's options, to check them",
                "modprobe configs, or install the kernel's config file in /boot",
            );
        }
    };
    let set = parse(&configuration);
    let is_set = |names: &&&[&str]| !names.iter().any(|name| matches!(set.get(name), Some('y' | 'm')));
    let v2 = system::unified(scene).map(|found| found.is_some());
    let of_cgroups: &[&[&str]] = match v2 {
        _ if scene.kubeadm() < 35 => &CGROUPS_V1[..1],
        Ok(true) => &CGROUPS_V2,
        _ => &CGROUPS_V1,
    };
    let missing: Vec<String> =
        REQUIRED.iter().chain(of_cgroups).filter(is_set).map(|names| format!("CONFIG_{}", names[0])).collect();
    if missing.is_empty() {
        return Finding::ok("its options are set");
    }
    Finding::error(
        format!("the kernel lacks {}", missing.join(" ")),
        "these options, built in or as modules",
        "install a kernel that has them",
    )
}

/// The text of the kernel's configuration.
fn configuration(scene: &Scene) -> Result<String, String> {
    let machine = &scene.machine;
    if machine.exists("/proc/config.gz")? {
        return machine.output(&["gzip", "-dc", "/proc/config.gz"]);
    }
    let release = release(scene)?;
    let places = [
        format!("/boot/config-{release}"),
        format!("/usr/lib/modules/{release}/config"),
        format!("/usr/lib/ostree-boot/config-{release}"),
        format!("/usr/lib/kernel/config-{release}"),
        format!("/usr/src/linux-{release}/.config"),
        "/usr/src/linux/.config".to_owned(),
        format!("/usr/src/linux-headers-{release}/.config"),
        format!("/lib/modules/{release}/build/.config"),
    ];
    for place in &places {
        if let Some(text) = machine.read(place)? {
            return Ok(text);
        }
    }
    Err(format!("the kernel's options are not to be found, neither in /proc/config.gz nor in {}", places[0]))
}

/// The options that are set, each with `y`, `m` or `n`.
fn parse(configuration: &str) -> BTreeMap<&str, char> {
    let options = configuration.lines().filter_map(|line| line.trim().strip_prefix("CONFIG_")?.split_once('='));
    options.filter_map(|(name, value)| Some((name, value.chars().next()?))).collect()
}
