//! Exit codes, the same for every command.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use crate::host::ApplyError;
use crate::observed::ObserveError;

/// How a command ends. From 64 on the numbers are those of sysexits.h, which systemd shows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done = 0,
    /// 1: failed, held or refused.
    Failed = 1,
    /// 2: `plan --detailed-exitcode` found changes.
    Changes = 2,
    /// 64: the call is wrong.
    WrongCall = 64,
    /// 75: another planekeeper works on this host.
    Locked = 75,
    /// 77: not permitted.
    NotPermitted = 77,
    /// 78: the configuration is invalid, and nothing was touched.
    InvalidConfiguration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that could not do what it was asked, and the code that says so.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What went wrong and what to do, for a person.
    pub message: String,
}

impl From<ObserveError> for Failure {
    fn from(error: ObserveError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Self::new(Exit::Failed, error.chain())
    }
}

impl Failure {
    /// A failure with a code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// An operation that the system refused: 77 where it is a matter of permission, else 1.
    #[must_use]
    pub fn of_io(operation: &str, path: &Path, error: &std::io::Error) -> Self {
        let denied = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
        let exit = if denied { Exit::NotPermitted } else { Exit::Failed };
        Self::new(exit, format!("cannot {operation} {}: {error}", path.display()))
    }
}
