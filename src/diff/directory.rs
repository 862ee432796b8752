//! Verdicts on folders.

use crate::observed::Mode;
use crate::resource::DirectorySpec;
use crate::verdict::Verdict;

use super::mode;

/// A folder that is there has the right mode, or keeps the one it has.
#[must_use]
pub fn judge(spec: &DirectorySpec, seen: Mode) -> Verdict {
    let differences =
        if spec.keep_mode { Vec::new() } else { mode::between("", seen, Mode { mode: spec.mode, owner: spec.owner }) };
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}
