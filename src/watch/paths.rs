//! Which names in which folders say that something of a host or of the configuration has changed.
//!
//! A path is walked name by name, through links. Every name on the way counts: a folder above that is renamed, a link that is made to
//! lead elsewhere. So it is the folders that are watched and never a file, whose watch would end when another takes its place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::Wake;
use crate::host::sandbox::object_path;
use crate::resource::{Resource, Spec, Target, Want};

/// So many links are followed, as by Linux.
const LINKS_MAX: usize = 40;

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Paths, each a name in a folder, and what a change of it wakes.
    pub names: BTreeMap<PathBuf, BTreeSet<Wake>>,
    /// Folders in which a change of any name counts.
    pub folders: BTreeMap<PathBuf, Wake>,
}

impl Wanted {
    /// Adds a path, as seen by who takes `root` for the root of the file system.
    pub fn add(&mut self, root: &Path, path: &Path, wake: &Wake) {
        self.walk(root, path, wake);
    }

    /// Adds a folder in which every name counts.
    pub fn add_folder(&mut self, path: &Path, wake: &Wake) {
        let folder = self.walk(Path::new("/"), path, wake);
        self.folders.insert(folder, wake.clone());
    }

    /// The folders that have to be watched.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<&Path> {
        self.names.keys().filter_map(|path| path.parent()).chain(self.folders.keys().map(PathBuf::as_path)).collect()
    }

    /// Adds every name on the way to a path; where it leads in the end.
    fn walk(&mut self, root: &Path, path: &Path, wake: &Wake) -> PathBuf {
        let mut at = root.to_owned();
        let mut rest: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if at != root {
                    at.pop();
                }
                continue;
            }
            let here = at.join(&name);
            self.names.entry(here.clone()).or_default().insert(wake.clone());
            match std::fs::read_link(&here) {
                Ok(target) if links < LINKS_MAX => {
                    links += 1;
                    if target.is_absolute() {
                        root.clone_into(&mut at);
                    }
                    for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                _ => at = here,
            }
        }
        at
    }
}

/// The names that a path is made of; `..` is one.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The paths that a resource is made of on the host. An object is one in a sandbox only.
#[must_use]
pub fn of(resource: &Resource, sandbox: bool) -> Vec<String> {
    match &resource.want {
        Want::Present(Spec::Directory(spec)) => vec![spec.path.clone()],
        Want::Present(Spec::File(spec)) => vec![spec.path.clone()],
        Want::Present(Spec::KeyPair(spec)) => vec![spec.private.clone(), spec.public.clone()],
        Want::Present(Spec::Certificate(spec)) => vec![spec.certificate.clone(), spec.key.clone()],
        Want::Present(Spec::Kubeconfig(spec)) => {
            [&spec.path].into_iter().chain(spec.rotated.as_ref().map(|rotated| &rotated.path)).cloned().collect()
        }
        Want::Present(Spec::Tokens(spec)) => vec![spec.path.clone()],
        Want::Present(Spec::Object(object))
        | Want::Absent(Target::Object(object))
        | Want::Theirs { target: Target::Object(object), .. }
            if sandbox =>
        {
            vec![object_path(object)]
        }
        Want::Present(Spec::Object(_) | Spec::Image(_) | Spec::Unit(_) | Spec::StaticPod(_) | Spec::Gate(_))
        | Want::Absent(Target::Object(_))
        | Want::Theirs { target: Target::Object(_), .. } => Vec::new(),
        Want::Absent(target) | Want::Theirs { target, .. } => target.path().map(str::to_owned).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watched(root: &Path, path: &str) -> BTreeSet<String> {
        let mut wanted = Wanted::default();
        wanted.add(root, Path::new(path), &Wake::Configuration);
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        wanted.names.keys().map(relative).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_name_on_the_way_counts_whether_it_is_there_or_not() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(watched(root.path(), "/etc/kubernetes/pki"), set(&["etc", "etc/kubernetes", "etc/kubernetes/pki"]));
    }

    #[test]
    fn links_are_followed_and_count_themselves() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("config/..2026")).unwrap();
        std::fs::write(at("config/..2026/cluster.yaml"), "").unwrap();
        symlink("..2026", at("config/..data")).unwrap();
        symlink("..data/cluster.yaml", at("config/cluster.yaml")).unwrap();
        let names = ["config", "config/cluster.yaml", "config/..data", "config/..2026", "config/..2026/cluster.yaml"];
        assert_eq!(watched(root.path(), "/config/cluster.yaml"), set(&names));
    }

    #[test]
    fn an_absolute_link_leads_to_the_root_that_is_meant_and_a_ring_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("data/pki")).unwrap();
        symlink("/data/pki", root.path().join("pki")).unwrap();
        assert_eq!(watched(root.path(), "/pki/ca.crt"), set(&["pki", "data", "data/pki", "data/pki/ca.crt"]));
        symlink("ring", root.path().join("ring")).unwrap();
        assert_eq!(watched(root.path(), "/ring"), set(&["ring"]));
    }
}
