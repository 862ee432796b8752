//! What is seen of a container runtime, and how it comes out of CRI's messages.

use std::collections::BTreeMap;

use serde_json::Value;

use super::messages;

/// The namespace of a Pod, as a label that the kubelet puts on sandboxes and containers.
const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// The name of a Pod, as a label that the kubelet puts on sandboxes and containers.
pub(in crate::host) const POD_LABEL: &str = "io.kubernetes.pod.name";

/// How often the kubelet has restarted a container, as an annotation that it puts on it.
const RESTARTS_ANNOTATION: &str = "io.kubernetes.container.restartCount";

/// Who the runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `containerd`, `cri-o`.
    pub name: String,
    /// Its version, as it spells it.
    pub version: String,
    /// The version of CRI: `v1`.
    pub api: String,
}

/// A condition of the runtime. `RuntimeReady` and `NetworkReady` are always there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeCondition {
    /// Its type: `RuntimeReady`, `NetworkReady`.
    pub name: String,
    /// It holds.
    pub status: bool,
    /// Why not, in one word.
    pub reason: String,
    /// Why not, for people.
    pub message: String,
}

/// An image on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSeen {
    /// The digest of its configuration.
    pub id: String,
    /// Its names with tags: `registry.k8s.io/pause:3.10.2`.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes, as the runtime counts them: of what was downloaded, or of what that became.
    pub size: u64,
}

/// Which Pods and containers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everything that the runtime runs through CRI.
    All,
    /// What the kubelet made for Pods of one namespace, by its label `io.kubernetes.pod.namespace`.
    Namespace(&'a str),
}

/// A Pod's sandbox. The kubelet makes another when it restarts the Pod as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// The runtime's id of the sandbox.
    pub id: String,
    /// The Pod's name; a static Pod's has the node's name at its end.
    pub name: String,
    /// The Pod's namespace.
    pub namespace: String,
    /// The Pod's uid; a static Pod's is the hash of its manifest (annotation `kubernetes.io/config.hash`).
    pub uid: String,
    /// The sandbox is up (`SANDBOX_READY`).
    pub ready: bool,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// The Pod's labels, and the kubelet's.
    pub labels: BTreeMap<String, String>,
    /// The Pod's annotations, and the kubelet's.
    pub annotations: BTreeMap<String, String>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// It was made and not started.
    Created,
    /// It runs.
    Running,
    /// It ended.
    Exited,
    /// The runtime does not know, or says what CRI v1 has no word for.
    Unknown,
}

/// A container of a Pod. The kubelet makes another for every restart, and keeps some of the dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSeen {
    /// The runtime's id.
    pub id: String,
    /// The id of the sandbox that it belongs to.
    pub pod: String,
    /// Its name in the Pod: `kube-apiserver`.
    pub name: String,
    /// The image as the Pod names it, where the runtime tells; else as the runtime does.
    pub image: String,
    /// The image that runs, with digest or as an id.
    pub image_ref: String,
    /// What it does.
    pub state: ContainerState,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// When it was started, in nanoseconds since 1970; none where it was not.
    pub started_at: Option<i64>,
    /// When it ended, in nanoseconds since 1970; none where it did not.
    pub finished_at: Option<i64>,
    /// Its exit code; 0 while it has none.
    pub exit_code: i32,
    /// Why it is in this state, in one word: `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// Why it is in this state, for people.
    pub message: String,
    /// How often the kubelet has restarted it, by its annotation `io.kubernetes.container.restartCount`; 0 without.
    pub restarts: u32,
    /// Its log on the host; empty where there is none. [`super::log::tail`] reads it.
    pub log_path: String,
    /// The process on the host; none where nothing runs or the runtime does not tell.
    pub pid: Option<u32>,
    /// The program and its arguments; empty where the runtime does not tell.
    pub command: Vec<String>,
    /// The kubelet's labels, such as `io.kubernetes.pod.name`.
    pub labels: BTreeMap<String, String>,
    /// The kubelet's annotations, such as `io.kubernetes.container.hash`.
    pub annotations: BTreeMap<String, String>,
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// A field of protobuf whose value is bytes: tag, length, value.
    fn field(tag: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![(tag << 3) | 2, u8::try_from(value.len()).unwrap()];
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn a_pod_is_read_from_the_wire_and_fields_that_are_not_known_are_skipped() {
        let metadata = [field(1, b"etcd-cp1"), field(2, b"uid"), field(3, b"kube-system"), vec![4 << 3, 2]].concat();
        let label = [field(1, b"tier"), field(2, b"control-plane")].concat();
        let pod = [field(1, b"id"), field(2, &metadata), vec![3 << 3, 1], field(5, &label), field(7, b"runc")].concat();
        let pods = messages::ListPodSandboxResponse::decode(field(1, &pod).as_slice()).unwrap();
        let pod = PodSeen::from(pods.items.into_iter().next().unwrap());
        assert_eq!((pod.name.as_str(), pod.uid.as_str(), pod.namespace.as_str()), ("etcd-cp1", "uid", "kube-system"));
        assert!(!pod.ready, "SANDBOX_NOTREADY is 1");
        assert_eq!(pod.labels["tier"], "control-plane");
    }

    #[test]
    fn a_namespace_is_asked_for_by_the_kubelets_label() {
        let filter = messages::ContainerFilter { label_selector: Scope::Namespace("kube-system").labels() };
        let label = [field(1, b"io.kubernetes.pod.namespace"), field(2, b"kube-system")].concat();
        assert_eq!(filter.encode_to_vec(), field(4, &label));
        let all = messages::PodSandboxFilter { label_selector: Scope::All.labels() };
        assert!(all.encode_to_vec().is_empty());
    }

    #[test]
    fn a_container_is_read_with_its_command_its_restarts_and_the_image_that_its_pod_names() {
        let seen = |info: &str, restarts: &str| {
            let spec = |image: &str, by_user: &str| {
                Some(messages::ImageSpec { image: image.to_owned(), user_specified_image: by_user.to_owned() })
            };
            let listed = messages::Container { image: spec("sha256:ab", "pause:1"), ..Default::default() };
            let status = messages::ContainerStatus {
                state: 2,
                started_at: 5,
                image: spec("registry.k8s.io/pause:1", ""),
                annotations: BTreeMap::from([(RESTARTS_ANNOTATION.to_owned(), restarts.to_owned())]),
                ..Default::default()
            };
            let info = BTreeMap::from([("info".to_owned(), info.to_owned())]);
            ContainerSeen::new(listed, messages::ContainerStatusResponse { status: Some(status), info })
        };
        let made = seen(r#"{"pid": 7, "runtimeSpec": {"process": {"args": ["/pause", "-v"]}}}"#, "3");
        assert_eq!((made.command.join(" "), made.pid, made.restarts), ("/pause -v".to_owned(), Some(7), 3));
        assert_eq!((made.state, made.started_at, made.finished_at), (ContainerState::Exited, Some(5), None));
        assert_eq!(made.image, "pause:1");
        let asked = seen(r#"{"pid": 0, "config": {"command": ["etcd"], "args": ["--name=a"]}}"#, "many");
        assert_eq!((asked.command.join(" "), asked.pid, asked.restarts), ("etcd --name=a".to_owned(), None, 0));
        assert!(seen("no JSON", "").command.is_empty());
    }
}
