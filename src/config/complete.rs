//! Documents completed to a [`Cluster`]: kubeadm's defaults, and what it takes from the machine.

use serde_json::Value;

use super::component::kube_proxy::KubeProxyDefaults;
use super::documents::{DocumentKind, Documents};
use super::duration::GoDuration;
use super::kubeadm::v1beta4::{self, ClusterConfiguration, InitConfiguration};
use super::planekeeper::PlanekeeperConfiguration;
use super::report::Report;
use super::validate::{certificates, component, endpoint, etcd, networking, node, phases, settings, tokens, version};
use super::{Loaded, PatchFile, components, patches, syntax};
use crate::cluster::{Cluster, Dns};
use crate::facts::Machine;
use crate::problem::Problem;

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
        let lines = std::mem::take(&mut report.lines);
        let (mut problems, warnings) = report.finish();
        match cluster {
            Some(cluster) if problems.is_empty() => {
                Ok(Loaded { cluster: Cluster { lines, ..cluster }, warnings, patches_directory })
            }
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

impl Written {
    /// The cluster, as far as it can be said; the report has what is wrong.
    fn complete(mut self, machine: &Machine, patches: &[PatchFile], report: &mut Report) -> Option<Cluster> {
        let config = &mut self.cluster;
        let version = version::check(&config.kubernetes_version, report);
        let minor = version.map(|(version, _)| version.minor);
        if let Some((version, release)) = version {
            config.kubernetes_version = version.to_string();
            version::check_gates(&config.feature_gates, release.minor, report);
        }
        let networking = networking::check(&config.networking, &config.controller_manager.extra_args, report);
        let endpoint = endpoint::check(&self.init.local_api_endpoint, machine, report);
        if let (Some(networking), Some(endpoint)) = (&networking, endpoint) {
            networking::check_endpoint(endpoint.address, networking, report);
        }
        let port = endpoint.map_or(6443, |endpoint| endpoint.port);
        let control_plane_endpoint = endpoint::control_plane(&config.control_plane_endpoint, port, report);
        let node = node::check(&self.init.node_registration, &machine.hostname, report);
        let etcd = etcd::check(&mut config.etcd, minor, report);
        let certificates = certificates::check(config, minor, report);
        simple_fields(config, report);
        certificates::check_key(&self.init.certificate_key, report);
        let bootstrap_tokens = tokens::check(&self.init.bootstrap_tokens, report);
        let timeouts = settings::timeouts(self.init.timeouts.get_or_insert_default(), report);
        let life = certificates.as_ref().map(|certificates| certificates.life);
        let settings = settings::check(&self.planekeeper, life, machine, report);
        let audit = settings::audit(self.planekeeper.audit.enabled, self.policy.as_ref(), report);
        let skip_phases = phases::check(&self.init.skip_phases, report);
        if self.init.dry_run {
            let message = "is ignored: `planekeeper plan` shows what would be changed and changes nothing";
            report.warn("InitConfiguration.dryRun", message);
        }
        let api_server = component::check(
            "ClusterConfiguration.apiServer",
            &config.api_server.extra_args,
            &config.api_server.extra_volumes,
            &mut config.api_server.extra_envs,
            report,
        );
        let mut plain = |name: &str, part: &mut v1beta4::ControlPlaneComponent| {
            let path = format!("ClusterConfiguration.{name}");
            component::check(&path, &part.extra_args, &part.extra_volumes, &mut part.extra_envs, report)
        };
        let controller_manager = plain("controllerManager", &mut config.controller_manager);
        let scheduler = plain("scheduler", &mut config.scheduler);
        let patches = patches::parse(patches, report);

        let (version, release) = version?;
        let (networking, endpoint, certificates) = (networking?, endpoint?, certificates?);
        let kubelet =
            components::kubelet(self.kubelet.as_ref(), release, &networking, &certificates.directory, report)?;
        let defaults = KubeProxyDefaults {
            advertise_address: endpoint.address,
            pod_subnet: networking.pod_subnet.as_deref(),
            release,
        };
        let kube_proxy = components::kube_proxy(self.kube_proxy.as_ref(), &defaults, report)?;
        config.networking.service_subnet.clone_from(&networking.service_subnet);
        config.networking.dns_domain.clone_from(&networking.dns_domain);
        if let Some(endpoint) = &control_plane_endpoint {
            config.control_plane_endpoint.clone_from(endpoint);
        }
        Some(Cluster {
            version,
            release,
            name: config.cluster_name.clone(),
            node,
            endpoint,
            control_plane_endpoint,
            networking,
            api_server,
            api_server_cert_sans: config.api_server.cert_sans.clone(),
            controller_manager,
            scheduler,
            etcd,
            dns: Dns {
                kind: settings::dns_kind(self.planekeeper.dns.kind),
                disabled: config.dns.disabled,
                image_repository: Some(config.dns.image_repository.clone()).filter(|text| !text.is_empty()),
                image_tag: Some(config.dns.image_tag.clone()).filter(|text| !text.is_empty()),
            },
            proxy_disabled: config.proxy.disabled,
            certificates_dir: certificates.directory,
            image_repository: config.image_repository.clone(),
            feature_gates: config.feature_gates.clone(),
            key_algorithm: certificates.algorithm,
            certificate_validity: certificates.life,
            ca_certificate_validity: certificates.ca_life,
            bootstrap_tokens,
            timeouts,
            patches,
            skip_phases,
            kubelet,
            kube_proxy,
            uploaded: uploaded(config)?,
            audit,
            settings,
            lines: crate::cluster::Lines::default(),
        })
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
fn uploaded(config: &ClusterConfiguration) -> Option<Value> {
    let mut value = serde_json::to_value(config).ok()?;
    value["apiVersion"] = v1beta4::API_VERSION.into();
    value["kind"] = "ClusterConfiguration".into();
    Some(value)
}
