//! Ports, manifests and data: another program's are faults, this control plane's own are not.

use super::*;

use Status::{Error, Ok, Skipped, Warning};

const POD: &str = "/kubepods/burstable/pod1/2";
const PORTS: [(u16, &str); 5] = [
    (6443, "kube-apiserver"),
    (10257, "kube-controller-manager"),
    (10259, "kube-scheduler"),
    (2379, "etcd"),
    (2380, "etcd"),
];

fn remember(fake: &mut Fake) {
    fake.write(origin::PATH, &Origin::SetUp.to_text());
}

/// A host with a control plane that runs, of its own Pods.
fn converged(fake: &mut Fake) {
    for (port, program) in PORTS {
        fake.listens("::", port, program, POD);
        let pod = json!({"kind": "Pod", "metadata": {"name": program}});
        fake.write(&static_pod::path(program), &pod.to_string());
    }
    fake.listens("::", 10250, "kubelet", "/system.slice/kubelet.service");
    fake.folders.insert("/var/lib/etcd".to_owned(), vec!["member".to_owned()]);
}

#[test]
fn a_port_that_another_program_has_is_told_with_its_process_and_its_service() {
    for (port, _) in PORTS.into_iter().chain([(10250, "kubelet")]) {
        let id = format!("Port-{port}");
        finds([(id.as_str(), Error, "nginx (process 812)")], |fake, _| {
            fake.listens("0.0.0.0", port, "nginx", "/system.slice/nginx.service");
        });
        finds([(id.as_str(), Error, "kill 812")], |fake, _| fake.listens("::", port, "nginx", "/user.slice"));
    }
    finds([("Port-6443", Error, "cannot be found")], |fake, _| {
        fake.listens("::", 6443, "nginx", "");
        fake.listeners[0].process = None;
    });
    finds([("Port-6443", Error, "systemctl disable --now nginx.service")], |fake, _| {
        fake.listens("::", 6443, "nginx", "/system.slice/nginx.service");
    });
}

#[test]
fn a_converged_host_passes_and_a_half_converged_one_does() {
    finds([], |fake, _| {
        converged(fake);
        remember(fake);
    });
    finds([], |fake, _| {
        converged(fake);
        remember(fake);
        fake.files.remove(&static_pod::path("kube-scheduler"));
        fake.listeners.retain(|listener| listener.port != 10259);
    });
    finds([], |fake, _| {
        remember(fake);
        fake.write(&static_pod::path("etcd"), "half");
    });
}

#[test]
fn a_kubelet_and_pods_are_known_where_the_kubelet_was_told_of_other_control_groups() {
    finds([], |fake, _| {
        converged(fake);
        remember(fake);
        for listener in &mut fake.listeners {
            let process = listener.process.as_mut().unwrap();
            process.cgroup =
                if process.program == "kubelet" { "0::/mine".to_owned() } else { "0::/k8s.io/1f".to_owned() };
        }
        fake.units.get_mut("kubelet.service").unwrap().pid = Some(812);
    });
    finds([("Port-10250", Error, "kubelet (process 812)")], |fake, _| fake.listens("::", 10250, "kubelet", "/mine"));
}

#[test]
fn on_a_converged_host_another_programs_port_and_data_are_faults_still() {
    finds([("Port-10259", Error, "nginx")], |fake, _| {
        converged(fake);
        remember(fake);
        fake.listeners.retain(|listener| listener.port != 10259);
        fake.listens("::", 10259, "nginx", POD);
    });
    finds([("Port-6443", Error, "kube-apiserver")], |fake, _| {
        remember(fake);
        fake.listens("::", 6443, "kube-apiserver", "/user.slice/session-1.scope");
    });
    finds([("DirAvailable--var-lib-etcd", Error, "photos")], |fake, _| {
        remember(fake);
        fake.folders.insert("/var/lib/etcd".to_owned(), vec!["photos".to_owned()]);
    });
}

#[test]
fn what_another_control_plane_left_on_a_bare_host_is_refused() {
    let manifest = static_pod::path("kube-scheduler");
    finds([("FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml", Error, "rm /etc/kubernetes")], |fake, _| {
        fake.write(&manifest, "{}");
    });
    finds([("DirAvailable--var-lib-etcd", Error, "/var/lib/etcd is not empty: member")], |fake, _| {
        fake.folders.insert("/var/lib/etcd".to_owned(), vec!["member".to_owned()]);
    });
    finds([], |fake, _| drop(fake.folders.insert("/var/lib/etcd".to_owned(), Vec::new())));
    finds([("Port-6443", Error, "kube-apiserver")], |fake, _| fake.listens("::", 6443, "kube-apiserver", POD));
}

#[test]
fn somebody_elses_control_plane_is_warned_of_with_the_way_to_take_it_over() {
    let found = found(|fake, _| converged(fake));
    let ids: Vec<&str> = found.keys().map(String::as_str).collect();
    let [api, manager, scheduler, etcd] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"]
        .map(|name| format!("FileAvailable--etc-kubernetes-manifests-{name}.yaml"));
    assert_eq!(ids, ["DirAvailable--var-lib-etcd", etcd.as_str(), &api, &manager, &scheduler]);
    assert!(found.values().all(|finding| finding.status == Warning && finding.mend.contains("--adopt")), "{found:?}");
}

#[test]
fn copies_of_manifests_are_warned_of_and_other_pods_are_not() {
    let with = |names: &[&str], fake: &mut Fake| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        fake.folders.insert("/etc/kubernetes/manifests".to_owned(), names);
    };
    finds([], |fake, _| with(&["kube-vip.yaml", ".kube-apiserver.yaml.tmp"], fake));
    finds([("DirAvailable--etc-kubernetes-manifests", Warning, "kube-apiserver.yaml.bak")], |fake, _| {
        with(&["kube-apiserver.yaml.bak", "kube-vip.yaml"], fake);
    });
}

#[test]
fn ports_are_those_of_the_configuration() {
    let arg = |name: &str, value: &str| Arg { name: name.to_owned(), value: value.to_owned() };
    finds([("Port-7443", Error, "nginx")], |fake, cluster| {
        cluster.endpoint.port = 7443;
        fake.listens("::", 7443, "nginx", "");
        fake.listens("::", 6443, "nginx", "");
    });
    finds([("Port-11259", Error, "nginx")], |fake, cluster| {
        cluster.scheduler.extra_args.push(arg("secure-port", "11259"));
        fake.listens("::", 11259, "nginx", "");
    });
    finds([("Port-10350", Error, "nginx")], |fake, cluster| {
        cluster.kubelet.value["port"] = json!(10350);
        fake.listens("::", 10350, "nginx", "");
    });
    assert_eq!(super::super::release::component_ports(16), (10251, 10252));
    assert_eq!(super::super::release::component_ports(37), (10259, 10257));
}

#[test]
fn a_port_clashes_only_on_an_address_that_will_be_listened_on() {
    finds([], |fake, _| {
        fake.addresses.push("10.0.0.11".parse().unwrap());
        fake.listens("10.0.0.11", 2379, "other-etcd", "");
    });
    finds([("Port-2379", Error, "other-etcd")], |fake, _| fake.listens("127.0.0.1", 2379, "other-etcd", ""));
    finds([("Port-2379", Error, "other-etcd")], |fake, cluster| {
        set_version(cluster, 34);
        fake.says("kubelet --version", "Kubernetes v1.34.0");
        fake.listens("10.0.0.11", 2379, "other-etcd", "");
    });
    let local = |cluster: &mut Cluster| {
        let value = "127.0.0.1".to_owned();
        cluster.scheduler.extra_args.push(Arg { name: "bind-address".to_owned(), value });
    };
    finds([], |fake, cluster| {
        local(cluster);
        fake.listens("10.0.0.10", 10259, "nginx", "");
    });
    finds([("Port-10259", Error, "nginx")], |fake, cluster| {
        local(cluster);
        fake.listens("0.0.0.0", 10259, "nginx", "");
    });
    finds([("Port-2379", Error, "10.0.0.99"), ("Port-2380", Error, "10.0.0.99")], |fake, cluster| {
        cluster.endpoint.address = "10.0.0.99".parse().unwrap();
        assert!(!fake.addresses.contains(&cluster.endpoint.address));
    });
}

fn external(cluster: &mut Cluster) {
    cluster.etcd = Etcd::External(ExternalEtcd {
        endpoints: vec!["https://a:2379".to_owned(), "https://b:2379".to_owned()],
        ca_file: "/etc/etcd/ca.crt".to_owned(),
        cert_file: "/etc/etcd/client.crt".to_owned(),
        key_file: "/etc/etcd/client.key".to_owned(),
    });
}

fn etcds(fake: &mut Fake, version: &str) {
    for path in ["ca.crt", "client.crt", "client.key"] {
        fake.write(&format!("/etc/etcd/{path}"), "PEM");
    }
    fake.etcds = ["https://a:2379", "https://b:2379"].map(|url| (url.to_owned(), version.to_owned())).into();
}

#[test]
fn an_external_etcd_is_there_and_new_enough_with_its_certificates() {
    finds([], |fake, cluster| {
        external(cluster);
        etcds(fake, "3.5.24");
        fake.listens("::", 2379, "its own business", "");
        fake.folders.insert("/var/lib/etcd".to_owned(), vec!["member".to_owned()]);
    });
    finds([("ExternalEtcdVersion", Error, "https://b:2379 is \\\"3.5.23\\\"")], |fake, cluster| {
        external(cluster);
        etcds(fake, "3.6.0");
        fake.etcds.insert("https://b:2379".to_owned(), "3.5.23".to_owned());
    });
    finds([("ExternalEtcdVersion", Error, "https://a:2379: connection refused")], |fake, cluster| {
        external(cluster);
        etcds(fake, "3.6.0");
        fake.etcds.remove("https://a:2379");
    });
    finds([("ExternalEtcdClientCertificates", Error, "/etc/etcd/client.key")], |fake, cluster| {
        external(cluster);
        etcds(fake, "3.6.0");
        fake.files.remove("/etc/etcd/client.key");
    });
}

#[test]
fn an_etcd_of_this_host_asks_for_no_external_one() {
    for id in ["ExternalEtcdVersion", "ExternalEtcdClientCertificates"] {
        assert_eq!(status(id, |_, _| {}), Skipped, "{id}");
    }
    assert_eq!(status("DirAvailable--var-lib-etcd", |_, _| {}), Ok);
}
