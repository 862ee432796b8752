//! What the kubelet refuses to start with (its `ValidateKubeletConfiguration`), of what stands in one field or in two. kubeadm lets it
//! pass, and the host would never come up.

use serde_json::Value;

use crate::config::words;

/// Numbers, and the least and the most that they may be. Where a field is 0 that may not be, its default counts.
const NUMBERS: [(&str, i64, i64); 21] = [
    ("containerLogMaxWorkers", 1, i64::MAX),
    ("eventBurst", 0, i64::MAX),
    ("eventRecordQPS", 0, i64::MAX),
    ("healthzPort", 0, 65535),
    ("imageGCHighThresholdPercent", 0, 100),
    ("imageGCLowThresholdPercent", 0, 100),
    ("iptablesDropBit", 0, 31),
    ("iptablesMasqueradeBit", 0, 31),
    ("kubeAPIBurst", 0, i64::MAX),
    ("kubeAPIQPS", 0, i64::MAX),
    ("maxOpenFiles", 0, i64::MAX),
    ("maxParallelImagePulls", 1, i64::MAX),
    ("maxPods", 0, i64::MAX),
    ("nodeLeaseDurationSeconds", 0, i64::MAX),
    ("nodeStatusMaxImages", -1, i64::MAX),
    ("oomScoreAdj", -1000, 1000),
    ("podsPerCore", 0, i64::MAX),
    ("port", 0, 65535),
    ("readOnlyPort", 0, 65535),
    ("registryBurst", 0, i64::MAX),
    ("registryPullQPS", 0, i64::MAX),
];

/// Words, and those that a field may be.
const WORDS: [(&str, &[&str]); 4] = [
    ("hairpinMode", &["hairpin-veth", "none", "promiscuous-bridge"]),
    ("memorySwap.swapBehavior", &["LimitedSwap", "NoSwap"]),
    ("topologyManagerPolicy", &["best-effort", "none", "restricted", "single-numa-node"]),
    ("topologyManagerScope", &["container", "pod"]),
];

/// The fields of a document with which the kubelet does not start, each with what is wrong and what would be right.
#[must_use]
pub fn problems(written: &Value) -> Vec<(&'static str, String)> {
    let number = |field: &str| written.get(field).and_then(Value::as_i64);
    let mut found: Vec<(&'static str, String)> = NUMBERS
        .iter()
        .filter_map(|(field, least, most)| Some((*field, outside(number(field)?, *least, *most)?)))
        .collect();
    let text = |field: &str| written.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str);
    let unknown = |field: &str, known: &[&str]| {
        let text = text(field).filter(|text| !text.is_empty() && !known.contains(text))?;
        Some(words::unknown("value", text, known.iter().copied()))
    };
    found.extend(WORDS.iter().filter_map(|(field, known)| Some((*field, unknown(field, known)?))));
    found
}

/// The fields that do not go together, each with a word about it. A patch for this host may yet mend that.
#[must_use]
pub fn doubts(written: &Value) -> Vec<(&'static str, String)> {
    let number = |field: &str| written.get(field).and_then(Value::as_i64);
    let mut found = Vec::new();
    let high = number("imageGCHighThresholdPercent").unwrap_or(85);
    let low = number("imageGCLowThresholdPercent").unwrap_or(80);
    if low >= high {
        let message = format!(
            "is {low}, and the kubelet does not start unless it is less than imageGCHighThresholdPercent, which is {high}"
        );
        found.push(("imageGCLowThresholdPercent", message));
    }
    // Where it is not written, more than one at a time make it false.
    if written.get("serializeImagePulls") == Some(&Value::Bool(true)) && number("maxParallelImagePulls") > Some(1) {
        found.push((
            "maxParallelImagePulls",
            "is more than 1, and the kubelet does not start unless serializeImagePulls is false".to_owned(),
        ));
    }
    found
}

fn outside(number: i64, least: i64, most: i64) -> Option<String> {
    let right = match most {
        i64::MAX => format!("write {least} or more"),
        most => format!("write {least} to {most}"),
    };
    (number < least || number > most).then(|| format!("the kubelet does not start with {number}: {right}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_kubelet_does_not_start_with_is_named_and_what_it_does_is_let_pass() {
        let fields = |written: Value| problems(&written).into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        let bad = json!({
            "maxPods": -1, "port": 70000, "oomScoreAdj": -1001, "hairpinMode": "on", "memorySwap": { "swapBehavior": "Swap" },
        });
        assert_eq!(fields(bad), ["maxPods", "oomScoreAdj", "port", "hairpinMode", "memorySwap.swapBehavior"]);
        let good = json!({
            "maxPods": 0, "healthzPort": 0, "nodeStatusMaxImages": -1, "hairpinMode": "", "topologyManagerScope": "pod",
            "imageGCHighThresholdPercent": 100, "serializeImagePulls": false, "maxParallelImagePulls": 2,
        });
        assert!(fields(good.clone()).is_empty() && doubts(&good).is_empty());
        assert_eq!(doubts(&json!({ "imageGCHighThresholdPercent": 70 }))[0].0, "imageGCLowThresholdPercent");
        assert_eq!(
            doubts(&json!({ "serializeImagePulls": true, "maxParallelImagePulls": 2 }))[0].0,
            "maxParallelImagePulls"
        );
        assert!(doubts(&json!({ "maxParallelImagePulls": 2 })).is_empty());
    }
}
