//! The thread that drives connections.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime, in which one thread waits for all connections. Who asks something waits on a thread of its own, so more of these would do
/// nothing but take memory.
#[derive(Debug)]
pub struct Connections {
    handle: Handle,
    /// When it goes the thread ends, and with it all connections.
    _ends: oneshot::Sender<()>,
}

impl Connections {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name("connections".to_owned()).spawn(move || {
            let _: Result<(), _> = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _ends: ends })
    }

    /// The runtime, for who asks from another thread.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}
