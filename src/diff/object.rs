//! Verdicts on API objects.

use serde_json::Value;

use crate::verdict::{Difference, Verdict};

use super::node;
use super::value::{self, Extent};

/// Everything that is wanted of an object is there. Fields that are not named belong to others.
#[must_use]
pub fn judge(wanted: &Value, seen: Option<&Value>) -> Verdict {
    let Some(seen) = seen else {
        return Verdict::Update(vec![Difference::new("content", "not an object", "as configured")]);
    };
    let mut differences = if wanted["kind"] == "Node" {
        value::differences(seen, &with_taints_of_others(wanted, seen), Extent::Subset)
    } else {
        value::differences(seen, wanted, Extent::Subset)
    };
    if wanted["kind"] == "Secret" {
        differences.iter_mut().for_each(hide);
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// The Node that is wanted, with the taints that others have set on it.
fn with_taints_of_others(wanted: &Value, seen: &Value) -> Value {
    let mut whole = wanted.clone();
    if let Some(taints) = whole.pointer_mut("/spec/taints") {
        let live = &seen["spec"]["taints"];
        *taints = node::taints(live, taints).map_or_else(|| live.clone(), Value::Array);
    }
    whole
}

/// A Secret's data is never shown, only that it differs.
fn hide(difference: &mut Difference) {
    if difference.field.starts_with(".data") || difference.field.starts_with(".stringData") {
        let hidden = || "(sensitive)".to_owned();
        difference.before = difference.before.as_ref().map(|_| hidden());
        difference.after = difference.after.as_ref().map(|_| hidden());
    }
}
