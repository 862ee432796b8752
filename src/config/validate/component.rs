//! `extraArgs`, `extraVolumes` and `extraEnvs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::kubeadm::v1beta4::{Arg as WrittenArg, EnvVar, HostPathMount as WrittenMount};
use super::super::report::Report;
use super::super::{syntax, words};
use super::note;
use crate::cluster::{Arg, ControlPlaneComponent, HostPathMount};
use crate::quantity;

/// Types of `hostPath` volumes.
const PATH_TYPES: [&str; 7] =
    ["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// A component of the control plane.
pub fn check(
    path: &str,
    extra_args: &[WrittenArg],
    extra_volumes: &[WrittenMount],
    extra_envs: &mut [EnvVar],
    report: &mut Report,
) -> ControlPlaneComponent {
    ControlPlaneComponent {
        extra_args: args(&format!("{path}.extraArgs"), extra_args, report),
        extra_volumes: volumes(&format!("{path}.extraVolumes"), extra_volumes, report),
        extra_envs: envs(&format!("{path}.extraEnvs"), extra_envs, report),
    }
}

/// Flags. One may be given several times with different values: some flags of the API server are lists that way.
pub fn args(path: &str, written: &[WrittenArg], report: &mut Report) -> Vec<Arg> {
    let mut seen = BTreeSet::new();
    for (index, arg) in written.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if arg.name.is_empty() {
            report.error(format!("{path}.name"), "is empty: write the flag's name without dashes");
        } else if arg.name.starts_with('-') {
            let name = arg.name.trim_start_matches('-');
            report.error(format!("{path}.name"), format!("{:?} begins with a dash: write {name:?}", arg.name));
        } else if arg.name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control()) {
            let message = format!("{:?} is not a flag's name: write name and value apart", arg.name);
            report.error(format!("{path}.name"), message);
        } else if !seen.insert((&arg.name, &arg.value)) {
            report.error(path, format!("{:?} is given twice with the same value: remove one", arg.name));
        }
    }
    written.iter().map(|arg| Arg { name: arg.name.clone(), value: arg.value.clone() }).collect()
}

fn volumes(path: &str, written: &[WrittenMount], report: &mut Report) -> Vec<HostPathMount> {
    let (mut names, mut mounts) = (BTreeSet::new(), BTreeSet::new());
    for (index, volume) in written.iter().enumerate() {
        let path = format!("{path}[{index}]");
        note(report, &format!("{path}.name"), syntax::dns_label(&volume.name));
        note(report, &format!("{path}.hostPath"), syntax::absolute_path(&volume.host_path));
        note(report, &format!("{path}.mountPath"), syntax::absolute_path(&volume.mount_path));
        if volume.mount_path.contains(':') {
            report.error(format!("{path}.mountPath"), "has a \":\" in it, which the kubelet refuses");
        }
        if !names.insert(&volume.name) {
            report.error(format!("{path}.name"), format!("{:?} is the name of two volumes", volume.name));
        }
        if !mounts.insert(volume.mount_path.trim_end_matches('/')) {
            let message = format!("{:?} is the place of two volumes", volume.mount_path);
            report.error(format!("{path}.mountPath"), message);
        }
        if !volume.path_type.is_empty() && !PATH_TYPES.contains(&volume.path_type.as_str()) {
            report.error(format!("{path}.pathType"), words::unknown("type", &volume.path_type, PATH_TYPES));
        }
    }
    let mount = |volume: &WrittenMount| HostPathMount {
        name: volume.name.clone(),
        host_path: volume.host_path.clone(),
        mount_path: volume.mount_path.clone(),
        read_only: volume.read_only,
        path_type: volume.path_type.clone(),
    };
    written.iter().map(mount).collect()
}

/// Variables of the environment, with Kubernetes' defaults filled in.
pub fn envs(path: &str, written: &mut [EnvVar], report: &mut Report) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    for (index, variable) in written.iter_mut().enumerate() {
        variable.complete();
        let path = format!("{path}[{index}]");
        let name = &variable.name;
        if name.is_empty() || name.contains(|c: char| c == '=' || !(' '..='~').contains(&c)) {
            let message = format!("{name:?} is not the name of a variable: write letters, digits and \"_\"");
            report.error(format!("{path}.name"), message);
        } else if !seen.insert(name.clone()) {
            report.warn(format!("{path}.name"), format!("{name:?} is set twice: the last value counts"));
        }
        source(&path, variable, report);
        divisor(&path, variable, report);
    }
    written.iter().filter_map(|variable| serde_json::to_value(variable).ok()).collect()
}

/// Gives a divisor the spelling that Kubernetes writes it back in.
fn divisor(path: &str, variable: &mut EnvVar, report: &mut Report) {
    let source = variable.value_from.as_mut().and_then(|source| source.resource_field_ref.as_mut());
    let Some(divisor) = source.map(|resource| &mut resource.divisor) else { return };
    let path = format!("{path}.valueFrom.resourceFieldRef.divisor");
    if let Some(canonical) = note(report, &path, quantity::canonical(divisor)) {
        *divisor = canonical;
    }
}

fn source(path: &str, variable: &EnvVar, report: &mut Report) {
    let Some(source) = &variable.value_from else { return };
    if !variable.value.is_empty() {
        report.error(path, "has both value and valueFrom: keep one of them");
    }
    let given = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.config_map_key_ref.is_some(),
        source.secret_key_ref.is_some(),
        source.file_key_ref.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        report.error(format!("{path}.valueFrom"), "has to name exactly one source");
    }
    for (field, given) in [("configMapKeyRef", given[2]), ("secretKeyRef", given[3])] {
        if given {
            let message = "is refused by the kubelet in a static Pod: write the value itself";
            report.error(format!("{path}.valueFrom.{field}"), message);
        }
    }
}
