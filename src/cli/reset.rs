//! `reset`: takes this host back to bare.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::arguments::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{configuration, output, place, run, status};
use crate::cluster::Cluster;
use crate::host::reset::Reset;
use crate::reset::{self, Action, End, Plan};

/// The longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64;

/// Takes this host back to bare.
///
/// # Errors
/// Nobody can be asked, or not root, or another planekeeper works here or keeps the host, or a folder that must not be emptied.
pub fn reset(config: &Path, force: bool, format: Format) -> Result<Exit, Failure> {
    place::permit_root("only root may reset this host: run it with sudo")?;
    if !force && !io::stdin().is_terminal() {
        let message = "reset deletes the CAs' keys and etcd's data, and nobody is there to be asked: run it on a terminal, or with --force";
        return Err(Failure::new(Exit::WrongCall, message));
    }
    if let Some(watcher) = status::watcher(Path::new("/")) {
        let message = format!(
            "planekeeper watch (process {watcher}) keeps this host, and would make a new control plane of what a reset leaves: stop it first, \
             and for good, with systemctl disable --now planekeeper. Nothing was changed"
        );
        return Err(Failure::new(Exit::Locked, message));
    }
    let lock = run::lock(Path::new("/"))?;
    let cluster = known(config);
    let failed = |why: String| Failure::new(Exit::Failed, format!("{why}. Nothing was changed"));
    let host = Reset::new(cluster.as_ref()).map_err(|error| Failure::of_io("work on", Path::new("/"), &error))?;
    let found = host.look(&kept(config)).map_err(failed)?;
    let plan = reset::plan(&found);
    plan.warnings.iter().for_each(|warning| output::warning(warning));
    if plan.actions.is_empty() {
        run::remove_lock(lock);
        let result = Outcome { plan: &plan, ends: &[], left: Vec::new() };
        return result.print(format);
    }
    if !force && !agreed(&plan).map_err(|error| failed(format!("cannot ask: {error}")))? {
        return Err(failed("it was not agreed to".to_owned()));
    }
    let ends = reset::run(&plan, |action| {
        let result = host.act(action);
        if format == Format::Text {
            tell(action, result.as_ref().err());
        }
        result
    });
    let outcome = Outcome { plan: &plan, ends: &ends, left: host.left() };
    if reset::bare(&ends) {
        run::remove_lock(lock);
    }
    outcome.print(format)
}

/// What the configuration says. A host that has to be thrown away may not have a good one any more.
fn known(config: &Path) -> Option<Cluster> {
    if !config.exists() {
        return None;
    }
    match configuration::load(config) {
        Ok(configuration) => Some(configuration.loaded.cluster),
        Err(failure) => {
            let message = failure.message;
            output::warning(&format!("{message}\n  so this goes by what the host itself says, and kubeadm's defaults"));
            None
        }
    }
}

/// The configuration, which stays.
fn kept(config: &Path) -> Vec<String> {
    let real = fs::canonicalize(config).ok().map(|path| path.display().to_string());
    let named = std::path::absolute(config).ok().map(|path| path.display().to_string());
    real.into_iter().chain(named.filter(|_| config.exists())).collect()
}

/// Shows what is to be done, and asks.
fn agreed(plan: &Plan) -> io::Result<bool> {
    let mut err = anstream::stderr();
    writeln!(err, "This takes the host back to bare:")?;
    for action in &plan.actions {
        writeln!(err, "  - {}", action.describe())?;
    }
    if let Some(loss) = reset::loss(plan) {
        writeln!(err, "{loss}")?;
    }
    write!(err, "Do it? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::BufReader::new(io::stdin().take(ANSWER_MAX)).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Tells of one step, as soon as it has ended. What cannot be told is not worth stopping for.
fn tell(action: &Action, failed: Option<&String>) {
    let _ = match failed {
        None => output::print(&format!("  - {}\n", action.describe())),
        Some(why) => output::print(&format!("  x {}: failed: {why}\n", action.describe())),
    };
}

fn not_tried_line((action, _): &(Action, End)) -> String {
    format!("  . {}: not tried, since something before it failed", action.describe())
}

/// What was done, and what was not.
struct Outcome<'a> {
    plan: &'a Plan,
    ends: &'a [(Action, End)],
    left: Vec<String>,
}

impl Outcome<'_> {
    fn complete(&self) -> bool {
        self.ends.iter().all(|(_, end)| *end == End::Done)
    }

    fn print(&self, format: Format) -> Result<Exit, Failure> {
        match format {
            Format::Json => output::print_json(&self.to_json())?,
            Format::Text => output::print(&self.to_text())?,
        }
        Ok(if self.complete() { Exit::Done } else { Exit::Failed })
    }

    fn to_text(&self) -> String {
        if self.ends.is_empty() {
            return "Nothing to do: this host is bare.\n".to_owned();
        }
        let count = |wanted: fn(&End) -> bool| self.ends.iter().filter(|(_, end)| wanted(end)).count();
        let (done, not_tried) = (count(|end| *end == End::Done), count(|end| *end == End::Left));
        let mut lines: Vec<String> =
            self.ends.iter().filter(|(_, end)| *end == End::Left).map(not_tried_line).collect();
        lines.push(String::new());
        lines.push(if self.complete() {
            format!("Reset: {done} done. The host is bare.")
        } else {
            let failed = self.ends.len() - done - not_tried;
            let then = if reset::bare(self.ends) {
                "The host is bare, and its etcd cluster still counts it in."
            } else {
                "Run it again to go on."
            };
            format!("Not reset: {done} done, {failed} failed, {not_tried} not tried. {then}")
        });
        lines.extend((!self.left.is_empty()).then(|| "Left as they are:".to_owned()));
        lines.extend(self.left.iter().map(|left| format!("  {left}")));
        lines.join("\n") + "\n"
    }

    fn to_json(&self) -> Value {
        let action = |(action, end): &(Action, End)| {
            let (result, error) = match end {
                End::Done => ("done", None),
                End::Failed(why) => ("failed", Some(why)),
                End::Left => ("notTried", None),
            };
            json!({"action": action.name(), "target": action.target(), "result": result, "error": error})
        };
        json!({
            "apiVersion": "planekeeper.dev/v1alpha1", "kind": "Reset",
            "complete": self.complete(),
            "actions": self.ends.iter().map(action).collect::<Vec<_>>(),
            "warnings": self.plan.warnings,
            "left": self.left,
        })
    }
}
