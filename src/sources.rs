//! Reading the files of a configuration.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::{self, Documents, Loaded, PatchFile, Source};
use crate::facts::Machine;
use crate::plan::policy;
use crate::problem::Problem;
use crate::record::Record;

/// The most that is read of a configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The most files that are read of a folder.
const FILES_MAX: usize = 256;

/// The files of a configuration, as they are now.
pub struct Sources {
    /// The files that were named, or those of the folder.
    pub files: Vec<Source>,
    /// Those of `patches.directory`.
    pub patches: Vec<PatchFile>,
    /// The folder that they are in, where there is one.
    pub patches_folder: Option<PathBuf>,
    /// What the files say.
    pub documents: Documents,
}

impl Sources {
    /// Reads the configuration: a file, or a folder with its `*.yaml`, `*.yml` and `*.json` in the order of their names; and the
    /// patches that it names.
    ///
    /// # Errors
    /// Which file or folder cannot be read, and why.
    pub fn read(path: &Path) -> Result<Self, String> {
        let files = sources(path)?;
        let mut documents = config::parse(&files);
        let patches_folder = documents.patches_directory().map(|folder| base(path).join(folder));
        let there = patches_folder.as_deref().filter(|folder| folder.is_dir());
        let patches = there.map(patches).transpose()?.unwrap_or_default();
        if let Some(missing) = patches_folder.as_deref().filter(|_| there.is_none()) {
            // A mistake, as it is to kubeadm.
            documents
                .refuse("InitConfiguration.patches.directory", format!("there is no folder {}", missing.display()));
        }
        Ok(Self { files, patches, patches_folder, documents })
    }

    /// What is remembered of it once it is in force.
    #[must_use]
    pub fn record(&self) -> Record {
        Record::new(&self.files, &self.patches)
    }

    /// What it describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn complete(self, machine: &Machine) -> Result<Loaded, Vec<Problem>> {
        let mut loaded = self.documents.complete(machine, &self.patches)?;
        loaded.warnings.extend(policy::idle_rules(&loaded.cluster));
        Ok(loaded)
    }
}

/// The folder that paths of a configuration are relative to.
fn base(config: &Path) -> &Path {
    if config.is_dir() { config } else { config.parent().unwrap_or(Path::new(".")) }
}

/// The files of a configuration: the one that is named, or those of the folder.
fn sources(path: &Path) -> Result<Vec<Source>, String> {
    let missing = |error: std::io::Error| format!("cannot read the configuration {}: {error}", path.display());
    let files = if fs::metadata(path).map_err(missing)?.is_dir() {
        files(path, &["yaml", "yml", "json"])?
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() {
        return Err(format!("there is no *.yaml, *.yml or *.json in the folder {}", path.display()));
    }
    files.iter().map(|file| Ok(Source { name: file.display().to_string(), text: text(file)? })).collect()
}

/// The patches of a configuration.
fn patches(folder: &Path) -> Result<Vec<PatchFile>, String> {
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files(folder, &[])?.iter().map(|file| Ok(PatchFile { name: name(file), text: text(file)? })).collect()
}

/// The files of a folder with one of the endings (none: any), by name. Hidden ones are left out: editors leave such.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("cannot read the folder {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !hidden && !path.is_dir() && (endings.is_empty() || endings.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX {
        return Err(format!("the folder {} has more than {FILES_MAX} files", folder.display()));
    }
    files.sort();
    Ok(files)
}

/// The text of a file, of which no more than the bound is ever read.
fn text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("{} is larger than {} MiB", path.display(), FILE_MAX >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        format!(
            "{}:{line}: this is not UTF-8, which YAML and JSON are written in: save the file as UTF-8",
            path.display()
        )
    })
}
