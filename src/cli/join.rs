//! `join-command`: how a node joins, in kubeadm's words.

use std::path::Path;

use serde_json::json;

use crate::cli::arguments::{Format, Place};
use crate::cli::configuration;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cluster::{BootstrapToken, Cluster};
use crate::facts::Facts;
use crate::pki;

/// Prints the commands.
///
/// # Errors
/// There is no cluster CA yet, or no bootstrap token that a node could join with.
pub fn command(config: &Path, place: &Place, format: Format) -> Result<Exit, Failure> {
    let cluster = configuration::load(config)?.loaded.cluster;
    let failed = |message: String| Failure::new(Exit::Failed, message);
    let facts = super::run::facts(&cluster, place)?;
    let again = "run planekeeper reconcile first";
    let ca = facts.ca_certificate.as_ref().ok_or_else(|| failed(format!("there is no cluster CA yet; {again}")))?;
    let hash =
        pki::discovery_hash(ca.as_bytes()).map_err(|reason| failed(format!("cannot read the cluster CA: {reason}")))?;
    let token = cluster.bootstrap_tokens.iter().find_map(|token| usable(token, &facts));
    let token = token.ok_or_else(|| {
        failed(format!(
            "no bootstrap token is in force that signs and authenticates; add one to bootstrapTokens and {again}"
        ))
    })?;
    let worker = worker(&cluster, &token, &hash);
    let control_plane = cluster.control_plane_endpoint.as_ref().map(|_| format!("{worker} --control-plane"));
    match format {
        Format::Json => output::print_json(&json!({
            "apiVersion": "planekeeper.dev/v1alpha1", "kind": "JoinCommand",
            "worker": worker, "controlPlane": control_plane,
        }))?,
        Format::Text => {
            let mut text = format!("# a worker\n{worker}\n");
            if let Some(command) = control_plane {
                let title = "# a control-plane node, with the CAs and the sa key pair copied to it before";
                text.extend(["\n", title, "\n", &command, "\n"]);
            }
            output::print(&text)?;
        }
    }
    Ok(Exit::Done)
}

fn worker(cluster: &Cluster, token: &str, hash: &str) -> String {
    let endpoint = cluster.control_plane_endpoint.clone().unwrap_or_else(|| cluster.endpoint.host_port());
    format!("kubeadm join {endpoint} --token {token} --discovery-token-ca-cert-hash {hash}")
}

/// The text of a token that is in force and that kubeadm's discovery and the kubelet's bootstrap can both use.
fn usable(token: &BootstrapToken, facts: &Facts) -> Option<String> {
    let has = |usage: &str| token.usages.iter().any(|other| other == usage);
    let (id, secret) = if let Some(token) = &token.token {
        (token.id.clone(), token.secret.clone())
    } else {
        let id = facts.generated_token.clone()?;
        let secret = facts.tokens.get(&id)?.secret.clone()?;
        (id, secret)
    };
    let ended = facts.tokens.get(&id).is_some_and(|issued| crate::diff::tokens::ended(issued, facts.now));
    (has("signing") && has("authentication") && !ended).then(|| format!("{id}.{secret}"))
}
