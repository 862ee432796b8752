//! The container runtime, over CRI v1: gRPC on a Unix socket, as the kubelet and kubeadm speak to it.
//!
//! What is here asks and acts; it judges nothing. Every call has a deadline. Calls block, and must not be made from a task of the
//! runtime that they run on.

mod error;
pub mod log;
mod messages;
mod seen;

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use tokio::runtime::Handle;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

pub use error::{CriCause, CriError};

/// How long a question may take. They are answered from the runtime's memory, in milliseconds on a quiet host; kubeadm gives two
/// seconds, which a host that boots or pulls images can exceed.
const ASK: Duration = Duration::from_secs(10);

/// How long stopping and removing may take, besides the time that a container is given to end by itself: processes are killed, networks
/// torn down by CNI plugins, file systems unmounted. The same as the kubelet's `runtimeRequestTimeout` by default.
const ACT: Duration = Duration::from_secs(2 * 60);

/// How long one pull may take. kubeadm sets no bound, so a registry that trickles holds it up for ever. The largest image of a control
/// plane is some tens of megabytes, which arrive in this time at one megabit a second; containerd ends a pull without progress after five
/// minutes by itself. What was downloaded completely is kept by the runtime, so the next try goes on from there.
const PULL: Duration = Duration::from_secs(10 * 60);

/// The largest answer that is read, as kubelet and crictl have it: a host with many images or containers exceeds gRPC's 4 MiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A container runtime. It connects when it is first asked, and again when the connection was lost.
#[derive(Debug)]
pub struct Cri {
    endpoint: String,
    runtime: Handle,
    /// None where the endpoint is no Unix socket's.
    channel: Option<Channel>,
}

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
    /// Its log on the host; empty where there is none. [`log::tail`] reads it.
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

impl Cri {
    /// The runtime at an endpoint such as `unix:///run/containerd/containerd.sock` (kubeadm's `criSocket`; a bare absolute path is
    /// taken too). Nothing is connected yet, and a wrong endpoint is told by the first call.
    #[must_use]
    pub fn new(endpoint: &str, runtime: Handle) -> Self {
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        // The connection's own task is made by the runtime that is current.
        let entered = runtime.enter();
        let address = path.starts_with('/').then(|| Endpoint::from_shared(format!("unix://{path}")).ok()).flatten();
        let channel = address.map(|address| address.connect_lazy());
        drop(entered);
        Self { endpoint: endpoint.to_owned(), runtime, channel }
    }

    /// Who answers.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn version(&self) -> Result<RuntimeVersion, CriError> {
        let answer: messages::VersionResponse = self.call(
            ("ask for", "the container runtime's version"),
            "/runtime.v1.RuntimeService/Version",
            messages::VersionRequest {},
            ASK,
        )?;
        let messages::VersionResponse { name, version, api } = answer;
        Ok(RuntimeVersion { name, version, api })
    }

    /// Whether it can run Pods, and give them a network.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn status(&self) -> Result<Vec<RuntimeCondition>, CriError> {
        let answer: messages::StatusResponse = self.call(
            ("ask for", "the container runtime's status"),
            "/runtime.v1.RuntimeService/Status",
            messages::StatusRequest {},
            ASK,
        )?;
        let conditions = answer.status.unwrap_or_default().conditions.into_iter();
        Ok(conditions
            .map(|condition| {
                let messages::RuntimeCondition { r#type: name, status, reason, message } = condition;
                RuntimeCondition { name, status, reason, message }
            })
            .collect())
    }

    /// The images on the host.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn images(&self) -> Result<Vec<ImageSeen>, CriError> {
        let answer: messages::ListImagesResponse =
            self.call(("list", "images"), "/runtime.v1.ImageService/ListImages", messages::ListImagesRequest {}, ASK)?;
        Ok(answer.images.into_iter().map(ImageSeen::from).collect())
    }

    /// One image, by any of its names; none where the host does not have it, or where it is no image's name.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn image(&self, reference: &str) -> Result<Option<ImageSeen>, CriError> {
        let answer: messages::ImageStatusResponse = self.call(
            ("look for image", reference),
            "/runtime.v1.ImageService/ImageStatus",
            messages::ImageStatusRequest { image: Some(spec(reference)) },
            ASK,
        )?;
        Ok(answer.image.map(ImageSeen::from))
    }

    /// Pulls an image, with the credentials that the runtime is configured with. Gives its id, once it is complete. Pulls beside each
    /// other are fine: kubeadm too does them all at once.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused (what the registry said is in its message), or the pull took longer than ten minutes.
    pub fn pull(&self, reference: &str) -> Result<String, CriError> {
        let answer: messages::PullImageResponse = self.call(
            ("pull", reference),
            "/runtime.v1.ImageService/PullImage",
            messages::PullImageRequest { image: Some(spec(reference)) },
            PULL,
        )?;
        Ok(answer.image_ref)
    }

    /// The Pods' sandboxes, the dead ones too.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn pods(&self, scope: Scope<'_>) -> Result<Vec<PodSeen>, CriError> {
        let filter = Some(messages::PodSandboxFilter { label_selector: scope.labels() });
        let answer: messages::ListPodSandboxResponse = self.call(
            ("list", "Pods"),
            "/runtime.v1.RuntimeService/ListPodSandbox",
            messages::ListPodSandboxRequest { filter },
            ASK,
        )?;
        Ok(answer.items.into_iter().map(PodSeen::from).collect())
    }

    /// The containers, the dead ones too: one question for the list, and one for each. One that goes between the two is left out.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn containers(&self, scope: Scope<'_>) -> Result<Vec<ContainerSeen>, CriError> {
        let filter = Some(messages::ContainerFilter { label_selector: scope.labels() });
        let answer: messages::ListContainersResponse = self.call(
            ("list", "containers"),
            "/runtime.v1.RuntimeService/ListContainers",
            messages::ListContainersRequest { filter },
            ASK,
        )?;
        let mut seen = Vec::with_capacity(answer.containers.len());
        for listed in answer.containers {
            match self.container(listed) {
                Ok(container) => seen.push(container),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// The status of a container that was listed.
    fn container(&self, listed: messages::Container) -> Result<ContainerSeen, CriError> {
        let answer: messages::ContainerStatusResponse = self.call(
            ("look at container", &listed.id),
            "/runtime.v1.RuntimeService/ContainerStatus",
            messages::ContainerStatusRequest { container_id: listed.id.clone(), verbose: true },
            ASK,
        )?;
        Ok(ContainerSeen::new(listed, answer))
    }

    /// Asks a container to end, and kills it once `timeout` (whole seconds) is over. One that does not exist is stopped.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn stop_container(&self, id: &str, timeout: Duration) -> Result<(), CriError> {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        self.act(
            ("stop container", id),
            "/runtime.v1.RuntimeService/StopContainer",
            messages::StopContainerRequest { container_id: id.to_owned(), timeout: seconds },
            timeout.saturating_add(ACT),
        )
    }

    /// Removes a container, killing it if it runs. One that does not exist is removed.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn remove_container(&self, id: &str) -> Result<(), CriError> {
        self.act(
            ("remove container", id),
            "/runtime.v1.RuntimeService/RemoveContainer",
            messages::RemoveContainerRequest { container_id: id.to_owned() },
            ACT,
        )
    }

    /// Kills a Pod's containers and tears its network down. One that does not exist is stopped.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn stop_pod(&self, id: &str) -> Result<(), CriError> {
        let request = messages::PodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.act(("stop Pod", id), "/runtime.v1.RuntimeService/StopPodSandbox", request, ACT)
    }

    /// Removes a Pod's sandbox with its containers. One that does not exist is removed.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn remove_pod(&self, id: &str) -> Result<(), CriError> {
        let request = messages::PodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.act(("remove Pod", id), "/runtime.v1.RuntimeService/RemovePodSandbox", request, ACT)
    }

    /// A call that brings something to an end. CRI wants these idempotent; not every runtime is.
    fn act<Q: Message + 'static>(
        &self,
        subject: (&'static str, &str),
        method: &'static str,
        request: Q,
        deadline: Duration,
    ) -> Result<(), CriError> {
        match self.call::<Q, messages::Done>(subject, method, request, deadline) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// One call, and its answer in time.
    fn call<Q, A>(
        &self,
        (operation, what): (&'static str, &str),
        method: &'static str,
        request: Q,
        deadline: Duration,
    ) -> Result<A, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let failed = |cause| CriError { operation, what: what.to_owned(), cause };
        let endpoint = || self.endpoint.clone();
        let Some(channel) = &self.channel else { return Err(failed(CriCause::Endpoint { endpoint: endpoint() })) };
        let mut client = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let answer = self.runtime.block_on(async {
            let call = async {
                client.ready().await.map_err(|error| CriCause::unreachable(endpoint(), &error))?;
                let codec: ProstCodec<Q, A> = ProstCodec::default();
                let answer = client.unary(Request::new(request), PathAndQuery::from_static(method), codec).await;
                answer.map_err(|status| CriCause::from_status(endpoint(), &status))
            };
            tokio::time::timeout(deadline, call).await
        });
        match answer {
            Ok(answer) => answer.map(tonic::Response::into_inner).map_err(failed),
            Err(_) => Err(failed(CriCause::Late { endpoint: endpoint(), deadline })),
        }
    }
}

/// An image, as it is asked for.
fn spec(reference: &str) -> messages::ImageSpec {
    messages::ImageSpec { image: reference.to_owned(), ..messages::ImageSpec::default() }
}
