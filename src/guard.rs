//! Changes of the configuration that would destroy a cluster. While there is one, nothing is written.
//!
//! What is fixed once a cluster exists is compared with the configuration that was last in force; on a host that planekeeper has
//! not yet made its own, with what the static Pods there say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::cluster::{AddressOrigin, Cluster, Etcd, Location, Version};
use crate::desired::{apiserver, arguments, controller_manager, etcd, pki, self_hosting, static_pod, upload_config};
use crate::observed::{Observed, Seen};
use crate::plan::Step;
use crate::resource::{Content, Desired, FileSpec, Id, Issuer, Resource, Spec, Want};
use crate::verdict::{Difference, Verdict};
use crate::yaml;

/// A change that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The field: `ClusterConfiguration.networking.serviceSubnet`.
    pub field: String,
    /// Where it stands in the configuration.
    pub place: Option<Location>,
    /// What is in force.
    pub before: String,
    /// What the configuration says.
    pub after: String,
    /// Why it is refused, and what to do.
    pub reason: &'static str,
}

/// What is fixed, and why: the field, the static Pod and the flag that show it on a host, the reason.
struct Fixed {
    field: &'static str,
    evidence: Option<(&'static str, &'static str)>,
    value: fn(&Cluster) -> String,
    reason: &'static str,
}

const FIXED: [Fixed; 7] = [
    Fixed {
        field: "ClusterConfiguration.networking.serviceSubnet",
        evidence: Some(("kube-apiserver", "--service-cluster-ip-range=")),
        value: |cluster| cluster.networking.service_subnet.clone(),
        reason: "every Service keeps the address it has; keep the old value, or make a new cluster",
    },
    Fixed {
        field: "ClusterConfiguration.networking.podSubnet",
        evidence: Some(("kube-controller-manager", "--cluster-cidr=")),
        value: |cluster| cluster.networking.pod_subnet.clone().unwrap_or_default(),
        reason: "every node keeps the Pod range it has; keep the old value, or make a new cluster",
    },
    Fixed {
        field: "ClusterConfiguration.networking.dnsDomain",
        evidence: Some(("kube-apiserver", "--service-account-issuer=https://kubernetes.default.svc.")),
        value: |cluster| cluster.networking.dns_domain.clone(),
        reason: "tokens and names of the old domain would end; keep the old value, or make a new cluster",
    },
    Fixed {
        field: "ClusterConfiguration.etcd.local.dataDir",
        evidence: Some(("etcd", "--data-dir=")),
        value: |cluster| match &cluster.etcd {
            Etcd::Local(etcd) => etcd.data_dir.clone(),
            Etcd::External(_) => String::new(),
        },
        reason: "etcd would start with no data; keep the old value, or move the data by hand",
    },
    Fixed {
        field: "ClusterConfiguration.etcd.external.endpoints",
        evidence: None,
        value: |cluster| match &cluster.etcd {
            Etcd::Local(_) => "a static Pod of this host".to_owned(),
            Etcd::External(_) => "an etcd elsewhere".to_owned(),
        },
        reason: "the cluster's data would stay behind; move it by hand, or make a new cluster",
    },
    Fixed {
        field: "ClusterConfiguration.certificatesDir",
        evidence: Some(("kube-apiserver", "--client-ca-file=")),
        value: |cluster| cluster.certificates_dir.clone(),
        reason: "the CAs would stay behind and new ones be made; move the folder by hand first",
    },
    Fixed {
        field: "InitConfiguration.nodeRegistration.name",
        evidence: Some(("etcd", "--name=")),
        value: |cluster| cluster.node.name.clone(),
        reason: "the Node and its etcd member keep their name, which is the host's where the file says none; write the old one there, or set \
                 the host up anew",
    },
];

/// What is fixed unless the configuration names it: who writes another one wants it.
const ADDRESS: Fixed = Fixed {
    field: "InitConfiguration.localAPIEndpoint.advertiseAddress",
    evidence: Some(("kube-apiserver", "--advertise-address=")),
    value: |cluster| cluster.endpoint.address.to_string(),
    reason: "the file names none, and the default route, which may come and go, leads elsewhere now: the API server, etcd and their \
             certificates would move with it; write the old address there, or the new one to move them",
};

/// The changes that are refused.
#[must_use]
pub fn forbidden(
    cluster: &Cluster,
    previous: Option<&Cluster>,
    desired: &Desired,
    observed: &Observed,
) -> Vec<Forbidden> {
    let manifests = Manifests { desired, observed, read: RefCell::default() };
    let mut found: Vec<Forbidden> =
        FIXED.iter().filter_map(|fixed| changed(fixed, cluster, previous, &manifests)).collect();
    found.extend(moved(cluster, previous, &manifests));
    found.extend(other_etcd(cluster, previous));
    // What runs counts as much as what was last in force: a run that did not converge may lie between.
    let last = previous.map(|previous| previous.version);
    let running = running_version(&manifests);
    if let Some(highest) = last.max(running) {
        found.extend(skew(cluster, highest, running.unwrap_or(highest)));
    }
    found
}

fn changed(
    fixed: &Fixed,
    cluster: &Cluster,
    previous: Option<&Cluster>,
    manifests: &Manifests<'_>,
) -> Option<Forbidden> {
    let value = |cluster| overridden(fixed, cluster).unwrap_or_else(|| (fixed.value)(cluster));
    let after = value(cluster);
    let before = match previous {
        Some(previous) => value(previous),
        None => evidence(fixed, manifests)?,
    };
    // What was not there before has nothing to lose; that etcd goes elsewhere has a line of its own.
    let moves = after.is_empty() && fixed.field.contains("etcd.local");
    if before.is_empty() || moves { None } else { refused(fixed, cluster, before, after) }
}

/// The address, where the configuration names none. A flag of the user's own says what the API server tells others, and nothing of etcd and
/// the certificates.
fn moved(cluster: &Cluster, previous: Option<&Cluster>, manifests: &Manifests<'_>) -> Option<Forbidden> {
    if cluster.endpoint.origin == AddressOrigin::Named {
        return None;
    }
    let before = match previous.filter(|previous| previous.endpoint.origin != AddressOrigin::Unrecorded) {
        Some(previous) => (ADDRESS.value)(previous),
        None if overridden(&ADDRESS, cluster).is_some() => return None,
        None => evidence(&ADDRESS, manifests)?,
    };
    refused(&ADDRESS, cluster, before, (ADDRESS.value)(cluster))
}

/// A change of what is fixed, if it is one.
fn refused(fixed: &Fixed, cluster: &Cluster, before: String, after: String) -> Option<Forbidden> {
    (before != after).then(|| Forbidden {
        field: fixed.field.to_owned(),
        place: cluster.lines.of(fixed.field).cloned(),
        before,
        after,
        reason: fixed.reason,
    })
}

/// A CA, or a key that signs tokens, that the host had when it was last as wanted is never made anew, whatever else is gone with it:
/// everything that trusts it would be locked out.
#[must_use]
pub fn kept(resource: &Resource, verdict: Verdict, before: &BTreeMap<&Id, &Resource>) -> Verdict {
    let (file, key) = match &resource.want {
        Want::Present(Spec::Certificate(spec)) if matches!(spec.issuer, Issuer::SelfSigned { .. }) => {
            (&spec.certificate, &spec.key)
        }
        Want::Present(Spec::KeyPair(spec)) => (&spec.public, &spec.private),
        _ => return verdict,
    };
    if verdict != Verdict::Create || !before.contains_key(&resource.id) {
        return verdict;
    }
    Verdict::Refuse(format!(
        "{file} and {key} are not both there any more, and this host had them when it was last as its configuration wants it: others would \
         lock out everything that trusts these; restore both from a backup or from another control plane node, or take the host back to \
         bare with planekeeper reset"
    ))
}

/// Why a step is not done, though nothing of the configuration has to change for it: it would take something away that does not come back,
/// and who has done what it would undo may have meant it.
#[must_use]
pub fn objection(step: &Step, external_ca: bool, given_up: bool) -> Option<String> {
    let is_of = |component: &str| step.id == Id::file(&static_pod::path(component));
    step.changes.iter().find_map(|change| {
        let Difference { field, before, after, .. } = &change.difference;
        let (before, after) = (before.as_deref()?, after.as_deref().unwrap_or_default());
        match field.as_str() {
            ".spec.containers[etcd].image" if is_of(etcd::NAME) && !given_up => older_etcd(before, after),
            "--cluster-signing-key-file" if is_of(controller_manager::NAME) && external_ca => lost_key(before, after),
            _ => None,
        }
    })
}

/// An etcd of an earlier minor release than the one that is there: it ends at once where that has written, and the API server with it.
/// kubeadm leaves etcd as it is then.
fn older_etcd(there: &str, wanted: &str) -> Option<String> {
    let release = |image| static_pod::version_of(image).map(|version| (version.major, version.minor));
    (release(wanted)? < release(there)?).then(|| {
        format!(
            "{wanted} may not be able to read what {there} has written: set etcd.local.imageTag to the tag that is there to keep it, or put \
             the older one there by hand"
        )
    })
}

/// A controller manager that signs with the key of the cluster's CA goes on as it is when that is gone: a key that somebody has lost makes
/// no external CA, and nobody would notice until certificates end.
fn lost_key(there: &str, wanted: &str) -> Option<String> {
    (there.starts_with('/') && wanted.is_empty()).then(|| {
        format!(
            "this controller manager signs with {there}, which is gone: restore it from a backup; or, where somebody else signs from now on, \
             leave --cluster-signing-cert-file= and --cluster-signing-key-file= empty in the manifest by hand"
        )
    })
}

/// A control plane that was there before planekeeper, whose certificates all come from another CA than the one that lies where the
/// configuration's does. Making them anew would cut off every node and client of that cluster.
#[must_use]
pub fn foreign_authority(cluster: &Cluster, desired: &Desired, observed: &Observed) -> Option<Forbidden> {
    let authority = pki::ca(cluster, pki::CLUSTER_CA);
    let mut verdicts = desired.resources.iter().filter_map(|resource| {
        let seen = observed.get(&resource.id)?.as_ref().ok()?;
        match (&resource.want, seen) {
            (Want::Present(Spec::Certificate(spec)), Seen::Certificate(seen)) => match &spec.issuer {
                Issuer::Ca(ca) if ca.id == authority.id => seen.certificate.as_ref()?.as_ref().ok()?.signed_by_issuer,
                _ => None,
            },
            (Want::Present(Spec::Kubeconfig(_)), Seen::Kubeconfig(seen)) => seen.content.as_ref().ok()?.ca_is_issuer,
            _ => None,
        }
    });
    // One that is not this CA's is drift; nothing at all that is, is another cluster.
    let another = !verdicts.next()? && verdicts.all(|mine| !mine);
    let field = "ClusterConfiguration.certificatesDir".to_owned();
    another.then(|| Forbidden {
        place: cluster.lines.of(&field).cloned(),
        field,
        before: "the CA that this host's control plane was set up with".to_owned(),
        after: authority.certificate,
        reason: "this host belongs to somebody else's cluster; put its own CA there, or take the host down first with \
                 planekeeper reset",
    })
}

/// An external etcd whose endpoints have all changed is another one.
fn other_etcd(cluster: &Cluster, previous: Option<&Cluster>) -> Option<Forbidden> {
    let (Etcd::External(before), Etcd::External(after)) = (&previous?.etcd, &cluster.etcd) else { return None };
    let field = "ClusterConfiguration.etcd.external.endpoints".to_owned();
    let shared = after.endpoints.iter().any(|endpoint| before.endpoints.contains(endpoint));
    (!shared).then(|| Forbidden {
        place: cluster.lines.of(&field).cloned(),
        field,
        before: before.endpoints.join(","),
        after: after.endpoints.join(","),
        reason: "not one endpoint stays, so the cluster's data would stay behind; change them one after the other",
    })
}

/// The value of a flag among the user's own, which takes the place of the field's.
fn overridden(fixed: &Fixed, cluster: &Cluster) -> Option<String> {
    let (component, flag) = fixed.evidence?;
    let args = match (component, &cluster.etcd) {
        ("kube-apiserver", _) => &cluster.api_server.extra_args,
        ("kube-controller-manager", _) => &cluster.controller_manager.extra_args,
        ("etcd", Etcd::Local(etcd)) => &etcd.extra_args,
        _ => return None,
    };
    let name = flag.strip_prefix("--")?.strip_suffix('=')?;
    let value = arguments::last(args, name)?;
    Some(value.strip_suffix("/ca.crt").unwrap_or(value).to_owned())
}

/// The value that a static Pod on the host shows; `None` where there is no such Pod, or it does not say.
fn evidence(fixed: &Fixed, manifests: &Manifests<'_>) -> Option<String> {
    let (component, flag) = fixed.evidence?;
    let manifest = manifests.of(component)?;
    let command = static_pod::container_of(&manifest, component)?.get("command")?.as_array()?;
    let value = command.iter().filter_map(|word| word.as_str()?.strip_prefix(flag)).next_back()?;
    let value = value.strip_suffix("/ca.crt").unwrap_or(value);
    // What the kubelet fills in is not known here: the address of a self-hosted API server is its Node's.
    Some(value.to_owned()).filter(|value| !value.contains("$("))
}

/// The static Pods of a host, each parsed once, and only where somebody asks for it.
struct Manifests<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    read: RefCell<BTreeMap<&'static str, Option<Rc<Value>>>>,
}

impl Manifests<'_> {
    fn of(&self, component: &'static str) -> Option<Rc<Value>> {
        self.read.borrow_mut().entry(component).or_insert_with(|| self.manifest(component)).clone()
    }

    /// The Pod of a component: a static one, or the one that its `DaemonSet` makes.
    fn manifest(&self, component: &str) -> Option<Rc<Value>> {
        let id = Id::file(&static_pod::path(component));
        if let Some(Ok(Seen::File(file))) = self.observed.get(&id) {
            // What is as it is wanted is not parsed to find out what it says.
            let wanted = self.wanted(&id).filter(|wanted| yaml::to_string(wanted).as_bytes() == file.bytes);
            let read = || yaml::parse(std::str::from_utf8(&file.bytes).ok()?).ok();
            return wanted.cloned().or_else(read).map(Rc::new);
        }
        match self.observed.get(&self_hosting::id(&self_hosting::name(component))) {
            Some(Ok(Seen::Object(Some(object)))) => object.pointer("/spec/template").cloned().map(Rc::new),
            _ => None,
        }
    }

    fn wanted(&self, id: &Id) -> Option<&Value> {
        match &self.desired.resources.iter().find(|resource| resource.id == *id)?.want {
            Want::Present(Spec::File(FileSpec { content: Content::Yaml(wanted), .. })) => Some(wanted),
            _ => None,
        }
    }
}

/// The version of the API server's image, where another is wanted.
fn running_version(manifests: &Manifests<'_>) -> Option<Version> {
    let there = manifests.of(apiserver::NAME)?;
    let there = image(&there, apiserver::NAME)?;
    let wanted = manifests.wanted(&Id::file(&static_pod::path(apiserver::NAME)));
    let same = wanted.and_then(|wanted| image(wanted, apiserver::NAME)) == Some(there);
    if same { None } else { static_pod::version_of(there) }
}

fn image<'a>(pod: &'a Value, component: &str) -> Option<&'a str> {
    static_pod::container_of(pod, component)?.get("image")?.as_str()
}

/// What every look needs to see, whatever it is about, for changes of the version to be judged.
#[must_use]
pub fn is_evidence(id: &Id) -> bool {
    let server = || self_hosting::id(&self_hosting::name(apiserver::NAME));
    *id == Id::file(&static_pod::path(apiserver::NAME)) || *id == upload_config::id() || *id == server()
}

/// Kubernetes' version-skew policy: one minor release up at a time, and never down.
fn skew(cluster: &Cluster, highest: Version, running: Version) -> Option<Forbidden> {
    let (before, reason) = if cluster.version.minor < highest.minor {
        (highest, "Kubernetes cannot go back to an older minor release: what etcd holds may not be readable to it")
    } else if cluster.version.minor > running.minor + 1 {
        (running, "Kubernetes goes up one minor release at a time; go through those between first")
    } else {
        return None;
    };
    let field = "ClusterConfiguration.kubernetesVersion".to_owned();
    let place = cluster.lines.of(&field).cloned();
    Some(Forbidden { field, place, before: before.to_string(), after: cluster.version.to_string(), reason })
}
