//! All that is wanted, as a list.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Id, Resource, Spec, Trial, Want};

/// Everything that is wanted, in an order that a person can read: what others need comes first.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The resources.
    pub resources: Vec<Resource>,
    /// What waits for a fact that is not there yet.
    pub waiting: Vec<Waiting>,
    /// What the configuration wants, and what was tried before and given up: what is wanted in its place is among the resources.
    pub given_up: Vec<GivenUp>,
    /// Resources that an earlier configuration wanted, and this one no longer names.
    pub former: BTreeSet<Id>,
    /// What is tried, and given up where it does no good.
    pub trial: Option<Trial>,
    /// The manifests that the `DaemonSet`s of self-hosted components are made of, by the names of these.
    pub hosted: BTreeMap<&'static str, String>,
}

/// A change that did not work, and is not tried again.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// What would change.
    pub id: Id,
    /// What became of it, and what to do.
    pub reason: String,
}

/// A resource that cannot be said yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its id.
    pub id: Id,
    /// What has to be there first.
    pub on: Id,
}

impl Desired {
    /// Says of the fields that an earlier wish had for an object, and this one no longer has, that they are to be absent: nobody else
    /// would take them out. Server-side apply knows them as fields that their manager has given up.
    pub fn drop_fields_of(&mut self, before: &Self) {
        for resource in &mut self.resources {
            let earlier = before.resources.iter().find(|earlier| earlier.id == resource.id);
            if let Want::Present(Spec::Object(wanted)) = &mut resource.want
                && let Some(Want::Present(Spec::Object(earlier))) = earlier.map(|earlier| &earlier.want)
            {
                drop_fields(wanted, earlier);
            }
        }
    }

    /// Some of the resources, with all that they depend on.
    #[must_use]
    pub fn part(mut self, about: &BTreeSet<Id>) -> Self {
        let by_id: BTreeMap<&Id, &Resource> = self.resources.iter().map(|resource| (&resource.id, resource)).collect();
        let mut next: Vec<&Id> = about.iter().collect();
        let mut part: BTreeSet<&Id> = BTreeSet::new();
        while let Some(id) = next.pop() {
            if let Some(resource) = by_id.get(id)
                && part.insert(&resource.id)
            {
                next.extend(resource.depends_on());
            }
        }
        let part: BTreeSet<Id> = part.into_iter().cloned().collect();
        self.resources.retain(|resource| part.contains(&resource.id));
        self
    }

    /// Adds a resource.
    pub fn push(&mut self, resource: Resource) {
        self.resources.push(resource);
    }

    /// Adds everything of another list.
    pub fn extend(&mut self, other: Self) {
        self.resources.extend(other.resources);
        self.waiting.extend(other.waiting);
        self.given_up.extend(other.given_up);
        self.former.extend(other.former);
        self.trial = self.trial.take().or(other.trial);
        self.hosted.extend(other.hosted);
    }
}

/// Sets to null what an earlier value has and this one lacks, field by field.
fn drop_fields(wanted: &mut Value, earlier: &Value) {
    let (Some(wanted), Some(earlier)) = (wanted.as_object_mut(), earlier.as_object()) else { return };
    for (key, earlier) in earlier {
        let value = wanted
            .entry(key.clone())
            .or_insert_with(|| if earlier.is_object() { Value::Object(Map::new()) } else { Value::Null });
        if value.as_array().is_some_and(Vec::is_empty) {
            *value = Value::Null;
        }
        drop_fields(value, earlier);
    }
}
