//! The kernel modules of kube-proxy's mode `ipvs`.

use crate::preflight::{Finding, Scene, kernel};

const MODULES: [&str; 5] = ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack"];

/// The modules are loaded or built in. kube-proxy loads those that only lie ready, if it may.
pub(super) fn modules(scene: &Scene) -> Finding {
    let mode = scene.cluster.kube_proxy.value["mode"].as_str().unwrap_or_default();
    if scene.cluster.proxy_disabled || mode != "ipvs" {
        return Finding::skipped("kube-proxy's mode is not ipvs");
    }
    let machine = &scene.machine;
    let read = |path: &str| machine.read(path).ok().flatten().unwrap_or_default();
    let folder = kernel::release(scene).map(|release| format!("/lib/modules/{release}")).unwrap_or_default();
    let loaded = read("/proc/modules");
    let (built_in, ready) = (read(&format!("{folder}/modules.builtin")), read(&format!("{folder}/modules.dep")));
    let listed = |list: &str, name: &str| {
        list.lines()
            .filter_map(|line| line.split(':').next()?.rsplit('/').next())
            .any(|file| file.split(".ko").next() == Some(name))
    };
    let present = |name: &str| {
        loaded.lines().any(|line| line.split(' ').next() == Some(name))
            || listed(&built_in, name)
            || machine.exists(&format!("/sys/module/{name}")).unwrap_or(false)
    };
    let absent: Vec<&str> = MODULES.into_iter().filter(|name| !present(name)).collect();
    if absent.is_empty() {
        return Finding::ok("loaded");
    }
    let (found, mend) = (
        absent.join(" "),
        format!("modprobe -a {0}, and these names in a file of /etc/modules-load.d/", absent.join(" ")),
    );
    if absent.iter().all(|name| listed(&ready, name)) {
        return Finding::warning(format!("not loaded yet: {found}"), "these kernel modules", mend);
    }
    let mend = format!("{mend}; or another mode in KubeProxyConfiguration, such as nftables");
    Finding::error(format!("the kernel has no {found}"), "these kernel modules, for kube-proxy's mode ipvs", mend)
}
