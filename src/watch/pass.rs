//! What follows from a pass: what to watch, when to look again, and what to say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::backoff::Again;
use super::paths::{self, Wanted};
use super::{LastPass, Wake};
use crate::certs;
use crate::engine::{Pass, Report};
use crate::host::ApplyError;
use crate::host::api::{ApiError, Retry};
use crate::plan::{Action, Step};
use crate::resource::Id;

/// What a look at a host says of what to watch and when to look again.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Which paths belong to which resource.
    pub owner: BTreeMap<String, Id>,
    /// When the next certificate, kubeconfig or token is due, in seconds since 1970.
    pub due: Option<i64>,
}

impl Sight {
    /// What one look says.
    #[must_use]
    pub fn of(pass: &Pass, sandbox: bool) -> Self {
        let resources = pass.desired.resources.iter();
        let owner = resources.flat_map(|resource| {
            paths::of(resource, sandbox).into_iter().map(|path| (path, resource.id.clone())).collect::<Vec<_>>()
        });
        let now = pass.facts.now;
        let rows = certs::rows(&pass.desired, &pass.observed, now);
        let certificates = rows.iter().filter_map(|row| row.renews);
        let due = certificates.chain(pass.facts.tokens.values().filter_map(|token| token.ends));
        Self { owner: owner.collect(), due: due.filter(|at| *at > now).min() }
    }

    /// Adds the paths of the host to what is watched.
    pub fn watch(&self, root: &Path, wanted: &mut Wanted) {
        for path in self.owner.keys() {
            wanted.add(root, Path::new(path), &Wake::File(path.clone()));
        }
    }

    /// All resources that some wakes are about; none where one of them may be about anything.
    #[must_use]
    pub fn about_all(&self, wakes: &BTreeSet<Wake>) -> BTreeSet<Id> {
        let of = |wake: &Wake| match wake {
            Wake::Unit(name) => Some(Id::unit(name)),
            wake => self.about(wake).cloned(),
        };
        wakes.iter().map(of).collect::<Option<_>>().unwrap_or_default()
    }

    /// The resource that a wake is about.
    #[must_use]
    pub fn about<'a>(&'a self, wake: &'a Wake) -> Option<&'a Id> {
        match wake {
            Wake::File(path) => self.owner.get(path),
            Wake::Object(id) => Some(id),
            _ => None,
        }
    }
}

/// When what is left after a run is worth another attempt. `fought` is what is left alone because of another writer.
#[must_use]
pub fn again(report: &Report, fought: &BTreeSet<Id>) -> Again {
    let failed = report.failed.iter().map(|failed| of_error(&failed.error));
    let unsettled = report.unsettled.iter().map(of_error);
    let left = &report.left;
    // What a person has to see to is found by the full passes once it is seen to.
    let stuck = !(left.refused.is_empty() && left.forbidden.is_empty());
    let held = left.held.iter().filter(|held| !fought.contains(&held.id));
    let held = held.map(|_| if stuck { Again::OnChange } else { Again::BackOff });
    let steps = left.steps.iter().map(|_| Again::BackOff);
    let waiting = left.waiting.iter().map(|_| if stuck { Again::OnChange } else { Again::BackOff });
    failed.chain(unsettled).chain(held).chain(steps).chain(waiting).min().unwrap_or(Again::Never)
}

/// The question, asked of a step that failed.
fn of_error(error: &ApplyError) -> Again {
    match error.source.downcast_ref::<ApiError>().map(ApiError::retry) {
        Some(Retry::Soon) => Again::Soon,
        Some(Retry::OnChange) => Again::OnChange,
        Some(Retry::Never) => Again::Never,
        Some(Retry::BackOff) | None => Again::BackOff,
    }
}

/// Everything that is not as wanted, a line each, by what it is about.
#[must_use]
pub fn complaints(report: &Report) -> BTreeMap<String, String> {
    let left = &report.left;
    let failed = report.failed.iter().map(|failed| (failed.id.0.clone(), failed.error.chain()));
    let held = left.held.iter().map(|held| (held.id.0.clone(), format!("held: {}", held.reason)));
    let refused = left.refused.iter().map(|refused| (refused.id.0.clone(), format!("refused: {}", refused.reason)));
    let forbidden = left.forbidden.iter().map(|change| (change.field.clone(), format!("refused: {}", change.reason)));
    let reported =
        left.reported.iter().map(|step| (step.id.0.clone(), format!("drift, to be reported only{}", fields(step))));
    let unsettled = report.unsettled.iter().map(|error| ("disk".to_owned(), error.chain()));
    failed.chain(held).chain(refused).chain(forbidden).chain(reported).chain(unsettled).collect()
}

/// What a person has to see to in time, a line each, by what it is about.
#[must_use]
pub fn errands(report: &Report) -> BTreeMap<String, String> {
    report.left.by_hand.iter().map(|one| (one.id.0.clone(), one.errand.clone())).collect()
}

/// What was done by a step, in words: never what is in a file.
#[must_use]
pub fn words(step: &Step) -> String {
    let done = match step.action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Repair => "repaired",
        Action::Renew => "renewed",
        Action::Remove => "removed",
        Action::Wait => "seen",
    };
    let by = step.by.as_ref().filter(|_| step.action == Action::Repair);
    let by = by.map(|by| format!(", changed by {by}")).unwrap_or_default();
    format!("{done} {}{}{by}", step.id, fields(step))
}

/// The names of the fields that a step is about.
fn fields(step: &Step) -> String {
    let names = step.changes.iter().map(|change| change.difference.field.as_str());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// What a line about a pass has beside its words.
#[must_use]
pub fn log_fields(pass: &LastPass) -> Vec<(&'static str, Value)> {
    let wakes: Vec<String> = pass.wakes.iter().map(ToString::to_string).collect();
    vec![("wakes", json!(wakes)), ("took_ms", json!(u64::try_from(pass.took.as_millis()).unwrap_or(u64::MAX)))]
}
