//! Faults that a real API server cannot be made to show: a server of a few lines answers what a test has written for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::host::ApplyError;
use crate::host::connections::Connections;

/// What the server does with one request.
enum Reply {
    /// A status, a line of a header or none, and a body.
    Answer(u16, &'static str, Value),
    /// It closes the connection.
    Torn,
    /// It never answers.
    Hang,
}

/// What the server was asked: the request line, who asked, and the body.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    token: String,
    body: Value,
}

struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        thread::spawn(move || {
            let mut hanging = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                record.lock().unwrap().push(read(&stream));
                match reply {
                    Reply::Answer(status, header, body) => {
                        let body = body.to_string();
                        let length = body.len();
                        let head = format!(
                            "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n{header}\r\n"
                        );
                        stream.write_all((head + &body).as_bytes()).unwrap();
                    }
                    Reply::Torn => drop(stream),
                    Reply::Hang => hanging.push(stream),
                }
            }
            // Nothing more is answered, and what hangs goes on hanging.
            loop {
                hanging.push(listener.accept().unwrap().0);
            }
        });
        Self { address, asked }
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }

    fn asked(&self, index: usize) -> Asked {
        self.asked.lock().unwrap()[index].clone()
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut asked = Asked { line: String::new(), token: String::new(), body: Value::Null };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim();
        match line.to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("authorization", value)) => value.clone_into(&mut asked.token),
            _ if line.is_empty() => break,
            _ if asked.line.is_empty() => line.clone_into(&mut asked.line),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    asked
}

fn kubeconfig(token: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}],
        clusters: [{{name: k, cluster: {{server: 'https://192.0.2.1:1'}}}}], users: [{{name: u, user: {{token: {token}}}}}]}}"
    )
}

/// A client, and the runtime that it lives in.
fn client(server: &Server, timeout: Duration) -> (Connections, Api) {
    let runtime = Connections::new().unwrap();
    let (kubeconfig, fallback) = (kubeconfig("admin"), kubeconfig("super"));
    let access = Access { kubeconfig: &kubeconfig, fallback: Some(&fallback), server: Some(&server.address), timeout };
    let api = Api::new(&access, runtime.handle().clone()).unwrap();
    (runtime, api)
}

const LONG: Duration = Duration::from_secs(60);

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "x"}, "data": {"a": "b"}})
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "kube-system", "name": "x"}})
}

fn status(reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "reason": reason, "message": message, "details": {"causes": [{"field": "data[a]"}]}})
}

fn answer(code: u16, body: Value) -> Reply {
    Reply::Answer(code, "", body)
}

const APPLIED: &str = "PATCH /api/v1/namespaces/kube-system/configmaps/x?fieldManager=planekeeper&force=true HTTP/1.1";

#[test]
fn an_object_is_applied_in_spite_of_faults_that_pass() {
    let server = Server::new(vec![
        answer(409, status("Conflict", "")),
        answer(404, status("NotFound", "namespaces \"kube-system\" not found")),
        Reply::Torn,
        answer(500, status("InternalError", "")),
        Reply::Answer(429, "retry-after: 0\r\n", Value::Null),
        answer(200, config_map()),
    ]);
    let (_runtime, api) = client(&server, LONG);
    api.apply(&config_map(), None).unwrap();
    assert_eq!(server.lines(), [APPLIED; 6]);
    assert_eq!(server.asked(5).body, config_map());
}

#[test]
fn a_server_that_asks_for_more_time_than_there_is_is_not_asked_again() {
    let server = Server::new(vec![Reply::Answer(429, "retry-after: 3600\r\n", Value::Null)]);
    let (_runtime, api) = client(&server, LONG);
    let error = api.apply(&config_map(), None).unwrap_err();
    assert_eq!((error.code(), error.retry(), server.lines().len()), (Some(429), Retry::BackOff, 1));
}

#[test]
fn a_server_that_hangs_holds_nobody_longer_than_the_deadline() {
    let server = Server::new(vec![Reply::Hang]);
    let (_runtime, api) = client(&server, Duration::from_millis(200));
    let error = api.apply(&config_map(), None).unwrap_err();
    assert_eq!(error.to_string(), "cannot apply ConfigMap kube-system/x: no answer in time");
    assert_eq!(error.retry(), Retry::BackOff);
}

#[test]
fn a_server_that_is_not_there_is_reported_at_once() {
    let server = Server { address: "http://127.0.0.1:1".to_owned(), asked: Arc::default() };
    let (_runtime, api) = client(&server, LONG);
    let error = api.apply(&config_map(), None).unwrap_err();
    assert_eq!(error.to_string(), "cannot apply ConfigMap kube-system/x: connection refused");
    assert_eq!(error.retry(), Retry::Soon);
}

#[test]
fn a_server_that_is_about_to_end_is_asked_once_and_is_as_good_as_gone() {
    for wanted in [config_map(), secret()] {
        let server = Server::new(vec![answer(503, status("ServiceUnavailable", "apiserver is shutting down"))]);
        let (_runtime, api) = client(&server, LONG);
        let error = api.apply(&wanted, None).unwrap_err();
        assert_eq!((error.is_gone(), error.retry(), server.lines().len()), (true, Retry::Soon, 1), "{error}");
        assert!(ApplyError::new("apply", "it", error).is_overtaken(), "the next look finds out what there is to do");
    }
}

#[test]
fn what_will_not_pass_is_asked_once() {
    for (code, retry) in [(401, Retry::OnChange), (422, Retry::OnChange), (400, Retry::OnChange), (405, Retry::Never)] {
        let server = Server::new(vec![answer(code, status("Because", "words"))]);
        let (_runtime, api) = client(&server, LONG);
        let error = api.apply(&config_map(), None).unwrap_err();
        assert!(error.to_string().ends_with(&format!("the server answered {code} Because: words")), "{error}");
        assert_eq!((error.retry(), server.lines().len()), (retry, 1), "{code}");
    }
}

#[test]
fn only_a_call_that_is_forbidden_is_made_with_the_other_credential() {
    let replies = [403, 200, 200].map(|code| answer(code, config_map()));
    let server = Server::new(replies.into());
    let (_runtime, api) = client(&server, LONG);
    assert!(api.get(&config_map()).unwrap().is_some());
    assert!(api.get(&config_map()).unwrap().is_some());
    let tokens = [0, 1, 2].map(|index| server.asked(index).token);
    assert_eq!(tokens, ["bearer admin", "bearer super", "bearer admin"]);
}

#[test]
fn nothing_of_a_secret_is_in_an_error() {
    for body in [status("Invalid", "Invalid value: \"hunter2\""), json!("hunter2")] {
        let server = Server::new(vec![answer(422, body)]);
        let (_runtime, api) = client(&server, LONG);
        let error = api.apply(&secret(), None).unwrap_err();
        assert!(error.to_string().contains("apply Secret kube-system/x") && !format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn a_node_that_others_change_at_the_same_time_is_read_again() {
    let node = |version: &str, taints: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "cp1", "resourceVersion": version},
            "spec": {"taints": taints},
        })
    };
    let ours = json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"});
    let theirs = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let server = Server::new(vec![
        answer(409, status("Conflict", "")),
        answer(200, node("2", json!([theirs]))),
        answer(200, node("3", Value::Null)),
    ]);
    let (_runtime, api) = client(&server, LONG);
    let mut wanted = node("", json!([ours]));
    wanted["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    api.apply(&wanted, Some(&node("1", Value::Null))).unwrap();
    let taints = |index, version: &str, taints: Value| {
        assert_eq!(
            server.asked(index).body,
            json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}})
        );
    };
    taints(0, "1", json!([ours]));
    taints(2, "2", json!([ours, theirs]));
}

#[test]
fn a_node_is_never_made() {
    let server = Server::new(vec![answer(404, status("NotFound", ""))]);
    let (_runtime, api) = client(&server, LONG);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp1"}});
    let error = api.apply(&node, None).unwrap_err();
    assert_eq!((error.code(), error.retry()), (Some(404), Retry::BackOff));
    assert_eq!(server.lines(), ["GET /api/v1/nodes/cp1 HTTP/1.1"]);
}

#[test]
fn what_cannot_be_read_is_not_absent_and_answers_keep_their_order() {
    let server = Server::new(vec![answer(401, Value::Null)]);
    let (_runtime, api) = client(&server, LONG);
    let unknown = json!({"kind": "Gadget"});
    let found = api.look(&[&unknown, &config_map()], false).unwrap().objects;
    assert!(matches!(&found[0], Err(error) if error.retry() == Retry::Never), "{found:?}");
    assert!(matches!(&found[1], Err(error) if error.code() == Some(401)), "{found:?}");
}

#[test]
fn a_server_that_is_not_ready_is_asked_once_and_quoted() {
    let server = Server::new(vec![answer(500, json!("[-]etcd failed"))]);
    let (_runtime, api) = client(&server, LONG);
    let error = api.ready().unwrap_err();
    assert!(error.to_string().contains("[-]etcd failed"), "{error}");
    assert_eq!(server.lines(), ["GET /readyz HTTP/1.1"]);
}

#[test]
fn of_many_checks_those_that_failed_are_told_in_one_line() {
    let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]log failed\nreadyz check failed";
    assert_eq!(failed_checks(text), "failed checks: etcd, log");
    assert_eq!(failed_checks("[+]ping ok\n[-]etcd failed: no leader\n"), "failed checks: etcd failed: no leader");
    assert_eq!(failed_checks("what else\nit says"), "what else\nit says");
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_not_quoted() {
    let runtime = Connections::new().unwrap();
    for text in ["token: hunter2", "{hunter2", "current-context: hunter2\nusers: [hunter2]"] {
        let access = Access { kubeconfig: text, fallback: None, server: None, timeout: LONG };
        let error = Api::new(&access, runtime.handle().clone()).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
