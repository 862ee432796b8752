//! A change that shows only by what comes of it whether it is good: when it is given up.

use std::collections::BTreeMap;

use super::{Failed, Pass, hosted};
use crate::diff;
use crate::host::{ApplyError, Host};
use crate::observed::Seen;
use crate::resource::{Id, Trial};

/// Remembers of what was waited for in vain that it was, where that is what a change was tried for: the next look goes back. Whether there
/// was any.
///
/// # Errors
/// It could not be remembered.
pub(super) fn end<H: Host + ?Sized>(
    host: &H,
    pass: &Pass,
    failures: &[Failed],
    in_vain: &mut BTreeMap<Id, String>,
) -> Result<bool, ApplyError> {
    let hosted = hosted::give_up(host, pass, failures)?;
    in_vain.retain(|id, _| !hosted.contains(id));
    let tried = match failed(pass, failures) {
        Some(why) => give_up(host, pass, &why, in_vain)?,
        None => false,
    };
    Ok(tried || !hosted.is_empty())
}

/// [`end`], of what has had its time, whoever waited for it: a run that was killed did, or a watch, which makes way.
pub(super) fn look_back<H: Host + ?Sized>(host: &H, pass: &Pass, in_vain: &mut BTreeMap<Id, String>) -> bool {
    let hosted = hosted::give_up_overdue(host, pass).unwrap_or_default();
    in_vain.retain(|id, _| !hosted.contains(id));
    let tried = overdue(pass).is_some_and(|why| give_up(host, pass, &why, in_vain).unwrap_or(false));
    tried || !hosted.is_empty()
}

/// What had to hold was waited for in vain: in words, what was seen instead.
fn failed(pass: &Pass, failed: &[Failed]) -> Option<String> {
    let trial = pass.desired.trial.as_ref()?;
    Some(failed.iter().find(|failed| failed.id == trial.gate)?.error.reason())
}

/// What has to hold does not, and has had its time.
fn overdue(pass: &Pass) -> Option<String> {
    let trial = pass.desired.trial.as_ref()?;
    let Some(Ok(Seen::Gate(Err(why)))) = pass.observed.get(&trial.gate) else { return None };
    let begun = i64::try_from(begun(pass, trial)? / 1_000_000).ok()?;
    let timeout = i64::try_from(trial.timeout.as_secs()).ok()?;
    (pass.facts.now.saturating_sub(begun) > timeout).then(|| why.clone())
}

/// When the file became what is tried, in microseconds since 1970; `None` where it is something else.
fn begun(pass: &Pass, trial: &Trial) -> Option<u64> {
    let resource = pass.desired.resources.iter().find(|resource| resource.id == trial.file)?;
    let seen = pass.observed.get(&trial.file)?.as_ref().ok()?;
    if diff::judge(resource, seen, &pass.observed, pass.facts.now) != crate::verdict::Verdict::Same {
        return None;
    }
    let path = trial.file.0.strip_prefix("file:")?;
    let read = pass.observed.values().find_map(|seen| match seen {
        Ok(Seen::Unit(unit)) => unit.reads.iter().find(|(read, _)| read == path),
        _ => None,
    });
    read.map(|(_, changed)| *changed)
}

/// Remembers that a change did no good, so that the next look goes back. What was waited for in vain was so because of it.
///
/// # Errors
/// It could not be remembered.
fn give_up<H: Host + ?Sized>(
    host: &H,
    pass: &Pass,
    why: &str,
    in_vain: &mut BTreeMap<Id, String>,
) -> Result<bool, ApplyError> {
    let Some(Trial { failed: (path, first), .. }) = &pass.desired.trial else { return Ok(false) };
    let why: Vec<&str> = why.split_whitespace().collect();
    host.keep(path, &format!("{first}\n{}\n", why.join(" ")))?;
    in_vain.clear();
    Ok(true)
}
