//! Which clock does a process go by, and who learns when it is not believed?
//!
//! The rule is `mesh_types::belief`; see `docs/adr/2026-11-28-a-clock-ahead-is-not-believed.md`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_rpc::{MeshChannel, NotReady};
use mesh_store::Store;
use mesh_types::{Clock, Doubt, SystemClock, WatchedClock};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// How often the services that are called are asked for their health, which tells each the other's
/// time.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
/// How often the clock is judged, for the log and the metrics. Every write judges it by itself.
const JUDGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is noted that the database is in use. After a reboot a start is held against that, by
/// hours.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// The machine's clock, watched. `accepted` says that an operator takes it for right at this start.
#[must_use]
pub fn machine_clock(accepted: bool) -> Arc<dyn Clock> {
    let clock = WatchedClock::new(Arc::new(SystemClock), elapsed);
    Arc::new(if accepted { clock.accepted() } else { clock })
}

/// How long the machine is up, sleep included.
fn elapsed() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

/// Exchanges the time with services, by a small call to each, until `stop` is cancelled.
pub(crate) async fn exchange_time(
    services: Vec<MeshChannel>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    if clock.watch().is_none() {
        return;
    }
    let mut ticks = interval(ASK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ask = |service: &MeshChannel| {
        let mut health = HealthClient::new(service.clone());
        // Whoever does not answer is not heard; what matters else is seen by other calls.
        async move { health.check(HealthCheckRequest::default()).await.is_ok() }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let asked = futures::future::join_all(services.iter().map(ask));
        tokio::select! {
            () = stop.cancelled() => return,
            _ = asked => {}
        }
    }
}

/// Watches the clock until `stop` is cancelled: tells log and metrics whether it is believed, and
/// notes in `store` that it is in use.
pub(crate) async fn watch_clock(
    service: &'static str,
    clock: Arc<dyn Clock>,
    store: Option<Store>,
    stop: CancellationToken,
) {
    if clock.watch().is_none() {
        return;
    }
    let metrics = Metrics::new(service, &opentelemetry::global::meter("mesh-service"));
    let mut ticks = interval(JUDGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut note) = (None, Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let doubt = doubt(&*clock, store.as_ref()).await;
        tell(service, &mut told, doubt);
        metrics.show(&*clock, doubt);
        if doubt.is_none()
            && Instant::now() >= note
            && let Some(store) = &store
        {
            // What fails a write is told by those who write.
            if store.note_alive(&*clock).await.is_ok() {
                note = Instant::now() + NOTE_INTERVAL;
            }
        }
    }
}

/// Why nothing is recorded by `clock`, if it is not by the store's own fault.
pub(crate) async fn doubt(clock: &dyn Clock, store: Option<&Store>) -> Option<Doubt> {
    match store {
        Some(store) => store.clock_doubt(clock).await.unwrap_or_default(),
        None => clock.doubt(),
    }
}

/// Whether what is recorded in `store` gets the right time, in the words of health.
pub(crate) async fn recording(clock: &dyn Clock, store: &Store) -> Result<(), NotReady> {
    match doubt(clock, Some(store)).await {
        None => Ok(()),
        Some(doubt) => Err(NotReady::because(doubt.reason())),
    }
}

/// Says in the log what has changed.
fn tell(service: &'static str, told: &mut Option<Doubt>, doubt: Option<Doubt>) {
    let reason = |doubt: &Option<Doubt>| doubt.as_ref().map(Doubt::reason);
    if reason(told) != reason(&doubt) {
        match &doubt {
            Some(doubt) => tracing::error!(
                service,
                reason = doubt.reason(),
                "nothing is recorded, the clock is not believed: {doubt}"
            ),
            None => tracing::info!(service, "the clock is believed"),
        }
    }
    *told = doubt;
}

struct Metrics {
    service: KeyValue,
    believed: Gauge<u64>,
    offset: Gauge<f64>,
}

impl Metrics {
    fn new(service: &'static str, meter: &Meter) -> Self {
        Self {
            service: KeyValue::new("mp169.service", service),
            believed: meter
                .u64_gauge("mp169.clock.believed")
                .with_description("1 if the clock is believed, 0 if nothing is recorded by it")
                .build(),
            offset: meter
                .f64_gauge("mp169.clock.offset")
                .with_unit("s")
                .with_description("How far our clock is ahead of another service's")
                .build(),
        }
    }

    fn show(&self, clock: &dyn Clock, doubt: Option<Doubt>) {
        let believed = u64::from(doubt.is_none());
        self.believed
            .record(believed, std::slice::from_ref(&self.service));
        for (peer, ahead) in clock_offsets(clock) {
            let labels = [self.service.clone(), KeyValue::new("peer", peer)];
            self.offset.record(ahead, &labels);
        }
    }
}

/// By how many seconds the clock is ahead of each other service's that was heard in the last minute.
pub(crate) fn clock_offsets(clock: &dyn Clock) -> BTreeMap<&'static str, f64> {
    let Some(watch) = clock.watch() else {
        return BTreeMap::new();
    };
    let seconds = |micros: i64| {
        let length = Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
        if micros < 0 { -length } else { length }
    };
    let peers = watch.peers(clock.now()).into_iter();
    peers.map(|(peer, at)| (peer, seconds(at.ahead))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_believed_and_watched() {
        for accepted in [false, true] {
            let clock = machine_clock(accepted);
            assert_eq!(clock.doubt(), None);
            let watch = clock.watch().unwrap();
            assert_eq!(watch.is_accepted(), accepted);
            assert!(!watch.elapsed().is_zero());
        }
    }
}
