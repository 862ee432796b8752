//! `kubeadm.k8s.io/v1beta3`: how it differs from v1beta4, and its documents rewritten as v1beta4.
//!
//! Flags were a mapping, which kubeadm sorts by name when it reads it, and the time to wait for the control plane stood
//! in the `ClusterConfiguration`. v1beta4 has some fields that v1beta3 lacks, and everything else in common.

use serde_json::{Value, json};

use crate::config::node::{Entry, Kind, Node};

/// The group and version.
pub const API_VERSION: &str = "kubeadm.k8s.io/v1beta3";

/// The fields of v1beta4 that v1beta3 lacks, as JSON pointers into the schema.
const MISSING: [(&str, &[&str]); 8] = [
    (
        "/properties",
        &[
            "encryptionAlgorithm",
            "certificateValidityPeriod",
            "caCertificateValidityPeriod",
            "proxy",
            "dryRun",
            "timeouts",
        ],
    ),
    ("/properties/apiServer/properties", &["extraEnvs"]),
    ("/properties/controllerManager/properties", &["extraEnvs"]),
    ("/properties/scheduler/properties", &["extraEnvs"]),
    ("/properties/dns/properties", &["disabled"]),
    ("/properties/etcd/properties/local/properties", &["extraEnvs"]),
    ("/properties/etcd/properties/external/properties", &["httpEndpoints"]),
    ("/properties/nodeRegistration/properties", &["imagePullSerial"]),
];

/// Where flags stand: in the schema as a JSON pointer, in a document as keys.
const FLAGS: [(&str, &[&str]); 5] = [
    ("/properties/apiServer/properties/extraArgs", &["apiServer", "extraArgs"]),
    ("/properties/controllerManager/properties/extraArgs", &["controllerManager", "extraArgs"]),
    ("/properties/scheduler/properties/extraArgs", &["scheduler", "extraArgs"]),
    ("/properties/etcd/properties/local/properties/extraArgs", &["etcd", "local", "extraArgs"]),
    ("/properties/nodeRegistration/properties/kubeletExtraArgs", &["nodeRegistration", "kubeletExtraArgs"]),
];

/// The schema of a kind in v1beta3, from its schema in v1beta4.
#[must_use]
pub fn schema(mut schema: Value) -> Value {
    for (pointer, fields) in MISSING {
        if let Some(properties) = schema.pointer_mut(pointer).and_then(Value::as_object_mut) {
            for field in fields {
                properties.remove(*field);
            }
        }
    }
    for (pointer, _) in FLAGS {
        if let Some(flags) = schema.pointer_mut(pointer) {
            *flags = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        }
    }
    if let Some(api_server) = schema.pointer_mut("/properties/apiServer/properties").and_then(Value::as_object_mut) {
        api_server.insert("timeoutForControlPlane".into(), json!({ "type": "string", "format": "go-duration" }));
    }
    schema
}

/// Rewrites a document of v1beta3 as one of v1beta4. The time to wait for the control plane, which now belongs into the
/// `InitConfiguration`, is returned.
pub fn convert(document: &mut Node) -> Option<Node> {
    for (_, path) in FLAGS {
        if let Some(flags) = find(document, path) {
            convert_flags(flags);
        }
    }
    let Kind::Map(fields) = &mut find(document, &["apiServer"])?.kind else { return None };
    let index = fields.iter().position(|entry| entry.key == "timeoutForControlPlane")?;
    Some(fields.remove(index).value).filter(|timeout| timeout.kind != Kind::Null)
}

fn find<'a>(node: &'a mut Node, path: &[&str]) -> Option<&'a mut Node> {
    path.iter().try_fold(node, |node, key| match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().rev().find(|entry| entry.key == **key).map(|entry| &mut entry.value),
        _ => None,
    })
}

/// A mapping of flags becomes the list that kubeadm makes of it.
fn convert_flags(flags: &mut Node) {
    let Kind::Map(entries) = &mut flags.kind else { return };
    let mut entries = std::mem::take(entries);
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let flag = |entry: Entry| {
        let line = entry.line;
        let name = Entry { key: "name".into(), line, value: Node { line, kind: Kind::Text(entry.key) } };
        let value = Entry { key: "value".into(), line, value: entry.value };
        Node { line, kind: Kind::Map(vec![name, value]) }
    };
    flags.kind = Kind::List(entries.into_iter().map(flag).collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{kubeadm::v1beta4, schema};

    #[test]
    fn flags_become_a_sorted_list_that_keeps_its_lines() {
        let mut node = Node::parse("scheduler:\n  extraArgs:\n    v: '2'\n    a: b\n", 0).unwrap();
        assert_eq!(convert(&mut node), None);
        let want =
            json!({ "scheduler": { "extraArgs": [{ "name": "a", "value": "b" }, { "name": "v", "value": "2" }] } });
        assert_eq!(node.to_value(), want);
        let Kind::List(flags) = &find(&mut node, &["scheduler", "extraArgs"]).unwrap().kind else { panic!() };
        assert_eq!((flags[0].line, flags[1].line), (4, 3));
    }

    #[test]
    fn every_difference_is_found_in_the_schema() {
        let (cluster, init) =
            (schema::whole::<v1beta4::ClusterConfiguration>(), schema::whole::<v1beta4::InitConfiguration>());
        let found = |pointer: &str| cluster.pointer(pointer).or_else(|| init.pointer(pointer));
        for (pointer, fields) in MISSING {
            for field in fields {
                let here = format!("{pointer}/{field}");
                assert!(found(&here).is_some(), "{here}");
            }
        }
        for (pointer, _) in FLAGS {
            assert!(found(pointer).is_some(), "{pointer}");
        }
    }
}
