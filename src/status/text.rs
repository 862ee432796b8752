//! A status for people at a terminal, and for `/statusz`.

use std::fmt::Write;

use super::moment::length;
use super::verdict::{View, ago};
use super::{Health, Moment, Status};

/// The most lines of one kind.
const LINES_MAX: usize = 12;

/// The first line, which has the verdict, and those below it.
#[must_use]
pub fn text(view: &View<'_>) -> String {
    let (status, now) = (view.status, view.now);
    let (word, sentence) = view.verdict();
    let mut out = format!("{}  {sentence}\n", word.name());
    let mut line = |title: &str, text: String| {
        let _ = writeln!(out, "  {title:<14}{text}");
    };
    line("configuration", configuration(status, now));
    if !status.components.is_empty() {
        line("components", components(status));
    }
    line("certificates", certificates(status, now));
    line("drift", drift(status, now));
    line("resources", resources(status));
    if let Some(reachable) = status.api_reachable {
        let seen = status.looked_at.map(|at| format!(", seen {}", ago(now, at))).unwrap_or_default();
        line("API server", format!("{}{seen}", if reachable { "answers" } else { "does not answer" }));
    }
    line("last pass", last_pass(view));
    line("planekeeper", program(status, now));
    details(&mut out, view);
    out
}

fn configuration(status: &Status, now: Moment) -> String {
    let Some(configuration) = &status.configuration else { return "none yet".to_owned() };
    let revision = configuration.revision.as_ref().map(|revision| format!(" at {}", short(revision)));
    format!(
        "{}{}, {}, in force for {}",
        configuration.source,
        revision.unwrap_or_default(),
        short(&configuration.hash),
        length(now.since(configuration.since))
    )
}

/// The first characters of a hash, which tell it from others.
#[must_use]
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn components(status: &Status) -> String {
    let said = status.components.iter().map(|component| {
        let health = match component.health {
            Health::Healthy => "ok",
            Health::Unhealthy => "UNHEALTHY",
            Health::Unknown => "unknown",
        };
        format!("{} {health}", component.name)
    });
    said.collect::<Vec<_>>().join(", ")
}

fn certificates(status: &Status, now: Moment) -> String {
    if status.certificates.is_empty() {
        return "none seen yet".to_owned();
    }
    let valid = status.certificates.iter().filter(|one| one.expires.is_some_and(|expires| now < expires)).count();
    let mut said = format!("{valid} of {} valid", status.certificates.len());
    let renewed = status.certificates.iter().filter_map(|one| Some((one.renews?, &one.name))).min();
    if let Some((renews, name)) = renewed {
        let _ = if renews > now {
            write!(said, "; next renewal {name} in {} ({})", length(renews.since(now)), day(renews))
        } else {
            write!(said, "; {name} is due to be renewed")
        };
    }
    let by_hand: Vec<&str> =
        status.certificates.iter().filter(|one| one.by_hand()).map(|one| one.name.as_str()).collect();
    if !by_hand.is_empty() {
        let _ = write!(said, "; TO BE RENEWED BY HAND: {}", by_hand.join(", "));
    }
    let end = |is_ca: bool| {
        let of_kind = status.certificates.iter().filter(move |one| one.authority.is_none() == is_ca);
        of_kind.filter_map(|one| Some((one.expires?, &one.name))).min()
    };
    for (what, end) in [("first end", end(false)), ("first CA to end", end(true))] {
        if let Some((expires, name)) = end {
            let left = if expires > now { format!("in {}", length(expires.since(now))) } else { ago(now, expires) };
            let _ = write!(said, "; {what} {name} {left}");
        }
    }
    said
}

/// The day of a moment: `2027-11-22`.
#[must_use]
pub fn day(moment: Moment) -> String {
    moment.to_string().chars().take_while(|char| *char != 'T').collect()
}

fn drift(status: &Status, now: Moment) -> String {
    let drift = &status.drift;
    let here = if drift.now == 0 { "none now".to_owned() } else { format!("{} now", drift.now) };
    match (&drift.last_repaired, drift.last_repaired_at) {
        (Some(what), Some(at)) => {
            format!("{here}; {} repaired, the last {what} {}", drift.repaired, ago(now, at))
        }
        _ => format!("{here}; none repaired"),
    }
}

fn resources(status: &Status) -> String {
    if status.resources.is_empty() {
        return "none seen yet".to_owned();
    }
    let mut counts: Vec<(super::State, usize)> = Vec::new();
    for resource in &status.resources {
        match counts.iter_mut().find(|(state, _)| *state == resource.state) {
            Some((_, count)) => *count += 1,
            None => counts.push((resource.state, 1)),
        }
    }
    counts.sort_unstable();
    counts.into_iter().map(|(state, count)| format!("{count} {}", state.word())).collect::<Vec<_>>().join(", ")
}

/// The last pass and the next.
#[must_use]
pub fn last_pass(view: &View<'_>) -> String {
    let (status, now) = (view.status, view.now);
    let mut said = match &status.last_pass {
        None => "none yet".to_owned(),
        Some(pass) => {
            let failed = if pass.failed > 0 { format!(", {} failed", pass.failed) } else { String::new() };
            let (changed, took) = (pass.changed, seconds(pass.milliseconds));
            format!("{}, {took}, {changed} changed{failed}, woken by {}", ago(now, pass.at), pass.trigger)
        }
    };
    if let super::verdict::Presence::Watching(working) = view.presence {
        if let Some(since) = working {
            let _ = write!(said, "; one runs since {}", length(now.since(since)));
        } else if let Some(wake) = &status.next_wake {
            let _ = write!(said, "; next in {}: {}", length(wake.at.since(now)), wake.reason);
        }
    }
    said
}

/// `0.19s`, `21.4s`.
#[must_use]
pub fn seconds(milliseconds: u64) -> String {
    if milliseconds < 10_000 {
        format!("{}.{:02}s", milliseconds / 1000, milliseconds % 1000 / 10)
    } else {
        format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100)
    }
}

fn program(status: &Status, now: Moment) -> String {
    let program = &status.program;
    match program.mode {
        super::Mode::Watch => {
            format!("{}, watch, process {}, started {}", program.version, program.process, ago(now, program.started_at))
        }
        super::Mode::Reconcile => format!("{}, reconcile, {}", program.version, ago(now, program.started_at)),
    }
}

/// What is not as it should be, and the last actions.
fn details(out: &mut String, view: &View<'_>) {
    let (status, now) = (view.status, view.now);
    let mut section = |title: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{title}");
        for line in lines.iter().take(LINES_MAX) {
            let _ = writeln!(out, "  {line}");
        }
        if lines.len() > LINES_MAX {
            let _ = writeln!(out, "  ({} more)", lines.len() - LINES_MAX);
        }
    };
    let rejected = status.rejected.iter().flat_map(|rejected| &rejected.problems);
    section("rejected configuration", rejected.map(problem).collect());
    let refused = status.refused_changes.iter();
    let refused = refused.map(|one| {
        let place = if one.place.is_empty() { String::new() } else { format!("{}: ", one.place) };
        format!("{place}{}: {} -> {}: {}", one.field, one.before, one.after, one.reason)
    });
    section("refused changes of the configuration", refused.collect());
    let sick = status.components.iter().filter(|component| component.health != Health::Healthy);
    let sick = sick.map(|one| format!("{}: {}, for {}", one.name, one.message, length(now.since(one.since))));
    section("components", sick.collect());
    let fights = status.fights.iter().map(|fight| {
        let until = fight.until.filter(|until| *until > now);
        let until = until.map(|until| format!(", left alone for {}", length(until.since(now)))).unwrap_or_default();
        format!("{}: by {}, since {}{until}", fight.resource, fight.other(), fight.since)
    });
    section("changed back again and again", fights.collect());
    let left = status.out_of_sync().into_iter().map(|resource| {
        let message = if resource.message.is_empty() { String::new() } else { format!(": {}", resource.message) };
        format!("{:<8} {}{message}", resource.state.word(), resource.id)
    });
    section("resources", left.collect());
    section("last actions", status.actions.iter().map(|action| action_line(action, now)).collect());
}

/// A problem in one line.
#[must_use]
pub fn problem(problem: &super::Problem) -> String {
    let parts = [problem.place.as_str(), &problem.field, &problem.message];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

fn action_line(action: &super::Action, now: Moment) -> String {
    let mut said = format!("{:>7}  {:<8} {}", ago(now, action.at), action.what, action.resource);
    if action.more > 0 {
        let _ = write!(said, " and {} more", action.more);
    }
    for text in [&action.cause, &action.detail] {
        if !text.is_empty() {
            let _ = write!(said, "  {text}");
        }
    }
    said
}
