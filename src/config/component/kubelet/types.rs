//! The fields of the kubelet's configuration, `kubelet.config.k8s.io/v1beta1`.
//!
//! The names, and what each field does, are in the API reference of Kubernetes
//! (`config-api/kubelet-config.v1beta1`). What Go's `omitempty` leaves out is left out here; Go never leaves out a
//! struct or a duration, so neither are those.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::component::common::{Float, Logging, Quantity, is_default};
use crate::config::duration::GoDuration;

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, clippy::struct_excessive_bools)] // mirrors the API
pub struct KubeletConfiguration {
    pub api_version: String,
    pub kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_server: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub static_pod_path: String,
    #[serde(skip_serializing_if = "is_default")]
    pub pod_logs_dir: String,
    pub sync_frequency: GoDuration,
    pub file_check_frequency: GoDuration,
    pub http_check_frequency: GoDuration,
    #[serde(rename = "staticPodURL", skip_serializing_if = "is_default")]
    pub static_pod_url: String,
    #[serde(rename = "staticPodURLHeader", skip_serializing_if = "is_default")]
    pub static_pod_url_header: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub address: String,
    #[serde(skip_serializing_if = "is_default")]
    pub port: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_port: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_cert_file: String,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_private_key_file: String,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_cipher_suites: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_curve_preferences: Vec<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_min_version: String,
    #[serde(skip_serializing_if = "is_default")]
    pub rotate_certificates: bool,
    #[serde(rename = "serverTLSBootstrap", skip_serializing_if = "is_default")]
    pub server_tls_bootstrap: bool,
    pub authentication: Authentication,
    pub authorization: Authorization,
    #[serde(rename = "registryPullQPS", skip_serializing_if = "is_default")]
    pub registry_pull_qps: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub registry_burst: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub image_pull_credentials_verification_policy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub preloaded_images_verification_allowlist: Vec<String>,
    #[serde(rename = "eventRecordQPS", skip_serializing_if = "is_default")]
    pub event_record_qps: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub event_burst: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_debugging_handlers: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_contention_profiling: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub healthz_port: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub healthz_bind_address: String,
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_domain: String,
    #[serde(rename = "clusterDNS", skip_serializing_if = "is_default")]
    pub cluster_dns: Vec<String>,
    pub streaming_connection_idle_timeout: GoDuration,
    pub node_status_update_frequency: GoDuration,
    pub node_status_report_frequency: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub node_lease_duration_seconds: i32,
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: GoDuration,
    #[serde(rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: GoDuration,
    #[serde(rename = "imageGCHighThresholdPercent", skip_serializing_if = "is_default")]
    pub image_gc_high_threshold_percent: Option<i32>,
    #[serde(rename = "imageGCLowThresholdPercent", skip_serializing_if = "is_default")]
    pub image_gc_low_threshold_percent: Option<i32>,
    pub volume_stats_agg_period: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub kubelet_cgroups: String,
    #[serde(skip_serializing_if = "is_default")]
    pub system_cgroups: String,
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_root: String,
    #[serde(rename = "cgroupsPerQOS", skip_serializing_if = "is_default")]
    pub cgroups_per_qos: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_driver: String,
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_manager_policy: String,
    #[serde(rename = "singleProcessOOMKill", skip_serializing_if = "is_default")]
    pub single_process_oom_kill: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_manager_policy_options: BTreeMap<String, String>,
    pub cpu_manager_reconcile_period: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub memory_manager_policy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub topology_manager_policy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub topology_manager_scope: String,
    #[serde(skip_serializing_if = "is_default")]
    pub topology_manager_policy_options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub qos_reserved: BTreeMap<String, String>,
    pub runtime_request_timeout: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub hairpin_mode: String,
    #[serde(skip_serializing_if = "is_default")]
    pub max_pods: i32,
    #[serde(rename = "podCIDR", skip_serializing_if = "is_default")]
    pub pod_cidr: String,
    #[serde(skip_serializing_if = "is_default")]
    pub pod_pids_limit: Option<i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub resolv_conf: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub run_once: bool,
    #[serde(rename = "cpuCFSQuota", skip_serializing_if = "is_default")]
    pub cpu_cfs_quota: Option<bool>,
    #[serde(rename = "cpuCFSQuotaPeriod", skip_serializing_if = "is_default")]
    pub cpu_cfs_quota_period: Option<GoDuration>,
    #[serde(skip_serializing_if = "is_default")]
    pub node_status_max_images: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_open_files: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub content_type: String,
    #[serde(rename = "kubeAPIQPS", skip_serializing_if = "is_default")]
    pub kube_apiqps: Option<i32>,
    #[serde(rename = "kubeAPIBurst", skip_serializing_if = "is_default")]
    pub kube_api_burst: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub serialize_image_pulls: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_parallel_image_pulls: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub eviction_hard: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub eviction_soft: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    pub eviction_pressure_transition_period: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub eviction_max_pod_grace_period: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub merge_default_eviction_settings: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub pods_per_core: i32,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_controller_attach_detach: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub protect_kernel_defaults: bool,
    #[serde(rename = "makeIPTablesUtilChains", skip_serializing_if = "is_default")]
    pub make_ip_tables_util_chains: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub iptables_masquerade_bit: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub iptables_drop_bit: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub feature_gates: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_swap_on: Option<bool>,
    pub memory_swap: MemorySwap,
    #[serde(skip_serializing_if = "is_default")]
    pub container_log_max_size: String,
    #[serde(skip_serializing_if = "is_default")]
    pub container_log_max_files: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub container_log_max_workers: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub container_log_monitor_interval: Option<GoDuration>,
    #[serde(skip_serializing_if = "is_default")]
    pub config_map_and_secret_change_detection_strategy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub system_reserved: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub kube_reserved: BTreeMap<String, String>,
    #[serde(rename = "reservedSystemCPUs", skip_serializing_if = "is_default")]
    pub reserved_system_cpus: String,
    #[serde(skip_serializing_if = "is_default")]
    pub show_hidden_metrics_for_version: String,
    #[serde(skip_serializing_if = "is_default")]
    pub system_reserved_cgroup: String,
    #[serde(skip_serializing_if = "is_default")]
    pub kube_reserved_cgroup: String,
    #[serde(skip_serializing_if = "is_default")]
    pub enforce_node_allocatable: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub allowed_unsafe_sysctls: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub default_pod_sysctls: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub volume_plugin_dir: String,
    #[serde(rename = "providerID", skip_serializing_if = "is_default")]
    pub provider_id: String,
    #[serde(skip_serializing_if = "is_default")]
    pub kernel_memcg_notification: bool,
    pub logging: Logging,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_system_log_handler: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_system_log_query: Option<bool>,
    pub shutdown_grace_period: GoDuration,
    pub shutdown_grace_period_critical_pods: GoDuration,
    #[serde(skip_serializing_if = "is_default")]
    pub shutdown_grace_period_by_pod_priority: Vec<ShutdownGracePeriodByPodPriority>,
    pub crash_loop_back_off: CrashLoopBackOff,
    #[serde(skip_serializing_if = "is_default")]
    pub reserved_memory: Vec<MemoryReservation>,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_profiling_handler: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub enable_debug_flags_handler: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub seccomp_default: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub memory_throttling_factor: Option<Float>,
    #[serde(skip_serializing_if = "is_default")]
    pub memory_reservation_policy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub register_with_taints: Vec<Taint>,
    #[serde(skip_serializing_if = "is_default")]
    pub register_node: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub tracing: Option<Tracing>,
    #[serde(skip_serializing_if = "is_default")]
    pub local_storage_capacity_isolation: Option<bool>,
    pub container_runtime_endpoint: String,
    #[serde(skip_serializing_if = "is_default")]
    pub image_service_endpoint: String,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_cgroup_v1: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub user_namespaces: Option<UserNamespaces>,
}

/// Who may speak to the kubelet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Authentication {
    pub x509: X509Authentication,
    pub webhook: WebhookAuthentication,
    pub anonymous: AnonymousAuthentication,
}

/// Client certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct X509Authentication {
    #[serde(rename = "clientCAFile", skip_serializing_if = "is_default")]
    pub client_ca_file: String,
}

/// Bearer tokens, reviewed by the API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct WebhookAuthentication {
    #[serde(skip_serializing_if = "is_default")]
    pub enabled: Option<bool>,
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: GoDuration,
}

/// Requests without credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct AnonymousAuthentication {
    #[serde(skip_serializing_if = "is_default")]
    pub enabled: Option<bool>,
}

/// What they may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Authorization {
    #[serde(skip_serializing_if = "is_default")]
    pub mode: String,
    pub webhook: WebhookAuthorization,
}

/// Answers of the API server that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct WebhookAuthorization {
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: GoDuration,
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: GoDuration,
}

/// Swap for containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct MemorySwap {
    #[serde(skip_serializing_if = "is_default")]
    pub swap_behavior: String,
}

/// The longest wait between restarts of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct CrashLoopBackOff {
    #[serde(skip_serializing_if = "is_default")]
    pub max_container_restart_period: Option<GoDuration>,
}

/// How long Pods from one priority up may take to end when the node shuts down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ShutdownGracePeriodByPodPriority {
    pub priority: i32,
    pub shutdown_grace_period_seconds: i64,
}

/// Memory of one NUMA node that Pods do not get.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct MemoryReservation {
    pub numa_node: i32,
    pub limits: Option<BTreeMap<String, Quantity>>,
}

/// User ids in a Pod's user namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct UserNamespaces {
    #[serde(skip_serializing_if = "is_default")]
    pub ids_per_pod: Option<i64>,
}

/// Traces, sent by OpenTelemetry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Tracing {
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub sampling_rate_per_million: Option<i32>,
}

/// A taint that the kubelet registers its Node with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Taint {
    pub key: String,
    #[serde(skip_serializing_if = "is_default")]
    pub value: String,
    pub effect: String,
    #[serde(skip_serializing_if = "is_default")]
    pub time_added: Option<String>,
}
