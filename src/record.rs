//! The last good configuration: what was in force when a host last converged.
//!
//! It is kept as text and read again when it is needed, so that what a change of the configuration changes can be told from what
//! somebody changed on the host. It may hold bootstrap tokens, so its file is readable by its owner only.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;
use crate::config::{self, PatchFile, Source};
use crate::facts::Machine;
use crate::pki;

/// Where it is kept.
pub const PATH: &str = "/var/lib/planekeeper/last-good.json";

/// The files of a configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
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

impl Record {
    /// The record of a configuration that was read.
    #[must_use]
    pub fn new(sources: &[Source], patches: &[PatchFile]) -> Self {
        let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
        Self {
            configuration: sources.iter().map(|source| file(&source.name, &source.text)).collect(),
            patches: patches.iter().map(|patch| file(&patch.name, &patch.text)).collect(),
        }
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
        let (sources, patches) = Self::files(text)?;
        config::parse(&sources).complete(machine, &patches).ok().map(|loaded| loaded.cluster)
    }

    /// The files of a record, and its patches; `None` where it is damaged.
    #[must_use]
    pub fn files(text: &str) -> Option<(Vec<Source>, Vec<PatchFile>)> {
        let record: Self = serde_json::from_str(text).ok()?;
        let sources =
            record.configuration.into_iter().map(|file| Source { name: file.name, text: file.text }).collect();
        let patches = record.patches.into_iter().map(|file| PatchFile { name: file.name, text: file.text }).collect();
        Some((sources, patches))
    }

    /// What a version of the configuration is known by: the SHA-256 of its record, in hexadecimal digits.
    #[must_use]
    pub fn hash(text: &str) -> String {
        pki::hex(&Sha256::digest(text.as_bytes()))
    }
}
