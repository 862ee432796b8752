//! The program itself on a real folder: exit codes, real kills, real errors of the kernel, a reader that polls as the kubelet does.
//!
//! Kills and errors are injected by strace, which `hack/prerequisites` installs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::case_sensitive_file_extension_comparisons)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::SMALL;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_planekeeper");

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self { folder: TempDir::new().unwrap() };
        fs::write(place.config(), config).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(words).arg("--config").arg(self.config());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn reconcile(&self) -> Output {
        self.command(&["reconcile"]).arg("--root").arg(self.root()).output().unwrap()
    }

    /// Runs `reconcile` on one processor under strace, so that system calls come in their order.
    fn traced(&self, call: &str, inject: &str) -> Output {
        let mut command = Command::new("taskset");
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{inject}"));
        command.args(["-c", "0", "strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, BINARY]);
        command.arg("reconcile").arg("--config").arg(self.config()).arg("--root").arg(self.root());
        command.output().unwrap_or_else(|error| panic!("strace is needed for this test (hack/prerequisites): {error}"))
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Inode, size, mode and times of a file or folder, in nanoseconds.
type State = (u64, u64, u32, i128, i128);

/// The state of every file and folder.
fn state(root: &Path) -> BTreeMap<PathBuf, State> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            let modified = nanoseconds(meta.mtime(), meta.mtime_nsec());
            let changed = nanoseconds(meta.ctime(), meta.ctime_nsec());
            found.insert(path, (meta.ino(), meta.size(), meta.mode(), modified, changed));
        }
    }
    found
}

#[test]
fn a_second_run_says_that_nothing_changed_and_touches_no_file() {
    let place = Place::new(SMALL);
    let first = place.reconcile();
    assert_eq!(code(&first), 0, "{}", said(&first));
    let before = state(&place.root());
    let second = place.reconcile();
    assert_eq!(code(&second), 0, "{}", said(&second));
    assert!(said(&second).contains("No changes. cp1 matches"), "{}", said(&second));
    assert_eq!(state(&place.root()), before);
}

#[test]
fn keys_and_kubeconfigs_are_readable_by_their_owner_only_whatever_the_umask() {
    let place = Place::new(SMALL);
    let script = format!(
        "umask 000; exec {BINARY} reconcile --config {} --root {}",
        place.config().display(),
        place.root().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    let mut secrets = 0;
    for path in state(&place.root()).into_keys() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let is_secret = name.ends_with(".key")
            || name.ends_with(".conf")
            || name.starts_with("Secret.")
            || name == "last-good.json";
        if is_secret {
            secrets += 1;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        assert_eq!(mode & 0o022, 0, "{} can be written by others", path.display());
    }
    assert!(secrets >= 17, "only {secrets} secrets were found");
}

#[test]
fn an_invalid_configuration_exits_with_78_and_touches_nothing() {
    let place = Place::new(&SMALL.replace("podSubnet: 10.244.0.0/16", "podSubnet: 10.244.0.0/36\n  colour: red"));
    let output = place.reconcile();
    assert_eq!(code(&output), 78, "{}", said(&output));
    assert!(
        said(&output).contains("networking.podSubnet") && said(&output).contains("networking.colour"),
        "{}",
        said(&output)
    );
    assert!(!place.root().exists());
    for words in [&["config", "validate"][..], &["config", "print"], &["images", "list"]] {
        assert_eq!(code(&place.run(words)), 78);
    }
}

#[test]
fn a_wrong_call_exits_with_64_and_help_with_0() {
    let run = |words: &[&str]| code(&Command::new(BINARY).args(words).output().unwrap());
    assert_eq!(run(&[]), 64);
    assert_eq!(run(&["reconcile", "--root", "x", "--wait"]), 64);
    assert_eq!(run(&["reconcile", "--rot", "x"]), 64);
    assert_eq!(run(&["plan", "--root", "/", "--config", "/dev/null"]), 64);
    assert_eq!(run(&["--help"]), 0);
    assert_eq!(run(&["--version"]), 0);
    assert_eq!(run(&["completion", "bash"]), 0);
}

#[test]
fn an_empty_variable_is_as_one_that_is_not_set() {
    let validate = |variable: Option<&str>| {
        let mut command = Command::new(BINARY);
        command.args(["config", "validate"]).env_clear().envs(variable.map(|path| ("PLANEKEEPER_CONFIG", path)));
        let output = command.output().unwrap();
        (code(&output), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    assert_eq!(validate(Some("")), validate(None));
    assert!(validate(Some("/no/such/file")).1.contains("/no/such/file"));
}

#[test]
fn a_sandbox_that_is_no_folder_of_its_own_is_a_wrong_call_and_named() {
    let place = Place::new("");
    fs::write(place.root(), "").unwrap();
    for (root, why) in [(place.root(), "is not a folder"), (PathBuf::from("/"), "is the root of this system")] {
        for what in ["plan", "reconcile"] {
            let output = place.command(&[what]).arg("--root").arg(&root).output().unwrap();
            assert!(code(&output) == 64 && said(&output).contains(why), "{what}: {}", said(&output));
        }
    }
}

#[test]
fn plan_writes_nothing_and_tells_changes_by_2_only_when_asked() {
    let place = Place::new(SMALL);
    let root = place.root();
    let plan = |words: &[&str]| place.command(&["plan"]).arg("--root").arg(&root).args(words).output().unwrap();
    assert_eq!(code(&plan(&[])), 0);
    assert_eq!(code(&plan(&["--detailed-exitcode"])), 2);
    assert!(!root.exists(), "a plan makes nothing");
    assert_eq!(code(&place.reconcile()), 0);
    let before = state(&root);
    assert_eq!(code(&plan(&["--detailed-exitcode"])), 0);
    fs::remove_file(root.join("etc/kubernetes/admin.conf")).unwrap();
    let changed = state(&root);
    let output = plan(&["--detailed-exitcode"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("kubeconfig:admin.conf"), "{}", said(&output));
    assert_eq!(state(&root), changed);
    assert!(before.len() == changed.len() + 1);
}

#[test]
fn a_second_planekeeper_on_the_same_host_exits_with_75() {
    let place = Place::new(SMALL);
    assert_eq!(code(&place.reconcile()), 0);
    let lock = fs::File::open(place.root().join("var/lib/planekeeper/lock")).unwrap();
    lock.lock().unwrap();
    let output = place.reconcile();
    assert_eq!(code(&output), 75, "{}", said(&output));
    lock.unlock().unwrap();
    assert_eq!(code(&place.reconcile()), 0);
}

#[test]
fn no_secret_is_in_anything_that_is_printed() {
    let place = Place::new(SMALL);
    let root = place.root();
    let mut outputs = vec![place.reconcile(), place.run(&["config", "validate"])];
    fs::remove_file(root.join("cluster/kube-system/Secret.bootstrap-token-abcdef.yaml")).unwrap();
    fs::write(root.join("etc/kubernetes/scheduler.conf"), "{}").unwrap();
    for words in [
        &["plan"][..],
        &["plan", "-o", "json"],
        &["certs", "list"],
        &["certs", "list", "-o", "json"],
        &["reconcile", "-o", "json"],
    ] {
        outputs.push(place.command(words).arg("--root").arg(&root).output().unwrap());
    }
    let mut secrets =
        vec!["0123456789abcdef".to_owned(), "MDEyMzQ1Njc4OWFiY2RlZg".to_owned(), "PRIVATE KEY".to_owned()];
    for path in state(&root).into_keys().filter(|path| path.extension().is_some_and(|ending| ending == "key")) {
        secrets
            .extend(fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    }
    for output in &outputs {
        let text = said(output);
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret was printed: {text}");
    }
}

#[test]
fn no_link_leads_out_of_the_sandbox() {
    let place = Place::new(SMALL);
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(place.root().join("etc")).unwrap();
    std::os::unix::fs::symlink(&outside, place.root().join("etc/kubernetes")).unwrap();
    let output = place.reconcile();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{}", said(&output));
}

#[test]
fn a_reader_that_polls_the_manifests_never_sees_half_of_one_or_two_of_one_pod() {
    let place = Place::new(SMALL);
    assert_eq!(code(&place.reconcile()), 0);
    let manifests = place.root().join("etc/kubernetes/manifests");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut polls = 0;
            while !done.load(Ordering::Relaxed) {
                poll(&manifests);
                polls += 1;
            }
            polls
        });
        for round in 0..20 {
            let flag = format!(
                "\nscheduler:\n  extraArgs:\n  - {{name: v, value: \"{round}\"}}\napiServer:\n  extraArgs:\n  - {{name: v, value: \"{round}\"}}\n"
            );
            fs::write(place.config(), format!("{SMALL}{flag}")).unwrap();
            let output = place.reconcile();
            assert_eq!(code(&output), 0, "{}", said(&output));
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 100, "the reader hardly polled");
    });
}

/// Reads the manifests as the kubelet does: every name that does not begin with a dot.
fn poll(manifests: &Path) {
    let mut pods = Vec::new();
    for entry in fs::read_dir(manifests).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let pod = planekeeper::yaml::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(pod["spec"]["volumes"].is_array(), "{} is half of a manifest", path.display());
        pods.push(pod["metadata"]["name"].as_str().unwrap().to_owned());
    }
    // A name may be seen while it is replaced, never two Pods of one name.
    let all = pods.len();
    pods.sort();
    pods.dedup();
    assert_eq!(pods.len(), all);
}

/// The effects of planekeeper on the file system, as the kernel names them.
const EFFECTS: [&str; 7] = ["openat2", "write", "fchmod", "fsync", "renameat", "mkdirat", "unlinkat"];

/// Kills or fails the program at every n-th call of one kind, from a bare folder each time, until a run ends by itself.
fn at_every_call(call: &str, what: &str, step: usize, check: impl Fn(&Place, &Output, usize)) -> usize {
    let mut number = 1;
    loop {
        let place = Place::new(SMALL);
        let output = place.traced(call, &format!("{what}:when={number}"));
        if code(&output) == 0 {
            return number;
        }
        check(&place, &output, number);
        number += step;
        assert!(number < 10_000, "{call} does not end");
    }
}

#[test]
fn killed_at_any_effect_on_a_real_folder_the_next_run_converges_and_keeps_the_keys() {
    const STEP: usize = 3;
    let mut kills = 0;
    for call in EFFECTS {
        // A prime step and every kind of call: some hundred kills, spread over the whole run.
        kills += at_every_call(call, "signal=KILL", STEP, |place, _, number| {
            let keys = ["ca.key", "etcd/ca.key", "front-proxy-ca.key", "sa.key"]
                .map(|key| format!("etc/kubernetes/pki/{key}"));
            let before: Vec<_> = keys.iter().map(|key| fs::read(place.root().join(key)).ok()).collect();
            let output = place.reconcile();
            assert_eq!(code(&output), 0, "after a kill at {call} {number}: {}", said(&output));
            for (key, before) in keys.iter().zip(before) {
                assert!(
                    before.is_none_or(|before| before == place.read(key)),
                    "{key} was replaced after a kill at {call} {number}"
                );
            }
        }) / STEP;
    }
    assert!(kills > 60, "only {kills} kills");
}

#[test]
fn an_error_of_the_kernel_at_any_effect_is_named_and_the_next_run_converges() {
    for (call, error, text) in [
        ("write", "ENOSPC", "No space left"),
        ("fsync", "EIO", "Input/output"),
        ("renameat", "EROFS", "Read-only"),
        ("mkdirat", "EACCES", "Permission denied"),
    ] {
        at_every_call(call, &format!("error={error}"), 11, |place, output, number| {
            assert!(said(output).contains(text), "{call} {number} failed with {error}: {}", said(output));
            let again = place.reconcile();
            assert_eq!(code(&again), 0, "after {error} at {call} {number}: {}", said(&again));
        });
    }
}

#[test]
fn a_reset_without_a_terminal_and_without_force_is_refused_before_anything_else() {
    let place = Place::new("not: [valid");
    let output = place.command(&["reset"]).stdin(Stdio::null()).output().unwrap();
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert_eq!(output.status.code(), Some(if root { 64 } else { 77 }), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(if root { "--force" } else { "root" }), "{said}");
}
