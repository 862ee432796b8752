//! Where a control plane comes from: set up by planekeeper, or there before it and taken over.
//!
//! It is remembered so that a run that was killed while it set a host up is told from a control plane that somebody else made,
//! which planekeeper changes only after it was asked to.

use serde::{Deserialize, Serialize};

/// Where it is kept.
pub const PATH: &str = "/var/lib/planekeeper/origin.json";

/// Where a control plane comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// planekeeper set it up on a bare host.
    SetUp,
    /// It was there before.
    Adopted,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    control_plane: Origin,
}

impl Origin {
    /// Its text on disk.
    #[must_use]
    pub fn to_text(self) -> String {
        crate::record::text_of(&Record { control_plane: self })
    }

    /// What a record says; `None` where there is none, or it is damaged.
    #[must_use]
    pub fn read(text: Option<&str>) -> Option<Self> {
        serde_json::from_str::<Record>(text?).ok().map(|record| record.control_plane)
    }
}

/// The control plane was there before planekeeper. Without a record, whatever is there is somebody else's.
#[must_use]
pub fn adopted(record: Option<Origin>, there: bool) -> bool {
    record.map_or(there, |origin| origin == Origin::Adopted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_without_a_record_is_somebody_elses() {
        assert!(adopted(None, true));
        assert!(!adopted(None, false));
        assert!(!adopted(Origin::read(Some(&Origin::SetUp.to_text())), true));
        assert!(adopted(Origin::read(Some(&Origin::Adopted.to_text())), true));
        assert_eq!(Origin::read(Some("{")), None, "a damaged record is none");
    }
}
