//! What is done in one turn, and how are calls kept in flight for its time?

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::machine::Processors;

/// The longest time that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What is measured, or what it is measured against.
pub(crate) trait Side {
    /// Works for `time` and checks every answer: a wrong one is an error.
    async fn turn(&mut self, time: Duration) -> Result<Turn>;

    /// Puts everything back as it was, and waits until nothing of the turn goes on: the other side
    /// is measured next.
    async fn settle(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<S: Side> Side for &mut S {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        (**self).turn(time).await
    }

    async fn settle(&mut self) -> Result<()> {
        (**self).settle().await
    }
}

/// What one turn came to.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// How many units were done.
    pub(crate) done: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// The time of processors that this process took meanwhile, whoever in it; where it is known.
    pub(crate) processors: Option<Duration>,
    /// From each request to its answer, in microseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Turn {
    /// Units per second.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    /// Microseconds of processors per unit. Other processes make a turn slower, but hardly dearer.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn cost(&self) -> Option<f64> {
        let micros = self.processors?.as_secs_f64() * 1e6;
        Some(micros / self.done.max(1) as f64)
    }

    /// The turn, if each call did so many units.
    pub(crate) fn of_units(self, each: u64) -> Self {
        Self {
            done: self.done * each,
            ..self
        }
    }
}

/// No latencies yet.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order")
}

/// Counts what began at `start` and has ended now, and gives the present.
pub(crate) fn record(latencies: &mut Histogram<u64>, start: Instant) -> Instant {
    let now = Instant::now();
    count(latencies, now.duration_since(start));
    now
}

/// Counts what took so long.
pub(crate) fn count(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// Each of `callers` calls again as soon as it is answered, until `time` is over or `call` breaks off
/// because nothing is left to do. `call` is given the caller's number.
pub(crate) async fn keep_in_flight<F>(
    callers: usize,
    time: Duration,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<Turn>
where
    F: Future<Output = Result<ControlFlow<()>>> + Send,
{
    let (start, processors) = (Instant::now(), Processors::now());
    let end = start + time;
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut latencies = latencies();
            let mut now = Instant::now();
            while now < end && call(caller).await?.is_continue() {
                now = record(&mut latencies, now);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = latencies();
    while let Some(ended) = tasks.join_next().await {
        all.add(ended??)?;
    }
    Ok(Turn {
        done: all.len(),
        took: start.elapsed(),
        processors: Processors::ours_since(processors),
        latencies: all,
    })
}
