use sha2::{Digest, Sha256};

use super::kube_proxy::KubeProxyDefaults;
use super::kubelet::KubeletDefaults;
use super::*;
use crate::versions::RELEASES;
use crate::yaml;

const KUBELET: KubeletDefaults = KubeletDefaults {
    cluster_dns: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 10)),
    dns_domain: "cluster.local",
    certificates_dir: "/etc/kubernetes/pki",
};

fn kube_proxy_defaults(minor: u32) -> KubeProxyDefaults<'static> {
    let release = RELEASES.iter().find(|release| release.minor == minor).unwrap();
    KubeProxyDefaults { advertise_address: "10.0.0.10".parse().unwrap(), pod_subnet: None, release }
}

fn sha256(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.concat());
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn the_kubelets_bytes_have_the_checksum_that_kubeadm_stores() {
    let (config, advice) = kubelet::complete(None, &KUBELET).unwrap();
    assert_eq!(advice, []);
    let want = "sha256:26488e9fc7c5cb5fdda9996cda2e6651a9af5febce07ea02de11bd3ef3f49e9c";
    assert_eq!(sha256(&[&yaml::to_string(&config.value)]), want, "{}", yaml::to_string(&config.value));

    let elsewhere = KubeletDefaults { certificates_dir: "/opt/k8s/pki", ..KUBELET };
    let (config, _) = kubelet::complete(None, &elsewhere).unwrap();
    let want = "sha256:25fd6b2bdaf373712cad000130f9d503e609c9aa2fd2be662fd7c431037d67fc";
    assert_eq!(sha256(&[&yaml::to_string(&config.value)]), want);
}

#[test]
fn kube_proxys_bytes_have_the_checksum_that_kubeadm_stores() {
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    \
        certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt\n    \
        server: https://10.0.0.10:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n    \
        namespace: default\n    user: default\n  name: default\ncurrent-context: default\nusers:\n- name: default\n  \
        user:\n    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token";
    for (minor, want) in [
        (37, "sha256:bc5121f60bc197bd524f5a419463d4e914d122a8dbdff789c661eb9aa663f963"),
        (35, "sha256:49e889296d687e634fd0d1c231bad0156b491c112175165b11a4f584bf96c06d"),
        (34, "sha256:49e889296d687e634fd0d1c231bad0156b491c112175165b11a4f584bf96c06d"),
    ] {
        let (config, _) = kube_proxy::complete(None, &kube_proxy_defaults(minor)).unwrap();
        let text = yaml::to_string(&config.value);
        assert_eq!(sha256(&[text.trim_end(), kubeconfig]), want, "1.{minor}: {text}");
    }
}

#[test]
fn what_a_user_sets_stays_and_kubeadms_advice_is_told() {
    let document = json!({
        "kind": "KubeletConfiguration", "maxPods": 200, "clusterDNS": ["169.254.20.10"], "readOnlyPort": 10255,
        "rotateCertificates": false, "syncFrequency": "60m", "memoryThrottlingFactor": 1.0, "resolvConf": null,
    });
    let (config, advice) = kubelet::complete(Some(&document), &KUBELET).unwrap();
    assert!(config.user_supplied);
    assert_eq!(config.value["clusterDNS"], json!(["169.254.20.10"]));
    assert_eq!(config.value["syncFrequency"], "1h0m0s");
    assert_eq!(config.value["memoryThrottlingFactor"], 1);
    assert_eq!(config.value["rotateCertificates"], true);
    let fields: Vec<&str> = advice.iter().map(|word| word.field.as_str()).collect();
    let want =
        ["clusterDNS", "readOnlyPort", "rotateCertificates"].map(|field| format!("KubeletConfiguration.{field}"));
    assert_eq!(fields, want);
}

#[test]
fn every_wrong_field_is_named() {
    let document = json!({
        "syncFrequency": "1 day", "maxPods": "many", "reservedMemory": [{"numaNode": 0}, {"numaNode": "x"}],
        "authentication": {"webhook": {"cacheTTL": "2m", "enabled": "yes"}},
    });
    let problems = kubelet::complete(Some(&document), &KUBELET).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let want = ["authentication.webhook.enabled", "maxPods", "reservedMemory[1].numaNode", "syncFrequency"];
    assert_eq!(fields, want.map(|field| format!("KubeletConfiguration.{field}")));
}

#[test]
fn a_hosts_name_servers_and_socket_are_not_the_clusters() {
    let (config, _) = kubelet::complete(None, &KUBELET).unwrap();
    let host = kubelet::after_patches(kubelet::before_patches(&config.value, true), "unix:///run/crio/crio.sock");
    assert_eq!(host["containerRuntimeEndpoint"], "unix:///run/crio/crio.sock");
    assert_eq!(host["resolvConf"], "/run/systemd/resolve/resolv.conf");
    assert_eq!(kubelet::for_cluster(&config.value, 37, true), config.value);
    assert_eq!(kubelet::for_cluster(&config.value, 35, true)["resolvConf"], host["resolvConf"]);
    assert_eq!(config.value["containerRuntimeEndpoint"], "");
}

#[test]
fn a_field_newer_than_the_release_is_found() {
    let document = json!({ "defaultPodSysctls": {}, "memoryReservationPolicy": "None", "maxPods": 3 });
    assert_eq!(
        fields_unknown_to("KubeletConfiguration", &document, 34),
        ["memoryReservationPolicy", "defaultPodSysctls"]
    );
    assert_eq!(fields_unknown_to("KubeletConfiguration", &document, 36), ["defaultPodSysctls"]);
    assert!(fields_unknown_to("KubeletConfiguration", &document, 37).is_empty());
}

#[test]
fn kube_proxy_gets_its_familys_wildcard_and_the_pod_subnet() {
    let defaults = KubeProxyDefaults {
        advertise_address: "fd00::1".parse().unwrap(),
        pod_subnet: Some("fd01::/48"),
        ..kube_proxy_defaults(36)
    };
    let (config, advice) = kube_proxy::complete(None, &defaults).unwrap();
    assert_eq!((&config.value["bindAddress"], &config.value["clusterCIDR"]), (&json!("::"), &json!("fd01::/48")));
    assert_eq!((&config.value["mode"], &config.value["nodePortAddresses"]), (&json!("iptables"), &Value::Null));
    assert_eq!(advice, []);
    let document = json!({ "mode": "ipvs", "bindAddress": "10.0.0.1" });
    let (_, advice) = kube_proxy::complete(Some(&document), &defaults).unwrap();
    assert_eq!(advice.len(), 2, "{advice:?}");
}
