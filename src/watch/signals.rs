//! Signals: SIGHUP asks to look again, SIGTERM and SIGINT to end. Asked twice, the process ends at once, which is safe at any moment.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::Wake;
use super::inbox::Inbox;

/// The exit code of a process that was told twice to end: as of one that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Takes signals from now on, in a thread of its own that lives as long as the process.
///
/// # Errors
/// The system gives no thread or takes no handler.
pub fn listen(inbox: Arc<Inbox>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(entered);
    let ends = |inbox: &Arc<Inbox>| {
        if inbox.stop() {
            std::process::exit(INTERRUPTED);
        }
    };
    let (hung_up, terminated) = (Arc::clone(&inbox), Arc::clone(&inbox));
    runtime.spawn(async move {
        while hangup.recv().await.is_some() {
            hung_up.wake(Wake::Signal);
        }
    });
    runtime.spawn(async move {
        while terminate.recv().await.is_some() {
            ends(&terminated);
        }
    });
    let interrupted = async move {
        while interrupt.recv().await.is_some() {
            ends(&inbox);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(interrupted))?;
    Ok(())
}
