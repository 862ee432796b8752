//! The judgement of one resource: what [`crate::diff`] returns.

/// What to do about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is as wanted.
    Same,
    /// Make it: nothing is there.
    Create,
    /// Change it, for these differences; never empty.
    Update(Vec<Difference>),
    /// Remove it.
    Remove,
    /// Wait for it: it comes by itself, once what it needs is there. What is seen meanwhile.
    Wait(String),
    /// Do not act until something else has changed, and say why.
    Refuse(String),
}

/// One difference between what is wanted and what is there, for people: never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field: `--audit-log-maxage`, `.data.Corefile`, `mode`, `SAN`, `expires`.
    pub field: String,
    /// What is there; `None` where nothing is.
    pub before: Option<String>,
    /// What is wanted; `None` where nothing is.
    pub after: Option<String>,
    /// It is a matter of time, not of a change: the certificate nears its end.
    pub age: bool,
}

impl Difference {
    /// A field whose value changes.
    #[must_use]
    pub fn new(field: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Self {
        let field = field.into();
        Self { before: Some(shown(&field, before)), after: Some(shown(&field, after)), field, age: false }
    }

    /// A field that is added.
    #[must_use]
    pub fn added(field: impl Into<String>, after: impl Into<String>) -> Self {
        let field = field.into();
        Self { before: None, after: Some(shown(&field, after)), field, age: false }
    }

    /// A field that is removed.
    #[must_use]
    pub fn removed(field: impl Into<String>, before: impl Into<String>) -> Self {
        let field = field.into();
        Self { before: Some(shown(&field, before)), after: None, field, age: false }
    }
}

/// What every private key in PEM has in it, and that in base64, which depends on where it begins.
const PRIVATE_KEY: [&str; 4] = ["PRIVATE KEY", "UFJJVkFURSBLRV", "QUklWQVRFIEtFW", "BSSVZBVEUgS0VZ"];
/// Fields of kubeconfigs and of records that are secret, should such a file lie where another belongs.
const SECRETS: [&str; 4] = ["token", "password", "secret", "certificateKey"];

/// A value as people see it: without a private key that somebody put where none belongs, and without the user and password of a URL, as a
/// proxy's may have.
fn shown(field: &str, value: impl Into<String>) -> String {
    let value = value.into();
    if PRIVATE_KEY.iter().any(|words| value.contains(words)) {
        return "*** (a private key)".to_owned();
    }
    let names = |name: &&str| {
        let own = field.strip_suffix(*name).is_some_and(|rest| rest.ends_with('.')) && !value.starts_with('{');
        own || value.contains(&format!("\"{name}\":\""))
    };
    if SECRETS.iter().any(names) {
        return "*** (a secret)".to_owned();
    }
    if !value.contains("://") {
        return value;
    }
    let mut parts = value.split("://");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part.find(|c: char| "/?#,\"'".contains(c) || c.is_whitespace()).unwrap_or(part.len());
        let host = part[..authority].rfind('@');
        text.push_str("://");
        text.push_str(if host.is_some() { "***" } else { "" });
        text.push_str(&part[host.unwrap_or(0)..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_and_the_user_and_password_of_a_url_are_not_shown() {
        for (value, seen) in [
            ("http://user:pa:ss@proxy:3128", "http://***@proxy:3128"),
            ("a http://u@x/y@z, https://b:c@[::1]:6443/", "a http://***@x/y@z, https://***@[::1]:6443/"),
            ("https://proxy:3128/a@b", "https://proxy:3128/a@b"),
            ("no@url", "no@url"),
            ("a\n-----BEGIN EC PRIVATE KEY-----\nMHc=", "*** (a private key)"),
            (r#"[{"name":"a","user":{"token":"x"}}]"#, "*** (a secret)"),
        ] {
            assert_eq!(Difference::new("f", value, value).after.as_deref(), Some(seen));
        }
    }
}
