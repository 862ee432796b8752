//! What runs is asked: everything once, and all who are asked side by side.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::diff;
use crate::host::chain;
use crate::host::cri::ContainerSeen;
use crate::host::live::Live;
use crate::host::live::gate::is_one;
use crate::host::live::running;
use crate::host::live::self_hosted::daemon_set;
use crate::host::machine;
use crate::host::probe::probe;
use crate::observed::Seen;
use crate::resource::{Condition, Id, KubeletSpec, SelfHostedSpec, StaticPodSpec, UnitSpec};
use crate::verdict::Verdict;

/// What was answered. What nobody wanted to know is not in it.
pub(super) struct Answers {
    /// The containers of the Pods that conditions are about.
    pub containers: Containers,
    /// Whether what is at a URL is well.
    pub urls: BTreeMap<String, Result<(), String>>,
    /// Whether the API server at a URL is ready.
    pub servers: BTreeMap<String, Result<(), String>>,
    /// What the API server of this host says.
    pub api: ApiSaid,
    /// Whether the kubelet runs as it has to, whatever it says of its health.
    pub kubelet: Result<(), String>,
    /// What is about to go of what runs beside a static Pod, by its `DaemonSet`.
    pub leaving: BTreeMap<String, String>,
}

/// What the API server of this host says.
pub(super) struct ApiSaid {
    /// The objects that were asked for.
    pub objects: BTreeMap<Id, Result<Option<Value>, String>>,
    /// It answers who has a certificate of the cluster's administrators.
    pub answers: Result<(), String>,
    /// It is ready.
    pub ready: Result<(), String>,
}

/// The containers of some Pods.
pub(super) struct Containers(pub Result<Vec<ContainerSeen>, String>);

impl Live {
    /// Asks for all that some conditions are about, and for objects. Where these are the `whole` of what is wanted, the API server is to
    /// tell of them from now on, and of no others.
    pub(super) fn ask(&self, conditions: &[&Condition], objects: &[&Value], whole: bool) -> Answers {
        let pods: Vec<&StaticPodSpec> = conditions.iter().filter_map(|condition| condition.pod()).collect();
        let urls: Vec<&str> = conditions.iter().filter_map(|condition| condition.url()).collect();
        let servers = conditions.iter().filter_map(|condition| match condition {
            Condition::ApiReady(url) => Some(url.as_str()),
            _ => None,
        });
        let servers: Vec<&str> = servers.collect();
        std::thread::scope(|scope| {
            let containers = scope.spawn(|| self.containers(&pods));
            let probed = (!urls.is_empty()).then(|| scope.spawn(|| probe(self.runtime.handle(), &urls)));
            let ready =
                (!servers.is_empty()).then(|| scope.spawn(|| servers.iter().map(|url| self.ready_at(url)).collect()));
            let api = self.ask_api(conditions, objects, whole);
            let kubelet = conditions.iter().find_map(|condition| match condition {
                Condition::Kubelet(spec) => Some(self.kubelet_runs(spec)),
                _ => None,
            });
            let named = |names: &[&str], results: Vec<Result<(), String>>| {
                names.iter().map(|name| (*name).to_owned()).zip(results).collect()
            };
            let join = |asked: Option<std::thread::ScopedJoinHandle<'_, Vec<Result<(), String>>>>| {
                asked.and_then(|asked| asked.join().ok()).unwrap_or_default()
            };
            let containers = containers.join().unwrap_or_else(|_| Containers(Err(NOT_ASKED.to_owned())));
            Answers {
                leaving: self.leaving(conditions, &containers),
                containers,
                urls: named(&urls, join(probed)),
                servers: named(&servers, join(ready)),
                api,
                kubelet: kubelet.unwrap_or_else(|| Err(NOT_ASKED.to_owned())),
            }
        })
    }

    /// The containers of Pods; there is no question where there are no Pods.
    pub(super) fn containers(&self, pods: &[&StaticPodSpec]) -> Containers {
        if pods.is_empty() {
            return Containers(Ok(Vec::new()));
        }
        let of = |name: &str| pods.iter().any(|pod| is_one(name, pod));
        Containers(self.cri.containers("kube-system", &of).map_err(|error| chain(&error)))
    }

    /// The kubelet has run for long enough since its file became what it has to be.
    fn kubelet_runs(&self, spec: &KubeletSpec) -> Result<(), String> {
        let (path, wanted) = &spec.configuration;
        let differs = |text: String| !diff::file::differences(wanted, text.as_bytes()).is_empty();
        if self.local.read_text(path).map_err(|error| error.to_string())?.is_none_or(differs) {
            return Err(format!("{path} is not what it has to run with yet"));
        }
        let unit = UnitSpec { name: spec.unit.clone(), reads: vec![path.clone()] };
        let Seen::Unit(seen) = self.unit(&unit).map_err(|error| error.to_string())? else {
            return Err("it is not installed".to_owned());
        };
        seen.active.clone()?;
        if diff::unit::judge(&seen) != Verdict::Same {
            return Err(format!("it started before {path} changed"));
        }
        let started = seen.started.map_or(i64::MAX, |at| i64::try_from(at / 1_000_000).unwrap_or(i64::MAX));
        let ran = machine::now().saturating_sub(started);
        if ran < i64::try_from(spec.steady.as_secs()).unwrap_or(i64::MAX) {
            return Err(format!("it has run for {} of {} s", ran.max(0), spec.steady.as_secs()));
        }
        Ok(())
    }

    fn ready_at(&self, url: &str) -> Result<(), String> {
        let api = self.credentials().and_then(|credentials| self.api_at(&credentials, url))?;
        api.ready().map_err(|error| error.why.to_string())
    }

    fn ask_api(&self, conditions: &[&Condition], objects: &[&Value], whole: bool) -> ApiSaid {
        let more: Vec<Value> = conditions.iter().filter_map(|condition| object(condition)).collect();
        let wanted: BTreeMap<Id, &Value> =
            objects.iter().copied().chain(&more).map(|object| (Id::of_object(object), object)).collect();
        let ready = conditions.iter().any(|condition| condition.asks_api_ready());
        let answers = conditions
            .iter()
            .any(|condition| matches!(condition, Condition::ApiAnswers(_) | Condition::SelfHostedApi(_)));
        let not_asked = || Err(NOT_ASKED.to_owned());
        if wanted.is_empty() && !ready && !answers {
            return ApiSaid { objects: BTreeMap::new(), answers: not_asked(), ready: not_asked() };
        }
        let silent = |why: String, said: String| ApiSaid {
            objects: wanted.keys().map(|id| (id.clone(), Err(why.clone()))).collect(),
            answers: Err(said.clone()),
            ready: Err(said),
        };
        let api = match self.api() {
            Ok(api) => api,
            Err(why) => return silent(why.clone(), why),
        };
        if whole {
            let leases = conditions.iter().filter_map(|condition| condition.pod()?.lease.as_ref().map(running::object));
            let leases: Vec<Value> = leases.collect();
            api.keep(&objects.iter().copied().chain(&leases).collect::<Vec<_>>());
        }
        // Who waits for something to become ready wants to know it now.
        let known_ready = whole && ready && api.is_known_ready();
        let values: Vec<&Value> = wanted.values().copied().collect();
        let mut look = match api.look(&values, ready && !known_ready) {
            Ok(look) => look,
            Err(error) => return silent(chain(&error), error.why.to_string()),
        };
        if known_ready {
            look.ready = Some(Ok(()));
        }
        // Who has read an object gets through.
        let answers = match look.objects.iter().find(|object| object.is_ok()).or(look.objects.first()) {
            Some(object) => object.as_ref().map(drop).map_err(|error| error.why.to_string()),
            None if answers => api.answers().map_err(|error| error.why.to_string()),
            None => not_asked(),
        };
        let objects = look.objects.into_iter().map(|object| object.map_err(|error| chain(&error)));
        let ready = look.ready.map_or_else(not_asked, |ready| ready.map_err(|error| error.why.to_string()));
        ApiSaid { objects: wanted.into_keys().zip(objects).collect(), answers, ready }
    }
}

/// Why there is no answer where there should be one.
pub(super) const NOT_ASKED: &str = "it was not asked";

impl Condition {
    /// The Pod of a component that it is about.
    fn pod(&self) -> Option<&StaticPodSpec> {
        match self {
            Self::StaticPod(pod) | Self::ApiAnswers(Some(pod)) => Some(pod),
            Self::SelfHosted(spec) | Self::SelfHostedApi(spec) | Self::NotSelfHosted(spec) => Some(&spec.pod),
            _ => None,
        }
    }

    /// The URL that tells of it.
    fn url(&self) -> Option<&str> {
        match self {
            Self::Url(url) => Some(url),
            Self::StaticPod(pod) | Self::SelfHosted(SelfHostedSpec { pod, .. }) => pod.health.as_deref(),
            Self::Kubelet(spec) => Some(&spec.health),
            _ => None,
        }
    }

    /// The API server of this host tells of it.
    fn asks_api_ready(&self) -> bool {
        let asks = |pod: &StaticPodSpec| pod.health.is_none();
        matches!(self, Self::StaticPod(pod) | Self::SelfHosted(SelfHostedSpec { pod, .. }) if asks(pod))
    }
}

/// The object that a condition is about, by what names it.
pub(super) fn object(condition: &Condition) -> Option<Value> {
    match condition {
        Condition::Node(name) => Some(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})),
        Condition::SelfHosted(spec) => Some(daemon_set(&spec.pod.pod)),
        Condition::RolledOut { kind, name } => {
            Some(json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"namespace": "kube-system", "name": name}}))
        }
        _ => None,
    }
}
