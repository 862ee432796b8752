//! The container runtime: it answers, it is new enough, it has the images; and Docker behind cri-dockerd.

use serde_json::Value;

use crate::images;
use crate::preflight::services::runtime_services;
use crate::preflight::{Finding, Scene};

/// Docker releases that Kubernetes was validated with, by their beginnings.
const DOCKER_VALIDATED: [&str; 10] =
    ["1.11.", "1.12.", "1.13.", "17.03.", "17.06.", "17.09.", "18.06.", "18.09.", "19.03.", "20.10."];

/// Docker's storage drivers that Kubernetes was validated with.
const DOCKER_DRIVERS: [&str; 6] = ["aufs", "btrfs", "overlay", "overlay2", "devicemapper", "zfs"];

/// The runtime answers, and says that it can run Pods. That Pods have no network yet is no fault: it comes with an add-on.
pub(super) fn answers(scene: &Scene) -> Finding {
    let needed = "a container runtime that serves CRI v1";
    let socket = &scene.cluster.node.cri_socket;
    match scene.machine.runtime() {
        Ok(runtime) => match runtime.not_ready {
            None => Finding::ok(runtime.version),
            Some(why) => Finding::error(format!("{} is not ready: {why}", runtime.version), needed, start(socket)),
        },
        Err(why) => Finding::error(why, needed, start(socket)),
    }
}

/// How to start what is behind a socket.
fn start(socket: &str) -> String {
    let Some((service, _)) = runtime_services(socket).last() else {
        return "start it, or set nodeRegistration.criSocket".to_owned();
    };
    format!("systemctl enable --now {service}.service; journalctl -u {service} says why it fails")
}

/// Since 1.35 kubeadm warns of runtimes that do not tell their cgroup driver, which the kubelet will need.
pub(super) fn tells_cgroup_driver(scene: &Scene) -> Finding {
    if scene.kubeadm() < 35 {
        return Finding::skipped(format!("v1.{} does without CRI's RuntimeConfig", scene.cluster.release.minor));
    }
    let needed =
        "CRI's RuntimeConfig, which tells the kubelet the cgroup driver; it cannot do without in later releases";
    match scene.machine.tells_cgroup_driver() {
        Ok(true) => Finding::ok("it tells its cgroup driver"),
        Ok(false) => Finding::warning(
            "the container runtime does not tell its cgroup driver",
            needed,
            "install containerd 2 or CRI-O 1.28, or later",
        ),
        Err(why) => Finding::error(why, needed, start(&scene.cluster.node.cri_socket)),
    }
}

/// The images are there, or will be pulled. Nothing is pulled here.
pub(super) fn images(scene: &Scene) -> Finding {
    let images = images::list(&scene.cluster);
    let present = match scene.machine.images(&images) {
        Ok(present) => present,
        Err(why) => {
            let needed = "the images that the container runtime has";
            return Finding::error(why, needed, start(&scene.cluster.node.cri_socket));
        }
    };
    let missing = images::missing(&images, &present);
    let list = missing.join(" ");
    if missing.is_empty() {
        Finding::ok(format!("all {} there", images.len()))
    } else if scene.cluster.node.image_pull_policy == "Never" {
        let mend =
            "load them (ctr -n k8s.io images import FILE), or set nodeRegistration.imagePullPolicy: IfNotPresent";
        Finding::error(format!("not there, and not to be pulled: {list}"), "these images", mend)
    } else {
        Finding::ok(format!("{} of {} there; to be pulled: {list}", images.len() - missing.len(), images.len()))
    }
}

/// Docker's version and storage driver, where cri-dockerd is the runtime: part of kubeadm's `SystemVerification`.
pub(super) fn docker(scene: &Scene) -> Finding {
    if !scene.cluster.node.cri_socket.ends_with("/cri-dockerd.sock") {
        return Finding::skipped("Docker is not the container runtime");
    }
    let needed = "a Docker that answers";
    let said = match scene.machine.output(&["docker", "info", "--format", "{{json .}}"]) {
        Ok(said) => said,
        Err(why) => return Finding::error(why, needed, "systemctl enable --now docker.service"),
    };
    let info: Value = serde_json::from_str(&said).unwrap_or_default();
    let text = |field: &str| info[field].as_str().unwrap_or_default().to_owned();
    if let Some(errors) = info["ServerErrors"].as_array().filter(|errors| !errors.is_empty()) {
        let errors: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
        return Finding::error(
            format!("Docker says: {}", errors.join("; ")),
            needed,
            "systemctl status docker.service",
        );
    }
    Finding::together(&[docker_version(&text("ServerVersion")), docker_driver(&text("Driver"))])
}

fn docker_version(version: &str) -> Finding {
    let needed = "Docker 20.10, or an older one that was validated";
    let year = version.split('.').next().and_then(|year| year.parse::<u32>().ok());
    match year {
        _ if DOCKER_VALIDATED.iter().any(|known| version.starts_with(known)) => {
            Finding::ok(format!("Docker {version}"))
        }
        Some(17..) => Finding::warning(
            format!("Docker {version} was not validated with Kubernetes"),
            needed,
            "test it, or install one that was",
        ),
        _ => Finding::error(format!("Docker {version:?} is not supported"), needed, "install a newer Docker"),
    }
}

fn docker_driver(driver: &str) -> Finding {
    if DOCKER_DRIVERS.contains(&driver) {
        return Finding::ok(format!("storage driver {driver}"));
    }
    let mend = "set \"storage-driver\": \"overlay2\" in /etc/docker/daemon.json";
    Finding::error(
        format!("Docker's storage driver is {driver:?}"),
        format!("one of {}", DOCKER_DRIVERS.join(" ")),
        mend,
    )
}
