//! What a machine may learn of the cluster before it has any credential: where the API server is, and the cluster's CA.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::resource::{Desired, Id, Resource, Waiting};
use crate::yaml;

use super::object::{PUBLIC, config_map, object, server_url};
use super::rbac::{config_map_reader, role_binding, user};

const PHASE: &str = "bootstrap-token";
const CONFIG_MAP: &str = "cluster-info";
const READER: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// The `ConfigMap` `cluster-info`, which anybody may read. The controller manager adds a signature for each bootstrap
/// token, under keys that are not named here.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    match &facts.ca_certificate {
        Some(certificate) => {
            let text = yaml::to_string(&kubeconfig(cluster, certificate));
            let origin = (".data.kubeconfig", "ClusterConfiguration.controlPlaneEndpoint");
            let mut object = object(cluster, PHASE, config_map(PUBLIC, CONFIG_MAP, [("kubeconfig", text)]), &[origin]);
            // A CA that is refused is not told to those who join.
            object.needs.push(Id::certificate("ca"));
            desired.push(object);
        }
        None => desired
            .waiting
            .push(Waiting { id: Id::object("ConfigMap", Some(PUBLIC), CONFIG_MAP), on: Id::certificate("ca") }),
    }
    desired.push(Resource::object(PHASE, config_map_reader(PUBLIC, READER, CONFIG_MAP)));
    desired.push(Resource::object(PHASE, role_binding(PUBLIC, READER, &[user("system:anonymous")])));
    desired
}

/// A kubeconfig of one cluster and nobody's credentials, with the empty name and the nulls that client-go writes.
fn kubeconfig(cluster: &Cluster, certificate: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "",
            "cluster": {
                "certificate-authority-data": STANDARD.encode(certificate),
                "server": server_url(cluster),
            },
        }],
        "contexts": null,
        "current-context": "",
        "users": null,
    })
}
