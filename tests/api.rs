//! The API driver against a real `kube-apiserver` with a real `etcd`, where `PLANEKEEPER_PEERS` names a folder that has both.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use planekeeper::diff::object;
use planekeeper::host::api::{Access, Api};
use planekeeper::host::connections::Connections;
use planekeeper::host::probe::probe;
use planekeeper::host::publish::{Label, Publisher};
use planekeeper::status::{self, Status};
use planekeeper::verdict::Verdict;
use planekeeper::yaml;
use serde_json::{Value, json};

const CONFIGURATION: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {name: cp1}
localAPIEndpoint: {advertiseAddress: 192.0.2.10}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
networking: {podSubnet: 10.244.0.0/16}
apiServer: {certSANs: [127.0.0.1]}
";

/// A control plane without a kubelet: its files in a folder, its etcd and API server as processes of the test.
struct ControlPlane {
    root: tempfile::TempDir,
    processes: Vec<Child>,
    server: String,
    etcd_health: String,
    runtime: Connections,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl ControlPlane {
    fn start(peers: &Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        let configuration = root.path().join("cluster.yaml");
        fs::write(&configuration, CONFIGURATION).unwrap();
        let mut reconcile = Command::new(env!("CARGO_BIN_EXE_planekeeper"));
        reconcile.arg("reconcile").arg("--config").arg(&configuration).arg("--root").arg(root.path());
        assert!(reconcile.output().unwrap().status.success());
        let [client, peer, metrics, secure] = ports();
        let etcd_health = format!("http://127.0.0.1:{metrics}/health");
        let runtime = Connections::new().unwrap();
        let server = format!("https://127.0.0.1:{secure}");
        let mut it = Self { root, processes: Vec::new(), server, etcd_health, runtime };
        it.run(&peers.join("etcd"), &etcd_flags(&it.path(""), client, peer, metrics));
        it.run(&peers.join("kube-apiserver"), &it.server_flags(client, secure));
        it
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.root.path().display())
    }

    fn run(&mut self, program: &Path, flags: &[String]) {
        let log = File::create(self.path(&format!("/{}.log", program.file_name().unwrap().display()))).unwrap();
        let child = Command::new(program).args(flags).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.processes.push(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())));
    }

    /// The flags of the manifest that planekeeper wrote, with paths of the folder and ports that are free.
    fn server_flags(&self, etcd: u16, secure: u16) -> Vec<String> {
        let manifest = fs::read_to_string(self.path("/etc/kubernetes/manifests/kube-apiserver.yaml")).unwrap();
        let manifest = yaml::parse(&manifest).unwrap();
        let command = manifest.pointer("/spec/containers/0/command").unwrap().as_array().unwrap();
        let flag = |word: &Value| match word.as_str().unwrap().split_once('=').unwrap() {
            ("--secure-port", _) => format!("--secure-port={secure}"),
            ("--etcd-servers", _) => format!("--etcd-servers=https://127.0.0.1:{etcd}"),
            (name, value) if value.starts_with('/') => format!("{name}={}", self.path(value)),
            (name, value) => format!("{name}={value}"),
        };
        command[1..].iter().map(flag).chain(["--bind-address=127.0.0.1".to_owned()]).collect()
    }

    /// A client as the host driver has it, or one that has the administrator's own credential only.
    fn api(&self, with_fallback: bool) -> Api {
        let text = |name: &str| fs::read_to_string(self.path(&format!("/etc/kubernetes/{name}"))).unwrap();
        let (admin, super_admin) = (text("admin.conf"), text("super-admin.conf"));
        let access = Access {
            kubeconfig: &admin,
            fallback: with_fallback.then_some(&super_admin),
            server: Some(&self.server),
            timeout: Duration::from_secs(60),
        };
        Api::new(&access, self.runtime.handle().clone()).unwrap()
    }

    /// The objects that planekeeper wants of this cluster, but its Node, which only a kubelet makes.
    fn objects(&self) -> Vec<Value> {
        let mut objects = Vec::new();
        for folder in ["cluster", "cluster/kube-system", "cluster/kube-public"] {
            for entry in fs::read_dir(self.root.path().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    objects.push(yaml::parse(&fs::read_to_string(path).unwrap()).unwrap());
                }
            }
        }
        objects.retain(|object| object["kind"] != "Node");
        assert!(objects.len() > 20, "{}", objects.len());
        objects
    }
}

fn etcd_flags(root: &str, client: u16, peer: u16, metrics: u16) -> Vec<String> {
    let pki = format!("{root}/etc/kubernetes/pki/etcd");
    let (client, peer) = (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    vec![
        format!("--data-dir={root}/etcd"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        format!("--listen-metrics-urls=http://127.0.0.1:{metrics}"),
        format!("--cert-file={pki}/server.crt"),
        format!("--key-file={pki}/server.key"),
        format!("--trusted-ca-file={pki}/ca.crt"),
        "--client-cert-auth".to_owned(),
    ]
}

/// Ports that were free a moment ago.
fn ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: not within a minute");
}

/// The live objects, each of which is there.
fn look(api: &Api, objects: &[Value]) -> Vec<Value> {
    let names: Vec<&Value> = objects.iter().collect();
    api.look(&names, false).unwrap().objects.into_iter().map(|found| found.unwrap().unwrap()).collect()
}

#[test]
fn a_real_api_server_takes_every_object_once_and_finds_nothing_to_change_the_second_time() {
    let Some(peers) = std::env::var_os("PLANEKEEPER_PEERS").map(PathBuf::from) else {
        // Not by a macro, whose output the test harness keeps to itself.
        let _ =
            std::io::stderr().write_all(b"LEFT OUT: PLANEKEEPER_PEERS names no folder with etcd and kube-apiserver\n");
        return;
    };
    let plane = ControlPlane::start(&peers);
    let (admin, both) = (plane.api(false), plane.api(true));
    eventually("the API server is ready", || admin.ready().is_ok());
    let urls = [plane.etcd_health.clone(), format!("{}/livez", plane.server)];
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    assert_eq!(probe(plane.runtime.handle(), &urls), [Ok(()), Ok(())]);

    let objects = plane.objects();
    assert_eq!(admin.get(&objects[0]).unwrap_err().code(), Some(403), "nobody is an administrator yet");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kubeadm:cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "kubeadm:cluster-admins"}],
    });
    both.apply(&binding, None).unwrap();
    eventually("the binding is in force", || admin.get(&binding).is_ok());

    for object in &objects {
        admin.apply(object, None).unwrap();
    }
    let first = look(&admin, &objects);
    for object in &objects {
        admin.apply(object, None).unwrap();
    }
    for ((wanted, before), live) in objects.iter().zip(&first).zip(&look(&admin, &objects)) {
        assert_eq!(before["metadata"]["resourceVersion"], live["metadata"]["resourceVersion"], "{wanted}");
        let verdict = object::judge(wanted, Some(live));
        assert!(matches!(verdict, Verdict::Same), "{wanted}: {verdict:?}");
    }
    drift_is_put_right(&admin, &objects);
    an_address_of_a_service_that_never_came_to_be_is_freed(&admin, &objects);
    the_status_is_told(&plane, &admin);
}

/// The status is in the cluster as a `ControlPlaneNode`, of which a real API server takes every field; what happens, as Events; and a label
/// of the object is read.
fn the_status_is_told(plane: &ControlPlane, api: &Api) {
    let text = |name: &str| fs::read_to_string(plane.path(&format!("/etc/kubernetes/{name}"))).unwrap();
    let (admin, server, handle) = (text("admin.conf"), plane.server.clone(), plane.runtime.handle().clone());
    let connect = move || {
        let timeout = Duration::from_secs(60);
        let access = Access { kubeconfig: &admin, fallback: None, server: Some(&server), timeout };
        Api::new(&access, handle.clone()).map_err(|error| error.to_string())
    };
    let publisher = Publisher::start(Box::new(connect), Box::new(|| {})).unwrap();
    let status = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status").join(name);
        Status::read(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let (well, trouble) = (status("well.json"), status("trouble.json"));
    publisher.tell(&Status::default(), &well);
    let object = status::object::object("cp1");
    let told = || api.get(&object).ok().flatten().map(|object| object["status"].clone()).unwrap_or_default();
    let ready = |told: &Value| told["conditions"][0]["status"].clone();
    eventually("the status is told", || {
        assert_eq!(publisher.error(), None);
        ready(&told()) == "True"
    });
    assert_eq!(told(), status::object::with_status(&well)["status"], "no field is dropped");
    let mut labelled = object.clone();
    labelled["metadata"]["labels"] = json!({ status::pause::LABEL: "true" });
    api.apply(&labelled, None).unwrap();
    publisher.tell(&well, &trouble);
    eventually("the trouble is told", || ready(&told()) == "False");
    eventually("the label is read", || publisher.label() == Label::Read(Some("true".to_owned())));
    api.delete(&object).unwrap();
    eventually("one that was deleted is told of again", || ready(&told()) == "False");
    eventually("it has no label any more", || publisher.label() == Label::Read(None));
    let events = || api.get_text("/apis/events.k8s.io/v1/namespaces/default/events").unwrap();
    eventually("what happened is told", || {
        ["Repaired", "Drifted", "Contested", "ConfigurationRejected", "ComponentsUnhealthy"]
            .iter()
            .all(|reason| events().contains(&format!("\"reason\":\"{reason}\"")))
    });
}

/// Whatever a verdict calls a difference, an apply puts right.
fn drift_is_put_right(api: &Api, objects: &[Value]) {
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let mut service = find("Service").clone();
    service["spec"]["ports"].as_array_mut().unwrap().reverse();
    let mut deployment = find("Deployment").clone();
    deployment["spec"]["revisionHistoryLimit"] = json!(3);
    let mut binding = find("ClusterRoleBinding").clone();
    binding["roleRef"]["name"] = json!("view");
    for changed in [service, deployment, binding] {
        let kind = changed["kind"].as_str().unwrap();
        let mut wanted = find(kind).clone();
        if kind == "Deployment" {
            wanted["spec"]["revisionHistoryLimit"] = Value::Null; // the API puts its default there
        }
        api.apply(&changed, None).unwrap();
        let differs = |what: &str| {
            let verdict = object::judge(&wanted, api.get(&wanted).unwrap().as_ref());
            assert_eq!(matches!(verdict, Verdict::Same), what == "after", "{what}: {kind}: {verdict:?}");
        };
        differs("before");
        api.apply(&wanted, None).unwrap();
        differs("after");
        api.delete(&wanted).unwrap();
        assert_eq!(api.get(&wanted).unwrap(), None);
        api.delete(&wanted).unwrap();
    }
}

/// The API server gives a Service its address before it stores it: whoever ends in between leaves an address that is taken.
fn an_address_of_a_service_that_never_came_to_be_is_freed(api: &Api, objects: &[Value]) {
    let service = objects.iter().find(|object| object["kind"] == "Service").unwrap();
    let taken_by = |name: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {"name": service["spec"]["clusterIP"]},
            "spec": {"parentRef": {"resource": "services", "namespace": "kube-system", "name": name}},
        })
    };
    let of_another = taken_by("another");
    eventually("the Service's address is free", || api.get(&of_another).unwrap().is_none());
    api.apply(&of_another, None).unwrap();
    let refused = api.apply(service, None).unwrap_err();
    assert!(refused.code() == Some(422) && refused.to_string().contains("already allocated"), "{refused}");
    assert!(api.get(&of_another).unwrap().is_some(), "it is no address of this Service's");
    api.delete(&of_another).unwrap();
    api.apply(&taken_by("kube-dns"), None).unwrap();
    api.apply(service, None).unwrap();
    assert_eq!(api.get(&taken_by("kube-dns")).unwrap().unwrap()["spec"]["parentRef"]["name"], "kube-dns");
}
