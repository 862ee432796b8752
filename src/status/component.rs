//! What runs, and how it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// Something that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Component {
    /// `kube-apiserver`.
    pub name: String,
    /// The image that it has to run, where it is a static Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How it is.
    pub health: Health,
    /// What is seen where it is not healthy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it is so.
    pub since: Moment,
}

/// How something that runs is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Health {
    /// It runs as it should and proved to work.
    Healthy,
    /// It does not.
    Unhealthy,
    /// It could not be asked.
    #[default]
    Unknown,
}
