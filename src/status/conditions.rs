//! The conditions of a status, by the conventions of the Kubernetes API: adjectives rather than phases, all of them there from the first
//! moment on, and a time of transition that moves only when the status does.

use super::{Condition, Health, Moment, State, Status, Truth, text};

/// Sums up the others: what is wanted is so, it works, and it will go on working.
pub const READY: &str = "Ready";
/// The host is what the configuration in force says.
pub const CONVERGED: &str = "Converged";
/// The configuration that was last written is the one in force.
pub const CONFIGURATION_ACCEPTED: &str = "ConfigurationAccepted";
/// What runs is healthy.
pub const COMPONENTS_HEALTHY: &str = "ComponentsHealthy";
/// No certificate has ended or is missing.
pub const CERTIFICATES_VALID: &str = "CertificatesValid";
/// The reason of [`CERTIFICATES_VALID`] where they are, and a person has to see to it that they stay so.
pub const RENEWAL_NEEDED: &str = "RenewalNeeded";
/// Nothing is changed for now. It takes nothing from `Ready`.
pub const PAUSED: &str = "Paused";
/// Something that the configuration wants did not work: what ran before runs again.
pub const ROLLED_BACK: &str = "RolledBack";

/// The most resources that a message names.
const NAMES_MAX: usize = 3;

type Judged = (Truth, &'static str, String);

/// The conditions of a status whose other fields are complete. `converged` is what the last run said of itself.
#[must_use]
pub fn conditions(status: &Status, previous: Option<&Status>, now: Moment) -> Vec<Condition> {
    let parts = [
        (CONVERGED, converged(status)),
        (CONFIGURATION_ACCEPTED, accepted(status)),
        (COMPONENTS_HEALTHY, healthy(status)),
        (CERTIFICATES_VALID, valid(status, now)),
    ];
    let ready = ready(&parts);
    let [converged, accepted, healthy, valid] = parts;
    let all = [
        (READY, ready),
        converged,
        accepted,
        healthy,
        valid,
        (PAUSED, paused(status)),
        (ROLLED_BACK, rolled_back(status)),
    ];
    all.into_iter()
        .map(|(kind, (truth, reason, message))| {
            let before = previous.and_then(|previous| previous.condition(kind));
            let since =
                before.filter(|before| before.status == truth).map_or(now, |before| before.last_transition_time);
            Condition {
                kind: kind.to_owned(),
                status: truth,
                reason: reason.to_owned(),
                message,
                last_transition_time: since,
            }
        })
        .collect()
}

fn ready(parts: &[(&str, Judged)]) -> Judged {
    let find = |truth| parts.iter().find(|(_, judged)| judged.0 == truth);
    if let Some((_, (_, reason, message))) = find(Truth::False) {
        return (Truth::False, reason, message.clone());
    }
    // A folder has nothing that could be healthy; that nobody has looked is another matter.
    match parts.iter().find(|(_, (truth, reason, _))| *truth == Truth::Unknown && *reason != NOTHING_RUNS) {
        Some((_, (_, reason, message))) => (Truth::Unknown, reason, message.clone()),
        None => (Truth::True, "AsConfigured", "it is as configured, and works".to_owned()),
    }
}

const NOTHING_RUNS: &str = "NothingRuns";

fn unseen(status: &Status) -> Option<Judged> {
    if let Some(why) = &status.blind {
        return Some((Truth::Unknown, "CannotLook", format!("the last look at the host failed: {why}")));
    }
    let why = "the host was not looked at yet".to_owned();
    status.looked_at.is_none().then_some((Truth::Unknown, "NotLookedYet", why))
}

fn converged(status: &Status) -> Judged {
    if let Some(unseen) = unseen(status) {
        return unseen;
    }
    if status.configuration.as_ref().is_some_and(|in_force| status.compared_with.as_ref() != Some(&in_force.hash)) {
        let message = "the host was not compared with the configuration yet that was taken".to_owned();
        return (Truth::False, "ChangesPending", message);
    }
    if let Some(change) = status.refused_changes.first() {
        let message = format!("{} cannot become {}: {}", change.field, or_nothing(&change.after), change.reason);
        return (Truth::False, "ChangeRefused", message);
    }
    let worst = [
        (State::Failed, "ChangeFailed", "could not be changed"),
        (State::Refused, "ResourceRefused", "waits for a person to act"),
        (State::Unknown, "ResourceUnreadable", "cannot be read"),
        (State::Held, "ResourceHeld", "is held"),
        (State::Drifted, "Drifted", "drifted"),
        (State::Pending, "ChangesPending", "is to be changed"),
        (State::Waiting, "Waiting", "is waited for"),
    ];
    for (state, reason, what) in worst {
        let found: Vec<_> = status.resources.iter().filter(|resource| resource.state == state).collect();
        let Some(first) = found.first() else { continue };
        let reason = if status.pause.is_some() { PAUSED } else { reason };
        let names: Vec<&str> = found.iter().take(NAMES_MAX).map(|resource| resource.id.as_str()).collect();
        let more = found.len().saturating_sub(NAMES_MAX);
        let message = match (&found[..], first.message.as_str()) {
            ([_], "") => format!("{} {what}", first.id),
            ([_], why) => format!("{} {what}: {why}", first.id),
            _ if more > 0 => format!("{} resources: {} and {more} more; each {what}", found.len(), names.join(", ")),
            _ => format!("{} resources, {}: each {what}", found.len(), names.join(", ")),
        };
        return (Truth::False, reason, message);
    }
    let message = format!("all {} resources are as configured", status.resources.len());
    (Truth::True, "AsConfigured", message)
}

fn or_nothing(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}

fn accepted(status: &Status) -> Judged {
    match (&status.rejected, &status.configuration) {
        (Some(rejected), in_force) => {
            let first = rejected.problems.first().map(text::problem);
            let more = match rejected.problems.len() {
                0 | 1 => String::new(),
                many => format!(" (and {} more)", many - 1),
            };
            let stays = if in_force.is_some() { "; the one before stays in force" } else { "" };
            let message = format!("{}{more}{stays}", first.unwrap_or_else(|| "the configuration is wrong".to_owned()));
            (Truth::False, "ConfigurationRejected", message)
        }
        (None, Some(_)) => (Truth::True, "InForce", "the configuration is in force".to_owned()),
        (None, None) => (Truth::Unknown, "NoConfiguration", "there is no configuration yet".to_owned()),
    }
}

fn healthy(status: &Status) -> Judged {
    if let Some(unseen) = unseen(status) {
        return unseen;
    }
    if status.components.is_empty() {
        return (Truth::Unknown, NOTHING_RUNS, "in a folder nothing runs".to_owned());
    }
    let said = |health: Health| -> Option<String> {
        let found = status.components.iter().filter(|component| component.health == health);
        let said: Vec<String> = found.map(|component| format!("{}: {}", component.name, component.message)).collect();
        (!said.is_empty()).then(|| said.join("; "))
    };
    if let Some(message) = said(Health::Unhealthy) {
        return (Truth::False, "ComponentUnhealthy", message);
    }
    match said(Health::Unknown) {
        Some(message) => (Truth::Unknown, "ComponentUnknown", message),
        None => (Truth::True, "AllHealthy", format!("all {} components are healthy", status.components.len())),
    }
}

fn valid(status: &Status, now: Moment) -> Judged {
    if let Some(unseen) = unseen(status) {
        return unseen;
    }
    let ended = |certificate: &&super::Certificate| certificate.expires.is_some_and(|expires| now >= expires);
    if let Some(certificate) = status.certificates.iter().find(ended) {
        let when = certificate.expires.map(|expires| expires.to_string()).unwrap_or_default();
        return (Truth::False, "CertificateExpired", format!("{} ended on {when}", certificate.name));
    }
    let wrong = |certificate: &&super::Certificate| !matches!(certificate.state.as_str(), "valid" | "due");
    if let Some(certificate) = status.certificates.iter().find(wrong) {
        return (Truth::False, "CertificateUnusable", format!("{} is {}", certificate.name, certificate.state));
    }
    let by_hand: Vec<_> = status.certificates.iter().filter(|certificate| certificate.by_hand()).collect();
    let first = by_hand.iter().filter_map(|certificate| certificate.expires).min();
    match (&by_hand[..], first) {
        // Still valid, but nobody here can make the next ones.
        ([_, ..], Some(first)) => {
            let names: Vec<&str> = by_hand.iter().map(|certificate| certificate.name.as_str()).collect();
            let message = format!(
                "to be renewed by hand before {first}, since the key of the CA is not on this host: {}",
                names.join(", ")
            );
            (Truth::True, RENEWAL_NEEDED, message)
        }
        _ => (Truth::True, "AllValid", format!("all {} certificates are valid", status.certificates.len())),
    }
}

fn rolled_back(status: &Status) -> Judged {
    match &status.given_up[..] {
        [] => unseen(status).unwrap_or((Truth::False, "NothingRolledBack", "nothing was taken back".to_owned())),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            (Truth::True, "ChangeRolledBack", format!("{}: {}{more}", first.resource, first.reason))
        }
    }
}

fn paused(status: &Status) -> Judged {
    match &status.pause {
        Some(pause) => (Truth::True, "Paused", pause.sentence()),
        None => (Truth::False, "NotPaused", "it is not paused".to_owned()),
    }
}
