//! Services of systemd: the kubelet's, the container runtime's, the firewall's.

use crate::cluster::Cluster;
use crate::preflight::machine::Unit;
use crate::preflight::{Check, Finding, Group, Scene, local_etcd, release};

/// The services that the configuration makes use of.
pub(super) fn checks(cluster: &Cluster) -> Vec<Check> {
    let id = |service: &str| release::service_id(release::kubeadm_minor(cluster.release.minor), service);
    let mut checks = vec![Check::new(id("kubelet"), Group::Kubelet, kubelet)];
    for (service, mandatory) in runtime_services(&cluster.node.cri_socket) {
        checks.push(Check::new(id(service), Group::Runtime, move |scene| runtime(scene, service, *mandatory)));
    }
    checks
}

/// The services behind a socket, the one that serves it last, and whether there must be one of this name: Docker's answers only through
/// both of its own.
pub(super) fn runtime_services(socket: &str) -> &'static [(&'static str, bool)] {
    match socket.rsplit('/').next() {
        Some("cri-dockerd.sock") => &[("docker", true), ("cri-docker", true)],
        Some("containerd.sock") => &[("containerd", false)],
        Some("crio.sock") => &[("crio", false)],
        _ => &[],
    }
}

fn unit(scene: &Scene, service: &str) -> Result<Option<Unit>, String> {
    scene.machine.unit(&format!("{service}.service"))
}

fn disabled(unit: &Unit) -> bool {
    matches!(unit.enabled.as_str(), "disabled" | "masked" | "masked-runtime")
}

/// planekeeper starts the kubelet by its service, and enables it. kubeadm only warns of all this.
fn kubelet(scene: &Scene) -> Finding {
    let needed = "a service of systemd, so that the kubelet runs";
    match unit(scene, "kubelet") {
        Err(why) => Finding::unknown(why, needed),
        Ok(None) => Finding::error("there is no kubelet.service", needed, "install the package kubelet"),
        Ok(Some(unit)) if unit.enabled.starts_with("masked") => {
            Finding::error("kubelet.service is masked", needed, "systemctl unmask kubelet.service")
        }
        Ok(Some(unit)) if disabled(&unit) => {
            let needed = "enabled, so that it starts at boot; reconcile does that";
            Finding::warning("kubelet.service is not enabled", needed, "systemctl enable kubelet.service")
        }
        Ok(Some(_)) => Finding::ok("enabled"),
    }
}

fn runtime(scene: &Scene, service: &str, mandatory: bool) -> Finding {
    let needed = "active, and enabled so that it starts at boot";
    let mend = format!("systemctl enable --now {service}.service");
    match unit(scene, service) {
        Err(why) => Finding::warning(why, needed, mend),
        Ok(None) if mandatory => {
            Finding::error(format!("there is no {service}.service"), needed, format!("install {service}"))
        }
        Ok(None) => Finding::skipped(format!("there is no {service}.service")),
        Ok(Some(unit)) if unit.active != "active" => {
            Finding::error(format!("{service}.service is {}", unit.active), needed, mend)
        }
        Ok(Some(unit)) if disabled(&unit) => {
            Finding::warning(format!("{service}.service is {}", unit.enabled), needed, mend)
        }
        Ok(Some(_)) => Finding::ok("active and enabled"),
    }
}

/// A firewall that runs may keep other nodes out: said with the ports that they come by.
pub(super) fn firewall(scene: &Scene) -> Finding {
    let mut ports = vec![scene.cluster.endpoint.port.to_string(), "10250".to_owned()];
    if local_etcd(&scene.cluster).is_some() {
        ports.push("2379-2380".to_owned());
    }
    let needed = format!("TCP ports {} open for the other nodes", ports.join(", "));
    match unit(scene, "firewalld") {
        Err(why) => Finding::warning(why, needed, "see for yourself whether a firewall runs"),
        Ok(Some(unit)) if unit.active == "active" => {
            let open: Vec<String> = ports.iter().map(|port| format!("--add-port={port}/tcp")).collect();
            let mend = format!("firewall-cmd --permanent {} && firewall-cmd --reload", open.join(" "));
            Finding::warning("firewalld is active", needed, mend)
        }
        Ok(_) => Finding::ok("firewalld is not active"),
    }
}
