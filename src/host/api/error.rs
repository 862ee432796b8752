//! Why a call to the API server failed, and whether to try again.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use serde_json::Value;

/// A call that failed: which one, and why. Nothing of a Secret's content or of a credential is in it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {operation}: {why}")]
pub struct ApiError {
    /// What was tried, and on what: `apply ConfigMap kube-system/coredns`.
    pub operation: String,
    /// Why it failed.
    pub why: Why,
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Why {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The object is none that this driver can handle.
    #[error("{0}")]
    Object(String),
    /// The server did not answer.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(Refusal),
    /// The server's answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody listens there.
    Refused,
    /// Whoever is at the other end of a connection ends, and takes nothing more: nobody else is to be had by that connection.
    Ending,
    /// There is no way to the address, or its name is not known.
    NoRoute(String),
    /// No answer came in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Torn(String),
    /// The two sides did not trust each other.
    Tls(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Ending => f.write_str("the server is shutting down"),
            Self::NoRoute(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Torn(why) => write!(f, "the connection broke: {why}"),
            Self::Tls(why) => write!(f, "no TLS connection: {why}"),
        }
    }
}

/// What the server said when it refused: an HTTP status, and what was in its `Status` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// `Conflict`, `Invalid`; empty where the server gave none.
    pub reason: String,
    /// The server's words; for a Secret only the names of the fields that it objects to.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// When the same call may have another outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At any moment: a server that starts, a connection that broke.
    Soon,
    /// After some time, and each time later: a server that has too much to do, an object that others have to make first.
    BackOff,
    /// When something else was changed: a credential, a certificate, what is wanted.
    OnChange,
    /// Never: this call is none that the server has.
    Never,
}

impl ApiError {
    /// There is no server any more: who was there has ended, or is about to.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.why, Why::Unreachable(Unreachable::Refused | Unreachable::Ending))
    }

    /// When the same call may have another outcome.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match &self.why {
            Why::Unreachable(Unreachable::Refused | Unreachable::Ending | Unreachable::Torn(_)) => Retry::Soon,
            Why::Unreachable(Unreachable::Timeout | Unreachable::NoRoute(_)) | Why::Answer(_) => Retry::BackOff,
            Why::Unreachable(Unreachable::Tls(_)) | Why::Kubeconfig(_) => Retry::OnChange,
            Why::Object(_) => Retry::Never,
            Why::Refused(refusal) => match refusal.code {
                409 => Retry::Soon,
                // A Node or namespace that is not there yet is made by somebody else.
                404 | 429 | 500..=599 => Retry::BackOff,
                // 400 is what it says to an object that it cannot decode.
                400 | 401 | 403 | 413 | 422 => Retry::OnChange,
                _ => Retry::Never,
            },
        }
    }

    /// The server's HTTP status, where it answered with an error.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match &self.why {
            Why::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

impl Refusal {
    /// What an answer with an error status says. Of an answer about a Secret only field names are kept: the server quotes
    /// values that it does not like.
    #[must_use]
    pub fn read(code: u16, retry_after: Option<Duration>, body: &[u8], secret: bool) -> Self {
        let text = String::from_utf8_lossy(body);
        let (reason, message) = match serde_json::from_slice::<Value>(body) {
            Ok(status) if status["kind"] == "Status" => {
                let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
                (text("reason"), if secret { fields(&status) } else { text("message") })
            }
            _ if secret => (String::new(), String::new()),
            _ => (String::new(), failed_checks(text.trim())),
        };
        Self { code, reason, message: shortened(&message), retry_after }
    }
}

/// The names of the fields that a `Status` is about.
fn fields(status: &Value) -> String {
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let names = causes.into_iter().flatten().filter_map(|cause| cause["field"].as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// What `/readyz` or `/healthz` says of a component that is not well, in one line: of dozens of checks, those that failed. Any other
/// text as it is.
#[must_use]
pub fn failed_checks(text: &str) -> String {
    let failed = text.lines().filter_map(|line| line.strip_prefix("[-]"));
    let checks: Vec<&str> =
        failed.map(|check| check.trim_end_matches(": reason withheld").trim_end_matches(" failed")).collect();
    if checks.is_empty() { text.to_owned() } else { format!("failed checks: {}", checks.join(", ")) }
}

/// An answer is shown up to this many characters.
const SHOWN: usize = 1000;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Unreachable {
    /// What lies at the bottom of a client's error.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut last = String::new();
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = known(error) {
                return found;
            }
            last = error.to_string();
            next = error.source();
        }
        Self::Torn(last)
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<Unreachable> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(Unreachable::Tls(untrusted(error)));
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An input or output error of another's making has its cause inside, not behind.
    if let Some(inner) = error.get_ref().and_then(|inner| known(inner)) {
        return Some(inner);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Unreachable::Refused),
        io::ErrorKind::TimedOut => Some(Unreachable::Timeout),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionAborted => Some(Unreachable::Torn(error.to_string())),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Some(Unreachable::NoRoute(error.to_string()))
        }
        // The standard library has no kind for a name that is not known.
        _ if error.to_string().starts_with("failed to lookup") => Some(Unreachable::NoRoute(error.to_string())),
        _ => None,
    }
}

/// Why TLS failed, in the words of people who renew certificates.
fn untrusted(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet".to_owned()
            }
            CertificateError::UnknownIssuer => "the server's certificate is from an unknown authority".to_owned(),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for other names".to_owned()
            }
            CertificateError::BadSignature => {
                "the server's certificate is not signed by the authority that it names".to_owned()
            }
            other => format!("the server's certificate is not trusted: {other}"),
        },
        other => other.to_string(),
    }
}
