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
        Self { field: field.into(), before: Some(before.into()), after: Some(after.into()), age: false }
    }

    /// A field that is added.
    #[must_use]
    pub fn added(field: impl Into<String>, after: impl Into<String>) -> Self {
        Self { field: field.into(), before: None, after: Some(after.into()), age: false }
    }

    /// A field that is removed.
    #[must_use]
    pub fn removed(field: impl Into<String>, before: impl Into<String>) -> Self {
        Self { field: field.into(), before: Some(before.into()), after: None, age: false }
    }
}
