//! New private keys, one of them made before it is needed.

use std::mem::replace;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::KeyAlgorithm;
use crate::pki::{self, PkiError, PrivateKey};

/// Where new keys come from.
///
/// To find an RSA key takes 30 ms to more than 100 ms, ten times as long as everything else that a repair does. So whoever keeps a host
/// has the next one ready: a key that nothing was signed for yet, which is worth less than those of the CAs, which pass through the same
/// memory. It is written nowhere, and its memory is cleared as it goes.
#[derive(Default)]
pub struct Keys(Option<Arc<Ahead>>);

struct Ahead {
    algorithm: KeyAlgorithm,
    next: Mutex<Next>,
}

enum Next {
    Absent,
    BeingMade,
    Ready(PrivateKey),
}

impl Keys {
    /// Keys of which one of an algorithm is made ahead, from now on. Those of ECDSA take no time.
    #[must_use]
    pub fn ahead(algorithm: KeyAlgorithm) -> Self {
        if !algorithm.is_rsa() {
            return Self::default();
        }
        let ahead = Arc::new(Ahead { algorithm, next: Mutex::new(Next::Absent) });
        ahead.take();
        Self(Some(ahead))
    }

    /// A new key, which nobody else gets.
    ///
    /// # Errors
    /// [`PkiError::Generate`] where the system has no randomness.
    pub fn take(&self, algorithm: KeyAlgorithm) -> Result<PrivateKey, PkiError> {
        let ready = self.0.as_ref().filter(|ahead| ahead.algorithm == algorithm).and_then(Ahead::take);
        ready.map_or_else(|| pki::generate_key(algorithm), Ok)
    }
}

impl Ahead {
    /// The next key, if it is ready, and has another one made. One that is being made is not waited for: several may be needed at once.
    fn take(self: &Arc<Self>) -> Option<PrivateKey> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = replace(&mut *next, Next::BeingMade);
        if !matches!(taken, Next::BeingMade) {
            let ahead = Arc::clone(self);
            let began = std::thread::Builder::new().name("keys".to_owned()).spawn(move || ahead.make());
            if began.is_err() {
                *next = Next::Absent; // the next one who takes tries again
            }
        }
        if let Next::Ready(key) = taken { Some(key) } else { None }
    }

    fn make(&self) {
        let made = pki::generate_key(self.algorithm).map_or(Next::Absent, Next::Ready);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until no key is being made, and says whether one is ready.
    fn is_ready(keys: &Keys) -> bool {
        let ahead = keys.0.as_ref().unwrap();
        loop {
            match *ahead.next.lock().unwrap() {
                Next::BeingMade => std::thread::yield_now(),
                Next::Ready(_) => return true,
                Next::Absent => return false,
            }
        }
    }

    #[test]
    fn the_next_key_is_ready_and_nobody_gets_it_twice() {
        let keys = Keys::ahead(KeyAlgorithm::Rsa2048);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            assert!(is_ready(&keys));
            for _ in 0..2 {
                assert!(seen.insert(keys.take(KeyAlgorithm::Rsa2048).unwrap().to_pem().unwrap().to_string()));
            }
        }
    }

    #[test]
    fn a_key_of_another_algorithm_is_made_when_it_is_asked_for() {
        let keys = Keys::ahead(KeyAlgorithm::Rsa2048);
        assert_eq!(keys.take(KeyAlgorithm::EcdsaP256).unwrap().algorithm(), Some(KeyAlgorithm::EcdsaP256));
        assert!(is_ready(&keys));
        assert!(Keys::ahead(KeyAlgorithm::EcdsaP256).0.is_none());
        assert_eq!(Keys::default().take(KeyAlgorithm::Rsa2048).unwrap().algorithm(), Some(KeyAlgorithm::Rsa2048));
    }
}
