//! Which traces are kept?

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::traceparent::FromOutside;

/// Calls of the services that every server has. Orchestrators and callers ask for health all the time, and tell
/// nothing by it: without this they would be most of all traces.
const NEVER_KEPT: [&str; 2] = ["grpc.health.", "grpc.reflection."];

/// Keeps what the caller keeps if the caller is of the mesh. Whoever is not has no say: it could
/// fill the tracing backend, or go unseen. Its trace id is its own choice, so that a decision by
/// that would be too.
#[derive(Debug, Clone)]
pub(super) struct MeshSampler {
    ratio: f64,
    inside: Sampler,
}

impl MeshSampler {
    pub(super) fn new(ratio: f64) -> Self {
        let begun_here = Sampler::TraceIdRatioBased(ratio);
        Self {
            ratio,
            inside: Sampler::ParentBased(Box::new(begun_here)),
        }
    }
}

impl ShouldSample for MeshSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if is_never_kept(name) {
            return SamplingResult {
                decision: SamplingDecision::Drop,
                attributes: Vec::new(),
                trace_state: parent
                    .map(|parent| parent.span().span_context().trace_state().clone())
                    .unwrap_or_default(),
            };
        }
        let Some(parent) = parent.filter(|parent| came_from_outside(parent)) else {
            let inside = &self.inside;
            return inside.should_sample(parent, trace, name, kind, attributes, links);
        };
        SamplingResult {
            decision: if rand::random::<f64>() < self.ratio {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: parent.span().span_context().trace_state().clone(),
        }
    }
}

/// Whether the span of that name, which of a call is the method's, is of a call that is not traced at all.
fn is_never_kept(name: &str) -> bool {
    NEVER_KEPT.iter().any(|prefix| name.starts_with(prefix))
}

/// Spans within the mesh inherit the mark, but their parent is one of ours.
fn came_from_outside(parent: &Context) -> bool {
    parent.get::<FromOutside>().is_some() && parent.span().span_context().is_remote()
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn parent(flags: TraceFlags, remote: bool) -> Context {
        let (trace, span) = (TraceId::from(1_u128), SpanId::from(1_u64));
        let state = TraceState::default();
        let span = SpanContext::new(trace, span, flags, remote, state);
        Context::new().with_remote_span_context(span)
    }

    fn is_kept(ratio: f64, parent: &Context) -> bool {
        let trace = parent.span().span_context().trace_id();
        let sampler = MeshSampler::new(ratio);
        let result = sampler.should_sample(Some(parent), trace, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn what_every_server_is_asked_all_the_time_is_not_kept() {
        let sampler = MeshSampler::new(1.0);
        let kept = |name: &str, parent: Option<&Context>| {
            let trace = TraceId::from(1_u128);
            let result = sampler.should_sample(parent, trace, name, &SpanKind::Server, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        let caller = parent(TraceFlags::SAMPLED, true);
        let outside = caller.with_value(FromOutside);
        for parent in [None, Some(&caller), Some(&outside)] {
            assert!(!kept("grpc.health.v1.Health/Check", parent));
            assert!(!kept(
                "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                parent
            ));
            assert!(kept("mp169.flag_registry.v1.FlagService/GetFlag", parent));
            assert!(kept("grpc", parent), "a method that is not known");
        }
    }

    #[test]
    fn only_the_mesh_itself_decides_what_is_kept() {
        let (kept, dropped) = (TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED);
        for ratio in [0.0, 1.0] {
            for flags in [kept, dropped] {
                let outside = parent(flags, true).with_value(FromOutside);
                assert_eq!(is_kept(ratio, &outside), ratio > 0.5, "from outside");
                assert_eq!(is_kept(ratio, &parent(flags, true)), flags == kept);
                let child = parent(flags, false).with_value(FromOutside);
                assert_eq!(is_kept(ratio, &child), flags == kept, "a child of ours");
            }
        }
    }
}
