//! What has to hold of a control plane that is self-hosted, that is to be, or that was.

use crate::cluster::{Cluster, Hosting};
use crate::desired::{apiserver, controller_manager, running, static_pod};
use crate::facts::Facts;
use crate::resource::{Condition, Desired, GateSpec, Id, Resource, SelfHostedSpec, Spec, StaticPodSpec, Want};

use super::{COMPONENTS, HOST_IP, STEADY, component, name};

/// The components that are wanted in Pods of `DaemonSet`s, each with its `DaemonSet`'s id.
#[must_use]
pub fn hosted(cluster: &Cluster, desired: &Desired) -> Vec<(Id, SelfHostedSpec)> {
    let wanted = |resource: &Resource| {
        let Want::Present(Spec::Object(object)) = &resource.want else { return None };
        let component = component(object)?;
        let mut pod = running::pod(component, name(component), object.pointer("/spec/template")?)?;
        pod.hosted = true;
        // The kubelet puts in the Node's address, which has to be the one that the configuration says.
        let address = cluster.endpoint.address.to_string();
        pod.command.iter_mut().for_each(|word| *word = word.replace(&format!("$({HOST_IP})"), &address));
        let manifest = Id::file(&static_pod::path(component));
        let absent = |resource: &Resource| resource.id == manifest && matches!(resource.want, Want::Absent(_));
        let alone = desired.resources.iter().any(absent);
        Some((resource.id.clone(), SelfHostedSpec { pod, steady: STEADY, alone }))
    };
    desired.resources.iter().filter_map(wanted).collect()
}

/// The API server answers, where it is no static Pod.
#[must_use]
pub fn answers(hosted: &[(Id, SelfHostedSpec)]) -> Option<Condition> {
    let (_, spec) = hosted.iter().find(|(_, spec)| spec.alone && spec.pod.component == apiserver::NAME)?;
    Some(Condition::SelfHostedApi(spec.clone()))
}

/// The components run in their `DaemonSet`s' Pods; or those that are to be static Pods again have ended there.
#[must_use]
pub fn gates(
    cluster: &Cluster,
    facts: &Facts,
    pods: &[(Id, StaticPodSpec)],
    hosted: &[(Id, SelfHostedSpec)],
) -> Vec<Resource> {
    let timeout = cluster.timeouts.control_plane_component_health_check;
    let gate = |name: &str, component: &str, object: &Id, condition| {
        let phase = match component {
            apiserver::NAME => "control-plane/apiserver",
            controller_manager::NAME => "control-plane/controller-manager",
            _ => "control-plane/scheduler",
        };
        let spec = Spec::Gate(GateSpec { condition, timeout, on_demand: false });
        Resource::present(Id::gate(name), phase, vec![object.clone()], spec)
    };
    // Who makes Pods, and who gives them to nodes.
    let makers = pods.iter().filter(|(_, pod)| pod.component != apiserver::NAME && COMPONENTS.contains(&pod.component));
    let makers: Vec<Id> = makers.map(|(_, pod)| Id::gate(pod.component)).collect();
    let begins = hosted.iter().map(|(object, spec)| {
        let condition = Condition::SelfHosted(spec.clone());
        let mut begins = gate(&name(spec.pod.component), spec.pod.component, object, condition);
        begins.needs.extend(makers.iter().cloned());
        begins
    });
    let ending = |(_, pod): &(Id, StaticPodSpec)| {
        let back =
            cluster.settings.hosting == Hosting::StaticPods && facts.hosting.self_hosted.contains_key(pod.component);
        let name = name(pod.component);
        let object = super::id(&name);
        let hosted = StaticPodSpec { pod: name.clone(), hosted: true, ..pod.clone() };
        let spec = SelfHostedSpec { pod: hosted, steady: STEADY, alone: false };
        back.then(|| gate(&format!("{name}-ended"), pod.component, &object, Condition::NotSelfHosted(spec)))
    };
    begins.chain(pods.iter().filter_map(ending)).collect()
}
