//! The `KubeletConfiguration` in a `ConfigMap` that a kubelet follows: read as strictly as a document of the configuration.

use super::component::kubelet;
use super::documents::{DocumentKind, Documents};
use super::report::Report;
use super::{Source, components};
use crate::cluster::{Cluster, ComponentConfig, Lines};
use crate::problem::Problem;

/// Reads it, with kubeadm's defaults for what it leaves open, and where its fields stand.
///
/// # Errors
/// Everything that is wrong with it, and what the control plane could not live with.
pub fn followed(source: &Source, cluster: &Cluster) -> Result<(ComponentConfig, Lines), Vec<Problem>> {
    let documents = Documents::of(source);
    let written = documents.value(DocumentKind::KubeletConfiguration).cloned();
    let others = documents.count() > usize::from(written.is_some());
    let mut report = documents.report;
    if !report.failed() && (written.is_none() || others) {
        report.error("", format!("has to be one {} document of {}", kubelet::KIND, kubelet::API_VERSION));
    }
    let written = written.unwrap_or_default();
    let config = components::kubelet(
        Some(&written),
        cluster.release,
        &cluster.networking,
        &cluster.certificates_dir,
        &mut report,
    );
    if written.get("healthzPort").is_some_and(|port| *port == 0) {
        let message = "is 0, so nobody could tell whether the kubelet comes up with it: remove the field";
        report.error(format!("{}.healthzPort", kubelet::KIND), message);
    }
    let lines = report.lines.clone();
    finished(report, config).map(|config| (config, lines))
}

fn finished(report: Report, config: Option<ComponentConfig>) -> Result<ComponentConfig, Vec<Problem>> {
    let (problems, _) = report.finish();
    config.filter(|_| problems.is_empty()).ok_or(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    fn read(fields: &str) -> Result<(ComponentConfig, Lines), Vec<String>> {
        let text = format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{fields}");
        let source = Source { name: "kube-system/kubelet-config".to_owned(), text };
        followed(&source, &fixture()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_it_leaves_open_is_as_kubeadm_has_it() {
        let (config, lines) = read("maxPods: 50\n").unwrap();
        assert_eq!(config.value["maxPods"], 50);
        assert_eq!(config.value["clusterDNS"], fixture().kubelet.value["clusterDNS"]);
        assert_eq!(lines.of("KubeletConfiguration.maxPods").unwrap().to_string(), "kube-system/kubelet-config:3");
    }

    #[test]
    fn every_mistake_is_said_with_its_line() {
        let problems = read("maxPodz: 50\nstaticPodPath: /elsewhere\nsyncFrequency: 3 parsecs\nhealthzPort: 0\n");
        let problems = problems.unwrap_err().join("\n");
        for words in [
            ":3: KubeletConfiguration.maxPodz: no such field: did you mean maxPods?",
            ":4: KubeletConfiguration.staticPodPath: ",
            ":5: KubeletConfiguration.syncFrequency: ",
            ":6: KubeletConfiguration.healthzPort: ",
        ] {
            assert!(problems.contains(words), "{words}\n{problems}");
        }
    }

    #[test]
    fn another_document_or_none_is_refused() {
        let problems = |text: &str| {
            let source = Source { name: "map".to_owned(), text: text.to_owned() };
            followed(&source, &fixture()).unwrap_err()
        };
        assert!(!problems("").is_empty());
        assert!(!problems("kind: Pod\napiVersion: v1\n").is_empty());
        let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n";
        assert!(problems(policy)[0].message.contains("has to be one KubeletConfiguration"));
    }
}
