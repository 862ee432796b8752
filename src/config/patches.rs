//! The files of `patches.directory`.

use super::PatchFile;
use super::report::Report;
use crate::cluster::Patch;
use crate::patch;

/// The patches, in kubeadm's order: by name of their files.
pub fn parse(files: &[PatchFile], report: &mut Report) -> Vec<Patch> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut patches = Vec::new();
    for file in files {
        match patch::parse_file(&file.name, &file.text) {
            Ok(found) => patches.extend(found),
            Err(message) => {
                report.error("InitConfiguration.patches.directory", format!("its file {:?}: {message}", file.name));
            }
        }
    }
    patches
}
