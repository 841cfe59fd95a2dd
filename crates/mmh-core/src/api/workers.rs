//! The threads of one call. Those that take turns at what there is to do are the one that called and as many as it starts; what splits into two
//! or is added up by all has a pool.

use super::{Ask, Watch};
use crate::codec::Scratch;
use crate::error::{Error, Result};
use std::sync::{Arc, Mutex};

/// Bytes that are read at a time to be looked at, at most, and for each thread.
const BATCH: usize = 64 << 20;
const BATCH_PER_THREAD: usize = 4 << 20;
const LONG_BATCH_PER_THREAD: usize = 16 << 20;

/// The threads of one call. They are started when there is work for more than one, and end with the call.
pub struct Workers {
    threads: usize,
    pool: std::sync::OnceLock<Option<rayon::ThreadPool>>,
    pub(super) watch: Option<Arc<Watch>>,
}

impl Workers {
    /// `threads` threads; 0 for as many as the machine has.
    pub fn new(threads: usize) -> Workers {
        Workers::watched(threads, None)
    }

    /// The same for a caller on this thread that is asked now and then whether to go on.
    pub fn watched(threads: usize, ask: Option<Ask>) -> Workers {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        Workers { threads, pool: std::sync::OnceLock::new(), watch: ask.map(Watch::new).map(Arc::new) }
    }

    /// How many there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// An error if the caller wants no more. Whatever takes long looks here between blocks.
    pub fn check(&self) -> Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch.check())
    }

    /// Has codecs that take long look there, too.
    pub(crate) fn attended<R>(&self, scratch: &mut Scratch, work: impl FnOnce(&mut Scratch) -> R) -> R {
        scratch.watch = self.watch.clone();
        let done = work(scratch);
        scratch.watch = None;
        done
    }

    fn install<R: Send>(&self, pool: &rayon::ThreadPool, work: impl FnOnce() -> R + Send) -> R {
        match &self.watch {
            Some(watch) => watch.install(pool, work),
            None => pool.install(work),
        }
    }

    /// Bytes of a batch for this many threads.
    pub(crate) fn batch(&self) -> usize {
        (self.threads * BATCH_PER_THREAD).min(BATCH)
    }

    /// The same for slow work.
    pub(crate) fn long_batch(&self) -> usize {
        (self.threads * LONG_BATCH_PER_THREAD).min(BATCH)
    }

    fn pool(&self) -> Option<&rayon::ThreadPool> {
        if self.threads <= 1 {
            return None;
        }
        // Without threads from the system the work is done on this one.
        self.pool
            .get_or_init(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(self.threads)
                    .thread_name(|i| format!("mmh-{i}"))
                    .build()
                    .ok()
            })
            .as_ref()
    }

    /// Applies `f` to every item, in parallel; the results are in the order of the items.
    pub fn map<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        use rayon::prelude::*;
        // One item is not worth starting threads for.
        match if items.len() > 1 { self.pool() } else { None } {
            Some(pool) => self.install(pool, || items.into_par_iter().with_max_len(1).map(f).collect()),
            None => items.into_iter().map(f).collect(),
        }
    }

    /// Takes bytes into a hash, by all threads.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher, bytes: &[u8]) {
        match self.pool() {
            Some(pool) => self.install(pool, || {
                hasher.update_rayon(bytes);
            }),
            // Not by rayon's own pool, whose threads would stay, and be missing after a fork.
            None => {
                hasher.update(bytes);
            }
        }
    }

    /// Has at most so many threads work: the one that called at `home`, the others elsewhere. A pool would start as many again, and the one that called would
    /// not be among them, whose memory for codecs is there already.
    pub(crate) fn all(&self, most: usize, home: impl FnOnce(), elsewhere: impl Fn() + Sync) {
        std::thread::scope(|scope| {
            for i in 1..self.threads.min(most) {
                let thread = std::thread::Builder::new().name(format!("mmh-{i}"));
                // Without threads from the system the work is done by those that there are.
                if thread.spawn_scoped(scope, &elsewhere).is_err() {
                    break;
                }
            }
            home();
        });
    }

    /// Does something with every item, in order, each by whichever thread is free; gives the error of the first item that has one.
    pub(crate) fn each<T: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        if items.len() <= 1 || self.threads <= 1 {
            return items.into_iter().try_for_each(work);
        }
        // Threads of the pool are all that there are to be.
        if rayon::current_thread_index().is_some() {
            return self.map(items, work).into_iter().collect();
        }
        // All before the first that fails have begun by then, and are done at the end.
        let n = items.len();
        let left = Mutex::new(items.into_iter().enumerate());
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let next = || left.lock().ok()?.next();
        let some = || {
            while let Some((i, item)) = next() {
                let Err(e) = work(item) else { continue };
                if let (Ok(mut left), Ok(mut failed)) = (left.lock(), failed.lock()) {
                    left.by_ref().for_each(drop);
                    if failed.as_ref().is_none_or(|(first, _)| i < *first) {
                        *failed = Some((i, e));
                    }
                }
            }
        };
        self.all(n, some, some);
        match failed.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some((_, e))) => Err(e),
            Err(_) => unreachable!("a panic of another thread has been passed on"),
        }
    }

    /// Does both, at once where there are threads.
    pub fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match self.pool() {
            Some(pool) => self.install(pool, || rayon::join(a, b)),
            None => (a(), b()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn each_item_has_its_turn_on_every_thread() {
        for threads in [1, 2, 5] {
            let (seen, ran) = (Mutex::new(Vec::new()), Mutex::new(HashSet::new()));
            // Nobody goes on to a second item before all are at work.
            let all = Barrier::new(threads);
            let done = Workers::new(threads).each((0..100usize).collect(), |i| {
                if i < threads {
                    all.wait();
                }
                seen.lock().unwrap().push(i);
                ran.lock().unwrap().insert(thread::current().id());
                Ok(())
            });
            assert!(done.is_ok());
            let mut seen = seen.into_inner().unwrap();
            seen.sort();
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
            let ran = ran.into_inner().unwrap();
            assert!(ran.len() == threads && ran.contains(&thread::current().id()));
        }
    }

    #[test]
    fn the_first_item_that_fails_is_told_of() {
        for threads in [1, 2, 5] {
            let begun = Mutex::new(0);
            let done = Workers::new(threads).each((0..1000).collect(), |i| {
                *begun.lock().unwrap() += 1;
                if i % 10 == 7 {
                    // Those behind it fail sooner.
                    thread::sleep(std::time::Duration::from_millis(if i == 7 { 20 } else { 0 }));
                    return Err(Error::Invalid(format!("item {i}")));
                }
                Ok(())
            });
            assert_eq!(done.unwrap_err().to_string(), "item 7");
            assert!(begun.into_inner().unwrap() < 1000, "it goes on for nothing");
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        for threads in [1, 2, 5] {
            let work = || {
                Workers::new(threads).each((0..100).collect(), |i| {
                    assert_ne!(i, 50);
                    Ok(())
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        }
    }

    #[test]
    fn threads_of_the_pool_start_no_others() {
        let workers = Workers::new(2);
        let ran = Mutex::new(HashSet::new());
        let read = || {
            workers.each((0..50).collect(), |_| {
                ran.lock().unwrap().insert(thread::current().id());
                Ok(())
            })
        };
        let (a, b) = workers.join(read, read);
        assert!(a.is_ok() && b.is_ok() && ran.lock().unwrap().len() <= 2);
    }
}
