//! Documents completed to a [`Cluster`]: kubeadm's defaults, and what it takes from the machine.

use serde_json::Value;

use super::component::kube_proxy::KubeProxyDefaults;
use super::documents::{DocumentKind, Documents};
use super::duration::GoDuration;
use super::kubeadm::v1beta4::{self, ClusterConfiguration, InitConfiguration};
use super::planekeeper::{self, PlanekeeperConfiguration};
use super::report::Report;
use super::validate::{
    certificates, component, endpoint, etcd, networking, node, phases, self_hosting, settings, tokens, version,
};
use super::{Loaded, PatchFile, components, patches, syntax};
use crate::cluster::{
    ApiEndpoint, Cluster, ComponentConfig, ControlPlaneComponent, Dns, Etcd, Hosting, Networking, NodeRegistration,
    Version,
};
use crate::facts::Machine;
use crate::problem::Problem;
use crate::versions::{RELEASES, Release};

impl Documents {
    /// Fills in defaults, takes from the machine what the configuration leaves open, and checks everything.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, by file and line.
    pub fn complete(mut self, machine: &Machine, patches: &[PatchFile]) -> Result<Loaded, Vec<Problem>> {
        let patches_directory = self.patches_directory().map(ToOwned::to_owned);
        let written = Written {
            cluster: self.typed(DocumentKind::ClusterConfiguration),
            init: self.init(),
            planekeeper: self.typed(DocumentKind::PlanekeeperConfiguration),
            policy: self.value(DocumentKind::Policy).cloned(),
            kubelet: self.value(DocumentKind::KubeletConfiguration).cloned(),
            kube_proxy: self.value(DocumentKind::KubeProxyConfiguration).cloned(),
        };
        let mut report = self.report;
        let cluster = written.complete(machine, patches, &mut report);
        if let Some(cluster) = cluster.as_ref().filter(|_| !report.failed()) {
            patches::check(cluster, &mut report);
        }
        let (mut problems, warnings) = report.finish();
        match cluster {
            Some(cluster) if problems.is_empty() => Ok(Loaded { cluster, warnings, patches_directory }),
            _ => {
                if problems.is_empty() {
                    let message = "the configuration cannot be completed; this is a mistake in planekeeper".to_owned();
                    problems.push(Problem { place: None, field: String::new(), message });
                }
                Err(problems)
            }
        }
    }

    /// The `InitConfiguration`, with the time to wait for the control plane that v1beta3 has elsewhere.
    fn init(&mut self) -> InitConfiguration {
        let mut init: InitConfiguration = self.typed(DocumentKind::InitConfiguration);
        let moved: Option<GoDuration> =
            self.control_plane_timeout.take().and_then(|timeout| serde_json::from_value(timeout).ok());
        if let Some(timeout) = moved.filter(|timeout| timeout.as_nanos() != 0) {
            let timeouts = init.timeouts.get_or_insert_default();
            timeouts.control_plane_component_health_check.get_or_insert(timeout);
        }
        init
    }
}

/// The documents as their types; those that are not there as their defaults.
struct Written {
    cluster: ClusterConfiguration,
    init: InitConfiguration,
    planekeeper: PlanekeeperConfiguration,
    policy: Option<Value>,
    kubelet: Option<Value>,
    kube_proxy: Option<Value>,
}

/// The parts of a cluster, each where it is right.
struct Parts {
    version: Option<(Version, &'static Release)>,
    networking: Option<Networking>,
    endpoint: Option<ApiEndpoint>,
    control_plane_endpoint: Option<String>,
    node: NodeRegistration,
    etcd: Etcd,
    certificates: Option<certificates::Certificates>,
    api_server: ControlPlaneComponent,
    controller_manager: ControlPlaneComponent,
    scheduler: ControlPlaneComponent,
}

/// The configurations of the components that run on every node.
struct NodeComponents {
    kubelet: ComponentConfig,
    kube_proxy: ComponentConfig,
}

impl Written {
    /// The cluster, as far as it can be said; the report has what is wrong.
    fn complete(mut self, machine: &Machine, patches: &[PatchFile], report: &mut Report) -> Option<Cluster> {
        let parts = self.parts(machine, report);
        let life = parts.certificates.as_ref().map(|certificates| certificates.life);
        let settings = settings::check(&self.planekeeper, life, machine, report);
        let audit = settings::audit(self.planekeeper.audit.enabled, self.policy.as_ref(), report);
        let timeouts = settings::timeouts(self.init.timeouts.get_or_insert_default(), report);
        let certificate_key = certificates::check_key(&self.init.certificate_key, report);
        let bootstrap_tokens = tokens::check(&self.init.bootstrap_tokens, report);
        let skip_phases = phases::check(&self.init.skip_phases, report);
        if settings.hosting == Hosting::SelfHosted {
            let components = [
                ("apiServer", &parts.api_server),
                ("controllerManager", &parts.controller_manager),
                ("scheduler", &parts.scheduler),
            ];
            let address = parts.endpoint.map(|endpoint| endpoint.address);
            self_hosting::check(components, &parts.node, address, &self.init.skip_phases, report);
        }
        // kubeadm uploads an add-on that it was told to skip as one that is disabled.
        let skipped = |addon: &str| skip_phases.contains("addon") || skip_phases.contains(addon);
        self.cluster.dns.disabled |= skipped("addon/coredns");
        self.cluster.proxy.disabled |= skipped("addon/kube-proxy");
        let patches = patches::parse(patches, report);
        let NodeComponents { kubelet, kube_proxy } = self.node_components(&parts, report)?;
        let (version, release) = parts.version?;
        let (networking, endpoint, certificates) = (parts.networking?, parts.endpoint?, parts.certificates?);
        let config = self.cluster;
        let uploaded = uploaded(config.clone(), &networking, parts.control_plane_endpoint.as_deref())?;
        Some(Cluster {
            version,
            release,
            name: config.cluster_name,
            node: parts.node,
            endpoint,
            control_plane_endpoint: parts.control_plane_endpoint,
            networking,
            api_server: parts.api_server,
            api_server_cert_sans: config.api_server.cert_sans,
            controller_manager: parts.controller_manager,
            scheduler: parts.scheduler,
            etcd: parts.etcd,
            dns: dns(&config.dns, self.planekeeper.dns.kind),
            proxy_disabled: config.proxy.disabled,
            certificates_dir: certificates.directory,
            image_repository: config.image_repository,
            feature_gates: config.feature_gates,
            key_algorithm: certificates.algorithm,
            certificate_validity: certificates.life,
            ca_certificate_validity: certificates.ca_life,
            certificate_key,
            bootstrap_tokens,
            timeouts,
            patches,
            skip_phases,
            kubelet,
            kube_proxy,
            uploaded,
            audit,
            settings,
            lines: report.lines.clone(),
        })
    }

    fn parts(&mut self, machine: &Machine, report: &mut Report) -> Parts {
        let (config, init) = (&mut self.cluster, &self.init);
        let version = version::check(&config.kubernetes_version, report);
        let minor = version.map(|(version, _)| version.minor);
        if let Some((version, release)) = version {
            config.kubernetes_version = version.to_string();
            version::check_gates(&config.feature_gates, release.minor, report);
        }
        let networking = networking::check(&config.networking, &config.controller_manager.extra_args, report);
        let endpoint = endpoint::check(&init.local_api_endpoint, machine, report);
        if let (Some(networking), Some(endpoint)) = (&networking, endpoint) {
            networking::check_endpoint(endpoint.address, networking, report);
        }
        simple_fields(config, report);
        if init.dry_run {
            let message = "is ignored: `planekeeper plan` shows what would be changed and changes nothing";
            report.warn("InitConfiguration.dryRun", message);
        }
        let bind_port = endpoint.map(|endpoint| endpoint.port);
        let api = &mut config.api_server;
        let api_server = component::check(
            "ClusterConfiguration.apiServer",
            &api.extra_args,
            &api.extra_volumes,
            &mut api.extra_envs,
            report,
        );
        let certificates = certificates::check(config, minor, report);
        let mut plain = |name: &str, part: &mut v1beta4::ControlPlaneComponent| {
            let path = format!("ClusterConfiguration.{name}");
            component::check(&path, &part.extra_args, &part.extra_volumes, &mut part.extra_envs, report)
        };
        Parts {
            version,
            networking,
            endpoint,
            api_server,
            controller_manager: plain("controllerManager", &mut config.controller_manager),
            scheduler: plain("scheduler", &mut config.scheduler),
            control_plane_endpoint: endpoint::control_plane(&config.control_plane_endpoint, bind_port, report),
            node: node::check(&init.node_registration, &machine.hostname, report),
            etcd: etcd::check(&mut config.etcd, &config.certificates_dir, minor, report),
            certificates,
        }
    }

    /// The kubelet's and kube-proxy's configuration. They are checked even where what their defaults follow from is
    /// wrong: nothing comes of it then but what they say.
    fn node_components(&self, parts: &Parts, report: &mut Report) -> Option<NodeComponents> {
        let stand_in = networking::check(&v1beta4::Networking::default(), &[], &mut Report::default());
        let networking = parts.networking.as_ref().or(stand_in.as_ref())?;
        let release = parts.version.map_or(RELEASES.last(), |(_, release)| Some(release))?;
        let certificates_dir = parts.certificates.as_ref().map_or("", |certificates| &certificates.directory);
        let defaults = KubeProxyDefaults {
            advertise_address: parts.endpoint.map_or(networking.dns_address, |endpoint| endpoint.address),
            pod_subnet: networking.pod_subnet.as_deref(),
            release,
        };
        let kubelet = components::kubelet(self.kubelet.as_ref(), release, networking, certificates_dir, report);
        let kube_proxy = components::kube_proxy(self.kube_proxy.as_ref(), &defaults, report);
        Some(NodeComponents { kubelet: kubelet?, kube_proxy: kube_proxy? })
    }
}

fn dns(written: &v1beta4::Dns, kind: planekeeper::DnsType) -> Dns {
    let filled = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Dns {
        kind: settings::dns_kind(kind),
        disabled: written.disabled,
        image_repository: filled(&written.image_repository),
        image_tag: filled(&written.image_tag),
    }
}

/// Names, images and SANs.
fn simple_fields(config: &mut ClusterConfiguration, report: &mut Report) {
    if config.cluster_name.is_empty() {
        "kubernetes".clone_into(&mut config.cluster_name);
    }
    if config.cluster_name.len() > 253 || config.cluster_name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = "is not a name: write at most 253 characters without spaces";
        report.error("ClusterConfiguration.clusterName", message);
    }
    if config.image_repository.is_empty() {
        "registry.k8s.io".clone_into(&mut config.image_repository);
    }
    if let Err(message) = syntax::image_repository(&config.image_repository) {
        report.error("ClusterConfiguration.imageRepository", message);
    }
    etcd::images("ClusterConfiguration.dns", &config.dns.image_repository, &config.dns.image_tag, report);
    for name in &mut config.api_server.cert_sans {
        *name = name.to_lowercase();
    }
    etcd::sans("ClusterConfiguration.apiServer.certSANs", &config.api_server.cert_sans, report);
}

/// The `ClusterConfiguration` as kubeadm uploads it.
fn uploaded(mut config: ClusterConfiguration, networking: &Networking, endpoint: Option<&str>) -> Option<Value> {
    config.networking.service_subnet.clone_from(&networking.service_subnet);
    config.networking.dns_domain.clone_from(&networking.dns_domain);
    let has_port = syntax::host_port(&config.control_plane_endpoint).is_ok_and(|(_, port)| port.is_some());
    if let Some(endpoint) = endpoint.filter(|_| !has_port) {
        endpoint.clone_into(&mut config.control_plane_endpoint);
    }
    let mut value = serde_json::to_value(config).ok()?;
    value["apiVersion"] = v1beta4::API_VERSION.into();
    value["kind"] = "ClusterConfiguration".into();
    Some(value)
}
