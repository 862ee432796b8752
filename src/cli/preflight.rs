//! `preflight`, and the same checks before a run's first change.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use crate::cli::arguments::{Format, Ignoring};
use crate::cli::configuration;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, color};
use crate::cluster::Cluster;
use crate::host;
use crate::host::preflight::Begun;
use crate::preflight::{Group, Ignore, Outcome, Report, Status};
use crate::reset::counted;

/// Where identifiers stand.
const COLUMN: usize = 25;

/// Where lists of identifiers are broken.
const WIDTH: usize = 110;

/// The phase of kubeadm that these checks are, which `skipPhases` may name.
const PHASE: &str = "preflight";

/// The field whose value is a check of its own.
const RELEASE: &str = "ClusterConfiguration.kubernetesVersion";

/// `preflight`.
///
/// # Errors
/// The configuration is invalid, or the system gives no threads.
pub fn preflight(config: &Path, ignoring: &Ignoring, format: Format) -> Result<Exit, Failure> {
    let begun = begin()?;
    let problems = match configuration::try_load(config)? {
        Ok(configuration) => {
            let report = checks(begun, &configuration.loaded.cluster, ignoring)?;
            print(&report, format)?;
            return Ok(match report.passed() {
                true => Exit::Done,
                false if report.not_permitted() => Exit::NotPermitted,
                false => Exit::Failed,
            });
        }
        Err(problems) => problems,
    };
    match &problems[..] {
        [problem] if problem.field == RELEASE => {
            output::error(&configuration::listed(&problems));
            print(&Report::of_unknown_release(&problem.message), format)?;
            Ok(Exit::InvalidConfiguration)
        }
        _ => Err(configuration::invalid(configuration::listed(&problems))),
    }
}

fn print(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::print_json(&to_json(report)),
        Format::Text => output::print(&to_text(report)),
    }
}

fn begin() -> Result<Begun, Failure> {
    host::preflight::begin().map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Failure {
    Failure::of_io("check", Path::new("/"), error)
}

fn checks(begun: Begun, cluster: &Cluster, ignoring: &Ignoring) -> Result<Report, Failure> {
    let ignore = Ignore::new(cluster.node.ignore_preflight_errors.iter().chain(&ignoring.ignore_preflight_errors));
    let report = host::preflight::run(begun, cluster, &ignore).map_err(|error| failed(&error))?;
    for name in &report.unknown {
        output::warning(&format!("{name} is to be ignored, and no preflight check has that name"));
    }
    Ok(report)
}

/// The checks before a run's first change: made when there is something to change, and once.
pub struct Gate<'a> {
    cluster: &'a Cluster,
    ignoring: &'a Ignoring,
    format: Format,
    /// There is a host to check, and the configuration does not skip it.
    wanted: bool,
    opened: OnceCell<bool>,
}

impl<'a> Gate<'a> {
    /// The checks of a run, on this host or in a sandbox, which has none.
    #[must_use]
    pub fn new(cluster: &'a Cluster, ignoring: &'a Ignoring, format: Format, live: bool) -> Self {
        let wanted = live && !cluster.skip_phases.contains(PHASE);
        Self { cluster, ignoring, format, wanted, opened: OnceCell::new() }
    }

    /// The results, where there are checks.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn report(&self) -> Result<Option<Report>, Failure> {
        self.wanted.then(|| checks(begin()?, self.cluster, self.ignoring)).transpose()
    }

    /// Whether the run may change the host. What is not well is told; errors are the run's result.
    ///
    /// # Errors
    /// The system gives no threads, or standard output cannot be written.
    pub fn opens(&self) -> Result<bool, Failure> {
        if let Some(opened) = self.opened.get() {
            return Ok(*opened);
        }
        let Some(report) = self.report()? else { return Ok(true) };
        let opened = *self.opened.get_or_init(|| report.passed());
        if opened {
            for Outcome { id, finding, .. } in report.with(Status::Warning) {
                output::warning(&format!("preflight {id}: {}", finding.found));
            }
            return Ok(true);
        }
        match self.format {
            Format::Json => output::print_json(&to_json(&report))?,
            Format::Text => output::print(&faults(&report))?, // what is well is no reason
        }
        output::error(&format!("{}. Nothing was changed; {}", not_ready(&report), ignore_hint(&report)));
        Ok(false)
    }
}

/// Whether a watch may begin to change this host, or a sandbox, which has no checks; in one line, why not. `planekeeper preflight` says more.
///
/// # Errors
/// There are preflight errors, or the system gives no threads.
pub(super) fn ready(cluster: &Cluster, live: bool) -> Result<(), String> {
    let ignoring = Ignoring { ignore_preflight_errors: Vec::new() };
    let report = Gate::new(cluster, &ignoring, Format::Text, live).report().map_err(|failure| failure.message)?;
    let Some(report) = report.filter(|report| !report.passed()) else { return Ok(()) };
    let errors = report.with(Status::Error).map(|outcome| format!("{}: {}", outcome.id, outcome.finding.found));
    Err(format!("{}: {}", not_ready(&report), errors.collect::<Vec<_>>().join("; ")))
}

/// In one line, that reconcile would not go on.
#[must_use]
pub fn not_ready(report: &Report) -> String {
    format!("the host is not ready: {}", counted(report.with(Status::Error).count(), "preflight error"))
}

fn ignore_hint(report: &Report) -> String {
    let ids: Vec<&str> = report.with(Status::Error).map(|outcome| outcome.id.as_str()).collect();
    format!("an error that is none here is ignored with --ignore-preflight-errors={}", ids.join(","))
}

/// For programs: `planekeeper.dev/v1alpha1`, stable.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let check = |outcome: &Outcome| {
        let finding = &outcome.finding;
        json!({
            "id": outcome.id, "group": outcome.group.name(), "status": status(finding.status), "ignored": outcome.ignored,
            "found": finding.found, "needed": finding.needed, "mend": finding.mend,
        })
    };
    json!({
        "apiVersion": "planekeeper.dev/v1alpha1", "kind": "Preflight",
        "passed": report.passed(),
        "checks": report.outcomes.iter().map(check).collect::<Vec<_>>(),
        "unknownIgnored": report.unknown,
    })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Skipped => "skipped",
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Error => "error",
    }
}

/// For people: what is well in few lines, what is not in detail, the worst last.
#[must_use]
pub fn to_text(report: &Report) -> String {
    let mut out = String::new();
    for (status, colour) in [(Status::Ok, AnsiColor::Green), (Status::Skipped, AnsiColor::BrightBlack)] {
        let mut groups: Vec<Group> = report.with(status).map(|outcome| outcome.group).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let of_group = report.with(status).filter(|outcome| outcome.group == group);
            let ids: Vec<&str> = of_group.map(|outcome| short(&outcome.id)).collect();
            show(&mut out, (self::status(status), colour), group.name(), &wrapped(&ids));
        }
    }
    out + &faults(report) + &summary(report)
}

/// An identifier without a beginning that says little in its group. What is not well has its whole identifier.
fn short(id: &str) -> &str {
    let beginnings = ["FileExisting-", "FileAvailable--etc-kubernetes-manifests-", "FileContent--proc-sys-"];
    beginnings.iter().find_map(|beginning| id.strip_prefix(beginning)).unwrap_or(id)
}

/// What is not well, the worst last; empty where all is.
#[must_use]
pub fn faults(report: &Report) -> String {
    let mut out = String::new();
    for (status, colour) in [(Status::Warning, AnsiColor::Yellow), (Status::Error, AnsiColor::Red)] {
        for Outcome { id, group, finding, ignored } in report.with(status) {
            let found = format!("{id}: {}{}", finding.found, if *ignored { " (ignored)" } else { "" });
            let notes = [("needed", &finding.needed), ("mend", &finding.mend)];
            let notes = notes.into_iter().filter(|(_, text)| !text.is_empty());
            let lines = notes.map(|(title, text)| format!("  {:<7} {text}", format!("{title}:")));
            show(&mut out, (self::status(status), colour), group.name(), &[vec![found], lines.collect()].concat());
        }
    }
    out
}

/// One line with a status and a group, and those that belong to it.
fn show(out: &mut String, (status, colour): (&str, AnsiColor), group: &str, lines: &[String]) {
    let style = color(colour);
    let Some((first, rest)) = lines.split_first() else { return };
    let _ = writeln!(out, "{style}{status:<9}{style:#}{group:<width$}{first}", width = COLUMN - 9);
    for line in rest {
        let _ = writeln!(out, "{:COLUMN$}{line}", "");
    }
}

/// Identifiers in lines of bounded width.
fn wrapped(ids: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for id in ids {
        match lines.last_mut() {
            Some(line) if COLUMN + line.len() + 1 + id.len() <= WIDTH => {
                line.push(' ');
                line.push_str(id);
            }
            _ => lines.push((*id).to_owned()),
        }
    }
    lines
}

/// The last line, which is stable: others may read it.
fn summary(report: &Report) -> String {
    let count = |status: Status| report.with(status).count();
    let mut parts = vec![format!("{} ok", count(Status::Ok))];
    parts.extend(Some(count(Status::Skipped)).filter(|count| *count > 0).map(|count| format!("{count} skipped")));
    for (status, word) in [(Status::Warning, "warning"), (Status::Error, "error")] {
        parts.extend(Some(count(status)).filter(|count| *count > 0).map(|count| counted(count, word)));
    }
    let end = if report.passed() { "The host is ready." } else { "The host is not ready." };
    format!("\nPreflight: {}. {end}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::preflight::fake::Fake;

    /// A host with a few faults, of which one is to be ignored.
    fn faulty() -> Report {
        let mut fake = Fake { processors: 1, ..Fake::healthy() };
        fake.write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 4194300 0 -2\n");
        fake.listens("0.0.0.0", 6443, "nginx", "/system.slice/nginx.service");
        fake.set_unit("firewalld", "active", "enabled");
        fake.lacks_command("crictl");
        fake.report(fixture(), &Ignore::new(&["NumCPU".to_owned()]))
    }

    /// Compares with what is kept in `tests/cli/`; see there how it is written anew.
    fn compare(name: &str, said: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if said != kept && std::env::var_os("UPDATE_CLI").is_some() {
            std::fs::write(&path, said).unwrap();
        }
        assert_eq!(said, kept, "{}", path.display());
    }

    #[test]
    fn a_person_sees_at_a_glance_what_is_well_and_reads_last_what_is_worst() {
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        let healthy = Fake::healthy().report(fixture(), &Ignore::default());
        compare("preflight.txt", &plain(&format!("{}\n{}", to_text(&healthy), to_text(&faulty()))));
    }

    #[test]
    fn a_program_reads_each_check_with_its_finding() {
        compare("preflight.json", &format!("{:#}\n", to_json(&faulty())));
    }

    #[test]
    fn a_plan_shows_what_is_not_well_and_nothing_of_what_is() {
        assert_eq!(faults(&Fake::healthy().report(fixture(), &Ignore::default())), "");
        let ids = faulty().outcomes.into_iter().filter(|outcome| outcome.finding.status >= Status::Warning);
        let text = faults(&faulty());
        assert_eq!(ids.filter(|outcome| text.contains(&outcome.id)).count(), 4, "{text}");
        assert!(!text.contains("Hostname"), "{text}");
    }
}
