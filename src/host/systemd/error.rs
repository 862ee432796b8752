//! Why a call to systemd failed.

use std::time::Duration;

/// A call that failed: which operation, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {what}")]
pub struct SystemdError {
    /// What was tried: `restart`, `look at`.
    pub operation: &'static str,
    /// The unit, or what was asked for.
    pub what: String,
    /// Why.
    #[source]
    pub cause: SystemdCause,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum SystemdCause {
    /// systemd is not what runs this host.
    #[error(
        "this host has no systemd on D-Bus: planekeeper starts the kubelet through systemd; start it by your init system, and keep it \
         running"
    )]
    Absent,
    /// systemd runs, and there is no system bus.
    #[error("there is no system bus at {socket} to speak to systemd on: install and start D-Bus (the package `dbus`)")]
    NoBus {
        /// The socket that is missing.
        socket: String,
    },
    /// The socket is there, and refuses or breaks off.
    #[error("systemd cannot be reached at {socket}: {reason}")]
    Unreachable {
        /// The socket.
        socket: String,
        /// What the system or D-Bus says.
        reason: String,
    },
    /// There was no answer, or a job did not end, in time. systemd goes on with it.
    #[error("systemd was not done within {} s", deadline.as_secs_f32())]
    Late {
        /// How long was waited.
        deadline: Duration,
    },
    /// systemd answered, and refused.
    #[error("systemd refused: {message} ({name})")]
    Refused {
        /// The name of the D-Bus error, such as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What systemd said.
        message: String,
    },
    /// The job was taken on, and ended otherwise than done.
    #[error("the job ended as `{result}`; `journalctl -u {unit}` may say why")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `canceled`, `timeout`, `dependency`, `skipped`, as systemd's `JobRemoved` has it.
        result: String,
    },
    /// The answer is not what systemd's interface promises.
    #[error("systemd's answer cannot be understood: {reason}")]
    Odd {
        /// What is wrong with it.
        reason: String,
    },
}

impl SystemdError {
    /// Another init system, or none, runs this host.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.cause, SystemdCause::Absent)
    }
}

impl SystemdCause {
    /// What D-Bus says.
    pub(super) fn new(socket: &str, error: &zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, message, _) => {
                Self::Refused { name: name.to_string(), message: message.clone().unwrap_or_default() }
            }
            // Those whose names D-Bus itself defines: access denied, file not found.
            zbus::Error::FDO(error) => {
                let name = zbus::DBusError::name(error.as_ref()).to_string();
                let message = zbus::DBusError::description(error.as_ref()).unwrap_or_default().to_owned();
                Self::Refused { name, message }
            }
            zbus::Error::InputOutput(_) | zbus::Error::Handshake(_) | zbus::Error::Connection(..) => {
                Self::Unreachable { socket: socket.to_owned(), reason: error.to_string() }
            }
            _ => Self::Odd { reason: error.to_string() },
        }
    }
}
