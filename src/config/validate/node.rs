//! `nodeRegistration`.

use super::super::kubeadm::v1beta4::{NodeRegistration as Written, Taint as WrittenTaint};
use super::super::report::Report;
use super::super::{syntax, words};
use super::{component, note, or};
use crate::cluster::{NodeRegistration, Taint};

const FIELD: &str = "InitConfiguration.nodeRegistration";
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// The Node of a host of that name.
pub fn check(written: &Written, hostname: &str, report: &mut Report) -> NodeRegistration {
    let name = or(&written.name, hostname).trim().to_lowercase();
    if name.is_empty() {
        report.error(format!("{FIELD}.name"), "is not set, and the host has no name to take: write one");
    } else {
        note(report, &format!("{FIELD}.name"), syntax::dns_subdomain(&name));
    }
    let policy = or(&written.image_pull_policy, "IfNotPresent");
    if !PULL_POLICIES.contains(&policy) {
        let message = words::unknown("pull policy", policy, PULL_POLICIES);
        report.error(format!("{FIELD}.imagePullPolicy"), message);
    }
    let ignored = &written.ignore_preflight_errors;
    if ignored.len() > 1 && ignored.iter().any(|check| check.eq_ignore_ascii_case("all")) {
        report.error(
            format!("{FIELD}.ignorePreflightErrors"),
            "has \"all\" beside single checks: keep one or the others",
        );
    }
    NodeRegistration {
        name,
        cri_socket: cri_socket(&written.cri_socket, report),
        taints: taints(written.taints.as_deref(), report),
        kubelet_extra_args: component::args(&format!("{FIELD}.kubeletExtraArgs"), &written.kubelet_extra_args, report),
        image_pull_policy: policy.to_owned(),
        image_pull_serial: written.image_pull_serial.unwrap_or(true),
        ignore_preflight_errors: ignored.clone(),
    }
}

/// The socket with its scheme, which kubeadm puts before a bare path.
fn cri_socket(written: &str, report: &mut Report) -> String {
    let field = format!("{FIELD}.criSocket");
    let socket = match written {
        "" => "unix:///var/run/containerd/containerd.sock".to_owned(),
        path if path.starts_with('/') => {
            report.warn(&field, format!("has no scheme, which kubeadm deprecates: write unix://{path}"));
            format!("unix://{path}")
        }
        url => url.to_owned(),
    };
    let path = socket.strip_prefix("unix://").unwrap_or_default();
    if syntax::absolute_path(path).is_err() {
        let message = format!("{socket:?} is not a socket of this host: write unix:///run/containerd/containerd.sock");
        report.error(field, message);
    }
    socket
}

/// The taints: kubeadm's, unless the list is there, even empty.
fn taints(written: Option<&[WrittenTaint]>, report: &mut Report) -> Vec<Taint> {
    let Some(written) = written else {
        let key = "node-role.kubernetes.io/control-plane".to_owned();
        return vec![Taint { key, value: String::new(), effect: "NoSchedule".to_owned() }];
    };
    for (index, taint) in written.iter().enumerate() {
        let path = format!("{FIELD}.taints[{index}]");
        let (prefix, name) =
            taint.key.rsplit_once('/').map_or((None, &taint.key[..]), |(prefix, name)| (Some(prefix), name));
        if !is_label_text(name)
            || name.is_empty()
            || prefix.is_some_and(|prefix| syntax::dns_subdomain(prefix).is_err())
        {
            let message = format!("{:?} is not a key: write it like example.com/dedicated", taint.key);
            report.error(format!("{path}.key"), message);
        }
        if !is_label_text(&taint.value) {
            let message = format!("{:?} is not a value: write letters, digits, \"-\", \"_\" and \".\"", taint.value);
            report.error(format!("{path}.value"), message);
        }
        if !EFFECTS.contains(&taint.effect.as_str()) {
            report.error(format!("{path}.effect"), words::unknown("effect", &taint.effect, EFFECTS));
        }
        if written[..index].iter().any(|first| (&first.key, &first.effect) == (&taint.key, &taint.effect)) {
            report.error(path, format!("{}:{} is there twice: keep one", taint.key, taint.effect));
        }
    }
    let taint = |taint: &WrittenTaint| Taint {
        key: taint.key.clone(),
        value: taint.value.clone(),
        effect: taint.effect.clone(),
    };
    written.iter().map(taint).collect()
}

/// What a label's value may be: empty, or at most 63 characters that begin and end with a letter or digit.
fn is_label_text(text: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    text.len() <= 63
        && bytes.iter().all(|b| plain(b) || matches!(b, b'-' | b'_' | b'.'))
        && bytes.first().is_none_or(plain)
        && bytes.last().is_none_or(plain)
}
