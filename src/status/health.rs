//! `/livez` and `/readyz`, in the words of Kubernetes' own: `[+]converged ok`.

use std::fmt::Write;

use super::conditions::{CERTIFICATES_VALID, COMPONENTS_HEALTHY, CONFIGURATION_ACCEPTED, CONVERGED};
use super::verdict::{Presence, View};
use super::{Moment, Status, Truth};

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
    let status = view.status;
    let mut checks = vec![
        Check { name: "fresh", failure: view.stale() },
        condition(status, "configuration-accepted", CONFIGURATION_ACCEPTED, view.now),
        condition(status, "converged", CONVERGED, view.now),
    ];
    if !status.components.is_empty() {
        checks.push(condition(status, "components-healthy", COMPONENTS_HEALTHY, view.now));
    }
    checks.push(condition(status, "certificates-valid", CERTIFICATES_VALID, view.now));
    checks
}

/// A condition as it is at this moment: a certificate may have ended since it was judged.
fn condition(status: &Status, name: &'static str, kind: &str, now: Moment) -> Check {
    let all = super::conditions::conditions(status, Some(status), now);
    let found = all.into_iter().find(|condition| condition.kind == kind);
    let failure = found.filter(|condition| condition.status != Truth::True).map(|condition| condition.message);
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
