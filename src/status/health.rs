//! `/livez` and `/readyz`, in the words of Kubernetes' own: `[+]converged ok`.

use std::fmt::Write;

use super::conditions::{CERTIFICATES_VALID, COMPONENTS_HEALTHY, CONFIGURATION_ACCEPTED, CONVERGED, conditions};
use super::verdict::{Presence, View};
use super::{Condition, Truth};

/// A pass that takes longer than this does not end any more: the longest wait of one is that for a component, kubeadm's
/// `timeouts`, which are minutes.
const PASS_MAX: i64 = 3600;

/// What was checked: its name, and why it failed, if it did.
pub struct Check {
    name: &'static str,
    failure: Option<String>,
}

/// planekeeper itself lives: its passes begin and end.
#[must_use]
pub fn live(view: &View<'_>) -> Vec<Check> {
    let stuck = match view.presence {
        Presence::Watching(Some(since)) if view.now.since(since) > PASS_MAX => {
            Some(format!("a pass has been running since {since}"))
        }
        _ => None,
    };
    vec![
        Check { name: "ping", failure: None },
        Check { name: "passes-begin", failure: view.stale() },
        Check { name: "passes-end", failure: stuck },
    ]
}

/// The control plane is as configured and works, and it is known to be so now.
#[must_use]
pub fn ready(view: &View<'_>) -> Vec<Check> {
    // As they are at this moment: a certificate may have ended since they were judged.
    let all = conditions(view.status, Some(view.status), view.now);
    let mut checks = vec![
        Check { name: "fresh", failure: view.stale() },
        condition(&all, "configuration-accepted", CONFIGURATION_ACCEPTED),
        condition(&all, "converged", CONVERGED),
    ];
    if !view.status.components.is_empty() {
        checks.push(condition(&all, "components-healthy", COMPONENTS_HEALTHY));
    }
    checks.push(condition(&all, "certificates-valid", CERTIFICATES_VALID));
    checks
}

/// That a condition holds.
fn condition(all: &[Condition], name: &'static str, kind: &str) -> Check {
    let found = all.iter().find(|condition| condition.kind == kind && condition.status != Truth::True);
    let failure = found.map(|condition| condition.message.clone());
    Check { name, failure }
}

/// All is well.
#[must_use]
pub fn passed(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.failure.is_none())
}

/// The answer: `ok`, or a line for each check where one failed or `verbose` was asked for.
#[must_use]
pub fn text(endpoint: &str, checks: &[Check], verbose: bool) -> String {
    let passed = passed(checks);
    if passed && !verbose {
        return "ok".to_owned();
    }
    let mut out = String::new();
    for check in checks {
        let _ = match &check.failure {
            None => writeln!(out, "[+]{} ok", check.name),
            Some(why) => writeln!(out, "[-]{} failed: {why}", check.name),
        };
    }
    let _ = writeln!(out, "{endpoint} check {}", if passed { "passed" } else { "failed" });
    out
}
