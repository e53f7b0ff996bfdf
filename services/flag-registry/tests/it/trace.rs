//! Which request caused an event, and who can tell?

use std::sync::OnceLock;

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
