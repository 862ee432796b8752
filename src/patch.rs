//! kubeadm's patches: files of `patches.directory`, and what they make of a manifest or a configuration.

mod encode;
mod json;
mod schema;
mod strategic;

use serde_json::Value;

use crate::cluster::{Patch, PatchKind};
use encode::Empty;
pub use schema::MergeSchema;

/// What a file may patch, as its name begins.
pub const TARGETS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
    "corednsdeployment",
    "kubeproxydaemonset",
];

/// Reads a file of `patches.directory`. Its name is `TARGET[SUFFIX][+TYPE].EXTENSION`, TYPE one of `strategic` (the
/// default), `merge` and `json`, EXTENSION `yaml` or `json`; each document in it is a patch. Another extension is not
/// for kubeadm and gives no patches, and is not read. `read` gives the documents.
///
/// kubeadm passes over a file whose target it does not know, and over what follows the type in the name. Both are
/// more likely mistakes, and errors here.
///
/// # Errors
/// What is wrong with the name or the text.
pub fn parse_file(name: &str, read: impl FnOnce() -> Result<Vec<Value>, String>) -> Result<Vec<Patch>, String> {
    let Some((stem, _)) =
        name.rsplit_once('.').filter(|(stem, end)| !stem.is_empty() && ["json", "yaml"].contains(end))
    else {
        return Ok(Vec::new());
    };
    let target = TARGETS.into_iter().find(|target| stem.starts_with(target));
    let target =
        target.ok_or_else(|| format!("names no known target; it begins with one of {}", TARGETS.join(", ")))?;
    let kind = match stem[target.len()..].split_once('+') {
        Some((suffix, _)) if suffix.contains('.') => return Err("has a dot before its patch type".to_owned()),
        None | Some((_, "strategic")) => PatchKind::Strategic,
        Some((_, "merge")) => PatchKind::Merge,
        Some((_, "json")) => PatchKind::Json,
        Some((_, other)) => {
            return Err(format!("has the patch type {other:?}; write one of json, merge, strategic after the +"));
        }
    };
    let documents = read()?;
    for document in &documents {
        match kind {
            PatchKind::Json => json::check(document)?,
            PatchKind::Strategic | PatchKind::Merge if document.is_object() => {}
            PatchKind::Strategic | PatchKind::Merge => return Err("a merge patch is an object".to_owned()),
        }
    }
    let patch = |value| Patch { target: target.to_owned(), kind, value, file: name.to_owned() };
    Ok(documents.into_iter().map(patch).collect())
}

/// Applies the patches for a target, in their order.
///
/// kubeadm reads a patched Pod, Deployment or DaemonSet back into its Go type and writes that, which gives quantities
/// their one spelling and leaves out what is empty. A patched `KubeletConfiguration` stays as patched.
///
/// # Errors
/// The first patch that does not apply, by its file, and why: a field that the type does not have, or a result that is
/// another object, is a mistake too.
pub fn apply(target: &str, schema: MergeSchema, value: &Value, patches: &[Patch]) -> Result<Value, String> {
    let mut patches = patches.iter().filter(|patch| patch.target == target).peekable();
    let mut written = value.clone();
    if patches.peek().is_none() {
        return Ok(written);
    }
    let mut merged = value.clone();
    for patch in patches {
        let named = |error| format!("{:?}: {error}", patch.file);
        merged = merge(schema, merged, patch).map_err(named)?;
        same_object(value, &merged).map_err(named)?;
        written = encode(schema, &merged).map_err(|error| named(format!("its result is wrong: {error}")))?;
    }
    Ok(written)
}

/// What a typed encoder makes of a patched value.
fn encode(schema: MergeSchema, value: &Value) -> Result<Value, String> {
    match schema {
        MergeSchema::Kubelet => Ok(value.clone()),
        MergeSchema::Pod => encode::encode("Pod", value, Empty::Write),
        MergeSchema::PodTemplate => {
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
            encode::encode(kind, value, Empty::Omit)
        }
    }
}

/// Whether a patch left alone what names an object.
fn same_object(before: &Value, after: &Value) -> Result<(), String> {
    for field in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        let (before, after) = (before.pointer(field), after.pointer(field));
        if before != after {
            let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let field = field[1..].replace('/', ".");
            return Err(format!("makes {field} {} of {}, which is another object", text(after), text(before)));
        }
    }
    Ok(())
}

fn merge(schema: MergeSchema, value: Value, patch: &Patch) -> Result<Value, String> {
    match (patch.kind, value, patch.value.clone()) {
        (PatchKind::Strategic, Value::Object(value), Value::Object(patch)) => {
            strategic::merge(schema, value, patch).map(Value::Object)
        }
        (PatchKind::Strategic, _, _) => Err("a strategic merge needs an object".to_owned()),
        (PatchKind::Merge, value, patch) => Ok(json::merge(value, patch)),
        (PatchKind::Json, value, patch) => json::apply(value, &patch),
    }
}

#[cfg(test)]
mod tests;
