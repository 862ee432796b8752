use serde_json::json;

use super::*;
use crate::yaml;

fn patched(kind: PatchKind, schema: MergeSchema, value: &Value, patch: &Value) -> Result<Value, String> {
    let patch = Patch { target: "etcd".to_owned(), kind, value: patch.clone(), file: "etcd.yaml".to_owned() };
    merge(schema, value.clone(), &patch)
}

fn pod(patch: &Value) -> Result<Value, String> {
    let pod = json!({
        "metadata": {"labels": {"a": "1"}, "finalizers": ["f1", "f2"]},
        "spec": {
            "hostNetwork": true,
            "containers": [{"name": "etcd", "command": ["etcd", "--a"], "env": [{"name": "X", "value": "1"}],
                "volumeMounts": [{"mountPath": "/a", "name": "a"}]}],
            "tolerations": [{"key": "old"}],
            "volumes": [{"name": "a", "hostPath": {"path": "/a"}}, {"name": "b", "hostPath": {"path": "/b"}}],
        },
    });
    patched(PatchKind::Strategic, MergeSchema::Pod, &pod, patch)
}

#[test]
fn containers_are_merged_by_name_and_a_new_one_comes_first() {
    let patch = json!({"spec": {"containers": [
        {"name": "side", "image": "i"},
        {"name": "etcd", "command": ["etcd"], "env": [{"name": "Y", "value": "2"}], "volumeMounts": [{"mountPath": "/b"}]},
    ]}});
    let containers = pod(&patch).unwrap()["spec"]["containers"].clone();
    let want = json!([
        {"name": "side", "image": "i"},
        {"name": "etcd", "command": ["etcd"], "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}],
            "volumeMounts": [{"mountPath": "/b"}, {"mountPath": "/a", "name": "a"}]},
    ]);
    assert_eq!(containers, want);
}

#[test]
fn a_list_without_merge_key_is_replaced_and_null_removes() {
    let got = pod(&json!({"spec": {"tolerations": [{"key": "new"}], "hostNetwork": null, "none": null}})).unwrap();
    assert_eq!(got["spec"]["tolerations"], json!([{"key": "new"}]));
    assert_eq!((got["spec"].get("hostNetwork"), got["spec"].get("none")), (None, None));
}

#[test]
fn directives_do_what_they_say() {
    let got = pod(&json!({
        "metadata": {"labels": {"$patch": "replace", "b": "2"}, "$deleteFromPrimitiveList/finalizers": ["f1"]},
        "spec": {
            "volumes": [{"name": "a", "$patch": "delete"}, {"name": "b", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]},
                {"name": "c"}],
            "$setElementOrder/volumes": [{"name": "c"}, {"name": "b"}],
        },
    }));
    assert!(got.unwrap_err().contains("spec.volumes: $setElementOrder"), "the order has to be the patch's");
    let got = pod(&json!({
        "metadata": {"labels": {"$patch": "replace", "b": "2"}, "$deleteFromPrimitiveList/finalizers": ["f1"]},
        "spec": {
            "volumes": [{"name": "a", "$patch": "delete"}, {"name": "c"},
                {"name": "b", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]}],
            "$setElementOrder/volumes": [{"name": "c"}, {"name": "b"}],
        },
    }));
    let got = got.unwrap();
    assert_eq!(got["metadata"], json!({"labels": {"b": "2"}, "finalizers": ["f2"]}));
    assert_eq!(got["spec"]["volumes"], json!([{"name": "c"}, {"name": "b", "emptyDir": {}}]));
}

#[test]
fn an_item_without_its_merge_key_is_refused_with_its_place() {
    let error = pod(&json!({"spec": {"containers": [{"image": "i"}]}})).unwrap_err();
    assert!(error.starts_with("spec.containers: ") && error.contains("\"name\""), "{error}");
}

#[test]
fn a_deployments_containers_are_merged_and_a_kubelets_lists_are_not() {
    let value = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "1"}]}}}});
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "tty": true}]}}}});
    let got = patched(PatchKind::Strategic, MergeSchema::PodTemplate, &value, &patch).unwrap();
    assert_eq!(got["spec"]["template"]["spec"]["containers"], json!([{"name": "a", "image": "1", "tty": true}]));
    let value = json!({"clusterDNS": ["1"], "evictionHard": {"a": "1"}});
    let patch = json!({"clusterDNS": ["2"], "evictionHard": {"b": "2"}});
    let got = patched(PatchKind::Strategic, MergeSchema::Kubelet, &value, &patch).unwrap();
    assert_eq!(got, json!({"clusterDNS": ["2"], "evictionHard": {"a": "1", "b": "2"}}));
}

#[test]
fn a_json_patch_does_all_six_operations() {
    let value = json!({"a/b": {"~": [1, 2]}, "gone": 1, "from": {"x": 1}});
    let patch = json!([
        {"op": "test", "path": "/a~1b/~0/0", "value": 1.0},
        {"op": "add", "path": "/a~1b/~0/-", "value": 3},
        {"op": "add", "path": "/a~1b/~0/0", "value": 0},
        {"op": "replace", "path": "/a~1b/~0/-1", "value": 4},
        {"op": "remove", "path": "/gone"},
        {"op": "copy", "from": "/from/x", "path": "/copied"},
        {"op": "move", "from": "/from", "path": "/to"},
    ]);
    let got = patched(PatchKind::Json, MergeSchema::Pod, &value, &patch).unwrap();
    assert_eq!(got, json!({"a/b": {"~": [0, 1, 2, 4]}, "copied": 1, "to": {"x": 1}}));
    for (wrong, why) in [
        (json!([{"op": "remove", "path": "/none"}]), "there is no"),
        (json!([{"op": "test", "path": "/gone", "value": 2}]), "test of \"/gone\" failed"),
        (json!([{"op": "add", "path": "/a~1b/~0/7", "value": 2}]), "there is no"),
    ] {
        let error = patched(PatchKind::Json, MergeSchema::Pod, &value, &wrong).unwrap_err();
        assert!(error.starts_with("operation 1: ") && error.contains(why), "{error}");
    }
}

#[test]
fn copies_of_copies_do_not_fill_the_memory() {
    let copy = |n: usize| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")});
    let patch = Value::Array((0..64).map(copy).collect());
    let error = patched(PatchKind::Json, MergeSchema::Pod, &json!({"a": {}}), &patch).unwrap_err();
    assert!(error.contains("copies more than"), "{error}");
}

#[test]
fn a_merge_patch_replaces_lists_and_null_removes() {
    let value = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
    let patch = json!({"a": {"c": [3], "b": null}, "d": {"e": null, "f": 1}});
    let got = patched(PatchKind::Merge, MergeSchema::Pod, &value, &patch).unwrap();
    assert_eq!(got, json!({"a": {"c": [3]}, "d": {"f": 1}}));
}

#[test]
fn a_file_name_says_target_and_type() {
    let kinds = |name: &str, text: &str| {
        parse_file(name, || yaml::parse_all(text))
            .map(|patches| patches.into_iter().map(|p| (p.target, p.kind)).collect::<Vec<_>>())
    };
    let one = |target: &str, kind| Ok(vec![(target.to_owned(), kind)]);
    assert_eq!(kinds("etcd.yaml", "a: 1"), one("etcd", PatchKind::Strategic));
    assert_eq!(kinds("kube-apiserver0-note+merge.json", "{\"a\": 1}"), one("kube-apiserver", PatchKind::Merge));
    assert_eq!(kinds("kubeletconfiguration+json.yaml", "[]"), one("kubeletconfiguration", PatchKind::Json));
    assert_eq!(kinds("etcd.yaml", "a: 1\n---\n# nothing\n---\nb: 2\n").unwrap().len(), 2);
    for ignored in ["README.md", "etcd.yml", ".yaml"] {
        assert_eq!(kinds(ignored, "a: 1"), Ok(vec![]), "{ignored}");
    }
    for (wrong, text) in [
        ("kube-apisever.yaml", "a: 1"),
        ("etcd+.yaml", "a: 1"),
        ("etcd+jsonn.yaml", "[]"),
        ("etcd.x+merge.yaml", "a: 1"),
        ("etcd.yaml", "- a"),
        ("etcd+json.yaml", "a: 1"),
        ("etcd+json.yaml", "[{op: destroy, path: /a}]"),
    ] {
        assert!(kinds(wrong, text).is_err(), "{wrong}");
    }
}

/// A Pod with the files' patches.
fn files(files: &[(&str, &str)]) -> Result<Value, String> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "etcd", "namespace": "kube-system"},
        "spec": {"containers": [{"name": "etcd", "resources": {}}]},
        "status": {},
    });
    let patches: Vec<_> =
        files.iter().flat_map(|(name, text)| parse_file(name, || yaml::parse_all(text)).unwrap()).collect();
    apply("etcd", MergeSchema::Pod, &pod, &patches)
}

#[test]
fn a_quantity_of_a_patch_comes_back_as_kubernetes_writes_it() {
    let patch = "spec: {containers: [{name: etcd, resources: {requests: {cpu: 0.5, memory: 1024Mi}}}]}";
    let got = files(&[("etcd.yaml", patch)]).unwrap();
    let requests = json!({"cpu": "500m", "memory": "1Gi"});
    assert_eq!(got["spec"]["containers"][0]["resources"]["requests"], requests);
}

#[test]
fn a_later_patch_sees_what_an_earlier_one_left_empty() {
    let got = files(&[
        ("etcd0+merge.yaml", "metadata: {annotations: {}}"),
        ("etcd1+json.json", r#"[{"op": "add", "path": "/metadata/annotations/a", "value": "b"}]"#),
    ]);
    assert_eq!(got.unwrap()["metadata"]["annotations"], json!({"a": "b"}));
    let got = files(&[("etcd+merge.yaml", "metadata: {annotations: {}}")]);
    assert_eq!(got.unwrap()["metadata"].get("annotations"), None);
}

#[test]
fn a_patch_that_cannot_be_right_is_named_with_its_reason() {
    let error = |text: &str| files(&[("etcd7+merge.yaml", text)]).unwrap_err();
    assert!(
        error("spec: {hostNetwrk: true}").starts_with("\"etcd7+merge.yaml\": its result is wrong: .spec.hostNetwrk")
    );
    assert!(
        error("metadata: {name: other}").starts_with("\"etcd7+merge.yaml\": makes metadata.name \"other\" of \"etcd\"")
    );
    assert!(error("kind: Deployment").contains("another object"));
}
