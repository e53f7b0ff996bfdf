//! Which request caused an event, and who can tell?

use std::sync::OnceLock;

use mesh_api::common::v1::{AsOf, FollowStart, SnapshotStart, as_of::Known, follow_start::Start};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1::{
    BatchGetFlagsRequest, FollowFlagsRequest, GetFlagRequest, ListFlagEventsRequest,
    ListFlagsRequest,
};
use mesh_testkit::wait_until;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::world::{METER, NOW, World, add};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Every span of this process that has ended since this was first asked.
fn spans() -> &'static InMemorySpanExporter {
    static SPANS: OnceLock<(InMemorySpanExporter, SdkTracerProvider)> = OnceLock::new();
    let (exporter, _) = SPANS.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        tracing_subscriber::registry()
            .with(layer.with_filter(LevelFilter::INFO))
            .try_init()
            .unwrap();
        (exporter, provider)
    });
    exporter
}

fn finished(found: impl Fn(&SpanData) -> bool) -> Result<SpanData, &'static str> {
    let spans = spans().get_finished_spans().unwrap();
    spans.into_iter().find(found).ok_or("no such span")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_names_the_request_that_caused_it() {
    spans();
    let world = World::start().await;
    world.meter(METER);
    let mut acme = world.acme();
    async { acme.add_flag(add(METER)).await.unwrap() }
        .instrument(tracing::info_span!("a request"))
        .await;
    let request = wait_until("the request ends", async || {
        finished(|span| span.name == "a request")
    })
    .await;
    let trace = request.span_context.trace_id().to_string();
    let history = world.history(METER).await;
    assert_eq!(history[0].trace_parent.get(3..35), Some(trace.as_str()));

    // What a followed event causes links to that event's request, and says so further on.
    let cause = format!("00-{TRACE}-b7ad6b7169203331-01");
    world
        .registration
        .change_supplier(METER, "RIVAL", NOW, &cause);
    world.caught_up().await;
    assert_eq!(world.history(METER).await[1].trace_parent, cause);
    wait_until("the span that applied it", async || {
        finished(|span| {
            let mut links = span.links.iter();
            span.name == "apply device event"
                && links.any(|link| link.span_context.trace_id().to_string() == TRACE)
        })
    })
    .await;
}

/// Decision 28: who read whose history stands in the log of the service, event by event.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_a_history_is_audited() {
    const AUDITED: &str = "00-DB-12-34-56-78-90-D0";
    spans();
    let world = World::start().await;
    world.flagged(AUDITED).await;
    let request = ListFlagEventsRequest {
        device_id: AUDITED.into(),
        ..Default::default()
    };
    world.acme().list_flag_events(request).await.unwrap();
    audited(&[("caller", "ACME"), ("device", AUDITED), ("events", "1")]).await;
}

/// What a flag was is a history too, read an answer at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_the_past_is_audited() {
    const ONE: &str = "00-DB-12-34-56-78-90-D1";
    const OF_MANY: &str = "00-DB-12-34-56-78-90-D2";
    const LISTED: &str = "00-DB-12-34-56-78-90-D3";
    spans();
    let world = World::start().await;
    for device in [ONE, OF_MANY, LISTED] {
        world.flagged(device).await;
    }
    let mut acme = world.acme();
    let request = GetFlagRequest {
        device_id: ONE.into(),
        valid_time: Some(timestamp_to_wire(NOW)),
        ..Default::default()
    };
    let answer = acme.get_flag(request).await.unwrap().into_inner();
    audited(&[("caller", "ACME"), ("device", ONE)]).await;
    let as_of = Some(AsOf {
        known: answer.position.map(Known::Position),
    });
    let request = BatchGetFlagsRequest {
        device_ids: vec![OF_MANY.into()],
        as_of: as_of.clone(),
        ..Default::default()
    };
    acme.batch_get_flags(request).await.unwrap();
    audited(&[("caller", "ACME"), ("device", OF_MANY)]).await;
    let request = ListFlagsRequest {
        party_id: "ACME".into(),
        as_of,
        ..Default::default()
    };
    acme.list_flags(request).await.unwrap();
    audited(&[("caller", "ACME"), ("device", LISTED)]).await;
}

/// Whoever follows the log reads the history of all Devices.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_the_log_is_audited() {
    spans();
    let world = World::start().await;
    let request = FollowFlagsRequest {
        start: Some(FollowStart {
            start: Some(Start::Snapshot(SnapshotStart::default())),
        }),
    };
    let stream = world.internal("auditor").follow_flags(request).await;
    drop(stream.unwrap());
    audited(&[("caller", "auditor"), ("log", "flags")]).await;
}

async fn audited(expected: &[(&str, &str)]) {
    wait_until("the read is told", async || {
        finished(|span| {
            span.events.iter().any(|event| {
                expected.iter().all(|(key, value)| {
                    let mut attributes = event.attributes.iter();
                    attributes.any(|one| one.key.as_str() == *key && one.value.as_str() == *value)
                })
            })
        })
    })
    .await;
}
