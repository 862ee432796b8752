//! `images`: which the control plane needs, which are there, and pulling the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::arguments::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::{Progress, one_line};
use crate::cli::{configuration, output};
use crate::cluster::Cluster;
use crate::host::chain;
use crate::host::connections::Connections;
use crate::host::cri::{Cri, CriCause, CriError, ImageSeen};
use crate::host::pull::{self, News, PullError, PullsTold, Trouble};
use crate::images;
use crate::table::table;

/// `images list`.
///
/// # Errors
/// The configuration cannot be read, or is invalid.
pub fn list(config: &Path, format: Format) -> Result<Exit, Failure> {
    let images = images::list(&configuration::load(config)?.loaded.cluster);
    match format {
        // As kubeadm's `config images list -o json` has it.
        Format::Json => output::print_json(
            &json!({"apiVersion": "output.kubeadm.k8s.io/v1alpha3", "kind": "Images", "images": images}),
        )?,
        Format::Text => output::print(&(images.join("\n") + "\n"))?,
    }
    Ok(Exit::Done)
}

/// `images check`.
///
/// # Errors
/// The configuration is invalid, or the container runtime does not answer.
pub fn check(config: &Path, format: Format) -> Result<Exit, Failure> {
    let cluster = configuration::load(config)?.loaded.cluster;
    let runtime = ContainerRuntime::of(&cluster)?;
    let wanted = images::list(&cluster);
    let present = runtime.present(&wanted)?;
    let state = |reference: &String| if present.contains_key(reference) { State::Present } else { State::Missing };
    let states = wanted.iter().map(|reference| (reference.clone(), state(reference))).collect();
    let result = Images { kind: "ImageCheck", policy: &cluster.node.image_pull_policy, states, present };
    result.print(format)
}

/// `images pull`.
///
/// # Errors
/// The configuration is invalid, or the container runtime does not answer.
pub fn pull(config: &Path, format: Format) -> Result<Exit, Failure> {
    let cluster = configuration::load(config)?.loaded.cluster;
    let runtime = ContainerRuntime::of(&cluster)?;
    let wanted = images::list(&cluster);
    let policy = cluster.node.image_pull_policy.as_str();
    let before = runtime.present(&wanted)?;
    let due = images::due(policy, &wanted, &before.keys().cloned().collect());
    let mut progress = Progress::new();
    progress.planned(due.len());
    let mut pulled = pull::pull_all(&runtime.cri, &due, cluster.node.image_pull_serial, &progress);
    progress.clear();
    let present = if due.is_empty() { before } else { runtime.present(&wanted)? };
    let states = wanted.into_iter().map(|reference| {
        let state = match pulled.remove(&reference) {
            Some(Ok(took)) => State::Pulled(took),
            Some(Err(error)) => State::Failed(error),
            None if present.contains_key(&reference) => State::Present,
            None => State::Missing,
        };
        (reference, state)
    });
    Images { kind: "ImagePull", policy, states: states.collect(), present }.print(format)
}

/// The container runtime of this host.
struct ContainerRuntime {
    cri: Cri,
    /// What drives its connection.
    _threads: Connections,
}

impl ContainerRuntime {
    fn of(cluster: &Cluster) -> Result<Self, Failure> {
        let threads = Connections::new();
        let threads = threads.map_err(|error| Failure::of_io("work on", Path::new("/"), &error))?;
        Ok(Self { cri: Cri::new(&cluster.node.cri_socket, threads.handle().clone()), _threads: threads })
    }

    fn present(&self, wanted: &[String]) -> Result<BTreeMap<String, ImageSeen>, Failure> {
        pull::present(&self.cri, wanted).map_err(|error| Self::failure(&error))
    }

    /// That it cannot be asked: 77 where this user may not.
    fn failure(error: &CriError) -> Failure {
        match &error.cause {
            CriCause::Refused { .. } | CriCause::Late { .. } => Failure::new(Exit::Failed, chain(error)),
            cause if error.is_denied() => Failure::new(Exit::NotPermitted, format!("{cause}: run it with sudo")),
            // Which image was asked for first does not matter.
            cause => Failure::new(Exit::Failed, format!("{cause}; {}", Trouble::NoRuntime.advice(""))),
        }
    }
}

impl PullsTold for Progress {
    fn started(&self, reference: &str) {
        self.started(reference);
    }

    fn news(&self, reference: &str, news: News<'_>) {
        match news {
            News::Pulling => self.waits(reference, &news.to_string()),
            News::Again { .. } => self.waits_for_long(reference, &news.to_string()),
        }
    }

    fn ended(&self, reference: &str, result: &Result<Duration, PullError>) {
        self.ended(reference, |seconds| {
            Some(match result {
                Ok(_) => format!("pulled {reference} in {seconds:.1} s"),
                Err(error) => {
                    format!("failed {reference}: {} ({}): {}", error.trouble, error.tried(), one_line(&error.said))
                }
            })
        });
    }
}

/// What is known of an image in the end.
enum State {
    Present,
    Missing,
    Pulled(Duration),
    Failed(PullError),
}

/// The images of a control plane, in the order of the list, and what became of them.
struct Images<'a> {
    kind: &'static str,
    policy: &'a str,
    states: Vec<(String, State)>,
    /// Those that the runtime has.
    present: BTreeMap<String, ImageSeen>,
}

impl Images<'_> {
    fn print(&self, format: Format) -> Result<Exit, Failure> {
        match format {
            Format::Json => output::print_json(&self.to_json())?,
            Format::Text => output::print(&self.to_text())?,
        }
        let complete = self.states.iter().all(|(_, state)| matches!(state, State::Present | State::Pulled(_)));
        Ok(if complete { Exit::Done } else { Exit::Failed })
    }

    fn count(&self, counts: fn(&State) -> bool) -> usize {
        self.states.iter().filter(|(_, state)| counts(state)).count()
    }

    fn to_text(&self) -> String {
        let mut lines = vec![["IMAGE", "SIZE", "STATE"].map(str::to_owned).to_vec()];
        for (reference, state) in &self.states {
            let size = self.present.get(reference).map_or_else(|| "-".to_owned(), |seen| size(seen.size));
            let state = match state {
                State::Present => "present".to_owned(),
                State::Missing => "MISSING".to_owned(),
                State::Pulled(took) => format!("pulled in {:.1} s", took.as_secs_f32()),
                State::Failed(_) => "FAILED".to_owned(),
            };
            lines.push(vec![reference.clone(), size, state]);
        }
        format!("{}{}\n{}\n", table(&lines), self.failures(), self.summary())
    }

    /// What failed, together where one thing is to be done about it.
    fn failures(&self) -> String {
        let mut troubles: BTreeMap<(Trouble, &str), Vec<&PullError>> = BTreeMap::new();
        for (_, state) in &self.states {
            if let State::Failed(error) = state {
                troubles.entry((error.trouble, images::registry(&error.reference))).or_default().push(error);
            }
        }
        let block = |((trouble, registry), errors): (&(Trouble, &str), &Vec<&PullError>)| {
            let each = |error: &&PullError| format!("      {}, {}: {}\n", error.reference, error.tried(), error.said);
            let each: String = errors.iter().map(each).collect();
            format!("\n  x {registry}: {trouble}\n{each}      to do: {}\n", trouble.advice(registry))
        };
        troubles.iter().map(block).collect()
    }

    /// The last line, which is stable: others may read it.
    fn summary(&self) -> String {
        let all = self.states.len();
        let present = self.count(|state| matches!(state, State::Present));
        let pulled = self.count(|state| matches!(state, State::Pulled(_)));
        let failed = self.count(|state| matches!(state, State::Failed(_)));
        let missing = self.count(|state| matches!(state, State::Missing));
        match (failed, missing) {
            (0, 0) if pulled == 0 => format!("All {all} images are present."),
            (0, 0) => format!("All {all} images are present: {pulled} pulled."),
            (0, missing) if self.policy == "Never" => format!(
                "{missing} of {all} images are missing, and imagePullPolicy is Never: import them, or let them be pulled."
            ),
            (0, missing) => format!("{missing} of {all} images are missing; to pull them: planekeeper images pull"),
            (failed, _) => format!("{failed} of {all} images failed: {pulled} pulled, {present} present."),
        }
    }

    fn to_json(&self) -> Value {
        let have: BTreeSet<String> = self.present.keys().cloned().collect();
        let wanted: Vec<String> = self.states.iter().map(|(reference, _)| reference.clone()).collect();
        json!({
            "apiVersion": "planekeeper.dev/v1alpha1", "kind": self.kind,
            "imagePullPolicy": self.policy,
            "images": self.states.iter().map(|(reference, state)| self.image_json(reference, state)).collect::<Vec<_>>(),
            "missing": images::missing(&wanted, &have),
        })
    }

    fn image_json(&self, reference: &str, state: &State) -> Value {
        let seen = self.present.get(reference);
        let (result, error) = match state {
            State::Present => ("present", None),
            State::Missing => ("missing", None),
            State::Pulled(_) => ("pulled", None),
            State::Failed(error) => ("failed", Some(error)),
        };
        json!({
            "image": reference,
            "result": result,
            "id": seen.map(|seen| &seen.id),
            "sizeBytes": seen.map(|seen| seen.size),
            "error": error.map(|error| json!({
                "reason": error.trouble.name(), "message": error.said, "tries": error.tries, "advice": error.advice(),
            })),
        })
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reference: &str, trouble: Trouble, said: &str, tries: u32) -> (String, State) {
        let (reference, said) = (reference.to_owned(), said.to_owned());
        let took = Duration::from_secs(if tries == 1 { 0 } else { 15 });
        (reference.clone(), State::Failed(PullError { reference, trouble, said, tries, took }))
    }

    fn result(policy: &'static str, states: Vec<(String, State)>) -> Images<'static> {
        let there = |state: &State| matches!(state, State::Present | State::Pulled(_));
        let seen = |reference: &String| ImageSeen {
            id: format!("sha256:{}", reference.len()),
            tags: Vec::new(),
            digests: Vec::new(),
            size: 27 << 20,
        };
        let present = states.iter().filter(|(_, state)| there(state)).map(|(name, _)| (name.clone(), seen(name)));
        let present = present.collect();
        Images { kind: "ImagePull", policy, states, present }
    }

    #[test]
    fn failures_with_one_cause_are_told_together_with_what_to_do() {
        let states = vec![
            ("m:5000/a:1".to_owned(), State::Present),
            ("m:5000/b:1".to_owned(), State::Pulled(Duration::from_millis(2150))),
            failed("m:5000/c:1", Trouble::NotFound, "not found", 1),
            failed("r.example/d:1", Trouble::Unreachable, "connection refused", 5),
            failed("r.example/e:1", Trouble::Unreachable, "connection refused", 1),
        ];
        let result = result("IfNotPresent", states);
        assert_eq!(
            result.to_text(),
            "\
IMAGE           SIZE       STATE
m:5000/a:1      27.0 MiB   present
m:5000/b:1      27.0 MiB   pulled in 2.2 s
m:5000/c:1      -          FAILED
r.example/d:1   -          FAILED
r.example/e:1   -          FAILED

  x m:5000: the registry has no such image
      m:5000/c:1, tried once: not found
      to do: check kubernetesVersion, imageRepository and imageTag in the configuration, or put the image into the registry

  x r.example: the registry cannot be reached
      r.example/d:1, tried 5 times in 15 s: connection refused
      r.example/e:1, tried once: connection refused
      to do: see that r.example answers from this host (network, DNS, the container runtime's proxy), and run again

3 of 5 images failed: 1 pulled, 1 present.
"
        );
        let json = result.to_json();
        assert_eq!(json["missing"], json!(["m:5000/c:1", "r.example/d:1", "r.example/e:1"]));
        assert_eq!(
            (&json["images"][1]["result"], &json["images"][1]["sizeBytes"]),
            (&json!("pulled"), &json!(27 << 20))
        );
        assert_eq!(json["images"][3]["error"]["reason"], "RegistryUnreachable");
        assert_eq!(json["images"][3]["error"]["tries"], 5);
    }

    #[test]
    fn what_may_not_be_pulled_is_named_with_what_to_do() {
        let states = ["a:1", "b:1"].map(|name| (name.to_owned(), State::Missing));
        let text = result("Never", states.into()).to_text();
        assert!(text.contains("a:1     -      MISSING") && text.contains("b:1     -      MISSING"), "{text}");
        assert!(text.ends_with("imagePullPolicy is Never: import them, or let them be pulled.\n"), "{text}");
    }

    #[test]
    fn sizes_read_at_a_glance() {
        assert_eq!([0, 1023, 1024, 27 << 20, 3 << 29].map(size), ["0 B", "1023 B", "1.0 KiB", "27.0 MiB", "1.5 GiB"]);
    }
}
