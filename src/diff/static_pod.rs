//! Verdicts on static Pods that run.

use crate::observed::{LeaseSeen, StaticPodSeen};
use crate::resource::{Rollout, RunningSpec};
use crate::verdict::{Difference, Verdict};

/// The field of a difference that is about when a process started.
pub const START: &str = "start";
/// The field of a difference that is about an earlier change of the manifest.
pub const ROLLOUT: &str = "rollout";
/// The field of a difference that is about a Lease.
pub const LEASE: &str = "lease";

/// How long nobody may have renewed a Lease, in seconds. Who hears `forbidden` from an API server that has just started asks again within 30,
/// wins the Lease of one that is gone 20 later, and has to be heard.
pub const SILENCE: i64 = 60;

/// The same where another host's clock says when it was renewed. Clocks differ, by seconds where they are kept right.
const SILENCE_ELSEWHERE: i64 = 300;

/// Judges a static Pod that runs, or does not: what does not run is waited for, and reads everything when it comes. `now` is in seconds
/// since 1970.
#[must_use]
pub fn judge(spec: &RunningSpec, seen: &StaticPodSeen, now: i64) -> Verdict {
    let mut differences = Vec::new();
    match spec.rollout {
        Rollout::Done => {}
        Rollout::Unfinished => differences.push(Difference::new(ROLLOUT, "unfinished", "healthy")),
        Rollout::Obsolete => differences.push(Difference::removed(ROLLOUT, "given up, and no longer wanted")),
    }
    if let Some(started) = seen.started {
        differences.extend(newer(started, &seen.reads));
        differences.extend(seen.lease.and_then(|lease| silent(lease, started, now)));
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// A file that changed after a process had started.
pub(super) fn newer(started: u64, reads: &[(String, u64)]) -> Option<Difference> {
    let (path, _) = reads.iter().find(|(_, changed)| *changed > started)?;
    Some(before(path))
}

/// That a process started before a file changed that it reads.
#[must_use]
pub fn before(path: &str) -> Difference {
    Difference::new(START, format!("before {path} changed"), "after")
}

/// Nobody renews the Lease, although both the component and the API server have run for long enough.
fn silent(lease: LeaseSeen, started: u64, now: i64) -> Option<Difference> {
    let bound = if lease.elsewhere { SILENCE_ELSEWHERE } else { SILENCE };
    let started = i64::try_from(started / 1_000_000).unwrap_or(i64::MAX);
    let since = lease.renewed.unwrap_or(i64::MIN).max(started).max(lease.api_since);
    let silence = now.saturating_sub(since);
    (silence >= bound).then(|| Difference::new(LEASE, format!("not renewed for {silence} s"), "renewed"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::resource::{PodGate, StaticPodSpec};

    const CONF: &str = "/etc/kubernetes/scheduler.conf";
    const STARTED: i64 = 1_000;

    fn spec(rollout: Rollout) -> RunningSpec {
        let pod = StaticPodSpec {
            component: "kube-scheduler",
            pod: "kube-scheduler-cp1".into(),
            hosted: false,
            image: "a".into(),
            command: Vec::new(),
            health: None,
            lease: None,
        };
        let gate = PodGate { pod, timeout: Duration::from_secs(1) };
        RunningSpec { gate, reads: vec![CONF.to_owned()], rollout }
    }

    fn seen(changed: u64, lease: Option<LeaseSeen>) -> StaticPodSeen {
        StaticPodSeen { started: Some(1_000_000_000), reads: vec![(CONF.to_owned(), changed)], lease }
    }

    fn judged(seen: &StaticPodSeen, now: i64) -> Verdict {
        judge(&spec(Rollout::Done), seen, now)
    }

    #[test]
    fn what_started_after_its_inputs_had_changed_is_left_alone() {
        assert_eq!(judged(&seen(999_999_999, None), STARTED), Verdict::Same);
        let nothing_runs = StaticPodSeen { started: None, ..seen(u64::MAX, None) };
        assert_eq!(judged(&nothing_runs, STARTED), Verdict::Same);
    }

    #[test]
    fn what_started_before_an_input_changed_starts_again() {
        let Verdict::Update(differences) = judged(&seen(1_000_000_001, None), STARTED) else { panic!() };
        assert_eq!(differences, [Difference::new("start", format!("before {CONF} changed"), "after")]);
    }

    #[test]
    fn a_lease_that_nobody_renews_is_a_component_that_hangs() {
        let lease = LeaseSeen { renewed: Some(STARTED - 500), elsewhere: false, api_since: 0 };
        let after = |seconds: i64, lease| judged(&seen(0, Some(lease)), STARTED + seconds);
        assert_eq!(after(SILENCE - 1, lease), Verdict::Same, "it may yet win it");
        assert!(matches!(after(SILENCE, lease), Verdict::Update(_)));
        assert!(matches!(after(SILENCE, LeaseSeen { renewed: None, ..lease }), Verdict::Update(_)));
        let renewed = LeaseSeen { renewed: Some(STARTED + 990), ..lease };
        assert_eq!(after(1_000, renewed), Verdict::Same);
        let api = LeaseSeen { api_since: STARTED + 990, ..lease };
        assert_eq!(after(1_000, api), Verdict::Same, "there was nobody to renew it with");
    }

    #[test]
    fn another_hosts_clock_may_be_wrong_by_minutes() {
        let lease = LeaseSeen { renewed: Some(STARTED), elsewhere: true, api_since: 0 };
        assert_eq!(judged(&seen(0, Some(lease)), STARTED + SILENCE_ELSEWHERE - 1), Verdict::Same);
        assert!(matches!(judged(&seen(0, Some(lease)), STARTED + SILENCE_ELSEWHERE), Verdict::Update(_)));
    }

    #[test]
    fn a_rollout_that_was_broken_off_is_carried_on_whatever_runs() {
        for rollout in [Rollout::Unfinished, Rollout::Obsolete] {
            let Verdict::Update(differences) = judge(&spec(rollout), &StaticPodSeen::default(), STARTED) else {
                panic!()
            };
            assert_eq!(differences[0].field, "rollout");
        }
    }
}
