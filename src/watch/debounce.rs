//! Many wakes at once are one: a burst ends when it has been quiet for a moment, or has lasted long enough.

use std::time::{Duration, Instant};

/// So long nothing may happen for a burst to be over. What people and programs do to one file takes a few milliseconds.
pub const QUIET: Duration = Duration::from_millis(5);

/// After so long a burst is acted upon, whatever goes on.
pub const MOST: Duration = Duration::from_millis(100);

/// A burst of wakes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debounce {
    /// The first and the last wake of the burst.
    burst: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Something happened.
    pub fn wake(&mut self, now: Instant) {
        let (first, _) = self.burst.unwrap_or((now, now));
        self.burst = Some((first, now));
    }

    /// When to act; `None` where nothing happened.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.burst.map(|(first, last)| (last + QUIET).min(first + MOST))
    }

    /// The burst is being acted upon.
    pub fn clear(&mut self) {
        self.burst = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_acted_upon_once_when_it_is_quiet() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.wake(start);
        debounce.wake(start + QUIET / 2);
        assert_eq!(debounce.due(), Some(start + QUIET / 2 + QUIET));
        debounce.clear();
        assert_eq!(debounce.due(), None);
    }

    #[test]
    fn a_writer_that_never_ends_puts_off_a_repair_only_so_long() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        for step in 0..100 {
            debounce.wake(start + QUIET / 2 * step);
        }
        assert_eq!(debounce.due(), Some(start + MOST));
    }
}
