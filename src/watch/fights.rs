//! Fights with another writer: the same resource put right again and again.
//!
//! Whoever fights is slowed down, not obeyed: the resource is left as it is for a while, which doubles as long as the fight goes on.
//! Nothing else waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::resource::Id;

/// So many repairs of one resource within [`WINDOW`] are no fight yet.
pub const REPAIRS: usize = 10;
/// The time in which repairs are counted.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long a resource is left alone the first time; it doubles up to [`MOST`].
pub const LEAST: Duration = Duration::from_secs(10);
/// The longest that a resource is left alone.
pub const MOST: Duration = Duration::from_secs(600);
/// A fight is over, and forgotten, when there was no repair for so long after the resource was last left alone.
const FORGET: Duration = Duration::from_secs(300);

/// All fights.
#[derive(Debug, Default)]
pub struct Fights {
    of: BTreeMap<Id, Repairs>,
}

#[derive(Debug, Default)]
struct Repairs {
    /// When it was repaired, at most [`REPAIRS`] and one.
    at: VecDeque<Instant>,
    /// Who changed it, where that is known.
    by: Option<String>,
    /// It is left alone until then, and for how long that is.
    held: Option<(Instant, Duration)>,
}

/// A fight that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fight {
    /// What is fought about.
    pub id: Id,
    /// The other writer, as the API server names it; `None` for a file, whose writer nobody knows.
    pub by: Option<String>,
    /// How long it is left alone.
    pub pause: Duration,
    /// Until then.
    pub until: Instant,
}

impl Fight {
    /// Both sides, for a person.
    #[must_use]
    pub fn reason(&self) -> String {
        let by = self.by.as_deref().unwrap_or("another writer");
        format!(
            "planekeeper and {by} change it in turn, more than {REPAIRS} times in {} s: it is left alone for {} s",
            WINDOW.as_secs(),
            self.pause.as_secs()
        )
    }
}

impl Fights {
    /// Drift was put right. A fight that begins or goes on by that is returned.
    pub fn repaired(&mut self, id: &Id, by: Option<String>, now: Instant) -> Option<Fight> {
        let repairs = self.of.entry(id.clone()).or_default();
        repairs.at.retain(|at| now.duration_since(*at) < WINDOW);
        repairs.at.push_back(now);
        repairs.by = by.or(repairs.by.take());
        // After a pause one repair is enough to see that the other side is still there.
        let pause = match repairs.held {
            Some((_, pause)) => (pause * 2).min(MOST),
            None if repairs.at.len() > REPAIRS => LEAST,
            None => return None,
        };
        repairs.at.clear();
        repairs.held = Some((now + pause, pause));
        Some(Fight { id: id.clone(), by: repairs.by.clone(), pause, until: now + pause })
    }

    /// What is left alone now.
    #[must_use]
    pub fn held(&self, now: Instant) -> Vec<Fight> {
        let fight = |(id, repairs): (&Id, &Repairs)| {
            let (until, pause) = repairs.held.filter(|(until, _)| *until > now)?;
            Some(Fight { id: id.clone(), by: repairs.by.clone(), pause, until })
        };
        self.of.iter().filter_map(fight).collect()
    }

    /// When something that is left alone is looked at again.
    #[must_use]
    pub fn release(&self, now: Instant) -> Option<Instant> {
        self.of.values().filter_map(|repairs| Some(repairs.held?.0).filter(|until| *until > now)).min()
    }

    /// Forgets what is over, so that what is kept is bounded by what changed lately.
    pub fn forget(&mut self, now: Instant) {
        self.of.retain(|_, repairs| match repairs.held {
            Some((until, _)) => now < until + FORGET,
            None => repairs.at.back().is_some_and(|at| now.duration_since(*at) < WINDOW),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Id {
        Id::object("ConfigMap", Some("kube-system"), "coredns")
    }

    fn fight(fights: &mut Fights, start: Instant) -> Option<Fight> {
        (0..=REPAIRS).find_map(|_| fights.repaired(&id(), Some("kubectl-edit".to_owned()), start))
    }

    #[test]
    fn drift_now_and_then_is_no_fight() {
        let (start, mut fights) = (Instant::now(), Fights::default());
        let apart = WINDOW / u32::try_from(REPAIRS).unwrap();
        for count in 0..50 {
            assert_eq!(fights.repaired(&id(), None, start + apart * count), None);
        }
        assert!(fights.held(start + apart * 49).is_empty());
    }

    #[test]
    fn a_fight_is_left_alone_for_ever_longer_and_both_sides_are_named() {
        let (mut now, mut fights) = (Instant::now(), Fights::default());
        let first = fight(&mut fights, now).unwrap();
        assert_eq!((first.by.as_deref(), first.pause), (Some("kubectl-edit"), LEAST));
        assert!(first.reason().contains("planekeeper and kubectl-edit"), "{}", first.reason());
        assert_eq!(fights.held(now), [first]);
        assert_eq!(fights.release(now), Some(now + LEAST));
        let mut pause = LEAST;
        for _ in 0..10 {
            now += pause;
            assert!(fights.held(now).is_empty(), "it is tried again");
            pause = fights.repaired(&id(), None, now).unwrap().pause;
        }
        assert_eq!(pause, MOST);
    }

    #[test]
    fn a_fight_that_has_ended_is_forgotten() {
        let (start, mut fights) = (Instant::now(), Fights::default());
        assert!(fight(&mut fights, start).is_some());
        fights.forget(start + LEAST);
        assert!(fights.repaired(&id(), None, start + LEAST).is_some(), "it goes on");
        fights.forget(start + LEAST * 3 + FORGET);
        assert!(fights.of.is_empty());
    }

    #[test]
    fn a_fight_about_one_thing_holds_no_other() {
        let (start, mut fights) = (Instant::now(), Fights::default());
        fight(&mut fights, start);
        assert_eq!(fights.repaired(&Id::file("/a"), None, start), None);
    }
}
