//! Why a field differs: the configuration has changed, Kubernetes' version has, or somebody changed the host.

use std::collections::BTreeSet;

use super::{Cause, Context};
use crate::desired::self_hosting;
use crate::diff;
use crate::observed::Seen;
use crate::resource::{Origin, Resource};

/// The fields in which this wish differs from that of the configuration before.
pub(super) fn changed(resource: &Resource, context: &Context<'_>) -> BTreeSet<String> {
    let before = context.before.get(&resource.id);
    before.map(|before| diff::fields_between(&before.want, &resource.want)).unwrap_or_default()
}

/// A field differs because the configuration changed, or because somebody changed the host.
pub(super) fn field_cause(
    field: &str,
    resource: &Resource,
    changed: &BTreeSet<String>,
    context: &Context<'_>,
) -> Cause {
    let Some(previous) = context.previous else {
        // A sandbox does not remember where its control plane comes from.
        let adopted = context.facts.adopted || !context.facts.live;
        return if adopted { Cause::Adoption } else { configured(field, resource) };
    };
    let Some(before) = context.before.get(&resource.id) else { return configured(field, resource) };
    if std::mem::discriminant(&before.want) != std::mem::discriminant(&resource.want) {
        return configured(field, resource);
    }
    if !changed.contains(field) {
        return Cause::Drift;
    }
    let version = previous.cluster.version != context.cluster.version;
    match named(field, resource) {
        // Of what makes up the name of an image, the version is what changes.
        Some(_) if version && field.rsplit('.').next() == Some("image") => Cause::Version,
        None if version => Cause::Version,
        _ => configured(field, resource),
    }
}

/// Why something is made or removed whole.
pub(super) fn whole_cause(resource: &Resource, seen: &Seen, context: &Context<'_>) -> Cause {
    match (context.before.get(&resource.id), seen) {
        // The same was wanted before, so somebody took it away or brought it back.
        (Some(before), _)
            if std::mem::discriminant(&before.want) == std::mem::discriminant(&resource.want)
                && diff::fields_between(&before.want, &resource.want).is_empty() =>
        {
            let bytes = if let Seen::File(file) = seen { Some(file.bytes.as_slice()) } else { None };
            if self_hosting::is_recovery(&resource.want, bytes) { Cause::Recovery } else { Cause::Drift }
        }
        _ => configured("", resource),
    }
}

/// The line that a field comes from: the origin that names it, else that of the whole resource.
fn configured(field: &str, resource: &Resource) -> Cause {
    let whole = || resource.origins.iter().find(|origin| origin.field.is_empty());
    Cause::Configuration(named(field, resource).or_else(whole).map(|origin| origin.place.clone()))
}

/// The origin that names a field, or one that it lies within.
fn named<'a>(field: &str, resource: &'a Resource) -> Option<&'a Origin> {
    let mut named = resource.origins.iter().filter(|origin| !origin.field.is_empty());
    named.clone().find(|origin| origin.field == field).or_else(|| named.find(|origin| field.starts_with(&origin.field)))
}
