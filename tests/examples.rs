//! Every example does what it says: it loads without a word, and a host converges to it and stays so.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{View, cluster_of_file, converge, copy, machine, reconcile, setting};
use planekeeper::config::{self, Source};
use planekeeper::desired::desired;
use planekeeper::engine;
use planekeeper::host::Host;
use planekeeper::host::files::FileSystem;
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::Sandbox;
use planekeeper::resource::{Id, Issuer, Profile, Resource, Spec, Want};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(example("")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    examples.sort();
    assert!(examples.len() > 3, "{examples:?}");
    examples
}

#[test]
fn every_example_converges_and_then_is_quiet() {
    for path in examples() {
        let cluster = cluster_of_file(&path);
        let files = Memory::default();
        converge(&files, &cluster);
        let before = files.touched();
        let again = reconcile(View(&files), &cluster, Some(&cluster));
        assert!(again.converged() && again.done.is_empty(), "{}: {again:#?}", path.display());
        assert_eq!(files.touched(), before, "{}", path.display());
    }
}

#[test]
fn no_example_is_warned_of() {
    for path in examples() {
        let source = Source { name: path.display().to_string(), text: fs::read_to_string(&path).unwrap() };
        let documents = config::parse(&[source]);
        // Patches are no part of the warnings; cluster_of_file reads them where they matter.
        let loaded = documents.complete(&machine(), &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", path.display(), loaded.warnings);
    }
}

/// What an external CA signs: its profile and the files that it ends up in.
fn signed(resource: &Resource) -> Option<(&Id, &Profile, Vec<&str>)> {
    match &resource.want {
        Want::Present(Spec::Certificate(spec)) if matches!(spec.issuer, Issuer::Ca(_)) => {
            Some((&resource.id, &spec.profile, vec![&spec.certificate, &spec.key]))
        }
        Want::Present(Spec::Kubeconfig(spec)) => Some((&resource.id, &spec.profile, vec![&spec.path])),
        _ => None,
    }
}

/// What a reason has to name, so that somebody can ask for a certificate by it alone.
fn needed(profile: &Profile) -> Vec<String> {
    let mut needed = vec![format!("CN={}", profile.common_name)];
    needed.extend(profile.organization.iter().map(|organization| format!("O={organization}")));
    needed.extend(profile.dns_names.iter().map(|name| format!("DNS:{name}")));
    needed.extend(profile.ip_addresses.iter().map(|address| format!("IP:{address}")));
    needed.extend(profile.server.then(|| "serverAuth".to_owned()));
    needed.extend(profile.client.then(|| "clientAuth".to_owned()));
    needed
}

#[test]
fn with_an_external_ca_nothing_is_signed_and_each_certificate_that_is_missing_is_described() {
    let cluster = cluster_of_file(&example("external-ca.yaml"));
    // Who keeps the CAs: a host where everything is made.
    let keeper = Memory::default();
    converge(&keeper, &cluster);
    let files = Memory::default();
    for name in ["ca", "front-proxy-ca", "etcd/ca"] {
        copy(&keeper, &files, &format!("/etc/kubernetes/pki/{name}.crt"));
    }

    let report = reconcile(View(&files), &cluster, None);
    assert!(!report.converged() && report.failed.is_empty(), "{report:#?}");
    let facts = Sandbox::new(View(&files), setting()).facts(&cluster).unwrap();
    let wanted = desired(&cluster, &facts);
    let signed: Vec<_> = wanted.resources.iter().filter_map(signed).collect();
    assert!(signed.len() > 8, "{signed:?}");
    for (id, profile, paths) in &signed {
        let refused = report.left.refused.iter().find(|refused| refused.id == **id);
        let reason = &refused.unwrap_or_else(|| panic!("{id} is not refused: {:#?}", report.left)).reason;
        for text in needed(profile) {
            assert!(reason.contains(&text), "{id}: {text} is not in: {reason}");
        }
        for path in paths {
            assert_eq!(files.read(path).unwrap(), None, "{path} was made");
        }
    }
    for name in ["ca", "front-proxy-ca", "etcd/ca"] {
        assert_eq!(files.read(&format!("/etc/kubernetes/pki/{name}.key")).unwrap(), None, "a CA's key was made");
    }

    // Once they are brought, the host is complete, without a CA's key.
    for path in signed.iter().flat_map(|(_, _, paths)| paths) {
        copy(&keeper, &files, path);
    }
    let report = engine::reconcile(&Sandbox::new(View(&files), setting()), &cluster, None, 1, &|_| {}).unwrap();
    assert!(report.converged(), "{report:#?}");
}
