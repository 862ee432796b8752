//! How nodes join, in kubeadm's words: `join-command`, and the end of a run that sets a cluster up.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::arguments::{Format, JoinCommand, Place};
use crate::cli::configuration;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cluster::{AddressOrigin, BootstrapToken, CertificateKey, Cluster};
use crate::facts::Facts;
use crate::host::machine;
use crate::pki;
use crate::record::{self, Record};

/// The commands that join nodes. They hold a bootstrap token and may hold the key of the certificates, so they have no `Debug`, and
/// go to standard output only.
pub struct Commands {
    worker: String,
    /// There is none without `controlPlaneEndpoint`, as with kubeadm.
    control_plane: Option<String>,
    key: Option<CertificateKey>,
    /// The cluster's CA has its key elsewhere.
    external_ca: bool,
}

/// What a node needs that joins where somebody else signs.
const SIGNS: &str = "once the external CA has signed the CertificateSigningRequest that its kubelet makes";
const SIGNED: &str = "with what the external CA has signed for that node there before, but for kubelet.conf";

impl Commands {
    /// The commands for a cluster. `key` is that of the certificates that were uploaded.
    ///
    /// # Errors
    /// There is no cluster CA yet, or no bootstrap token that a node could join with.
    pub fn new(cluster: &Cluster, facts: &Facts, key: Option<CertificateKey>) -> Result<Self, String> {
        let again = "run planekeeper reconcile first";
        let ca = facts.ca_certificate.as_ref().ok_or_else(|| format!("there is no cluster CA yet; {again}"))?;
        let hash =
            pki::discovery_hash(ca.as_bytes()).map_err(|reason| format!("cannot read the cluster CA: {reason}"))?;
        let token = cluster.bootstrap_tokens.iter().find_map(|token| usable(token, facts));
        let token = token.ok_or_else(|| {
            format!(
                "no bootstrap token is in force that signs and authenticates; add one to bootstrapTokens and {again}"
            )
        })?;
        let worker = worker(cluster, &token, &hash);
        let control_plane = cluster.control_plane_endpoint.as_ref().map(|_| {
            let key = key.as_ref().map(|key| format!(" --certificate-key {}", key.to_hex().as_str()));
            format!("{worker} --control-plane{}", key.unwrap_or_default())
        });
        Ok(Self { worker, control_plane, key, external_ca: facts.external_ca })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let signs = if self.external_ca { format!(", {SIGNS}") } else { String::new() };
        let signed = if self.external_ca { format!("; {SIGNED}, and {SIGNS}") } else { String::new() };
        let mut text = format!("# a worker{signs}\n{}\n", self.worker);
        if let Some(command) = &self.control_plane {
            let before = match self.key {
                Some(_) => {
                    "which takes the uploaded certificates; they and their key are secret, and gone two hours after the upload"
                }
                None => "with the CAs and the sa key pair copied to it before",
            };
            let _ = write!(text, "\n# a control-plane node, {before}{signed}\n{command}\n");
        } else if let Some(key) = &self.key {
            let why = "the key of the uploaded certificates; control planes can join once controlPlaneEndpoint is set";
            let _ = write!(text, "\n# {why}\n{}\n", key.to_hex().as_str());
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = json!({"worker": self.worker, "controlPlane": self.control_plane});
        if let Some(key) = &self.key {
            value["certificateKey"] = key.to_hex().as_str().into();
        }
        value
    }
}

/// How a user gets at a new cluster, as kubeadm says it at the end of `init`.
pub const FIRST_USE: &str = "\
# to use the cluster, as a regular user
mkdir -p $HOME/.kube
sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config
sudo chown $(id -u):$(id -g) $HOME/.kube/config
";

/// `join-command`.
///
/// # Errors
/// There is no cluster CA yet, or no bootstrap token that a node could join with; or only root may read them: 77.
pub fn command(config: &Path, arguments: &JoinCommand, format: Format) -> Result<Exit, Failure> {
    let key = arguments.certificate_key.as_deref().map(CertificateKey::from_hex).transpose();
    let key = key.map_err(|error| Failure::new(Exit::WrongCall, format!("--certificate-key: {error}")))?;
    super::place::permit(&arguments.place)?;
    let mut cluster = configuration::load(config)?.loaded.cluster;
    cluster.endpoint.address = address(&cluster, &arguments.place)?;
    let facts = super::run::facts(&cluster, &arguments.place)?;
    let commands = Commands::new(&cluster, &facts, key).map_err(|error| Failure::new(Exit::Failed, error))?;
    match format {
        Format::Json => {
            let mut value = commands.to_json();
            value["apiVersion"] = "planekeeper.dev/v1alpha1".into();
            value["kind"] = "JoinCommand".into();
            output::print_json(&value)?;
        }
        Format::Text => output::print(&commands.to_text())?,
    }
    Ok(Exit::Done)
}

/// Where the API server is: the default route, which says so where the file does not, may lead elsewhere by now.
fn address(cluster: &Cluster, place: &Place) -> Result<IpAddr, Failure> {
    let unnamed = cluster.endpoint.origin != AddressOrigin::Named;
    let record = if unnamed { super::run::read(place.path(), record::PATH)? } else { None };
    let before = record.and_then(|text| Record::cluster(&text, &machine::machine()));
    Ok(before.as_ref().unwrap_or(cluster).endpoint.address)
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
