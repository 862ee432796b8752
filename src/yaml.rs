//! YAML as Kubernetes' own tools write and read it.

mod emit;
mod keys;
mod scalar;
mod shape;

use serde_json::Value;

/// A longer text is not read: the largest object that etcd takes by default is 1.5 MiB, and nothing here comes near.
const LONGEST_INPUT: usize = 1 << 20;

/// A value as YAML, byte for byte as kubeadm writes it.
#[must_use]
pub fn to_string(value: &Value) -> String {
    emit::document(value)
}

/// Reads the one document of a text that is there already: a manifest, a kubeconfig, an object. YAML 1.1's booleans
/// and octal numbers count, as for Go.
///
/// # Errors
/// What is wrong and where, on one line: no YAML, more than one document, a duplicate key, or more than any such text
/// needs (1 MiB, depth, aliases).
pub fn parse(text: &str) -> Result<Value, String> {
    let mut documents = parse_all(text)?;
    match (documents.pop(), documents.is_empty()) {
        (None, _) => Ok(Value::Null),
        (Some(document), true) => Ok(document),
        (Some(_), false) => Err("holds more than one document".to_owned()),
    }
}

/// Reads every document of a text; empty ones are left out.
///
/// # Errors
/// As [`parse`].
pub fn parse_all(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > LONGEST_INPUT {
        return Err(format!("is longer than {LONGEST_INPUT} bytes"));
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: 64,
            max_events: 200_000,
            max_nodes: 100_000,
            max_documents: 64,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: LONGEST_INPUT,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_yaml::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
