//! What a run tells while it goes on: on a terminal one line that is redrawn, elsewhere a line a step.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli::text;
use crate::engine::Event;
use crate::plan::Action;
use crate::resource::Id;

/// How often the line is redrawn while something is waited for.
const REDRAW: Duration = Duration::from_millis(100);

/// The most characters of the line, so that it stays one.
const WIDTH: usize = 110;

/// Progress on standard error.
pub struct Progress {
    shared: Arc<Shared>,
    terminal: bool,
    drawing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Default)]
struct State {
    planned: usize,
    ended: usize,
    /// What is being done: since when, and what it waits for.
    running: BTreeMap<Id, (Instant, String)>,
    over: bool,
}

impl Progress {
    /// Nothing told yet.
    #[must_use]
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let terminal = stderr().is_terminal();
        let drawing = terminal.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.draw())
        });
        Self { shared, terminal, drawing }
    }

    /// Tells of an event. What cannot be told is not worth stopping for.
    pub fn tell(&self, event: &Event<'_>) {
        let mut state = self.shared.lock();
        let line = match event {
            Event::Planned(steps) => {
                *state = State { planned: *steps, over: state.over, ..State::default() };
                return;
            }
            Event::Started(step) => {
                state.running.insert(step.id.clone(), (Instant::now(), String::new()));
                return;
            }
            Event::Waits(step, what) => {
                if let Some((_, waits)) = state.running.get_mut(&step.id) {
                    (*what).clone_into(waits);
                }
                if self.terminal {
                    return;
                }
                format!("waiting {}: {what}\n", step.id)
            }
            Event::Ended(step, error) => {
                state.ended += 1;
                let since = state.running.remove(&step.id).map(|(since, _)| since.elapsed()).unwrap_or_default();
                let clear = if self.terminal { "\r\x1b[K" } else { "" };
                match error {
                    Some(error) => format!("{clear}failed {}: {}\n", step.id, error.chain()),
                    None if step.action == Action::Wait => {
                        format!("{clear}{} {} after {:.1} s\n", text::done(step.action), step.id, since.as_secs_f32())
                    }
                    None if self.terminal => return,
                    None => format!("{} {}\n", text::done(step.action), step.id),
                }
            }
        };
        // One write a line: lines of steps that run side by side do not mix.
        let _ = stderr().write_all(line.as_bytes());
    }

    /// Takes the redrawn line away, for good.
    pub fn clear(&mut self) {
        self.shared.lock().over = true;
        self.shared.over.notify_all();
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redraws the line until it is over.
    fn draw(&self) {
        let mut state = self.lock();
        while !state.over {
            let line: String = state.line().chars().take(WIDTH).collect();
            let _ = stderr().write_all(format!("\r\x1b[K{line}").as_bytes());
            state = self.over.wait_timeout(state, REDRAW).unwrap_or_else(PoisonError::into_inner).0;
        }
        let _ = stderr().write_all(b"\r\x1b[K");
    }
}

impl State {
    /// How far it is, what takes longest, and why.
    fn line(&self) -> String {
        let Some((id, (since, waits))) = self.running.iter().min_by_key(|(_, (since, _))| *since) else {
            return String::new();
        };
        let others = self.running.len() - 1;
        let others = if others == 0 { String::new() } else { format!(" (+{others})") };
        let waits = if waits.is_empty() { String::new() } else { format!(": {waits}") };
        let seconds = since.elapsed().as_secs_f32();
        format!("{}/{} {seconds:.1} s {id}{others}{waits}", self.ended, self.planned)
    }
}
