//! New private keys: RSA keys are made by threads of their own, and whoever asked first gets the first.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::KeyAlgorithm;
use crate::host::processors;
use crate::pki::{self, PkiError, PrivateKey};

/// Where new keys come from.
///
/// To find an RSA key takes 30 ms to more than 100 ms, by chance, ten times as long as everything else that its file takes. One is as
/// good as another: nobody waits for a key of their own but for the next one, so that what is needed first has it first, however long
/// a search takes. While anybody waits, all processors search, also for the last key: the first that is found is as good. What is found
/// when nobody waits any more is for whoever asks next.
///
/// Whoever keeps a host has one more ready: a key that nothing was signed for yet, which is worth less than those of the CAs, which pass
/// through the same memory. It is written nowhere, and its memory is cleared as it goes.
#[derive(Default)]
pub struct Keys(Arc<Makers>);

#[derive(Default)]
struct Makers {
    /// Of what one is ready.
    ahead: Option<KeyAlgorithm>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who waits, in the order in which they came.
    waiting: VecDeque<Request>,
    ready: Option<PrivateKey>,
    /// What is being made.
    making: Vec<KeyAlgorithm>,
}

struct Request {
    algorithm: KeyAlgorithm,
    answer: SyncSender<Result<PrivateKey, PkiError>>,
}

impl Keys {
    /// Keys of which one of an algorithm is made ahead, from now on. Those of ECDSA take no time.
    #[must_use]
    pub fn ahead(algorithm: KeyAlgorithm) -> Self {
        let makers = Arc::new(Makers { ahead: algorithm.is_rsa().then_some(algorithm), ..Makers::default() });
        makers.begin(&mut makers.lock());
        Self(makers)
    }

    /// A new key, which nobody else gets.
    ///
    /// # Errors
    /// [`PkiError::Generate`] where the system has no randomness.
    pub fn take(&self, algorithm: KeyAlgorithm) -> Result<PrivateKey, PkiError> {
        if !algorithm.is_rsa() {
            return pki::generate_key(algorithm);
        }
        let mut state = self.0.lock();
        if let Some(ready) = state.ready.take_if(|ready| ready.algorithm() == Some(algorithm)) {
            self.0.begin(&mut state);
            return Ok(ready);
        }
        let (answer, asked) = sync_channel(1);
        state.waiting.push_back(Request { algorithm, answer });
        self.0.begin(&mut state);
        drop(state);
        // Where there is no thread to be had for it, it is made here.
        asked.recv().unwrap_or_else(|_| pki::generate_key(algorithm))
    }
}

impl Makers {
    /// Begins to make what is missing, as far as there are processors for it.
    fn begin(self: &Arc<Self>, state: &mut State) {
        while let Some(algorithm) = self.missing(state) {
            let makers = Arc::clone(self);
            if std::thread::Builder::new().name("keys".to_owned()).spawn(move || makers.make(algorithm)).is_err() {
                // Those who wait see their request go, and make their own.
                state.waiting.clear();
                return;
            }
            state.making.push(algorithm);
        }
    }

    /// What is made next, where there is a processor for it.
    fn missing(&self, state: &State) -> Option<KeyAlgorithm> {
        let waited_for = state.waiting.front().map(|request| request.algorithm);
        let ahead = || self.ahead.filter(|ahead| state.ready.is_none() && !state.making.contains(ahead));
        waited_for.or_else(ahead).filter(|_| state.making.len() < processors())
    }

    /// Makes keys for as long as some are missing.
    fn make(self: &Arc<Self>, mut algorithm: KeyAlgorithm) {
        loop {
            let made = pki::generate_key(algorithm);
            let failed = made.is_err();
            let mut state = self.lock();
            if let Some(one) = state.making.iter().position(|making| *making == algorithm) {
                state.making.swap_remove(one);
            }
            match state.waiting.iter().position(|request| request.algorithm == algorithm) {
                Some(first) => {
                    let request = state.waiting.remove(first);
                    drop(request.map(|request| request.answer.send(made)));
                }
                None if self.ahead.is_none_or(|ahead| ahead == algorithm) => {
                    state.ready = made.ok().or(state.ready.take());
                }
                None => {}
            }
            match self.missing(&state).filter(|_| !(failed && state.waiting.is_empty())) {
                Some(next) => {
                    state.making.push(next);
                    algorithm = next;
                }
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Waits until no key is being made, and says whether one is ready.
    fn is_ready(keys: &Keys) -> bool {
        loop {
            let state = keys.0.lock();
            if state.making.is_empty() {
                return state.ready.is_some();
            }
            drop(state);
            std::thread::yield_now();
        }
    }

    fn pem(key: &PrivateKey) -> String {
        key.to_pem().unwrap().to_string()
    }

    #[test]
    fn the_next_key_is_ready_and_nobody_gets_it_twice() {
        let keys = Keys::ahead(KeyAlgorithm::Rsa2048);
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            assert!(is_ready(&keys));
            for _ in 0..2 {
                assert!(seen.insert(pem(&keys.take(KeyAlgorithm::Rsa2048).unwrap())));
            }
        }
    }

    #[test]
    fn a_key_of_another_algorithm_is_made_when_it_is_asked_for() {
        let keys = Keys::ahead(KeyAlgorithm::Rsa2048);
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa3072] {
            assert_eq!(keys.take(algorithm).unwrap().algorithm(), Some(algorithm));
            assert!(is_ready(&keys));
        }
        assert!(!is_ready(&Keys::ahead(KeyAlgorithm::EcdsaP256)));
    }

    #[test]
    fn who_asks_first_gets_the_first_key_and_all_processors_search_for_it() {
        let keys = Keys::default();
        let mut state = keys.0.lock();
        let mut asked = Vec::new();
        for _ in 0..6 {
            let (answer, one) = sync_channel(1);
            state.waiting.push_back(Request { algorithm: KeyAlgorithm::Rsa2048, answer });
            asked.push(one);
        }
        keys.0.begin(&mut state);
        assert_eq!(state.making.len(), processors());
        drop(state);
        let mut seen = BTreeSet::new();
        while let Some(last) = asked.pop() {
            seen.insert(pem(&last.recv().unwrap().unwrap()));
            // Who asked before was served before.
            seen.extend(asked.drain(..).map(|one| pem(&one.try_recv().unwrap().unwrap())));
        }
        assert_eq!(seen.len(), 6);
        // What was found for nobody is a key of its own too.
        let spare = is_ready(&keys);
        assert!(
            seen.insert(pem(&keys.take(KeyAlgorithm::Rsa2048).unwrap())),
            "a key was given twice; one was spare: {spare}"
        );
    }
}
