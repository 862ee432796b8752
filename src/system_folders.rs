//! Folders of the system, which no program may call its own: it would set their modes, and empty them in the end.

use std::path::Path;

/// Folders in which others keep what they need, and the folders that these lie in (Filesystem Hierarchy Standard 3.0).
const SYSTEM: [&str; 40] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/kubernetes",
    "/etc/planekeeper",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/crio",
    "/var/lib/docker",
    "/var/lib/planekeeper",
    "/var/lib/systemd",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/local",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/run",
    "/var/spool",
    "/var/tmp",
    "/usr/local",
];

/// Folders in which no other is anybody's own.
const SYSTEM_TREES: [&str; 11] =
    ["/bin", "/boot", "/dev", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/etc/planekeeper"];

/// Folders below which disks are mounted that may well be somebody's own.
const MOUNTED: [&str; 4] = ["/media", "/mnt", "/opt", "/srv"];

/// Whether a path, as [`plain`] has it, is a folder that others use, or has one within.
#[must_use]
pub fn is_shared(path: &str) -> bool {
    !MOUNTED.contains(&path) && SYSTEM.iter().any(|folder| holds(path, folder))
}

/// Whether a path, as [`plain`] has it, is such a folder, or lies where everything is the system's or a person's.
#[must_use]
pub fn is_one(path: &str) -> bool {
    // The folder of everything that a person has.
    let home = Path::new(path).parent() == Some(Path::new("/home"));
    home || SYSTEM.iter().any(|folder| holds(path, folder)) || SYSTEM_TREES.iter().any(|folder| holds(folder, path))
}

/// A folder is another, or has it within.
#[must_use]
pub fn holds(folder: &str, other: &str) -> bool {
    folder == "/" || other.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An absolute path without what says nothing: a slash too many, a dot.
#[must_use]
pub fn plain(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}
