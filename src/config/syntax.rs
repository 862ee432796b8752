//! The forms that names, addresses and paths have. Each function says what is wrong and what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A name of a DNS subdomain (RFC 1123), which names of Nodes and most objects are.
///
/// # Errors
/// What is wrong with it.
pub fn dns_subdomain(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err(format!("{name:?} has {} characters: a name has at most 253", name.len()));
    }
    if name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a DNS name: write small letters, digits, \"-\" and \".\", with a letter or digit at both ends \
         of each part"
    ))
}

/// A part of a DNS name, of any length: Kubernetes bounds the whole name only.
fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// A name of at most 63 characters without dots (RFC 1123 label), which names of volumes are.
///
/// # Errors
/// What is wrong with it.
pub fn dns_label(name: &str) -> Result<(), String> {
    if name.len() <= 63 && is_label(name) {
        return Ok(());
    }
    Err(format!("{name:?} is not a name: write at most 63 small letters, digits and \"-\", none of these at the ends"))
}

/// A subject alternative name: an address, a DNS name, or one with `*.` before it.
///
/// # Errors
/// What is wrong with it.
pub fn subject_alternative_name(name: &str) -> Result<(), String> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    no_leading_zeros(name)?;
    if name.parse::<IpAddr>().is_ok() || dns_subdomain(host).is_ok() {
        return Ok(());
    }
    Err(format!("{name:?} is neither an address nor a DNS name, which may begin with \"*.\""))
}

/// `host`, `host:port`, `address`, `address:port` or `[address]:port`; the port may be missing.
///
/// # Errors
/// What is wrong with it.
pub fn host_port(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || {
        format!("{text:?} is not an endpoint: write host:port with a DNS name or an address, an IPv6 one in brackets")
    };
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let (host, port) = match (bracketed, text.rsplit_once(':')) {
        (Some(parts), _) => parts,
        (None, Some((host, port))) if !host.contains(':') => (host, port),
        _ => (text, ""),
    };
    let port = match port {
        "" => None,
        port => Some(port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+')).ok_or_else(wrong)?),
    };
    no_leading_zeros(host)?;
    if host.parse::<IpAddr>().is_ok() || (bracketed.is_none() && dns_subdomain(host).is_ok()) {
        return Ok((host.to_owned(), port));
    }
    Err(wrong())
}

/// An IPv4 address with zeros in front of a number: kubeadm takes it for one of decimal numbers, others for one of octal numbers, and to
/// this program it would be a DNS name.
fn no_leading_zeros(host: &str) -> Result<(), String> {
    let numbers: Option<Vec<u8>> = host.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([a, b, c, d]) if host.parse::<IpAddr>().is_err() && !host.contains('+') => {
            Err(format!("{host:?} is an address with zeros in front of its numbers: write {a}.{b}.{c}.{d}"))
        }
        _ => Ok(()),
    }
}

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An absolute path that means one thing only.
///
/// # Errors
/// What is wrong with it.
pub fn absolute_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("{path:?} is not an absolute path: begin it with \"/\""));
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("{path:?} has a \"..\" or \".\" in it: write the path that is meant"));
    }
    if path.chars().any(char::is_control) {
        return Err("the path has a control character in it".to_owned());
    }
    Ok(())
}

/// The part of an image's name before `/name:tag`: `registry.k8s.io`, `registry.example:5000/mirror`.
///
/// # Errors
/// What is wrong with it.
pub fn image_repository(repository: &str) -> Result<(), String> {
    let mut parts = repository.split('/');
    let first = parts.next().unwrap_or_default();
    if (is_registry(first) || is_image_path(first)) && parts.all(is_image_path) {
        return Ok(());
    }
    Err(format!("{repository:?} is not an image repository: write it like registry.example:5000/mirror"))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bracketed.map_or_else(|| host.split('.').all(label), |host| host.parse::<Ipv6Addr>().is_ok());
    host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Letters and digits in runs, between which stand `.`, `_`, `__` or dashes.
fn is_image_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|part| !part.is_empty());
    !text.is_empty()
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
        && separators.into_iter().all(|s| s == "." || s == "_" || s == "__" || s.bytes().all(|b| b == b'-'))
}

/// The tag of an image.
///
/// # Errors
/// What is wrong with it.
pub fn image_tag(tag: &str) -> Result<(), String> {
    let (name, digest) = tag.split_once('@').map_or((tag, None), |(name, digest)| (name, Some(digest)));
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if name.bytes().next().is_some_and(word)
        && name.len() <= 128
        && name.bytes().all(|b| word(b) || b == b'.' || b == b'-')
        && digest.is_none_or(|digest| digest.strip_prefix("sha256:").is_some_and(is_hex))
    {
        return Ok(());
    }
    Err(format!("{tag:?} is not an image tag: write it like v1.14.6, with @sha256: and 64 digits behind it to pin it"))
}

/// A network: its first address, and the bits that its addresses share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The first address.
    pub network: IpAddr,
    /// The bits that all its addresses share.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let number: u8 = prefix.parse().map_err(|_| ())?;
        let mut cidr = Self { network: address, prefix: number };
        if number > cidr.width() || number.to_string() != prefix {
            return Err(());
        }
        cidr.network = cidr.at(0).ok_or(())?;
        Ok(cidr)
    }
}

impl Cidr {
    const fn width(self) -> u8 {
        if self.network.is_ipv4() { 32 } else { 128 }
    }

    /// Bits that differ between its addresses.
    #[must_use]
    pub const fn host_bits(self) -> u8 {
        self.width() - self.prefix
    }

    fn bits(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn first(self) -> u128 {
        let mask = u128::MAX.checked_shl(self.host_bits().into()).unwrap_or(0);
        Self::bits(self.network) & mask
    }

    /// The address so many after the first one, if it is in the network.
    #[must_use]
    pub fn at(self, index: u32) -> Option<IpAddr> {
        if self.host_bits() < 32 && index >> self.host_bits() != 0 {
            return None;
        }
        let bits = self.first() + u128::from(index);
        Some(match self.network {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && Self { network: address, ..self }.first() == self.first()
    }

    /// Whether two networks have addresses in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_kubeadm_reads_them() {
        let ok = [
            ("lb.example.com:8443", ("lb.example.com", Some(8443))),
            ("lb", ("lb", None)),
            ("10.0.0.1:6443", ("10.0.0.1", Some(6443))),
            ("[fd00::1]:6443", ("fd00::1", Some(6443))),
            ("fd00::1", ("fd00::1", None)),
            ("lb:", ("lb", None)),
            ("[10.0.0.1]:6443", ("10.0.0.1", Some(6443))),
        ];
        for (text, (host, port)) in ok {
            assert_eq!(host_port(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in
            ["lb:0", "lb:70000", "lb:+80", "[fd00::1]", "https://lb:6443", "LB_1", "", "10.0.0.01", "010.0.0.1:6443"]
        {
            assert!(host_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_know_their_addresses() {
        let cidr: Cidr = "10.96.5.7/12".parse().unwrap();
        assert_eq!(cidr.at(10).unwrap().to_string(), "10.96.0.10");
        assert!(cidr.contains("10.111.255.255".parse().unwrap()) && !cidr.contains("10.112.0.0".parse().unwrap()));
        let six: Cidr = "fd00::/108".parse().unwrap();
        assert_eq!(six.at(1).unwrap().to_string(), "fd00::1");
        assert!("::/0".parse::<Cidr>().unwrap().overlaps(six));
        for text in ["10.0.0.0/33", "10.0.0.0", "10.0.0.0/+8", "10.0.0.0/08", "fd00::/129", " 10.0.0.0/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn image_repositories_follow_the_reference_grammar() {
        for text in ["registry.k8s.io", "registry.local:5000/mirror", "a/b__c/d-e", "[fd00::1]:5000/x", "UPPER.example"]
        {
            assert_eq!(image_repository(text), Ok(()), "{text}");
        }
        for text in ["", "a/", "https://x", "a/UPPER", "a/b..c", "a b", "x:y/z"] {
            assert!(image_repository(text).is_err(), "{text}");
        }
    }
}
