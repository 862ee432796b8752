//! What the host has: processors, memory, swap, control groups, and the kubelet's version.

use std::str::FromStr;

use serde_json::Value;

use crate::cluster::{Cluster, Version};
use crate::desired::arguments::last;
use crate::preflight::{Finding, KUBELET_VERSION, Scene, kernel};

/// The processors that a control plane needs, as kubeadm has it.
const PROCESSORS_MIN: usize = 2;

/// The memory that a control plane needs, in MiB, as kubeadm has it.
const MEMORY_MIN: u64 = 1700;

/// Where control groups are, as a rule.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Controllers that the kubelet cannot do without.
const CONTROLLERS_V1: [&str; 7] = ["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"];
const CONTROLLERS_V2: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

pub(super) fn processors(scene: &Scene) -> Finding {
    let needed = format!("{PROCESSORS_MIN} or more");
    match scene.machine.processors() {
        Ok(count) if count >= PROCESSORS_MIN => Finding::ok(count.to_string()),
        Ok(count) => Finding::error(format!("{count} processor"), needed, "give the host more processors"),
        Err(why) => Finding::unknown(why, needed),
    }
}

pub(super) fn memory(scene: &Scene) -> Finding {
    let needed = format!("{MEMORY_MIN} MiB or more");
    match scene.machine.memory().map(|bytes| bytes >> 20) {
        Ok(found) if found >= MEMORY_MIN => Finding::ok(format!("{found} MiB")),
        Ok(found) => Finding::error(format!("{found} MiB of memory"), needed, "give the host more memory"),
        Err(why) => Finding::unknown(why, needed),
    }
}

/// Swap is off, or the kubelet was told that it may be on. kubeadm only warns; the kubelet would not start.
pub(super) fn swap(scene: &Scene) -> Finding {
    let text = match scene.machine.read("/proc/swaps") {
        Ok(text) => text.unwrap_or_default(),
        Err(why) => return Finding::unknown(why, "swap off"),
    };
    let areas: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    if areas.is_empty() {
        return Finding::ok("off");
    }
    let found = format!("swap is on: {}", areas.join(", "));
    if fails(&scene.cluster, "failSwapOn", "fail-swap-on") {
        let mend = "swapoff -a, and take it out of /etc/fstab; or set failSwapOn: false in KubeletConfiguration";
        return Finding::error(found, "swap off, or a kubelet that was told that it may be on", mend);
    }
    if matches!(unified(scene), Ok(None)) {
        return Finding::warning(found, "control groups v2, for Pods' use of swap to be bounded", "swapoff -a");
    }
    Finding::ok(format!("{found}; the KubeletConfiguration allows it"))
}

/// A field of the `KubeletConfiguration` which is true unless it was set false, there or by a flag.
fn fails(cluster: &Cluster, field: &str, flag: &str) -> bool {
    let flag = last(&cluster.node.kubelet_extra_args, flag).map(|value| value != "false");
    let field = cluster.kubelet.value.get(field).and_then(Value::as_bool);
    flag.or(field).unwrap_or(true)
}

/// Where control groups of the second version are mounted; `None` where those of the first are in use.
pub(super) fn unified(scene: &Scene) -> Result<Option<String>, String> {
    let mounts = scene.machine.read("/proc/mounts")?.unwrap_or_default();
    let mut v1 = false;
    for line in mounts.lines() {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(place), Some(kind)) = (fields.next(), fields.next()) else { continue };
        if place == CGROUPS {
            let v2 =
                if kind == "tmpfs" { !scene.machine.exists(&format!("{CGROUPS}/memory"))? } else { kind == "cgroup2" };
            return Ok(v2.then(|| place.to_owned()));
        }
        match kind {
            "cgroup2" => return Ok(Some(place.to_owned())),
            "cgroup" => v1 = true,
            _ => {}
        }
    }
    if v1 { Ok(None) } else { Err("no control groups are mounted".to_owned()) }
}

/// Control groups: their version and their controllers. A kubelet since 1.35 does not start on v1 unless it was told to; kubeadm then
/// still wants that check ignored.
pub(super) fn cgroups(scene: &Scene) -> Finding {
    let kubelet = match kubelet(scene) {
        Ok(version) => version,
        Err(why) => return Finding::error(why, "a kubelet whose version is known", "install the kubelet"),
    };
    let mount = match unified(scene) {
        Ok(mount) => mount,
        Err(why) => return Finding::unknown(why, "control groups"),
    };
    match mount {
        Some(mount) => controllers_v2(scene, &mount),
        None => Finding::together(&[controllers_v1(scene), v1(scene, kubelet)]),
    }
}

fn v1(scene: &Scene, kubelet: Version) -> Finding {
    let (found, needed) = ("control groups v1, which are deprecated", "control groups v2");
    let boot = "boot with systemd.unified_cgroup_hierarchy=1";
    if kubelet.minor < 35 {
        return Finding::warning(found, needed, boot);
    }
    if fails(&scene.cluster, "failCgroupV1", "fail-cgroupv1") {
        let found = format!("control groups v1, on which kubelet {kubelet} by itself does not start");
        return Finding::error(found, needed, format!("{boot}; or set failCgroupV1: false in KubeletConfiguration"));
    }
    Finding::warning(format!("{found}; failCgroupV1: false allows them"), needed, boot)
}

fn controllers_v1(scene: &Scene) -> Finding {
    let text = match scene.machine.read("/proc/cgroups") {
        Ok(text) => text.unwrap_or_default(),
        Err(why) => return Finding::unknown(why, "control groups' controllers"),
    };
    let fields =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let enabled: Vec<&str> = fields
        .filter(|fields| fields.len() >= 4 && fields[3] != "0")
        .filter_map(|fields| fields.first().copied())
        .collect();
    judge(&CONTROLLERS_V1, &["hugetlb", "blkio"], &enabled, "control groups v1")
}

/// `devices` and `freezer` are no controllers any more: kernels have them since 4.15 and 5.2.
fn controllers_v2(scene: &Scene, mount: &str) -> Finding {
    let text = match scene.machine.read(&format!("{mount}/cgroup.controllers")) {
        Ok(text) => text.unwrap_or_default(),
        Err(why) => return Finding::unknown(why, "control groups' controllers"),
    };
    let enabled: Vec<&str> = text.split_whitespace().collect();
    let found = judge(&CONTROLLERS_V2, &["hugetlb", "io"], &enabled, "control groups v2");
    let old = kernel::release(scene)
        .ok()
        .and_then(|release| kernel::numbers(&release))
        .is_some_and(|release| release < (5, 2));
    if old {
        let freezer =
            Finding::error("control groups v2 without freezer", "Linux 5.2 or later", "install a newer kernel");
        return Finding::together(&[found, freezer]);
    }
    found
}

fn judge(required: &[&str], optional: &[&str], enabled: &[&str], what: &str) -> Finding {
    let without = |wanted: &[&str]| -> Vec<String> {
        wanted.iter().filter(|name| !enabled.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    let mend = "boot with cgroup_enable=NAME for each";
    let (missing, lacking) = (without(required), without(optional));
    if !missing.is_empty() {
        return Finding::error(format!("{what} without {}", missing.join(" ")), "these controllers", mend);
    }
    if !lacking.is_empty() {
        return Finding::warning(
            format!("{what} without {}", lacking.join(" ")),
            "these controllers, for some limits of Pods",
            mend,
        );
    }
    Finding::ok(what)
}

/// The version of the installed kubelet.
fn kubelet(scene: &Scene) -> Result<Version, String> {
    let said = scene.machine.output(&KUBELET_VERSION)?;
    // A pre-release counts as its release: v1.38.0-beta.1.
    let version = said.trim().strip_prefix("Kubernetes ").and_then(|version| version.split(['-', '+']).next());
    version
        .and_then(|version| Version::from_str(version).ok())
        .ok_or_else(|| format!("kubelet --version says {:?}", said.trim()))
}

/// The kubelet is no newer than the control plane, and no older than kubeadm supports: three minor releases.
pub(super) fn kubelet_version(scene: &Scene) -> Finding {
    let control_plane = scene.cluster.version;
    let oldest = scene.kubeadm() - 3;
    let needed = format!("v1.{oldest} to v1.{}", control_plane.minor);
    let mend = format!("install kubelet {control_plane}");
    match kubelet(scene) {
        Ok(version) if version.major == 1 && (oldest..=control_plane.minor).contains(&version.minor) => {
            Finding::ok(version.to_string())
        }
        Ok(version) => Finding::error(format!("kubelet {version} with a control plane {control_plane}"), needed, mend),
        Err(why) => Finding::error(why, needed, mend),
    }
}
