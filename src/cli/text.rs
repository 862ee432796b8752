//! Plans and reports for people. The last line of each is stable: others may read it.

use std::collections::BTreeSet;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::cli::join::FIRST_USE;
use crate::cli::output::color;
use crate::cli::run::{Context, Ending};
use crate::engine::Report;
use crate::plan::{Action, Change, Plan, Step};
use crate::resource::{Effect, Id};
use crate::verdict::Verdict;

/// Where the causes and effects stand.
const COLUMN: usize = 64;

/// The most lines that are shown of one value.
const LINES_MAX: usize = 12;

/// The most characters that are shown of one line of a value.
const LINE_MAX: usize = 160;

/// A plan.
#[must_use]
pub fn plan(context: &Context<'_>, plan: &Plan) -> String {
    let mut out = String::new();
    plan.changes().for_each(|step| show_step(&mut out, step));
    // Where something is done first, nothing that follows can be ready yet, and why says nothing.
    let waits: Vec<&Step> = plan.steps.iter().filter(|step| step.action == Action::Wait).collect();
    let follow = plan.changes().next().is_some();
    waits.iter().filter(|_| !follow).for_each(|step| show_step(&mut out, step));
    show_left(&mut out, plan);
    if nothing(plan) {
        return out + &unchanged(context, plan);
    }
    let _ = writeln!(out, "\nPlan: {}.", summary(plan, &plan.steps));
    if let Some(line) = restarts(&plan.steps, "Restarts") {
        let _ = writeln!(out, "{line}");
    }
    if follow && !waits.is_empty() {
        let names: Vec<&str> = waits.iter().map(|step| step.id.0.trim_start_matches("gate:")).collect();
        let _ = writeln!(out, "Then waits until these are ready: {}.", names.join(", "));
    }
    out
}

/// What a run did, and how to go on where it ends with that.
#[must_use]
pub fn report(context: &Context<'_>, report: &Report, ending: &Result<Option<Ending>, String>) -> String {
    let mut out = done_and_left(context, report);
    if let Ok(Some(Ending { commands, first })) = ending {
        let first = if *first { format!("\n{FIRST_USE}") } else { String::new() };
        let _ = write!(out, "{first}\n{}", commands.to_text());
    }
    out
}

fn done_and_left(context: &Context<'_>, report: &Report) -> String {
    let mut out = String::new();
    // What was made is told while it is made; what was changed is worth its fields.
    for step in report.done.iter().filter(|step| !matches!(step.action, Action::Create | Action::Wait)) {
        show_step(&mut out, step);
    }
    for step in &report.left.steps {
        show_line(
            &mut out,
            symbol(step.action),
            &step.id.0,
            "does not settle: what is written is not what is read back",
        );
    }
    for failed in &report.failed {
        show_line(&mut out, ("x", Some(AnsiColor::Red)), &failed.id.0, &format!("failed: {}", failed.error.chain()));
    }
    if let Some(error) = &report.unsettled {
        let _ = writeln!(out, "  {}", error.chain());
    }
    show_left(&mut out, &report.left);
    if report.converged() && report.done.is_empty() && report.left.reported.is_empty() {
        return out + &unchanged(context, &report.left);
    }
    let verb = if report.converged() { "Converged" } else { "Not converged" };
    let failed = if report.failed.is_empty() { String::new() } else { format!(", {} failed", report.failed.len()) };
    let left = Plan { steps: Vec::new(), unchanged: untouched(report), ..report.left.clone() };
    let gap = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{gap}{verb}: {}{failed}.", summary(&left, &report.done));
    // A sandbox has nothing that could be restarted; whoever takes it to a host does that.
    if let Some(line) = restarts(&report.done, if context.live { "Restarted" } else { "To restart" }) {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// How many resources were as wanted from the first: the last look sees those that were made besides.
#[must_use]
pub fn untouched(report: &Report) -> usize {
    let done: BTreeSet<&Id> = report.done.iter().map(|step| &step.id).collect();
    let left: BTreeSet<&Id> = report.left.steps.iter().map(|step| &step.id).collect();
    report.left.unchanged.saturating_sub(done.difference(&left).count())
}

fn nothing(plan: &Plan) -> bool {
    plan.steps.is_empty()
        && plan.held.is_empty()
        && plan.refused.is_empty()
        && plan.forbidden.is_empty()
        && plan.waiting.is_empty()
        && plan.reported.is_empty()
}

fn unchanged(context: &Context<'_>, plan: &Plan) -> String {
    let (node, config) = (&context.cluster.node.name, context.config.display());
    let left = if plan.left_alone == 0 { String::new() } else { format!(" but for {} left to drift", plan.left_alone) };
    let (count, version) = (plan.unchanged, context.cluster.version);
    format!("No changes. {node} matches {config}{left}: {count} resources, Kubernetes {version}.\n")
}

/// What is held, refused, waited for or only reported.
fn show_left(out: &mut String, plan: &Plan) {
    for step in &plan.reported {
        let what = if step.action == Action::Create { "not there" } else { "drift" };
        show_line(out, ("!", Some(AnsiColor::Yellow)), &step.id.0, &format!("{what}, reported only"));
        step.changes.iter().for_each(|change| show_change(out, change));
    }
    for change in &plan.forbidden {
        let place = change.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
        show_line(out, ("x", Some(AnsiColor::Red)), &change.field, &format!("REFUSED{place}"));
        let _ = writeln!(out, "      {} -> {}", or_none(&change.before), or_none(&change.after));
        let _ = writeln!(out, "      {}", change.reason);
    }
    for refused in &plan.refused {
        show_line(out, ("x", Some(AnsiColor::Red)), &refused.id.0, "REFUSED");
        let _ = writeln!(out, "      {}", refused.reason);
    }
    for held in plan.held.iter().filter(|_| plan.forbidden.is_empty()) {
        show_line(out, ("?", Some(AnsiColor::Yellow)), &held.id.0, "held");
        let _ = writeln!(out, "      {}", held.reason);
    }
    for one in &plan.by_hand {
        show_line(out, ("!", Some(AnsiColor::Yellow)), &one.id.0, "to be renewed by hand");
        let _ = writeln!(out, "      {}", one.errand);
    }
    for kept in &plan.kept {
        show_line(out, ("=", None), &kept.id.0, &format!("stays: {}", kept.reason));
    }
    for waiting in &plan.waiting {
        show_line(out, ("?", Some(AnsiColor::Cyan)), &waiting.id.0, &format!("known after {}", waiting.on));
    }
}

fn or_none(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

type Symbol = (&'static str, Option<AnsiColor>);

fn symbol(action: Action) -> Symbol {
    match action {
        Action::Create => ("+", Some(AnsiColor::Green)),
        Action::Update => ("~", Some(AnsiColor::Yellow)),
        Action::Repair => ("!", Some(AnsiColor::Yellow)),
        Action::Renew => ("r", Some(AnsiColor::Cyan)),
        Action::Remove => ("-", Some(AnsiColor::Red)),
        Action::Wait => (".", None),
    }
}

fn show_step(out: &mut String, step: &Step) {
    if let Verdict::Wait(why) = &step.verdict {
        return show_line(out, symbol(step.action), &step.id.0, &format!("waits: {why}"));
    }
    let note = match (&step.effect, step.changes.is_empty()) {
        (effect, false) => self::effect(effect),
        // With no field to say it of, the cause stands beside the whole; that objects are of the API, their ids say.
        (Effect::None | Effect::Api, true) => step.cause.to_string(),
        (effect, true) => format!("{}, {}", self::effect(effect), step.cause),
    };
    show_line(out, symbol(step.action), &step.id.0, &note);
    step.changes.iter().for_each(|change| show_change(out, change));
}

fn show_line(out: &mut String, (symbol, colour): Symbol, what: &str, note: &str) {
    let style = colour.map_or_else(Style::new, color);
    let _ = if note.is_empty() {
        writeln!(out, "  {style}{symbol}{style:#} {what}")
    } else {
        writeln!(out, "  {style}{symbol}{style:#} {what:<width$}  {note}", width = COLUMN - 4)
    };
}

fn show_change(out: &mut String, change: &Change) {
    let field = if change.difference.field.is_empty() { "content" } else { &change.difference.field };
    let equals = if field.starts_with("--") { "=" } else { ": " };
    let (symbol, line) = match (&change.difference.before, &change.difference.after) {
        (None, Some(after)) => ("+", format!("{field}{equals}{after}")),
        (Some(before), None) => ("-", format!("{field}{equals}{before}")),
        (Some(before), Some(after)) => ("~", format!("{field}: {before} -> {after}")),
        (None, None) => ("~", field.to_owned()),
    };
    let cause = change.cause.to_string();
    // Lines of a text keep their indentation below each other.
    let values = [&change.difference.before, &change.difference.after];
    let of_text = values.into_iter().flatten().any(|value| value.contains('\n') || value.starts_with(' '));
    if of_text || line.len() > COLUMN - 8 {
        let _ = writeln!(out, "      {symbol} {:<width$}  {cause}", format!("{field}:"), width = COLUMN - 8);
        let before = change.difference.before.iter().flat_map(|before| marked('-', before));
        let after = change.difference.after.iter().flat_map(|after| marked('+', after));
        before.chain(after).for_each(|line| out.push_str(&line));
    } else {
        let _ = writeln!(out, "      {symbol} {line:<width$}  {cause}", width = COLUMN - 8);
    }
}

/// The first lines of a value, and how many more there are. JSON has all of it.
fn marked(mark: char, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let mut shown: Vec<String> =
        text.lines().take(LINES_MAX).map(|line| format!("          {mark} {}\n", clipped(line))).collect();
    if lines > LINES_MAX {
        shown.push(format!("          {mark} ({} more lines)\n", lines - LINES_MAX));
    }
    shown
}

/// The first characters of a line, and how many more there are.
fn clipped(line: &str) -> String {
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{} ({} more characters)", &line[..end], line[end..].chars().count()),
        None => line.to_owned(),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::None => "no restart".to_owned(),
        Effect::Reload(component) => format!("reload {component}"),
        Effect::Restart(component) => format!("restart {component}"),
        Effect::RestartKubelet => "restart kubelet".to_owned(),
        Effect::Api => "API only".to_owned(),
    }
}

/// The counts, those that are zero left out but for what is unchanged.
fn summary(plan: &Plan, steps: &[Step]) -> String {
    let count = |action: Action| steps.iter().filter(|step| step.action == action).count();
    let counts = [
        (count(Action::Create), "to create", "created"),
        (count(Action::Update), "to change", "changed"),
        (count(Action::Repair), "to repair", "repaired"),
        (count(Action::Renew), "to renew", "renewed"),
        (count(Action::Remove), "to remove", "removed"),
        (count(Action::Wait), "to wait for", "waited for"),
    ];
    let planned = !plan.steps.is_empty() || steps.is_empty();
    let mut parts: Vec<String> = counts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, to_do, done)| format!("{count} {}", if planned { to_do } else { done }))
        .collect();
    let rest = [
        (plan.forbidden.len() + plan.refused.len(), "refused"),
        (plan.held.len(), "held"),
        (plan.waiting.len(), "known later"),
        (plan.reported.len(), "reported"),
        (plan.left_alone, "left to drift"),
    ];
    parts.extend(rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    parts.push(format!("{} unchanged", plan.unchanged));
    parts.join(", ")
}

fn restarts(steps: &[Step], title: &str) -> Option<String> {
    let names: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| match step.effect {
            Effect::Restart(component) => Some(component),
            Effect::RestartKubelet => Some("kubelet"),
            _ => None,
        })
        .collect();
    (!names.is_empty()).then(|| format!("{title}: {}.", names.into_iter().collect::<Vec<_>>().join(", ")))
}
