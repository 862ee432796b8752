//! The file system under a root, as effects: one system call each, so that a test can fail or cut any of them.
//!
//! Every path is absolute below the root. Symbolic links are followed as if the root were `/`, so that no link in a sandbox leads
//! out of it (openat2, `RESOLVE_IN_ROOT`).

mod clear;
mod writer;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode as Bits, OFlags, ResolveFlags};

use crate::facts::Owner;
use crate::host::side_by_side::side_by_side;
use crate::observed::Mode;

pub use clear::ClearError;
pub use writer::{NewFile, Turn, Writer, temporary};

/// The most that is read of one file, in bytes. Nothing that planekeeper writes comes near it.
pub const READ_MAX: u64 = 4 << 20;

/// How many files and folders are synced at once.
const SYNCS_AT_ONCE: usize = 2;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Absent,
    /// A file.
    File(Mode),
    /// A folder.
    Directory(Mode),
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Special,
}

/// A file system as a reconciler needs it. Reads come first, effects after them. An error is always the system's own, of the one
/// call that each of them makes.
#[allow(clippy::missing_errors_doc)] // said once, above
pub trait FileSystem: Sync {
    /// A file that is being written.
    type Handle;

    /// What stands at a path; a link is not followed.
    fn look(&self, path: &str) -> io::Result<Look>;
    /// What stands at a path or at the end of its links.
    fn look_through(&self, path: &str) -> io::Result<Look>;
    /// The content of a file with its mode and owner, links followed; `None` where nothing is. More than [`READ_MAX`] is an error.
    fn read(&self, path: &str) -> io::Result<Option<(Vec<u8>, Mode)>>;
    /// What stands at a path, with its content where that is a file; at the end of its links where they are to be followed.
    fn look_and_read(&self, path: &str, follow: bool) -> io::Result<(Look, Option<Vec<u8>>)> {
        let looked = if follow { self.look_through(path)? } else { self.look(path)? };
        if !matches!(looked, Look::File(_)) {
            return Ok((looked, None));
        }
        // It may have gone in between.
        Ok(self.read(path)?.map_or((Look::Absent, None), |(bytes, mode)| (Look::File(mode), Some(bytes))))
    }
    /// The names in a folder, sorted; empty where nothing is.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Makes a file that must not be there yet, readable by its owner only.
    fn create(&self, path: &str) -> io::Result<Self::Handle>;
    /// Writes all of a file's content.
    fn write(&self, handle: &mut Self::Handle, bytes: &[u8]) -> io::Result<()>;
    /// Sets mode and owner of a file that is being written.
    fn grant(&self, handle: &Self::Handle, mode: Mode) -> io::Result<()>;
    /// Waits until a file's content is on the disk.
    fn sync(&self, handle: &Self::Handle) -> io::Result<()>;
    /// Waits until the content of several files and the names in several folders are on the disk, which is no longer than for one of them
    /// where the file system can wait for all at once. Says what came of the files, and which folders failed.
    fn sync_together(&self, handles: &[&Self::Handle], folders: &[&str]) -> (io::Result<()>, Vec<(String, io::Error)>) {
        let content = handles.iter().try_for_each(|handle| self.sync(handle));
        let failed = |folder: &&str| self.sync_directory(folder).err().map(|error| ((*folder).to_owned(), error));
        (content, folders.iter().filter_map(failed).collect())
    }
    /// Puts a file in the place of another, in the same folder, at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Waits until a folder's names are on the disk.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
    /// Makes a folder.
    fn create_directory(&self, path: &str) -> io::Result<()>;
    /// Sets mode and owner of what is there.
    fn set_mode(&self, path: &str, mode: Mode) -> io::Result<()>;
    /// Makes a symbolic link.
    fn link(&self, path: &str, target: &str) -> io::Result<()>;
    /// Removes a file or a link.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_directory(&self, path: &str) -> io::Result<()>;
}

/// The folder of a path.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &path[..end],
    }
}

/// The name in its folder.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What is waited for beside others.
#[derive(Clone, Copy)]
enum Awaited<'a> {
    File(&'a File),
    Folder(&'a str),
}

/// The real file system below a folder.
pub struct Disk {
    root: OwnedFd,
}

impl Disk {
    /// Opens the folder that is the root.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(root, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Bits::empty())?;
        Ok(Self { root })
    }

    /// Opens a file to lock it, and makes it if it is not there. A link in its place is an error.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_lock(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW;
        Ok(File::from(self.open_at(path, flags, Bits::from_raw_mode(0o600))?))
    }

    fn open_at(&self, path: &str, flags: OFlags, bits: Bits) -> io::Result<OwnedFd> {
        let below = match path.trim_start_matches('/') {
            "" => ".",
            below => below,
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, below, flags | OFlags::CLOEXEC, bits, resolve)?)
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::DIRECTORY | OFlags::RDONLY, Bits::empty())
    }

    /// Opens a file or folder to read it. NONBLOCK: a pipe put in its place must not stop the reconciler.
    fn open_to_read(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | flags, Bits::empty())
    }

    fn look_with(&self, path: &str, flags: OFlags) -> io::Result<Look> {
        let Some(found) = absent(self.open_at(path, OFlags::PATH | flags, Bits::empty()))? else {
            return Ok(Look::Absent);
        };
        let stat = rustix::fs::fstat(found)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Look::File(mode_of(&stat)),
            FileType::Directory => Look::Directory(mode_of(&stat)),
            FileType::Symlink => Look::Link,
            _ => Look::Special,
        })
    }
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of a file that was opened.
fn content(file: OwnedFd, stat: &rustix::fs::Stat) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(1 << 20) + 1);
    File::from(file).take(READ_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", READ_MAX >> 20)));
    }
    Ok(bytes)
}

fn mode_of(stat: &rustix::fs::Stat) -> Mode {
    Mode { mode: stat.st_mode & 0o7777, owner: Owner { uid: stat.st_uid, gid: stat.st_gid } }
}

fn ids(owner: Owner) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid))
}

impl FileSystem for Disk {
    type Handle = File;

    fn look(&self, path: &str) -> io::Result<Look> {
        self.look_with(path, OFlags::NOFOLLOW)
    }

    fn look_through(&self, path: &str) -> io::Result<Look> {
        self.look_with(path, OFlags::empty())
    }

    fn read(&self, path: &str) -> io::Result<Option<(Vec<u8>, Mode)>> {
        let Some(found) = absent(self.open_to_read(path, OFlags::empty()))? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a file"));
        }
        Ok(Some((content(found, &stat)?, mode_of(&stat))))
    }

    /// A file, as most are, is opened once; whatever else stands there is looked at without opening it.
    fn look_and_read(&self, path: &str, follow: bool) -> io::Result<(Look, Option<Vec<u8>>)> {
        let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        match absent(self.open_to_read(path, links)) {
            Ok(None) => return Ok((Look::Absent, None)),
            Ok(Some(found)) => {
                let stat = rustix::fs::fstat(&found)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    return Ok((Look::File(mode_of(&stat)), Some(content(found, &stat)?)));
                }
            }
            Err(_) => {}
        }
        let looked = self.look_with(path, links)?;
        match looked {
            // It cannot be read, or has come just now: reading it says which.
            Look::File(_) => {
                Ok(self.read(path)?.map_or((Look::Absent, None), |(bytes, mode)| (Look::File(mode), Some(bytes))))
            }
            _ => Ok((looked, None)),
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let Some(folder) = absent(self.folder(path))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        Ok(File::from(self.open_at(path, flags, Bits::from_raw_mode(0o600))?))
    }

    fn write(&self, handle: &mut File, bytes: &[u8]) -> io::Result<()> {
        handle.write_all(bytes)
    }

    fn grant(&self, handle: &File, mode: Mode) -> io::Result<()> {
        let (uid, gid) = ids(mode.owner);
        let created = mode_of(&rustix::fs::fstat(handle)?);
        if created == mode {
            return Ok(());
        }
        if created.owner != mode.owner {
            rustix::fs::fchown(handle, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::fchmod(handle, Bits::from_raw_mode(mode.mode))?)
    }

    fn sync(&self, handle: &File) -> io::Result<()> {
        handle.sync_all()
    }

    /// Side by side where they are many: a thread takes as long as the wait for one or two.
    fn sync_together(&self, handles: &[&File], folders: &[&str]) -> (io::Result<()>, Vec<(String, io::Error)>) {
        let files = handles.iter().map(|handle| Awaited::File(handle));
        let all: Vec<Awaited<'_>> = files.chain(folders.iter().map(|folder| Awaited::Folder(folder))).collect();
        let failed: Vec<Option<_>> = side_by_side(&all, SYNCS_AT_ONCE.min(all.len() / 2), |&awaited| {
            let error = match awaited {
                Awaited::File(handle) => handle.sync_all(),
                Awaited::Folder(folder) => self.sync_directory(folder),
            };
            error.err().map(|error| (awaited, error))
        });
        let (mut content, mut names) = (Ok(()), Vec::new());
        for (awaited, error) in failed.into_iter().flatten() {
            match awaited {
                Awaited::File(_) => content = Err(error),
                Awaited::Folder(folder) => names.push((folder.to_owned(), error)),
            }
        }
        (content, names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let folder = self.folder(parent(from))?;
        Ok(rustix::fs::renameat(&folder, name(from), &folder, name(to))?)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.folder(path)?)?)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let folder = self.folder(parent(path))?;
        Ok(rustix::fs::mkdirat(folder, name(path), Bits::from_raw_mode(0o700))?)
    }

    fn set_mode(&self, path: &str, mode: Mode) -> io::Result<()> {
        let found = self.open_to_read(path, OFlags::empty())?;
        let (uid, gid) = ids(mode.owner);
        if mode_of(&rustix::fs::fstat(&found)?).owner != mode.owner {
            rustix::fs::fchown(&found, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::fchmod(&found, Bits::from_raw_mode(mode.mode))?)
    }

    fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let folder = self.folder(parent(path))?;
        Ok(rustix::fs::symlinkat(target, folder, name(path))?)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let folder = self.folder(parent(path))?;
        Ok(rustix::fs::unlinkat(folder, name(path), AtFlags::empty())?)
    }

    fn remove_directory(&self, path: &str) -> io::Result<()> {
        let folder = self.folder(parent(path))?;
        Ok(rustix::fs::unlinkat(folder, name(path), AtFlags::REMOVEDIR)?)
    }
}
