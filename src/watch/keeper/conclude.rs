//! What a pass came to: what is said of it, and when the next one comes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use super::{Keeper, only_events};
use crate::engine::Report;
use crate::host::machine;
use crate::plan::Action;
use crate::resource::Id;
use crate::watch::backoff::{self, Again};
use crate::watch::log::Level;
use crate::watch::pass;
use crate::watch::{LastPass, State, Wake};

impl Keeper<'_> {
    /// Says what a pass came to, and sets when the next one comes.
    pub(super) fn conclude(&mut self, last: LastPass, chance: f64) {
        let now = Instant::now();
        self.timers.retry = None;
        let mut done = 0;
        if let Ok(report) = &last.result {
            self.state.idle = None;
            done = report.done.iter().filter(|step| step.action != Action::Wait).count();
            self.count_fights(report, now);
        }
        let fought: BTreeSet<Id> = self.fights.held(now).into_iter().map(|fight| fight.id).collect();
        let again = match &last.result {
            // What it made way for may have come to nothing: then nobody else wakes.
            Ok(report) if report.interrupted => Some(backoff::LEAST),
            Ok(report) => self.backoff.after(pass::again(report, &fought), chance),
            Err(_) => self.backoff.after(Again::BackOff, chance),
        };
        self.timers.retry = again.map(|wait| now + wait).into_iter().chain(self.fights.release(now)).min();
        self.fruitless = match done {
            0 if only_events(&last.wakes) => self.fruitless.saturating_add(1),
            // Put off to now, because there were so many.
            0 if last.wakes.iter().all(|wake| *wake == Wake::Retry) => self.fruitless,
            _ => 0,
        };
        self.say(&last, done);
        self.state.fights = self.fights.held(now);
        self.state.pass = Some(last);
        self.rearm();
    }

    fn count_fights(&mut self, report: &Report, now: Instant) {
        // A run goes round several times: however often a fight is met in it, it is one.
        let mut fought = BTreeSet::new();
        for step in report.done.iter().filter(|step| step.action != Action::Wait) {
            if fought.contains(&step.id) {
                continue;
            }
            if let Some(fight) = self.fights.repaired(&step.id, step.by.clone(), now) {
                let fields = [("resource", json!(fight.id.0)), ("by", json!(fight.by))];
                self.log.tell(Level::Warning, "Fight", &format!("{}: {}", fight.id, fight.reason()), &fields);
                fought.insert(fight.id);
            }
        }
        self.fights.forget(now);
    }

    /// Says what is new of a pass: that it changed something, and what is not as it should be, once.
    fn say(&mut self, last: &LastPass, done: usize) {
        let complaints = match &last.result {
            Ok(report) => pass::complaints(report),
            Err(why) => BTreeMap::from([("host".to_owned(), why.clone())]),
        };
        for (what, why) in complaints.iter().filter(|(what, why)| self.told.get(*what) != Some(why)) {
            let fields = [("resource", json!(what))];
            self.log.tell(Level::Warning, "NotConverged", &format!("{what}: {why}"), &fields);
        }
        let errands = last.result.as_ref().map(pass::errands).unwrap_or_default();
        for (what, errand) in errands.iter().filter(|(what, errand)| self.reminded.get(*what) != Some(errand)) {
            let fields = [("resource", json!(what))];
            self.log.tell(Level::Warning, "RenewByHand", &format!("{what}: {errand}"), &fields);
        }
        self.reminded = errands;
        let converged = complaints.is_empty();
        if done > 0 || converged != self.told.is_empty() {
            let state = if converged { "as wanted" } else { "not as wanted" };
            let seconds = last.took.as_secs_f64();
            let message = format!("{done} changed in {seconds:.3} s, {state}");
            self.log.tell(Level::Info, "Pass", &message, &pass::log_fields(last));
        }
        self.told = complaints;
    }

    /// Shows what there is to say now.
    pub(super) fn show(&mut self) {
        let at = |instant: Instant| {
            let wait = instant.saturating_duration_since(Instant::now());
            machine::now().saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX))
        };
        let due = self.sight.due.map(|due| (due, Wake::Due));
        let mine =
            [Some((at(self.timers.full), Wake::Timer)), self.timers.retry.map(|at_| (at(at_), Wake::Retry)), due];
        self.state.next = mine.into_iter().flatten().min();
        self.service.status(&status_line(&self.state));
        (self.seams.show)(&self.state);
    }
}

/// The state in one line, for the service manager.
fn status_line(state: &State) -> String {
    let hash = state.in_force.as_ref().map_or("none", |version| version.hash.get(..12).unwrap_or_default());
    let rejected = if state.rejected.is_some() { "; the configuration at hand is rejected" } else { "" };
    let what = match (&state.paused, &state.idle, &state.pass) {
        (Some(pause), ..) => format!("paused: {}", pause.reason),
        (_, Some(why), _) => why.clone(),
        (.., Some(LastPass { result: Ok(report), .. })) if report.converged() => "converged".to_owned(),
        (.., Some(_)) => "not converged".to_owned(),
        (.., None) => "about to look".to_owned(),
    };
    format!("{what}; configuration {hash}{rejected}")
}
