//! The last good configuration: what was in force when a host last converged.
//!
//! It is kept as text and read again when it is needed, so that what a change of the configuration changes can be told from what
//! somebody changed on the host. It may hold bootstrap tokens, so its file is readable by its owner only.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cluster::{AddressOrigin, Cluster};
use crate::config::{self, PatchFile, Source};
use crate::facts::Machine;
use crate::pki;

/// Where it is kept.
pub const PATH: &str = "/var/lib/planekeeper/last-good.json";

/// The files of a configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The name that the Node had: by default it is the machine's, which may have another one by now. A record that an earlier build
    /// left has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The address that the API server had: by default it is that of the machine's default route, which leads elsewhere by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(flatten)]
    files: Files,
}

/// What a version of the configuration is known by.
#[derive(Debug, Serialize, Deserialize)]
struct Files {
    configuration: Vec<File>,
    patches: Vec<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    name: String,
    text: String,
}

/// The text on disk of anything that planekeeper remembers.
#[must_use]
pub fn text_of<T: Serialize>(remembered: &T) -> String {
    serde_json::to_string_pretty(remembered).unwrap_or_default() + "\n"
}

/// The SHA-256 of a text, in hexadecimal digits.
#[must_use]
pub fn hash(text: &str) -> String {
    pki::hex(&Sha256::digest(text.as_bytes()))
}

impl Record {
    /// The record of a configuration that was read.
    #[must_use]
    pub fn new(sources: &[Source], patches: &[PatchFile]) -> Self {
        let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
        let files = Files {
            configuration: sources.iter().map(|source| file(&source.name, &source.text)).collect(),
            patches: patches.iter().map(|patch| file(&patch.name, &patch.text)).collect(),
        };
        Self { node: None, address: None, files }
    }

    /// With what the cluster that it describes has of the machine, where the files do not say: the Node's name and the API server's address.
    #[must_use]
    pub fn of(mut self, cluster: &Cluster) -> Self {
        self.node = Some(cluster.node.name.clone());
        self.address = Some(cluster.endpoint.address);
        self
    }

    /// Its text on disk.
    #[must_use]
    pub fn to_text(&self) -> String {
        text_of(self)
    }

    /// The cluster that a record describes; `None` where it is damaged, or this build no longer accepts it. The host is then
    /// judged as one that planekeeper meets for the first time.
    #[must_use]
    pub fn cluster(text: &str, machine: &Machine) -> Option<Cluster> {
        Self::cluster_with_files(text, machine).map(|(cluster, ..)| cluster)
    }

    /// [`Record::cluster`], with the files that describe it, and its patches.
    #[must_use]
    pub fn cluster_with_files(text: &str, machine: &Machine) -> Option<(Cluster, Vec<Source>, Vec<PatchFile>)> {
        let record: Self = serde_json::from_str(text).ok()?;
        let hostname = record.node.clone().unwrap_or_else(|| machine.hostname.clone());
        let recorded = record.address;
        let default_address = recorded.or(machine.default_address);
        let machine = Machine { hostname, default_address, ..machine.clone() };
        let (sources, patches) = record.into_files();
        let mut cluster = config::parse(&sources).complete(&machine, &patches).ok()?.cluster;
        if recorded.is_none() && cluster.endpoint.origin == AddressOrigin::DefaultRoute {
            cluster.endpoint.origin = AddressOrigin::Unrecorded;
        }
        Some((cluster, sources, patches))
    }

    fn into_files(self) -> (Vec<Source>, Vec<PatchFile>) {
        let source = |file: File| Source { name: file.name, text: file.text };
        let patch = |file: File| PatchFile { name: file.name, text: file.text };
        (
            self.files.configuration.into_iter().map(source).collect(),
            self.files.patches.into_iter().map(patch).collect(),
        )
    }

    /// What a version of the configuration is known by: the SHA-256, in hexadecimal digits, of its record but for what it has of the machine.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&text_of(&self.files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n";

    fn record(path: &str) -> Record {
        Record::new(&[Source { name: path.to_owned(), text: TEXT.to_owned() }], &[])
    }

    fn machine(hostname: &str, address: &str) -> Machine {
        Machine { hostname: hostname.to_owned(), default_address: address.parse().ok(), ..Machine::default() }
    }

    /// A record as it was written on a machine.
    fn written(machine: &Machine) -> Record {
        record("a.yaml").of(&Record::cluster(&record("a.yaml").to_text(), machine).unwrap())
    }

    #[test]
    fn what_a_cluster_had_of_its_machine_it_has_of_its_record_whatever_the_machine_is_now() {
        let (then, now) = (machine("cp1", "192.0.2.1"), machine("renamed", "198.51.100.1"));
        let had = |record: Record| {
            let cluster = Record::cluster(&record.to_text(), &now).unwrap();
            (cluster.node.name, cluster.endpoint.address.to_string(), cluster.endpoint.origin)
        };
        let recorded = ("cp1".to_owned(), "192.0.2.1".to_owned(), AddressOrigin::DefaultRoute);
        assert_eq!(had(written(&then)), recorded);
        let now = ("renamed".to_owned(), "198.51.100.1".to_owned(), AddressOrigin::Unrecorded);
        assert_eq!(had(record("a.yaml")), now, "an earlier build did not write it down");
    }

    #[test]
    fn a_version_is_known_by_its_files_whatever_the_machine_is() {
        assert_eq!(written(&machine("cp1", "192.0.2.1")).hash(), record("a.yaml").hash());
        assert_ne!(record("a.yaml").hash(), record("b.yaml").hash());
    }
}
