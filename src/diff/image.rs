//! Verdicts on container images.

use crate::resource::ImageSpec;
use crate::verdict::Verdict;

/// Judges an image that the runtime does not have.
#[must_use]
pub fn judge_absent(spec: &ImageSpec) -> Verdict {
    if spec.pull {
        return Verdict::Create;
    }
    Verdict::Refuse(format!(
        "the container runtime does not have {}, and imagePullPolicy is Never; import it, or let it be pulled",
        spec.reference
    ))
}
