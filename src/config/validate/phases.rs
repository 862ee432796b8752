//! `skipPhases`.

use std::collections::BTreeSet;

use super::super::report::Report;
use super::super::words;

/// The phases of `kubeadm init`, and those below them.
const PHASES: [(&str, &[&str]); 14] = [
    ("preflight", &[]),
    (
        "certs",
        &[
            "ca",
            "apiserver",
            "apiserver-kubelet-client",
            "front-proxy-ca",
            "front-proxy-client",
            "etcd-ca",
            "etcd-server",
            "etcd-peer",
            "etcd-healthcheck-client",
            "apiserver-etcd-client",
            "sa",
        ],
    ),
    ("kubeconfig", &["admin", "super-admin", "kubelet", "controller-manager", "scheduler"]),
    ("etcd", &["local"]),
    ("control-plane", &["apiserver", "controller-manager", "scheduler"]),
    ("kubelet-start", &[]),
    ("wait-control-plane", &[]),
    ("upload-config", &["kubeadm", "kubelet"]),
    ("upload-certs", &[]),
    ("mark-control-plane", &[]),
    ("bootstrap-token", &[]),
    ("kubelet-finalize", &["enable-client-cert-rotation"]),
    ("addon", &["coredns", "kube-proxy"]),
    ("show-join-command", &[]),
];

/// The phases to leave out, each as kubeadm names it.
pub fn check(written: &[String], report: &mut Report) -> BTreeSet<String> {
    let known: Vec<String> = PHASES
        .iter()
        .flat_map(|(phase, below)| {
            std::iter::once((*phase).to_owned()).chain(below.iter().map(move |below| format!("{phase}/{below}")))
        })
        .collect();
    for (index, phase) in written.iter().enumerate().filter(|(_, phase)| !known.contains(phase)) {
        let near = words::nearest(phase, known.iter().map(String::as_str));
        let top = words::list(PHASES.iter().map(|(phase, _)| *phase));
        let message = near.map_or_else(
            || format!("{phase:?} is not a phase of kubeadm init: the phases are {top}"),
            |near| format!("{phase:?} is not a phase of kubeadm init: did you mean {near}?"),
        );
        report.error(format!("InitConfiguration.skipPhases[{index}]"), message);
    }
    // kubeadm leaves none of these out before that one (the `Dependencies` of its phase).
    let last = "show-join-command";
    for (index, phase) in written.iter().enumerate() {
        if ["bootstrap-token", "upload-certs"].contains(&phase.as_str()) && !written.iter().any(|other| other == last) {
            let message = format!("kubeadm's {last} needs {phase:?}: leave out {last} too");
            report.error(format!("InitConfiguration.skipPhases[{index}]"), message);
        }
    }
    written.iter().cloned().collect()
}
