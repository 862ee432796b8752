//! Pulling images: how often, how long, and what is said when it comes to nothing. `reconcile` and `images pull` both pull here.
//!
//! The container runtime pulls, with the mirrors and the credentials of its own configuration.

mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::cri::{Cri, CriError, ImageSeen};
use crate::host::side_by_side::side_by_side;
use crate::images;

pub use trouble::Trouble;

/// How often an image is tried, as often as kubeadm does (`PullImageRetry`).
pub const TRIES_MAX: u32 = 5;

/// How long the first wait between two tries is; each is twice the one before: 1, 2, 4 and 8 seconds. kubeadm does not wait, so a registry
/// that starts again has failed five times before it is up.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How long one image may take, with all its tries and waits. kubeadm sets no bound, so a registry that trickles holds it up for ever. The
/// largest image of a control plane is some tens of megabytes, which arrive in this time at one megabit a second; containerd ends a
/// pull without progress after five minutes by itself. What was downloaded completely is kept by the runtime, so the next try goes on
/// from there.
pub const IMAGE_MAX: Duration = Duration::from_secs(10 * 60);

/// No try is begun with less than this left.
const TRY_MIN: Duration = Duration::from_secs(15);

/// How long a registry that has failed to the end gets only one try for each image: with one image at a time, a registry that is down would
/// else be waited for as often as there are images.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Who pulls images, and the time that passes meanwhile.
pub trait Puller: Sync {
    /// Pulls once.
    ///
    /// # Errors
    /// What the runtime says.
    fn pull_once(&self, reference: &str, within: Duration) -> Result<(), CriError>;

    /// The time.
    fn now(&self) -> Instant;

    /// Lets time pass.
    fn wait(&self, time: Duration);
}

impl Puller for Cri {
    fn pull_once(&self, reference: &str, within: Duration) -> Result<(), CriError> {
        self.pull(reference, within).map(|_| ())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// An image that could not be pulled.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{trouble} ({}): {said}; {}", self.tried(), self.advice())]
pub struct PullError {
    /// The image.
    pub reference: String,
    /// Why, by its kind.
    pub trouble: Trouble,
    /// What the runtime or the registry said.
    pub said: String,
    /// How often it was tried.
    pub tries: u32,
    /// How long that took.
    pub took: Duration,
}

impl PullError {
    /// How often it was tried, for people.
    #[must_use]
    pub fn tried(&self) -> String {
        match self.tries {
            1 => "tried once".to_owned(),
            tries => format!("tried {tries} times in {} s", self.took.as_secs()),
        }
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> String {
        self.trouble.advice(images::registry(&self.reference))
    }
}

/// What is told of an image while it is pulled.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It is its turn.
    Pulling,
    /// It failed, and will be tried again.
    Again {
        /// Why it failed.
        trouble: Trouble,
        /// What the runtime or the registry said.
        said: &'a str,
        /// Which try comes next; the first is 1.
        next: u32,
        /// How long is waited before.
        wait: Duration,
    },
}

impl fmt::Display for News<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pulling => text.write_str("pulling"),
            Self::Again { trouble, said, next, wait } => {
                write!(text, "try {next} of {TRIES_MAX} after {} s: {trouble}: {said}", wait.as_secs())
            }
        }
    }
}

/// The pulls of a run, which know of each other.
#[derive(Debug, Default)]
pub struct Pulls {
    /// Held while an image is pulled, where one is pulled at a time.
    alone: Mutex<()>,
    /// The registries that have failed to the end, and when.
    given_up: Mutex<BTreeMap<String, Instant>>,
}

impl Pulls {
    /// Pulls an image, again after a while where that may help: not more than five times, nor longer than ten minutes. With `serial` no
    /// other is pulled beside it.
    ///
    /// # Errors
    /// The last try's.
    pub fn pull(
        &self,
        puller: &dyn Puller,
        reference: &str,
        serial: bool,
        tell: &dyn Fn(News<'_>),
    ) -> Result<(), PullError> {
        let _alone = serial.then(|| self.alone.lock().unwrap_or_else(PoisonError::into_inner));
        let registry = images::registry(reference);
        let begun = puller.now();
        let tries_max = if self.has_given_up(registry, begun) { 1 } else { TRIES_MAX };
        let mut wait = FIRST_WAIT;
        tell(News::Pulling);
        for tries in 1.. {
            let left = IMAGE_MAX.saturating_sub(puller.now() - begun);
            let Err(error) = puller.pull_once(reference, left) else { break };
            let (trouble, took) = (Trouble::of(&error), puller.now() - begun);
            let said = trouble::said(&error);
            if !trouble.may_pass() || tries >= tries_max || took + wait + TRY_MIN > IMAGE_MAX {
                if trouble.is_of_registry() {
                    self.given_up().insert(registry.to_owned(), puller.now());
                }
                return Err(PullError { reference: reference.to_owned(), trouble, said, tries, took });
            }
            tell(News::Again { trouble, said: &said, next: tries + 1, wait });
            puller.wait(wait);
            wait *= 2;
        }
        self.given_up().remove(registry);
        Ok(())
    }

    fn has_given_up(&self, registry: &str, now: Instant) -> bool {
        self.given_up().get(registry).is_some_and(|since| now.saturating_duration_since(*since) < GIVEN_UP)
    }

    fn given_up(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of the images that the runtime has. It is asked for each by its name, since only the runtime knows which of its own names
/// mean the same (`etcd:1` and `docker.io/library/etcd:1`).
///
/// # Errors
/// The runtime cannot be reached, or refused.
pub fn present(cri: &Cri, wanted: &[String]) -> Result<BTreeMap<String, ImageSeen>, CriError> {
    let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let with_name = |(reference, answer): (&String, Result<Option<ImageSeen>, CriError>)| {
        answer.transpose().map(|seen| seen.map(|seen| (reference.clone(), seen)))
    };
    wanted.iter().zip(cri.images_of(&names)).filter_map(with_name).collect()
}

/// Pulls images: one after the other with `serial`, else side by side. What became of each is told as soon as that is known; one that
/// fails does not stop the others. Gives how long each took, or why it failed.
pub fn pull_all(
    puller: &dyn Puller,
    wanted: &[String],
    serial: bool,
    told: &dyn PullsTold,
) -> BTreeMap<String, Result<Duration, PullError>> {
    let pulls = Pulls::default();
    let pull = |reference: &String| {
        told.started(reference);
        let begun = puller.now();
        let result = pulls.pull(puller, reference, serial, &|news| told.news(reference, news));
        let result = result.map(|()| puller.now() - begun);
        told.ended(reference, &result);
        (reference.clone(), result)
    };
    side_by_side(wanted, if serial { 1 } else { wanted.len() }, pull)
}

/// Who is told how pulls go on.
pub trait PullsTold: Sync {
    /// The pull of an image begins.
    fn started(&self, reference: &str);

    /// How it goes on.
    fn news(&self, reference: &str, news: News<'_>);

    /// The pull of an image has ended, after so long or in vain.
    fn ended(&self, reference: &str, result: &Result<Duration, PullError>);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tonic::Code;

    use super::*;
    use crate::host::cri::CriCause;

    const REFUSED: &str = "failed to do request: Head \"http://mirror:5000/\": dial tcp: connect: connection refused";

    /// A runtime whose pulls end as is said here, one after the other, and succeed from then on. Time passes in it alone.
    struct Fake {
        begun: Instant,
        passed: Mutex<Vec<Duration>>,
        fails: Vec<(Code, &'static str)>,
        each_takes: Duration,
        tries: AtomicUsize,
    }

    impl Fake {
        fn new(fails: Vec<(Code, &'static str)>) -> Self {
            let (begun, passed) = (Instant::now(), Mutex::default());
            Self { begun, passed, fails, each_takes: Duration::ZERO, tries: AtomicUsize::new(0) }
        }

        fn down() -> Self {
            Self::new(vec![(Code::Unknown, REFUSED); 100])
        }

        fn waits(&self) -> Vec<u64> {
            let passed = self.passed.lock().unwrap();
            passed.iter().filter(|time| **time != self.each_takes).map(Duration::as_secs).collect()
        }

        fn tries(&self) -> usize {
            self.tries.load(Ordering::SeqCst)
        }
    }

    impl Puller for Fake {
        fn pull_once(&self, reference: &str, _: Duration) -> Result<(), CriError> {
            self.passed.lock().unwrap().push(self.each_takes);
            let Some((code, message)) = self.fails.get(self.tries.fetch_add(1, Ordering::SeqCst)) else {
                return Ok(());
            };
            let cause = CriCause::Refused { code: *code, message: (*message).to_owned() };
            Err(CriError { operation: "pull", what: reference.to_owned(), cause })
        }

        fn now(&self) -> Instant {
            self.begun + self.passed.lock().unwrap().iter().sum::<Duration>()
        }

        fn wait(&self, time: Duration) {
            self.passed.lock().unwrap().push(time);
        }
    }

    fn pull(fake: &Fake, reference: &str) -> Result<(), PullError> {
        Pulls::default().pull(fake, reference, true, &|_| {})
    }

    #[test]
    fn a_registry_that_comes_back_is_waited_for_longer_each_time() {
        let fake =
            Fake::new(vec![(Code::Unknown, REFUSED), (Code::Unknown, "unexpected status: 503 Service Unavailable")]);
        pull(&fake, "mirror:5000/etcd:1").unwrap();
        assert_eq!((fake.tries(), fake.waits()), (3, vec![1, 2]));
    }

    #[test]
    fn a_registry_that_stays_down_is_tried_five_times_and_the_error_says_all_of_it() {
        let fake = Fake::down();
        let error = pull(&fake, "mirror:5000/etcd:1").unwrap_err();
        assert_eq!((fake.tries(), fake.waits()), (5, vec![1, 2, 4, 8]));
        let text = error.to_string();
        for words in
            ["cannot be reached", "tried 5 times in 15 s", "connection refused", "see that mirror:5000 answers"]
        {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn what_the_registry_does_not_have_is_not_asked_for_again() {
        let fake = Fake::new(vec![(Code::NotFound, "mirror:5000/etcd:1: not found")]);
        let error = pull(&fake, "mirror:5000/etcd:1").unwrap_err();
        assert_eq!((fake.tries(), error.trouble, error.tried().as_str()), (1, Trouble::NotFound, "tried once"));
        assert!(error.to_string().contains("imageTag"), "{error}");
    }

    #[test]
    fn all_tries_of_an_image_end_within_ten_minutes() {
        let fake = Fake { each_takes: Duration::from_secs(299), ..Fake::down() };
        let error = pull(&fake, "mirror:5000/etcd:1").unwrap_err();
        assert_eq!(error.tries, 2);
        assert!(error.took <= IMAGE_MAX, "{error:?}");
    }

    #[test]
    fn a_registry_that_was_tried_to_the_end_is_tried_once_for_each_other_image_until_a_minute_is_over() {
        let (fake, pulls) = (Fake::down(), Pulls::default());
        let tries = |reference: &str| pulls.pull(&fake, reference, true, &|_| {}).unwrap_err().tries;
        assert_eq!(
            ["mirror.example/a:1", "mirror.example/b:1", "other.example/a:1", "mirror.example/c:1"].map(tries),
            [5, 1, 5, 1]
        );
        fake.wait(GIVEN_UP);
        assert_eq!(tries("mirror.example/d:1"), 5);
    }

    struct Silent;

    impl PullsTold for Silent {
        fn started(&self, _: &str) {}
        fn news(&self, _: &str, _: News<'_>) {}
        fn ended(&self, _: &str, _: &Result<Duration, PullError>) {}
    }

    #[test]
    fn one_image_that_fails_does_not_stop_the_others() {
        let wanted = ["mirror/a:1", "mirror/b:1", "mirror/c:1"].map(str::to_owned);
        for serial in [true, false] {
            let fake = Fake::new(vec![(Code::NotFound, "not found")]);
            let results = pull_all(&fake, &wanted, serial, &Silent);
            let failed = results.values().filter(|result| result.is_err()).count();
            assert_eq!((results.len(), failed, fake.tries()), (3, 1, 3));
        }
    }
}
