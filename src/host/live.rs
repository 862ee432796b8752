//! This machine as a host: its files, systemd, the container runtime and the API server.

mod ask;
mod clock;
mod diagnosis;
mod gate;
mod running;
mod self_hosted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::cluster::{CertificateKey, Cluster, Etcd, Hosting, KeyAlgorithm};
use crate::desired::bootstrap_token::secret_of;
use crate::desired::live::KUBELET;
use crate::desired::{kubeconfig, static_pod};
use crate::diff::left;
use crate::facts::{Facts, IssuedToken};
use crate::host::api::{Access, Api};
use crate::host::connections::Connections;
use crate::host::cri::Cri;
use crate::host::files::{Disk, FileSystem, Look};
use crate::host::keys::Keys;
use crate::host::local::{Local, Setting};
use crate::host::pki::Readings;
use crate::host::pull::Pulls;
use crate::host::rollout::Begun;
use crate::host::side_by_side::{compute_threads, side_by_side};
use crate::host::systemd::Systemd;
use crate::host::{ApplyError, Change, Host, Listener, Tell, chain, tokens, upload_certs};
use crate::observed::{ObserveError, Observed, Seen, UnitSeen};
use crate::origin::{self, Origin};
use crate::resource::{Condition, Desired, FileSpec, Id, ImageSpec, Resource, Spec, Target, UnitSpec, Want};
use crate::verdict::Verdict;
use crate::{diff, rollout};

/// For how long systemd is believed to know its unit files. To read them takes it longer than anything else that a start of the kubelet
/// takes, and it can do that while the kubelet's keys are made.
const RELOADED: Duration = Duration::from_secs(2);

/// A host on which things run.
pub struct Live {
    local: Local<Disk>,
    cri: Cri,
    systemd: Arc<Systemd>,
    /// The client of the API server, and the kubeconfigs that it was made of: there are none before the first pass.
    api: Mutex<Option<(Credentials, Arc<Api>)>>,
    setting: Reach,
    /// The run waits for the add-ons too.
    await_addons: bool,
    pulls: Pulls,
    /// When the kubelet was started anew so that it tries again what it has backed off from, and so that it registers its Node.
    nudged: [Mutex<Option<Instant>>; 2],
    /// systemd reads its unit files ahead of the steps of this pass. It ends with when it had.
    reload: Mutex<Option<JoinHandle<Option<Instant>>>>,
    /// Since when components are waited for that were changed.
    begun: Begun,
    /// Who is told of changes.
    listener: Option<Listener>,
    runtime: Connections,
}

/// The texts of `admin.conf` and of `super-admin.conf`.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    admin: String,
    super_admin: Option<String>,
}

/// What of the configuration says where things are.
struct Reach {
    /// This host's API server: its own clients do not depend on a load balancer.
    server: String,
    /// The port that it listens on.
    port: u16,
    /// Where etcd keeps its data, if it is this host's.
    etcd_data: Option<String>,
    /// The control plane hosts itself, or is to.
    self_hosted: bool,
    /// `timeouts.kubernetesAPICall`.
    api_call: Duration,
}

impl Live {
    /// A host. Nothing is connected to before it is needed. With `await_addons` it wants the Pods of the add-ons to be ready too.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(files: Disk, machine: Setting, cluster: &Cluster, await_addons: bool) -> Result<Self, std::io::Error> {
        // Steps wait on threads of their own; these only drive their connections.
        let runtime = Connections::new()?;
        let setting = Reach {
            server: format!("https://{}", cluster.endpoint.host_port()),
            port: cluster.endpoint.port,
            etcd_data: match &cluster.etcd {
                Etcd::Local(etcd) => Some(etcd.data_dir.clone()),
                Etcd::External(_) => None,
            },
            self_hosted: cluster.settings.hosting == Hosting::SelfHosted,
            api_call: cluster.timeouts.kubernetes_api_call,
        };
        Ok(Self {
            local: Local::new(files, machine),
            cri: Cri::new(&cluster.node.cri_socket, runtime.handle().clone()),
            systemd: Arc::new(Systemd::new(runtime.handle().clone())),
            api: Mutex::default(),
            setting,
            await_addons,
            pulls: Pulls::default(),
            nudged: Default::default(),
            reload: Mutex::default(),
            begun: Begun::default(),
            listener: None,
            runtime,
        })
    }

    /// Tells of changes from now on: of the kubelet's unit, of self-hosted components that end, and of the objects that were last
    /// observed. It has a key of an algorithm ready for what has to be made anew.
    #[must_use]
    pub fn listening(mut self, listener: Listener, algorithm: KeyAlgorithm) -> Self {
        self.local.take_keys_from(Keys::ahead(algorithm));
        let unit = Arc::clone(&listener);
        self.systemd.listen(KUBELET, move || unit(Change::Unit(KUBELET.to_owned())));
        self.listen_to_containers(&listener);
        Self { listener: Some(listener), ..self }
    }

    /// A client of the API server, made anew when its credentials have changed.
    fn api(&self) -> Result<Arc<Api>, String> {
        let credentials = self.credentials()?;
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, api)) = &*api
            && *known == credentials
        {
            return Ok(Arc::clone(api));
        }
        let mut made = self.api_at(&credentials, &self.setting.server)?;
        if let Some(listener) = self.listener.clone() {
            made = made.watched(Arc::new(move |id| listener(Change::Object(id))));
        }
        let made = Arc::new(made);
        *api = Some((credentials, Arc::clone(&made)));
        Ok(made)
    }

    fn credentials(&self) -> Result<Credentials, String> {
        let read = |name: &str| self.local.read_text(&kubeconfig::path(name)).ok().flatten();
        let [admin, super_admin, ..] = kubeconfig::NAMES;
        let admin = read(admin).ok_or_else(|| format!("there is no {} yet", kubeconfig::path(admin)))?;
        Ok(Credentials { admin, super_admin: read(super_admin) })
    }

    /// A new client of the API server at a URL.
    fn api_at(&self, credentials: &Credentials, server: &str) -> Result<Api, String> {
        let access = Access {
            kubeconfig: &credentials.admin,
            fallback: credentials.super_admin.as_deref(),
            server: Some(server),
            timeout: self.setting.api_call,
        };
        Api::new(&access, self.runtime.handle().clone()).map_err(|error| chain(&error))
    }

    /// Uploads the certificates that another control plane needs, encrypted, as `kubeadm init --upload-certs`. What was uploaded
    /// before gives way.
    ///
    /// # Errors
    /// The first operation that failed.
    pub fn upload_certs(&self, cluster: &Cluster, key: &CertificateKey) -> Result<(), ApplyError> {
        let api = self.api().map_err(|error| ApplyError::new("reach", "the API server", error))?;
        let read = |path: &str| Ok(self.local.files().read(path)?.map(|(bytes, _)| Zeroizing::new(bytes)));
        upload_certs::upload(&api, cluster, key, (self.local.machine().now)(), read)
    }

    /// There has never been an API server here, so no object is there: neither its manifest nor etcd's data.
    fn never_had_api(&self) -> bool {
        let absent = |path: &str| self.local.files().look_through(path).is_ok_and(|look| look == Look::Absent);
        let manifest = static_pod::path("kube-apiserver");
        absent(&manifest) && self.setting.etcd_data.as_ref().is_some_and(|data| absent(&format!("{data}/member")))
    }

    fn unit(&self, spec: &UnitSpec) -> Result<Seen, ObserveError> {
        let unreadable = |why: String| ObserveError { what: spec.name.clone(), why };
        let unit = self.systemd.unit(&spec.name).map_err(|error| unreadable(chain(&error)))?;
        if unit.load_state == "not-found" {
            return Ok(Seen::Absent);
        }
        let running = unit.active_state == "active";
        Ok(Seen::Unit(UnitSeen {
            active: if running { Ok(()) } else { Err(format!("{} ({})", unit.active_state, unit.sub_state)) },
            enabled: match unit.unit_file_state.as_str() {
                "disabled" | "masked" | "masked-runtime" => Err(unit.unit_file_state.replace("-runtime", "")),
                _ => Ok(()),
            },
            started: unit.main_started_at.filter(|_| running),
            reads: running::changes(&spec.reads),
        }))
    }

    fn apply_unit(&self, spec: &UnitSpec, seen: &Seen) -> Result<(), ApplyError> {
        let failed = |operation: &'static str| move |error| ApplyError::new(operation, &spec.name, error);
        if let Seen::Unit(UnitSeen { enabled: Err(_), .. }) = seen {
            self.systemd.enable(&spec.name).map_err(failed("enable"))?;
        }
        let ahead = self.reload.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reloaded = ahead.and_then(|ahead| ahead.join().ok().flatten());
        if reloaded.is_none_or(|at| at.elapsed() > RELOADED) {
            self.systemd.reload().map_err(failed("reload the units of systemd for"))?;
        }
        self.systemd.restart(&spec.name).map_err(failed("start"))
    }

    fn pull(&self, spec: &ImageSpec, tell: Tell<'_>) -> Result<(), ApplyError> {
        // A pull goes on, whoever else has something to do.
        let pulled = self.pulls.pull(&self.cri, &spec.reference, spec.serial, &|news| {
            let _ = tell(&news.to_string());
        });
        pulled.map_err(|error| ApplyError::new("pull", &spec.reference, error))
    }

    fn apply_object(&self, wanted: &Value, seen: &Seen, left: &BTreeSet<String>) -> Result<(), ApplyError> {
        let live = if let Seen::Object(live) = seen { live.as_ref() } else { None };
        let id = Id::of_object(wanted).0;
        let api = self.api().map_err(|error| ApplyError::new("apply", &id, error))?;
        api.apply_but(wanted, live, left).map_err(|error| ApplyError::new("apply", id, error))
    }

    fn delete_object(&self, target: &Value) -> Result<(), ApplyError> {
        let id = Id::of_object(target).0;
        let api = self.api().map_err(|error| ApplyError::new("delete", &id, error))?;
        api.delete(target).map_err(|error| ApplyError::new("delete", id, error))
    }

    /// A `ConfigMap` as it is now: a copy that is a moment old would have something tried again that was just changed.
    fn config_map(&self, map: &Value) -> Result<Option<Value>, String> {
        match self.api().and_then(|api| api.get(map).map_err(|error| chain(&error))) {
            Err(_) if self.never_had_api() => Ok(None),
            read => read,
        }
    }

    /// A bootstrap token that the cluster has.
    fn token_in_cluster(&self, id: &str) -> Option<IssuedToken> {
        let secret = self.api().ok()?.get(&secret_of(id)).ok()??;
        Some(tokens::issued(&secret))
    }

    /// The bootstrap tokens of the configuration that a cluster which is taken over has.
    fn tokens_in_cluster(&self, cluster: &Cluster) -> BTreeMap<String, IssuedToken> {
        let named = cluster.bootstrap_tokens.iter().filter_map(|token| token.token.as_ref());
        named.filter_map(|token| Some((token.id.clone(), self.token_in_cluster(&token.id)?))).collect()
    }

    /// Files, and what is made of them.
    fn observe_files(&self, desired: &Desired) -> Observed {
        let readings = Readings::new(self.local.files());
        let read = |resource: &Resource| Some((resource.id.clone(), self.local.observe(resource, &readings)?));
        let read: Vec<_> = side_by_side(&desired.resources, compute_threads(), read);
        read.into_iter().flatten().collect()
    }

    /// Objects of the API, and the conditions that what runs has to meet.
    fn observe_running(&self, desired: &Desired, whole: bool) -> Observed {
        let (mut objects, mut gates) = (BTreeMap::new(), Vec::new());
        for resource in &desired.resources {
            match &resource.want {
                Want::Present(Spec::Object(object))
                | Want::Absent(Target::Object(object))
                | Want::Theirs { target: Target::Object(object), .. } => {
                    objects.insert(&resource.id, object);
                }
                Want::Present(Spec::Gate(spec)) => gates.push((&resource.id, &spec.condition)),
                _ => {}
            }
        }
        let conditions: Vec<&Condition> = gates.iter().map(|(_, condition)| *condition).collect();
        let wanted: Vec<&Value> = objects.values().copied().collect();
        let answers = self.ask(&conditions, &wanted, whole);
        let no_api = !answers.api.objects.values().any(Result::is_ok) && self.never_had_api();
        let object = |id: &Id| {
            let seen = match answers.api.objects.get(id) {
                Some(Ok(None)) => Ok(Seen::Absent),
                Some(Ok(Some(live))) => Ok(Seen::Object(Some(live.clone()))),
                _ if no_api => Ok(Seen::Absent),
                Some(Err(why)) => Err(ObserveError { what: id.0.clone(), why: why.clone() }),
                None => Err(ObserveError { what: id.0.clone(), why: ask::NOT_ASKED.to_owned() }),
            };
            (id.clone(), seen)
        };
        let gates = gates.iter().map(|(id, condition)| ((*id).clone(), Ok(Seen::Gate(answers.hold(condition)))));
        let pods = self.observe_pods(desired, &answers);
        objects.into_keys().map(object).chain(gates).chain(pods).collect()
    }

    /// Everything of these resources; where they are the `whole` of what is wanted, their objects are those to be told of.
    fn observe_with(&self, desired: &Desired, whole: bool) -> Observed {
        // Each waits for the answers of others.
        let mut observed = std::thread::scope(|scope| {
            let running = scope.spawn(|| self.observe_running(desired, whole));
            let images = scope.spawn(|| self.observe_images(desired));
            let units = scope.spawn(|| self.observe_units(desired));
            let mut observed = self.observe_files(desired);
            for part in [running, images, units] {
                observed.extend(part.join().unwrap_or_default());
            }
            observed
        });
        for resource in &desired.resources {
            observed.entry(resource.id.clone()).or_insert_with(|| Err(unknown(resource)));
        }
        observed
    }

    fn observe_units(&self, desired: &Desired) -> Observed {
        let unit = |resource: &Resource| match &resource.want {
            Want::Present(Spec::Unit(spec)) => Some((resource.id.clone(), self.unit(spec))),
            _ => None,
        };
        desired.resources.iter().filter_map(unit).collect()
    }

    fn observe_images(&self, desired: &Desired) -> Observed {
        let image = |resource: &'_ Resource| match &resource.want {
            Want::Present(Spec::Image(spec)) => Some((resource.id.clone(), spec.reference.clone())),
            _ => None,
        };
        let (ids, references): (Vec<Id>, Vec<String>) = desired.resources.iter().filter_map(image).unzip();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let seen = self.cri.images_of(&references).into_iter().zip(&references).map(|(found, reference)| match found {
            Ok(Some(_)) => Ok(Seen::Image),
            Ok(None) => Ok(Seen::Absent),
            Err(why) => Err(ObserveError { what: (*reference).to_owned(), why: chain(&why) }),
        });
        ids.into_iter().zip(seen).collect()
    }
}

/// A resource that was not looked at.
fn unknown(resource: &Resource) -> ObserveError {
    ObserveError { what: resource.id.0.clone(), why: "it could not be looked at".to_owned() }
}

impl Host for Live {
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        let facts = self.local.facts(cluster)?;
        let origin = Origin::read(self.local.read_text(origin::PATH)?.as_deref());
        let manifest = self.local.read_text(&static_pod::path("kube-apiserver"))?;
        let adopted = origin::adopted(origin, manifest.is_some());
        let tokens = if adopted { self.tokens_in_cluster(cluster) } else { facts.tokens };
        let rollouts = rollout::records(|path| self.local.read_text(path))?;
        let followed = self.local.followed(cluster, |map| self.config_map(map))?;
        let hosting = self.hosting(cluster)?;
        let await_addons = self.await_addons;
        Ok(Facts { live: true, await_addons, adopted, tokens, hosting, rollouts, followed, ..facts })
    }

    fn observe(&self, desired: &Desired) -> Observed {
        self.observe_with(desired, true)
    }

    fn observe_part(&self, part: &Desired) -> Observed {
        self.observe_with(part, false)
    }

    fn prepare_units(&self) {
        let systemd = Arc::clone(&self.systemd);
        // Who starts a unit tries again, and says what is wrong.
        let reload = move || systemd.reload().ok().map(|()| Instant::now());
        let begun = std::thread::Builder::new().name("units".to_owned()).spawn(reload);
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = begun.ok();
    }

    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict, tell: Tell<'_>) -> Result<(), ApplyError> {
        match &resource.want {
            Want::Present(Spec::Object(object)) => self.apply_object(object, seen, &resource.left),
            Want::Present(Spec::Image(spec)) => self.pull(spec, tell),
            Want::Present(Spec::Unit(spec)) => self.apply_unit(spec, seen),
            Want::Present(Spec::Gate(spec)) => self.wait(&resource.id, spec, tell),
            Want::Present(Spec::StaticPod(spec)) => {
                self.rollouts().pod(spec, verdict, &static_pod::path(spec.gate.pod.component), tell)
            }
            Want::Present(Spec::File(spec @ FileSpec { pod: Some(gate), .. })) if !diff::only_modes(verdict) => {
                self.local.clear(seen)?;
                self.rollouts().manifest(spec, gate, tell)
            }
            Want::Present(spec) => {
                let met = |id: &str| self.token_in_cluster(id).and_then(|token| token.ends);
                self.local.apply(&left::spec(spec, seen, &resource.left), seen, verdict, &met)
            }
            Want::Absent(Target::File(path)) => self.local.remove(path),
            Want::Absent(Target::Written(spec)) => self.local.remove(&spec.path),
            Want::Absent(Target::Object(object)) => self.delete_object(object),
            Want::Theirs { .. } => Ok(()),
        }
    }

    fn doubts_clock(&self) -> Option<String> {
        self.clock_doubt()
    }

    fn settle(&self) -> Result<(), ApplyError> {
        self.local.settle()
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError> {
        self.local.keep(path, text)
    }

    fn forget(&self, name: &str) -> Result<(), ApplyError> {
        self.rollouts().forget(name)
    }
}
