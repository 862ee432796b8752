//! `planekeeper watch` on real folders: every kind of drift, every way that a configuration comes, and what must change nothing.
//!
//! Nothing here depends on how fast it is: what is to happen is waited for, with a bound that only a fault reaches.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::SMALL;
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_planekeeper");

/// What takes longer is a fault.
const BOUND: Duration = Duration::from_secs(120);

const ETCD: &str = "etc/kubernetes/manifests/etcd.yaml";
const SCHEDULER: &str = "etc/kubernetes/manifests/kube-scheduler.yaml";

/// A sandbox and its configuration, which a watch may keep.
struct Place {
    folder: TempDir,
    config: PathBuf,
    watch: Option<Child>,
}

impl Place {
    /// A sandbox whose configuration is one file.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("cluster.yaml");
        fs::write(&config, SMALL).unwrap();
        Self { folder, config, watch: None }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn host(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(words).arg("--config").arg(&self.config).arg("--root").arg(self.path("root"));
        command
    }

    /// Begins to watch, and waits for the end of its first pass, until when all that changes is of the configuration.
    fn watch(mut self) -> Self {
        self.start();
        let record = self.host("var/lib/planekeeper/last-good.json");
        self.until("a first pass", |place| record.exists() && place.is_quiet());
        self
    }

    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(&["watch", "--log-format", "json"]);
        self.watch = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// The host is as the configuration wants it.
    fn is_quiet(&self) -> bool {
        self.plan().status.code() == Some(0)
    }

    fn plan(&self) -> Output {
        self.command(&["plan", "--detailed-exitcode"]).output().unwrap()
    }

    /// What `status` says to programs.
    fn status(&self) -> Value {
        let said = self.command(&["status", "-o", "json"]).output().unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or_default()
    }

    /// The lines of the log about an event.
    fn events(&self, event: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == event).collect()
    }

    fn said(&self, event: &str, words: &str) -> bool {
        self.events(event).iter().any(|line| line["message"].as_str().unwrap().contains(words))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(start.elapsed() < BOUND, "{what} did not come; the log:\n{}", log());
            sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a file of the host is as it was.
    fn until_repaired(&self, path: &str, before: &[u8], mode: u32) {
        let path = self.host(path);
        self.until(&format!("{}", path.display()), |_| {
            fs::read(&path).is_ok_and(|bytes| bytes == before)
                && fs::symlink_metadata(&path)
                    .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o777 == mode)
        });
    }

    /// Does something to the manifest of etcd, and waits until it is as it was.
    fn drift(&self, change: impl FnOnce(&Path)) {
        let before = fs::read(self.host(ETCD)).unwrap();
        change(&self.host(ETCD));
        self.until_repaired(ETCD, &before, 0o600);
    }

    /// Waits until the manifest of the scheduler has a flag.
    fn until_scheduler_has(&self, flag: &str) {
        let path = self.host(SCHEDULER);
        self.until(flag, |_| fs::read_to_string(&path).is_ok_and(|text| text.contains(flag)));
    }

    fn scheduler_has(&self, flag: &str) -> bool {
        fs::read_to_string(self.host(SCHEDULER)).unwrap().contains(flag)
    }

    /// How often the loop has gone to sleep.
    fn wakes(&self) -> u64 {
        let process = self.watch.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{process}/task/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let process = self.watch.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    /// Sends a signal that ends it; how it ended.
    fn end(&mut self, name: &str) -> Option<i32> {
        self.signal(name);
        self.watch.take().unwrap().wait().unwrap().code()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            let _ = watch.kill();
            let _ = watch.wait();
        }
    }
}

/// The configuration with a flag of the scheduler.
fn flagged(value: &str) -> String {
    format!("{SMALL}scheduler:\n  extraArgs:\n  - name: v\n    value: \"{value}\"\n")
}

/// Puts a file in another's place, as most programs do.
fn rename_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

#[test]
fn every_kind_of_drift_of_a_file_is_repaired() {
    let place = Place::new().watch();
    place.drift(|path| fs::remove_file(path).unwrap());
    place.drift(|path| fs::write(path, "apiVersion: v1\n").unwrap());
    place.drift(|path| fs::write(path, "").unwrap());
    place.drift(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap());
    place.drift(|path| rename_over(path, "kind: Pod\n"));
    place.drift(|path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
    place.drift(|path| {
        let elsewhere = place.path("elsewhere");
        fs::write(&elsewhere, "kind: Pod\n").unwrap();
        fs::remove_file(path).unwrap();
        symlink(&elsewhere, path).unwrap();
    });
    assert!(place.is_quiet(), "{:?}", place.plan());
}

#[test]
fn certificates_kubeconfigs_and_objects_are_repaired_too() {
    let place = Place::new().watch();
    let object = "cluster/kube-system/ConfigMap.coredns.yaml";
    let text = fs::read(place.host(object)).unwrap();
    for path in ["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/admin.conf", object] {
        fs::remove_file(place.host(path)).unwrap();
        place.until(path, |place| place.host(path).exists());
    }
    place.until_repaired(object, &text, 0o644);
    place.until("all", Place::is_quiet);
}

#[test]
fn a_folder_that_is_removed_is_made_again_and_still_watched() {
    let place = Place::new().watch();
    let before = fs::read(place.host(ETCD)).unwrap();
    for (count, folder) in ["etc/kubernetes/manifests", "etc/kubernetes/manifests", "cluster", ""].iter().enumerate() {
        // Moved away whole: what is removed name by name is made again meanwhile. The last is all of it, as on a bare host.
        fs::rename(place.host(folder), place.path(&format!("gone-{count}"))).unwrap();
        place.until("all", Place::is_quiet);
    }
    assert_eq!(fs::read(place.host(ETCD)).unwrap(), before);
    place.drift(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_folder_that_is_a_link_to_another_disk_is_watched_where_it_leads() {
    let place = Place::new();
    for folder in ["root/data/manifests", "root/etc/kubernetes"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    symlink("/data/manifests", place.host("etc/kubernetes/manifests")).unwrap();
    let place = place.watch();
    let led_to = place.host("data/manifests/etcd.yaml");
    let before = fs::read(&led_to).unwrap();
    fs::remove_file(&led_to).unwrap();
    place.until("the repair", |_| fs::read(&led_to).is_ok_and(|bytes| bytes == before));
}

#[test]
fn a_burst_of_changes_is_repaired_with_fewer_writes_than_it_had() {
    let place = Place::new().watch();
    let manifests: Vec<PathBuf> =
        fs::read_dir(place.host("etc/kubernetes/manifests")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(manifests.len(), 4);
    for path in &manifests {
        for _ in 0..50 {
            fs::write(path, "half").unwrap();
        }
    }
    place.until("all", Place::is_quiet);
    // How many depends on how fast the writer is; without a bound there would be one for each write that is seen.
    let repairs = place.events("DriftRepaired").len();
    assert!(repairs < 100, "{repairs} repairs of 200 writes");
}

#[test]
fn reading_wakes_nobody() {
    let place = Place::new().watch();
    place.until("sleep", |place| {
        let before = place.wakes();
        sleep(Duration::from_millis(500));
        place.wakes() == before
    });
    let before = place.wakes();
    for _ in 0..100 {
        assert!(!fs::read(place.host(ETCD)).unwrap().is_empty());
        assert_eq!(fs::read_dir(place.host("etc/kubernetes/manifests")).unwrap().count(), 4);
    }
    sleep(Duration::from_millis(500));
    assert_eq!(place.wakes(), before);
    place.drift(|path| fs::remove_file(path).unwrap());
    assert_ne!(place.wakes(), before);
}

#[test]
fn a_file_that_is_edited_in_place_or_replaced_is_followed() {
    let place = Place::new().watch();
    fs::write(&place.config, flagged("3")).unwrap();
    place.until_scheduler_has("--v=3");
    rename_over(&place.config, &flagged("4"));
    place.until_scheduler_has("--v=4");
    rename_over(&place.config, &flagged("5"));
    place.until_scheduler_has("--v=5");
    fs::remove_file(&place.config).unwrap();
    fs::write(&place.config, flagged("6")).unwrap();
    place.until_scheduler_has("--v=6");
}

#[test]
fn a_configmaps_folder_whose_link_is_swapped_is_followed() {
    let mut place = Place::new();
    let folder = place.path("config");
    let publish = |revision: &str, text: &str| {
        let inside = folder.join(format!("..{revision}"));
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("cluster.yaml"), text).unwrap();
        symlink(format!("..{revision}"), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    publish("1", SMALL);
    symlink("..data/cluster.yaml", folder.join("cluster.yaml")).unwrap();
    place.config.clone_from(&folder);
    let place = place.watch();
    publish("2", &flagged("3"));
    fs::remove_dir_all(folder.join("..1")).unwrap();
    place.until_scheduler_has("--v=3");
    publish("3", &flagged("4"));
    fs::remove_dir_all(folder.join("..2")).unwrap();
    place.until_scheduler_has("--v=4");
}

#[test]
fn a_worktree_link_of_git_sync_is_followed() {
    let mut place = Place::new();
    let publish = |revision: &str, text: &str| {
        let tree = place.path(".worktrees").join(revision);
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("cluster.yaml"), text).unwrap();
        symlink(format!(".worktrees/{revision}"), place.path("tmp-link")).unwrap();
        fs::rename(place.path("tmp-link"), place.path("current")).unwrap();
    };
    publish("aaaa", SMALL);
    place.config = place.path("current").join("cluster.yaml");
    let place = place.watch();
    let publish = |revision: &str, before: &str, text: &str| {
        let tree = place.path(".worktrees").join(revision);
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("cluster.yaml"), text).unwrap();
        symlink(format!(".worktrees/{revision}"), place.path("tmp-link")).unwrap();
        fs::rename(place.path("tmp-link"), place.path("current")).unwrap();
        fs::remove_dir_all(place.path(".worktrees").join(before)).unwrap();
    };
    publish("bbbb", "aaaa", &flagged("3"));
    place.until_scheduler_has("--v=3");
    publish("cccc", "bbbb", &flagged("4"));
    place.until_scheduler_has("--v=4");
}

#[test]
fn a_checkout_of_git_is_followed() {
    let mut place = Place::new();
    let tree = place.path("tree");
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]);
        let output = command.args(words).current_dir(&tree).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    // Two documents in two files: a checkout that has written only one of them is a valid configuration, and not the one that is meant.
    let commit = |value: &str| {
        let text = flagged(value);
        let (init, cluster) = text.split_once("---\n").unwrap();
        fs::write(tree.join("a-init.yaml"), init).unwrap();
        fs::write(tree.join("b-cluster.yaml"), cluster).unwrap();
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", value]);
    };
    fs::create_dir(&tree).unwrap();
    git(&["init", "--quiet"]);
    commit("3");
    git(&["checkout", "--quiet", "-b", "next"]);
    commit("4");
    git(&["checkout", "--quiet", "main"]);
    place.config.clone_from(&tree);
    let place = place.watch();
    place.until_scheduler_has("--v=3");
    git(&["checkout", "--quiet", "next"]);
    place.until_scheduler_has("--v=4");
    git(&["checkout", "--quiet", "main"]);
    place.until_scheduler_has("--v=3");
    assert_eq!(place.events("ConfigurationTaken").len(), 3, "each version as a whole, and once");
}

/// A bad version is refused with some words, drift from the last good one is repaired meanwhile, and the next good one is taken.
fn is_refused(place: &Place, bad: impl FnOnce(&Path), words: &str, good: impl FnOnce(&Path)) {
    let taken = place.events("ConfigurationTaken").len();
    bad(&place.config);
    place.until(words, |place| place.said("ConfigurationRejected", words));
    place.drift(|path| fs::remove_file(path).unwrap());
    assert_eq!(place.events("ConfigurationTaken").len(), taken);
    assert!(!place.scheduler_has("--v="), "it was acted upon");
    good(&place.config);
    place.until_scheduler_has("--v=9");
    fs::write(&place.config, SMALL).unwrap();
    place.until("the first version", |place| !place.scheduler_has("--v="));
}

fn write(text: &str) -> impl FnOnce(&Path) + use<> {
    let text = text.to_owned();
    move |path| fs::write(path, text).unwrap()
}

#[test]
fn a_version_that_is_wrong_changes_nothing_and_the_last_good_one_stays_in_force() {
    let place = Place::new().watch();
    let good = || write(&flagged("9"));
    is_refused(&place, write(""), "the file has no document", good());
    is_refused(&place, write(&SMALL.replace("podSubnet", "podSubnets")), "cluster.yaml:15", good());
    is_refused(&place, write(&SMALL[..SMALL.len() - 3]), "the file is cut off here", good());
    is_refused(&place, |path| fs::remove_file(path).unwrap(), "No such file", good());
}

#[test]
fn a_version_that_would_destroy_the_cluster_is_refused_as_a_whole() {
    let place = Place::new().watch();
    let bad = flagged("3").replace("podSubnet:", "serviceSubnet: 10.100.0.0/16\n  podSubnet:");
    is_refused(&place, write(&bad), "serviceSubnet", write(&flagged("9")));
}

#[test]
fn a_folder_of_which_a_part_is_missing_is_waited_for() {
    let mut place = Place::new();
    let folder = place.path("config");
    let text = flagged("3");
    let (init, cluster) = text.split_once("---\n").unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), init).unwrap();
    fs::write(folder.join("b.yaml"), cluster).unwrap();
    place.config.clone_from(&folder);
    let place = place.watch();
    fs::remove_file(folder.join("b.yaml")).unwrap();
    // Longer than a whole version is waited for; what is looked for is that nothing happens.
    sleep(Duration::from_secs(1));
    place.drift(|path| fs::remove_file(path).unwrap());
    fs::write(folder.join("b.yaml"), cluster.replace("\"3\"", "\"4\"")).unwrap();
    place.until_scheduler_has("--v=4");
    assert_eq!(place.events("ConfigurationTaken").len(), 2, "{:?}", place.events("ConfigurationTaken"));
}

#[test]
fn what_is_taken_back_is_refused_no_longer() {
    let place = Place::new().watch();
    fs::write(&place.config, "").unwrap();
    place.until("a refusal", |place| !place.events("ConfigurationRejected").is_empty());
    fs::write(&place.config, SMALL).unwrap();
    place.until("that it is over", |place| !place.events("ConfigurationRestored").is_empty());
}

#[test]
fn a_watch_that_starts_with_a_bad_configuration_keeps_the_last_good_one() {
    let mut place = Place::new().watch();
    assert_eq!(place.end("-TERM"), Some(0));
    fs::write(&place.config, "nonsense: true\n").unwrap();
    fs::remove_file(place.host(ETCD)).unwrap();
    place.start();
    place.until("the refusal", |place| !place.events("ConfigurationRejected").is_empty());
    place.until("the repair", |place| place.host(ETCD).exists());
    place.drift(|path| fs::write(path, "x").unwrap());
    fs::write(&place.config, flagged("3")).unwrap();
    place.until_scheduler_has("--v=3");
}

#[test]
fn a_watch_that_starts_amid_a_change_goes_on_with_it_and_takes_nothing_back() {
    let mut place = Place::new().watch();
    let conf = place.host("etc/kubernetes/super-admin.conf");
    fs::remove_file(&conf).unwrap();
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("mine"), "").unwrap();
    fs::write(&place.config, flagged("3")).unwrap();
    place.until_scheduler_has("--v=3");
    assert_eq!(place.end("-TERM"), Some(0));
    let taken = place.events("ConfigurationTaken").len();
    place.start();
    place.until("both versions", |place| place.events("ConfigurationTaken").len() == taken + 2);
    fs::remove_dir_all(&conf).unwrap();
    place.until("all", Place::is_quiet);
    let repaired = place.events("DriftRepaired");
    assert!(!place.said("DriftRepaired", "kube-scheduler"), "it was taken back, and there again: {repaired:?}");
}

#[test]
fn a_watch_without_a_configuration_waits_for_one() {
    let mut place = Place::new();
    fs::remove_file(&place.config).unwrap();
    place.start();
    place.until("the refusal", |place| place.said("ConfigurationRejected", "cannot read the configuration"));
    fs::write(&place.config, SMALL).unwrap();
    place.until("the host", |place| place.host(ETCD).exists());
    place.until("all", Place::is_quiet);
}

#[test]
fn a_watch_that_was_killed_goes_on_where_it_was() {
    let mut place = Place::new().watch();
    place.end("-KILL");
    fs::remove_dir_all(place.host("etc/kubernetes/manifests")).unwrap();
    place.start();
    place.until("all", Place::is_quiet);
    place.drift(|path| fs::remove_file(path).unwrap());
}

#[test]
fn one_host_has_one_watch() {
    let place = Place::new().watch();
    let is_alone = || {
        let second = place.command(&["watch"]).output().unwrap();
        assert_eq!(second.status.code(), Some(75), "{second:?}");
        assert!(String::from_utf8_lossy(&second.stderr).contains("another planekeeper watches"), "{second:?}");
        place.drift(|path| fs::remove_file(path).unwrap());
    };
    is_alone();
    let lock = place.host("var/lib/planekeeper/watch.lock");
    fs::remove_file(&lock).unwrap();
    // The pass that is under way has begun before.
    place.until("the lock", |place| {
        place.drift(|path| fs::remove_file(path).unwrap());
        lock.exists()
    });
    is_alone();
}

#[test]
fn people_work_beside_a_watch() {
    let place = Place::new().watch();
    for _ in 0..5 {
        assert_eq!(place.plan().status.code(), Some(0));
        let run = place.command(&["reconcile"]).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{run:?}");
    }
    place.drift(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_run_of_a_person_is_waited_for() {
    let place = Place::new().watch();
    let lock = File::open(place.host("var/lib/planekeeper/lock")).unwrap();
    lock.lock().unwrap();
    fs::remove_file(place.host(ETCD)).unwrap();
    sleep(Duration::from_millis(500));
    assert!(!place.host(ETCD).exists(), "the host was changed under a lock of somebody else");
    drop(lock);
    place.until("the repair", |place| place.host(ETCD).exists());
}

#[test]
fn a_hangup_asks_for_a_look_at_everything() {
    let place = Place::new().watch();
    fs::write(&place.config, "").unwrap();
    place.until("a refusal", |place| !place.events("ConfigurationRejected").is_empty());
    let before = place.events("ConfigurationRejected").len();
    place.signal("-HUP");
    place.until("another refusal", |place| place.events("ConfigurationRejected").len() > before);
    place.drift(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_watch_that_is_told_to_end_ends_with_0_and_leaves_the_host_as_it_is() {
    for signal in ["-TERM", "-INT"] {
        let mut place = Place::new().watch();
        assert_eq!(place.end(signal), Some(0));
        assert_eq!(place.events("Stopped").len(), 1);
        assert!(place.is_quiet());
    }
}

#[test]
fn who_changes_a_file_back_each_time_is_named_and_slowed_down_and_nothing_else_is() {
    let place = Place::new().watch();
    let manifest = place.host(ETCD);
    place.until("a fight", |place| {
        if fs::read(&manifest).is_ok_and(|bytes| bytes != b"mine") {
            fs::write(&manifest, "mine").unwrap();
        }
        !place.events("Fight").is_empty()
    });
    assert!(place.said("Fight", "another writer"), "{:?}", place.events("Fight"));
    fs::write(&manifest, "mine").unwrap();
    // Another file is repaired at once, and the one that is fought about is left.
    let before = fs::read(place.host(SCHEDULER)).unwrap();
    fs::remove_file(place.host(SCHEDULER)).unwrap();
    place.until_repaired(SCHEDULER, &before, 0o600);
    assert_eq!(fs::read(&manifest).unwrap(), b"mine");
    // When the other writer gives up, so that nobody writes to it, it is put right in the end.
    place.until("the end of the fight", |_| fs::read(&manifest).unwrap() != b"mine");
}

#[test]
fn a_pause_changes_nothing_and_its_end_puts_right_what_drifted() {
    let place = Place::new().watch();
    let before = fs::read(place.host(ETCD)).unwrap();
    assert!(place.command(&["pause", "--reason", "disk"]).output().unwrap().status.success());
    place.until("the pause", |place| place.said("Paused", "disk"));
    fs::write(place.host(ETCD), "drift").unwrap();
    place
        .until("the drift in the status", |place| place.status()["status"].to_string().contains("manifests/etcd.yaml"));
    assert_eq!(fs::read(place.host(ETCD)).unwrap(), b"drift");
    place.until("the pause in the status", |place| place.status()["status"]["pause"]["reason"] == "disk");
    assert!(place.command(&["resume"]).output().unwrap().status.success());
    place.until_repaired(ETCD, &before, 0o600);
    place.until("no pause", |place| place.status()["status"]["pause"].is_null());
}

#[test]
fn a_pause_ends_by_itself() {
    let place = Place::new().watch();
    let before = fs::read(place.host(ETCD)).unwrap();
    assert!(place.command(&["pause", "--reason", "disk", "--for", "1s"]).output().unwrap().status.success());
    place.until("the pause", |place| place.said("Paused", "disk"));
    fs::write(place.host(ETCD), "drift").unwrap();
    place.until_repaired(ETCD, &before, 0o600);
    assert!(place.said("Resumed", "over"));
}

#[test]
fn the_status_of_a_watch_is_its_own_and_says_that_the_host_is_as_wanted() {
    let mut place = Place::new().watch();
    place.until("a status", |place| place.command(&["status"]).output().unwrap().status.code() == Some(0));
    let version = place.status()["status"]["configuration"]["hash"].clone();
    fs::write(&place.config, "kind: [").unwrap();
    place.until("a refusal", |place| !place.status()["status"]["rejected"].is_null());
    assert_eq!(place.status()["status"]["configuration"]["hash"], version);
    place.end("-TERM");
    let said = place.command(&["status"]).output().unwrap();
    assert_eq!(said.status.code(), Some(1), "nobody watches");
    assert!(String::from_utf8(said.stdout).unwrap().starts_with("UNKNOWN"));
}

#[test]
fn every_repair_is_counted_however_soon_it_follows_another() {
    let place = Place::new().watch();
    for round in 0..6 {
        place.drift(|path| fs::write(path, format!("drift {round}")).unwrap());
    }
    place.until("the count", |place| place.status()["status"]["drift"]["repaired"] == 6);
}

#[test]
fn no_line_of_the_log_holds_a_key_or_a_token() {
    let place = Place::new().watch();
    fs::remove_file(place.host("etc/kubernetes/admin.conf")).unwrap();
    place.until("the repair", |place| place.host("etc/kubernetes/admin.conf").exists());
    let log = fs::read_to_string(place.path("log")).unwrap();
    for secret in ["0123456789abcdef", "PRIVATE KEY", "client-key-data"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
