//! Which request caused what a CSP was told?

use std::sync::OnceLock;

use mesh_testkit::wait_until;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::world::{World, set, snapshot};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CAUSE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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

/// The spans of this name that link to the cause.
fn caused(name: &str) -> Vec<SpanData> {
    let ended = spans().get_finished_spans().unwrap();
    let caused = |span: &SpanData| {
        let mut links = span.links.iter();
        links.any(|link| link.span_context.trace_id().to_string() == TRACE)
    };
    let named = ended.into_iter().filter(|span| span.name == name);
    named.filter(caused).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn projection_and_delivery_link_to_the_request_behind_the_event() {
    spans();
    let world = World::start().await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(0).await;
    let mut event = set(1, "north");
    event.trace_parent = CAUSE.into();
    world.flags.append(&event).await;
    world.flags.append(&set(2, "north")).await;
    let changes = north.until(2).await;
    assert_eq!(changes[0].trace_parent, CAUSE);
    assert_eq!(changes[1].trace_parent, "");

    for name in ["project flag change", "deliver flag change"] {
        let found = wait_until("the span", async || match caused(name) {
            found if found.is_empty() => Err("none"),
            found => Ok(found),
        })
        .await;
        // One for the event that has a cause, none for the other, and neither part of its trace.
        assert_eq!(found.len(), 1, "{name}");
        assert_ne!(found[0].span_context.trace_id().to_string(), TRACE);
    }
}
