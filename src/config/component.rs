//! The configurations of the kubelet and of kube-proxy: what the user wrote, completed with kubeadm's defaults, in the
//! shape that kubeadm's serializer gives them.

pub mod common;
pub mod kube_proxy;
pub mod kubelet;

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::ComponentConfig;
use crate::problem::Problem;

/// A completed configuration, and what deserves a word about it.
pub type Completed = (ComponentConfig, Vec<Problem>);

/// A field that not every release of [`crate::versions::RELEASES`] has.
struct NewField {
    kind: &'static str,
    path: &'static str,
    /// The first minor release whose component knows it.
    since: u32,
}

/// The fields that came after 1.34; none went in that time, and kube-proxy's are the same in all.
const NEW_FIELDS: [NewField; 3] = [
    NewField { kind: kubelet::KIND, path: "tlsCurvePreferences", since: 36 },
    NewField { kind: kubelet::KIND, path: "memoryReservationPolicy", since: 36 },
    NewField { kind: kubelet::KIND, path: "defaultPodSysctls", since: 37 },
];

/// The fields in a user's document that the component of Kubernetes 1.`minor` does not know, though a later one does.
/// A kubelet refuses to start with such a field.
#[must_use]
pub fn fields_unknown_to(kind: &str, document: &Value, minor: u32) -> Vec<String> {
    let unknown = NEW_FIELDS.iter().filter(|field| field.kind == kind && field.since > minor);
    unknown.filter(|field| document.get(field.path).is_some()).map(|field| field.path.to_owned()).collect()
}

/// Reads a document into its type. A field that is null counts as absent, as in Go.
fn read<T: DeserializeOwned + Default>(kind: &str, document: Option<&Value>) -> Result<T, Vec<Problem>> {
    let Some(document) = document else { return Ok(T::default()) };
    let document = without_nulls(document);
    serde_json::from_value(document.clone()).map_err(|error| {
        let mut problems = Vec::new();
        blame::<T>(kind, &mut Vec::new(), &document, &mut problems);
        if problems.is_empty() {
            problems.push(Problem { place: None, field: kind.to_owned(), message: error.to_string() });
        }
        problems
    })
}

/// One step from a document to a field in it.
#[derive(Clone)]
enum Step {
    Field(String),
    Index(usize),
}

/// Finds every field that cannot be read: a field that stands alone in its document is one if no field below it is.
/// Every type here has defaults, so that a document may hold a single field.
fn blame<T: DeserializeOwned>(kind: &str, path: &mut Vec<Step>, value: &Value, problems: &mut Vec<Problem>) {
    let alone = path.iter().rev().fold(value.clone(), |inner, step| match step {
        Step::Field(name) => json!({ name.as_str(): inner }),
        Step::Index(_) => json!([inner]),
    });
    let Err(error) = serde_json::from_value::<T>(alone) else { return };
    let known = problems.len();
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (Step::Field(name.clone()), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (Step::Index(index), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in below {
        path.push(step);
        blame::<T>(kind, path, value, problems);
        path.pop();
    }
    if problems.len() == known {
        let field = path.iter().fold(kind.to_owned(), |text, step| match step {
            Step::Field(name) => format!("{text}.{name}"),
            Step::Index(index) => format!("{text}[{index}]"),
        });
        problems.push(Problem { place: None, field, message: error.to_string() });
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// A typed configuration as JSON.
fn to_value<T: Serialize>(config: &T) -> Value {
    serde_json::to_value(config).unwrap_or_default() // types with text keys and finite numbers always have a JSON form
}

fn schema_of<T: JsonSchema>() -> schemars::Schema {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>()
}

/// kubeadm's advice, gathered while defaults are filled in.
struct Advice {
    kind: &'static str,
    said: Vec<Problem>,
}

impl Advice {
    fn new(kind: &'static str) -> Self {
        Self { kind, said: Vec::new() }
    }

    fn say(&mut self, field: &str, message: String) {
        self.said.push(Problem { place: None, field: format!("{}.{field}", self.kind), message });
    }

    /// Fills in an absent value, and says so where another than kubeadm's is set.
    fn prefer<T: PartialEq + fmt::Debug>(&mut self, field: &str, value: &mut T, absent: &T, recommended: T) {
        if value == absent {
            *value = recommended;
        } else if *value != recommended {
            self.say(field, format!("is {value:?}; kubeadm recommends {recommended:?}"));
        }
    }

    /// As [`Advice::prefer`], for what Go has as a pointer.
    fn prefer_some<T: PartialEq + fmt::Debug>(&mut self, field: &str, value: &mut Option<T>, recommended: T) {
        match value {
            Some(set) if *set != recommended => {
                self.say(field, format!("is {set:?}; kubeadm recommends {recommended:?}"));
            }
            _ => *value = Some(recommended),
        }
    }
}

#[cfg(test)]
mod tests;
