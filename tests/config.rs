//! Configurations as people write them, right and wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use planekeeper::cluster::{Cluster, DnsKind, DriftPolicy, Etcd, FileModes, Hosting, KeyAlgorithm, TokenEnd};
use planekeeper::config::{self, Loaded, PatchFile, Source};
use planekeeper::facts::Machine;
use planekeeper::problem::Problem;
use proptest::prelude::*;
use serde_json::json;

fn machine() -> Machine {
    Machine { hostname: "Host-7\n".into(), default_address: Some("192.0.2.7".parse().unwrap()), ..Machine::default() }
}

fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    config::parse(&[Source { name: "c.yaml".into(), text: text.into() }]).complete(&machine(), &[])
}

fn cluster(text: &str) -> Cluster {
    load(text).unwrap().cluster
}

fn lines_and_fields(problems: &[Problem]) -> Vec<(u64, &str)> {
    problems.iter().map(|p| (p.place.as_ref().map_or(0, |place| place.line), p.field.as_str())).collect()
}

/// A `ClusterConfiguration` with some lines more; the first of them is line 4.
fn with(fields: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n{fields}")
}

/// An `InitConfiguration` with some lines; the first of them is line 3.
fn init(fields: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n{fields}\n---\n{}", with(""))
}

#[test]
fn what_is_written_is_what_is_wanted() {
    let cluster = cluster(include_str!("config/kubeadm.yaml"));
    assert_eq!((cluster.version.to_string().as_str(), cluster.release.minor), ("v1.37.1", 37));
    assert_eq!(cluster.node.name, "cp-1.example");
    assert_eq!(cluster.node.cri_socket, "unix:///run/crio/crio.sock");
    assert!(cluster.node.taints.is_empty() && !cluster.node.image_pull_serial);
    assert_eq!(cluster.endpoint.host_port(), "192.0.2.10:7443");
    assert_eq!(cluster.control_plane_endpoint.as_deref(), Some("api.example.com:7443"));
    assert_eq!(cluster.certificates_dir, "/srv/pki");
    assert_eq!(cluster.key_algorithm, KeyAlgorithm::EcdsaP384);
    assert_eq!(cluster.certificate_validity, Duration::from_secs(360_000));
    assert_eq!(cluster.api_server_cert_sans, ["api.example.com", "203.0.113.1"]);
    assert_eq!(cluster.api_server.extra_args.len(), 2);
    let field = json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } });
    assert_eq!(cluster.api_server.extra_envs[0]["valueFrom"], field);
    let networking = &cluster.networking;
    let services: Vec<_> = networking.api_service_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        (services, networking.dns_address.to_string().as_str()),
        (vec!["10.20.0.1".into(), "fd00:20::1".into()], "10.20.0.10")
    );
    assert_eq!(cluster.bootstrap_tokens[0].end, TokenEnd::After(Duration::from_secs(5400)));
    assert_eq!(cluster.bootstrap_tokens[1].end, TokenEnd::Never);
    assert_eq!(cluster.timeouts.kubelet_health_check, Duration::from_secs(30));
    assert_eq!(cluster.timeouts.discovery, Duration::from_secs(300));
    assert!(cluster.skip_phases.contains("addon/kube-proxy"));
    let Etcd::Local(etcd) = &cluster.etcd else { panic!("{:?}", cluster.etcd) };
    assert_eq!((etcd.data_dir.as_str(), etcd.image_tag.as_deref()), ("/srv/etcd", Some("3.6.9-0")));
    assert_eq!(cluster.lines.of("ClusterConfiguration.apiServer.extraArgs[1].value").unwrap().line, 48);
    assert_eq!(cluster.uploaded["apiServer"]["certSANs"][0], "api.example.com");
    assert_eq!(cluster.uploaded["scheduler"], json!({}));
}

#[test]
fn what_is_left_open_is_kubeadms_default() {
    let cluster = cluster(&with(""));
    assert_eq!(cluster.node.name, "host-7");
    assert_eq!(cluster.node.cri_socket, "unix:///var/run/containerd/containerd.sock");
    assert_eq!(cluster.node.taints[0].key, "node-role.kubernetes.io/control-plane");
    assert_eq!(cluster.endpoint.host_port(), "192.0.2.7:6443");
    assert_eq!(cluster.networking.dns_address.to_string(), "10.96.0.10");
    assert_eq!(cluster.bootstrap_tokens.len(), 1);
    assert!(cluster.bootstrap_tokens[0].token.is_none() && cluster.audit.is_none());
    assert_eq!(
        cluster.uploaded,
        json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "apiServer": {},
            "caCertificateValidityPeriod": "87600h0m0s",
            "certificateValidityPeriod": "8760h0m0s",
            "certificatesDir": "/etc/kubernetes/pki",
            "clusterName": "kubernetes",
            "controllerManager": {},
            "dns": {},
            "encryptionAlgorithm": "RSA-2048",
            "etcd": { "local": { "dataDir": "/var/lib/etcd" } },
            "imageRepository": "registry.k8s.io",
            "kubernetesVersion": "v1.37.2",
            "networking": { "dnsDomain": "cluster.local", "serviceSubnet": "10.96.0.0/12" },
            "proxy": {},
            "scheduler": {},
        })
    );
}

#[test]
fn v1beta3_is_read_as_kubeadm_converts_it() {
    let loaded = load(include_str!("config/old.yaml")).unwrap();
    let cluster = &loaded.cluster;
    let names: Vec<_> = cluster.api_server.extra_args.iter().map(|arg| arg.name.as_str()).collect();
    assert_eq!(names, ["audit-log-path", "v"]);
    assert_eq!(cluster.lines.of("ClusterConfiguration.apiServer.extraArgs[0]").unwrap().line, 8);
    assert_eq!(cluster.timeouts.control_plane_component_health_check, Duration::from_secs(420));
    assert!(loaded.warnings[0].message.contains("deprecated"));
    assert_eq!(
        cluster.uploaded["etcd"]["external"]["httpEndpoints"],
        cluster.uploaded["etcd"]["external"]["endpoints"]
    );
}

/// Documents as one text.
fn text_of(documents: &[serde_json::Value]) -> String {
    documents.iter().map(planekeeper::yaml::to_string).collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_migrated_configuration_means_the_same() {
    let text = include_str!("config/old.yaml");
    let parsed = config::parse(&[Source { name: "c.yaml".into(), text: text.into() }]);
    let loaded = load(&text_of(&config::migrate(parsed).unwrap())).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let old = cluster(text);
    assert_eq!(loaded.cluster.uploaded, old.uploaded);
    assert_eq!(format!("{:?}", loaded.cluster.timeouts), format!("{:?}", old.timeouts));
}

#[test]
fn every_kind_has_its_say() {
    let loaded = load(
        &include_str!("config/every-kind.yaml")
            .replace("kubernetesVersion", "controlPlaneEndpoint: '[fd00::1]:6443'\nkubernetesVersion"),
    )
    .unwrap_err();
    assert_eq!(lines_and_fields(&loaded), [(0, "InitConfiguration.localAPIEndpoint.advertiseAddress")]);
    let machine = Machine { default_address: Some("fd00::7".parse().unwrap()), ..machine() };
    let source = Source { name: "c.yaml".into(), text: include_str!("config/every-kind.yaml").into() };
    let loaded = config::parse(&[source]).complete(&machine, &[]).unwrap();
    let cluster = loaded.cluster;
    assert_eq!(cluster.uploaded["kubernetesVersion"], "v1.36.3");
    assert_eq!((&cluster.kubelet.value["maxPods"], cluster.kubelet.user_supplied), (&json!(200), true));
    assert_eq!(cluster.kube_proxy.value["mode"], "nftables");
    assert_eq!(cluster.audit.unwrap().policy["rules"][1], json!({ "level": "Metadata" }));
    let policies: Vec<_> = cluster.settings.drift.iter().map(|rule| (rule.resources.as_str(), rule.policy)).collect();
    assert_eq!(policies, [("*", DriftPolicy::Report), ("file:/etc/kubernetes/*", DriftPolicy::Leave)]);
    assert_eq!(cluster.settings.file_modes, FileModes::Cis);
    assert_eq!(cluster.dns.kind, DnsKind::KubeDns);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert_eq!(loaded.warnings[0].field, "JoinConfiguration");
}

#[test]
fn printed_configuration_is_complete_and_hides_secrets() {
    let printed = text_of(&config::print(&load(include_str!("config/kubeadm.yaml")).unwrap()));
    for text in ["kubernetesVersion: v1.37.1", "kind: KubeletConfiguration", "n0t5ec.(secret)", "directory: patches"] {
        assert!(printed.contains(text), "{text}\n{printed}");
    }
    assert!(!printed.contains("n0tasecret"));
    let again = load(
        &printed
            .replace("n0t5ec.(secret)", "n0t5ec.n0tasecretn0tase")
            .replace("f0reve.(secret)", "f0reve.r000000000000000"),
    );
    assert_eq!(text_of(&config::print(&again.unwrap())), printed, "what is printed is a configuration");
}

/// Fields below line 3 of a `ClusterConfiguration`, and where the mistakes in them are.
const CLUSTER_MISTAKES: &[(&str, &[(u64, &str)])] = &[
    ("networkng: {}", &[(4, "ClusterConfiguration.networkng")]),
    (
        "networking:\n  podSubnt: x\n  serviceSubnet: 10.96.0.0/33",
        &[(5, "ClusterConfiguration.networking.podSubnt"), (6, "ClusterConfiguration.networking.serviceSubnet")],
    ),
    ("networking: {serviceSubnet: 10.96.0.0/11}", &[(4, "ClusterConfiguration.networking.serviceSubnet")]),
    ("networking: {serviceSubnet: 10.96.0.0/29}", &[(4, "ClusterConfiguration.networking.serviceSubnet")]),
    (
        "networking: {serviceSubnet: \"10.96.0.0/16,10.97.0.0/16\"}",
        &[(4, "ClusterConfiguration.networking.serviceSubnet")],
    ),
    ("networking: {podSubnet: 10.96.0.0/16}", &[(4, "ClusterConfiguration.networking.podSubnet")]),
    ("networking: {podSubnet: 10.32.0.0/25}", &[(4, "ClusterConfiguration.networking.podSubnet")]),
    (
        "networking: {podSubnet: \"fd00::/32\"}",
        &[(4, "ClusterConfiguration.networking.podSubnet"), (4, "ClusterConfiguration.networking.podSubnet")],
    ),
    ("networking: {dnsDomain: Cluster.Local}", &[(4, "ClusterConfiguration.networking.dnsDomain")]),
    ("clusterName: 5", &[(4, "ClusterConfiguration.clusterName")]),
    ("clusterName: a\nclusterName: b", &[(5, "ClusterConfiguration.clusterName")]),
    ("controlPlaneEndpoint: https://lb:6443", &[(4, "ClusterConfiguration.controlPlaneEndpoint")]),
    ("certificatesDir: pki", &[(4, "ClusterConfiguration.certificatesDir")]),
    ("certificatesDir: /etc/../pki", &[(4, "ClusterConfiguration.certificatesDir")]),
    (
        "certificateValidityPeriod: 2h\ncaCertificateValidityPeriod: 1h",
        &[(4, "ClusterConfiguration.certificateValidityPeriod")],
    ),
    ("certificateValidityPeriod: 0s", &[(4, "ClusterConfiguration.certificateValidityPeriod")]),
    ("certificateValidityPeriod: 1d", &[(4, "ClusterConfiguration.certificateValidityPeriod")]),
    ("encryptionAlgorithm: RSA-1024", &[(4, "ClusterConfiguration.encryptionAlgorithm")]),
    ("featureGates: {RootlesControlPlane: true}", &[(4, "ClusterConfiguration.featureGates.RootlesControlPlane")]),
    ("imageRepository: https://registry", &[(4, "ClusterConfiguration.imageRepository")]),
    ("etcd: {local: {dataDir: etcd}}", &[(4, "ClusterConfiguration.etcd.local.dataDir")]),
    ("etcd: {local: {}, external: {endpoints: [\"https://a:2379\"]}}", &[(4, "ClusterConfiguration.etcd")]),
    (
        "etcd:\n  external:\n    endpoints: [\"http://a:2379\"]\n    certFile: /c",
        &[(5, "ClusterConfiguration.etcd.external.keyFile"), (6, "ClusterConfiguration.etcd.external.endpoints[0]")],
    ),
    (
        "apiServer:\n  extraArgs:\n  - {name: --v, value: '1'}\n  - {name: '', value: x}",
        &[
            (6, "ClusterConfiguration.apiServer.extraArgs[0].name"),
            (7, "ClusterConfiguration.apiServer.extraArgs[1].name"),
        ],
    ),
    ("apiServer:\n  extraArgs:\n  - {name: v, value: 1}", &[(6, "ClusterConfiguration.apiServer.extraArgs[0].value")]),
    ("apiServer: {extraArgs: {v: '1'}}", &[(4, "ClusterConfiguration.apiServer.extraArgs")]),
    ("apiServer: {certSANs: ['a_b']}", &[(4, "ClusterConfiguration.apiServer.certSANs[0]")]),
    (
        "scheduler:\n  extraVolumes:\n  - {name: a, hostPath: /x, mountPath: /x}\n  - {name: a, hostPath: y, mountPath: /y}",
        &[
            (7, "ClusterConfiguration.scheduler.extraVolumes[1].hostPath"),
            (7, "ClusterConfiguration.scheduler.extraVolumes[1].name"),
        ],
    ),
    (
        "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: /srv\nmaxPod: 5",
        &[(7, "KubeletConfiguration.staticPodPath"), (8, "KubeletConfiguration.maxPod")],
    ),
    (
        "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptable",
        &[(7, "KubeProxyConfiguration.mode")],
    ),
    (
        "---\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metdata\n- {}",
        &[(8, "Policy.rules[0].level"), (9, "Policy.rules[1].level")],
    ),
    ("---\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []", &[(7, "Policy.rules")]),
    (
        "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ndrift: {policy: Repare}\nproxyEnvironment: {PROXY: x}",
        &[(7, "PlanekeeperConfiguration.drift.policy"), (8, "PlanekeeperConfiguration.proxyEnvironment.PROXY")],
    ),
    (
        "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ndrift:\n  rules:\n  - {resources: 'certificate:*', fields: [mode]}\n  - {resources: 'object:*', fields: [replicas, .data]}",
        &[
            (9, "PlanekeeperConfiguration.drift.rules[0].resources"),
            (10, "PlanekeeperConfiguration.drift.rules[1].fields[0]"),
        ],
    ),
    ("---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration", &[(5, "ClusterConfiguration")]),
    ("---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: InitConfiguration", &[(5, "apiVersion")]),
    ("---\napiVersion: kubeadm.k8s.io/v1\nkind: InitConfiguration", &[(5, "apiVersion")]),
    ("---\napiVersion: v1\nkind: Pod", &[(5, "apiVersion")]),
    ("---\na: [\n---\nb", &[(5, ""), (7, "")]),
    ("clusterName: x\n\tdns: {}", &[(5, "")]),
];

#[test]
fn each_mistake_is_named_with_its_line_and_field() {
    for (fields, want) in CLUSTER_MISTAKES {
        let problems = load(&with(fields)).map(|loaded| loaded.cluster.uploaded).unwrap_err();
        let found = lines_and_fields(&problems);
        assert_eq!(found, *want, "{fields}\n{problems:#?}");
    }
}

/// Fields below line 2 of an `InitConfiguration`, and where the mistakes in them are.
const INIT_MISTAKES: &[(&str, &[(u64, &str)])] = &[
    ("bootstrapTokens:\n- token: short.token", &[(4, "InitConfiguration.bootstrapTokens[0].token")]),
    ("bootstrapTokens:\n- {token: \"\"}", &[(4, "InitConfiguration.bootstrapTokens[0].token")]),
    ("bootstrapTokens:\n- {ttl: 1h}\n- {ttl: 2h}", &[(5, "InitConfiguration.bootstrapTokens[1].token")]),
    (
        "bootstrapTokens:\n- {token: aaaaaa.0123456789abcdef}\n- {token: aaaaaa.f123456789abcdef}",
        &[(5, "InitConfiguration.bootstrapTokens[1].token")],
    ),
    ("bootstrapTokens:\n- {expires: \"2030-01-01T00:00:00Z\"}", &[(4, "InitConfiguration.bootstrapTokens[0].expires")]),
    ("bootstrapTokens:\n- {usages: [signing]}", &[(4, "InitConfiguration.bootstrapTokens[0].usages")]),
    (
        "bootstrapTokens:\n- {groups: [admins], ttl: -1h}",
        &[(4, "InitConfiguration.bootstrapTokens[0].groups[0]"), (4, "InitConfiguration.bootstrapTokens[0].ttl")],
    ),
    ("nodeRegistration: {name: a_b}", &[(3, "InitConfiguration.nodeRegistration.name")]),
    ("nodeRegistration: {criSocket: \"tcp://x\"}", &[(3, "InitConfiguration.nodeRegistration.criSocket")]),
    ("nodeRegistration: {imagePullPolicy: Sometimes}", &[(3, "InitConfiguration.nodeRegistration.imagePullPolicy")]),
    (
        "nodeRegistration: {taints: [{key: a b, effect: NoSchedul}]}",
        &[
            (3, "InitConfiguration.nodeRegistration.taints[0].effect"),
            (3, "InitConfiguration.nodeRegistration.taints[0].key"),
        ],
    ),
    (
        "localAPIEndpoint: {advertiseAddress: 127.0.0.1, bindPort: 70000}",
        &[
            (3, "InitConfiguration.localAPIEndpoint.advertiseAddress"),
            (3, "InitConfiguration.localAPIEndpoint.bindPort"),
        ],
    ),
    (
        "localAPIEndpoint: {advertiseAddress: \"fd00::1\"}",
        &[(3, "InitConfiguration.localAPIEndpoint.advertiseAddress")],
    ),
    ("certificateKey: abc", &[(3, "InitConfiguration.certificateKey")]),
    (
        "skipPhases: [addons, certs/all]",
        &[(3, "InitConfiguration.skipPhases[0]"), (3, "InitConfiguration.skipPhases[1]")],
    ),
    ("timeouts: {discovery: -1s}", &[(3, "InitConfiguration.timeouts.discovery")]),
];

#[test]
fn each_mistake_about_the_host_is_named_with_its_line_and_field() {
    for (fields, want) in INIT_MISTAKES {
        let problems = load(&init(fields)).map(|loaded| loaded.cluster.uploaded).unwrap_err();
        assert_eq!(lines_and_fields(&problems), *want, "{fields}\n{problems:#?}");
    }
}

#[test]
fn versions_that_cannot_be_installed_are_refused() {
    for version in ["v1.45.0", "v1.33.9", "stable-1", "v1.37", "v1.37.2-rc.1", "latest"] {
        let problems = load(&with("").replace("v1.37.2", version)).map(|loaded| loaded.cluster.uploaded).unwrap_err();
        assert_eq!(lines_and_fields(&problems), [(3, "ClusterConfiguration.kubernetesVersion")], "{version}");
    }
    let problems = load(&with("").replace("v1.37.2", "1.37")).map(|loaded| loaded.cluster.uploaded).unwrap_err();
    assert!(problems[0].message.contains("quotes"), "{problems:?}");
}

#[test]
fn a_field_that_a_release_lacks_is_refused() {
    let kubelet =
        "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ntlsCurvePreferences: [29]\n";
    assert_eq!(load(&with(kubelet)).err(), None);
    let problems =
        load(&with(kubelet).replace("v1.37.2", "v1.34.4")).map(|loaded| loaded.cluster.uploaded).unwrap_err();
    assert_eq!(lines_and_fields(&problems), [(7, "KubeletConfiguration.tlsCurvePreferences")]);
}

#[test]
fn secrets_are_never_in_a_problem() {
    let secret = "0123456789abcdeX";
    let text = init(&format!(
        "bootstrapTokens: [{{token: aaaaaa.{secret}}}, {{token: aaaaaa.{secret}}}]\ncertificateKey: {secret}{secret}"
    ));
    let problems = load(&text).map(|loaded| loaded.cluster.uploaded).unwrap_err();
    assert_eq!(problems.len(), 4);
    assert!(problems.iter().all(|problem| !problem.to_string().contains(secret)), "{problems:?}");
}

#[test]
fn several_files_are_one_configuration() {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let (a, b) = (source("a.yaml", &with("")), source("b.yaml", &with("")));
    let problems = config::parse(&[a, b, source("c.yaml", "# nothing\n")]).complete(&machine(), &[]).unwrap_err();
    let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(text[0].starts_with("b.yaml:1: ClusterConfiguration: ") && text[0].contains("a.yaml:1"), "{text:?}");
    assert!(text[1].starts_with("c.yaml:1: "), "{text:?}");
    assert!(config::parse(&[]).complete(&machine(), &[]).is_err());
}

#[test]
fn patches_are_read_in_the_order_of_their_names() {
    let file = |name: &str, text: &str| PatchFile { name: name.into(), text: text.into() };
    let text = init("patches: {directory: p}");
    let parse = || config::parse(&[Source { name: "c.yaml".into(), text: text.clone() }]);
    assert_eq!(parse().patches_directory(), Some("p"));
    let files = [file("etcd1+merge.yaml", "spec: {}"), file("etcd0.yaml", "metadata: {}"), file("README.md", "x")];
    let patches = parse().complete(&machine(), &files).unwrap().cluster.patches;
    assert_eq!(patches.iter().map(|patch| patch.file.as_str()).collect::<Vec<_>>(), ["etcd0.yaml", "etcd1+merge.yaml"]);
    let problems = parse().complete(&machine(), &[file("etc.yaml", "a: b")]).unwrap_err();
    assert_eq!(lines_and_fields(&problems), [(3, "InitConfiguration.patches.directory")]);
}

/// A configuration with one patch.
fn with_patch(fields: &str, name: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    let config = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {{directory: p}}\n---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{fields}"
    );
    let patch = PatchFile { name: name.into(), text: text.into() };
    config::parse(&[Source { name: "c.yaml".into(), text: config }]).complete(&machine(), &[patch])
}

#[test]
fn a_patch_that_cannot_apply_is_told_when_the_configuration_is_loaded() {
    let new = "kubernetesVersion: v1.37.2";
    for (fields, name, text, why) in [
        (new, "etcd+json.json", r#"[{"op": "remove", "path": "/spec/none"}]"#, "there is no \"/spec/none\""),
        (new, "etcd+json.json", r#"[{"op": "test", "path": "/kind", "value": "X"}]"#, "the test of \"/kind\" failed"),
        (new, "kube-scheduler.yaml", "spec: {hostNetwerk: true}", ".spec.hostNetwerk is not a field"),
        (new, "kube-apiserver.yaml", "metadata: {name: other}", "another object"),
        (new, "corednsdeployment.yaml", "spec: {replicas: many}", ".spec.replicas is a text"),
        (new, "kubeletconfiguration.yaml", "maxPdos: 3", "maxPdos"),
        (new, "kubeletconfiguration+merge.yaml", "kind: Other", "another object"),
        ("kubernetesVersion: v1.35.4", "kubeproxydaemonset.yaml", "metadata: {labels: {a: b}}", "since 1.36"),
    ] {
        let problems = with_patch(fields, name, text).map(|loaded| loaded.cluster.version).unwrap_err();
        assert_eq!(lines_and_fields(&problems), [(3, "InitConfiguration.patches.directory")], "{problems:?}");
        let message = &problems[0].message;
        assert!(message.contains(name) && message.contains(why), "{message}");
    }
}

#[test]
fn a_patch_for_what_the_configuration_does_not_have_gets_a_word() {
    let external = "kubernetesVersion: v1.37.2\netcd: {external: {endpoints: [\"http://10.0.0.2:2379\"]}}";
    let loaded = with_patch(external, "etcd.yaml", "metadata: {labels: {a: b}}").unwrap();
    assert!(loaded.warnings.iter().any(|warning| warning.message.contains("has no etcd")), "{:?}", loaded.warnings);
}

#[test]
fn feature_gates_that_would_make_another_control_plane_are_refused() {
    let gate = |version: &str, gate: &str| {
        load(&format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {version}\nfeatureGates: {{{gate}}}")).is_ok()
    };
    assert!(!gate("v1.37.2", "RootlessControlPlane: true") && gate("v1.37.2", "RootlessControlPlane: false"));
    assert!(!gate("v1.35.4", "ControlPlaneKubeletLocalMode: false") && gate("v1.35.4", "NodeLocalCRISocket: false"));
    assert!(gate("v1.34.4", "ControlPlaneKubeletLocalMode: false") && !gate("v1.37.2", "NodeLocalCRISocket: true"));
}

#[test]
fn proxy_variables_of_the_environment_are_told_and_not_taken() {
    let mut machine = machine();
    machine.proxy_variables.insert("https_proxy".into(), "http://p".into());
    let source = Source { name: "c.yaml".into(), text: with("") };
    let loaded = config::parse(&[source]).complete(&machine, &[]).unwrap();
    assert!(loaded.cluster.settings.proxy_environment.is_empty());
    assert!(loaded.warnings[0].message.contains("https_proxy") && !loaded.warnings[0].message.contains("http://p"));
}

#[test]
fn input_is_bounded() {
    let large = format!("# {}\n", "x".repeat(1024 * 1024));
    assert!(load(&large).map(|loaded| loaded.cluster.uploaded).unwrap_err()[0].message.contains("bytes"));
}

#[test]
fn the_crd_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/planekeeperconfigurations.planekeeper.dev.yaml");
    let want = planekeeper::yaml::to_string(&config::planekeeper::crd());
    let there = std::fs::read_to_string(path).unwrap_or_default();
    if there != want && std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::write(path, &want).unwrap();
    }
    assert!(there == want, "crds/ is not that of the types: run UPDATE_CRDS=1 cargo test crd, and again");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_loader_panic(text in "[ -~\\n\\t\u{e9}]{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_change_of_a_configuration_makes_the_loader_panic(
        at in 0usize..2000, cut in 0usize..40, put in "[-a-z0-9:{}\\[\\],&*'\"\\n ./~]{0,12}",
    ) {
        let mut text = concat!(include_str!("config/kubeadm.yaml"), "---\n", include_str!("config/every-kind.yaml")).to_owned();
        let at = at % text.len();
        text.replace_range(at..(at + cut).min(text.len()), &put);
        if let Ok(loaded) = load(&text) {
            let _ = config::print(&loaded);
        }
    }
}

/// Fields below line 4 of a `ClusterConfiguration`, with which no control plane can host itself, and where they are.
const NOT_SELF_HOSTED: &[(&str, &[(u64, &str)])] = &[
    (
        "apiServer: {extraArgs: [{name: permit-port-sharing, value: 'false'}]}",
        &[(4, "ClusterConfiguration.apiServer.extraArgs[0]")],
    ),
    (
        "controllerManager: {extraArgs: [{name: v, value: '2'}, {name: leader-elect, value: 'false'}]}",
        &[(4, "ClusterConfiguration.controllerManager.extraArgs[1]")],
    ),
    (
        "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nskipPhases: [preflight, mark-control-plane]",
        &[(7, "InitConfiguration.skipPhases[1]")],
    ),
    (
        "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration:\n  kubeletExtraArgs:\n  - {name: node-ip, value: 198.51.100.1}",
        &[(9, "InitConfiguration.nodeRegistration.kubeletExtraArgs[0]")],
    ),
];

#[test]
fn what_a_control_plane_cannot_host_itself_with_is_refused_and_is_no_mistake_of_static_pods() {
    let hosting = |fields: &str, kind: &str| {
        let text = with(&format!(
            "{fields}\n---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ncontrolPlaneHosting: {kind}"
        ));
        load(&text).map(|loaded| loaded.cluster.settings.hosting)
    };
    assert_eq!(hosting("", "SelfHosted").unwrap(), Hosting::SelfHosted);
    for (fields, want) in NOT_SELF_HOSTED {
        let problems = hosting(fields, "SelfHosted").unwrap_err();
        assert_eq!(lines_and_fields(&problems), *want, "{problems:#?}");
        assert_eq!(hosting(fields, "StaticPods").unwrap(), Hosting::StaticPods);
    }
}
