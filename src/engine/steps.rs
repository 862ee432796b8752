//! The steps of one pass, side by side: each as soon as what it needs is there, those first that most waits for.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Event, Failed, Pass, Run};
use crate::host::{ApplyError, Host, processors};
use crate::observed::Seen;
use crate::plan::{Action, Step};
use crate::resource::{Id, Resource, Spec, Want};

/// How many steps are best applied side by side. Making keys takes processors, writing durably waits for the disk, which makes one
/// wait of those that come together: some more than there are processors keep both busy.
#[must_use]
pub fn workers() -> usize {
    8 + processors()
}

/// What became of the steps of a pass.
#[derive(Default)]
pub(super) struct Outcome {
    /// Those that were done, by their place in the plan, in the order in which they ended.
    pub(super) done: Vec<usize>,
    /// Those that failed.
    pub(super) failed: Vec<Failed>,
    /// Some were not begun, or made way.
    pub(super) interrupted: bool,
    /// Those that wait for what may as well be waited for once more is known.
    pub(super) put_off: Vec<usize>,
}

/// Where the steps of a pass stand.
struct Queue {
    /// Steps that can be applied now, those first that the longest chain of others waits for.
    ready: BTreeSet<(Reverse<usize>, usize)>,
    /// Steps that wait, with how many of their needs are not there yet.
    waits: BTreeMap<usize, usize>,
    running: BTreeSet<usize>,
    /// Who waits for a step.
    idle: usize,
    /// How many of those that run make keys that take long, and how many may: as many as there are processors to make them.
    making_keys: usize,
    making_keys_max: usize,
    outcome: Outcome,
}

impl Queue {
    /// The step to begin with now. Of those that make keys, only so many run that they do not take the processors from each other: a
    /// later one that more waits for would else stand behind those that came before it.
    fn take(&mut self, makes_keys: impl Fn(usize) -> bool) -> Option<usize> {
        let full = self.making_keys >= self.making_keys_max;
        let next = self.ready.iter().find(|(_, index)| !(full && makes_keys(*index))).copied()?;
        self.ready.remove(&next);
        self.running.insert(next.1);
        self.making_keys += usize::from(makes_keys(next.1));
        Some(next.1)
    }
}

/// Applies the steps of a plan, each as soon as what it needs has been applied. A failed step stops what needs it and nothing else.
/// Where there is `more` to come, what only waits, and nothing else needs, is put off once the rest is done.
pub(super) fn apply<H: Host + ?Sized>(
    host: &H,
    pass: &Pass,
    in_vain: &BTreeMap<Id, String>,
    run: &Run<'_>,
    more: bool,
) -> Outcome {
    let work = Work::new(host, pass, in_vain, run, more);
    // Who waits for what comes by itself keeps nobody else from working.
    let waiting = pass.plan.steps.len() - pass.plan.changes().count();
    let workers = if run.workers == 1 { 1 } else { (run.workers + waiting).min(pass.plan.steps.len()) };
    let is_unit = |step: &Step| matches!(work.resources[&step.id].want, Want::Present(Spec::Unit(_)));
    if pass.plan.steps.iter().any(is_unit) {
        host.prepare_units();
    }
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    work.queue.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
}

/// How long a step takes, roughly: what others do meanwhile, a unit that starts or a condition that comes true, takes many times what
/// making a file does.
fn length(step: &Step, resource: &Resource) -> usize {
    let others =
        step.action == Action::Wait || matches!(resource.want, Want::Present(Spec::Unit(_) | Spec::StaticPod(_)));
    if others { 10 } else { 1 }
}

/// What ends before a step begins: what it needs and, where it changes what is in use, what it comes after.
fn waited_for<'a>(step: &Step, resource: &'a Resource) -> impl Iterator<Item = &'a Id> {
    let after = if matches!(step.action, Action::Create | Action::Wait) { &[][..] } else { &resource.after };
    resource.needs.iter().chain(after)
}

/// How long the longest chain of steps behind each is. A plan has each step after what it needs.
fn chains(followers: &BTreeMap<usize, Vec<usize>>, lengths: &[usize]) -> Vec<usize> {
    let mut chains = vec![0; lengths.len()];
    for index in (0..lengths.len()).rev() {
        let behind = followers.get(&index).into_iter().flatten().map(|follower| chains[*follower] + lengths[*follower]);
        chains[index] = behind.max().unwrap_or(0);
    }
    chains
}

/// The steps of a pass while they are being applied.
struct Work<'a, H: ?Sized> {
    host: &'a H,
    pass: &'a Pass,
    resources: BTreeMap<&'a Id, &'a Resource>,
    followers: BTreeMap<usize, Vec<usize>>,
    chains: Vec<usize>,
    /// What only waits, and what no other step needs, where something cannot be said before the others are done: that is made first.
    last: BTreeSet<usize>,
    in_vain: &'a BTreeMap<Id, String>,
    run: &'a Run<'a>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl<'a, H: Host + ?Sized> Work<'a, H> {
    fn new(host: &'a H, pass: &'a Pass, in_vain: &'a BTreeMap<Id, String>, run: &'a Run<'a>, more: bool) -> Self {
        let resources: BTreeMap<&Id, &Resource> =
            pass.desired.resources.iter().map(|resource| (&resource.id, resource)).collect();
        let steps: BTreeMap<&Id, usize> =
            pass.plan.steps.iter().enumerate().map(|(index, step)| (&step.id, index)).collect();
        let mut followers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut waits = BTreeMap::new();
        for (index, step) in pass.plan.steps.iter().enumerate() {
            let needs: BTreeSet<usize> =
                waited_for(step, resources[&step.id]).filter_map(|need| steps.get(need).copied()).collect();
            waits.insert(index, needs.len());
            for need in needs {
                followers.entry(need).or_default().push(index);
            }
        }
        let is_last = |(index, step): (usize, &Step)| {
            (step.action == Action::Wait && !followers.contains_key(&index)).then_some(index)
        };
        let more = more && pass.plan.settled() && pass.plan.changes().next().is_some();
        let last = pass.plan.steps.iter().enumerate().filter(|_| more).filter_map(is_last).collect();
        let lengths: Vec<usize> = pass.plan.steps.iter().map(|step| length(step, resources[&step.id])).collect();
        let chains = chains(&followers, &lengths);
        let ready = waits.iter().filter(|(_, needs)| **needs == 0).map(|(index, _)| (Reverse(chains[*index]), *index));
        let queue = Queue {
            ready: ready.collect(),
            waits,
            running: BTreeSet::new(),
            idle: 0,
            making_keys: 0,
            making_keys_max: processors(),
            outcome: Outcome::default(),
        };
        let (queue, changed) = (Mutex::new(queue), Condvar::new());
        Self { host, pass, resources, followers, chains, last, in_vain, run, queue, changed }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies steps until none is ready and none that runs can make one ready.
    fn run(&self) {
        while let Some(index) = self.next() {
            let step = &self.pass.plan.steps[index];
            (self.run.tell)(Event::Started(step));
            let seen = match self.pass.observed.get(&step.id) {
                Some(Ok(seen)) => seen,
                _ => &Seen::Absent,
            };
            let (broken, put_off) = (AtomicBool::new(false), AtomicBool::new(false));
            // A pull goes on, whoever else has something to do: what it fails for is said.
            let pulls = matches!(self.resources[&step.id].want, Want::Present(Spec::Image(_)));
            let waits = |what: &str| {
                (self.run.tell)(Event::Waits(step, what));
                if pulls {
                    return ControlFlow::Continue(());
                }
                if (self.run.stop)() || (self.run.make_way)() {
                    broken.store(true, Ordering::Relaxed);
                } else if self.is_put_off(index) {
                    put_off.store(true, Ordering::Relaxed);
                } else {
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(())
            };
            let result = match self.in_vain.get(&step.id) {
                Some(reason) => Err(ApplyError::new("see", &step.id.0, reason.clone())),
                None => self.host.apply(&self.resource(step), seen, &step.verdict, &waits),
            };
            let (broken, put_off) = (broken.into_inner(), put_off.into_inner());
            if let Some(error) = result.as_ref().err().filter(|_| broken || put_off) {
                if error.is_made() {
                    (self.run.tell)(Event::Ended(step, None));
                }
                self.interrupt(index, error.is_made(), !broken);
                continue;
            }
            (self.run.tell)(Event::Ended(step, result.as_ref().err()));
            self.end(index, result);
        }
    }

    /// What a step is about, as far as it is not left to others.
    fn resource(&self, step: &Step) -> Cow<'a, Resource> {
        let resource = self.resources[&step.id];
        if step.left.is_empty() {
            return Cow::Borrowed(resource);
        }
        Cow::Owned(Resource { left: step.left.clone(), ..resource.clone() })
    }

    fn next(&self) -> Option<usize> {
        let mut queue = self.lock();
        loop {
            if (self.run.stop)() {
                queue.outcome.interrupted |= !queue.ready.is_empty();
                queue.ready.clear();
            }
            if let Some(index) = queue.take(|index| self.makes_keys(index)) {
                return Some(index);
            }
            if queue.running.is_empty() {
                // Nothing comes any more: those who sleep are to know, also where what was ready is not begun.
                self.changed.notify_all();
                return None;
            }
            queue.idle += 1;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    /// Whether a step makes a key of an algorithm that searches for primes.
    fn makes_keys(&self, index: usize) -> bool {
        let algorithm = match &self.resources[&self.pass.plan.steps[index].id].want {
            Want::Present(Spec::KeyPair(pair)) => pair.algorithm,
            Want::Present(Spec::Certificate(certificate)) => certificate.profile.algorithm,
            Want::Present(Spec::Kubeconfig(kubeconfig)) => kubeconfig.profile.algorithm,
            _ => return false,
        };
        algorithm.is_rsa()
    }

    /// A step that waits is all that is left to do, but for others like it, and nothing has failed.
    fn is_put_off(&self, index: usize) -> bool {
        if !self.last.contains(&index) {
            return false;
        }
        let queue = self.lock();
        let mut left = queue.running.iter().chain(queue.ready.iter().map(|(_, index)| index));
        queue.outcome.failed.is_empty() && left.all(|index| self.last.contains(index))
    }

    /// A step that waited has made way, or is put off: it has not failed. Where it has `made` its change it is done, but what needs it
    /// does not begin: nobody knows yet whether that works.
    fn interrupt(&self, index: usize, made: bool, put_off: bool) {
        let mut queue = self.lock();
        self.leave(&mut queue, index);
        if made {
            queue.outcome.done.push(index);
        }
        if put_off {
            queue.outcome.put_off.push(index);
        } else {
            queue.outcome.interrupted = true;
        }
        self.changed.notify_all();
    }

    /// A step runs no more.
    fn leave(&self, queue: &mut Queue, index: usize) {
        queue.running.remove(&index);
        queue.making_keys -= usize::from(self.makes_keys(index));
    }

    fn end(&self, index: usize, result: Result<(), ApplyError>) {
        let mut queue = self.lock();
        self.leave(&mut queue, index);
        match result {
            Ok(()) => {
                queue.outcome.done.push(index);
                for follower in self.followers.get(&index).into_iter().flatten() {
                    let ready = queue.waits.get_mut(follower).is_some_and(|left| {
                        *left -= 1;
                        *left == 0
                    });
                    if ready {
                        queue.waits.remove(follower);
                        queue.ready.insert((Reverse(self.chains[*follower]), *follower));
                    }
                }
            }
            Err(error) => queue.outcome.failed.push(Failed { id: self.pass.plan.steps[index].id.clone(), error }),
        }
        // Whoever ended a step takes the next one; others are woken for the rest only.
        let woken = queue.idle.min(queue.ready.len().saturating_sub(1));
        drop(queue);
        for _ in 0..woken {
            self.changed.notify_one();
        }
    }
}
