//! Which spans are exported?

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Filter;

/// Those from level `info` on.
///
/// It is asked for each span anew. tracing-subscriber keeps what the filters have last said in a thread; whoever only
/// asks whether something would be logged, as sqlx does, leaves that behind for the next span, which would be lost.
pub(super) fn exported<S>() -> impl Filter<S> {
    dynamic_filter_fn(|metadata, _| *metadata.level() <= Level::INFO)
        .with_max_level_hint(LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id};
    use tracing::{Subscriber, info_span};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
    use tracing_subscriber::{EnvFilter, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_span_is_exported_whatever_was_asked_before() {
        let seen = Seen::default();
        let lines = Seen::default().with_filter(EnvFilter::new("debug"));
        let spans = seen.clone().with_filter(exported());
        tracing::subscriber::with_default(registry().with(lines).with(spans), || {
            for _ in 0..3 {
                assert!(tracing::enabled!(Level::DEBUG), "it would be logged");
                let _span = info_span!("rpc");
            }
        });
        assert_eq!(seen.0.load(Ordering::Relaxed), 3);
    }
}
