//! The state of one resource, in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a resource stands, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// As wanted.
    InSync,
    /// It comes by itself, or cannot be said yet.
    Waiting,
    /// The configuration wants it otherwise; it is about to be changed.
    Pending,
    /// Somebody changed it.
    Drifted,
    /// It is not written for now: what it needs is not there.
    Held,
    /// It could not be read.
    #[default]
    Unknown,
    /// It is not changed before a person has acted.
    Refused,
    /// It could not be changed.
    Failed,
}

impl State {
    /// All, from best to worst.
    pub const ALL: [Self; 8] = [
        Self::InSync,
        Self::Waiting,
        Self::Pending,
        Self::Drifted,
        Self::Held,
        Self::Unknown,
        Self::Refused,
        Self::Failed,
    ];

    /// One word, as the API and programs have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Waiting => "Waiting",
            Self::Pending => "Pending",
            Self::Drifted => "Drifted",
            Self::Held => "Held",
            Self::Unknown => "Unknown",
            Self::Refused => "Refused",
            Self::Failed => "Failed",
        }
    }

    /// One or two words, as people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Drifted => "drifted",
            Self::Held => "held",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
