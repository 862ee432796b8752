//! Changes of self-hosted components, as of what a static Pod is made of: what ran before is kept until the component is well with the new
//! one, and comes back where it does not become so.

use super::{Failed, Pass};
use crate::desired::self_hosting;
use crate::host::{ApplyError, Host};
use crate::observed::Seen;
use crate::resource::{Id, Spec, Want};
use crate::rollout::{self, Record, hash};

/// The changes that a pass is about, by the names of their records. What is known of one already stays known.
fn changes(pass: &Pass) -> impl Iterator<Item = (&'static str, Record)> {
    pass.desired.hosted.iter().filter_map(|(name, manifest)| {
        let before = pass.hosted_before.get(name).filter(|before| *before != manifest)?.clone();
        let new = Record { manifest: hash(manifest), before, failed: None, since: Some(pass.facts.now) };
        let known = pass.facts.rollouts.get(name).filter(|known| known.failed.is_none());
        Some((*name, known.filter(|known| known.manifest == new.manifest).cloned().unwrap_or(new)))
    })
}

/// Keeps what runs before it is changed.
///
/// # Errors
/// It could not be kept.
pub(super) fn begin<H: Host + ?Sized>(host: &H, pass: &Pass) -> Result<(), Failed> {
    for (name, record) in changes(pass) {
        let (object, gate) = (self_hosting::id(name), Id::gate(name));
        let begins = pass.plan.steps.iter().any(|step| step.id == object || step.id == gate);
        if begins && pass.facts.rollouts.get(name) != Some(&record) {
            let kept = host.keep(&rollout::path(name), &record.to_text());
            kept.map_err(|error| Failed { id: object, error })?;
        }
    }
    Ok(())
}

/// Gives up what was waited for in vain in a pass, so that the next look goes back. The gates that it was about.
///
/// # Errors
/// It could not be remembered.
pub(super) fn give_up<H: Host + ?Sized>(host: &H, pass: &Pass, failed: &[Failed]) -> Result<Vec<Id>, ApplyError> {
    let why = |gate: &Id| {
        let failed = failed.iter().find(|failed| failed.id == *gate && !failed.error.is_overtaken())?;
        Some(failed.error.reason())
    };
    let failed = changes(pass).filter_map(|(name, record)| Some((name, record, why(&Id::gate(name))?)));
    remember(host, failed)
}

/// Gives up what has had its time, whoever waited for it: a run that was killed did, or a watch, which makes way.
///
/// # Errors
/// It could not be remembered.
pub(super) fn give_up_overdue<H: Host + ?Sized>(host: &H, pass: &Pass) -> Result<Vec<Id>, ApplyError> {
    let overdue = changes(pass).filter_map(|(name, record)| {
        let gate = Id::gate(name);
        let Some(Ok(Seen::Gate(Err(why)))) = pass.observed.get(&gate) else { return None };
        let waited = pass.facts.now.saturating_sub(record.since?);
        let resource = pass.desired.resources.iter().find(|resource| resource.id == gate)?;
        let Want::Present(Spec::Gate(spec)) = &resource.want else { return None };
        (waited > i64::try_from(spec.timeout.as_secs()).ok()?).then(|| (name, record, why.clone()))
    });
    remember(host, overdue)
}

fn remember<H: Host + ?Sized>(
    host: &H,
    failed: impl Iterator<Item = (&'static str, Record, String)>,
) -> Result<Vec<Id>, ApplyError> {
    let remember = |(name, record, why): (&'static str, Record, String)| {
        let failed = Some(format!("{name} did not become healthy: {why}: its DaemonSet is again as before"));
        host.keep(&rollout::path(name), &Record { failed, ..record }.to_text())?;
        Ok(Id::gate(name))
    };
    failed.map(remember).collect()
}

/// Forgets what has ended well, or is no longer wanted.
///
/// # Errors
/// It could not be forgotten.
pub(super) fn finish<H: Host + ?Sized>(host: &H, pass: &Pass) -> Result<(), ApplyError> {
    let known = rollout::SELF_HOSTED.into_iter().filter(|name| pass.facts.rollouts.contains_key(name));
    known.filter(|name| is_over(pass, name)).try_for_each(|name| host.forget(name))
}

fn is_over(pass: &Pass, name: &str) -> bool {
    let (object, gate) = (self_hosting::id(name), Id::gate(name));
    let is = |id: &Id| *id == object || *id == gate;
    let well = matches!(pass.observed.get(&gate), Some(Ok(Seen::Gate(Ok(())))));
    let stands = !pass.plan.steps.iter().any(|step| is(&step.id))
        && !pass.plan.held.iter().any(|held| is(&held.id))
        && !pass.desired.given_up.iter().any(|given_up| is(&given_up.id));
    !pass.desired.hosted.contains_key(name) || (well && stands)
}
