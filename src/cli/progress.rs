//! What a run tells while it goes on: on a terminal one line that is redrawn, elsewhere a line a step.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::text;
use crate::engine::Event;

/// Progress on standard error.
pub struct Progress {
    terminal: bool,
    planned: AtomicUsize,
    ended: AtomicUsize,
}

impl Progress {
    /// Nothing told yet.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), planned: AtomicUsize::new(0), ended: AtomicUsize::new(0) }
    }

    /// Tells of an event. What cannot be told is not worth stopping for.
    pub fn tell(&self, event: &Event<'_>) {
        let line = match event {
            Event::Planned(steps) => {
                self.planned.store(*steps, Ordering::Relaxed);
                self.ended.store(0, Ordering::Relaxed);
                return;
            }
            Event::Started(step) if self.terminal => {
                let (ended, planned) = (self.ended.load(Ordering::Relaxed), self.planned.load(Ordering::Relaxed));
                format!("\r\x1b[K{ended}/{planned} {}", step.id)
            }
            Event::Started(_) => return,
            Event::Ended(step, error) => {
                self.ended.fetch_add(1, Ordering::Relaxed);
                let clear = if self.terminal { "\r\x1b[K" } else { "" };
                match error {
                    Some(error) => format!("{clear}failed {}: {}\n", step.id, error.chain()),
                    None if self.terminal => return,
                    None => format!("{} {}\n", text::done(step.action), step.id),
                }
            }
        };
        // One write a line: lines of steps that run side by side do not mix.
        let _ = stderr().write_all(line.as_bytes());
    }

    /// Takes the redrawn line away.
    pub fn clear(&self) {
        if self.terminal {
            let _ = stderr().write_all(b"\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
