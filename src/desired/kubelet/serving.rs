//! The certificate that the kubelet serves its own API with, where nobody else brings one.
//!
//! A kubelet that finds none signs one for itself, which takes two RSA keys and holds up its start, and never looks at its end: after a
//! year every kubelet of a cluster serves a certificate that has ended, until somebody removes it and starts the kubelet anew. Here it is
//! made beside the others and renewed as they are. One that a kubelet has made for itself stays until it nears its end, and one that
//! somebody had signed always. On a host that was taken over it is left to the kubelet.

use serde_json::Value;

use crate::cluster::{Cluster, KeyAlgorithm};
use crate::desired::arguments::last;
use crate::desired::{directories, pki};
use crate::facts::Facts;
use crate::resource::{CertificateSpec, Desired, Effect, Id, Issuer, Profile, Resource, Spec};

use super::PHASE;

const NAME: &str = "kubelet-server";

/// The certificate's id.
#[must_use]
pub fn id() -> Id {
    Id::certificate(NAME)
}

/// The certificate, on a host where the kubelet would make it.
pub(super) fn desired(cluster: &Cluster, facts: &Facts, configuration: &Value) -> Desired {
    let mut desired = Desired::default();
    // A control plane that was there before keeps what its kubelet serves, of which the configuration may not know all.
    if facts.live && !facts.adopted && makes_its_own(cluster, configuration) {
        let spec = CertificateSpec {
            certificate: format!("{}/kubelet.crt", directories::KUBELET_PKI),
            key: format!("{}/kubelet.key", directories::KUBELET_PKI),
            profile: profile(cluster),
            issuer: Issuer::Own,
            owner: facts.owner,
            // It reads both files anew every minute.
            effect: Effect::Reload("kubelet"),
        };
        let needs = vec![Id::directory(directories::KUBELET_PKI)];
        desired.push(Resource::present(id(), PHASE, needs, Spec::Certificate(spec)));
    }
    desired
}

/// Neither the configuration nor the flags name a certificate, or have the cluster sign one, or the folder be another.
fn makes_its_own(cluster: &Cluster, configuration: &Value) -> bool {
    let is_set = |field: &str| !matches!(configuration[field], Value::Null | Value::Bool(false));
    let flags = ["cert-dir", "tls-cert-file", "tls-private-key-file", "rotate-server-certificates"];
    !["tlsCertFile", "tlsPrivateKeyFile", "serverTLSBootstrap"].iter().any(|field| is_set(field))
        && !flags.iter().any(|flag| last(&cluster.node.kubelet_extra_args, flag).is_some())
}

/// For the Node's name, as the kubelet has it. The key is of an elliptic curve, which takes no time to make: no other program has to
/// know its kind.
fn profile(cluster: &Cluster) -> Profile {
    let algorithm = match cluster.key_algorithm {
        KeyAlgorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
        _ => KeyAlgorithm::EcdsaP256,
    };
    let names = pki::Names::of(&cluster.node.name);
    Profile {
        common_name: cluster.node.name.clone(),
        organization: None,
        dns_names: names.dns,
        ip_addresses: names.ip,
        server: true,
        client: false,
        algorithm,
        validity: cluster.certificate_validity,
        renew_before: cluster.settings.renew_before,
        early: pki::early(cluster, NAME),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::fixture;
    use crate::desired::arguments::arg;

    fn is_made(cluster: &Cluster, configuration: &Value) -> bool {
        let live = Facts { live: true, ..Facts::default() };
        !desired(cluster, &live, configuration).resources.is_empty()
    }

    #[test]
    fn a_kubelet_that_is_given_a_certificate_gets_no_other() {
        let mut cluster = fixture();
        assert!(is_made(&cluster, &json!({ "serverTLSBootstrap": false })));
        assert!(desired(&cluster, &Facts::default(), &json!({})).resources.is_empty(), "in a sandbox no kubelet runs");
        let adopted = Facts { live: true, adopted: true, ..Facts::default() };
        assert!(desired(&cluster, &adopted, &json!({})).resources.is_empty(), "it has had its own");
        for configuration in [
            json!({ "tlsCertFile": "/etc/kubelet.crt", "tlsPrivateKeyFile": "/etc/kubelet.key" }),
            json!({ "serverTLSBootstrap": true }),
        ] {
            assert!(!is_made(&cluster, &configuration), "{configuration}");
        }
        cluster.node.kubelet_extra_args = vec![arg("cert-dir", "/etc/kubelet")];
        assert!(!is_made(&cluster, &json!({})));
    }
}
