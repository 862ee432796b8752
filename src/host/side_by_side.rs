//! Doing the same with many things at once.

use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most threads that are worth it where processors are what it takes.
const PROCESSORS_MAX: usize = 4;

/// How many processors this process may use. Counting them reads files of its control group, so it is done once.
#[must_use]
pub fn processors() -> usize {
    static PROCESSORS: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    *PROCESSORS
}

/// As many threads as are worth it for what computes.
pub(super) fn compute_threads() -> usize {
    processors().min(PROCESSORS_MAX)
}

/// Does the same with every item, on so many threads. What comes of it is in no order.
pub(super) fn side_by_side<T: Sync, R: Send, C: FromIterator<R>>(
    items: &[T],
    threads: usize,
    act: impl Fn(&T) -> R + Sync,
) -> C {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(act).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)).map(&act)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others = others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        own.into_iter().chain(others).collect()
    })
}
