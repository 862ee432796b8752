//! The mark on this host's Node that makes it a control plane's.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Hosting, Taint};
use crate::facts::Facts;
use crate::resource::{Desired, Id};

use super::arguments;
use super::object::object;

/// Where kubeadm keeps the CRI endpoint of a node that has it neither in its flags nor in its instance configuration.
const CRI_SOCKET: &str = "kubeadm.alpha.kubernetes.io/cri-socket";

/// The label of the Nodes of a control plane.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The label of the Nodes on which self-hosted components run: of those that planekeeper looks after, since nobody else would start them
/// again there. Other Nodes of the control plane keep their static Pods.
pub const SELF_HOSTED: &str = "planekeeper.dev/self-hosted";

/// The labels and taints of this host's Node. The kubelet makes the Node; this is merged into it, as kubeadm patches it,
/// and taints that others set stay.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": cluster.node.name,
            "labels": {
                CONTROL_PLANE: "",
                "node.kubernetes.io/exclude-from-external-load-balancers": "",
            },
        },
    });
    // What still runs there is ended by whoever removes what it is made by.
    if cluster.settings.hosting == Hosting::SelfHosted || !facts.hosting.self_hosted.is_empty() {
        node["metadata"]["labels"][SELF_HOSTED] = json!("");
    }
    if !cluster.node.taints.is_empty() {
        node["spec"] = json!({"taints": cluster.node.taints.iter().map(taint).collect::<Vec<_>>()});
    }
    if socket_in_annotation(cluster) {
        // kubeadm reads it back from the kubelet's flags, among which the user's own comes last.
        let flag = arguments::last(&cluster.node.kubelet_extra_args, "container-runtime-endpoint");
        node["metadata"]["annotations"] = json!({CRI_SOCKET: flag.unwrap_or(&cluster.node.cri_socket)});
    }
    let origins = [
        (".metadata.labels", "PlanekeeperConfiguration.controlPlaneHosting"),
        (".spec.taints", "InitConfiguration.nodeRegistration.taints"),
        (".metadata.annotations", "InitConfiguration.nodeRegistration.criSocket"),
    ];
    let mut desired = Desired::default();
    desired.push(object(cluster, "mark-control-plane", node, &origins));
    desired
}

/// The id of this host's Node.
#[must_use]
pub fn id(cluster: &Cluster) -> Id {
    Id::object("Node", None, &cluster.node.name)
}

/// The CRI endpoint is on the Node. kubeadm has kept it in the kubelet's instance configuration by default since 1.34; the
/// gate could turn that off until 1.35, and a valid configuration of a later release does not name it.
fn socket_in_annotation(cluster: &Cluster) -> bool {
    cluster.feature_gates.get("NodeLocalCRISocket") == Some(&false)
}

fn taint(taint: &Taint) -> Value {
    let mut value = json!({"key": taint.key, "effect": taint.effect});
    if !taint.value.is_empty() {
        value["value"] = json!(taint.value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Location, fixture};
    use crate::resource::{Spec, Want};

    #[test]
    fn a_taint_names_the_line_that_it_comes_from() {
        let mut cluster = fixture();
        let place = Location { file: "cluster.yaml".to_owned(), line: 7 };
        cluster.lines.0.insert("InitConfiguration.nodeRegistration".to_owned(), place.clone());
        let desired = desired(&cluster, &Facts::default());
        let origin = &desired.resources[0].origins[0];
        assert_eq!((origin.field.as_str(), &origin.place), (".spec.taints", &place));
    }

    #[test]
    fn the_cri_socket_is_on_the_node_only_where_the_gate_says_so() {
        let mut cluster = fixture();
        for (gate, expected) in
            [(None, None), (Some(true), None), (Some(false), Some(&cluster.node.cri_socket.clone()))]
        {
            cluster.feature_gates = gate.map(|on| ("NodeLocalCRISocket".to_owned(), on)).into_iter().collect();
            let desired = desired(&cluster, &Facts::default());
            let Want::Present(Spec::Object(node)) = &desired.resources[0].want else { panic!("no Node") };
            assert_eq!(node["metadata"]["annotations"][CRI_SOCKET].as_str(), expected.map(String::as_str));
        }
    }

    #[test]
    fn a_node_is_marked_until_the_last_self_hosted_component_has_ended() {
        let marked = |facts: &Facts| {
            let desired = desired(&fixture(), facts);
            matches!(&desired.resources[0].want, Want::Present(Spec::Object(node)) if node["metadata"]["labels"].get(SELF_HOSTED).is_some())
        };
        let mut facts = Facts::default();
        assert!(!marked(&facts));
        facts.hosting.self_hosted.insert("kube-scheduler".to_owned(), 1);
        assert!(marked(&facts), "its Pod would be ended for want of the mark");
    }
}
