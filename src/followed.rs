//! The `ConfigMap` that a kubelet follows: what of it is in force. Pure.
//!
//! A change of it is *tried*: the kubelet is started with it, and once it has run with it for some time, its text is kept as the good one.
//! Where the kubelet does not come up, the text's hash is kept as that of one that failed, and the good one is in force again. Both are
//! files, so that neither is forgotten when planekeeper ends or the API server is away.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, Lines};
use crate::config::component::kubelet;
use crate::config::{self, Source};
use crate::facts::Facts;
use crate::patch::{self, MergeSchema};
use crate::pki;

/// The text that the kubelet last ran well with.
pub const GOOD: &str = "/var/lib/planekeeper/kubelet-config.yaml";
/// The SHA-256 of a text that the kubelet did not come up with, and on the next lines what was seen.
pub const FAILED: &str = "/var/lib/planekeeper/kubelet-config.failed";
/// The key of the text in the `ConfigMap`.
pub const KEY: &str = "kubelet";

/// What was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The `ConfigMap`; `None` where there is none, an error where that is unknown.
    pub map: Result<Option<Value>, String>,
    /// The text of [`GOOD`].
    pub good: Option<String>,
    /// The text of [`FAILED`].
    pub failed: Option<String>,
}

/// What follows from it.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// The `ConfigMap` is there; `None` where that is unknown.
    pub there: Option<bool>,
    /// What is in force; `None` is the configuration's own.
    pub now: Option<Text>,
    /// What was in force before that.
    pub before: Option<Text>,
    /// What is in force has not shown yet that the kubelet comes up with it.
    pub tried: bool,
    /// Why what the `ConfigMap` says is not in force.
    pub objection: Option<String>,
    /// The text that failed is that of the `ConfigMap`.
    pub failed: bool,
    /// [`GOOD`] and [`FAILED`] are there.
    pub kept: (bool, bool),
}

/// A text that is right.
#[derive(Clone, Debug)]
pub struct Text {
    /// As it was written.
    pub text: String,
    /// The cluster-wide configuration that it gives.
    pub value: Value,
    /// Where its fields stand.
    pub lines: Lines,
}

/// The `ConfigMap`, by what names it.
#[must_use]
pub fn object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}})
}

/// What a text that failed is remembered by.
#[must_use]
pub fn hash(text: &str) -> String {
    pki::hex(&Sha256::digest(text.as_bytes()))
}

/// The kubelet's configuration in the cluster: what is followed, or the configuration's own.
#[must_use]
pub fn in_force<'a>(cluster: &'a Cluster, facts: &'a Facts) -> &'a Value {
    text(cluster, facts).map_or(&cluster.kubelet.value, |text| &text.value)
}

/// The text that is in force, where the kubelet follows one.
#[must_use]
pub fn text<'a>(cluster: &Cluster, facts: &'a Facts) -> Option<&'a Text> {
    facts.followed.as_ref().filter(|_| cluster.settings.kubelet_config_map.is_some())?.now.as_ref()
}

impl Followed {
    /// What is in force, of all that was read. `resolved` is whether systemd-resolved runs, as for [`kubelet::before_patches`].
    #[must_use]
    pub fn of(reading: &Reading, cluster: &Cluster, resolved: bool) -> Self {
        let check = |text: &str, source: String| read(text, source, cluster, resolved);
        let good = reading.good.as_deref().and_then(|text| check(text, GOOD.to_owned()).ok());
        let kept = Self { kept: (reading.good.is_some(), reading.failed.is_some()), ..Self::default() };
        let stays = Self { now: good.clone(), before: good.clone(), ..kept };
        let Some(name) = &cluster.settings.kubelet_config_map else { return stays };
        let map = match &reading.map {
            Err(_) => return stays,
            Ok(None) => return Self { there: Some(false), objection: missing(name), ..stays },
            Ok(Some(map)) => map,
        };
        let stays = Self { there: Some(true), ..stays };
        let Some(text) = map["data"][KEY].as_str() else {
            let objection =
                Some(format!("it has no key {KEY:?} with a KubeletConfiguration in it{}", meanwhile(&stays)));
            return Self { objection, ..stays };
        };
        if good.as_ref().is_some_and(|good| good.text == text) {
            return stays;
        }
        let source = format!("kube-system/{name}");
        let (failed, seen) = reading.failed.as_deref().and_then(|record| record.split_once('\n')).unwrap_or_default();
        match check(text, source) {
            Err(why) => Self { objection: Some(why + meanwhile(&stays)), ..stays },
            Ok(tried) if failed == hash(text) => {
                let why =
                    format!("the kubelet did not come up with it: {}; it is tried again when it changes", seen.trim());
                let objection = Some(why + meanwhile(&stays));
                Self { objection, failed: true, before: Some(tried), ..stays }
            }
            Ok(new) => Self { now: Some(new), tried: true, ..stays },
        }
    }

    /// What is in force now was not before.
    #[must_use]
    pub fn moved(&self) -> bool {
        let text = |of: &Option<Text>| of.as_ref().map(|text| text.text.clone());
        text(&self.now) != text(&self.before)
    }

    /// The same before what is in force now was.
    #[must_use]
    pub fn earlier(&self) -> Self {
        Self { now: self.before.clone(), ..self.clone() }
    }
}

/// The default one is made; another is for whoever named it to make.
fn missing(name: &str) -> Option<String> {
    let made = name == crate::desired::kubelet_config::CONFIG_MAP;
    (!made).then(|| format!("there is no such ConfigMap; make it, with a KubeletConfiguration under the key {KEY:?}"))
}

const fn meanwhile(stays: &Followed) -> &'static str {
    match stays.now {
        Some(_) => ". Until then the last good one is in force",
        None => ". Until then the KubeletConfiguration of the configuration is in force",
    }
}

/// A text that the kubelet could be started with, or in words why not.
fn read(text: &str, source: String, cluster: &Cluster, resolved: bool) -> Result<Text, String> {
    let source = Source { name: source, text: text.to_owned() };
    let (config, lines) = config::followed(&source, cluster)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let value = kubelet::before_patches(&config.value, resolved);
    patch::apply("kubeletconfiguration", MergeSchema::Kubelet, &value, &cluster.patches)?;
    Ok(Text { text: text.to_owned(), value: config.value, lines })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    fn document(fields: &str) -> String {
        format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{fields}")
    }

    fn map(text: &str) -> Value {
        let mut map = object("kubelet-config");
        map["data"] = json!({KEY: text});
        map
    }

    fn followed(map: Result<Option<Value>, String>, good: Option<&str>, failed: Option<&str>) -> Followed {
        let mut cluster = fixture();
        cluster.settings.kubelet_config_map = Some("kubelet-config".to_owned());
        let reading = Reading {
            map,
            good: good.map(document),
            failed: failed.map(|text| hash(&document(text)) + "\nit was sick\n"),
        };
        Followed::of(&reading, &cluster, false)
    }

    fn pods(text: Option<&Text>) -> Option<u64> {
        text.and_then(|text| text.value["maxPods"].as_u64())
    }

    #[test]
    fn what_the_config_map_says_is_tried_until_it_is_good() {
        let new = followed(Ok(Some(map(&document("maxPods: 60")))), Some("maxPods: 50"), None);
        assert_eq!((pods(new.now.as_ref()), pods(new.before.as_ref()), new.tried), (Some(60), Some(50), true));
        assert!(new.moved());
        let good = followed(Ok(Some(map(&document("maxPods: 60")))), Some("maxPods: 60"), None);
        assert_eq!((pods(good.now.as_ref()), good.tried, good.moved()), (Some(60), false, false));
    }

    #[test]
    fn the_last_good_one_stays_while_the_api_server_is_away_or_the_config_map_is_bad() {
        let away = followed(Err("away".to_owned()), Some("maxPods: 50"), None);
        assert_eq!((pods(away.now.as_ref()), away.objection), (Some(50), None));
        for bad in ["maxPodz: 1", "maxPods: many", "staticPodPath: /elsewhere", "{{{"] {
            let refused = followed(Ok(Some(map(&document(bad)))), Some("maxPods: 50"), None);
            assert_eq!((pods(refused.now.as_ref()), refused.tried), (Some(50), false), "{bad}");
            assert!(refused.objection.unwrap().contains("kube-system/kubelet-config:"), "{bad}");
        }
        let mut without_key = object("kubelet-config");
        without_key["data"] = json!({"other": ""});
        assert!(followed(Ok(Some(without_key)), None, None).objection.unwrap().contains("no key \"kubelet\""));
    }

    #[test]
    fn one_that_failed_is_not_tried_again_until_it_changes() {
        let failed = followed(Ok(Some(map(&document("maxPods: 60")))), Some("maxPods: 50"), Some("maxPods: 60"));
        assert_eq!((pods(failed.now.as_ref()), failed.tried, failed.failed), (Some(50), false, true));
        assert!(failed.moved() && failed.objection.unwrap().contains("did not come up with it: it was sick"));
        let changed = followed(Ok(Some(map(&document("maxPods: 61")))), Some("maxPods: 50"), Some("maxPods: 60"));
        assert_eq!((pods(changed.now.as_ref()), changed.tried, changed.failed), (Some(61), true, false));
    }

    #[test]
    fn only_a_config_map_of_another_name_has_to_be_made_by_a_person() {
        assert_eq!(followed(Ok(None), None, None).objection, None);
        let mut cluster = fixture();
        cluster.settings.kubelet_config_map = Some("ours".to_owned());
        let reading = Reading { map: Ok(None), good: None, failed: None };
        assert!(Followed::of(&reading, &cluster, false).objection.unwrap().contains("no such ConfigMap"));
    }
}
