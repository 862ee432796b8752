//! Bootstrap tokens, by which machines join; the record of when they end; and what their bearers may do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::calendar;
use crate::cluster::{BootstrapToken, Cluster, Token, TokenEnd};
use crate::facts::Facts;
use crate::resource::{Desired, Id, Resource, Spec, TokensSpec, Waiting};

use super::directories::STATE;
use super::object::{SYSTEM, absent, object};
use super::rbac::{BOOTSTRAPPERS, NODES, cluster_role, cluster_role_binding, group, rule, user};

const PHASE: &str = "bootstrap-token";
/// Where the record of tokens is kept.
pub const RECORD: &str = "/var/lib/planekeeper/bootstrap-tokens.json";
const GET_NODES: &str = "kubeadm:get-nodes";

/// A Secret for each token, their record, and the RBAC of joining.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    // A cluster that is taken over has its tokens already, and those that ended since are not brought back.
    let has = |token: &&BootstrapToken| token.token.as_ref().is_some_and(|named| facts.tokens.contains_key(&named.id));
    let recorded: Vec<_> =
        cluster.bootstrap_tokens.iter().filter(|token| is_recorded(token) && !facts.adopted).collect();
    if !recorded.is_empty() {
        let tokens = recorded.iter().map(|token| (token.token.as_ref().map(|named| named.id.clone()), token.end));
        let spec = TokensSpec {
            path: RECORD.to_owned(),
            tokens: tokens.collect(),
            renew_ended: cluster.settings.renew_ended_tokens,
            owner: facts.owner,
        };
        desired.push(Resource::present(record(), PHASE, vec![Id::directory(STATE)], Spec::Tokens(spec)));
    }
    for (index, token) in cluster.bootstrap_tokens.iter().enumerate() {
        if facts.adopted && !has(&token) {
            continue;
        }
        let origin = format!("InitConfiguration.bootstrapTokens[{index}]");
        match issued(token, facts) {
            Issued::Valid(named, ends) => {
                desired.push(object(cluster, PHASE, secret(token, &named, ends), &[("", &origin)]));
            }
            Issued::Ended(id) => desired.push(absent(PHASE, "v1", "Secret", Some(SYSTEM), &secret_name(&id))),
            Issued::NotYet => {
                // A token that is still to be made up has no id to name its Secret by.
                let name = token.token.as_ref().map_or_else(|| "generated".to_owned(), |named| named.id.clone());
                let id = Id::object("Secret", Some(SYSTEM), &secret_name(&name));
                desired.waiting.push(Waiting { id, on: record() });
            }
        }
    }
    desired.resources.extend(access(cluster));
    desired
}

/// The id of the record of tokens.
fn record() -> Id {
    Id("tokens:bootstrap".to_owned())
}

/// The configuration alone does not say what the token is and when it ends.
fn is_recorded(token: &BootstrapToken) -> bool {
    token.token.is_none() || matches!(token.end, TokenEnd::After(_))
}

/// How far a token has come.
enum Issued {
    /// It may be used, until some second since 1970.
    Valid(Token, Option<i64>),
    /// The token of this id may no longer be used.
    Ended(String),
    /// The record does not have it yet.
    NotYet,
}

fn issued(token: &BootstrapToken, facts: &Facts) -> Issued {
    let Some(id) = token.token.as_ref().map(|named| &named.id).or(facts.generated_token.as_ref()) else {
        return Issued::NotYet;
    };
    let known = facts.tokens.get(id);
    let named = token.token.clone().or_else(|| Some(Token { id: id.clone(), secret: known?.secret.clone()? }));
    let ends = match token.end {
        TokenEnd::Never => Some(None),
        TokenEnd::At(end) => Some(Some(end)),
        TokenEnd::After(_) => known.map(|known| known.ends),
    };
    match (named, ends) {
        (_, Some(Some(end))) if end <= facts.now => Issued::Ended(id.clone()),
        (Some(named), Some(ends)) => Issued::Valid(named, ends),
        _ => Issued::NotYet,
    }
}

fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// The Secret of a token, by what names it.
#[must_use]
pub fn secret_of(id: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(id), "namespace": SYSTEM},
    })
}

/// The Secret by which the API server knows a token.
pub(super) fn secret(token: &BootstrapToken, named: &Token, ends: Option<i64>) -> Value {
    let mut data = Map::new();
    let mut set = |key: String, text: &str| data.insert(key, Value::from(STANDARD.encode(text)));
    set("token-id".to_owned(), &named.id);
    set("token-secret".to_owned(), &named.secret);
    if !token.description.is_empty() {
        set("description".to_owned(), &token.description);
    }
    // One beyond the year 9999 has no text, and is as good as never.
    if let Some(expiration) = ends.and_then(calendar::rfc3339) {
        set("expiration".to_owned(), &expiration);
    }
    for usage in &token.usages {
        set(format!("usage-bootstrap-{usage}"), "true");
    }
    if !token.groups.is_empty() {
        set("auth-extra-groups".to_owned(), &token.groups.join(","));
    }
    let mut secret = secret_of(&named.id);
    secret["type"] = "bootstrap.kubernetes.io/token".into();
    secret["data"] = data.into();
    secret
}

/// What a node may do with a token, and what it may do later with its own certificate; and, from the release on where the
/// API server's client certificate for kubelets is no longer an administrator's, what that certificate may do.
fn access(cluster: &Cluster) -> Vec<Resource> {
    const REQUESTS: &str = "system:certificates.k8s.io:certificatesigningrequests";
    let joining = [group(BOOTSTRAPPERS)];
    let mut objects = vec![
        cluster_role(GET_NODES, &[rule(&["get"], "", &["nodes"])]),
        cluster_role_binding(GET_NODES, GET_NODES, &joining),
        cluster_role_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", &joining),
        cluster_role_binding("kubeadm:node-autoapprove-bootstrap", &format!("{REQUESTS}:nodeclient"), &joining),
        cluster_role_binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{REQUESTS}:selfnodeclient"),
            &[group(NODES)],
        ),
    ];
    if !cluster.release.kubelet_client_is_cluster_admin {
        let subjects = [user("kube-apiserver-kubelet-client")];
        objects.push(cluster_role_binding("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin", &subjects));
    }
    objects.into_iter().map(|object| Resource::object(PHASE, object)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::fixture;
    use crate::facts::IssuedToken;
    use crate::resource::Want;

    const DAY: TokenEnd = TokenEnd::After(Duration::from_secs(86_400));

    fn desired_of(name: Option<&str>, end: TokenEnd, ends: Option<i64>) -> Desired {
        let mut cluster = fixture();
        let token = name.map(|id| Token { id: id.to_owned(), secret: "0123456789abcdef".to_owned() });
        cluster.bootstrap_tokens[0].token = token;
        cluster.bootstrap_tokens[0].end = end;
        let mut facts = Facts { now: 1_000, ..Facts::default() };
        if let Some(ends) = ends {
            let issued = IssuedToken { ends: Some(ends), secret: Some("fedcba9876543210".to_owned()) };
            facts.tokens.insert("abcdef".to_owned(), issued);
            facts.generated_token = Some("abcdef".to_owned());
        }
        desired(&cluster, &facts)
    }

    fn secret_of(desired: &Desired) -> Option<&Want> {
        let id = Id::object("Secret", Some(SYSTEM), "bootstrap-token-abcdef");
        desired.resources.iter().find(|resource| resource.id == id).map(|resource| &resource.want)
    }

    fn text(want: Option<&Want>, key: &str) -> String {
        let Some(Want::Present(Spec::Object(object))) = want else { panic!("no Secret: {want:?}") };
        String::from_utf8(STANDARD.decode(object["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_waits_for_the_record_of_when_it_ends() {
        let desired = desired_of(Some("abcdef"), DAY, None);
        assert!(secret_of(&desired).is_none());
        assert_eq!(desired.waiting[0].on, record());
        assert!(desired.resources.iter().any(|resource| resource.id == record()));
    }

    #[test]
    fn a_token_that_never_ends_needs_no_record() {
        let desired = desired_of(Some("abcdef"), TokenEnd::Never, None);
        assert!(desired.waiting.is_empty());
        assert_eq!(text(secret_of(&desired), "token-secret"), "0123456789abcdef");
        assert!(desired.resources.iter().all(|resource| resource.id != record()));
    }

    #[test]
    fn a_token_keeps_the_end_that_it_was_made_with() {
        let desired = desired_of(Some("abcdef"), DAY, Some(86_400));
        assert_eq!(text(secret_of(&desired), "expiration"), "1970-01-02T00:00:00Z");
        assert_eq!(text(secret_of(&desired), "token-secret"), "0123456789abcdef");
    }

    #[test]
    fn a_token_that_is_made_up_has_the_recorded_secret() {
        assert_eq!(text(secret_of(&desired_of(None, DAY, Some(2_000))), "token-secret"), "fedcba9876543210");
    }

    #[test]
    fn a_token_that_ended_is_not_prolonged() {
        for desired in [desired_of(None, DAY, Some(1_000)), desired_of(Some("abcdef"), TokenEnd::At(999), None)] {
            assert!(matches!(secret_of(&desired), Some(Want::Absent(_))), "{desired:?}");
        }
    }
}
