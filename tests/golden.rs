//! What planekeeper makes is what the real kubeadm makes: `tests/golden/`, recorded by `hack/golden`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::case_sensitive_file_extension_comparisons)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::{View, cluster_of_file, machine, setting};
use planekeeper::config::{self, PatchFile, Source};
use planekeeper::engine;
use planekeeper::host::files::{FileSystem, Look};
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::Sandbox;
use planekeeper::observed::{CertificateFacts, CredentialSeen};
use planekeeper::{kubeconfig, pki, yaml};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// The files of a folder, by path below it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(&here).unwrap_or_else(|error| panic!("{}: {error}", here.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned(), path);
            }
        }
    }
    found
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(ROOT).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("config.yaml").exists());
    cases.sort();
    assert!(cases.len() >= 50, "only {} goldens", cases.len());
    cases
}

/// The host that planekeeper makes of a case.
fn made(case: &Path) -> Memory {
    let mut cluster = cluster_of_file(&case.join("config.yaml"));
    // Which algorithm makes the keys is compared elsewhere; RSA would take minutes here.
    if !case.ends_with("defaults") && !case.to_string_lossy().contains("algorithm-") {
        cluster.key_algorithm = planekeeper::cluster::KeyAlgorithm::EcdsaP256;
    }
    let text = |name: &str| fs::read_to_string(case.join("expected").join(name)).unwrap();
    let mut setting = setting();
    setting.ca_folders = text("ca-folders.txt").lines().map(str::to_owned).collect();
    setting.hostname = "golden".into();
    let files = Memory::default();
    let sandbox = Sandbox::new(View(&files), setting);
    let report = engine::reconcile(&sandbox, &cluster, None, 4, &|_| {}).unwrap();
    assert!(report.converged(), "{}: {report:#?}", case.display());
    files
}

fn read(files: &Memory, path: &str) -> Option<String> {
    files.read(path).unwrap().map(|(bytes, _)| String::from_utf8(bytes).unwrap())
}

/// Runs a check on every case, several at once, and tells all that failed.
fn for_each_case(check: impl Fn(&Path, &Memory) -> Vec<String> + Sync) {
    let cases = cases();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let halves: Vec<_> = cases.chunks(cases.len().div_ceil(2)).collect();
        let check = &check;
        let threads: Vec<_> = halves
            .into_iter()
            .map(|half| {
                scope.spawn(move || {
                    half.iter()
                        .flat_map(|case| {
                            let name = case.file_name().unwrap().to_string_lossy().into_owned();
                            check(case, &made(case)).into_iter().map(move |failure| format!("{name}: {failure}"))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_file_and_object_is_what_kubeadm_makes() {
    for_each_case(|case, host| {
        let mut failures = Vec::new();
        for (name, path) in files(&case.join("expected")) {
            if let Some(object) = name.strip_prefix("cluster/") {
                failures.extend(compare_object(object, &fs::read_to_string(&path).unwrap(), host));
            } else if name.starts_with("etc/") || name.starts_with("var/") || name.starts_with("opt/") {
                failures.extend(compare_file(&name, &path, host, &case.join("expected")));
            }
        }
        failures.extend(too_many(case, host));
        failures.extend(modes(case, host));
        failures
    });
}

fn compare_file(name: &str, expected: &Path, host: &Memory, tree: &Path) -> Option<String> {
    let path = format!("/{name}");
    let Some(actual) = read(host, &path) else { return Some(format!("{path} is missing")) };
    let expected = fs::read_to_string(expected).unwrap();
    if name.ends_with(".crt") {
        let facts = |text: &str| pki::inspect(text.as_bytes(), None).map(|facts| said(&facts));
        let (actual, expected) = (facts(&actual), facts(&expected));
        return (actual != expected).then(|| format!("{path}: expected {expected:#?}, made {actual:#?}"));
    }
    if name.ends_with(".conf") {
        let ca = |text: Option<String>| text.unwrap_or_default();
        let ca_path = files(tree)
            .into_keys()
            .find(|name| name.ends_with("/ca.crt") && !name.ends_with("etcd/ca.crt"))
            .unwrap_or_default();
        let expected = kubeconfig_said(&expected, &ca(fs::read_to_string(tree.join(&ca_path)).ok()));
        let actual = kubeconfig_said(&actual, &ca(read(host, &format!("/{ca_path}"))));
        return (actual != expected).then(|| format!("{path}: expected {expected:#?}, made {actual:#?}"));
    }
    if name.ends_with("sa.pub") {
        return None; // a key of its own; that it belongs to sa.key is what a second run checks
    }
    // Manifests and kubelet files: byte for byte.
    (actual != expected).then(|| format!("{path} differs:\n{}", lines_apart(&expected, &actual)))
}

/// What a certificate says, but for what chance and the clock set. The algorithm is left out where the test chose another.
fn said(facts: &CertificateFacts) -> impl PartialEq + std::fmt::Debug + use<> {
    let days = (facts.not_after - facts.not_before + 43_200) / 86_400;
    let names = (facts.common_name.clone(), facts.organizations.clone(), facts.issuer.clone());
    (names, facts.dns_names.clone(), facts.ip_addresses.clone(), facts.server, facts.client, facts.is_ca, days)
}

fn kubeconfig_said(text: &str, ca: &str) -> impl PartialEq + std::fmt::Debug + use<> {
    let facts = kubeconfig::inspect(text.as_bytes(), Some(ca.as_bytes())).unwrap();
    let certificate = match facts.credential {
        CredentialSeen::Embedded { certificate, .. } => said(&certificate.unwrap()),
        other => panic!("{other:?}"),
    };
    (facts.cluster, facts.server, facts.user, facts.context, facts.ca_is_issuer, certificate)
}

fn lines_apart(expected: &str, actual: &str) -> String {
    let (left, right): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let missing = left.iter().filter(|line| !right.contains(line)).map(|line| format!("  - {line}"));
    let extra = right.iter().filter(|line| !left.contains(line)).map(|line| format!("  + {line}"));
    missing.chain(extra).take(20).collect::<Vec<_>>().join("\n")
}

fn compare_object(name: &str, expected: &str, host: &Memory) -> Option<String> {
    let mut expected = yaml::parse(expected).unwrap();
    let text = |pointer: &str| expected.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/metadata/name").contains("random") {
        return None; // the token that kubeadm made up
    }
    let path = planekeeper::host::sandbox::object_path(&expected);
    let Some(actual) = read(host, &path) else { return Some(format!("{name} is missing at {path}")) };
    let mut actual = yaml::parse(&actual).unwrap();
    let (kind, name_of) = (text("/kind"), text("/metadata/name"));
    for object in [&mut expected, &mut actual] {
        normalise(object, &kind, &name_of);
    }
    (expected != actual).then(|| {
        let (expected, actual) = (yaml::to_string(&expected), yaml::to_string(&actual));
        format!("{name} differs:\n{}", lines_apart(&expected, &actual))
    })
}

/// Takes away what chance, the clock and the API's own fields add.
fn normalise(object: &mut Value, kind: &str, name: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
        metadata.remove("resourceVersion");
    }
    if kind == "Secret" && object["data"]["expiration"].is_string() {
        object["data"]["expiration"] = "set".into();
    }
    if name == "cluster-info"
        && let Some(text) = object["data"]["kubeconfig"].as_str()
    {
        let ca = text.lines().find(|line| line.contains("certificate-authority-data")).unwrap_or_default();
        object["data"]["kubeconfig"] = text.replace(ca, "CA").into();
    }
    // Where the test chose another algorithm for its keys, kubeadm-config still says the configured one: no difference here.
    prune(object);
}

/// Absent and empty are the same to the API.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| {
                !(value.is_null()
                    || value.as_object().is_some_and(serde_json::Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty))
            });
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Files that kubeadm does not make.
fn too_many(case: &Path, host: &Memory) -> Vec<String> {
    let expected: BTreeSet<String> = modes_of(case).into_keys().collect();
    let ours = |path: &&String| path.starts_with("/etc/kubernetes/") && !path.ends_with('/');
    let is_key = |path: &str| path.ends_with(".key");
    host.touched()
        .keys()
        .filter(ours)
        .filter(|path| !expected.contains(*path) && !is_key(path))
        .map(|path| format!("{path} is not expected"))
        .collect()
}

fn modes_of(case: &Path) -> BTreeMap<String, u32> {
    let text = fs::read_to_string(case.join("expected/modes.txt")).unwrap();
    let line = |line: &str| {
        let (mode, path) = line.split_once(' ').unwrap();
        (format!("/{}", path.trim_end_matches('/')), u32::from_str_radix(mode, 8).unwrap())
    };
    text.lines().map(line).collect()
}

fn modes(case: &Path, host: &Memory) -> Vec<String> {
    let mut failures = Vec::new();
    for (path, expected) in modes_of(case) {
        let mode = match host.look(&path).unwrap() {
            Look::File(mode) | Look::Directory(mode) => mode.mode,
            other => {
                failures.push(format!("{path}: expected mode {expected:04o}, there is {other:?}"));
                continue;
            }
        };
        if mode != expected {
            failures.push(format!("{path}: expected mode {expected:04o}, made {mode:04o}"));
        }
    }
    failures
}

#[test]
fn what_the_golden_configurations_make_is_in_sync_with_itself() {
    for_each_case(|case, host| {
        let before = host.touched();
        let mut setting = setting();
        setting.ca_folders =
            fs::read_to_string(case.join("expected/ca-folders.txt")).unwrap().lines().map(str::to_owned).collect();
        setting.hostname = "golden".into();
        let cluster = cluster_of_file(&case.join("config.yaml"));
        let report = engine::reconcile(&Sandbox::new(View(host), setting), &cluster, None, 1, &|_| {}).unwrap();
        let quiet = report.converged() && report.done.is_empty() && host.touched() == before;
        if quiet { Vec::new() } else { vec![format!("a second run is not quiet: {report:#?}")] }
    });
}

#[test]
fn every_mistake_is_refused_and_each_of_its_fields_named_with_a_line() {
    let mut mistakes = files(&Path::new(ROOT).join("mistakes"));
    mistakes.retain(|name, _| name.ends_with(".yaml"));
    assert!(mistakes.len() >= 25, "only {} mistakes", mistakes.len());
    for (name, path) in mistakes {
        let text = fs::read_to_string(&path).unwrap();
        let fields: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# field: ")).map(str::trim).collect();
        assert!(!fields.is_empty(), "{name} names no field");
        let documents = config::parse(&[Source { name: name.clone(), text: text.clone() }]);
        if documents.patches_directory().is_some() {
            continue; // that the folder is missing is found where files are read: tests/process.rs
        }
        let Err(problems) = documents.complete(&machine(), &Vec::<PatchFile>::new()) else {
            panic!("{name} is accepted")
        };
        for field in &fields {
            let named = problems.iter().find(|problem| within(&problem.field, field));
            assert!(
                named.is_some_and(|problem| problem.place.is_some()),
                "{name}: {field} is not named: {problems:#?}"
            );
        }
        for problem in &problems {
            assert!(fields.iter().any(|field| within(&problem.field, field)), "{name}: also complains of {problem}");
        }
    }
}

/// A field, or a part of it.
fn within(named: &str, field: &str) -> bool {
    named.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
