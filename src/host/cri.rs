//! The container runtime, over CRI v1: gRPC on a Unix socket, as the kubelet and kubeadm speak to it.
//!
//! What is here asks and acts; it judges nothing. Every call has a deadline. Calls block, and must not be made from a task of the
//! runtime that they run on.

mod error;
mod events;
pub mod log;
mod messages;
mod seen;

use std::time::Duration;

use futures::future::join_all;
use prost::Message;
use tokio::runtime::Handle;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

pub use error::{CriCause, CriError};
pub(in crate::host) use seen::POD_LABEL;
pub use seen::{ContainerSeen, ContainerState, ImageSeen, PodSeen, RuntimeCondition, RuntimeVersion, Scope};

/// How long a question may take. They are answered from the runtime's memory, in milliseconds on a quiet host; kubeadm gives two
/// seconds, which a host that boots or pulls images can exceed.
const ASK: Duration = Duration::from_secs(10);

/// How long stopping and removing may take, besides the time that a container is given to end by itself: processes are killed, networks
/// torn down by CNI plugins, file systems unmounted. The same as the kubelet's `runtimeRequestTimeout` by default.
const ACT: Duration = Duration::from_secs(2 * 60);

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

    /// Whether it tells the kubelet its cgroup driver: runtimes before containerd 2 and CRI-O 1.28 have no such call.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn tells_cgroup_driver(&self) -> Result<bool, CriError> {
        let asked = ("ask for", "the container runtime's cgroup driver");
        match self.call::<_, messages::Done>(
            asked,
            "/runtime.v1.RuntimeService/RuntimeConfig",
            messages::RuntimeConfigRequest {},
            ASK,
        ) {
            Err(CriError { cause: CriCause::NotServed { .. }, .. }) => Ok(false),
            answer => answer.map(|_| true),
        }
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

    /// Images, by any of their names, in the order in which they are named; none where the host does not have it, or where it is no
    /// image's name; an error where the runtime cannot be reached, or refused.
    #[must_use]
    pub fn images_of(&self, references: &[&str]) -> Vec<Result<Option<ImageSeen>, CriError>> {
        let method = "/runtime.v1.ImageService/ImageStatus";
        let looks = references.iter().map(|reference| {
            let request = messages::ImageStatusRequest { image: Some(spec(reference)) };
            self.ask::<_, messages::ImageStatusResponse>(("look for image", *reference), method, request, ASK)
        });
        let answers = self.runtime.block_on(join_all(looks.collect::<Vec<_>>()));
        answers.into_iter().map(|answer| Ok(answer?.image.map(ImageSeen::from))).collect()
    }

    /// Pulls an image, once, with the mirrors and credentials that the runtime is configured with. Gives its id, once it is complete.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused (what the registry said is in its message), or the pull took longer than it may.
    pub fn pull(&self, reference: &str, within: Duration) -> Result<String, CriError> {
        let answer: messages::PullImageResponse = self.call(
            ("pull", reference),
            "/runtime.v1.ImageService/PullImage",
            messages::PullImageRequest { image: Some(spec(reference)) },
            within,
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

    /// The containers of those Pods of a namespace whose names are meant, the dead ones too: one question for the list, and one for each. One that goes between the
    /// two is left out.
    ///
    /// # Errors
    /// The runtime cannot be reached, or refused.
    pub fn containers(&self, namespace: &str, of: &dyn Fn(&str) -> bool) -> Result<Vec<ContainerSeen>, CriError> {
        let filter = Some(messages::ContainerFilter { label_selector: Scope::Namespace(namespace).labels() });
        let answer: messages::ListContainersResponse = self.call(
            ("list", "containers"),
            "/runtime.v1.RuntimeService/ListContainers",
            messages::ListContainersRequest { filter },
            ASK,
        )?;
        let of_them = |listed: &messages::Container| listed.labels.get(POD_LABEL).is_some_and(|pod| of(pod));
        let looks = answer.containers.into_iter().filter(of_them).map(|listed| self.container(listed));
        let looked = self.runtime.block_on(join_all(looks.collect::<Vec<_>>()));
        looked.into_iter().filter(|looked| !looked.as_ref().is_err_and(CriError::is_not_found)).collect()
    }

    /// The status of a container that was listed.
    async fn container(&self, listed: messages::Container) -> Result<ContainerSeen, CriError> {
        let request = messages::ContainerStatusRequest { container_id: listed.id.clone(), verbose: true };
        let method = "/runtime.v1.RuntimeService/ContainerStatus";
        let answer = self.ask(("look at container", &listed.id), method, request, ASK).await?;
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

    /// The same, for who waits.
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
        self.runtime.block_on(self.ask((operation, what), method, request, deadline))
    }

    /// One call, and its answer in time.
    async fn ask<Q, A>(
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
        let call = async {
            client.ready().await.map_err(|error| CriCause::unreachable(endpoint(), &error))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            let answer = client.unary(Request::new(request), PathAndQuery::from_static(method), codec).await;
            answer.map_err(|status| CriCause::from_status(endpoint(), &status))
        };
        match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner).map_err(failed),
            Err(_) => Err(failed(CriCause::Late { endpoint: endpoint(), deadline })),
        }
    }
}

/// An image, as it is asked for.
fn spec(reference: &str) -> messages::ImageSpec {
    messages::ImageSpec { image: reference.to_owned(), ..messages::ImageSpec::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::connections::Connections;
    use std::os::unix::net::UnixListener;

    fn runtime() -> Connections {
        Connections::new().unwrap()
    }

    #[test]
    fn a_runtime_that_is_not_there_is_told_apart_with_the_place_and_the_reason() {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let path = folder.path().join("containerd.sock");
        let endpoint = format!("unix://{}", path.display());
        let cri = Cri::new(&endpoint, runtime.handle().clone());
        let missing = cri.pull("registry.k8s.io/pause:3.10.2", ASK).unwrap_err();
        assert!(missing.is_unreachable() && !missing.is_not_found());
        assert_eq!(missing.to_string(), "cannot pull registry.k8s.io/pause:3.10.2");
        let reason = "No such file or directory (os error 2)";
        assert_eq!(
            missing.cause.to_string(),
            format!("the container runtime cannot be reached at {endpoint}: {reason}")
        );
        drop(UnixListener::bind(&path).unwrap()); // the socket's file stays
        let refused = cri.version().unwrap_err();
        assert!(refused.is_unreachable() && refused.cause.to_string().contains("refused"), "{refused:?}");
    }

    #[test]
    fn an_endpoint_that_is_no_socket_is_told_by_the_first_call() {
        let runtime = runtime();
        for endpoint in ["tcp://127.0.0.1:1", "npipe:////./pipe/containerd", "unix://run/x", ""] {
            let error = Cri::new(endpoint, runtime.handle().clone()).version().unwrap_err();
            assert!(matches!(error.cause, CriCause::Endpoint { .. }), "{endpoint}: {error:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_silence_and_from_a_runtime_without_cri() {
        let cause = |code, text: &str| CriCause::from_status("unix:///x".to_owned(), &tonic::Status::new(code, text));
        // One that came over the wire is the runtime's own word, whatever its code.
        assert!(matches!(cause(tonic::Code::Unavailable, "busy"), CriCause::Refused { .. }));
        assert!(matches!(cause(tonic::Code::Unimplemented, "unknown service"), CriCause::NotServed { .. }));
        let error = |cause| CriError { operation: "stop container", what: "x".to_owned(), cause };
        assert!(error(cause(tonic::Code::NotFound, "gone")).is_not_found());
        let late = |deadline| error(CriCause::Late { endpoint: String::new(), deadline });
        assert!(late(ASK).is_unreachable() && !late(ACT).is_unreachable());
    }
}
