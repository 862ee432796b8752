//! The file system under a root, as effects: one system call each, so that a test can fail or cut any of them.
//!
//! Every path is absolute below the root. Symbolic links are followed as if the root were `/`, so that no link in a sandbox leads
//! out of it (openat2, `RESOLVE_IN_ROOT`).

mod clear;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode as Bits, OFlags, ResolveFlags};

use crate::facts::Owner;
use crate::observed::Mode;

pub use clear::ClearError;

/// The most that is read of one file, in bytes. Nothing that planekeeper writes comes near it.
pub const READ_MAX: u64 = 4 << 20;

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

/// The name under which a file is written before it takes its place: hidden from the kubelet by its dot, and always the same,
/// so that what a killed run left is overwritten by the next.
#[must_use]
pub fn temporary(path: &str) -> String {
    let folder = parent(path).trim_end_matches('/');
    format!("{folder}/.{}.planekeeper", name(path))
}

/// Writes to a file system, so that nobody ever sees half of a file and a power cut leaves the old one or the new one.
///
/// A file's content is on the disk before its name is. Names are on the disk once [`Writer::settle`] has synced their folders:
/// one wait for the disk a folder, not one a file.
pub struct Writer<F> {
    files: F,
    /// Folders with names that are not on the disk yet.
    unsettled: Mutex<BTreeSet<String>>,
    /// Held while folders are synced.
    settling: Mutex<()>,
}

impl<F: FileSystem> Writer<F> {
    /// A writer to a file system.
    pub fn new(files: F) -> Self {
        Self { files, unsettled: Mutex::default(), settling: Mutex::default() }
    }

    /// The file system.
    pub fn files(&self) -> &F {
        &self.files
    }

    /// Writes a file.
    ///
    /// # Errors
    /// The first effect that failed; what was there is then untouched.
    pub fn write(&self, path: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let files = &self.files;
        let staged = temporary(path);
        let mut handle = match files.create(&staged) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                files.remove_file(&staged)?;
                files.create(&staged)?
            }
            other => other?,
        };
        let written = files
            .write(&mut handle, bytes)
            .and_then(|()| files.grant(&handle, mode))
            .and_then(|()| files.sync(&handle))
            .and_then(|()| files.rename(&staged, path));
        if let Err(error) = written {
            // A full disk must not keep the half of a file; if this fails too, the next run removes it.
            let _ = files.remove_file(&staged);
            return Err(error);
        }
        self.unsettle(parent(path));
        Ok(())
    }

    /// Writes a file that others are made from: it is on the disk, with the names of all folders above it, before anything else
    /// is written.
    ///
    /// # Errors
    /// The first effect that failed.
    pub fn write_first(&self, path: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
        self.write(path, bytes, mode)?;
        // One at a time: who finds a folder settled must not go on before it is.
        let _alone = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folder = path;
        while folder != "/" {
            folder = parent(folder);
            // Taken out before it is synced: a name that another step adds meanwhile puts it in again.
            if self.lock().remove(folder)
                && let Err(error) = self.files.sync_directory(folder)
            {
                self.unsettle(folder);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes a symbolic link, in the place of another if there is one.
    ///
    /// # Errors
    /// The first effect that failed.
    pub fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let (files, staged) = (&self.files, temporary(path));
        match files.link(&staged, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                files.remove_file(&staged)?;
                files.link(&staged, target)?;
            }
            made => made?,
        }
        files.rename(&staged, path)?;
        self.unsettle(parent(path));
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The effect that failed.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove_file(path)?;
        self.unsettle(parent(path));
        Ok(())
    }

    /// Makes a folder and those above it that are missing, all with its mode, as kubeadm's `MkdirAll` does.
    ///
    /// # Errors
    /// The first effect that failed.
    pub fn create_directories(&self, path: &str, mode: Mode) -> io::Result<()> {
        let (files, above) = (&self.files, parent(path));
        if above != "/" && files.look_through(above)? == Look::Absent {
            self.create_directories(above, mode)?;
        }
        match files.create_directory(path) {
            // Another step, which runs beside this one, was first.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && matches!(files.look_through(path)?, Look::Directory(_)) => {}
            result => result?,
        }
        files.set_mode(path, mode)?;
        self.unsettle(above);
        Ok(())
    }

    /// Waits until every name that was written is on the disk.
    ///
    /// # Errors
    /// The folder that could not be synced. It is tried again the next time.
    pub fn settle(&self) -> Result<(), (String, io::Error)> {
        while let Some(folder) = self.take_unsettled() {
            if let Err(error) = self.files.sync_directory(&folder) {
                self.unsettle(&folder);
                return Err((folder, error));
            }
        }
        Ok(())
    }

    fn take_unsettled(&self) -> Option<String> {
        self.lock().pop_first()
    }

    fn unsettle(&self, folder: &str) {
        self.lock().insert(folder.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        // NONBLOCK: a pipe put in a file's place must not stop the reconciler.
        let Some(found) = absent(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Bits::empty()))? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(1 << 20) + 1);
        File::from(found).take(READ_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > READ_MAX {
            return Err(io::Error::other(format!("it is larger than {} MiB", READ_MAX >> 20)));
        }
        Ok(Some((bytes, mode_of(&stat))))
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
        let stat = rustix::fs::fstat(handle)?;
        if mode_of(&stat).owner != mode.owner {
            rustix::fs::fchown(handle, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::fchmod(handle, Bits::from_raw_mode(mode.mode))?)
    }

    fn sync(&self, handle: &File) -> io::Result<()> {
        handle.sync_all()
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
        let found = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Bits::empty())?;
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
