//! From CRI's messages to what was seen.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ContainerSeen, ContainerState, ImageSeen, PodSeen, Scope, messages};

/// The namespace of a Pod, as a label that the kubelet puts on sandboxes and containers.
const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// How often the kubelet has restarted a container, as an annotation that it puts on it.
const RESTARTS_ANNOTATION: &str = "io.kubernetes.container.restartCount";

impl Scope<'_> {
    /// The labels that are asked for.
    pub(super) fn labels(self) -> BTreeMap<String, String> {
        match self {
            Self::All => BTreeMap::new(),
            Self::Namespace(name) => BTreeMap::from([(NAMESPACE_LABEL.to_owned(), name.to_owned())]),
        }
    }
}

impl From<messages::Image> for ImageSeen {
    fn from(image: messages::Image) -> Self {
        let messages::Image { id, repo_tags: tags, repo_digests: digests, size } = image;
        Self { id, tags, digests, size }
    }
}

impl From<messages::PodSandbox> for PodSeen {
    fn from(pod: messages::PodSandbox) -> Self {
        let messages::PodSandbox { id, metadata, state, created_at, labels, annotations } = pod;
        let messages::PodSandboxMetadata { name, uid, namespace } = metadata.unwrap_or_default();
        Self { id, name, namespace, uid, ready: state == 0, created_at, labels, annotations }
    }
}

impl From<i32> for ContainerState {
    fn from(number: i32) -> Self {
        match number {
            0 => Self::Created,
            1 => Self::Running,
            2 => Self::Exited,
            _ => Self::Unknown,
        }
    }
}

impl ContainerSeen {
    /// What a container's place in the list and its verbose status say.
    pub(super) fn new(listed: messages::Container, answer: messages::ContainerStatusResponse) -> Self {
        let status = answer.status.unwrap_or_default();
        // Not of one form in all runtimes: containerd and CRI-O have JSON under `info`.
        let info =
            answer.info.get("info").and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
        let named = [listed.image, status.image].map(Option::unwrap_or_default);
        let [by_user, by_user_too] = named.each_ref().map(|image| &image.user_specified_image);
        let image = [by_user, by_user_too, &named[1].image, &named[0].image].into_iter().find(|name| !name.is_empty());
        let restarts = status.annotations.get(RESTARTS_ANNOTATION).and_then(|count| count.parse().ok()).unwrap_or(0);
        Self {
            id: status.id,
            pod: listed.pod_sandbox_id,
            name: status.metadata.unwrap_or_default().name,
            image: image.cloned().unwrap_or_default(),
            image_ref: status.image_ref,
            state: ContainerState::from(status.state),
            created_at: status.created_at,
            started_at: time(status.started_at),
            finished_at: time(status.finished_at),
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            restarts,
            log_path: status.log_path,
            pid: info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            command: command(&info),
            labels: status.labels,
            annotations: status.annotations,
        }
    }
}

/// A time of CRI, where 0 is none.
fn time(nanoseconds: i64) -> Option<i64> {
    (nanoseconds != 0).then_some(nanoseconds)
}

/// The program and its arguments: as the process was made (`runtimeSpec`, which has the image's entrypoint in it), else as the kubelet
/// asked for it (`config`).
fn command(info: &Value) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let made = words(&info["runtimeSpec"]["process"]["args"]);
    if made.is_empty() { [words(&info["config"]["command"]), words(&info["config"]["args"])].concat() } else { made }
}
