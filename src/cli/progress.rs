//! What a run tells while it goes on: on a terminal one line that is redrawn, elsewhere a line a step.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Event;
use crate::plan::Action;

/// How often the line is redrawn while something is waited for.
const REDRAW: Duration = Duration::from_millis(100);

/// The most characters of the line, however wide the terminal is.
const WIDTH: usize = 110;

/// Where there is no terminal, what waits is told after so long: much comes by itself before.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is seen while something waits changes with every look; of one step it is told so often.
const AGAIN: Duration = Duration::from_secs(10);

/// The most characters of a reason. Errors are told in full at the end.
const REASON: usize = 160;

/// Progress on standard error.
pub struct Progress {
    shared: Arc<Shared>,
    terminal: bool,
    /// Writes what is not told at once; there is none before there is something to do.
    teller: OnceLock<JoinHandle<()>>,
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
    running: BTreeMap<String, Running>,
    lines: Lines,
    over: bool,
}

/// Lines that are still to be written. A cold run has one for each of its files, within milliseconds: what comes in a burst is written
/// together, rather than that everybody waits for whoever reads it.
#[derive(Default)]
struct Lines {
    text: String,
    written: Option<Instant>,
}

impl Lines {
    /// Adds a line, and writes it at once if none was written just now.
    fn add(&mut self, line: &str, now: Instant, out: &mut impl Write) {
        self.text.push_str(line);
        if self.written.is_none_or(|written| now - written >= REDRAW) {
            self.write(now, out);
        }
    }

    /// Writes what there is, in one write: lines of steps that run side by side do not mix. What cannot be told is not worth stopping for.
    fn write(&mut self, now: Instant, out: &mut impl Write) {
        if !self.text.is_empty() {
            let _ = out.write_all(self.text.as_bytes());
            self.text.clear();
            self.written = Some(now);
        }
    }
}

/// What is being done.
struct Running {
    since: Instant,
    /// What it waits for.
    waits: String,
    /// What was told of that, and when.
    told: Option<(Instant, String)>,
}

impl Running {
    fn new(since: Instant) -> Self {
        Self { since, waits: String::new(), told: None }
    }

    /// What there is to tell now of what it waits for, if anything.
    fn due(&mut self, now: Instant) -> Option<&str> {
        let news = match &self.told {
            None => !self.waits.is_empty() && now - self.since >= PATIENCE,
            Some((at, told)) => *told != self.waits && now - *at >= AGAIN,
        };
        news.then(|| self.told.insert((now, self.waits.clone())).1.as_str())
    }
}

impl Progress {
    /// Nothing told yet.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default(), terminal: can_redraw(), teller: OnceLock::new() }
    }

    /// Tells of an event.
    pub fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Looked(_) => {}
            Event::Planned(steps) => self.planned(*steps),
            Event::Started(step) => self.started(&step.id.0),
            Event::Waits(step, what) => self.waits(&step.id.0, what),
            Event::Ended(step, error) => self.ended(&step.id.0, |seconds| match error {
                Some(error) => Some(format!("failed {}: {}", step.id, one_line(&error.chain()))),
                None if step.action == Action::Wait => {
                    Some(format!("{} {} after {seconds:.1} s", step.action.done(), step.id))
                }
                None if self.terminal => None,
                None => Some(format!("{} {}", step.action.done(), step.id)),
            }),
        }
    }

    /// So many things are to be done now.
    pub fn planned(&self, count: usize) {
        let mut state = self.shared.lock();
        let lines = std::mem::take(&mut state.lines);
        *state = State { planned: count, lines, over: state.over, ..State::default() };
        drop(state);
        self.teller.get_or_init(|| {
            let (shared, terminal) = (Arc::clone(&self.shared), self.terminal);
            std::thread::spawn(move || if terminal { shared.draw() } else { shared.tell_waits() })
        });
    }

    /// One of them begins.
    pub fn started(&self, name: &str) {
        self.shared.lock().running.insert(name.to_owned(), Running::new(Instant::now()));
    }

    /// What it waits for.
    pub fn waits(&self, name: &str, what: &str) {
        if let Some(running) = self.shared.lock().running.get_mut(name) {
            running.waits = one_line(what);
        }
    }

    /// What it waits for, where that is worth being told at once.
    pub fn waits_for_long(&self, name: &str, what: &str) {
        let mut state = self.shared.lock();
        if let Some(running) = state.running.get_mut(name) {
            running.waits = one_line(what);
            if !self.terminal {
                let now = Instant::now();
                running.told = Some((now, running.waits.clone()));
                let line = wait_line(name, &running.waits);
                state.lines.add(&line, now, &mut stderr());
            }
        }
    }

    /// It has ended: the line that is told of it, if any, made of the seconds that it took.
    pub fn ended(&self, name: &str, line: impl FnOnce(f32) -> Option<String>) {
        let mut state = self.shared.lock();
        state.ended += 1;
        let since = state.running.remove(name).map(|running| running.since.elapsed()).unwrap_or_default();
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        if let Some(line) = line(since.as_secs_f32()) {
            state.lines.add(&format!("{clear}{line}\n"), Instant::now(), &mut stderr());
        }
    }

    /// Tells no more, and takes the redrawn line away.
    pub fn clear(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        state.lines.write(Instant::now(), &mut stderr());
        drop(state);
        self.shared.over.notify_all();
        if let Some(teller) = self.teller.take() {
            let _ = teller.join();
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
            state.lines.write(Instant::now(), &mut stderr());
            let line: String = state.line().chars().take(width()).collect();
            let _ = stderr().write_all(format!("\r\x1b[K{line}").as_bytes());
            state = self.over.wait_timeout(state, REDRAW).unwrap_or_else(PoisonError::into_inner).0;
        }
        let _ = stderr().write_all(b"\r\x1b[K");
    }

    /// Writes a line for each step that waits for long, until it is over.
    fn tell_waits(&self) {
        let mut state = self.lock();
        while !state.over {
            let now = Instant::now();
            let State { running, lines, .. } = &mut *state;
            for (name, running) in running {
                if let Some(waits) = running.due(now) {
                    lines.text.push_str(&wait_line(name, waits));
                }
            }
            lines.write(now, &mut stderr());
            state = self.over.wait_timeout(state, REDRAW).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// How far it is, what takes longest, and why.
    fn line(&self) -> String {
        let Some((name, Running { since, waits, .. })) = self.running.iter().min_by_key(|(_, step)| step.since) else {
            return String::new();
        };
        let others = self.running.len() - 1;
        let others = if others == 0 { String::new() } else { format!(" (+{others})") };
        let waits = if waits.is_empty() { String::new() } else { format!(": {waits}") };
        let seconds = since.elapsed().as_secs_f32();
        format!("{}/{} {seconds:.1} s {name}{others}{waits}", self.ended, self.planned)
    }
}

/// Standard error is a terminal on which a line can be taken back.
fn can_redraw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// How long the line may be to stay one; it is asked for each time, since a window may be made smaller.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH } else { columns.saturating_sub(1).min(WIDTH) }
}

fn wait_line(name: &str, waits: &str) -> String {
    format!("waiting {name}: {waits}\n")
}

/// A reason in one line of bounded length.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_many_lines_is_told_in_one() {
        assert_eq!(one_line("it exited; its last lines:\n        a\n        b\n"), "it exited; its last lines: a b");
        assert_eq!(one_line(&"ä".repeat(REASON)).chars().count(), REASON);
        assert!(one_line(&"ä".repeat(REASON + 1)).ends_with("ä…"));
    }

    #[test]
    fn lines_of_a_burst_are_written_together_and_a_line_by_itself_at_once() {
        let (start, mut lines, mut out) = (Instant::now(), Lines::default(), Vec::new());
        lines.add("a\n", start, &mut out);
        assert_eq!(out, b"a\n");
        lines.add("b\n", start, &mut out);
        lines.add("c\n", start + REDRAW / 2, &mut out);
        assert_eq!(out, b"a\n", "whoever looks after a tenth of a second writes the rest");
        lines.add("d\n", start + REDRAW, &mut out);
        assert_eq!(out, b"a\nb\nc\nd\n");
        lines.add("e\n", start + REDRAW, &mut out);
        lines.write(start + REDRAW, &mut out);
        assert!(out.ends_with(b"d\ne\n"));
    }

    #[test]
    fn in_a_pipe_what_waits_is_told_once_it_takes_long_and_again_seldom_and_only_if_it_has_changed() {
        let start = Instant::now();
        let mut step = Running::new(start);
        assert_eq!(step.due(start + PATIENCE), None, "it waits for nothing");
        step.waits = "refused".to_owned();
        assert_eq!(step.due(start), None);
        assert_eq!(step.due(start + PATIENCE), Some("refused"));
        assert_eq!(step.due(start + PATIENCE + AGAIN), None, "it is told already");
        step.waits = "not ready".to_owned();
        assert_eq!(step.due(start + PATIENCE + AGAIN / 2), None);
        assert_eq!(step.due(start + PATIENCE + AGAIN), Some("not ready"));
    }
}
