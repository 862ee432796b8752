//! What to tell a person about something that does not come up: its state, its last words, and where to look further.

use std::time::Duration;

use crate::desired::live::KUBELET;
use crate::host::cri::{self, ContainerSeen, ContainerState};
use crate::host::live::Live;
use crate::host::systemd::journal;
use crate::resource::{Condition, GateSpec, StaticPodSpec};

/// How many of the last lines of a log are shown.
const LINES: usize = 8;

impl Live {
    /// What was seen when time ran out.
    pub(super) fn diagnose(&self, spec: &GateSpec, waited: Duration, why: &str) -> String {
        let more = match &spec.condition {
            Condition::StaticPod(pod) => self.of_pod(pod),
            Condition::SelfHosted(spec) | Condition::NotSelfHosted(spec) => self.of_self_hosted(spec),
            Condition::Url(_) | Condition::Kubelet(_) | Condition::Node(_) => of_kubelet(),
            Condition::ApiAnswers(_) | Condition::SelfHostedApi(_) => {
                "; what is said of etcd, kube-apiserver and the kubelet tells more".to_owned()
            }
            Condition::ApiReady(_) => "; see: kubectl -n kube-system logs daemonset/kube-proxy".to_owned(),
            Condition::RolledOut { kind, name } => {
                format!("; see: kubectl -n kube-system describe {} {name}", kind.to_lowercase())
            }
        };
        format!("{why}, for {} s{more}", waited.as_secs())
    }

    fn of_pod(&self, pod: &StaticPodSpec) -> String {
        let containers = self.containers(&[pod]);
        let Ok(Some(container)) = containers.newest(pod) else {
            return format!("; no container of it was made{}", of_kubelet());
        };
        // A container that was only just made again has not said yet why the one before it ended.
        let before = containers.ended_before(container, pod).filter(|_| container.restarts > 0);
        let before = before.map(|before| format!("; before it, {}", of_container(before))).unwrap_or_default();
        format!("; {}{before}; see journalctl -u kubelet", of_container(container))
    }
}

/// A container's state, its last lines and where more of them are.
pub(super) fn of_container(container: &ContainerSeen) -> String {
    let (id, log) = (short(&container.id), &container.log_path);
    let lines = std::fs::File::open(log).and_then(|file| cri::log::tail(file, LINES)).unwrap_or_default();
    format!("container {id}: {}{}; see {log} and crictl logs {id}", state(container), last_lines("its", &lines))
}

fn of_kubelet() -> String {
    let lines = journal(KUBELET, LINES).unwrap_or_default();
    format!("{}; see journalctl -u kubelet", last_lines("the kubelet's", &lines))
}

fn last_lines(whose: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("; {whose} last lines:\n        {}\n      ", lines.join("\n        "))
    }
}

/// A container's state in words.
pub fn state(container: &ContainerSeen) -> String {
    let restarts = match container.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    match container.state {
        ContainerState::Running => format!("it runs{restarts}"),
        ContainerState::Exited => {
            let reason = if container.reason.is_empty() { String::new() } else { format!(" ({})", container.reason) };
            format!("it exited with code {}{reason}{restarts}", container.exit_code)
        }
        ContainerState::Created => "it was made and has not started".to_owned(),
        ContainerState::Unknown => "the runtime does not know its state".to_owned(),
    }
}

/// As much of a container's id as crictl shows.
fn short(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}
