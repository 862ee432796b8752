//! Verdicts on systemd units.

use super::static_pod::newer;
use crate::observed::UnitSeen;
use crate::resource::UnitSpec;
use crate::verdict::{Difference, Verdict};

/// Judges a unit that is there: it runs, it starts with the host, and what it read when it started is what is there now.
#[must_use]
pub fn judge(seen: &UnitSeen) -> Verdict {
    let mut differences = Vec::new();
    match &seen.enabled {
        Err(word) if word == "masked" => {
            return Verdict::Refuse("it is masked, so somebody wants it not to start; systemctl unmask it".to_owned());
        }
        Err(word) => differences.push(Difference::new("enabled", word.as_str(), "enabled")),
        Ok(()) => {}
    }
    match &seen.active {
        Err(word) => differences.push(Difference::new("state", word.as_str(), "active")),
        Ok(()) => differences.extend(seen.started.and_then(|started| newer(started, &seen.reads))),
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// Judges a unit that systemd does not know.
#[must_use]
pub fn judge_absent(spec: &UnitSpec) -> Verdict {
    Verdict::Refuse(format!("systemd has no unit {}; install it, as Kubernetes' packages do", spec.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> UnitSeen {
        let reads = vec![("/var/lib/kubelet/config.yaml".to_owned(), 100)];
        UnitSeen { active: Ok(()), enabled: Ok(()), started: Some(200), reads }
    }

    #[test]
    fn a_unit_that_started_after_its_files_changed_is_left_alone() {
        assert_eq!(judge(&running()), Verdict::Same);
    }

    #[test]
    fn a_unit_starts_again_when_a_file_is_newer_than_its_start() {
        let seen = UnitSeen { started: Some(50), ..running() };
        let Verdict::Update(differences) = judge(&seen) else { panic!("it is left alone") };
        assert_eq!(differences[0].before.as_deref(), Some("before /var/lib/kubelet/config.yaml changed"));
    }

    #[test]
    fn a_stopped_or_disabled_unit_is_put_right_and_a_masked_one_is_left_to_whoever_masked_it() {
        let stopped = UnitSeen { active: Err("inactive (dead)".to_owned()), started: None, ..running() };
        assert_eq!(judge(&stopped), Verdict::Update(vec![Difference::new("state", "inactive (dead)", "active")]));
        let disabled = UnitSeen { enabled: Err("disabled".to_owned()), ..running() };
        assert_eq!(judge(&disabled), Verdict::Update(vec![Difference::new("enabled", "disabled", "enabled")]));
        let masked = UnitSeen { enabled: Err("masked".to_owned()), ..running() };
        assert!(matches!(judge(&masked), Verdict::Refuse(_)));
    }
}
