//! Folders that the kernel tells changes of: inotify.
//!
//! Only changes are asked for: what is read, by planekeeper or by others, wakes nobody.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::Wake;
use super::inbox::Inbox;
use super::paths::Wanted;

/// Room for some hundred events; the kernel keeps those that do not fit.
const BUFFER_BYTES: usize = 16 << 10;

/// So many files are known to be open for writing, at most.
const OPEN_MAX: usize = 64;

/// The folders that are watched.
#[derive(Debug)]
pub struct Folders {
    inotify: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The paths of a folder, by the number that the kernel knows it by. Two paths may lead to one folder.
    numbers: BTreeMap<i32, Vec<PathBuf>>,
    wanted: Wanted,
    /// Files that were written to and not closed since.
    open: Vec<PathBuf>,
}

/// What may happen to a name in a folder, and to the folder.
fn changes() -> WatchFlags {
    WatchFlags::ATTRIB
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MODIFY
        | WatchFlags::MOVE
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

impl Folders {
    /// No folder yet. What changes wakes the inbox, from a thread of its own that lives as long as the process.
    ///
    /// # Errors
    /// The system gives no inotify instance (`fs.inotify.max_user_instances`) or no thread.
    pub fn new(inbox: Arc<Inbox>) -> io::Result<Arc<Self>> {
        let folders = Arc::new(Self { inotify: inotify::init(CreateFlags::CLOEXEC)?, state: Mutex::default() });
        let reader = Arc::clone(&folders);
        std::thread::Builder::new().name("folders".to_owned()).spawn(move || reader.listen(&inbox))?;
        Ok(folders)
    }

    /// Watches what is wanted from now on, and nothing else. True where a folder is watched that was not before: what happened in it
    /// until now was not seen. A folder that is there but cannot be watched is named.
    ///
    /// # Errors
    /// A folder cannot be watched; its changes are then found by the full passes only.
    pub fn arm(&self, wanted: Wanted) -> Result<bool, (PathBuf, io::Error)> {
        let mut state = self.lock();
        let (mut numbers, mut failed) = (BTreeMap::<i32, Vec<PathBuf>>::new(), None);
        for folder in wanted.watched() {
            // The kernel knows a folder that it watches already, so that this is no other watch.
            match inotify::add_watch(&self.inotify, folder, changes()) {
                Ok(number) => numbers.entry(number).or_default().push(folder.to_owned()),
                // It is not there: one above it tells when it is.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(error) => failed = Some((folder.to_owned(), error.into())),
            }
        }
        let new = numbers.iter().any(|(number, folders)| state.numbers.get(number) != Some(folders));
        for number in state.numbers.keys().filter(|number| !numbers.contains_key(number)) {
            // It fails where the folder is gone, and its watch with it.
            let _ = inotify::remove_watch(&self.inotify, *number);
        }
        state.numbers = numbers;
        state.wanted = wanted;
        failed.map_or(Ok(new), Err)
    }

    /// Somebody has written to a file that wakes for this reason, and not closed it.
    pub fn is_open(&self, wake: &Wake) -> bool {
        let state = self.lock();
        state.open.iter().any(|path| state.wakes(path).any(|other| other == wake))
    }

    /// Reads what the kernel tells, for ever.
    fn listen(&self, inbox: &Inbox) {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    for wake in self.lock().event(event.wd(), event.events(), name) {
                        inbox.wake(wake);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                // Nothing that a reader of a descriptor of its own can mend; the full passes go on.
                Err(_) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What an event wakes.
    fn event(&mut self, number: i32, what: ReadFlags, name: Option<&OsStr>) -> Vec<Wake> {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return vec![Wake::Configuration, Wake::Missed];
        }
        let Some(folders) = self.numbers.get(&number).cloned() else { return Vec::new() };
        if what.contains(ReadFlags::IGNORED) {
            self.numbers.remove(&number);
        }
        let mut woken = Vec::new();
        for folder in folders {
            let Some(name) = name else {
                // The folder itself is gone, moved or unmounted, and is to be watched where it is then. Its mode is told by the
                // folder above.
                let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
                if what.intersects(gone) {
                    let below = self.wanted.names.range(folder.clone()..);
                    let below = below.take_while(|(path, _)| path.starts_with(&folder)).map(|(_, wakes)| wakes);
                    woken.extend(below.flatten().cloned());
                }
                continue;
            };
            let path = folder.join(name);
            self.note(&path, what);
            woken.extend(self.wakes(&path).cloned());
        }
        woken
    }

    /// Remembers who is being written to.
    fn note(&mut self, path: &PathBuf, what: ReadFlags) {
        if self.wakes(path).next().is_none() {
            return;
        }
        if what.contains(ReadFlags::ATTRIB) {
            return;
        }
        self.open.retain(|open| open != path);
        if what.contains(ReadFlags::MODIFY) && self.open.len() < OPEN_MAX {
            self.open.push(path.clone());
        }
    }

    fn wakes<'a>(&'a self, path: &'a PathBuf) -> impl Iterator<Item = &'a Wake> {
        let named = self.wanted.names.get(path).into_iter().flatten();
        named.chain(path.parent().and_then(|folder| self.wanted.folders.get(folder)))
    }
}
