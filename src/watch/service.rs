//! What the service manager is told, by the protocol of `sd_notify`. Without one nothing is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// A pass that has taken so long hangs: image pulls and the waits for what starts have shorter bounds of their own.
const PASS_MAX: Duration = Duration::from_secs(45 * 60);

/// The service manager, if this process is one of its services.
#[derive(Clone, Debug)]
pub struct Service {
    began: Instant,
    /// When the loop last went round, in milliseconds since it began; the lowest bit is whether it is in a pass.
    beat: Arc<AtomicU64>,
    /// The manager has been told that the loop is up.
    up: Arc<AtomicBool>,
}

impl Service {
    /// Begins to tell the manager's watchdog, where there is one, that the loop goes round.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new() -> std::io::Result<Self> {
        let service = Self { began: Instant::now(), beat: Arc::default(), up: Arc::default() };
        if let Some(every) = sd_notify::watchdog_enabled() {
            let watched = service.clone();
            std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watched.feed(every))?;
        }
        Ok(service)
    }

    /// The loop goes round: it is about to sleep, or to begin a pass.
    pub fn beat(&self, in_pass: bool) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 1);
        self.beat.store(now << 1 | u64::from(in_pass), Ordering::Relaxed);
    }

    /// The loop is up: it has looked at the host once. What is to be done there may take as long as it takes.
    pub fn looked(&self) {
        if !self.up.swap(true, Ordering::Relaxed) {
            Self::tell(&[NotifyState::Ready]);
        }
    }

    /// What was asked for by [`Service::reloading`] is done.
    pub fn reloaded(&self) {
        Self::tell(&[NotifyState::Ready]);
    }

    /// What the service does, in one line.
    pub fn status(&self, line: &str) {
        Self::tell(&[NotifyState::Status(line)]);
    }

    /// The configuration is being looked at again, as was asked.
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            Self::tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        Self::tell(&[NotifyState::Stopping]);
    }

    /// A manager that cannot be told finds out by its watchdog.
    fn tell(states: &[NotifyState<'_>]) {
        let _ = sd_notify::notify(states);
    }

    /// Tells the watchdog, twice as often as it wants to be told, while the loop is where it should be.
    fn feed(&self, every: Duration) {
        loop {
            let beat = self.beat.load(Ordering::Relaxed);
            let age = self.began.elapsed().saturating_sub(Duration::from_millis(beat >> 1));
            // A loop that sleeps is not stuck: it is woken by what it waits for.
            if beat & 1 == 0 || age < PASS_MAX {
                Self::tell(&[NotifyState::Watchdog]);
            }
            std::thread::sleep(every / 2);
        }
    }
}
