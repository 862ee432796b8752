//! A control plane for unit tests: kubeadm's defaults of v1.37.2 on a host `cp1` at 10.0.0.10.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    AddressOrigin, ApiEndpoint, BootstrapToken, Cluster, ComponentConfig, ControlPlaneComponent, Dns, DnsKind, Etcd,
    FileModes, Hosting, KeyAlgorithm, Lines, LocalEtcd, Networking, NodeRegistration, Settings, Taint, Timeouts, Token,
    TokenEnd, Version,
};
use crate::versions::release;

const HOUR: u64 = 3_600;

/// The control plane.
pub(crate) fn fixture() -> Cluster {
    let version = Version { major: 1, minor: 37, patch: 2 };
    Cluster {
        version,
        release: release(version).unwrap(),
        name: "kubernetes".to_owned(),
        node: node(),
        endpoint: ApiEndpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 10)),
            port: 6443,
            origin: AddressOrigin::Named,
        },
        control_plane_endpoint: None,
        networking: Networking {
            service_subnet: "10.96.0.0/12".to_owned(),
            pod_subnet: None,
            dns_domain: "cluster.local".to_owned(),
            api_service_addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
            dns_address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)),
        },
        api_server: ControlPlaneComponent::default(),
        api_server_cert_sans: Vec::new(),
        controller_manager: ControlPlaneComponent::default(),
        scheduler: ControlPlaneComponent::default(),
        etcd: Etcd::Local(LocalEtcd {
            data_dir: "/var/lib/etcd".to_owned(),
            image_repository: None,
            image_tag: None,
            extra_args: Vec::new(),
            extra_envs: Vec::new(),
            server_cert_sans: Vec::new(),
            peer_cert_sans: Vec::new(),
        }),
        dns: Dns { kind: DnsKind::CoreDns, disabled: false, image_repository: None, image_tag: None },
        proxy_disabled: false,
        certificates_dir: "/etc/kubernetes/pki".to_owned(),
        image_repository: "registry.k8s.io".to_owned(),
        feature_gates: BTreeMap::new(),
        key_algorithm: KeyAlgorithm::Rsa2048,
        certificate_validity: Duration::from_secs(8_760 * HOUR),
        ca_certificate_validity: Duration::from_secs(87_600 * HOUR),
        certificate_key: None,
        bootstrap_tokens: vec![token()],
        timeouts: timeouts(),
        patches: Vec::new(),
        skip_phases: BTreeSet::new(),
        kubelet: ComponentConfig { value: kubelet(), user_supplied: false },
        kube_proxy: ComponentConfig { value: kube_proxy(), user_supplied: false },
        uploaded: uploaded(),
        audit: None,
        settings: Settings {
            drift: Vec::new(),
            renew_before: None,
            file_modes: FileModes::Kubeadm,
            kubelet_config_map: None,
            proxy_environment: BTreeMap::new(),
            renew_ended_tokens: false,
            status_address: None,
            publish_status: None,
            hosting: Hosting::StaticPods,
        },
        lines: Lines::default(),
    }
}

fn node() -> NodeRegistration {
    NodeRegistration {
        name: "cp1".to_owned(),
        cri_socket: "unix:///var/run/containerd/containerd.sock".to_owned(),
        taints: vec![Taint {
            key: "node-role.kubernetes.io/control-plane".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        }],
        kubelet_extra_args: Vec::new(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_serial: true,
        ignore_preflight_errors: Vec::new(),
    }
}

fn token() -> BootstrapToken {
    BootstrapToken {
        token: Some(Token { id: "abcdef".to_owned(), secret: "0123456789abcdef".to_owned() }),
        end: TokenEnd::After(Duration::from_secs(24 * HOUR)),
        usages: vec!["signing".to_owned(), "authentication".to_owned()],
        groups: vec!["system:bootstrappers:kubeadm:default-node-token".to_owned()],
        description: String::new(),
    }
}

fn timeouts() -> Timeouts {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    Timeouts {
        control_plane_component_health_check: minutes(4),
        kubelet_health_check: minutes(4),
        kubernetes_api_call: minutes(1),
        etcd_api_call: minutes(2),
        tls_bootstrap: minutes(5),
        discovery: minutes(5),
        upgrade_manifests: minutes(5),
    }
}

fn kubelet() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"cacheTTL": "0s", "enabled": true},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
    })
}

fn kube_proxy() -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "bindAddressHardFail": false,
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "conntrack": {"tcpBeLiberal": false},
        "enableProfiling": false,
        "iptables": {"masqueradeAll": false},
        "ipvs": {"strictARP": false},
        "mode": "iptables",
        "nftables": {"masqueradeAll": false},
        "winkernel": {"enableDSR": false, "forwardHealthCheckVip": false},
    })
}

fn uploaded() -> Value {
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
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
        "imageRepository": "registry.k8s.io",
        "kubernetesVersion": "v1.37.2",
        "networking": {"dnsDomain": "cluster.local", "serviceSubnet": "10.96.0.0/12"},
        "proxy": {},
        "scheduler": {},
    })
}
