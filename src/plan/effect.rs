//! What a step does to what runs.

use crate::diff::static_pod::ROLLOUT;
use crate::observed::Seen;
use crate::resource::{Effect, Resource, Spec, Target, Want};
use crate::verdict::Verdict;

/// What a step does to what runs.
pub(super) fn effect(resource: &Resource, seen: &Seen, verdict: &Verdict) -> Effect {
    // What was not there is read by nobody yet.
    if *verdict == Verdict::Create && matches!(seen, Seen::Absent) {
        if let Want::Present(Spec::Object(_)) = resource.want {
            return Effect::Api;
        }
        return Effect::None;
    }
    match &resource.want {
        Want::Present(Spec::File(file)) => file.effect.clone(),
        Want::Present(Spec::Certificate(certificate)) => certificate.effect.clone(),
        Want::Present(Spec::Kubeconfig(kubeconfig)) => kubeconfig.effect.clone(),
        Want::Present(Spec::Object(_)) | Want::Absent(Target::Object(_)) => Effect::Api,
        Want::Present(Spec::Unit(_)) => Effect::RestartKubelet,
        Want::Present(Spec::StaticPod(spec)) if restarts(verdict) => Effect::Restart(spec.gate.pod.component),
        Want::Present(_) | Want::Absent(_) | Want::Theirs { .. } => Effect::None,
    }
}

/// A static Pod has to start again: it is not only that an earlier change of it is to be ended.
fn restarts(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Update(differences) if differences.iter().any(|one| one.field != ROLLOUT))
}
