//! The end of containers, as the container runtime tells of it.

use std::time::Duration;

use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::{Cri, messages};

/// How long to wait before a runtime is asked again that is away, or that tells nothing: CRI-O does not unless it was told to.
const AGAIN: Duration = Duration::from_secs(5);

/// `CONTAINER_STOPPED_EVENT`.
const STOPPED: i32 = 2;

impl Cri {
    /// Tells, from now on, of each container that ends: the name of its Pod. What ends while the runtime is away is told by nobody.
    pub fn listen(&self, ended: impl Fn(&str) + Send + Sync + 'static) {
        let Some(channel) = self.channel.clone() else { return };
        self.runtime.spawn(async move {
            loop {
                // Whatever broke it, there is nothing else to be done but to begin anew.
                let _ = follow(channel.clone(), &ended).await;
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

async fn follow(
    channel: Channel,
    ended: &(impl Fn(&str) + Sync),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let codec: ProstCodec<messages::GetEventsRequest, messages::ContainerEventResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static("/runtime.v1.RuntimeService/GetContainerEvents");
    let mut events =
        client.server_streaming(Request::new(messages::GetEventsRequest {}), path, codec).await?.into_inner();
    while let Some(event) = events.message().await? {
        let pod = event.pod_sandbox_status.and_then(|status| status.metadata).map(|metadata| metadata.name);
        if let Some(pod) = pod.filter(|_| event.container_event_type == STOPPED) {
            ended(&pod);
        }
    }
    Ok(())
}
