//! An event of the log takes one line, and all of it can be seen, whatever a peer or an old record
//! put into its fields.

use std::io::{self, Write};

use mesh_types::text::shown;
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::log_rate::LogRate;

/// Makes the lines of a log.
#[derive(Debug)]
pub(crate) struct LogLines<M> {
    /// Makes what a line is written to.
    pub(crate) to: M,
    /// Whether the events are coloured: then escape characters are ours, because
    /// `tracing_subscriber` writes those in fields as text.
    pub(crate) coloured: bool,
    /// Whether events are objects of JSON, or text.
    pub(crate) json: bool,
    /// Knows how many lines were left out.
    pub(crate) rate: LogRate,
}

/// Writes each event, which comes in one piece, as one line.
#[derive(Debug)]
pub(crate) struct LogLine<W> {
    to: W,
    coloured: bool,
    json: bool,
    /// The span in which the event happened.
    span: Option<InSpan>,
    /// Lines of the same kind that were left out before this one.
    left_out: u64,
}

/// A span by its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InSpan {
    trace: TraceId,
    span: SpanId,
}

impl InSpan {
    /// The one that this thread is in, if there is one that has ids.
    fn current() -> Option<Self> {
        Context::map_current(|context| {
            let span = context.has_active_span().then(|| context.span())?;
            let ids = span.span_context();
            ids.is_valid().then(|| Self {
                trace: ids.trace_id(),
                span: ids.span_id(),
            })
        })
    }
}

impl<'a, W: Write, M: Fn() -> W> MakeWriter<'a> for LogLines<M> {
    type Writer = LogLine<W>;

    fn make_writer(&'a self) -> LogLine<W> {
        LogLine {
            to: (self.to)(),
            coloured: self.coloured,
            json: self.json,
            span: None,
            left_out: 0,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LogLine<W> {
        LogLine {
            left_out: self.rate.tell(event),
            span: InSpan::current(),
            ..self.make_writer()
        }
    }
}

impl<W> LogLine<W> {
    /// The event with fields of its own: the span that it is of, and what was left out before it.
    fn with_fields(&self, event: &str) -> String {
        let ids = self.span.map(|InSpan { trace, span }| {
            [
                ("trace_id", trace.to_string()),
                ("span_id", span.to_string()),
            ]
        });
        let ids = ids.into_iter().flatten();
        let left_out = (self.left_out > 0).then_some(self.left_out);
        match event.strip_suffix('}').filter(|_| self.json) {
            Some(object) => {
                let ids = ids.map(|(name, id)| format!(",\"{name}\":\"{id}\""));
                let left_out = left_out.map(|lines| format!(",\"left_out\":{lines}"));
                let fields: String = ids.chain(left_out).collect();
                format!("{object}{fields}}}")
            }
            None => {
                let ids = ids.map(|(name, id)| format!(" {name}={id}"));
                let left_out = left_out.map(|lines| format!(" left_out={lines}"));
                let fields: String = ids.chain(left_out).collect();
                format!("{event}{fields}")
            }
        }
    }
}

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = if self.coloured {
            let parts = text.split('\u{1B}').map(|part| shown(part).to_string());
            parts.collect::<Vec<_>>().join("\u{1B}")
        } else {
            shown(text).to_string()
        };
        let line = self.with_fields(&line);
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    use super::*;

    const HOSTILE: &str = "Evil\u{1B}[2J\r\nWARN forged\u{9B}\u{202E}\u{200B}";

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn layer(log: &Log, json: bool, rate: &LogRate) -> Box<dyn Layer<Registry> + Send + Sync> {
        let to = log.clone();
        let lines = LogLines {
            to: move || to.clone(),
            coloured: false,
            json,
            rate: rate.clone(),
        };
        let layer = tracing_subscriber::fmt::layer().with_ansi(false);
        match json {
            true => layer.with_writer(lines).json().boxed(),
            false => layer.with_writer(lines).boxed(),
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            assert!(text.ends_with('\n'));
            text.lines().map(str::to_owned).collect()
        }
    }

    /// The only line that is written of `event`.
    fn logged(json: bool, event: impl FnOnce()) -> String {
        let log = Log::default();
        let layer = layer(&log, json, &LogRate::new());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), event);
        let mut lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    fn hostile() {
        tracing::warn!(shown = %HOSTILE, debugged = ?HOSTILE, text = HOSTILE, "{HOSTILE}");
    }

    #[test]
    fn an_event_is_one_line_that_can_be_seen() {
        for json in [false, true] {
            let line = logged(json, hostile);
            let hidden = line.chars().find(|&c| !mesh_types::text::is_visible(c));
            assert_eq!(hidden, None, "{}", shown(&line));
            assert!(line.contains(r"\u202e"), "{line}");
        }
        let line: serde_json::Value = serde_json::from_str(&logged(true, hostile)).unwrap();
        assert_eq!(line["fields"]["text"], HOSTILE, "JSON means what it meant");
    }

    #[test]
    fn colours_are_left_alone() {
        let mut log = LogLine {
            to: Vec::new(),
            coloured: true,
            json: false,
            span: None,
            left_out: 7,
        };
        log.write_all("\u{1B}[2mWARN\u{1B}[0m a\u{202E}b\n".as_bytes())
            .unwrap();
        let line = String::from_utf8(log.to).unwrap();
        assert_eq!(line, "\u{1B}[2mWARN\u{1B}[0m a\\u202eb left_out=7\n");
    }

    #[test]
    fn a_line_tells_of_which_span_it_is() {
        use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
        let ids = (TraceId::from(0xAB_u128), SpanId::from(0xCD_u64));
        let (flags, state) = (TraceFlags::NOT_SAMPLED, TraceState::default());
        let span = SpanContext::new(ids.0, ids.1, flags, false, state);
        let span = Context::new().with_remote_span_context(span);
        let (trace, id) = ("000000000000000000000000000000ab", "00000000000000cd");
        let event = || {
            let _in_span = span.clone().attach();
            tracing::info!("a thing happened");
        };
        let line: serde_json::Value = serde_json::from_str(&logged(true, event)).unwrap();
        assert_eq!(
            (&line["trace_id"], &line["span_id"]),
            (&trace.into(), &id.into())
        );
        let line = logged(false, event);
        assert!(
            line.ends_with(&format!("happened trace_id={trace} span_id={id}")),
            "{line}"
        );
        let outside = logged(false, || tracing::info!("a thing happened"));
        assert!(!outside.contains("trace_id"), "{outside}");
    }

    #[test]
    fn a_line_tells_how_many_of_its_kind_were_left_out() {
        let event = || tracing::info!("a thing happened");
        for json in [false, true] {
            let (log, rate) = (Log::default(), LogRate::new());
            let often = layer(&log, json, &rate).with_filter(rate.clone());
            let often = tracing_subscriber::registry().with(often);
            // Fewer if this takes longer than a second.
            tracing::subscriber::with_default(often, || (0..1_000).for_each(|_| event()));
            let written = log.lines().len();
            let next = layer(&log, json, &rate);
            let next = tracing_subscriber::registry().with(next);
            tracing::subscriber::with_default(next, event);
            let line = log.lines().pop().unwrap();
            let left_out = match json {
                true => serde_json::from_str::<serde_json::Value>(&line).unwrap()["left_out"]
                    .as_u64()
                    .unwrap(),
                false => {
                    let (_, left_out) = line.rsplit_once(" left_out=").unwrap();
                    left_out.parse().unwrap()
                }
            };
            assert_eq!(left_out, 1_000 - u64::try_from(written).unwrap());
        }
    }
}
