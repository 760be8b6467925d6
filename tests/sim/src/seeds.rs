//! Many seeds, on all processors.

use crate::scenario::{self, Summary};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// What their summaries add up to, or the largest of `widest`; `trace` and `took` are nothing.
    pub sum: Summary,
    /// Seeds that failed, and how, in order.
    pub failures: Vec<(u64, String)>,
}

/// Runs the scenarios of `count` seeds from `first` on.
///
/// # Panics
/// When the system refuses a thread.
pub fn run(first: u64, count: u64) -> Totals {
    let next = AtomicU64::new(first);
    let totals = Mutex::new(Totals::default());
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&s| s < first + count) {
            let outcome = one(seed);
            let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            totals.add(seed, outcome);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut totals = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    totals.failures.sort();
    totals
}

/// One seed; a panic is a failure with a name as well.
fn one(seed: u64) -> Result<Summary, String> {
    let run = catch_unwind(AssertUnwindSafe(|| scenario::run(seed)));
    match run {
        Ok(Ok(summary)) => Ok(summary),
        Ok(Err(failure)) => Err(format!("{failure:?}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("not a text")))
        }
    }
}

impl Totals {
    fn add(&mut self, seed: u64, outcome: Result<Summary, String>) {
        self.runs += 1;
        match outcome {
            Ok(Summary { trace: _, connections, errors, octets, frames, retransmits, widest, took: _ }) => {
                self.sum.connections += connections;
                self.sum.errors += errors;
                self.sum.octets += octets;
                self.sum.frames += frames;
                self.sum.retransmits += retransmits;
                self.sum.widest = self.sum.widest.max(widest);
            }
            Err(what) => self.failures.push((seed, what)),
        }
    }
}
