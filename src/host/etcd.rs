//! etcd's cluster API over gRPC: its members, and the removal of one. Names, tags and types are those of `rpc.proto` of etcd.
//!
//! What is here asks and acts; it judges nothing. Every call has a deadline. Calls block, and must not be made from a task of the
//! runtime that they run on.

use std::error::Error;
use std::time::Duration;

use prost::Message;
use tokio::runtime::Handle;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

use crate::host::root_cause;
use crate::reset::Member;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a call may take. etcd gives up on one that needs its quorum after seven seconds by default.
const CALL: Duration = Duration::from_secs(10);

/// A call that failed: which operation, where, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} at {endpoint}: {why}")]
pub struct EtcdError {
    /// What was tried.
    pub operation: &'static str,
    /// The URL of the member that was asked.
    pub endpoint: String,
    /// Why it failed.
    pub why: String,
}

/// A client of etcd, with a certificate that etcd's CA has signed.
pub struct Etcd {
    tls: ClientTlsConfig,
    runtime: Handle,
}

#[derive(Clone, PartialEq, Message)]
struct MemberListRequest {
    /// Asks the quorum. Without it the member that is asked answers by itself, also where there is no quorum any more.
    #[prost(bool, tag = "1")]
    linearizable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct MemberRemoveRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
}

/// The answer of both calls; its header is skipped.
#[derive(Clone, PartialEq, Message)]
struct Members {
    #[prost(message, repeated, tag = "2")]
    members: Vec<MemberMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct MemberMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    client_urls: Vec<String>,
}

impl Etcd {
    /// A client. Nothing is connected yet; PEM that is none is told by the first call.
    #[must_use]
    pub fn new(ca: &[u8], certificate: &[u8], key: &[u8], runtime: Handle) -> Self {
        let identity = Identity::from_pem(certificate, key);
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).identity(identity);
        Self { tls, runtime }
    }

    /// The members, as the one at an URL knows them.
    ///
    /// # Errors
    /// It cannot be reached, or refused.
    pub fn members(&self, endpoint: &str) -> Result<Vec<Member>, EtcdError> {
        let request = MemberListRequest { linearizable: false };
        self.call("list etcd's members", endpoint, "/etcdserverpb.Cluster/MemberList", request)
    }

    /// Removes a member. Gives those that are left.
    ///
    /// # Errors
    /// The member at the URL cannot be reached, or refused: there is no such member, or no quorum without it.
    pub fn remove(&self, endpoint: &str, id: u64) -> Result<Vec<Member>, EtcdError> {
        let request = MemberRemoveRequest { id };
        self.call("remove an etcd member", endpoint, "/etcdserverpb.Cluster/MemberRemove", request)
    }

    fn call<Q: Message + 'static>(
        &self,
        operation: &'static str,
        endpoint: &str,
        method: &'static str,
        request: Q,
    ) -> Result<Vec<Member>, EtcdError> {
        let call = async {
            let address = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| cause(&error))?;
            let address =
                address.connect_timeout(CONNECT).tls_config(self.tls.clone()).map_err(|error| cause(&error))?;
            let mut client = Grpc::new(address.connect().await.map_err(|error| cause(&error))?);
            client.ready().await.map_err(|error| cause(&error))?;
            let codec: ProstCodec<Q, Members> = ProstCodec::default();
            let answer = client.unary(Request::new(request), PathAndQuery::from_static(method), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| match status.source() {
                Some(source) => cause(source),
                None => status.message().to_owned(),
            })
        };
        let bounded = async { tokio::time::timeout(CALL, call).await };
        let answer = self.runtime.block_on(bounded).unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let answer = answer.map_err(|why| EtcdError { operation, endpoint: endpoint.to_owned(), why })?;
        let member = |member: MemberMessage| Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
        };
        Ok(answer.members.into_iter().map(member).collect())
    }
}

/// What led to an error, in its own words.
fn cause(error: &(dyn Error + 'static)) -> String {
    root_cause(error).to_string()
}
