//! Does what applies a flag lead back to the request that set it?

use std::sync::OnceLock;

use mesh_api::classification::v1::Verdict;
use mesh_api::common::v1::DeviceType;
use mesh_api::flag_registry::v1::{Cause, FlagState};
use mesh_testkit::wait_until;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::upstream::facts;
use crate::world::{METER, World, read};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_change_links_to_its_cause() {
    spans();
    let world = World::start().await;
    let change = (
        facts(FlagState::NotFlagged, &[]),
        facts(FlagState::Flagged, &[]),
    );
    let cause = format!("00-{TRACE}-b7ad6b7169203331-01");
    let flags = &world.flags;
    let flagged = flags.record(METER, DeviceType::Esme, Cause::FlagAdded, change, &cause);
    let decision = world.decide(read(METER), Some(&flagged.await)).await;
    assert_eq!(decision.verdict(), Verdict::Suppress);
    let span = wait_until("the span that applied it", async || {
        let spans = spans().get_finished_spans().unwrap();
        let applied = |span: &opentelemetry_sdk::trace::SpanData| {
            let mut links = span.links.iter();
            span.name == "apply flag event"
                && links.any(|link| link.span_context.trace_id().to_string() == TRACE)
        };
        spans.into_iter().find(applied).ok_or("no such span")
    })
    .await;
    assert_ne!(
        span.span_context.trace_id().to_string(),
        TRACE,
        "a trace of its own"
    );
}
