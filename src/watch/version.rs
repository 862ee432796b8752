//! A version of the configuration: its files, and the cluster that they describe.

use std::path::{Path, PathBuf};

use super::Wake;
use super::follower::{cut_off, is_less};
use super::paths::Wanted;
use crate::cluster::{Cluster, Location};
use crate::config::{PatchFile, Source};
use crate::facts::Machine;
use crate::problem::Problem;
use crate::record::{self, Record};
use crate::sources::Sources;

/// A version that is valid.
pub struct Version {
    /// What it describes.
    pub cluster: Cluster,
    /// What is remembered of it once the host is so.
    pub text: String,
    /// What it is known by.
    pub hash: String,
    files: Vec<Source>,
    patches: Vec<PatchFile>,
}

impl Version {
    /// The version that a host was last made to be, as it was remembered, wherever the default route leads now; `None` where the record is
    /// damaged or this build no longer accepts it.
    #[must_use]
    pub fn of_record(text: &str, machine: &Machine) -> Option<Self> {
        let (cluster, files, patches) = Record::cluster_with_files(text, machine)?;
        Some(Self::new(cluster, files, patches))
    }

    /// The version that was read, with what deserves a word all the same.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of_sources(
        sources: Sources,
        before: Option<&Self>,
        machine: &Machine,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        if let Some(file) = before.and_then(|before| cut_off(&before.files, &sources.files)) {
            let line = file.text.lines().count().try_into().unwrap_or(u64::MAX);
            let message = "the file is cut off here: it is the beginning of the version in force".to_owned();
            let place = Some(Location { file: file.name.clone(), line });
            return Err(vec![Problem { place, field: String::new(), message }]);
        }
        let (files, patches) = (sources.files.clone(), sources.patches.clone());
        let loaded = sources.complete(machine)?;
        Ok((Self::new(loaded.cluster, files, patches), loaded.warnings))
    }

    fn new(cluster: Cluster, files: Vec<Source>, patches: Vec<PatchFile>) -> Self {
        let record = Record::new(&files, &patches).of(&cluster);
        Self { text: record.to_text(), hash: record.hash(), cluster, files, patches }
    }

    /// What was read lacks something of this version.
    #[must_use]
    pub fn is_more_than(&self, sources: &Sources) -> bool {
        is_less((&self.files, &self.patches), (&sources.files, &sources.patches))
    }
}

/// The configuration at a path, as it is now.
pub struct Seen {
    /// Its files, or why it cannot be read.
    pub sources: Result<Sources, String>,
    /// What this version is known by, or the SHA-256 of why it cannot be read.
    pub hash: String,
}

impl Seen {
    /// Reads the configuration.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let sources = Sources::read(path);
        let hash = match &sources {
            Ok(sources) => sources.record().hash(),
            Err(why) => record::hash(why),
        };
        Self { sources, hash }
    }

    /// Adds to what is watched all files and folders that the configuration is read from.
    pub fn watch(&self, path: &Path, wanted: &mut Wanted) {
        let root = Path::new("/");
        let mut add = |path: &Path| {
            if path.is_dir() {
                wanted.add_folder(path, &Wake::Configuration);
            } else {
                wanted.add(root, path, &Wake::Configuration);
            }
        };
        add(path);
        let Ok(sources) = &self.sources else { return };
        sources.files.iter().for_each(|file| add(Path::new(&file.name)));
        if let Some(folder) = &sources.patches_folder {
            add(folder);
            sources.patches.iter().for_each(|patch| add(&folder.join(&patch.name)));
        }
    }
}

/// A problem that is in no line of a file.
#[must_use]
pub fn problem(message: String) -> Problem {
    Problem { place: None, field: String::new(), message }
}

/// Where a path leads, through all links.
#[must_use]
pub fn resolved(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}
