//! Writes that are atomic and durable, out of the effects of a [`FileSystem`].

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::{FileSystem, Look, name, parent};
use crate::observed::Mode;

/// The name under which a file is written before it takes its place: hidden from the kubelet by its dot, and always the same,
/// so that what a killed run left is overwritten by the next.
#[must_use]
pub fn temporary(path: &str) -> String {
    let folder = parent(path).trim_end_matches('/');
    format!("{folder}/.{}.planekeeper", name(path))
}

/// A file that is to be written.
#[derive(Clone, Copy)]
pub struct NewFile<'a> {
    /// Its path.
    pub path: &'a str,
    /// All of its content.
    pub bytes: &'a [u8],
    /// Its mode and owner.
    pub mode: Mode,
}

/// Writes to a file system, so that nobody ever sees half of a file and a power cut leaves the old one or the new one.
///
/// A file's content is on the disk before its name is. Names are on the disk once [`Writer::settle`] has synced their folders:
/// one wait for the disk a folder, not one a file.
pub struct Writer<F> {
    files: F,
    /// Folders with names that are not on the disk yet.
    unsettled: Mutex<BTreeMap<String, Turn>>,
    /// Held while folders are synced that others wait for: who finds one settled must not go on before it is.
    settling: Mutex<()>,
}

/// When the name of a file has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Once [`Writer::settle`] has returned.
    Last,
    /// Others are made from it or checked with it: before anything that is written later takes its place. Nobody waits for that but what
    /// is written later, which is made meanwhile.
    First,
}

/// What came of waiting for folders.
type Settled = Result<(), (String, io::Error)>;

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
        self.write_together(&[NewFile { path, bytes, mode }], Turn::Last).map_err(|(_, error)| error)
    }

    /// Writes files that belong together: the content of all is on the disk before the first takes its place, and they take their
    /// places in their order. One wait for the disk, however many they are.
    ///
    /// # Errors
    /// The first effect that failed, with the path of its file; that file and those after it are then untouched.
    pub fn write_together<'a>(&self, new: &[NewFile<'a>], turn: Turn) -> Result<(), (&'a str, io::Error)> {
        let mut staged = Vec::with_capacity(new.len());
        let written = self.stage(new, &mut staged, turn).and_then(|()| self.put_in_place(new, &mut staged, turn));
        // A full disk must not keep the half of a file; if this fails too, the next run removes it.
        for (name, _) in staged {
            let _ = self.files.remove_file(&name);
        }
        written
    }

    /// Writes the content of all files under the names that they have until they take their places.
    fn stage<'a>(
        &self,
        new: &[NewFile<'a>],
        staged: &mut Vec<(String, F::Handle)>,
        turn: Turn,
    ) -> Result<(), (&'a str, io::Error)> {
        let files = &self.files;
        for NewFile { path, bytes, mode } in new {
            let failed = |error| (*path, error);
            let name = temporary(path);
            let handle = match files.create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    files.remove_file(&name).and_then(|()| files.create(&name))
                }
                other => other,
            };
            staged.push((name, handle.map_err(failed)?));
            if let Some((_, handle)) = staged.last_mut() {
                files.write(handle, bytes).and_then(|()| files.grant(handle, *mode)).map_err(failed)?;
            }
        }
        let handles: Vec<_> = staged.iter().map(|(_, handle)| handle).collect();
        let synced = match turn {
            Turn::First => files.sync_together(&handles, &[]).0,
            Turn::Last => self.sync_behind_first(&handles),
        };
        synced.map_err(|error| (new.first().map_or("/", |first| first.path), error))
    }

    /// Waits for the content of files and for the names that come first: for both at once, unless somebody waits for these already.
    fn sync_behind_first(&self, handles: &[&F::Handle]) -> io::Result<()> {
        let alone = match self.settling.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.files.sync_together(handles, &[]).0?;
                return self.settle_those(|_, turn| turn == Turn::First).map_err(|(_, error)| error);
            }
        };
        let first = self.take(|_, turn| turn == Turn::First);
        if first.is_empty() {
            drop(alone);
        }
        let (content, names) = self.sync(handles, &first);
        content.and(names.map_err(|(_, error)| error))
    }

    /// Puts what is staged in its place, and takes out of the list what is there.
    fn put_in_place<'a>(
        &self,
        new: &[NewFile<'a>],
        staged: &mut Vec<(String, F::Handle)>,
        turn: Turn,
    ) -> Result<(), (&'a str, io::Error)> {
        for NewFile { path, .. } in new {
            if let Some((name, _)) = staged.first() {
                self.files.rename(name, path).map_err(|error| (*path, error))?;
            }
            staged.remove(0);
            self.unsettle(parent(path), turn);
        }
        if turn == Turn::First {
            let mut unsettled = self.lock();
            for folder in new.iter().flat_map(|new| folders_above(new.path)) {
                if let Some(turn) = unsettled.get_mut(folder) {
                    *turn = Turn::First;
                }
            }
        }
        Ok(())
    }

    /// Writes a file that is on the disk, with the names of all folders above it, when this returns.
    ///
    /// # Errors
    /// The first effect that failed.
    pub fn write_through(&self, path: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
        self.write(path, bytes, mode)?;
        self.settle_above(path)
    }

    /// Waits until the names of a file and of all folders above it are on the disk.
    ///
    /// # Errors
    /// The effect that failed.
    pub fn settle_above(&self, path: &str) -> io::Result<()> {
        let above: Vec<&str> = folders_above(path).collect();
        self.settle_those(|folder, _| above.contains(&folder)).map_err(|(_, error)| error)
    }

    /// Takes a file away, has something done while there is none, and puts another in its place, which is on the disk when this
    /// returns. The other's content is there before the first goes: a full disk takes nothing away.
    ///
    /// # Errors
    /// The first effect that failed.
    pub fn swap(&self, new: NewFile<'_>, between: impl FnOnce()) -> io::Result<()> {
        let mut staged = Vec::new();
        let swapped = self.stage(&[new], &mut staged, Turn::Last).and_then(|()| {
            match self.remove(new.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((new.path, error)),
                _ => between(),
            }
            self.put_in_place(&[new], &mut staged, Turn::Last)
        });
        for (name, _) in staged {
            let _ = self.files.remove_file(&name);
        }
        swapped.map_err(|(_, error)| error)?;
        self.settle_above(new.path)
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
        self.unsettle(parent(path), Turn::Last);
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The effect that failed.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        self.files.remove_file(path)?;
        self.unsettle(parent(path), Turn::Last);
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
        self.unsettle(above, Turn::Last);
        Ok(())
    }

    /// Waits until every name that was written is on the disk.
    ///
    /// # Errors
    /// The folder that could not be synced. It is tried again the next time.
    pub fn settle(&self) -> Settled {
        self.settle_those(|_, _| true)
    }

    fn settle_those(&self, which: impl Fn(&str, Turn) -> bool) -> Settled {
        let _alone = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync(&[], &self.take(which)).1
    }

    /// Takes folders out of the unsettled ones, so that a name which another step adds meanwhile puts its folder in again.
    fn take(&self, which: impl Fn(&str, Turn) -> bool) -> Vec<(String, Turn)> {
        let mut unsettled = self.lock();
        let all = std::mem::take(&mut *unsettled).into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = all.partition(|(folder, turn)| which(folder, *turn));
        unsettled.extend(left);
        taken
    }

    /// Waits for the content of files and for folders that were taken. Those that fail go back.
    fn sync(&self, handles: &[&F::Handle], taken: &[(String, Turn)]) -> (io::Result<()>, Settled) {
        let folders: Vec<&str> = taken.iter().map(|(folder, _)| folder.as_str()).collect();
        let (content, mut failed) = self.files.sync_together(handles, &folders);
        for (folder, _) in &failed {
            let turn = taken.iter().find(|(taken, _)| taken == folder).map_or(Turn::Last, |(_, turn)| *turn);
            self.unsettle(folder, turn);
        }
        (content, if failed.is_empty() { Ok(()) } else { Err(failed.swap_remove(0)) })
    }

    fn unsettle(&self, folder: &str, turn: Turn) {
        let mut unsettled = self.lock();
        let known = unsettled.entry(folder.to_owned()).or_insert(turn);
        *known = turn.max(*known);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Turn>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All folders that a file is in.
fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| (*path != "/").then(|| parent(path))).skip(1)
}
