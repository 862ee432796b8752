//! Modes and owners of the files of a resource. They are repaired by themselves: nothing is made anew for a mode.

use crate::facts::Owner;
use crate::observed::Mode;
use crate::verdict::Difference;

/// Mode of a certificate's file, as kubeadm makes it.
pub const CERTIFICATE: u32 = 0o644;
/// Mode of a key's file, `sa.pub` included, as kubeadm makes it.
pub const KEY: u32 = 0o600;

/// Set a file's mode and owner; leave its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The file.
    pub path: String,
    /// The mode to set.
    pub mode: u32,
    /// The owner to set.
    pub owner: Owner,
    /// What differs, for people: the fields `NAME mode` and `NAME owner`, with the file's name.
    pub differences: Vec<Difference>,
}

/// The repair that makes a file's mode and owner what is wanted, if anything differs.
#[must_use]
pub fn exact(path: &str, seen: Mode, mode: u32, owner: Owner) -> Option<Repair> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let differences = between(&format!("{name} "), seen, Mode { mode, owner });
    (!differences.is_empty()).then(|| Repair { path: path.to_owned(), mode, owner, differences })
}

/// The differences of mode and owner: the fields `mode` and `owner`, after a prefix where a resource has several files.
#[must_use]
pub fn between(prefix: &str, seen: Mode, wanted: Mode) -> Vec<Difference> {
    let mut differences = Vec::new();
    if seen.mode != wanted.mode {
        differences.push(Difference::new(format!("{prefix}mode"), octal(seen.mode), octal(wanted.mode)));
    }
    if seen.owner != wanted.owner {
        differences.push(Difference::new(format!("{prefix}owner"), pair(seen.owner), pair(wanted.owner)));
    }
    differences
}

/// As [`exact`], for a file that a person may have brought along: its mode counts only where it gives away a
/// permission of `forbidden`, or lets not even the owner read, and its owner is left alone.
#[must_use]
pub fn lenient(path: &str, seen: Mode, mode: u32, forbidden: u32) -> Option<Repair> {
    let bad = seen.mode & forbidden != 0 || seen.mode & 0o400 == 0;
    if bad { exact(path, seen, mode, seen.owner) } else { None }
}

/// Modes and owners are all that differs: set those, and make nothing anew.
#[must_use]
pub fn only_modes(differences: &[Difference]) -> bool {
    let is_mode = |field: &str| matches!(field.rsplit(' ').next(), Some("mode" | "owner"));
    !differences.is_empty() && differences.iter().all(|difference| is_mode(&difference.field))
}

/// What the repairs are for.
#[must_use]
pub fn differences(repairs: Vec<Repair>) -> Vec<Difference> {
    repairs.into_iter().flat_map(|repair| repair.differences).collect()
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn pair(owner: Owner) -> String {
    format!("{}:{}", owner.uid, owner.gid)
}
