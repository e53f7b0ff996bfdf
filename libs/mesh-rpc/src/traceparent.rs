//! Is this a W3C trace context, and what is ours?
//!
//! A traceparent from outside is read strictly: whatever is not exactly of the form in the W3C
//! recommendation is as good as none, and the call gets a trace of its own.

use http::HeaderMap;
use http::header::HeaderName;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Characters of a version 00 traceparent.
const LENGTH: usize = 55;
/// Longest tracestate that is carried on, in characters; the recommendation asks for at least this.
const TRACESTATE_LIMIT: usize = 512;

/// Marks a context whose sender is not of the mesh: it may say which trace a call belongs to, not
/// whether the trace is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FromOutside;

/// The traceparent of the current span, to be stored beside what it causes later.
///
/// `None` if no telemetry is installed or no span is entered.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&Span::current().context())
}

/// The trace that the current span belongs to; `None` as for [`current_traceparent`].
pub(crate) fn current_trace() -> Option<[u8; 16]> {
    let cx = Span::current().context();
    let span = cx.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_bytes())
}

/// Makes `span` link to the span that `traceparent` names: "this was caused by that", without being
/// part of it. Says whether `traceparent` was one.
///
/// For work that a stored event causes: a follower's apply, a delivery to a CSP.
pub fn link_to(span: &Span, traceparent: &str) -> bool {
    let Some(cause) = parse(traceparent, None) else {
        return false;
    };
    span.add_link(cause);
    true
}

/// The caller's context, or an empty one if the headers hold none that is well formed.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Context::new();
    };
    value
        .to_str()
        .ok()
        .and_then(|text| parse(text, tracestate(headers)))
        .map_or_else(Context::new, |caller| {
            Context::new().with_remote_span_context(caller)
        })
}

/// Replaces the trace context in `headers` by that of `cx`; leaves none if `cx` has none.
pub(crate) fn inject(cx: &Context, headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    let Some(traceparent) = traceparent_of(cx) else {
        return;
    };
    if let Ok(value) = traceparent.parse() {
        headers.insert(TRACEPARENT, value);
    }
    let state = cx.span().span_context().trace_state().header();
    if let (false, Ok(value)) = (state.is_empty(), state.parse()) {
        headers.insert(TRACESTATE, value);
    }
}

fn traceparent_of(cx: &Context) -> Option<String> {
    let span = cx.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            (context.trace_flags() & TraceFlags::SAMPLED).to_u8()
        )
    })
}

fn tracestate(headers: &HeaderMap) -> Option<TraceState> {
    let values: Result<Vec<_>, _> = headers
        .get_all(TRACESTATE)
        .iter()
        .map(http::HeaderValue::to_str)
        .collect();
    let joined = values.ok()?.join(",");
    if joined.len() > TRACESTATE_LIMIT {
        return None;
    }
    joined.parse().ok()
}

/// Reads `version-traceid-parentid-flags`; later versions may go on after a further `-`.
fn parse(text: &str, state: Option<TraceState>) -> Option<SpanContext> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let well_formed = known.bytes().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => byte == b'-',
        _ => lower_hex(byte),
    });
    let version = &known[..2];
    let whole = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    if !well_formed || !whole || version == "ff" {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(&known[3..35]).ok()?,
        SpanId::from_hex(&known[36..52]).ok()?,
        TraceFlags::new(u8::from_str_radix(&known[53..], 16).ok()?) & TraceFlags::SAMPLED,
        true,
        state.unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_good_traceparent_goes_in_and_comes_out() {
        let cx = extract(&headers(&[
            ("traceparent", GOOD),
            ("tracestate", "a=1,b=2"),
        ]));
        let mut out = headers(&[("traceparent", "stale"), ("tracestate", "stale=1")]);
        inject(&cx, &mut out);
        assert_eq!(out["traceparent"], GOOD);
        assert_eq!(out["tracestate"], "a=1,b=2");
        inject(&Context::new(), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn later_versions_are_read_by_their_first_part() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(parse(later, None).is_some());
        assert!(parse(&later[..LENGTH], None).is_some());
    }

    #[test]
    fn rubbish_is_as_good_as_nothing() {
        let long = "0".repeat(10_000);
        let hostile = [
            "",
            "-",
            "---",
            "rubbish",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bé-01",
            "';DROP TABLE log_event;--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            long.as_str(),
        ];
        for text in hostile {
            assert_eq!(parse(text, None), None, "{text}");
            if let Ok(value) = http::HeaderValue::from_bytes(text.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert(TRACEPARENT, value);
                let cx = extract(&headers);
                assert!(!cx.span().span_context().is_valid(), "{text}");
            }
        }
        let twice = headers(&[("traceparent", GOOD), ("traceparent", GOOD)]);
        assert!(!extract(&twice).span().span_context().is_valid());
    }

    #[test]
    fn a_bad_tracestate_costs_only_itself() {
        let long = format!("a={}", "x".repeat(TRACESTATE_LIMIT));
        for state in ["no equals sign", "a=1,b", long.as_str()] {
            let cx = extract(&headers(&[("traceparent", GOOD), ("tracestate", state)]));
            let mut out = HeaderMap::new();
            inject(&cx, &mut out);
            assert_eq!(out["traceparent"], GOOD, "{state}");
            assert!(!out.contains_key("tracestate"), "{state}");
        }
    }
}
