//! How often may the same line be logged?
//!
//! What anybody can trigger, anybody can trigger a thousand times a second: a handshake that fails, a
//! call that is refused, a stream that is reset. Lines of one kind, which is one place in a source
//! file, ours or a library's, are written up to a rate; the next line that is written says how many
//! were left out. For `tracing` all records of the `log` crate at one level come from one place, so
//! their kind is the target and the line that the record names. What happened is counted in metrics whether it is written or not, and what was
//! left out is counted here.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one kind that are written one after another, after a pause.
pub(crate) const LINES_AT_ONCE: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// Lines of one kind that are written in a second, for ever.
pub(crate) const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN;

/// Keeps the lines of each kind within a rate. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogRate<C: Clock = DefaultClock>(Arc<Inner<C>>);

#[derive(Debug)]
struct Inner<C: Clock> {
    quota: Quota,
    clock: C,
    kinds: Mutex<Kinds<C>>,
}

/// As many as there are places in source files that log. What `tracing` takes for one place is many
/// for records of the `log` crate.
type Kinds<C> = HashMap<Identifier, HashMap<Option<Record>, Kind<C>>>;

/// Which place a record of the `log` crate names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Record {
    target: String,
    line: Option<u32>,
}

type Rate<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

#[derive(Debug)]
struct Kind<C: Clock> {
    target: String,
    rate: Rate<C>,
    left_out: u64,
    /// How many of them a line has told of.
    told: u64,
}

impl LogRate {
    pub(crate) fn new() -> Self {
        Self::with_clock(DefaultClock::default())
    }

    /// Has `meter` tell how many lines were left out, by target.
    ///
    /// It reads the number when it is asked: the telemetry library logs, too, and would wait for
    /// itself if it were told here.
    pub(crate) fn count_with(&self, meter: &Meter) {
        let rate = self.clone();
        meter
            .u64_observable_counter("mp169.log.left_out")
            .with_unit("{line}")
            .with_description("Lines that were not logged because there were many of their kind")
            .with_callback(move |count| {
                for (target, left_out) in rate.left_out() {
                    count.observe(left_out, &[KeyValue::new("target", target)]);
                }
            })
            .build();
    }
}

impl<C: Clock + Clone> LogRate<C> {
    fn with_clock(clock: C) -> Self {
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE);
        Self(Arc::new(Inner {
            quota,
            clock,
            kinds: Mutex::default(),
        }))
    }

    fn may_write(&self, event: &Event<'_>) -> bool {
        let line = event.metadata();
        let record = event.normalized_metadata().map(|named| Record {
            target: named.target().to_owned(),
            line: named.line(),
        });
        let target = record.as_ref().map_or(line.target(), |named| &named.target);
        let target = target.to_owned();
        let mut kinds = self.kinds();
        let kinds = kinds.entry(line.callsite()).or_default();
        let kind = kinds.entry(record).or_insert_with(|| Kind {
            target,
            rate: RateLimiter::direct_with_clock(self.0.quota, self.0.clock.clone()),
            left_out: 0,
            told: 0,
        });
        let may = kind.rate.check().is_ok();
        if !may {
            kind.left_out += 1;
        }
        may
    }

    /// How many lines of this one's kind were left out that no line has told of; from now on, this
    /// one has. Who writes a record of the `log` crate does not know its kind: it tells of all records
    /// of its level.
    pub(crate) fn tell(&self, line: &Metadata<'_>) -> u64 {
        let mut kinds = self.kinds();
        let Some(kinds) = kinds.get_mut(&line.callsite()) else {
            return 0;
        };
        let untold = kinds.values_mut().map(|kind| {
            let untold = kind.left_out - kind.told;
            kind.told = kind.left_out;
            untold
        });
        untold.sum()
    }

    fn left_out(&self) -> BTreeMap<String, u64> {
        let mut by_target = BTreeMap::new();
        let kinds = self.kinds();
        let kinds = kinds.values().flat_map(HashMap::values);
        for kind in kinds.filter(|kind| kind.left_out > 0) {
            *by_target.entry(kind.target.clone()).or_default() += kind.left_out;
        }
        by_target
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds<C>> {
        // Counts stay right even if a holder of the lock panicked between two statements.
        let kinds = self.0.kinds.lock();
        kinds.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, C: Clock + Clone + 'static> Filter<S> for LogRate<C> {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, at: &'static Metadata<'static>) -> Interest {
        match at.is_event() {
            true => Interest::sometimes(),
            false => Interest::always(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.may_write(event)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    use super::*;

    /// What each line that is written says of those that were left out.
    #[derive(Debug, Clone)]
    struct Written {
        rate: LogRate<FakeRelativeClock>,
        lines: Arc<Mutex<Vec<(&'static str, u64)>>>,
    }

    impl<S: tracing::Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = event.metadata();
            let told = (line.target(), self.rate.tell(line));
            self.lines.lock().unwrap().push(told);
        }
    }

    fn fail(times: usize) {
        for _ in 0..times {
            tracing::info!("failed");
        }
    }

    /// What a library logs with the `log` crate, as it comes here.
    fn record(target: &str, line: u32) {
        let record = log::Record::builder()
            .level(log::Level::Warn)
            .target(target)
            .line(Some(line))
            .args(format_args!("a message makes no sense"))
            .build();
        tracing_log::format_trace(&record).unwrap();
    }

    #[test]
    fn a_flood_of_one_record_of_a_library_hides_no_other() {
        let rate = LogRate::with_clock(FakeRelativeClock::default());
        let written = Written {
            rate: rate.clone(),
            lines: Arc::default(),
        };
        let lines = Arc::clone(&written.lines);
        let log = tracing_subscriber::registry().with(written.with_filter(rate.clone()));
        let _log = tracing::subscriber::set_default(log);
        for _ in 0..1_000 {
            record("rustls::conn", 7);
        }
        assert_eq!(lines.lock().unwrap().len(), 20);
        record("rustls::conn", 8);
        record("h2", 7);
        assert_eq!(lines.lock().unwrap().len(), 22);
        let left_out = rate.left_out();
        assert_eq!(left_out, BTreeMap::from([("rustls::conn".to_owned(), 980)]));
    }

    #[test]
    fn many_lines_of_a_kind_are_few_and_the_next_one_tells_of_them() {
        let clock = FakeRelativeClock::default();
        let rate = LogRate::with_clock(clock.clone());
        let written = Written {
            rate: rate.clone(),
            lines: Arc::default(),
        };
        let lines = Arc::clone(&written.lines);
        let log = tracing_subscriber::registry().with(written.with_filter(rate.clone()));
        let _log = tracing::subscriber::set_default(log);
        let taken = || std::mem::take(&mut *lines.lock().unwrap());

        fail(1_000);
        let first = taken();
        assert_eq!(first.len(), 20);
        assert!(first.iter().all(|&(_, told)| told == 0));
        tracing::info!("another kind");
        assert_eq!(taken().len(), 1);

        clock.advance(Duration::from_secs(1));
        fail(1_000);
        let next = taken();
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].1, 980);
        let left_out = rate.left_out();
        assert_eq!(left_out.values().sum::<u64>(), 980 + 999);
        assert!(
            left_out
                .keys()
                .all(|target| target.ends_with("log_rate::tests"))
        );
    }
}
