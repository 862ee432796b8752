//! Files that are to be made must not be somebody else's: static Pods' manifests, and etcd's data.

use crate::cluster::Cluster;
use crate::desired::directories::MANIFESTS;
use crate::desired::static_pod;
use crate::preflight::standing::Standing;
use crate::preflight::{Check, Finding, Group, Scene, in_identifier, local_etcd};

const COMPONENTS: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];

/// What is said of a control plane that somebody else set up.
const THEIRS: &str = "a bare host, or a control plane that is as configured";

/// How it goes on there.
const ADOPT: &str = "planekeeper reconcile takes it over where it is as configured, and changes it with --adopt";

/// kubeadm asks for etcd's manifest too where etcd is external.
pub(super) fn checks(cluster: &Cluster) -> Vec<Check> {
    let available = |component: &'static str| {
        let path = static_pod::path(component);
        let id = format!("FileAvailable-{}", in_identifier(&path));
        Check::new(id, Group::ControlPlane, move |scene| manifest(scene, &path))
    };
    let id = format!("DirAvailable-{}", in_identifier(MANIFESTS));
    let mut checks: Vec<Check> = COMPONENTS.into_iter().map(available).collect();
    checks.push(Check::new(id, Group::ControlPlane, strays));
    if let Some(local) = local_etcd(cluster) {
        let path = local.data_dir.clone();
        let id = format!("DirAvailable-{}", in_identifier(&path));
        checks.push(Check::new(id, Group::Etcd, move |scene| data(scene, &path)));
    }
    checks
}

fn manifest(scene: &Scene, path: &str) -> Finding {
    let mend = format!("if nobody needs it: rm {path}");
    match (scene.machine.exists(path), scene.standing) {
        (Err(why), _) => Finding::unknown(why, "a file that can be read, or none"),
        (Ok(false), _) => Finding::ok("not there"),
        (Ok(true), Standing::Ours) => Finding::ok("planekeeper's own"),
        (Ok(true), Standing::Others) => Finding::warning(
            format!("{path} is there, of a control plane that planekeeper did not set up"),
            THEIRS,
            ADOPT,
        ),
        (Ok(true), Standing::Bare) => Finding::error(format!("{path} is there"), "no such file", mend),
    }
}

/// Other manifests are their owner's business, but for copies of ours: the kubelet runs every file of the folder.
fn strays(scene: &Scene) -> Finding {
    let names = match scene.machine.names(MANIFESTS) {
        Ok(names) => names.unwrap_or_default(),
        Err(why) => return Finding::unknown(why, "a folder that can be read, or none"),
    };
    let own = |name: &String| COMPONENTS.iter().any(|component| *name == format!("{component}.yaml"));
    let others: Vec<String> = names.into_iter().filter(|name| !name.starts_with('.') && !own(name)).collect();
    let copies: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .filter(|name| COMPONENTS.iter().any(|component| name.starts_with(component)))
        .collect();
    if !copies.is_empty() {
        let found = format!("{MANIFESTS} has {} besides", copies.join(", "));
        return Finding::warning(
            found,
            "one manifest a component: the kubelet runs every file there",
            "move them to another folder",
        );
    }
    Finding::ok(if others.is_empty() {
        "nothing else there".to_owned()
    } else {
        format!("also there: {}", others.join(", "))
    })
}

fn data(scene: &Scene, path: &str) -> Finding {
    let needed = "no such folder, or an empty one";
    let names = match scene.machine.names(path) {
        Ok(names) => names.unwrap_or_default(),
        Err(why) => return Finding::unknown(why, needed),
    };
    let found = format!("{path} is not empty: {}", names.first().map_or("", String::as_str));
    match scene.standing {
        _ if names.is_empty() => Finding::ok("empty"),
        Standing::Ours if names.iter().any(|name| name == "member") => Finding::ok("this etcd's own"),
        Standing::Others => Finding::warning(found, THEIRS, ADOPT),
        _ => Finding::error(found, needed, format!("if nobody needs it: mv {path} {path}.old")),
    }
}
