//! A file system in memory: what a plan for a folder that is not there yet looks at, and what tests cut the power of.
//!
//! It keeps apart what has been written and what is on the disk: a file's content is on the disk once it is synced, a name once its
//! folder is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::Owner;
use crate::host::files::{FileSystem, Look, parent};
use crate::observed::Mode;

/// A file system in memory. It begins with an empty root.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
}

type Inode = usize;

#[derive(Clone, Debug)]
struct State {
    nodes: Vec<Node>,
    /// Counts changes: what has the same count was not touched between.
    changes: u64,
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    mode: Mode,
    /// The count at its last change.
    changed: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    File { bytes: Vec<u8>, synced: Vec<u8> },
    Directory { names: BTreeMap<String, Inode>, synced: BTreeMap<String, Inode> },
    Link { target: String },
}

const ROOT: Inode = 0;

/// The most links that a path may lead through, as Linux has it.
const LINKS_MAX: usize = 40;

impl Default for Memory {
    fn default() -> Self {
        let root = Node { kind: directory(), mode: Mode { mode: 0o755, owner: Owner::default() }, changed: 0 };
        Self { state: Mutex::new(State { nodes: vec![root], changes: 0 }) }
    }
}

fn directory() -> Kind {
    Kind::Directory { names: BTreeMap::new(), synced: BTreeMap::new() }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file system as it comes up after its power was cut: what was not synced is gone.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        self.after_power_cut_but(|_| false)
    }

    /// As [`Memory::after_power_cut`], where some names have reached the disk though nobody waited for that: a disk has an order of
    /// its own.
    #[must_use]
    pub fn after_power_cut_but(&self, reached: impl Fn(&str) -> bool) -> Self {
        let mut state = self.lock().clone();
        let mut folders = vec![("/".to_owned(), ROOT)];
        while let Some((path, inode)) = folders.pop() {
            if let Kind::Directory { names, synced } = &mut state.nodes[inode].kind {
                let all: BTreeSet<String> = names.keys().chain(synced.keys()).cloned().collect();
                let there = |name: &String| {
                    let from = if reached(&format!("{path}{name}")) { &*names } else { &*synced };
                    from.get(name).map(|inode| (name.clone(), *inode))
                };
                *names = all.iter().filter_map(there).collect();
                synced.clone_from(names);
                folders.extend(names.iter().map(|(name, inode)| (format!("{path}{name}/"), *inode)));
            }
        }
        for node in &mut state.nodes {
            if let Kind::File { bytes, synced } = &mut node.kind {
                bytes.clone_from(synced);
            }
        }
        Self { state: Mutex::new(state) }
    }

    /// A copy of it as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { state: Mutex::new(self.lock().clone()) }
    }

    /// Every path with the count of its last change, folders with a slash at their end.
    #[must_use]
    pub fn touched(&self) -> BTreeMap<String, u64> {
        let state = self.lock();
        let mut found = BTreeMap::new();
        let mut folders = vec![("/".to_owned(), ROOT)];
        while let Some((path, inode)) = folders.pop() {
            found.insert(path.clone(), state.nodes[inode].changed);
            if let Kind::Directory { names, .. } = &state.nodes[inode].kind {
                for (name, inode) in names {
                    let folder = matches!(state.nodes[*inode].kind, Kind::Directory { .. });
                    let below = format!("{path}{name}{}", if folder { "/" } else { "" });
                    if folder {
                        folders.push((below, *inode));
                    } else {
                        found.insert(below, state.nodes[*inode].changed);
                    }
                }
            }
        }
        found
    }
}

impl State {
    /// The inode at a path; `None` where nothing is.
    fn find(&self, path: &str, follow: bool) -> io::Result<Option<Inode>> {
        let mut rest: Vec<String> = components(path);
        let (mut at, mut links) = (vec![ROOT], 0);
        while let Some(name) = rest.pop() {
            if name == ".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let here = at[at.len() - 1];
            let Kind::Directory { names, .. } = &self.nodes[here].kind else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let Some(&next) = names.get(&name) else { return Ok(None) };
            match &self.nodes[next].kind {
                Kind::Link { target } if follow || !rest.is_empty() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(io::Error::other("too many levels of symbolic links"));
                    }
                    if target.starts_with('/') {
                        at.truncate(1);
                    }
                    rest.extend(components(target));
                }
                _ => at.push(next),
            }
        }
        Ok(at.last().copied())
    }

    fn get(&self, path: &str) -> io::Result<Inode> {
        self.find(path, true)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self, inode: Inode) {
        self.changes += 1;
        self.nodes[inode].changed = self.changes;
    }

    fn names(&mut self, folder: &str) -> io::Result<(Inode, &mut BTreeMap<String, Inode>)> {
        let inode = self.get(folder)?;
        match &mut self.nodes[inode].kind {
            Kind::Directory { names, .. } => Ok((inode, names)),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &str, kind: Kind, mode: u32) -> io::Result<Inode> {
        let added = self.nodes.len();
        let (folder, names) = self.names(parent(path))?;
        if names.contains_key(name(path)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        names.insert(name(path).to_owned(), added);
        self.nodes.push(Node { kind, mode: Mode { mode, owner: Owner::default() }, changed: 0 });
        self.change(folder);
        self.change(added);
        Ok(added)
    }
}

/// The names of a path, last first.
fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").rev().map(str::to_owned).collect()
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl FileSystem for Memory {
    type Handle = Inode;

    fn look(&self, path: &str) -> io::Result<Look> {
        let state = self.lock();
        Ok(state.find(path, false)?.map_or(Look::Absent, |inode| look(&state.nodes[inode])))
    }

    fn look_through(&self, path: &str) -> io::Result<Look> {
        let state = self.lock();
        Ok(state.find(path, true)?.map_or(Look::Absent, |inode| look(&state.nodes[inode])))
    }

    fn read(&self, path: &str) -> io::Result<Option<(Vec<u8>, Mode)>> {
        let state = self.lock();
        let Some(inode) = state.find(path, true)? else { return Ok(None) };
        match &state.nodes[inode].kind {
            Kind::File { bytes, .. } => Ok(Some((bytes.clone(), state.nodes[inode].mode))),
            _ => Err(io::Error::other("it is not a file")),
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let Some(inode) = state.find(path, true)? else { return Ok(Vec::new()) };
        match &state.nodes[inode].kind {
            Kind::Directory { names, .. } => Ok(names.keys().cloned().collect()),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn create(&self, path: &str) -> io::Result<Inode> {
        self.lock().add(path, Kind::File { bytes: Vec::new(), synced: Vec::new() }, 0o600)
    }

    fn write(&self, handle: &mut Inode, content: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if let Kind::File { bytes, .. } = &mut state.nodes[*handle].kind {
            bytes.extend_from_slice(content);
        }
        state.change(*handle);
        Ok(())
    }

    fn grant(&self, handle: &Inode, mode: Mode) -> io::Result<()> {
        let mut state = self.lock();
        state.nodes[*handle].mode = mode;
        state.change(*handle);
        Ok(())
    }

    fn sync(&self, handle: &Inode) -> io::Result<()> {
        if let Kind::File { bytes, synced } = &mut self.lock().nodes[*handle].kind {
            synced.clone_from(bytes);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(inode) = state.find(to, false)?
            && matches!(state.nodes[inode].kind, Kind::Directory { .. })
        {
            return Err(ErrorKind::IsADirectory.into());
        }
        let (folder, names) = state.names(parent(from))?;
        let moved = names.remove(name(from)).ok_or(ErrorKind::NotFound)?;
        names.insert(name(to).to_owned(), moved);
        state.change(folder);
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.get(path)?;
        if let Kind::Directory { names, synced } = &mut state.nodes[inode].kind {
            synced.clone_from(names);
        }
        Ok(())
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        self.lock().add(path, directory(), 0o700).map(|_| ())
    }

    fn set_mode(&self, path: &str, mode: Mode) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.get(path)?;
        state.nodes[inode].mode = mode;
        state.change(inode);
        Ok(())
    }

    fn link(&self, path: &str, target: &str) -> io::Result<()> {
        self.lock().add(path, Kind::Link { target: target.to_owned() }, 0o777).map(|_| ())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(path, false)?.ok_or(ErrorKind::NotFound)?;
        if matches!(state.nodes[inode].kind, Kind::Directory { .. }) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let (folder, names) = state.names(parent(path))?;
        names.remove(name(path));
        state.change(folder);
        Ok(())
    }

    fn remove_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(path, false)?.ok_or(ErrorKind::NotFound)?;
        match &state.nodes[inode].kind {
            Kind::Directory { names, .. } if names.is_empty() => {}
            Kind::Directory { .. } => return Err(ErrorKind::DirectoryNotEmpty.into()),
            _ => return Err(ErrorKind::NotADirectory.into()),
        }
        let (folder, names) = state.names(parent(path))?;
        names.remove(name(path));
        state.change(folder);
        Ok(())
    }
}

fn look(node: &Node) -> Look {
    match node.kind {
        Kind::File { .. } => Look::File(node.mode),
        Kind::Directory { .. } => Look::Directory(node.mode),
        Kind::Link { .. } => Look::Link,
    }
}
