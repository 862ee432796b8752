//! What the program prints, word for word: people read it, and programs read the summary line and the JSON.
//!
//! Each test is a session at a prompt, kept in `tests/cli/`. `UPDATE_CLI=1 cargo test --test cli` writes what is printed now, and fails
//! all the same: read the difference before you keep it. Times, hashes and what else differs from run to run are masked.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{SMALL, with_settings};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a `cluster.yaml` and a host, and what was said there.
struct Session {
    folder: TempDir,
    said: String,
    rewritten: Cell<bool>,
}

impl Session {
    fn new(config: &str) -> Self {
        let session = Self { folder: TempDir::new().unwrap(), said: String::new(), rewritten: Cell::default() };
        session.write("cluster.yaml", config);
        session
    }

    /// With a host that is as the configuration wants it.
    fn converged(config: &str) -> Self {
        let session = Self::new(config);
        session.output("reconcile --root host");
        session
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.folder.path().join(path)).unwrap();
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let path = self.folder.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn output(&self, line: &str) -> (String, String, i32) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_planekeeper"));
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        let output = command.env_clear().env("PLANEKEEPER_CONFIG", "cluster.yaml").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }

    /// Runs a command, and keeps what it says as somebody at the prompt would see it. Steps that run side by side are told in the
    /// order in which they end, so what is told on the way is sorted.
    fn run(&mut self, line: &str) -> &mut Self {
        let (out, progress, code) = self.output(line);
        let mut progress: Vec<&str> = progress.lines().collect();
        if line.starts_with("reconcile") {
            progress.sort_unstable();
        }
        let progress = progress.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
        let code = if code == 0 { String::new() } else { format!("[exit {code}]\n") };
        let _ = write!(self.said, "$ planekeeper {line}\n{progress}{out}{code}\n");
        self
    }

    fn matches(&self, name: &str) {
        self.compare(name, &masked(&self.said));
    }

    /// Compares the JSON that a command prints.
    fn json(&self, line: &str, name: &str) {
        let (out, ..) = self.output(line);
        let mut value: Value = serde_json::from_str(&out).unwrap();
        mask_numbers(&mut value);
        self.compare(name, &masked(&format!("{value:#}\n")));
    }

    fn compare(&self, name: &str, said: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if said == expected {
            return;
        }
        assert!(std::env::var_os("UPDATE_CLI").is_some(), "what is printed is not {}:\n{said}", path.display());
        fs::write(&path, said).unwrap();
        self.rewritten.set(true);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        assert!(!self.rewritten.get() || std::thread::panicking(), "the expected output was rewritten: read it");
    }
}

/// Seconds until something ends.
fn mask_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| match key.as_str() {
            "residualTime" => *value = "(seconds)".into(),
            _ => mask_numbers(value),
        }),
        Value::Array(list) => list.iter_mut().for_each(mask_numbers),
        _ => {}
    }
}

/// Shapes of what differs from run to run, `0` for any digit, `x` for any hexadecimal one, `M` for a letter, and what is shown.
const MASKS: [(&str, &str); 5] = [
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "(hash)"),
    ("0000-00-00T00:00:00Z", "YYYY-MM-DDThh:mm:ssZ"),
    ("0000-00-00", "YYYY-MM-DD"),
    ("MMM 00, 0000", "Mon DD, YYYY"),
    (" 00:00 UTC", " hh:mm UTC"),
];

fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    'text: while let Some(first) = rest.chars().next() {
        for (shape, shown) in MASKS {
            if rest.len() >= shape.len() && has_shape(&rest.as_bytes()[..shape.len()], shape.as_bytes()) {
                out.push_str(shown);
                rest = &rest[shape.len()..];
                continue 'text;
            }
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}

fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.iter().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        b'M' => byte.is_ascii_alphabetic(),
        _ => byte == shape,
    })
}

const SCHEDULER: &str = "host/etc/kubernetes/manifests/kube-scheduler.yaml";

/// Everything that may happen to a host behind planekeeper's back.
fn drift(session: &Session) {
    session.replace(SCHEDULER, "    - --leader-elect=true\n", "    - --leader-elect=false\n    - --v=9\n");
    session.remove("host/etc/kubernetes/scheduler.conf");
    session.remove("host/etc/kubernetes/manifests/etcd.yaml");
    session.set_mode("host/etc/kubernetes/admin.conf", 0o644);
    session.replace("host/cluster/kube-system/ConfigMap.coredns.yaml", "cache 30", "cache 300");
}

#[test]
fn help_is_a_manual() {
    let mut session = Session::new("");
    session
        .run("--help")
        .run("plan --help")
        .run("reconcile --help")
        .run("watch --help")
        .run("status --help")
        .run("pause --help")
        .matches("help.txt");
}

#[test]
fn what_needs_a_cluster_that_runs_is_refused_in_a_sandbox() {
    let mut session = Session::new(SMALL);
    session.run("reconcile --root host --upload-certs").run("reconcile --root host --wait").matches("sandbox.txt");
    assert!(!session.folder.path().join("host").exists(), "nothing is written");
}

#[test]
fn the_plan_for_a_bare_host_lists_what_will_be_made() {
    let mut session = Session::new(SMALL);
    session.run("plan --root host").run("plan --root host --detailed-exitcode").matches("bare.txt");
    assert!(!session.folder.path().join("host").exists(), "a plan writes nothing");
    session.json("plan --root host -o json", "bare.json");
}

#[test]
fn a_run_says_what_it_made_and_the_next_that_there_was_nothing_to_do() {
    let mut session = Session::new(SMALL);
    session.run("reconcile --root host").run("reconcile --root host").run("plan --root host --detailed-exitcode");
    session.matches("reconcile.txt");
    session.json("plan --root host -o json", "nothing.json");
    session.json("reconcile --root host -o json", "reconcile-nothing.json");
}

#[test]
fn drift_is_shown_field_by_field_and_repaired() {
    let mut session = Session::converged(SMALL);
    drift(&session);
    session.json("plan --root host -o json", "drift.json");
    session.run("plan --root host").run("reconcile --root host").run("plan --root host").matches("drift.txt");
    drift(&session);
    session.json("reconcile --root host -o json", "reconcile-drift.json");
}

#[test]
fn drift_that_is_only_to_be_reported_is_shown_and_left() {
    let mut session = Session::converged(&with_settings("drift:\n  policy: Report\n"));
    drift(&session);
    session.run("plan --root host").run("reconcile --root host").matches("report.txt");
    session.json("plan --root host -o json", "report.json");
}

#[test]
fn drift_that_is_to_be_left_is_counted_as_such_and_not_as_what_matches() {
    let leave = "drift:\n  rules:\n  - {resources: 'file:/etc/kubernetes/*', policy: Leave}\n  - {resources: 'object:Deployment/kube-system/coredsn', policy: Leave}\n";
    let mut session = Session::converged(&with_settings(leave));
    session.write("host/etc/kubernetes/manifests/kube-scheduler.yaml", "kind: Pod\n");
    session.run("plan --root host --detailed-exitcode").run("reconcile --root host").matches("left.txt");
}

const CHANGED: &str = "\
apiServer:
  certSANs: [api.example.com]
  extraArgs:
  - name: v
    value: \"4\"
  - name: authorization-mode
    value: RBAC
  extraVolumes:
  - name: audit
    hostPath: /var/log/audit
    mountPath: /var/log/audit
";

#[test]
fn a_change_of_the_configuration_is_shown_with_its_line() {
    let mut session = Session::converged(SMALL);
    session.write("cluster.yaml", &format!("{SMALL}{CHANGED}"));
    session.json("plan --root host -o json", "changed.json");
    session.run("plan --root host").run("reconcile --root host");
    session.write("cluster.yaml", SMALL);
    session.run("plan --root host").matches("changed.txt");
}

#[test]
fn a_change_and_drift_of_one_file_are_told_apart() {
    let mut session = Session::converged(SMALL);
    session.write("cluster.yaml", &format!("{SMALL}scheduler:\n  extraArgs:\n  - name: v\n    value: \"2\"\n"));
    session.replace(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    session.run("plan --root host").matches("change-and-drift.txt");
}

#[test]
fn what_lies_in_the_place_of_a_file_is_replaced_or_left_as_it_may_be() {
    let mut session = Session::converged(SMALL);
    session.write(SCHEDULER, "by accident\n");
    session.remove("host/etc/kubernetes/manifests/etcd.yaml");
    fs::create_dir_all(session.folder.path().join("host/etc/kubernetes/manifests/etcd.yaml/precious")).unwrap();
    session.run("plan --root host").matches("in-the-way.txt");
}

#[test]
fn a_long_value_is_cut_for_people_and_whole_for_programs() {
    let mut session = Session::converged(SMALL);
    let sans = (0..40).fold(String::new(), |text, n| format!("{text}\n  - host-{n:02}.example.com"));
    session.write("cluster.yaml", &format!("{SMALL}apiServer:\n  certSANs:{sans}\n"));
    session.run("plan --root host").matches("long.txt");
    let (json, ..) = session.output("plan --root host -o json");
    assert!(json.contains("  - host-39.example.com"), "{json}");
}

#[test]
fn another_version_is_a_cause_of_its_own() {
    let mut session = Session::converged(&SMALL.replace("v1.37.2", "v1.37.1"));
    session.write("cluster.yaml", SMALL);
    session.run("plan --root host").matches("version.txt");
    session.json("plan --root host -o json", "version.json");
}

#[test]
fn what_would_destroy_the_cluster_is_refused_with_a_way_out() {
    let mut session = Session::converged(SMALL);
    session.write("cluster.yaml", &format!("{SMALL}  serviceSubnet: 10.99.0.0/16\n"));
    session.run("plan --root host").run("reconcile --root host").matches("refused.txt");
    session.json("plan --root host -o json", "refused.json");
}

#[test]
fn what_cannot_be_done_is_held_with_the_reason_and_the_rest_is_done() {
    let mut session = Session::converged(SMALL);
    session.remove("host/etc/kubernetes/pki/ca.key");
    session.remove("host/etc/kubernetes/pki/apiserver.crt");
    session.remove("host/etc/kubernetes/pki/sa.key");
    session.replace(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    session.run("plan --root host").run("reconcile --root host").matches("held.txt");
    session.json("reconcile --root host -o json", "held.json");
}

#[test]
fn a_host_that_kubeadm_made_is_adopted() {
    let mut session = Session::converged(SMALL);
    session.remove("host/var/lib/planekeeper/last-good.json");
    session.replace(SCHEDULER, "--leader-elect=true", "--leader-elect=false");
    session.run("plan --root host").matches("adoption.txt");
}

#[test]
fn certificates_are_renewed_for_their_age() {
    let mut session = Session::converged(&SMALL.replace("networking:", "certificateValidityPeriod: 1h\nnetworking:"));
    session.write("cluster.yaml", &with_settings("certificates:\n  renewBefore: 2h\n"));
    session.run("plan --root host").matches("age.txt");
}

const BAD: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.12.0
apiServer:
  extraArg:
  - name: v
networking:
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.244.0.0/33
";

#[test]
fn every_problem_of_a_configuration_is_said_at_once_with_its_line() {
    let mut session = Session::new(BAD);
    session.run("config validate").run("plan --root host").run("reconcile --root host");
    session.write("cluster.yaml", SMALL);
    session.run("config validate").run("config validate --config nowhere.yaml");
    session.write("cluster.yaml", include_str!("config/old.yaml"));
    session.run("config validate");
    std::fs::write(session.folder.path().join("cluster.yaml"), [SMALL.as_bytes(), b"# caf\xe9\n"].concat()).unwrap();
    session.run("config validate").matches("validate.txt");
    session.write("cluster.yaml", include_str!("config/old.yaml"));
    session.json("config validate -o json", "validate-warning.json");
    session.write("cluster.yaml", BAD);
    session.json("config validate -o json", "validate.json");
}

/// What is wrong with a host itself cannot be made here; see `src/preflight/tests.rs`, and the tests on real hosts.
#[test]
fn a_release_that_is_not_known_is_found_by_the_preflight_check_of_that_name() {
    let mut session = Session::new(&SMALL.replace("v1.37.2", "v1.38.0"));
    session.run("preflight").matches("preflight-release.txt");
    session.json("preflight -o json", "preflight-release.json");
    session.write("cluster.yaml", BAD);
    let (.., code) = session.output("preflight");
    assert_eq!(code, 78, "whatever else is wrong is a matter of the configuration");
}

#[test]
fn the_whole_configuration_can_be_printed_without_its_secrets() {
    let mut session = Session::new(SMALL);
    session.run("config print").matches("print.txt");
    session.json("config print -o json", "print.json");
}

#[test]
fn an_old_configuration_is_migrated() {
    let mut session = Session::new(include_str!("config/old.yaml"));
    session.run("config migrate").matches("migrate.txt");
}

#[test]
fn images_are_listed_as_kubeadm_lists_them() {
    let mut session = Session::new(SMALL);
    session.run("images list").matches("images.txt");
    session.json("images list -o json", "images.json");
}

#[test]
fn images_of_a_container_runtime_that_is_not_there_are_not_called_missing() {
    let socket = "name: cp1\n  criSocket: unix:///none/containerd.sock";
    let mut session = Session::new(&SMALL.replace("name: cp1", socket));
    session.run("images check").run("images pull").run("images pull --help").matches("images-pull.txt");
    session.json("images check -o json", "images-failure.json");
}

#[test]
fn certificates_are_listed_with_their_ends() {
    let mut session = Session::new(SMALL);
    session.run("certs list --root host");
    session.output("reconcile --root host");
    // What is left of a year is 364 days, but for the first second.
    std::thread::sleep(Duration::from_millis(1100));
    session.run("certs list --root host").matches("certs.txt");
    session.json("certs list --root host -o json", "certs.json");
}

#[test]
fn the_join_commands_are_printed() {
    let mut session = Session::new(SMALL);
    session.run("join-command --root host");
    session.output("reconcile --root host");
    session.run("join-command --root host");
    session.replace(
        "cluster.yaml",
        "kubernetesVersion",
        "controlPlaneEndpoint: api.example.com:6443\nkubernetesVersion",
    );
    session.run("join-command --root host");
    session.run(&format!("join-command --root host --certificate-key {}", "0f".repeat(32)));
    session.run("join-command --root host --certificate-key 0f").matches("join.txt");
    session.json("join-command --root host -o json", "join.json");
}

#[test]
fn no_output_holds_a_key_or_a_token() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let joins = path.file_stem().is_some_and(|stem| stem == "join");
        assert!(joins || !text.contains("0123456789abcdef"), "{} shows a token", path.display());
        assert!(!text.contains("PRIVATE KEY") && !text.contains("LS0tLS1"), "{} shows a key", path.display());
    }
}
