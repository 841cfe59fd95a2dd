//! Asking the caller, while the threads work, whether to go on: Ctrl-C is answered within a block, not within a batch.
//!
//! The thread that called is the one to ask: where it has threads work for it, it waits and asks meanwhile; where it works itself, it
//! asks between blocks. The others look whether it was told to stop.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// How long nobody is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// A question to the caller: whether to go on. Asked on the thread that called.
#[derive(Clone)]
pub struct Ask(Arc<dyn Fn() -> bool + Send + Sync>);

impl Ask {
    /// Of something that answers at once.
    pub fn new(answer: impl Fn() -> bool + Send + Sync + 'static) -> Ask {
        Ask(Arc::new(answer))
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
}

impl Watch {
    /// For a call on this thread.
    pub fn new(ask: Ask) -> Watch {
        let home = thread::current().id();
        Watch { ask, home, asked: Mutex::new(Instant::now()), stopped: AtomicBool::new(false) }
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

    fn ask(&self) {
        if !(self.ask.0)() {
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
    use crate::api::{Ask, Workers};
    use crate::error::{Error, Result};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    /// Works for ten seconds if it is not stopped.
    fn stopped_after(threads: usize, questions: usize) -> (Duration, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let ask = Ask::new(move || counted.fetch_add(1, Ordering::Relaxed) + 1 < questions);
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
    fn panics_pass_through() {
        let workers = Workers::watched(2, Some(Ask::new(|| true)));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            workers.join(|| assert!(workers.check().is_err()), || ());
        }));
        assert!(caught.is_err());
    }
}
