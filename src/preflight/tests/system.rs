//! The host, its kernel, its services and its network.

use super::*;

use Status::{Error, Ok, Skipped, Warning};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const DOCKER: &str = "unix:///run/cri-dockerd.sock";
const DOCKER_INFO: &str = "docker info --format {{json .}}";

fn on_v1(fake: &mut Fake) {
    fake.write(
        "/proc/mounts",
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
    );
    fake.folders.insert("/sys/fs/cgroup/memory".to_owned(), Vec::new());
    let names = ["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", "hugetlb", "blkio"];
    let rows = names.map(|name| format!("{name}\t1\t1\t1\n")).concat();
    fake.write("/proc/cgroups", &format!("#subsys_name\thierarchy\tnum_cgroups\tenabled\n{rows}"));
}

#[test]
fn a_host_that_is_too_small_is_refused() {
    finds([("NumCPU", Error, "1 processor"), ("Mem", Error, "1699 MiB")], |fake, _| {
        (fake.processors, fake.mebibytes) = (1, 1699);
    });
}

#[test]
fn swap_is_refused_unless_the_kubelet_was_told_that_it_may_be_on() {
    let swap = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n";
    finds([("Swap", Error, "/dev/sda2")], |fake, _| fake.write("/proc/swaps", swap));
    finds([], |fake, cluster| {
        fake.write("/proc/swaps", swap);
        cluster.kubelet.value["failSwapOn"] = json!(false);
    });
    finds([], |fake, cluster| {
        fake.write("/proc/swaps", swap);
        cluster.node.kubelet_extra_args.push(Arg { name: "fail-swap-on".to_owned(), value: "false".to_owned() });
    });
}

#[test]
fn a_node_whose_name_does_not_lead_to_it_is_warned_of() {
    finds([("Hostname", Warning, "does not resolve")], |fake, _| fake.names.clear());
    finds([("Hostname", Warning, "nothing answers")], |fake, _| {
        fake.unreachable.push("10.0.0.10".parse().unwrap());
    });
    finds([("Hostname", Warning, "cannot be a Node's name")], |_, cluster| cluster.node.name = "-cp1".to_owned());
    finds([], |fake, _| {
        fake.names.insert("cp1".to_owned(), vec!["10.9.9.9".parse().unwrap(), "10.0.0.10".parse().unwrap()]);
        fake.unreachable.push("10.9.9.9".parse().unwrap());
    });
}

#[test]
fn a_release_that_this_build_does_not_know_is_refused() {
    finds([("KubernetesVersion", Error, "v1.34 to v1.37")], |_, cluster| {
        cluster.version = Version { major: 1, minor: 38, patch: 0 };
    });
    assert!(!Report::of_unknown_release("v1.38.0 is none").passed());
}

#[test]
fn an_old_kernel_is_warned_of_and_one_without_what_pods_need_is_refused() {
    for (release, fine) in [("5.4.0", true), ("5.15.1", true), ("7.0.0-rc1", true), ("5.3.1", false), ("4.19.0", false)]
    {
        let found = found(|fake, _| {
            let options = fake.files.remove("/boot/config-6.1.0-37-amd64").unwrap();
            fake.write("/proc/sys/kernel/osrelease", release);
            fake.write(&format!("/lib/modules/{release}/build/.config"), &options);
        });
        assert_eq!(found.is_empty(), fine, "{release}: {found:?}");
    }
    finds([(SYSTEM, Error, "CONFIG_MEMCG")], |fake, _| {
        let options = fake.files["/boot/config-6.1.0-37-amd64"].replace("CONFIG_MEMCG=y", "# CONFIG_MEMCG is not set");
        fake.write("/boot/config-6.1.0-37-amd64", &options);
    });
    finds([(SYSTEM, Error, "without freezer")], |fake, _| {
        let options = fake.files.remove("/boot/config-6.1.0-37-amd64").unwrap();
        fake.write("/proc/sys/kernel/osrelease", "5.1.0");
        fake.write("/boot/config-5.1.0", &options);
    });
    finds([(SYSTEM, Error, "FreeBSD")], |fake, _| fake.write("/proc/sys/kernel/ostype", "FreeBSD\n"));
}

#[test]
fn options_of_the_kernel_are_read_where_the_kernel_has_them_and_may_be_modules_or_go_by_an_older_name() {
    finds([], |fake, _| {
        let options = fake.files.remove("/boot/config-6.1.0-37-amd64").unwrap();
        let options =
            options.replace("INET=y", "INET=m").replace("NETFILTER_XT_TARGET_REDIRECT", "IP_NF_TARGET_REDIRECT");
        fake.write("/proc/config.gz", "");
        fake.says("gzip -dc /proc/config.gz", &options);
    });
    finds([(SYSTEM, Warning, "not to be found")], |fake, _| {
        fake.files.remove("/boot/config-6.1.0-37-amd64");
    });
}

#[test]
fn control_groups_v1_are_refused_for_a_kubelet_since_1_35_that_was_not_told_to_take_them() {
    finds([(SYSTEM, Error, "failCgroupV1")], |fake, _| on_v1(fake));
    finds([(SYSTEM, Warning, "deprecated")], |fake, cluster| {
        on_v1(fake);
        cluster.kubelet.value["failCgroupV1"] = json!(false);
    });
    finds([(SYSTEM, Warning, "deprecated")], |fake, _| {
        on_v1(fake);
        fake.says("kubelet --version", "Kubernetes v1.34.4\n");
    });
}

#[test]
fn controllers_that_are_missing_are_named() {
    finds([(SYSTEM, Error, "without pids")], |fake, _| {
        fake.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb\n");
    });
    finds([(SYSTEM, Warning, "without hugetlb")], |fake, _| {
        fake.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    });
    finds([(SYSTEM, Error, "without memory")], |fake, _| {
        on_v1(fake);
        let without = fake.files["/proc/cgroups"].replace("memory\t1\t1\t1", "memory\t1\t1\t0");
        fake.write("/proc/cgroups", &without);
    });
    finds([(SYSTEM, Error, "no control groups")], |fake, _| fake.write("/proc/mounts", ""));
}

#[test]
fn switches_of_the_kernel_are_asked_for_by_the_families_of_addresses() {
    finds([("FileContent--proc-sys-net-ipv4-ip_forward", Error, "sysctl -w net.ipv4.ip_forward=1")], |fake, _| {
        fake.write(FORWARD, "0\n");
    });
    let v6 = ["/proc/sys/net/ipv6/conf/default/forwarding", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"];
    let off = |fake: &mut Fake| {
        for path in v6 {
            fake.write(path, "0\n");
        }
    };
    finds([], |fake, _| off(fake));
    finds(
        [
            ("FileContent--proc-sys-net-ipv6-conf-default-forwarding", Error, "is 0"),
            ("FileContent--proc-sys-net-bridge-bridge-nf-call-ip6tables", Warning, "is 0"),
        ],
        |fake, cluster| {
            off(fake);
            cluster.networking.pod_subnet = Some("10.244.0.0/16,fd00:10:244::/56".to_owned());
        },
    );
    finds([("FileContent--proc-sys-net-bridge-bridge-nf-call-iptables", Warning, "br_netfilter")], |fake, _| {
        fake.files.remove("/proc/sys/net/bridge/bridge-nf-call-iptables");
    });
    finds([], |fake, cluster| {
        fake.write(FORWARD, "0\n");
        fake.addresses.push("fd00::10".parse().unwrap());
        cluster.endpoint.address = "fd00::10".parse().unwrap();
        cluster.networking.service_subnet = "fd00:10:96::/112".to_owned();
    });
}

#[test]
fn commands_are_asked_for_as_the_release_needs_them() {
    for name in ["losetup", "mount", "cp"] {
        let id = format!("FileExisting-{name}");
        finds([(id.as_str(), Error, name)], |fake, _| fake.lacks_command(name));
    }
    for name in ["conntrack", "socat", "ebtables", "ip", "ethtool", "tc", "nsenter", "crictl", "touch"] {
        let without = |fake: &mut Fake| fake.lacks_command(name);
        assert_eq!(status(&format!("FileExisting-{name}"), |fake, _| without(fake)), Skipped, "{name}");
    }
    finds([("FileExisting-iptables", Warning, "iptables")], |fake, _| {
        fake.lacks_command("iptables");
    });
}

#[test]
fn a_firewall_is_told_with_the_ports_that_it_must_let_through() {
    finds([("Firewalld", Warning, "6443, 10250")], |fake, _| fake.set_unit("firewalld", "active", "enabled"));
    finds([], |fake, _| fake.set_unit("firewalld", "inactive", "disabled"));
}

#[test]
fn a_proxy_between_the_parts_of_a_cluster_is_warned_of_wherever_it_comes_from() {
    let proxy = |exceptions: &str| {
        BTreeMap::from([
            ("https_proxy".to_owned(), "http://user:secret@proxy:3128".to_owned()),
            ("NO_PROXY".to_owned(), exceptions.to_owned()),
        ])
    };
    let both = [("HTTPProxy", Warning, "10.0.0.10"), ("HTTPProxyCIDR", Warning, "10.96.0.0/12")];
    finds(both, |fake, _| fake.proxies = proxy("localhost,.example.com"));
    finds(both, |_, cluster| cluster.settings.proxy_environment = proxy(""));
    finds([("HTTPProxyCIDR", Warning, "10.96.0.0/12")], |fake, _| fake.proxies = proxy("10.0.0.10"));
    finds([("HTTPProxy", Warning, "10.0.0.10")], |fake, _| fake.proxies = proxy("10.96.0.0/12"));
    for exceptions in ["10.0.0.0/8", "10.1.2.3/08", "*", "10.0.0.10:1234, 10.96.0.1"] {
        finds([], |fake, _| fake.proxies = proxy(exceptions));
    }
    let found = found(|fake, _| fake.proxies = proxy(""));
    assert!(!format!("{found:?}").contains("secret"), "{found:?}");
}

#[test]
fn a_container_runtime_that_cannot_run_pods_is_refused_with_the_way_to_start_it() {
    finds([("CRI", Error, "systemctl enable --now containerd.service")], |fake, _| {
        fake.runtime = Err("cannot be reached at unix:///run/containerd/containerd.sock".to_owned());
    });
    finds([("CRI", Error, "shutting down")], |fake, _| {
        fake.runtime.as_mut().unwrap().not_ready = Some("shutting down".to_owned());
    });
    finds([("Service-containerd", Warning, "disabled")], |fake, _| fake.set_unit("containerd", "active", "disabled"));
    finds([("Service-containerd", Error, "failed")], |fake, _| fake.set_unit("containerd", "failed", "enabled"));
    assert_eq!(status("Service-containerd", |fake, _| drop(fake.units.remove("containerd.service"))), Skipped);
}

#[test]
fn a_runtime_that_does_not_tell_its_cgroup_driver_is_warned_of_since_1_35() {
    finds([("ContainerRuntimeVersion", Warning, "cgroup driver")], |fake, _| fake.tells_cgroup_driver = false);
    let old = |fake: &mut Fake, cluster: &mut Cluster| {
        fake.tells_cgroup_driver = false;
        set_version(cluster, 34);
    };
    assert_eq!(status("ContainerRuntimeVersion", old), Skipped);
}

#[test]
fn images_that_are_not_there_are_an_error_only_where_they_may_not_be_pulled() {
    let missing = ["registry.k8s.io/pause:3.10.2", "registry.k8s.io/etcd:3.7.0-0"];
    let lose = |fake: &mut Fake| fake.no_images.extend(missing.map(str::to_owned));
    finds([], |fake, _| lose(fake));
    finds([("ImagePull", Error, "registry.k8s.io/pause:3.10.2 registry.k8s.io/etcd:3.7.0-0")], |fake, cluster| {
        lose(fake);
        cluster.node.image_pull_policy = "Never".to_owned();
    });
}

#[test]
fn docker_is_asked_for_only_behind_cri_dockerd() {
    assert_eq!(status("Service-containerd", |_, _| {}), Ok);
    let docker = |version: &str, driver: &str, fake: &mut Fake, cluster: &mut Cluster| {
        cluster.node.cri_socket = DOCKER.to_owned();
        fake.says(DOCKER_INFO, &json!({"ServerVersion": version, "Driver": driver}).to_string());
        fake.set_unit("docker", "active", "enabled");
        fake.set_unit("cri-docker", "active", "enabled");
    };
    finds([], |fake, cluster| docker("20.10.8", "overlay2", fake, cluster));
    finds([(SYSTEM, Warning, "28.1.0")], |fake, cluster| docker("28.1.0", "overlay2", fake, cluster));
    finds([(SYSTEM, Error, "1.9.1")], |fake, cluster| docker("1.9.1", "overlay2", fake, cluster));
    finds([(SYSTEM, Error, "vfs")], |fake, cluster| docker("20.10.8", "vfs", fake, cluster));
    finds([(SYSTEM, Error, "docker info")], |fake, cluster| {
        docker("20.10.8", "overlay2", fake, cluster);
        fake.outputs.remove(DOCKER_INFO);
    });
    finds([("Service-docker", Error, "inactive"), ("Service-cri-docker", Error, "no cri-docker")], |fake, cluster| {
        docker("20.10.8", "overlay2", fake, cluster);
        fake.set_unit("docker", "inactive", "disabled");
        fake.units.remove("cri-docker.service");
    });
}

#[test]
fn the_kubelets_version_is_between_the_oldest_that_is_supported_and_the_control_planes() {
    for (kubelet, control_plane, fine) in [
        ("v1.37.2", 37, true),
        ("v1.34.0", 37, true),
        ("v1.37.0-rc.1", 37, true),
        ("v1.33.9", 37, false),
        ("v1.37.2", 36, false),
        ("v1.33.0", 36, false),
        ("v1.32.0", 35, true),
    ] {
        let found = found(|fake, cluster| {
            set_version(cluster, control_plane);
            fake.says("kubelet --version", &format!("Kubernetes {kubelet}\n"));
        });
        assert_eq!(!found.contains_key("KubeletVersion"), fine, "{kubelet} with 1.{control_plane}: {found:?}");
    }
    finds([("KubeletVersion", Error, "cannot run kubelet"), (SYSTEM, Error, "cannot run kubelet")], |fake, _| {
        fake.outputs.clear();
    });
    finds([("KubeletVersion", Error, "hello"), (SYSTEM, Error, "hello")], |fake, _| {
        fake.says("kubelet --version", "hello");
    });
}

#[test]
fn the_kubelets_service_is_there_and_can_be_started() {
    finds([("Service-kubelet", Warning, "systemctl enable")], |fake, _| {
        fake.set_unit("kubelet", "inactive", "disabled");
    });
    finds([("Service-kubelet", Error, "unmask")], |fake, _| fake.set_unit("kubelet", "inactive", "masked"));
    finds([("Service-kubelet", Error, "no kubelet.service")], |fake, _| drop(fake.units.remove("kubelet.service")));
    finds([("Service-Kubelet", Warning, "not enabled")], |fake, cluster| {
        fake.set_unit("kubelet", "inactive", "disabled");
        fake.says("kubelet --version", "Kubernetes v1.34.0");
        set_version(cluster, 34);
    });
}

#[test]
fn modules_for_ipvs_are_asked_for_only_with_it() {
    const ID: &str = "RequiredIPVSKernelModulesAvailable";
    assert_eq!(status(ID, |_, _| {}), Skipped);
    let ipvs = |cluster: &mut Cluster| cluster.kube_proxy.value["mode"] = json!("ipvs");
    finds([(ID, Error, "ip_vs_rr")], |_, cluster| ipvs(cluster));
    finds([], |fake, cluster| {
        ipvs(cluster);
        fake.write("/proc/modules", "ip_vs 1 0\nip_vs_rr 1 0\nip_vs_wrr 1 0\nip_vs_sh 1 0\n");
        fake.write("/lib/modules/6.1.0-37-amd64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n");
    });
    finds([(ID, Warning, "not loaded yet: ip_vs ip_vs_rr")], |fake, cluster| {
        ipvs(cluster);
        let ready = ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack"];
        let ready = ready.map(|name| format!("kernel/net/{name}.ko.xz: kernel/x.ko\n")).concat();
        fake.write("/lib/modules/6.1.0-37-amd64/modules.dep", &ready);
    });
    let off = |_: &mut Fake, cluster: &mut Cluster| {
        ipvs(cluster);
        cluster.proxy_disabled = true;
    };
    assert_eq!(status(ID, off), Skipped);
}
