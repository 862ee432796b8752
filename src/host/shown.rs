//! How a process is seen: it keeps the status, writes it down where something but ages changed, and serves it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::facts::Owner;
use crate::host::ApplyError;
use crate::host::files::{FileSystem, Writer};
use crate::host::serve::{Board, Server, serve};
use crate::observed::Mode;
use crate::status::update::{self, Inputs};
use crate::status::{self, Moment, Program, Status};

/// What is shown of one host.
pub struct Shown<F> {
    writer: Writer<F>,
    owner: Owner,
    program: Mutex<Program>,
    /// The status as it was last written, without its ages; `None` where there is none.
    written: Mutex<Option<Status>>,
    board: Arc<Board>,
    server: Mutex<Option<Server>>,
}

impl<F: FileSystem> Shown<F> {
    /// What is shown of the host of a file system. It begins with the status that was last written there, whose counts and times go on.
    /// One that cannot be read is as none: that keeps nobody from keeping the host, and to write another tells why.
    pub fn open(files: F, owner: Owner, program: Program, now: fn() -> i64) -> Self {
        let read = files.read(status::PATH).ok().flatten();
        let before = read.and_then(|(bytes, _)| Status::read(&String::from_utf8(bytes).ok()?));
        let written = before.as_ref().map(Status::without_ages);
        let mut status = before.unwrap_or_default();
        status.program = program.clone();
        // What another process was about to do is no longer so.
        status.next_wake = None;
        Self {
            writer: Writer::new(files),
            owner,
            program: Mutex::new(program),
            written: Mutex::new(written),
            board: Arc::new(Board::new(status, now)),
            server: Mutex::default(),
        }
    }

    /// Serves the status at an address from now on, or nowhere; where it does so already, it goes on.
    ///
    /// # Errors
    /// Nobody can listen there: then it is served nowhere, and the next call tries again.
    pub fn listen(&self, address: Option<SocketAddr>, runtime: &Handle) -> io::Result<()> {
        let mut running = lock(&self.server);
        if running.as_ref().map(|server| server.address) == address {
            return Ok(());
        }
        *running = None;
        let served = address.map(|address| serve(address, Arc::clone(&self.board), runtime)).transpose();
        if let Ok(served) = &served {
            lock(&self.program).address = served.as_ref().map(|server| server.address.to_string());
        } else {
            lock(&self.program).address = None;
        }
        *running = served?;
        Ok(())
    }

    /// The process, for [`Inputs`].
    #[must_use]
    pub fn program(&self) -> Program {
        lock(&self.program).clone()
    }

    /// The status that is shown.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.board.status()
    }

    /// A pass begins.
    pub fn begin(&self) {
        self.board.begin();
    }

    /// Shows what follows from a pass, or from anything else that changed.
    ///
    /// # Errors
    /// It could not be written down. It is shown all the same, and the next call tries again.
    pub fn show(&self, inputs: &Inputs<'_>) -> Result<(), ApplyError> {
        let before = self.board.status();
        // Before the first look of all there is no status that conditions could have changed from.
        let first = before.conditions.is_empty() && before.looked_at.is_none();
        let next = update::next((!first).then_some(&before), inputs);
        let timeless = next.without_ages();
        self.board.set(next);
        let mut written = lock(&self.written);
        if written.as_ref() != Some(&timeless) {
            let mode = Mode { mode: 0o600, owner: self.owner };
            let text = self.board.status().to_text();
            let result = self.writer.write_through(status::PATH, text.as_bytes(), mode);
            result.map_err(|error| ApplyError::new("write", status::PATH, error))?;
            *written = Some(timeless);
        }
        Ok(())
    }
}

/// The description of this process.
#[must_use]
pub fn this_process(mode: status::Mode, now: i64) -> Program {
    Program {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode,
        process: std::process::id(),
        started_at: Moment(now),
        address: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
