//! What differs between what is wanted and what was seen: pure verdicts, one file a kind of resource.

pub mod certificate;
pub mod directory;
pub mod file;
pub mod image;
pub mod key_pair;
pub mod kubeconfig;
pub mod left;
pub mod mode;
pub mod node;
pub mod object;
pub mod owned;
pub mod static_pod;
pub mod tokens;
pub mod unit;
pub mod value;

use std::collections::BTreeSet;

use crate::diff::certificate::IssuerState;
use crate::observed::{Observed, Obstacle, ObstacleKind, Seen};
use crate::resource::{CaRef, CertificateSpec, FileSpec, Id, Issuer, Resource, Spec, Target, Want};
use crate::verdict::{Difference, Verdict};

/// Judges a resource. `observed` has what else counts: the CA that signs it, the witnesses of an earlier one. `now` is in seconds
/// since 1970.
#[must_use]
pub fn judge(resource: &Resource, seen: &Seen, observed: &Observed, now: i64) -> Verdict {
    match &resource.want {
        Want::Absent(_) if matches!(seen, Seen::Absent) => Verdict::Same,
        Want::Absent(Target::Written(spec)) if is_another(spec, seen) => Verdict::Same,
        Want::Absent(_) => match seen {
            Seen::Obstacle(obstacle) => refuse_obstacle(obstacle),
            Seen::Object(Some(live)) => object::judge_removal(live),
            _ => Verdict::Remove,
        },
        Want::Theirs { objection: Some(why), .. } => Verdict::Refuse(why.clone()),
        Want::Theirs { .. } => Verdict::Same,
        Want::Present(spec) => match seen {
            Seen::Obstacle(obstacle) => judge_obstacle(spec, obstacle),
            seen => judge_present(&left::spec(spec, seen, &resource.left), seen, observed, now),
        },
    }
}

/// What is there is not what planekeeper wrote.
fn is_another(spec: &FileSpec, seen: &Seen) -> bool {
    !matches!(seen, Seen::File(seen) if file::differences(&spec.content, &seen.bytes).is_empty())
}

fn judge_present(spec: &Spec, seen: &Seen, observed: &Observed, now: i64) -> Verdict {
    match (spec, seen) {
        (Spec::Certificate(spec), Seen::Absent | Seen::Certificate(_)) => {
            let seen = if let Seen::Certificate(seen) = seen { Some(seen) } else { None };
            judge_certificate(spec, seen, observed, now)
        }
        (Spec::KeyPair(spec), Seen::Absent) => key_pair::judge(spec, None, witness(&spec.witnesses, observed)),
        (Spec::KeyPair(spec), Seen::KeyPair(seen)) => {
            key_pair::judge(spec, Some(seen), witness(&spec.witnesses, observed))
        }
        (Spec::Kubeconfig(spec), Seen::Absent) => {
            kubeconfig::judge(spec, None, &issuer(&spec.issuer, observed, now), now)
        }
        (Spec::Kubeconfig(spec), Seen::Kubeconfig(seen)) => {
            kubeconfig::judge(spec, Some(seen), &issuer(&spec.issuer, observed, now), now)
        }
        (Spec::Image(spec), Seen::Absent) => image::judge_absent(spec),
        (Spec::Unit(spec), Seen::Absent) => unit::judge_absent(spec),
        (Spec::Unit(_), Seen::Unit(seen)) => unit::judge(seen),
        (Spec::StaticPod(spec), Seen::StaticPod(seen)) => static_pod::judge(spec, seen, now),
        (Spec::Image(_), Seen::Image) | (Spec::Gate(_), Seen::Gate(Ok(()))) => Verdict::Same,
        (Spec::Gate(_), Seen::Gate(Err(why))) => Verdict::Wait(why.clone()),
        (_, Seen::Absent) => Verdict::Create,
        (Spec::Directory(spec), Seen::Directory(mode)) => directory::judge(spec, *mode),
        (Spec::File(spec), Seen::File(seen)) => file::judge(spec, seen),
        (Spec::Tokens(spec), Seen::Tokens(seen)) => tokens::judge(spec, seen, now),
        (Spec::Object(wanted), Seen::Object(seen)) => object::judge(wanted, seen.as_ref()),
        _ => Verdict::Refuse("what was seen there is of another kind than what is wanted".to_owned()),
    }
}

/// What a person has to do in time about a resource that is as wanted: have the next certificate signed before this one ends, where the
/// CA's key is not here.
#[must_use]
pub fn by_hand(resource: &Resource, seen: &Seen, observed: &Observed, now: i64) -> Option<String> {
    match (&resource.want, seen) {
        (Want::Present(Spec::Certificate(spec)), Seen::Certificate(seen)) => match &spec.issuer {
            Issuer::Ca(ca) => certificate::by_hand(spec, seen, &issuer(ca, observed, now), now),
            Issuer::SelfSigned { .. } => certificate::ca_ends(seen, now),
            Issuer::Own => None,
        },
        (Want::Present(Spec::Kubeconfig(spec)), Seen::Kubeconfig(seen)) => {
            kubeconfig::by_hand(spec, seen, &issuer(&spec.issuer, observed, now), now)
        }
        _ => None,
    }
}

fn judge_certificate(
    spec: &CertificateSpec,
    seen: Option<&crate::observed::CertificateSeen>,
    observed: &Observed,
    now: i64,
) -> Verdict {
    match &spec.issuer {
        Issuer::SelfSigned { witnesses } => {
            certificate::judge(spec, seen, &IssuerState::Absent, witness(witnesses, observed), now)
        }
        Issuer::Ca(ca) => certificate::judge(spec, seen, &issuer(ca, observed, now), None, now),
        Issuer::Own => certificate::judge(spec, seen, &IssuerState::Absent, None, now),
    }
}

/// The first of the witnesses that is there.
fn witness<'a>(witnesses: &'a [Id], observed: &Observed) -> Option<&'a Id> {
    witnesses.iter().find(|id| matches!(observed.get(id), Some(Ok(seen)) if !matches!(seen, Seen::Absent)))
}

fn issuer(ca: &CaRef, observed: &Observed, now: i64) -> IssuerState {
    match observed.get(&ca.id) {
        Some(Ok(Seen::Certificate(seen))) => IssuerState::of(Some(seen), now),
        Some(Ok(Seen::Absent)) | None => IssuerState::Absent,
        Some(Ok(_)) => IssuerState::Unusable(format!("{} is no file", ca.certificate)),
        Some(Err(error)) => IssuerState::Unusable(error.to_string()),
    }
}

/// A link or an empty folder in a file's place gives way: nothing is lost with it. Everything else is somebody's.
fn judge_obstacle(spec: &Spec, obstacle: &Obstacle) -> Verdict {
    let protected = match spec {
        Spec::Directory(_) | Spec::KeyPair(_) => true,
        Spec::Certificate(spec) => matches!(spec.issuer, Issuer::SelfSigned { .. }),
        _ => false,
    };
    match obstacle.kind {
        ObstacleKind::Link if !protected => Verdict::Update(vec![Difference::new("type", "a link", "a file")]),
        ObstacleKind::EmptyDirectory if !protected => {
            Verdict::Update(vec![Difference::new("type", "an empty folder", "a file")])
        }
        _ => refuse_obstacle(obstacle),
    }
}

fn refuse_obstacle(obstacle: &Obstacle) -> Verdict {
    let what = match obstacle.kind {
        ObstacleKind::EmptyDirectory => "an empty folder",
        ObstacleKind::Directory => "a folder with something in it",
        ObstacleKind::Link => "a link that leads nowhere",
        ObstacleKind::File => "a file",
        ObstacleKind::Special => "a socket, pipe or device",
    };
    Verdict::Refuse(format!("{} is {what}, which planekeeper does not touch; move it away", obstacle.path))
}

/// Modes and owners are all that an update is about.
#[must_use]
pub fn only_modes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Update(differences) if mode::only_modes(differences))
}

/// The fields in which two wishes for one resource differ: what a change of the configuration accounts for.
#[must_use]
pub fn fields_between(before: &Want, after: &Want) -> BTreeSet<String> {
    let differences = match (before, after) {
        (Want::Present(Spec::File(before)), Want::Present(Spec::File(after))) => {
            let mode = |spec: &crate::resource::FileSpec| crate::observed::Mode { mode: spec.mode, owner: spec.owner };
            let mut found = file::differences(&after.content, file::bytes(&before.content).as_bytes());
            found.extend(mode::between("", mode(before), mode(after)));
            found
        }
        (Want::Present(Spec::Object(before)), Want::Present(Spec::Object(after))) => {
            value::differences(before, after, value::Extent::Whole)
        }
        (Want::Present(Spec::Certificate(before)), Want::Present(Spec::Certificate(after))) => {
            certificate::between(&before.profile, &after.profile)
        }
        (Want::Present(Spec::Kubeconfig(before)), Want::Present(Spec::Kubeconfig(after))) => {
            kubeconfig::between(before, after)
        }
        (Want::Present(Spec::Tokens(before)), Want::Present(Spec::Tokens(after))) => tokens::between(before, after),
        _ => Vec::new(),
    };
    differences.into_iter().map(|difference| difference.field).collect()
}
