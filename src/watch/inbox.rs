//! Where wakes arrive, from whatever thread, and where the loop sleeps.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Wake;
use super::debounce::Debounce;

/// So many different wakes are kept of a burst. A pass looks at everything anyhow: more reasons would only be a longer list.
const WAKES_MAX: usize = 256;

/// Wakes that nobody has acted upon.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wakes: BTreeSet<Wake>,
    burst: Debounce,
    /// The loop has something to do then, whatever happens.
    alarm: Option<Instant>,
    stop: bool,
}

/// Why the loop goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch {
    /// Something happened, or it is time: then there are no wakes.
    Wakes(BTreeSet<Wake>),
    /// The process is to end.
    Stop,
}

impl Inbox {
    /// Something happened.
    pub fn wake(&self, wake: Wake) {
        let mut state = self.lock();
        state.burst.wake(Instant::now());
        if state.wakes.len() < WAKES_MAX {
            state.wakes.insert(wake);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The process is to end. True where it was told so before.
    pub fn stop(&self) -> bool {
        let before = std::mem::replace(&mut self.lock().stop, true);
        self.changed.notify_all();
        before
    }

    /// The process is to end.
    pub fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// Sets when the loop has something to do of itself.
    pub fn set_alarm(&self, alarm: Option<Instant>) {
        self.lock().alarm = alarm;
    }

    /// Something is to be done now: what only waits makes way.
    pub fn is_due(&self) -> bool {
        let state = self.lock();
        state.stop || state.next().is_some_and(|due| due <= Instant::now())
    }

    /// Sleeps until something happened, or the alarm.
    pub fn wait(&self) -> Batch {
        let mut state = self.lock();
        loop {
            if state.stop {
                return Batch::Stop;
            }
            let now = Instant::now();
            state = match state.next() {
                Some(due) if due <= now => return Batch::Wakes(state.take(now)),
                Some(due) => self.changed.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        [self.burst.due(), self.alarm].into_iter().flatten().min()
    }

    fn take(&mut self, now: Instant) -> BTreeSet<Wake> {
        if self.alarm.is_some_and(|alarm| alarm <= now) {
            self.alarm = None;
        }
        self.burst.clear();
        std::mem::take(&mut self.wakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_of_a_burst_come_together_and_each_once() {
        let inbox = Inbox::default();
        inbox.wake(Wake::Configuration);
        inbox.wake(Wake::Timer);
        inbox.wake(Wake::Configuration);
        assert_eq!(inbox.wait(), Batch::Wakes([Wake::Configuration, Wake::Timer].into()));
    }

    #[test]
    fn an_alarm_ends_a_sleep_in_which_nothing_happened() {
        let inbox = Inbox::default();
        inbox.set_alarm(Some(Instant::now()));
        assert!(inbox.is_due());
        assert_eq!(inbox.wait(), Batch::Wakes(BTreeSet::new()));
        assert!(!inbox.is_due(), "an alarm rings once");
    }

    #[test]
    fn being_told_to_end_goes_before_everything_else() {
        let inbox = Inbox::default();
        inbox.wake(Wake::Timer);
        assert!(!inbox.stop());
        assert!(inbox.is_due());
        assert_eq!(inbox.wait(), Batch::Stop);
        assert!(inbox.stop(), "the second time");
    }

    #[test]
    fn however_much_happens_the_list_of_reasons_stays_short() {
        let inbox = Inbox::default();
        for number in 0..WAKES_MAX * 2 {
            inbox.wake(Wake::File(format!("/{number}")));
        }
        let Batch::Wakes(wakes) = inbox.wait() else { panic!("it was not stopped") };
        assert_eq!(wakes.len(), WAKES_MAX);
    }
}
