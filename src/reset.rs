//! Taking a host back to bare: what is to be done, in which order, and what must not be done after something else has failed.
//!
//! It is what `kubeadm reset` does: `cmd/kubeadm/app/cmd/reset.go` and `phases/reset` of Kubernetes. Two things are in another order,
//! so that a run that was broken off can be done again. etcd's data goes once nothing runs any more, not while etcd does; and the
//! manifests go after the folders that only they name.

pub mod places;

use std::collections::BTreeSet;

use crate::desired::directories::{KUBELET, MANIFESTS, STATE};

/// What was found on a host. What is not there is not in it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// This host's member of an etcd cluster, and the others.
    pub etcd: Option<EtcdFound>,
    /// The kubelet runs, or is started again and again. It may, where systemd could not be asked.
    pub kubelet: Answer<bool>,
    /// How many mounts there are below the kubelet's folder.
    pub mounts: usize,
    /// How many Pods the container runtime has, the dead ones too.
    pub pods: Answer<usize>,
    /// Folders with something in them.
    pub folders: Vec<Folder>,
    /// Files.
    pub files: Vec<String>,
    /// planekeeper has records of its own.
    pub records: bool,
}

/// What was asked, or why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The answer.
    Known(T),
    /// Why there is none.
    Unknown(String),
}

impl<T: Default> Default for Answer<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

/// An etcd of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdFound {
    /// This member's name.
    pub name: String,
    /// The members of its cluster, as it says.
    pub members: Answer<Vec<Member>>,
    /// The URLs at which other members know this one.
    pub peer_urls: Vec<String>,
    /// Its manifest names other members.
    pub joined: bool,
}

/// A member of an etcd cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id in the cluster.
    pub id: u64,
    /// Its name; empty before it has started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none before it has started.
    pub client_urls: Vec<String>,
}

/// A folder whose content goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// What it holds.
    pub holds: Holds,
    /// Its path, as it was configured.
    pub path: String,
    /// Its path without symbolic links.
    pub real: String,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The cluster's data.
    EtcdData,
    /// CAs, certificates and keys.
    Certificates,
    /// Static Pods.
    Manifests,
    /// What the kubelet keeps.
    Kubelet,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes this host's member out of its etcd cluster, through the others.
    RemoveMember {
        /// This host's.
        member: Member,
        /// The others.
        others: Vec<Member>,
    },
    /// Stops the kubelet, which would start everything again.
    StopKubelet,
    /// Unmounts what is mounted below the kubelet's folder.
    Unmount(usize),
    /// Stops and removes every Pod of the container runtime.
    RemovePods(Option<usize>),
    /// Removes what is in a folder, and leaves the folder.
    Empty(Folder),
    /// Removes a file.
    RemoveFile(String),
    /// Removes planekeeper's own records.
    Forget,
}

/// The kinds of action that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Member,
    Kubelet,
    Mounts,
    Pods,
    EtcdData,
    Certificates,
    Manifests,
    KubeletFolder,
    File,
    Records,
}

impl Action {
    fn kind(&self) -> Kind {
        match self {
            Self::RemoveMember { .. } => Kind::Member,
            Self::StopKubelet => Kind::Kubelet,
            Self::Unmount(_) => Kind::Mounts,
            Self::RemovePods(_) => Kind::Pods,
            Self::Empty(folder) => match folder.holds {
                Holds::EtcdData => Kind::EtcdData,
                Holds::Certificates => Kind::Certificates,
                Holds::Manifests => Kind::Manifests,
                Holds::Kubelet => Kind::KubeletFolder,
            },
            Self::RemoveFile(_) => Kind::File,
            Self::Forget => Kind::Records,
        }
    }

    /// What must not have failed before. A member that stays in its cluster holds nothing up, as with kubeadm.
    fn needs(&self) -> &'static [Kind] {
        match self.kind() {
            Kind::Member | Kind::Kubelet => &[],
            Kind::Mounts | Kind::Pods | Kind::Certificates | Kind::File => &[Kind::Kubelet],
            Kind::EtcdData => &[Kind::Kubelet, Kind::Pods],
            Kind::KubeletFolder => &[Kind::Kubelet, Kind::Mounts, Kind::Pods],
            // Without a configuration only they say where etcd's data and the certificates are.
            Kind::Manifests => &[Kind::Kubelet, Kind::EtcdData, Kind::Certificates],
            Kind::Records => &[
                Kind::Kubelet,
                Kind::Mounts,
                Kind::Pods,
                Kind::EtcdData,
                Kind::Certificates,
                Kind::Manifests,
                Kind::KubeletFolder,
                Kind::File,
            ],
        }
    }

    /// What is done, for a program.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RemoveMember { .. } => "removeEtcdMember",
            Self::StopKubelet => "stopKubelet",
            Self::Unmount(_) => "unmount",
            Self::RemovePods(_) => "removePods",
            Self::Empty(_) => "emptyFolder",
            Self::RemoveFile(_) => "removeFile",
            Self::Forget => "removeRecords",
        }
    }

    /// What it is done to, for a program.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::RemoveMember { member, .. } => Some(&member.name),
            Self::StopKubelet | Self::RemovePods(_) => None,
            Self::Unmount(_) => Some(KUBELET),
            Self::Empty(folder) => Some(&folder.path),
            Self::RemoveFile(path) => Some(path),
            Self::Forget => Some(STATE),
        }
    }

    /// What is done, for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::RemoveMember { member, others } => {
                let count = others.len() + 1;
                format!("remove this host's member {} from the etcd cluster of {count} members", member.title())
            }
            Self::StopKubelet => "stop the kubelet".to_owned(),
            Self::Unmount(count) => format!("unmount {} below {KUBELET}", counted(*count, "mount")),
            Self::RemovePods(Some(count)) => {
                format!("stop and remove {}, all that the container runtime has", counted(*count, "Pod"))
            }
            Self::RemovePods(None) => "stop and remove all Pods of the container runtime".to_owned(),
            Self::Empty(folder) => {
                let through = if folder.real == folder.path { String::new() } else { format!(" ({})", folder.real) };
                format!("delete what is in {}{through}: {}", folder.path, folder.holds.describe())
            }
            Self::RemoveFile(path) => format!("delete {path}"),
            Self::Forget => format!("delete planekeeper's records in {STATE}"),
        }
    }
}

/// What is lost for ever, for a person to know before.
#[must_use]
pub fn loss(plan: &Plan) -> Option<&'static str> {
    let has = |kind: Kind| plan.actions.iter().any(|action| action.kind() == kind);
    match (has(Kind::Certificates), has(Kind::EtcdData), has(Kind::Member)) {
        (true, true, false) => {
            Some("The keys of the CAs and the data of etcd are deleted. Only a backup brings them back.")
        }
        (true, _, _) => Some(
            "The keys of the CAs on this host are deleted. Only a backup, or another control plane, brings them back.",
        ),
        (false, true, false) => Some("The data of etcd is deleted. Only a backup brings it back."),
        _ => None,
    }
}

/// So many of something, in the plural where it is not one.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Member {
    /// What a person knows it by.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() { format!("{:x}", self.id) } else { self.name.clone() }
    }
}

impl Holds {
    fn describe(self) -> &'static str {
        match self {
            Self::EtcdData => "the data of etcd",
            Self::Certificates => "certificates and keys, those of the CAs too",
            Self::Manifests => "static Pods",
            Self::Kubelet => "the kubelet's files, and volumes of Pods that are on this host's disk",
        }
    }
}

/// What is to be done, and what cannot be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// What a person should know before.
    pub warnings: Vec<String>,
}

/// Says what is to be done on a host.
#[must_use]
pub fn plan(found: &Found) -> Plan {
    let (member, warnings) = match &found.etcd {
        Some(etcd) => leave_cluster(etcd),
        None => (None, Vec::new()),
    };
    let folder = |holds: Holds| found.folders.iter().find(|folder| folder.holds == holds).cloned().map(Action::Empty);
    let mut actions: Vec<Action> = [Holds::EtcdData, Holds::Certificates, Holds::Manifests, Holds::Kubelet]
        .into_iter()
        .filter_map(folder)
        .chain(found.files.iter().cloned().map(Action::RemoveFile))
        .chain(member)
        .chain((found.mounts > 0).then_some(Action::Unmount(found.mounts)))
        .chain(found.records.then_some(Action::Forget))
        .collect();
    if let Answer::Known(count @ 1..) = found.pods {
        actions.push(Action::RemovePods(Some(count)));
    }
    // What could not be asked is done where there is anything else to do: a bare host has nothing to ask.
    if found.kubelet == Answer::Known(true) || (!actions.is_empty() && found.kubelet != Answer::Known(false)) {
        actions.push(Action::StopKubelet);
    }
    if !actions.is_empty() && matches!(found.pods, Answer::Unknown(_)) {
        actions.push(Action::RemovePods(None));
    }
    actions.sort_by_key(Action::kind);
    Plan { actions, warnings }
}

/// What is to be done about etcd's other members. The last one of a cluster is not removed: there is nobody whom it would matter to.
fn leave_cluster(etcd: &EtcdFound) -> (Option<Action>, Vec<String>) {
    let by_hand = format!(
        "if its cluster has other members, remove it on one of them: `etcdctl member list`, `etcdctl member remove` ({})",
        etcd.name
    );
    let members = match &etcd.members {
        Answer::Known(members) => members,
        Answer::Unknown(why) => {
            let known = if etcd.joined { "; its manifest names other members" } else { "" };
            return (
                None,
                vec![format!("this host's etcd could not be asked for its members ({why}){known}; {by_hand}")],
            );
        }
    };
    let ours = |member: &&Member| member.peer_urls.iter().any(|url| etcd.peer_urls.contains(url));
    let Some(member) = members.iter().find(ours) else {
        // It was removed before, or its address has changed.
        return (None, Vec::new());
    };
    let others: Vec<Member> = members.iter().filter(|other| other.id != member.id).cloned().collect();
    ((!others.is_empty()).then(|| Action::RemoveMember { member: member.clone(), others }), Vec::new())
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// Why it is not.
    Failed(String),
    /// What it needed has failed: it was not tried.
    Left,
}

/// Does what a plan says, in its order. What failed stops what needs it, and nothing else.
pub fn run(plan: &Plan, mut act: impl FnMut(&Action) -> Result<(), String>) -> Vec<(Action, End)> {
    let mut broken = BTreeSet::new();
    let mut ends = Vec::with_capacity(plan.actions.len());
    for action in &plan.actions {
        let end = if action.needs().iter().any(|needed| broken.contains(needed)) {
            End::Left
        } else {
            act(action).map_or_else(End::Failed, |()| End::Done)
        };
        if end != End::Done {
            broken.insert(action.kind());
        }
        ends.push((action.clone(), end));
    }
    ends
}

/// Nothing of the cluster is on the host any more; its etcd member may have stayed in the cluster.
#[must_use]
pub fn bare(ends: &[(Action, End)]) -> bool {
    ends.iter().all(|(action, end)| *end == End::Done || action.kind() == Kind::Member)
}

/// The folders that are emptied, those that the configuration may move last: what they hold, and their path.
#[must_use]
pub fn folders(places: &places::Places) -> Vec<(Holds, String)> {
    let data = places.etcd_data.clone().map(|path| (Holds::EtcdData, path));
    let fixed = [(Holds::Manifests, MANIFESTS.to_owned()), (Holds::Kubelet, KUBELET.to_owned())];
    let certificates = (Holds::Certificates, places.certificates.clone());
    fixed.into_iter().chain([certificates]).chain(data).collect()
}

#[cfg(test)]
mod tests;
