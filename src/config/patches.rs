//! The files of `patches.directory`: read, and tried on what they patch.

use serde_json::Value;

use super::component::{fields_unknown_to, kubelet};
use super::node::Node;
use super::report::Report;
use super::{PatchFile, components, documents, schema};
use crate::cluster::{Cluster, Patch};
use crate::desired::patched;
use crate::facts::{CA_FOLDERS, Facts};
use crate::patch::{self, TARGETS};
use crate::yaml;

const FIELD: &str = "InitConfiguration.patches.directory";
const KUBELET: &str = "kubeletconfiguration";
const KUBE_PROXY: &str = "kubeproxydaemonset";

/// The patches, in kubeadm's order: by name of their files.
pub fn parse(files: &[PatchFile], report: &mut Report) -> Vec<Patch> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut patches = Vec::new();
    for file in files {
        match patch::parse_file(&file.name, || read(file, report)) {
            Ok(found) => patches.extend(found),
            Err(message) => report.error(FIELD, format!("its file {:?}: {message}", file.name)),
        }
    }
    patches
}

/// The documents of a file, as kubeadm reads them: their keys are texts, whatever YAML makes of `on` or `1.10`.
fn read(file: &PatchFile, report: &mut Report) -> Result<Vec<Value>, String> {
    let documents: Result<Vec<Node>, _> = documents::nodes(&file.text).collect();
    let documents = documents.map_err(|error| format!("line {}: {}", error.line, error.message))?;
    for document in &documents {
        schema::duplicates(document, "", &file.name, report);
    }
    Ok(documents.iter().map(Node::to_patch).collect())
}

/// Tries the patches. One that cannot apply on any host is wrong; what depends on the host is asked again there (see
/// [`patched::failures`]).
pub fn check(cluster: &Cluster, report: &mut Report) {
    let least = Facts::default();
    let most =
        Facts { ca_folders: CA_FOLDERS.map(ToOwned::to_owned).into(), systemd_resolved: true, ..Facts::default() };
    let (few, many) = (patched::failures(cluster, &least), patched::failures(cluster, &most));
    for target in TARGETS {
        let Some(first) = cluster.patches.iter().find(|patch| patch.target == target) else { continue };
        if target == KUBE_PROXY && cluster.release.minor < 36 {
            let message = format!("kubeadm patches kube-proxy since 1.36 only, and this is {}", cluster.version);
            report.error(FIELD, format!("its file {:?}: {message}", first.file));
        } else if patched::unpatched(cluster, &least, target).is_none() {
            let message = format!("this configuration has no {target}, so it changes nothing");
            report.warn(FIELD, format!("its file {:?}: {message}", first.file));
        } else if let (Some(failure), Some(_)) = (few.get(target), many.get(target)) {
            report.error(FIELD, format!("its file {failure}"));
        } else if target == KUBELET
            && let Some(failure) = kubelet_failure(cluster, &least)
        {
            report.error(FIELD, format!("its file {failure}"));
        }
    }
}

/// What is wrong with the kubelet's configuration after the patches for it; kubeadm leaves that to the kubelet.
fn kubelet_failure(cluster: &Cluster, facts: &Facts) -> Option<String> {
    let (merge, value) = patched::unpatched(cluster, facts, KUBELET)?;
    let ends = cluster.patches.iter().enumerate().filter(|(_, patch)| patch.target == KUBELET);
    ends.into_iter().find_map(|(index, last)| {
        let result = patch::apply(KUBELET, merge, &value, &cluster.patches[..=index]).ok()?;
        let message = wrong_shape(&result, cluster.release.minor)?;
        Some(format!("{:?}: its result is wrong: {message}", last.file))
    })
}

/// The first field that the kubelet would not take.
fn wrong_shape(value: &Value, minor: u32) -> Option<String> {
    let mut report = Report::default();
    match Node::parse(&yaml::to_string(value), 0) {
        Ok(node) => drop(schema::check(&node, &components::kubelet_schema(), kubelet::KIND, "", &mut report)),
        Err(error) => return Some(error.message),
    }
    let unknown = fields_unknown_to(kubelet::KIND, value, minor).into_iter().next();
    let unknown = unknown.map(|field| format!("{field} is not a field of the kubelet of 1.{minor}"));
    let (problems, _) = report.finish();
    problems.first().map(|problem| format!("{}: {}", problem.field, problem.message)).or(unknown)
}
