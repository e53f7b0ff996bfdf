//! Which SQL statements does a piece of work run, and how many rows do they give?

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument as _, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// Under which sqlx tells of each statement that it has run.
const TOLD: &str = "sqlx::query";

/// A statement that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its first words.
    pub summary: String,
    /// How many rows it gave.
    pub rows: u64,
}

/// Statements by the number of the work that ran them.
static RUN: Mutex<Option<HashMap<u64, Vec<Statement>>>> = Mutex::new(None);

/// Does `work`, and says which statements it ran, in order. What it hands to other tasks is not seen.
///
/// # Panics
///
/// If the test's program has set a subscriber for `tracing` itself.
pub async fn statements<F: Future>(work: F) -> (F::Output, Vec<Statement>) {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let targets = Targets::new()
            .with_target(TOLD, LevelFilter::DEBUG)
            .with_target(module_path!(), LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry().with(Listener.with_filter(targets));
        tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
    });
    let number = {
        let mut run = run();
        let all = run.get_or_insert_default();
        let number = u64::try_from(all.len()).expect("tests do not run out of numbers");
        all.insert(number, Vec::new());
        number
    };
    let span = tracing::info_span!("work", number);
    let output = work.instrument(span).await;
    let mine = run()
        .as_mut()
        .and_then(|all| all.get_mut(&number).map(std::mem::take));
    (output, mine.unwrap_or_default())
}

fn run() -> MutexGuard<'static, Option<HashMap<u64, Vec<Statement>>>> {
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Listener;

/// In the extensions of a span of work.
struct Number(u64);

#[derive(Default)]
struct Told {
    number: u64,
    summary: String,
    rows: u64,
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "number" => self.number = value,
            "rows_returned" => self.rows = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "summary" {
            value.clone_into(&mut self.summary);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "summary" {
            self.summary = format!("{value:?}");
        }
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut told = Told::default();
        attributes.record(&mut told);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Number(told.number));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(mut scope) = context.event_scope(event) else {
            return;
        };
        let number = scope.find_map(|span| Some(span.extensions().get::<Number>()?.0));
        let mut told = Told::default();
        event.record(&mut told);
        let mut run = run();
        // What sets up a new connection belongs to no piece of work.
        let all = run.as_mut().zip(number);
        let all = all.filter(|_| !told.summary.starts_with("PRAGMA"));
        if let Some(mine) = all.and_then(|(all, number)| all.get_mut(&number)) {
            mine.push(Statement {
                summary: told.summary,
                rows: told.rows,
            });
        }
    }
}
