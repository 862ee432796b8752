use super::places::{EtcdPod, Places, Texts, may_empty, mounts_below, places};
use super::*;
use crate::cluster::{Etcd, fixture};

fn folder(holds: Holds, path: &str) -> Folder {
    Folder { holds, path: path.to_owned(), real: path.to_owned() }
}

/// A host with a whole control plane.
fn whole() -> Found {
    Found {
        etcd: Some(etcd(vec![member(1, "cp1")])),
        kubelet: Answer::Known(true),
        mounts: 3,
        pods: Answer::Known(7),
        folders: vec![
            folder(Holds::Manifests, MANIFESTS),
            folder(Holds::Kubelet, KUBELET),
            folder(Holds::Certificates, "/etc/kubernetes/pki"),
            folder(Holds::EtcdData, "/var/lib/etcd"),
        ],
        files: vec!["/etc/kubernetes/admin.conf".to_owned()],
        records: true,
    }
}

fn member(id: u64, name: &str) -> Member {
    let url = |port| vec![format!("https://192.0.2.{id}:{port}")];
    Member { id, name: name.to_owned(), peer_urls: url(2380), client_urls: url(2379) }
}

/// The etcd of cp1.
fn etcd(members: Vec<Member>) -> EtcdFound {
    EtcdFound {
        name: "cp1".to_owned(),
        members: Answer::Known(members),
        peer_urls: member(1, "cp1").peer_urls,
        joined: false,
    }
}

fn kinds(plan: &Plan) -> Vec<Kind> {
    plan.actions.iter().map(Action::kind).collect()
}

/// How each kind of action ends, where some fail.
fn ends(found: &Found, failing: &[Kind]) -> Vec<(Kind, End)> {
    let act = |action: &Action| {
        if failing.contains(&action.kind()) { Err("no".to_owned()) } else { Ok(()) }
    };
    run(&plan(found), act).into_iter().map(|(action, end)| (action.kind(), end)).collect()
}

fn not_tried(found: &Found, failing: &[Kind]) -> Vec<Kind> {
    ends(found, failing).into_iter().filter(|(_, end)| *end == End::Left).map(|(kind, _)| kind).collect()
}

#[test]
fn what_runs_ends_before_data_goes_and_records_go_last() {
    use Kind::{Certificates, EtcdData, File, Kubelet, KubeletFolder, Manifests, Mounts, Pods, Records};
    let expected = [Kubelet, Mounts, Pods, EtcdData, Certificates, Manifests, KubeletFolder, File, Records];
    assert_eq!(kinds(&plan(&whole())), expected);
    assert!(ends(&whole(), &[]).iter().all(|(_, end)| *end == End::Done));
}

#[test]
fn a_bare_host_has_nothing_to_do_whether_or_not_anybody_answers() {
    assert!(plan(&Found::default()).actions.is_empty());
    let silent = Found {
        kubelet: Answer::Unknown("no systemd".to_owned()),
        pods: Answer::Unknown("no answer".to_owned()),
        ..Found::default()
    };
    assert!(plan(&silent).actions.is_empty());
}

#[test]
fn what_could_not_be_asked_is_tried_where_there_is_anything_to_do() {
    let found = Found {
        kubelet: Answer::Unknown("no answer".to_owned()),
        pods: Answer::Unknown("no answer".to_owned()),
        files: vec!["/etc/kubernetes/admin.conf".to_owned()],
        ..Found::default()
    };
    assert_eq!(kinds(&plan(&found)), [Kind::Kubelet, Kind::Pods, Kind::File]);
}

#[test]
fn nothing_is_deleted_while_the_kubelet_may_still_run() {
    let tried: Vec<Kind> = ends(&whole(), &[Kind::Kubelet])
        .into_iter()
        .filter(|(_, end)| *end != End::Left)
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(tried, [Kind::Kubelet]);
}

#[test]
fn data_stays_while_pods_may_still_run_on_it_and_the_rest_goes() {
    let left = not_tried(&whole(), &[Kind::Pods]);
    assert_eq!(left, [Kind::EtcdData, Kind::Manifests, Kind::KubeletFolder, Kind::Records]);
}

#[test]
fn a_file_that_stays_holds_up_nothing_but_the_records() {
    assert_eq!(not_tried(&whole(), &[Kind::File]), [Kind::Records]);
}

#[test]
fn the_last_member_of_a_cluster_is_not_removed_and_one_of_several_is_first() {
    assert!(!kinds(&plan(&whole())).contains(&Kind::Member));
    let several = Found { etcd: Some(etcd(vec![member(2, "cp2"), member(1, "cp1")])), ..whole() };
    let plan = plan(&several);
    let expected = Action::RemoveMember { member: member(1, "cp1"), others: vec![member(2, "cp2")] };
    assert_eq!(plan.actions[0], expected);
    assert!(loss(&plan).unwrap().contains("another control plane"), "{:?}", loss(&plan));
    assert_eq!(not_tried(&several, &[Kind::Member]), [], "as with kubeadm, the host is reset all the same");
    let failing = |kind| run(&plan, move |action| if action.kind() == kind { Err(String::new()) } else { Ok(()) });
    assert!(bare(&failing(Kind::Member)) && !bare(&failing(Kind::File)));
}

#[test]
fn a_member_that_the_cluster_no_longer_has_is_not_removed_again() {
    let gone = Found { etcd: Some(etcd(vec![member(2, "cp2"), member(3, "cp3")])), ..whole() };
    assert!(!kinds(&plan(&gone)).contains(&Kind::Member));
}

#[test]
fn an_etcd_that_does_not_answer_is_warned_of_with_what_to_do_by_hand() {
    let silent = EtcdFound { members: Answer::Unknown("connection refused".to_owned()), ..etcd(Vec::new()) };
    let plan = plan(&Found { etcd: Some(silent), ..whole() });
    assert!(!kinds(&plan).contains(&Kind::Member));
    assert!(plan.warnings[0].contains("connection refused") && plan.warnings[0].contains("etcdctl member remove"));
}

#[test]
fn a_person_is_told_before_what_is_lost_for_ever() {
    assert!(loss(&plan(&whole())).unwrap().contains("keys of the CAs and the data of etcd"));
    assert_eq!(loss(&plan(&Found { records: true, ..Found::default() })), None);
}

const ETCD: &str = "\
spec:
  containers:
  - name: proxy
    command: [proxy, --name=other]
  - name: etcd
    command:
    - etcd
    - --name=cp2
    - --listen-client-urls=https://127.0.0.1:2379,https://192.0.2.2:2379
    - --initial-advertise-peer-urls=https://192.0.2.2:2380
    - --initial-cluster=cp1=https://192.0.2.1:2380,cp2=https://192.0.2.2:2380
  volumes:
  - {name: etcd-certs, hostPath: {path: /srv/pki/etcd}}
  - {name: etcd-data, hostPath: {path: /srv/etcd}}
";

fn api_server(etcd: &str) -> String {
    let command = format!("[kube-apiserver, --etcd-servers={etcd}]");
    format!(
        "spec:\n  containers: [{{name: kube-apiserver, command: {command}}}]\n  volumes: [{{name: k8s-certs, hostPath: {{path: /srv/pki}}}}]\n"
    )
}

#[test]
fn a_host_says_where_things_are_and_counts_more_than_the_configuration() {
    let texts = Texts {
        etcd: Some(ETCD.to_owned()),
        api_server: Some(api_server("https://127.0.0.1:2379")),
        kubelet: [Some("containerRuntimeEndpoint: unix:///run/crio/crio.sock\n".to_owned()), None],
        kubelet_flags: None,
    };
    let endpoints = ["https://127.0.0.1:2379", "https://192.0.2.1:2379"].map(str::to_owned).to_vec();
    let expected = Places {
        certificates: "/srv/pki".to_owned(),
        etcd_data: Some("/srv/etcd".to_owned()),
        cri_socket: "unix:///run/crio/crio.sock".to_owned(),
        etcd: Some(EtcdPod {
            name: "cp2".to_owned(),
            peer_urls: vec!["https://192.0.2.2:2380".to_owned()],
            endpoints,
            joined: true,
        }),
    };
    assert_eq!(places(&texts, None), expected);
    assert_eq!(places(&texts, Some(&fixture())), expected);
    let flags = Some("KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/a.sock --v=2\"\n".to_owned());
    assert_eq!(places(&Texts { kubelet_flags: flags, ..texts }, None).cri_socket, "unix:///run/a.sock");
}

#[test]
fn without_its_own_word_a_host_is_as_the_configuration_says_or_else_as_kubeadm_makes_it() {
    let default = places(&Texts::default(), None);
    assert_eq!(default.certificates, "/etc/kubernetes/pki");
    assert_eq!(default.etcd_data.as_deref(), Some("/var/lib/etcd"));
    assert_eq!(default.cri_socket, "unix:///var/run/containerd/containerd.sock");
    let mut cluster = fixture();
    "/srv/pki".clone_into(&mut cluster.certificates_dir);
    "unix:///run/crio/crio.sock".clone_into(&mut cluster.node.cri_socket);
    let Etcd::Local(local) = &mut cluster.etcd else { panic!() };
    "/srv/etcd".clone_into(&mut local.data_dir);
    let said = places(&Texts::default(), Some(&cluster));
    assert_eq!((said.certificates.as_str(), said.etcd_data.as_deref()), ("/srv/pki", Some("/srv/etcd")));
    assert_eq!(said.cri_socket, "unix:///run/crio/crio.sock");
}

#[test]
fn the_data_of_an_etcd_elsewhere_is_not_looked_for_here() {
    let external = Texts { api_server: Some(api_server("https://192.0.2.9:2379")), ..Texts::default() };
    assert_eq!(places(&external, None).etcd_data, None);
    for local in ["https://127.0.0.1:2379", "https://[::1]:2379", "https://localhost:2379"] {
        let texts = Texts { api_server: Some(api_server(local)), ..Texts::default() };
        assert!(places(&texts, None).etcd_data.is_some(), "{local}");
    }
}

#[test]
fn damaged_files_of_a_host_say_nothing() {
    let damaged = || Some("{".to_owned());
    let texts = Texts {
        etcd: damaged(),
        api_server: damaged(),
        kubelet: [damaged(), damaged()],
        kubelet_flags: Some("\"".to_owned()),
    };
    assert_eq!(places(&texts, None), places(&Texts::default(), None));
}

#[test]
fn folders_of_the_system_and_those_above_what_stays_are_refused() {
    let kept = ["/srv/planekeeper/cluster.yaml".to_owned()];
    for path in [
        "/",
        "//",
        "/etc",
        "/etc/",
        "/etc/.",
        "/var",
        "/var/lib",
        "/usr",
        "/usr/share/pki",
        "/home",
        "/root",
        "/etc/kubernetes",
        "/etc/planekeeper",
        "/etc/planekeeper/pki",
        "/var/lib/planekeeper",
        "/var/lib/containerd",
        "/proc/1",
        "/boot/pki",
        "/srv",
        "/srv/planekeeper",
        "pki",
        "",
        "/etc/kubernetes/../..",
    ] {
        assert!(may_empty(path, &kept).is_err(), "{path}");
    }
    for path in ["/etc/kubernetes/pki", "/etc/pki-of-cluster", "/var/lib/etcd", "/data", "/srv/etcd"] {
        assert_eq!(may_empty(path, &kept), Ok(()), "{path}");
    }
    let person = format!("{}/ann", "/home");
    assert!(may_empty(&person, &kept).is_err());
    assert_eq!(may_empty(&format!("{person}/etcd"), &kept), Ok(()));
}

#[test]
fn mounts_are_undone_from_the_inside_and_other_folders_are_left_alone() {
    let text = "\
disk / ext4 rw 0 0
tmpfs /var/lib/kubelet tmpfs rw 0 0
tmpfs /var/lib/kubelet/pods/a tmpfs rw 0 0
tmpfs /var/lib/kubelet/pods/a/b\\040c tmpfs rw 0 0
tmpfs /var/lib/kubelet2/pods tmpfs rw 0 0
";
    assert_eq!(mounts_below(text, "/var/lib/kubelet"), ["/var/lib/kubelet/pods/a/b c", "/var/lib/kubelet/pods/a"]);
}
