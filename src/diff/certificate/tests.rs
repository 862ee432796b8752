use super::*;
use crate::cluster::KeyAlgorithm;
use crate::facts::Owner;
use crate::observed::Mode;
use crate::resource::Effect;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
const DAYS: Duration = Duration::from_secs(86_400);

fn ca() -> CaRef {
    CaRef { id: Id::certificate("ca"), certificate: "/pki/ca.crt".into(), key: "/pki/ca.key".into() }
}

fn spec(issuer: Issuer) -> CertificateSpec {
    let mut profile = Profile::ca("kube-apiserver", KeyAlgorithm::Rsa2048, 365 * DAYS);
    profile.dns_names = ["kubernetes".into()].into();
    profile.ip_addresses = ["10.96.0.1".parse().unwrap()].into();
    profile.server = true;
    CertificateSpec {
        certificate: "/pki/x.crt".into(),
        key: "/pki/x.key".into(),
        profile,
        issuer,
        owner: Owner::default(),
        effect: Effect::None,
    }
}

fn leaf() -> CertificateSpec {
    spec(Issuer::Ca(ca()))
}

fn root() -> CertificateSpec {
    spec(Issuer::SelfSigned { witnesses: Vec::new() })
}

fn facts() -> CertificateFacts {
    CertificateFacts {
        common_name: "kube-apiserver".into(),
        organizations: Vec::new(),
        dns_names: ["kubernetes".into()].into(),
        ip_addresses: ["10.96.0.1".parse().unwrap()].into(),
        server: true,
        client: false,
        is_ca: false,
        algorithm: Some(KeyAlgorithm::EcdsaP384), // not what is configured, and no reason
        serial: "01".into(),
        issuer: "kubernetes".into(),
        not_before: 0,
        not_after: YEAR,
        signed_by_issuer: Some(true),
    }
}

fn seen(facts: CertificateFacts) -> CertificateSeen {
    let mode = |mode| Some(Mode { mode, owner: Owner::default() });
    CertificateSeen {
        certificate: Some(Ok(facts)),
        certificate_mode: mode(0o644),
        key: KeySeen::Present(Some(KeyAlgorithm::EcdsaP384)),
        key_mode: mode(0o600),
        pair: true,
    }
}

fn seen_ca() -> CertificateSeen {
    seen(CertificateFacts { is_ca: true, ..facts() })
}

/// The differences for which a leaf would be made anew.
fn reasons(seen: &CertificateSeen, now: i64) -> Vec<(String, Option<String>, Option<String>)> {
    match judge(&leaf(), Some(seen), &IssuerState::Signs, None, now) {
        Verdict::Update(found) => found.into_iter().map(|d| (d.field, d.before, d.after)).collect(),
        Verdict::Same => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_leaf_is_kept_while_it_satisfies_what_is_wanted() {
    assert_eq!(reasons(&seen(facts()), DAY), []);
}

#[test]
fn names_are_added_and_taken_away_by_themselves() {
    let seen = seen(CertificateFacts { dns_names: ["old".into()].into(), ..facts() });
    let added = ("SAN".to_owned(), None, Some("kubernetes".to_owned()));
    let removed = ("SAN".to_owned(), Some("old".to_owned()), None);
    assert_eq!(reasons(&seen, DAY), [added, removed]);
}

#[test]
fn every_fault_of_a_leaf_is_named() {
    let field = |seen: CertificateSeen| reasons(&seen, DAY).into_iter().map(|(field, ..)| field).collect::<Vec<_>>();
    assert_eq!(field(seen(CertificateFacts { common_name: "x".into(), ..facts() })), ["subject"]);
    assert_eq!(field(seen(CertificateFacts { organizations: vec!["system:masters".into()], ..facts() })), ["subject"]);
    assert_eq!(field(seen(CertificateFacts { server: false, ..facts() })), ["usages"]);
    assert_eq!(field(seen(CertificateFacts { signed_by_issuer: Some(false), ..facts() })), ["issuer"]);
    assert_eq!(field(CertificateSeen { pair: false, ..seen(facts()) }), ["key"]);
    assert_eq!(field(CertificateSeen { key: KeySeen::Absent, ..seen(facts()) }), ["key"]);
    assert_eq!(field(CertificateSeen { certificate: None, pair: false, ..seen(facts()) }), ["certificate"]);
    assert_eq!(field(CertificateSeen { certificate: Some(Err("torn".into())), ..seen(facts()) }), ["certificate"]);
}

#[test]
fn a_leaf_is_renewed_in_the_last_third_of_its_life() {
    assert_eq!(reasons(&seen(facts()), YEAR - YEAR / 3 - 1), []);
    let found = reasons(&seen(facts()), YEAR - YEAR / 3);
    let after = date(YEAR - YEAR / 3 + YEAR);
    assert_eq!(found, [("expires".to_owned(), Some("1971-01-01T00:00:00Z".to_owned()), Some(after))]);
}

#[test]
fn renew_before_counts_unless_it_would_never_end() {
    let due = |before: u32| {
        let before = Some(RenewBefore::Time(before * DAYS));
        renews_at(&Profile { renew_before: before, ..leaf().profile }, &facts())
    };
    assert_eq!((due(30), due(400)), (YEAR - 30 * DAY, YEAR - YEAR / 3));
}

#[test]
fn a_share_of_its_life_may_be_left() {
    let due =
        |share: u8| renews_at(&Profile { renew_before: Some(RenewBefore::Share(share)), ..leaf().profile }, &facts());
    assert_eq!((due(1), due(50), due(99)), (YEAR - YEAR / 100, YEAR - YEAR / 2, YEAR - YEAR / 100 * 99));
}

#[test]
fn it_is_renewed_earlier_by_a_tenth_at_most_and_never_later_nor_again_at_once() {
    for before in
        [None, Some(RenewBefore::Time(30 * DAYS)), Some(RenewBefore::Time(364 * DAYS)), Some(RenewBefore::Share(99))]
    {
        let due = |early: u16| renews_at(&Profile { renew_before: before, early, ..leaf().profile }, &facts());
        let (latest, earliest) = (due(0), due(999));
        assert!(earliest < due(500) && due(500) < latest, "{before:?}");
        assert!(latest - earliest <= (YEAR - latest) / 10 && earliest > 0, "{before:?}: a new one is due at once");
    }
}

#[test]
fn what_lives_for_minutes_is_not_renewed_at_once_because_it_began_in_the_past() {
    let profile = Profile { validity: Duration::from_secs(120), ..leaf().profile };
    let made = CertificateFacts { not_before: -300, not_after: 120, ..facts() };
    assert_eq!(renews_at(&profile, &made), 80);
}

#[test]
fn without_the_cas_key_a_refusal_says_what_to_have_signed() {
    let judged = |seen: Option<&CertificateSeen>, now| judge(&leaf(), seen, &IssuerState::CertificateOnly, None, now);
    let Verdict::Refuse(why) = judged(None, DAY) else { panic!() };
    for part in
        ["/pki/x.crt", "/pki/x.key", "/pki/ca.crt", "CN=kube-apiserver", "DNS:kubernetes IP:10.96.0.1", "serverAuth"]
    {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(judged(Some(&seen(facts())), DAY), Verdict::Same);
    assert_eq!(judged(Some(&seen(facts())), YEAR - DAY), Verdict::Same, "it is old, but good");
    assert!(matches!(judged(Some(&seen(facts())), YEAR), Verdict::Refuse(_)));
}

#[test]
fn who_has_certificates_signed_elsewhere_may_have_more_names_in_them() {
    let names = |names: &[&str]| {
        seen(CertificateFacts { dns_names: names.iter().map(|name| (*name).to_owned()).collect(), ..facts() })
    };
    let judged = |seen: &CertificateSeen, issuer| judge(&leaf(), Some(seen), &issuer, None, DAY);
    assert_eq!(judged(&names(&["kubernetes", "lb.example.com"]), IssuerState::CertificateOnly), Verdict::Same);
    assert!(matches!(judged(&names(&["lb.example.com"]), IssuerState::CertificateOnly), Verdict::Refuse(_)));
    assert!(matches!(judged(&names(&["kubernetes", "lb.example.com"]), IssuerState::Signs), Verdict::Update(_)));
}

#[test]
fn what_nobody_here_can_renew_is_told_of_in_time_and_only_then() {
    let told = |seen: &CertificateSeen, issuer, now| by_hand(&leaf(), seen, &issuer, now);
    let due = YEAR - YEAR / 3;
    let errand = told(&seen(facts()), IssuerState::CertificateOnly, due).unwrap();
    for part in
        ["/pki/x.crt ends on 1971-01-01T00:00:00Z", "/pki/ca.key", "CN=kube-apiserver", "IP:10.96.0.1", "/pki/x.key"]
    {
        assert!(errand.contains(part), "{errand}");
    }
    assert_eq!(told(&seen(facts()), IssuerState::CertificateOnly, due - 1), None);
    assert_eq!(told(&seen(facts()), IssuerState::Signs, due), None, "planekeeper renews it");
    assert_eq!(told(&seen(facts()), IssuerState::CertificateOnly, YEAR), None, "it is refused");
}

#[test]
fn a_mode_is_set_and_nothing_is_made_anew() {
    let mut seen = seen(facts());
    seen.key_mode = Some(Mode { mode: 0o640, owner: Owner { uid: 7, gid: 0 } });
    let Verdict::Update(found) = judge(&leaf(), Some(&seen), &IssuerState::CertificateOnly, None, DAY) else {
        panic!()
    };
    assert!(mode::only_modes(&found));
    assert_eq!(found[0], Difference::new("x.key mode", "0640", "0600"));
    let mut both = found;
    both.push(Difference::added("SAN", "x"));
    assert!(!mode::only_modes(&both));
}

#[test]
fn a_ca_is_made_once() {
    let judged = |witness: Option<&Id>| judge(&root(), None, &IssuerState::Absent, witness, DAY);
    assert_eq!(judged(None), Verdict::Create);
    assert!(matches!(judged(Some(&Id::certificate("apiserver"))), Verdict::Refuse(why) if why.contains("backup")));
}

#[test]
fn a_ca_is_never_replaced() {
    let judged = |seen: CertificateSeen, now| judge(&root(), Some(&seen), &IssuerState::Absent, None, now);
    assert_eq!(judged(seen_ca(), YEAR - 1), Verdict::Same, "near its end");
    assert_eq!(judged(CertificateSeen { key: KeySeen::Absent, pair: false, ..seen_ca() }, DAY), Verdict::Same);
    assert_eq!(judged(CertificateSeen { certificate: None, pair: false, ..seen_ca() }, DAY), Verdict::Create);
    for (broken, now) in [
        (seen_ca(), YEAR),
        (seen(facts()), DAY),
        (CertificateSeen { pair: false, ..seen_ca() }, DAY),
        (CertificateSeen { key: KeySeen::Unreadable, pair: false, ..seen_ca() }, DAY),
        (CertificateSeen { certificate: Some(Err("torn".into())), ..seen_ca() }, DAY),
        (CertificateSeen { certificate: None, key: KeySeen::Unreadable, pair: false, ..seen_ca() }, DAY),
    ] {
        assert!(matches!(judged(broken.clone(), now), Verdict::Refuse(_)), "{broken:?}");
        assert!(!matches!(IssuerState::of(Some(&broken), now), IssuerState::Signs | IssuerState::CertificateOnly));
    }
}

#[test]
fn a_users_ca_keeps_its_modes_unless_they_are_dangerous() {
    let judged = |certificate, key| {
        let owner = Owner { uid: 7, gid: 7 };
        let certificate_mode = Some(Mode { mode: certificate, owner });
        let seen = CertificateSeen { certificate_mode, key_mode: Some(Mode { mode: key, owner }), ..seen_ca() };
        mode_repairs(&root(), &seen).into_iter().map(|repair| (repair.path, repair.mode)).collect::<Vec<_>>()
    };
    assert_eq!(judged(0o444, 0o400), []);
    assert_eq!(judged(0o664, 0o600), [("/pki/x.crt".to_owned(), 0o644)]);
    assert_eq!(judged(0o600, 0o640), [("/pki/x.key".to_owned(), 0o600)]);
}

#[test]
fn what_signs_itself_is_kept_whatever_it_says_until_it_nears_its_end_or_cannot_be_used() {
    let judge =
        |seen: Option<CertificateSeen>, now| judge(&spec(Issuer::Own), seen.as_ref(), &IssuerState::Absent, None, now);
    let of_a_kubelet = || CertificateFacts {
        common_name: "cp1@1795900530".into(),
        dns_names: ["cp1".into()].into(),
        issuer: "cp1-ca@1795900530".into(),
        signed_by_issuer: None,
        ..facts()
    };
    assert_eq!(judge(None, DAY), Verdict::Create);
    assert_eq!(judge(Some(seen(of_a_kubelet())), DAY), Verdict::Same);
    let field = |seen: CertificateSeen, now| match judge(Some(seen), now) {
        Verdict::Update(found) => found.into_iter().map(|found| found.field).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(seen(of_a_kubelet()), YEAR - YEAR / 3), ["expires"]);
    let own = CertificateFacts { common_name: "cp1".into(), issuer: "cp1".into(), ..of_a_kubelet() };
    assert_eq!(field(seen(own), YEAR - YEAR / 3), ["expires"]);
    let of_a_ca = CertificateFacts { issuer: "our-company".into(), ..of_a_kubelet() };
    assert_eq!(judge(Some(seen(of_a_ca)), YEAR), Verdict::Same, "whoever had it signed renews it");
    assert_eq!(field(CertificateSeen { pair: false, ..seen(of_a_kubelet()) }, DAY), ["key"]);
    assert_eq!(field(CertificateSeen { key: KeySeen::Absent, ..seen(of_a_kubelet()) }, DAY), ["key"]);
    assert_eq!(field(CertificateSeen { certificate: None, pair: false, ..seen(of_a_kubelet()) }, DAY), ["certificate"]);
    let open = Some(Mode { mode: 0o644, owner: Owner::default() });
    assert_eq!(field(CertificateSeen { key_mode: open, ..seen(of_a_kubelet()) }, DAY).len(), 1);
}
