//! Verdicts on files.

use serde_json::Value;

use crate::observed::{FileSeen, Mode};
use crate::resource::{Content, FileSpec};
use crate::verdict::{Difference, Verdict};
use crate::yaml;

use super::mode;
use super::value::{self, Extent};

/// A file has the content, mode and owner that are wanted.
#[must_use]
pub fn judge(spec: &FileSpec, seen: &FileSeen) -> Verdict {
    let mut differences = differences(&spec.content, &seen.bytes);
    differences.extend(mode::between("", seen.mode, Mode { mode: spec.mode, owner: spec.owner }));
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// The differences of content. YAML that says the same in other words is no difference: nothing that reads it restarts.
#[must_use]
pub fn differences(wanted: &Content, seen: &[u8]) -> Vec<Difference> {
    let bytes = bytes(wanted);
    if bytes.as_bytes() == seen {
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(seen) else {
        return vec![Difference::new("content", "not text", "as configured")];
    };
    match wanted {
        Content::Text(wanted) => text_differences(text, wanted),
        Content::Yaml(wanted) => match yaml::parse(text) {
            Ok(Value::Null) => vec![Difference::new("content", "empty", "as configured")],
            Ok(seen) => value::differences(&seen, wanted, Extent::Whole),
            Err(_) => vec![Difference::new("content", "not YAML", "as configured")],
        },
    }
}

fn text_differences(seen: &str, wanted: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    match (flags(seen), flags(wanted)) {
        (Some(seen), Some(wanted)) if seen != wanted => value::flags("content", &seen, &wanted, &mut found),
        _ if seen.is_empty() => found.push(Difference::new("content", "empty", "as configured")),
        _ => value::text("content", seen, wanted, &mut found),
    }
    found
}

/// The flags of an environment file of one variable, `KUBELET_KUBEADM_ARGS="--a=b --c=d"`.
pub(super) fn flags(text: &str) -> Option<Vec<&str>> {
    let value = text.trim_end().strip_prefix("KUBELET_KUBEADM_ARGS=\"")?.strip_suffix('"')?;
    Some(value.split_whitespace().collect())
}

/// The bytes to write.
#[must_use]
pub fn bytes(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Yaml(value) => yaml::to_string(value),
    }
}
