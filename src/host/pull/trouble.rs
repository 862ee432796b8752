//! Why an image could not be pulled, by what the container runtime says of it. CRI has no codes for most of it, so its words count:
//! those of containerd, which passes on what the registry and Go's network say, and of CRI-O where it has others.

use std::fmt;

use tonic::Code;

use crate::host::cri::{CriCause, CriError};

/// Why an image could not be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The container runtime does not answer, or does not serve CRI.
    NoRuntime,
    /// The reference is no image's name.
    Name,
    /// The registry has no such image, or none for this machine's architecture.
    NotFound,
    /// The registry wants a password, or another one.
    Denied,
    /// The registry's certificate is not trusted.
    Certificate,
    /// The registry speaks plain HTTP where HTTPS was spoken to it.
    PlainHttp,
    /// This host's disk is full.
    DiskFull,
    /// Nobody answers at the registry's address, or not to the end.
    Unreachable,
    /// The registry answers that it cannot do its work now: 5xx, or 429.
    Unavailable,
    /// The time for one image is over.
    Late,
    /// Something else.
    Other,
}

impl Trouble {
    /// What a call to the container runtime failed of.
    pub(super) fn of(error: &CriError) -> Self {
        match &error.cause {
            CriCause::Endpoint { .. } | CriCause::NotServed { .. } | CriCause::Unreachable { .. } => Self::NoRuntime,
            CriCause::Late { .. } => Self::Late,
            CriCause::Refused { code, message } => Self::of_refusal(*code, &message.to_lowercase()),
        }
    }

    fn of_refusal(code: Code, message: &str) -> Self {
        // The registry's own answer first: other words of a message may be those of an address.
        match status(message) {
            Some(404) => return Self::NotFound,
            Some(401 | 403 | 407) => return Self::Denied,
            Some(408 | 429 | 500..) => return Self::Unavailable,
            _ => {}
        }
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["authorization failed", "pull access denied", "insufficient_scope", "no basic auth credentials"]) {
            Self::Denied
        } else if says(&["x509:", "certificate signed by unknown authority", "tls: failed to verify"]) {
            Self::Certificate
        } else if says(&["http response to https client"]) {
            Self::PlainHttp
        } else if says(&["no space left on device"]) {
            Self::DiskFull
        } else if says(&["invalid reference", "failed to parse image reference"]) {
            Self::Name
        } else if says(&[
            "connection refused",
            "connection reset",
            "no such host",
            "no route to host",
            "network is unreachable",
        ]) || says(&[
            "i/o timeout",
            "deadline exceeded",
            "handshake timeout",
            "temporary failure",
            "server misbehaving",
        ]) || says(&["unexpected eof", "broken pipe", "no progress", "context canceled", ": eof"])
        {
            Self::Unreachable
        } else if code == Code::NotFound
            || says(&["manifest unknown", "no match for platform"])
            || message.ends_with("not found")
        {
            Self::NotFound
        } else {
            Self::of_code(code)
        }
    }

    fn of_code(code: Code) -> Self {
        match code {
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied,
            Code::InvalidArgument => Self::Name,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unreachable,
            _ => Self::Other,
        }
    }

    /// It may go away by itself, so that trying again is worth it. What is not known is tried again, as kubeadm does with everything.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Self::NoRuntime | Self::Unreachable | Self::Unavailable | Self::Other)
    }

    /// It is the registry that fails, and would fail the same with other images.
    pub(super) fn is_of_registry(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unavailable)
    }

    /// A name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRuntime => "RuntimeUnreachable",
            Self::Name => "InvalidName",
            Self::NotFound => "NotFound",
            Self::Denied => "Denied",
            Self::Certificate => "CertificateNotTrusted",
            Self::PlainHttp => "PlainHTTP",
            Self::DiskFull => "DiskFull",
            Self::Unreachable => "RegistryUnreachable",
            Self::Unavailable => "RegistryUnavailable",
            Self::Late => "TimedOut",
            Self::Other => "Failed",
        }
    }

    /// What to do about it, for an image of this registry.
    #[must_use]
    pub fn advice(self, registry: &str) -> String {
        let hosts = format!("{registry}/hosts.toml in its registry config_path, such as /etc/containerd/certs.d");
        match self {
            Self::NoRuntime => "see that the container runtime runs: systemctl status containerd".to_owned(),
            Self::Name => "correct imageRepository or imageTag in the configuration".to_owned(),
            Self::NotFound => {
                "check kubernetesVersion, imageRepository and imageTag in the configuration, or put the image \
                               into the registry"
                    .to_owned()
            }
            Self::Denied => format!("give the container runtime a password for it; containerd reads {hosts}"),
            Self::Certificate => format!("give the container runtime the registry's CA; containerd reads {hosts}"),
            Self::PlainHttp => {
                format!(
                    "let the container runtime speak HTTP to it: containerd reads server = \"http://{registry}\" from {hosts}"
                )
            }
            Self::DiskFull => "make room on the disk of the container runtime, and run again".to_owned(),
            Self::Unreachable => format!(
                "see that {registry} answers from this host (network, DNS, the container runtime's proxy), and run again"
            ),
            Self::Unavailable => format!("see what ails {registry}, or wait until it is well, and run again"),
            Self::Late => {
                "see how fast the way to the registry is, and run again: what was downloaded whole is kept".to_owned()
            }
            Self::Other => "look into the container runtime's log: journalctl -u containerd".to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(match self {
            Self::NoRuntime => "the container runtime cannot be reached",
            Self::Name => "it is not a valid image name",
            Self::NotFound => "the registry has no such image",
            Self::Denied => "the registry denies access",
            Self::Certificate => "the registry's certificate is not trusted",
            Self::PlainHttp => "the registry speaks HTTP, not HTTPS",
            Self::DiskFull => "the disk is full",
            Self::Unreachable => "the registry cannot be reached",
            Self::Unavailable => "the registry is out of order",
            Self::Late => "it took too long",
            Self::Other => "the container runtime failed",
        })
    }
}

/// The HTTP status that a registry answered with: of `unexpected status from HEAD request to http://...: 503 Service Unavailable`.
fn status(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("unexpected status")?;
    let number = |part: &str| {
        part.get(..3).filter(|_| !part[3..].starts_with(|next: char| next.is_alphanumeric()))?.parse().ok()
    };
    rest.split(": ").skip(1).find_map(number).filter(|status| (100..600).contains(status))
}

/// What the runtime says, without what it repeats: that it failed to pull, to resolve, to request, of which URL and which image.
pub(super) fn said(error: &CriError) -> String {
    const REPEATED: [&str; 5] = ["failed to ", "unexpected status from ", "Head \"", "Get \"", "Post \""];
    let mut said = match &error.cause {
        CriCause::Refused { message, .. } => message.as_str(),
        CriCause::Unreachable { endpoint, reason, .. } => return format!("{endpoint}: {reason}"),
        cause => return cause.to_string(),
    };
    let repeats = |before: &str| REPEATED.iter().any(|words| before.starts_with(words));
    while let Some((_, rest)) = said.split_once(": ").filter(|(before, _)| repeats(before)) {
        said = rest;
    }
    let named = said.strip_prefix(error.what.as_str()).and_then(|rest| rest.strip_prefix(": "));
    named.unwrap_or(said).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, message: &str) -> CriError {
        let cause = CriCause::Refused { code, message: message.to_owned() };
        CriError { operation: "pull", what: "mirror:5000/etcd:1".to_owned(), cause }
    }

    fn trouble(message: &str) -> Trouble {
        Trouble::of(&refused(Code::Unknown, message))
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let head = "failed to do request: Head \"http://mirror:5000/v2/etcd/manifests/1\": ";
        let passing = [
            (format!("{head}dial tcp 10.0.0.1:5000: connect: connection refused"), Trouble::Unreachable),
            (format!("{head}dial tcp: lookup mirror on 10.0.0.2:53: no such host"), Trouble::Unreachable),
            (format!("{head}EOF"), Trouble::Unreachable),
            ("httpReadSeeker: failed open: unexpected status from GET request to http://mirror:5000/v2/etcd/blobs/sha256:404: 503 Service Unavailable".to_owned(), Trouble::Unavailable),
            ("unexpected status from HEAD request to http://mirror/: 429 Too Many Requests".to_owned(), Trouble::Unavailable),
            ("something new".to_owned(), Trouble::Other),
        ];
        for (message, expected) in passing {
            assert_eq!(trouble(&message), expected, "{message}");
            assert!(expected.may_pass(), "{message}");
        }
        let staying = [
            ("unexpected status from HEAD request to http://mirror/v2/503/manifests/1: 403 Forbidden", Trouble::Denied),
            (
                "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
                Trouble::Denied,
            ),
            ("Head \"https://mirror:5000/\": http: server gave HTTP response to HTTPS client", Trouble::PlainHttp),
            (
                "Head \"https://mirror:5000/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Trouble::Certificate,
            ),
            ("failed to copy: write /var/lib/containerd/x: no space left on device", Trouble::DiskFull),
            ("failed to parse image reference \"A:B\": invalid reference format", Trouble::Name),
            ("reading manifest 1 in mirror/etcd: manifest unknown", Trouble::NotFound),
            ("no match for platform in manifest sha256:ab: not found", Trouble::NotFound),
        ];
        for (message, expected) in staying {
            assert_eq!(trouble(message), expected, "{message}");
            assert!(!expected.may_pass(), "{message}");
        }
    }

    #[test]
    fn the_class_of_an_answer_counts_where_its_words_say_nothing() {
        assert_eq!(Trouble::of(&refused(Code::NotFound, "x")), Trouble::NotFound);
        assert_eq!(Trouble::of(&refused(Code::Unauthenticated, "x")), Trouble::Denied);
        assert_eq!(Trouble::of(&refused(Code::Unavailable, "x")), Trouble::Unreachable);
    }

    #[test]
    fn a_message_is_told_without_what_it_repeats() {
        let message = "failed to pull and unpack image \"mirror:5000/etcd:1\": failed to resolve image: mirror:5000/etcd:1: not found";
        assert_eq!(said(&refused(Code::NotFound, message)), "not found");
        let message = "failed to do request: Head \"http://mirror:5000/v2/\": dial tcp 10.0.0.1:5000: connect: connection refused";
        assert_eq!(said(&refused(Code::Unknown, message)), "dial tcp 10.0.0.1:5000: connect: connection refused");
        let message = "unexpected status from HEAD request to http://mirror:5000/v2/: 503 Service Unavailable";
        assert_eq!(said(&refused(Code::Unknown, message)), "503 Service Unavailable");
        assert_eq!(said(&refused(Code::Unknown, "failed to start")), "failed to start");
    }
}
