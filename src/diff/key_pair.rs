//! The key pair that signs ServiceAccount tokens. Another one would end every token of the cluster, so none is ever
//! replaced; only a missing public half is made, from the private one.

use super::mode::{self, Repair};
use crate::observed::{KeyPairSeen, KeySeen};
use crate::resource::{Id, KeyPairSpec};
use crate::verdict::{Difference, Verdict};

/// Judges a key pair. `seen` is `None` where neither file is there; `witness` is a resource that shows that there was a
/// key before.
#[must_use]
pub fn judge(spec: &KeyPairSpec, seen: Option<&KeyPairSeen>, witness: Option<&Id>) -> Verdict {
    let (private, public) = (&spec.private, &spec.public);
    let Some(seen) = seen else {
        return witness.map_or(Verdict::Create, |witness| {
            Verdict::Refuse(format!(
                "{private} and {public} are gone, but {witness} shows that there was a key: a new one would end every \
                 ServiceAccount token; restore both from a backup or from another control plane node"
            ))
        });
    };
    match (seen.private, seen.public) {
        (KeySeen::Absent, _) => Verdict::Refuse(format!(
            "{private} is missing while {public} is there: a new key would end every ServiceAccount token; restore \
             {private} from a backup or from another control plane node"
        )),
        (KeySeen::Unreadable, _) => Verdict::Refuse(format!(
            "{private} holds no usable private key, and is never replaced; restore it from a backup or from another \
             control plane node"
        )),
        (KeySeen::Present(_), Some(false)) => Verdict::Refuse(format!(
            "{public} does not hold the public half of {private}: one of them is another cluster's; restore the right \
             one, or remove {public} to have it made from {private}"
        )),
        (KeySeen::Present(_), public_half) => {
            let missing = public_half.is_none().then(|| Difference::added("public key", public.as_str()));
            let found: Vec<_> = missing.into_iter().chain(mode::differences(mode_repairs(spec, seen))).collect();
            if found.is_empty() { Verdict::Same } else { Verdict::Update(found) }
        }
    }
}

/// The modes and owners to set.
#[must_use]
pub fn mode_repairs(spec: &KeyPairSpec, seen: &KeyPairSeen) -> Vec<Repair> {
    [(&spec.private, seen.private_mode), (&spec.public, seen.public_mode)]
        .into_iter()
        .filter_map(|(path, seen)| mode::exact(path, seen?, mode::KEY, spec.owner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::KeyAlgorithm;
    use crate::facts::Owner;
    use crate::observed::Mode;

    const GOOD: Mode = Mode { mode: 0o600, owner: Owner { uid: 0, gid: 0 } };

    fn spec() -> KeyPairSpec {
        KeyPairSpec {
            private: "/pki/sa.key".into(),
            public: "/pki/sa.pub".into(),
            algorithm: KeyAlgorithm::Rsa2048,
            owner: Owner::default(),
            witnesses: Vec::new(),
        }
    }

    fn judged(private: KeySeen, public: Option<bool>, mode: u32) -> Verdict {
        let seen = KeyPairSeen {
            private,
            private_mode: Some(Mode { mode, ..GOOD }),
            public,
            public_mode: public.map(|_| GOOD),
        };
        judge(&spec(), Some(&seen), None)
    }

    #[test]
    fn a_new_key_is_made_only_where_there_never_was_one() {
        assert_eq!(judge(&spec(), None, None), Verdict::Create);
        assert!(
            matches!(judge(&spec(), None, Some(&Id::certificate("ca"))), Verdict::Refuse(why) if why.contains("certificate:ca"))
        );
        assert!(matches!(judged(KeySeen::Absent, Some(false), 0o600), Verdict::Refuse(_)));
        assert!(matches!(judged(KeySeen::Unreadable, Some(true), 0o600), Verdict::Refuse(_)));
    }

    #[test]
    fn only_the_public_half_is_ever_made_again() {
        let key = KeySeen::Present(Some(KeyAlgorithm::Rsa4096));
        assert_eq!(judged(key, Some(true), 0o600), Verdict::Same);
        assert_eq!(judged(key, None, 0o600), Verdict::Update(vec![Difference::added("public key", "/pki/sa.pub")]));
        assert!(matches!(judged(key, Some(false), 0o600), Verdict::Refuse(_)));
    }

    #[test]
    fn a_key_that_others_can_read_is_closed_and_kept() {
        let Verdict::Update(found) = judged(KeySeen::Present(None), Some(true), 0o644) else { panic!() };
        assert!(mode::only_modes(&found));
        assert_eq!(found, [Difference::new("sa.key mode", "0644", "0600")]);
    }
}
