//! Why a call to the container runtime failed.

use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

use crate::host::root_cause;

/// A call that failed: which operation, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {what}")]
pub struct CriError {
    /// What was tried: `pull`, `list`, `stop`.
    pub operation: &'static str,
    /// The image, the container, or what was asked for.
    pub what: String,
    /// Why.
    #[source]
    pub cause: CriCause,
}

/// Why a call failed: nobody answers, or the runtime says no.
#[derive(Debug, thiserror::Error)]
pub enum CriCause {
    /// The endpoint is no Unix socket's: nothing was tried.
    #[error("`{endpoint}` is not the address of a Unix socket, such as unix:///run/containerd/containerd.sock")]
    Endpoint {
        /// The endpoint that was given.
        endpoint: String,
    },
    /// The socket is missing, refuses, or broke off. The call may have been begun if it broke off.
    #[error("the container runtime cannot be reached at {endpoint}: {reason}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What the system says: `No such file or directory (os error 2)`.
        reason: String,
        /// The system does not permit it.
        denied: bool,
    },
    /// There was no answer in time. The call was cancelled; what it had begun may still come to its end.
    #[error("the container runtime at {endpoint} gave no answer within {} s", deadline.as_secs_f32())]
    Late {
        /// The endpoint.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// Something listens, but does not serve the CRI v1 that Kubernetes needs. It is kubeadm's commonest first failure, since
    /// containerd is packaged by some with its CRI disabled.
    #[error(
        "{endpoint} does not serve CRI v1 (in containerd's configuration, `cri` must not be in disabled_plugins): {message}"
    )]
    NotServed {
        /// The endpoint.
        endpoint: String,
        /// What the runtime said.
        message: String,
    },
    /// The runtime answered, and refused.
    #[error("the container runtime refused: {message}")]
    Refused {
        /// The class of the refusal, as gRPC has it.
        code: Code,
        /// What the runtime said.
        message: String,
    },
}

impl CriError {
    /// Nothing answers there: the socket is missing, refuses, broke off, or a question stayed unanswered. Not so a pull or a stop that
    /// took too long: the runtime may well be there, and busy.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self.cause {
            CriCause::Unreachable { .. } => true,
            CriCause::Late { deadline, .. } => deadline <= super::ASK,
            _ => false,
        }
    }

    /// The system does not let this user reach it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.cause, CriCause::Unreachable { denied: true, .. })
    }

    /// There was no answer in time.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self.cause, CriCause::Late { .. })
    }

    /// The runtime knows no such container, Pod or image.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, CriCause::Refused { code: Code::NotFound, .. })
    }
}

impl CriCause {
    /// What the transport says. Of its chain of errors, which repeats itself, the first cause is kept.
    pub(super) fn unreachable(endpoint: String, source: &(dyn Error + 'static)) -> Self {
        let cause = root_cause(source);
        let denied =
            cause.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied);
        Self::Unreachable { endpoint, reason: cause.to_string(), denied }
    }

    /// What a gRPC status says. One that came over the wire has no source; one that the transport made up has.
    pub(super) fn from_status(endpoint: String, status: &Status) -> Self {
        if let Some(source) = status.source() {
            return Self::unreachable(endpoint, source);
        }
        let message = status.message().to_owned();
        match status.code() {
            Code::Unimplemented => Self::NotServed { endpoint, message },
            code => Self::Refused { code, message },
        }
    }
}
