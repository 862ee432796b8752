//! When another version of the configuration is taken. Whoever writes it may be in the middle of that: only what stays the same for a
//! while is looked at, and what there is less of than before for longer.

use std::time::{Duration, Instant};

use crate::config::{PatchFile, Source};

/// So long a version has to stay as it is.
pub const STABLE: Duration = Duration::from_millis(300);
/// The same for one that lacks something of the version in force: a file that is gone or ends earlier may only not be there yet.
pub const STABLE_IF_LESS: Duration = Duration::from_secs(5);
/// A file that somebody has open for writing is waited for this long after it last changed.
pub const STABLE_IF_OPEN: Duration = Duration::from_secs(30);

/// What a version is known by: the SHA-256 of its files, in hexadecimal digits.
pub type Hash = String;

/// One look at the configuration.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its files.
    pub hash: Hash,
    /// Something of the version in force is missing.
    pub less: bool,
    /// Somebody writes to one of its files.
    pub open: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the version in force.
    InForce,
    /// It is a version that was refused before.
    Refused,
    /// Look again then.
    LookAt(Instant),
    /// It has been so for long enough: judge it.
    Judge,
}

/// The version in force, and what may become of another.
#[derive(Debug, Default)]
pub struct Follower {
    in_force: Option<Hash>,
    refused: Option<Hash>,
    /// A version that is waited for to stay, and since when it is so.
    candidate: Option<(Hash, Instant)>,
}

impl Follower {
    /// Looks at what was read.
    pub fn read(&mut self, reading: &Reading, now: Instant) -> Next {
        let known = if self.in_force.as_ref() == Some(&reading.hash) {
            self.refused = None;
            Some(Next::InForce)
        } else if self.refused.as_ref() == Some(&reading.hash) {
            Some(Next::Refused)
        } else {
            None
        };
        if let Some(next) = known {
            self.candidate = None;
            return next;
        }
        let since = match &self.candidate {
            Some((hash, since)) if *hash == reading.hash => *since,
            _ => {
                self.candidate = Some((reading.hash.clone(), now));
                now
            }
        };
        let patience = match reading {
            Reading { open: true, .. } => STABLE_IF_OPEN,
            Reading { less: true, .. } => STABLE_IF_LESS,
            _ => STABLE,
        };
        if now < since + patience { Next::LookAt(since + patience) } else { Next::Judge }
    }

    /// A version is in force from now on.
    pub fn take(&mut self, hash: Hash) {
        *self = Self { in_force: Some(hash), ..Self::default() };
    }

    /// A version changes nothing.
    pub fn refuse(&mut self, hash: Hash) {
        self.candidate = None;
        self.refused = Some(hash);
    }

    /// What was refused is judged again, though it is the same.
    pub fn reconsider(&mut self) {
        self.refused = None;
    }
}

/// A version lacks something of another: a file, or a file's end.
#[must_use]
pub fn is_less(before: (&[Source], &[PatchFile]), now: (&[Source], &[PatchFile])) -> bool {
    let pairs = |(sources, patches): (&[Source], &[PatchFile])| -> Vec<(String, String)> {
        let sources = sources.iter().map(|source| (source.name.clone(), source.text.clone()));
        sources.chain(patches.iter().map(|patch| (patch.name.clone(), patch.text.clone()))).collect()
    };
    let now = pairs(now);
    pairs(before).iter().any(|(name, text)| {
        now.iter()
            .find(|(other, _)| other == name)
            .is_none_or(|(_, new)| new.len() < text.len() && text.starts_with(new))
    })
}

/// The file of a version that was cut off in the middle of a line of the version in force.
#[must_use]
pub fn cut_off<'a>(before: &[Source], now: &'a [Source]) -> Option<&'a Source> {
    now.iter().find(|new| {
        let old = before.iter().find(|old| old.name == new.name);
        old.is_some_and(|old| {
            let rest = old.text.strip_prefix(&new.text).unwrap_or_default();
            !new.text.is_empty() && !new.text.ends_with('\n') && !rest.is_empty() && !rest.starts_with('\n')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(hash: &str) -> Reading {
        Reading { hash: hash.to_owned(), less: false, open: false }
    }

    fn source(text: &str) -> Vec<Source> {
        vec![Source { name: "cluster.yaml".to_owned(), text: text.to_owned() }]
    }

    #[test]
    fn another_version_is_judged_once_it_has_stayed_the_same() {
        let (start, mut follower) = (Instant::now(), Follower::default());
        follower.take("a".to_owned());
        assert_eq!(follower.read(&reading("a"), start), Next::InForce);
        assert_eq!(follower.read(&reading("b"), start), Next::LookAt(start + STABLE));
        assert_eq!(follower.read(&reading("c"), start + STABLE), Next::LookAt(start + STABLE * 2), "it has changed");
        assert_eq!(follower.read(&reading("c"), start + STABLE * 2), Next::Judge);
        follower.take("c".to_owned());
        assert_eq!(follower.read(&reading("c"), start + STABLE * 3), Next::InForce);
    }

    #[test]
    fn a_version_that_was_refused_is_not_judged_again_until_it_changes_or_somebody_asks() {
        let (start, mut follower) = (Instant::now(), Follower::default());
        follower.take("a".to_owned());
        let _ = follower.read(&reading("bad"), start);
        follower.refuse("bad".to_owned());
        assert_eq!(follower.read(&reading("bad"), start + STABLE), Next::Refused);
        follower.reconsider();
        assert_eq!(follower.read(&reading("bad"), start + STABLE), Next::LookAt(start + STABLE * 2));
        assert_eq!(follower.read(&reading("a"), start + STABLE), Next::InForce, "it was taken back");
    }

    #[test]
    fn what_there_is_less_of_and_what_is_being_written_is_waited_for_longer() {
        let (start, mut follower) = (Instant::now(), Follower::default());
        let less = Reading { less: true, ..reading("less") };
        assert_eq!(follower.read(&less, start), Next::LookAt(start + STABLE_IF_LESS));
        assert_eq!(follower.read(&less, start + STABLE_IF_LESS), Next::Judge, "it is meant so");
        let open = Reading { open: true, ..reading("open") };
        assert_eq!(follower.read(&open, start), Next::LookAt(start + STABLE_IF_OPEN));
        let closed = Reading { open: false, ..open };
        assert_eq!(follower.read(&closed, start + STABLE), Next::Judge);
    }

    #[test]
    fn a_file_that_is_gone_or_ends_early_is_less() {
        let (before, more) = (source("a: 1\nb: 2\n"), source("a: 1\nb: 2\nc: 3\n"));
        assert!(!is_less((&before, &[]), (&before, &[])));
        assert!(!is_less((&before, &[]), (&more, &[])));
        assert!(is_less((&more, &[]), (&before, &[])));
        assert!(is_less((&before, &[]), (&[], &[])));
        let patches = [PatchFile { name: "etcd.yaml".to_owned(), text: String::new() }];
        assert!(is_less((&before, &patches), (&before, &[])));
    }

    #[test]
    fn a_file_that_ends_within_a_line_of_the_one_in_force_is_cut_off() {
        let before = source("a: 10.244.0.0/16\nb: 2\n");
        assert!(cut_off(&before, &source("a: 10.244.0.0/1")).is_some());
        assert!(cut_off(&before, &source("a: 10.244.0.0/16\n")).is_none(), "whole lines may be meant");
        assert!(cut_off(&before, &source("a: 10.244.0.0/16\nb: 2")).is_none(), "only the last line break is missing");
        assert!(cut_off(&before, &source("a: 1\nb")).is_none(), "it is another text");
    }
}
