//! Asking the caller, while the threads work, whether to go on, and telling it how far they are: Ctrl-C is answered within a block, not
//! within a batch.
//!
//! The thread that called is the one to ask: where it has threads work for it, it waits and asks meanwhile; where it works itself, it
//! asks between blocks. The others look whether it was told to stop.

use super::{Step, Workers};
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// How long nobody is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// A question to the caller: whether to go on. Asked on the thread that called.
#[derive(Clone)]
pub struct Ask(Arc<dyn Fn(Option<Step>) -> bool + Send + Sync>);

impl Ask {
    /// Of something that answers at once. It is told how far the work is, where that is counted by [`Workers::counting`].
    pub fn new(answer: impl Fn(Option<Step>) -> bool + Send + Sync + 'static) -> Ask {
        Ask(Arc::new(answer))
    }
}

/// Counts what is done of some work; the caller is told when it is asked.
pub struct Counting<'a> {
    watch: Option<&'a Watch>,
    /// What was counted before, and is again when this ends.
    outer: (u64, u64),
}

impl Counting<'_> {
    /// So many bytes more are done.
    pub fn advance(&self, bytes: u64) {
        if let Some(watch) = self.watch {
            watch.done.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.watch {
            watch.count(self.outer.0, self.outer.1);
        }
    }
}

impl Workers {
    /// Counts up to so many bytes, for work that takes long before or between its steps.
    pub(crate) fn counting(&self, total: u64) -> Counting<'_> {
        let watch = self.watch.as_deref();
        let outer = watch.map_or((0, 0), |watch| watch.count(0, total));
        Counting { watch, outer }
    }
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ask")
    }
}

/// Asks now and then during one call.
pub struct Watch {
    ask: Ask,
    home: ThreadId,
    asked: Mutex<Instant>,
    stopped: AtomicBool,
    /// Bytes that are done and that there are, of work that is counted; else none.
    done: AtomicU64,
    total: AtomicU64,
}

impl Watch {
    /// For a call on this thread.
    pub fn new(ask: Ask) -> Watch {
        let home = thread::current().id();
        Watch {
            ask,
            home,
            asked: Mutex::new(Instant::now()),
            stopped: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// An error if the caller wants no more; asks it if this is its thread, and the last time is a while ago.
    pub fn check(&self) -> Result<()> {
        if self.is_home() && self.asked.lock().is_ok_and(|asked| asked.elapsed() >= PAUSE) {
            self.ask();
        }
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }

    fn is_home(&self) -> bool {
        thread::current().id() == self.home
    }

    /// Begins to count; returns what was counted so far.
    fn count(&self, done: u64, total: u64) -> (u64, u64) {
        (self.done.swap(done, Ordering::Relaxed), self.total.swap(total, Ordering::Relaxed))
    }

    fn ask(&self) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let step = (total > 0).then(|| Step { done: done.min(total), total: Some(total), stored: 0 });
        if !(self.ask.0)(step) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        if let Ok(mut asked) = self.asked.lock() {
            *asked = Instant::now();
        }
    }

    /// Has the pool do some work; the thread that called asks meanwhile.
    pub fn install<R: Send>(&self, pool: &rayon::ThreadPool, work: impl FnOnce() -> R + Send) -> R {
        if !self.is_home() {
            return pool.install(work);
        }
        let (result, done) = (Mutex::new(None), Done::default());
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                // Said however the work ends: the scope passes a panic on.
                let _said = Said(&done);
                let made = work();
                if let Ok(mut result) = result.lock() {
                    *result = Some(made);
                }
            });
            while !done.within(PAUSE) {
                self.ask();
            }
        });
        match result.into_inner().ok().flatten() {
            Some(made) => made,
            None => unreachable!("the scope ends when the work has, or passes its panic on"),
        }
    }
}

/// Whether the work has ended.
#[derive(Default)]
struct Done {
    ended: Mutex<bool>,
    said: Condvar,
}

impl Done {
    /// Waits for the end, but no longer than this.
    fn within(&self, pause: Duration) -> bool {
        let Ok(ended) = self.ended.lock() else { return true };
        self.said.wait_timeout_while(ended, pause, |ended| !*ended).map_or(true, |(ended, _)| *ended)
    }
}

/// Says that the work has ended when it is dropped.
struct Said<'a>(&'a Done);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if let Ok(mut ended) = self.0.ended.lock() {
            *ended = true;
        }
        self.0.said.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use crate::api::{Ask, Step, Workers};
    use crate::error::{Error, Result};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    /// Works for ten seconds if it is not stopped.
    fn stopped_after(threads: usize, questions: usize) -> (Duration, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let ask = Ask::new(move |_| counted.fetch_add(1, Ordering::Relaxed) + 1 < questions);
        let workers = Workers::watched(threads, Some(ask));
        let start = Instant::now();
        let work = || {
            workers.map((0..2000 * threads).collect(), |_| {
                workers.check()?;
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            })
        };
        let (done, ()) = workers.join(work, || ());
        let done: Result<Vec<()>> = done.into_iter().collect();
        assert!(matches!(done, Err(Error::Stopped)));
        (start.elapsed(), asked.load(Ordering::Relaxed))
    }

    #[test]
    fn asks_meanwhile_and_stops() {
        for threads in [1, 2, 4] {
            let (time, asked) = stopped_after(threads, 3);
            assert!(time < Duration::from_secs(4), "{time:?} with {threads} threads");
            assert_eq!(asked, 3);
        }
    }

    #[test]
    fn counts_are_told_and_those_outside_come_back() {
        for threads in [1, 2] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let heard = told.clone();
            let ask = Ask::new(move |step: Option<Step>| {
                heard.lock().unwrap().push(step.map(|s| (s.done, s.total)));
                true
            });
            let workers = Workers::watched(threads, Some(ask));
            let work = |n: u64| {
                let counting = workers.counting(n);
                workers.map((0..n).collect(), |_| {
                    std::thread::sleep(Duration::from_millis(10));
                    counting.advance(1);
                    workers.check().unwrap();
                });
            };
            let outer = workers.counting(1000);
            outer.advance(500);
            work(30);
            work(20);
            std::thread::sleep(Duration::from_millis(60));
            workers.check().unwrap();
            drop(outer);
            std::thread::sleep(Duration::from_millis(60));
            workers.check().unwrap();
            let told = told.lock().unwrap();
            assert_eq!(told[told.len() - 2..], [Some((500, Some(1000))), None]);
            let of = |total| told.iter().flatten().filter(move |t| t.1 == Some(total)).map(|t| t.0);
            for total in [30, 20] {
                let done: Vec<u64> = of(total).collect();
                assert!(!done.is_empty() && done.is_sorted() && done.iter().all(|d| *d <= total), "{told:?}");
            }
        }
    }

    #[test]
    fn panics_pass_through() {
        let workers = Workers::watched(2, Some(Ask::new(|_| true)));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            workers.join(|| assert!(workers.check().is_err()), || ());
        }));
        assert!(caught.is_err());
    }
}
