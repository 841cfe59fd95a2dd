//! An assembly line: lots come in one after the other, are worked on by all threads at once, and go out in order.
//!
//! No thread has a place of its own. Whoever is free takes what is next: first what lets a finished lot go out, then a new one. So no
//! thread waits for another but where there is nothing to do, and what was made is hashed and written while it is in a cache.

use super::{Progress, Step, Workers};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lots in the line, for each thread, and beyond that: one that takes long must not hold up the others.
const LOTS_PER_THREAD: usize = 2;
const LOTS_AT_LEAST: usize = 4;

/// How long the thread that called waits before it asks its caller whether to go on.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes between two reports of progress.
const REPORT: u64 = 8 << 20;

/// What is done with the lots, one after the other.
pub type Lane<'a, M> = Box<dyn FnMut(&M) -> Result<()> + Send + 'a>;

/// Where lots come from: the next one, or `None` at the end.
pub type Next<'a, L> = Box<dyn FnMut() -> Result<Option<L>> + Send + 'a>;

/// What there is to do.
pub struct Line<'a, L, M> {
    /// Asked by one thread at a time.
    pub next: Next<'a, L>,
    /// What is made of a lot, by any thread.
    pub make: &'a (dyn Fn(L) -> Result<M> + Sync),
    /// What goes through the lots in order. Lanes do not wait for each other.
    pub lanes: Vec<Lane<'a, M>>,
    /// What is left to do with a lot when it has gone through all lanes, by any thread.
    pub finish: &'a (dyn Fn(M) -> Result<()> + Sync),
    /// How far the work is.
    pub step: &'a (dyn Fn() -> Step + Sync),
}

impl<L: Send, M: Send + Sync> Line<'_, L, M> {
    /// Works until all lots are out. Of several errors it gives that of the first lot.
    pub fn run(self, workers: &Workers, progress: Progress<'_>) -> Result<()> {
        let Line { mut next, make, lanes, finish, step } = self;
        // What is one lot is not worth starting threads for.
        let mut ahead = VecDeque::new();
        while ahead.len() < 2
            && let Some(lot) = next()?
        {
            ahead.push_back(lot);
        }
        let is_one = ahead.len() < 2;
        let floor = Floor {
            state: Mutex::new(State {
                next: if is_one { Source::Empty } else { Source::Idle(next) },
                ahead,
                lots: VecDeque::new(),
                gone: 0,
                lanes: lanes.into_iter().map(|lane| Place { lane: Some(lane), at: 0 }).collect(),
                failed: None,
                waiting: 0,
            }),
            changed: Condvar::new(),
            most: LOTS_AT_LEAST.max(workers.threads() * LOTS_PER_THREAD + 1),
            make,
            finish,
        };
        let mut reported = 0;
        let mut look = || {
            workers.check()?;
            let now = step();
            if now.done - reported < REPORT {
                return Ok(());
            }
            reported = now.done;
            progress(now)
        };
        let mut home = || floor.work(&mut look);
        match is_one {
            true => home(),
            false => workers.all(usize::MAX, home, || floor.work(&mut || workers.check())),
        }
        let state = floor.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some((_, e)) => Err(e),
            None => progress(step()),
        }
    }
}

struct Floor<'a, L, M> {
    state: Mutex<State<'a, L, M>>,
    changed: Condvar,
    /// Lots in the line at most.
    most: usize,
    make: &'a (dyn Fn(L) -> Result<M> + Sync),
    finish: &'a (dyn Fn(M) -> Result<()> + Sync),
}

struct State<'a, L, M> {
    next: Source<'a, L>,
    /// Lots that have come already.
    ahead: VecDeque<L>,
    /// Those in the line, in order; `None` while they are made.
    lots: VecDeque<Option<Arc<M>>>,
    /// How many went out before.
    gone: u64,
    lanes: Vec<Place<'a, M>>,
    /// The error of the first lot that has one, and the lot's number.
    failed: Option<(u64, Error)>,
    /// Threads that wait for a change.
    waiting: usize,
}

enum Source<'a, L> {
    Idle(Next<'a, L>),
    /// A thread is there.
    Asked,
    Empty,
}

struct Place<'a, M> {
    /// `None` while a thread is there.
    lane: Option<Lane<'a, M>>,
    /// Number of the next lot.
    at: u64,
}

enum Job<'a, L, M> {
    Pass(usize, Lane<'a, M>, Arc<M>),
    Make(u64, L),
    Ask(Next<'a, L>),
    Wait,
    Leave,
}

impl<'a, L, M> State<'a, L, M> {
    fn job(&mut self, most: usize) -> Job<'a, L, M> {
        if self.failed.is_some() {
            return Job::Leave;
        }
        for (i, place) in self.lanes.iter_mut().enumerate() {
            if let Some(Some(made)) = self.lots.get((place.at - self.gone) as usize)
                && let Some(lane) = place.lane.take()
            {
                return Job::Pass(i, lane, made.clone());
            }
        }
        if self.lots.len() < most {
            if let Some(lot) = self.ahead.pop_front() {
                return Job::Make(self.enter(), lot);
            }
            match std::mem::replace(&mut self.next, Source::Asked) {
                Source::Idle(next) => return Job::Ask(next),
                other => self.next = other,
            }
        }
        let is_over = self.lots.is_empty() && self.ahead.is_empty() && matches!(self.next, Source::Empty);
        if is_over { Job::Leave } else { Job::Wait }
    }

    /// A lot enters the line and gets its number.
    fn enter(&mut self) -> u64 {
        self.lots.push_back(None);
        self.gone + self.lots.len() as u64 - 1
    }

    /// The first lot, if it has gone through all lanes.
    fn leave(&mut self) -> Option<M> {
        let first = self.gone;
        let is_out = self.lanes.iter().all(|place| place.at > first);
        if !is_out || !matches!(self.lots.front(), Some(Some(_))) {
            return None;
        }
        self.gone += 1;
        self.lots.pop_front().flatten().and_then(Arc::into_inner)
    }

    fn fail(&mut self, lot: u64, e: Error) {
        if self.failed.as_ref().is_none_or(|(first, _)| lot < *first) {
            self.failed = Some((lot, e));
        }
    }
}

impl<'a, L, M> Floor<'a, L, M> {
    fn lock(&self) -> MutexGuard<'_, State<'a, L, M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those that wait.
    fn tell(&self, state: MutexGuard<'_, State<'a, L, M>>) {
        let somebody = state.waiting > 0;
        drop(state);
        // A call into the system, which mostly there is no need for.
        if somebody {
            self.changed.notify_all();
        }
    }

    /// What each thread does; `look` is called between.
    fn work(&self, look: &mut dyn FnMut() -> Result<()>) {
        let _told = Told(self);
        loop {
            let mut state = self.lock();
            match state.job(self.most) {
                Job::Leave => return,
                Job::Wait => {
                    state.waiting += 1;
                    let waited = self.changed.wait_timeout(state, PAUSE);
                    waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
                }
                Job::Pass(i, lane, made) => {
                    drop(state);
                    self.pass(i, lane, made);
                }
                Job::Make(number, lot) => {
                    drop(state);
                    self.make(number, lot);
                }
                Job::Ask(next) => {
                    drop(state);
                    self.ask(next);
                }
            }
            if let Err(e) = look() {
                let mut state = self.lock();
                state.fail(u64::MAX, e);
                self.tell(state);
            }
        }
    }

    fn ask(&self, mut next: Next<'a, L>) {
        let found = next();
        let mut state = self.lock();
        match found {
            Ok(Some(lot)) => {
                state.next = Source::Idle(next);
                let number = state.enter();
                self.tell(state);
                self.make(number, lot);
            }
            Ok(None) => {
                state.next = Source::Empty;
                self.tell(state);
            }
            Err(e) => {
                let number = state.gone + state.lots.len() as u64;
                state.fail(number, e);
                self.tell(state);
            }
        }
    }

    fn make(&self, number: u64, lot: L) {
        let made = (self.make)(lot);
        let mut state = self.lock();
        match made {
            Ok(made) => {
                let i = (number - state.gone) as usize;
                state.lots[i] = Some(Arc::new(made));
            }
            Err(e) => state.fail(number, e),
        }
        self.go_out(state);
    }

    fn pass(&self, i: usize, mut lane: Lane<'a, M>, made: Arc<M>) {
        let passed = lane(&made);
        drop(made);
        let mut state = self.lock();
        let number = state.lanes[i].at;
        state.lanes[i].lane = Some(lane);
        state.lanes[i].at += 1;
        if let Err(e) = passed {
            state.fail(number, e);
        }
        self.go_out(state);
    }

    /// Finishes what has gone through all lanes.
    fn go_out<'s>(&'s self, mut state: MutexGuard<'s, State<'a, L, M>>) {
        loop {
            let number = state.gone;
            let out = if state.failed.is_none() { state.leave() } else { None };
            self.tell(state);
            let Some(made) = out else { return };
            let finished = (self.finish)(made);
            state = self.lock();
            if let Err(e) = finished {
                state.fail(number, e);
            }
        }
    }
}

/// A thread that panics leaves its work undone: nobody is to wait for it.
struct Told<'f, 'a, L, M>(&'f Floor<'a, L, M>);

impl<L, M> Drop for Told<'_, '_, L, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.lock();
            state.fail(u64::MAX, Error::Stopped);
            self.0.tell(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::thread::sleep;

    const QUIET: &(dyn Fn() -> Step + Sync) = &|| Step { done: 0, total: None, stored: 0 };

    fn numbers<'a>(n: u64) -> Next<'a, u64> {
        let mut numbers = 0..n;
        Box::new(move || Ok(numbers.next()))
    }

    fn some_time(i: u64) {
        sleep(Duration::from_micros(i.wrapping_mul(0x9e37_79b9) >> 3 & 255));
    }

    #[test]
    fn lanes_see_all_lots_in_order() {
        for (threads, n) in [1, 2, 5].into_iter().flat_map(|t| [0, 1, 2, 300].map(|n| (t, n))) {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let (inside, most, finished) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
            let make = |i| {
                most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                some_time(i);
                Ok(i * 7)
            };
            let finish = |made| {
                inside.fetch_sub(1, Ordering::Relaxed);
                finished.fetch_add(made, Ordering::Relaxed);
                Ok(())
            };
            let lanes: Vec<Lane<'_, u64>> = vec![
                Box::new(|made| {
                    some_time(*made);
                    first.push(*made);
                    Ok(())
                }),
                Box::new(|made| {
                    second.push(*made);
                    Ok(())
                }),
            ];
            let line = Line { next: numbers(n), make: &make, lanes, finish: &finish, step: QUIET };
            line.run(&Workers::new(threads), &mut |_| Ok(())).unwrap();
            let expected: Vec<u64> = (0..n).map(|i| i * 7).collect();
            assert_eq!((&first, &second), (&expected, &expected));
            assert_eq!(finished.into_inner(), expected.iter().sum::<u64>());
            // Those in the line, and one that each thread finishes.
            assert!(most.into_inner() <= LOTS_AT_LEAST.max(threads * LOTS_PER_THREAD + 1) + threads);
        }
    }

    #[test]
    fn the_first_lot_that_fails_is_told() {
        for threads in [1, 2, 5] {
            for _ in 0..20 {
                let make = |i: u64| match i {
                    20 => {
                        sleep(Duration::from_millis(2));
                        Err(Error::Invalid("twenty".into()))
                    }
                    21.. => Err(Error::Invalid("later".into())),
                    _ => Ok(i),
                };
                let line = Line {
                    next: numbers(1000),
                    make: &make,
                    lanes: vec![],
                    finish: &|_| Ok(()),
                    step: QUIET,
                };
                let e = line.run(&Workers::new(threads), &mut |_| Ok(())).unwrap_err();
                assert_eq!(e.to_string(), "twenty");
            }
        }
    }

    #[test]
    fn errors_come_from_everywhere() {
        let fails = |e: bool| if e { Err(Error::Invalid("it".into())) } else { Ok(()) };
        for (threads, place) in [1, 2, 5].into_iter().flat_map(|t| (0..4).map(move |p| (t, p))) {
            let mut next = numbers(100);
            let next: Next<'_, u64> = Box::new(move || {
                let lot = next()?;
                fails(place == 0 && lot == Some(50))?;
                Ok(lot)
            });
            let lanes: Vec<Lane<'_, u64>> = vec![Box::new(|made| fails(place == 1 && *made == 50))];
            let finish = |made| fails(place == 2 && made == 50);
            let step = || Step { done: REPORT, total: None, stored: 0 };
            let line = Line { next, make: &Ok, lanes, finish: &finish, step: &step };
            let done = line.run(&Workers::new(threads), &mut |_| fails(place == 3));
            assert_eq!(done.unwrap_err().to_string(), "it");
        }
    }

    #[test]
    fn a_panic_keeps_nobody_waiting() {
        for threads in [1, 2, 5] {
            let make = |i: u64| {
                assert!(i != 50, "a fault");
                Ok(i)
            };
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let line =
                    Line { next: numbers(100), make: &make, lanes: vec![], finish: &|_| Ok(()), step: QUIET };
                line.run(&Workers::new(threads), &mut |_| Ok(()))
            }));
            assert!(caught.is_err());
        }
    }
}
