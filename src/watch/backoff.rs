//! How long to wait before what failed is tried again, and how far apart the full passes are.

use std::time::Duration;

/// The wait after the first failure; it doubles from one to the next, up to [`MOST`].
pub const LEAST: Duration = Duration::from_secs(1);
/// The longest wait.
pub const MOST: Duration = Duration::from_secs(300);
/// The same for what is expected to pass at once: a server that starts, a connection that broke.
const SOON: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// How far apart the full passes are that find what no event tells.
pub const FULL_PASS: Duration = Duration::from_secs(120);

/// The one question that is asked of what went wrong: when is it worth another attempt?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// At any moment.
    Soon,
    /// After some time, and each time later.
    BackOff,
    /// When something is changed: a full pass looks all the same.
    OnChange,
    /// Nothing went wrong, or trying again is of no use.
    Never,
}

/// Failures one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// After a pass: how long to wait for the next attempt, if there is to be one. `chance` is between 0 and 1.
    pub fn after(&mut self, again: Again, chance: f64) -> Option<Duration> {
        let [least, most] = match again {
            Again::Soon => SOON,
            Again::BackOff => [LEAST, MOST],
            Again::OnChange | Again::Never => {
                self.failures = 0;
                return None;
            }
        };
        let doubled = least.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(most);
        self.failures = self.failures.saturating_add(1).min(16);
        Some(jittered(doubled, chance))
    }

    /// Something changed: the next attempt is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A time, a fifth shorter or longer by chance, which is between 0 and 1: hosts that began together do not stay together.
#[must_use]
pub fn jittered(time: Duration, chance: f64) -> Duration {
    time.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_ever_more_seldom_but_at_least_every_five_minutes() {
        let mut backoff = BackOff::default();
        let waits: Vec<u64> = (0..12).filter_map(|_| Some(backoff.after(Again::BackOff, 0.5)?.as_secs())).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.after(Again::BackOff, 0.5), Some(LEAST));
    }

    #[test]
    fn success_forgets_and_what_waits_for_a_person_is_not_tried_by_itself() {
        let mut backoff = BackOff::default();
        let _ = (backoff.after(Again::BackOff, 0.5), backoff.after(Again::BackOff, 0.5));
        assert_eq!(backoff.after(Again::OnChange, 0.5), None);
        assert_eq!(backoff.after(Again::Never, 0.5), None);
        assert_eq!(backoff.after(Again::BackOff, 0.5), Some(LEAST));
    }

    #[test]
    fn chance_moves_a_wait_by_a_fifth_and_no_further() {
        assert_eq!(jittered(FULL_PASS, 0.0), FULL_PASS * 4 / 5);
        assert_eq!(jittered(FULL_PASS, 1.0), FULL_PASS * 6 / 5);
    }
}
