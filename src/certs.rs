//! The list of certificates, for people and as a superset of kubeadm's `CertificateExpirationInfo`.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::diff::certificate::{self, IssuerState, date};
use crate::diff::kubeconfig;
use crate::observed::{CertificateFacts, CertificateSeen, CredentialSeen, KeySeen, Observed, Seen};
use crate::resource::{Desired, Id, Issuer, KubeconfigSpec, Spec, Want};
use crate::table::table;

/// One certificate of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// kubeadm's name of it: `apiserver`, `etcd-server`, `admin.conf`.
    pub name: String,
    /// The file that it is in.
    pub path: String,
    /// It is a CA.
    pub is_ca: bool,
    /// Its beginning, in seconds since 1970, where it could be read.
    pub begins: Option<i64>,
    /// Its end, in seconds since 1970, where it could be read.
    pub expires: Option<i64>,
    /// Seconds until its end; negative after it.
    pub residual: Option<i64>,
    /// kubeadm's name of the CA that signs it; its own where it signs itself; `None` for a CA.
    pub ca_name: Option<String>,
    /// The CA's key is not on this host: planekeeper cannot renew it.
    pub externally_managed: bool,
    /// When planekeeper renews it, in seconds since 1970; `None` where it never does.
    pub renews: Option<i64>,
    /// How it stands.
    pub state: State,
}

/// How a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Valid, and not near its end.
    Valid,
    /// Valid, and to be renewed: by the next pass, or, if externally managed, by a person.
    Due,
    /// Past its end.
    Expired,
    /// Before its beginning.
    NotYetValid,
    /// Not there.
    Missing,
    /// There, and not to be read, for this reason.
    Unreadable(String),
}

impl State {
    /// One or two words, the same in text and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::Missing => "missing",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// What was read of a certificate: nothing is there, a certificate, or why there is none to be read.
type Reading<'a> = Option<Result<&'a CertificateFacts, String>>;

/// The certificates that are wanted, by name, then the CAs. The kubelet's own kubeconfig is left out, as in kubeadm, where the cluster signs
/// the certificates that the kubelet asks for; where the CA's key is elsewhere, a person has to.
#[must_use]
pub fn rows(desired: &Desired, observed: &Observed, now: i64) -> Vec<Row> {
    let mut rows: Vec<Row> = desired
        .resources
        .iter()
        .filter_map(|resource| match &resource.want {
            Want::Present(Spec::Certificate(spec)) => {
                let due = |facts: &CertificateFacts| certificate::renews_at(&spec.profile, facts);
                Some(row(&resource.id, &spec.certificate, &spec.issuer, &due, observed, now))
            }
            Want::Present(Spec::Kubeconfig(spec)) => kubeconfig_row(&resource.id, spec, observed, now),
            _ => None,
        })
        .collect();
    rows.sort_by(|a, b| (a.is_ca, &a.name).cmp(&(b.is_ca, &b.name)));
    rows
}

fn kubeconfig_row(id: &Id, spec: &KubeconfigSpec, observed: &Observed, now: i64) -> Option<Row> {
    let due = |facts: &CertificateFacts| kubeconfig::renews_at(spec, facts);
    let row = row(id, &spec.path, &Issuer::Ca(spec.issuer.clone()), &due, observed, now);
    (spec.rotated.is_none() || (row.externally_managed && row.expires.is_some())).then_some(row)
}

/// When a certificate is due to be made anew.
type Due<'a> = &'a dyn Fn(&CertificateFacts) -> i64;

fn row(id: &Id, path: &str, issuer: &Issuer, due: Due<'_>, observed: &Observed, now: i64) -> Row {
    let reading = reading(observed, id);
    let facts = reading.as_ref().and_then(|read| read.as_ref().ok()).copied();
    let is_ca = matches!(issuer, Issuer::SelfSigned { .. });
    let (ca_name, externally_managed) = match issuer {
        Issuer::SelfSigned { .. } => (None, certificate_seen(observed, id).is_some_and(|ca| ca.key == KeySeen::Absent)),
        Issuer::Ca(ca) => {
            let state = IssuerState::of(certificate_seen(observed, &ca.id), now);
            (Some(name(&ca.id)), state == IssuerState::CertificateOnly)
        }
        Issuer::Own => (Some(name(id)), false),
    };
    let due = facts.filter(|_| !is_ca).map(due);
    Row {
        name: name(id),
        path: path.to_owned(),
        is_ca,
        begins: facts.map(|facts| facts.not_before),
        expires: facts.map(|facts| facts.not_after),
        residual: facts.map(|facts| facts.not_after.saturating_sub(now)),
        ca_name,
        externally_managed: externally_managed && facts.is_some(),
        renews: due.filter(|_| !externally_managed),
        state: state(reading, due, now),
    }
}

fn state(reading: Reading<'_>, due: Option<i64>, now: i64) -> State {
    match reading {
        None => State::Missing,
        Some(Err(reason)) => State::Unreadable(reason),
        Some(Ok(facts)) if now >= facts.not_after => State::Expired,
        Some(Ok(facts)) if now < facts.not_before => State::NotYetValid,
        Some(Ok(_)) if due.is_some_and(|due| now >= due) => State::Due,
        Some(Ok(_)) => State::Valid,
    }
}

/// The name that kubeadm's list has: `etcd/server` is `etcd-server` there.
fn name(id: &Id) -> String {
    id.0.split_once(':').map_or(id.0.as_str(), |(_, name)| name).replace('/', "-")
}

fn certificate_seen<'a>(observed: &'a Observed, id: &Id) -> Option<&'a CertificateSeen> {
    match observed.get(id) {
        Some(Ok(Seen::Certificate(seen))) => Some(seen),
        _ => None,
    }
}

fn reading<'a>(observed: &'a Observed, id: &Id) -> Reading<'a> {
    match observed.get(id)? {
        Err(error) => Some(Err(error.why.clone())),
        Ok(Seen::Certificate(seen)) => seen.certificate.as_ref().map(|read| read.as_ref().map_err(Clone::clone)),
        Ok(Seen::Kubeconfig(seen)) => Some(match &seen.content {
            Err(reason) => Err(reason.clone()),
            Ok(facts) => match &facts.credential {
                CredentialSeen::Embedded { certificate, .. } => certificate.as_deref().map_err(Clone::clone),
                CredentialSeen::Files { content: Some(content), .. } => content.as_deref().map_err(Clone::clone),
                CredentialSeen::Files { .. } | CredentialSeen::Other(_) => Err("no certificate is embedded".into()),
            },
        }),
        Ok(Seen::Obstacle(obstacle)) => Some(Err(format!("{} is not a file", obstacle.path))),
        Ok(_) => None,
    }
}

/// `output.kubeadm.k8s.io/v1alpha3` `CertificateExpirationInfo`, with `path`, `state`, `renews` and, where it cannot be
/// read, `reason` besides kubeadm's own fields of each certificate.
#[must_use]
pub fn to_json(rows: &[Row]) -> Value {
    let list = |is_ca| rows.iter().filter(|row| row.is_ca == is_ca).map(row_json).collect::<Vec<_>>();
    json!({
        "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
        "kind": "CertificateExpirationInfo",
        "certificates": list(false),
        "certificateAuthorities": list(true),
    })
}

fn row_json(row: &Row) -> Value {
    let mut value = json!({
        "name": row.name,
        "path": row.path,
        "expirationDate": row.expires.map(date),
        "residualTime": row.residual.unwrap_or(0),
        "externallyManaged": row.externally_managed,
        "missing": row.state == State::Missing,
        "renews": row.renews.map(date),
        "state": row.state.name(),
    });
    if let Some(ca) = &row.ca_name {
        value["caName"] = json!(ca);
    }
    if let State::Unreadable(reason) = &row.state {
        value["reason"] = json!(reason);
    }
    value
}

/// Two tables, one of certificates and one of CAs: kubeadm's columns in kubeadm's order, then when each is renewed and
/// how it stands.
#[must_use]
pub fn to_text(rows: &[Row]) -> String {
    const SHARED: [&str; 2] = ["EXPIRES", "RESIDUAL TIME"];
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    let day = |seconds| calendar(seconds, false);
    let mut leaves = vec![
        ["CERTIFICATE", SHARED[0], SHARED[1], "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED", "RENEWS", "STATE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut authorities = vec![
        ["CERTIFICATE AUTHORITY", SHARED[0], SHARED[1], "EXTERNALLY MANAGED", "STATE"].map(str::to_owned).to_vec(),
    ];
    for row in rows {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let mut cells = vec![
            row.name.clone(),
            or_dash(row.expires.map(|end| calendar(end, true))),
            or_dash(row.residual.map(human)),
        ];
        let state = match &row.state {
            State::Unreadable(reason) => format!("unreadable: {reason}"),
            other => other.name().to_owned(),
        };
        if row.is_ca {
            cells.extend([yes_no(row.externally_managed), state]);
            authorities.push(cells);
        } else {
            let renews = if row.externally_managed { Some("by hand".into()) } else { row.renews.map(day) };
            cells.extend([or_dash(row.ca_name.clone()), yes_no(row.externally_managed), or_dash(renews), state]);
            leaves.push(cells);
        }
    }
    format!("{}\n{}", table(&leaves), table(&authorities))
}

/// `Nov 22, 2027`, and with the time `Nov 22, 2027 16:14 UTC`.
fn calendar(seconds: i64, with_time: bool) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp(seconds) else { return date(seconds) };
    let month = time.month().to_string();
    let day = format!("{} {:02}, {}", &month[..3], time.day(), time.year());
    if with_time { format!("{day} {:02}:{:02} UTC", time.hour(), time.minute()) } else { day }
}

/// A duration in seconds in at most two units; one that is over is `ago`, where kubeadm prints `<invalid>`.
fn human(seconds: i64) -> String {
    const UNITS: [(i64, &str); 5] = [(365 * 86_400, "y"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let (length, ago) = (seconds.saturating_abs(), if seconds < 0 { " ago" } else { "" });
    // As client-go's HumanDuration: days up to two years, hours up to two days, and so on.
    let first = UNITS.iter().position(|(size, _)| length >= size * 2).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[first];
    let second =
        UNITS.get(first + 1).filter(|(_, unit)| *unit != "s").map(|(smaller, unit)| (length % size / smaller, *unit));
    match second {
        Some((more, unit2)) if more > 0 && length / size < 8 => format!("{}{unit}{more}{unit2}{ago}", length / size),
        _ => format!("{}{unit}{ago}", length / size),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::KeyAlgorithm;
    use crate::facts::Owner;
    use crate::resource::{CaRef, CertificateSpec, Effect, Profile, Resource};

    const DAY: i64 = 86_400;

    fn wanted(id: &str, issuer: Issuer) -> Resource {
        let profile = Profile::ca("x", KeyAlgorithm::EcdsaP256, Duration::from_secs(365 * 86_400));
        let (certificate, key) = (format!("/pki/{id}.crt"), format!("/pki/{id}.key"));
        let spec = CertificateSpec { certificate, key, profile, issuer, owner: Owner::default(), effect: Effect::None };
        Resource::present(Id::certificate(id), "certs", Vec::new(), Spec::Certificate(spec))
    }

    fn seen(id: &str, is_ca: bool, days: i64, key: KeySeen) -> (Id, Result<Seen, crate::observed::ObserveError>) {
        let facts = CertificateFacts {
            common_name: "x".into(),
            organizations: Vec::new(),
            dns_names: [].into(),
            ip_addresses: [].into(),
            server: true,
            client: false,
            is_ca,
            algorithm: None,
            serial: "1".into(),
            issuer: "x".into(),
            not_before: 0,
            not_after: days * DAY,
            signed_by_issuer: None,
        };
        let seen =
            CertificateSeen { certificate: Some(Ok(facts)), certificate_mode: None, key, key_mode: None, pair: true };
        (Id::certificate(id), Ok(Seen::Certificate(seen)))
    }

    /// A CA, a leaf of it, and one that is missing, at day 300 of the leaf's 360.
    fn listed(ca_key: KeySeen) -> Vec<Row> {
        let path = |end| format!("/pki/etcd/ca.{end}");
        let ca = CaRef { id: Id::certificate("etcd/ca"), certificate: path("crt"), key: path("key") };
        let mut desired = Desired::default();
        desired.push(wanted("etcd/ca", Issuer::SelfSigned { witnesses: Vec::new() }));
        desired.push(wanted("etcd/server", Issuer::Ca(ca.clone())));
        desired.push(wanted("etcd/peer", Issuer::Ca(ca)));
        let key = KeySeen::Present(None);
        let observed = [seen("etcd/ca", true, 3650, ca_key), seen("etcd/server", false, 360, key)].into();
        rows(&desired, &observed, 300 * DAY)
    }

    #[test]
    fn the_table_has_kubeadms_columns_and_says_what_is_due() {
        assert_eq!(
            to_text(&listed(KeySeen::Present(None))),
            "\
CERTIFICATE   EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   EXTERNALLY MANAGED   RENEWS         STATE
etcd-peer     -                        -               etcd-ca                 no                   -              missing
etcd-server   Dec 27, 1970 00:00 UTC   60d             etcd-ca                 no                   Aug 29, 1970   due

CERTIFICATE AUTHORITY   EXPIRES                  RESIDUAL TIME   EXTERNALLY MANAGED   STATE
etcd-ca                 Dec 30, 1979 00:00 UTC   9y              no                   valid
"
        );
    }

    #[test]
    fn the_json_has_every_field_of_kubeadms() {
        let json = to_json(&listed(KeySeen::Absent));
        assert_eq!(json["kind"], "CertificateExpirationInfo");
        let row = &json["certificates"][1];
        assert_eq!((&row["name"], &row["caName"]), (&json!("etcd-server"), &json!("etcd-ca")));
        assert_eq!(row["expirationDate"], "1970-12-27T00:00:00Z");
        assert_eq!((&row["residualTime"], &row["missing"]), (&json!(60 * DAY), &json!(false)));
        assert_eq!((&row["externallyManaged"], &row["renews"]), (&json!(true), &Value::Null));
        let missing = &json["certificates"][0];
        assert_eq!((&missing["missing"], &missing["expirationDate"]), (&json!(true), &Value::Null));
        assert_eq!(json["certificateAuthorities"][0].get("caName"), None);
    }

    #[test]
    fn residual_times_read_as_kubeadms_do_and_past_ones_too() {
        let year = 365 * DAY;
        let shown = [30, 5 * 60 + 7, 3 * 3600, 4 * DAY + 3600, 60 * DAY, 3 * year + 7 * DAY, 10 * year, -3 * DAY];
        assert_eq!(shown.map(human), ["30s", "5m", "3h", "4d1h", "60d", "3y7d", "10y", "3d ago"]);
    }
}
