//! The layers stand in the order that is written down.

use mesh_testkit::assert_golden;

use crate::audit::Unrecorded;

use super::*;

/// Stands in for the authorization layer, under the name of its service.
#[derive(Debug, Clone)]
struct AuthorizeLayer;

#[derive(Debug, Clone)]
struct Authorize<S>(S);

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize(inner)
    }
}

impl<S: Rpc> tower::Service<http::Request<tonic::body::Body>> for Authorize<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> S::Future {
        self.0.call(request)
    }
}

/// The services of which `S` is made, outermost first, without their paths.
fn nested<S>(_: &S) -> Vec<&'static str> {
    std::any::type_name::<S>()
        .split('<')
        .map(|part| part.trim_end_matches('>'))
        .map(|part| part.rsplit("::").next().unwrap_or(part))
        .collect()
}

#[test]
fn the_chain_is_built_in_the_documented_order() {
    let chain = chain(
        "test",
        GlobalLimits::default(),
        &CallerLimits::default(),
        Arc::new(SystemClock),
        Arc::new(Unrecorded),
        AuthorizeLayer,
        Routes::default(),
    );
    let built = nested(&chain);
    let meaning = |service: &str| match service {
        "Trace" => Some("trace"),
        "Metrics" => Some("metrics"),
        "PanicGuard" => Some("panic guard"),
        "Protocol" => Some("protocol"),
        "Concurrency" => Some("global limits"),
        // The parts of the global limits.
        "Deadline" | "MessageSize" => None,
        "Identify" => Some("identity"),
        "Audit" => Some("audit"),
        "LimitCallers" => Some("limits per caller"),
        "Authorize" => Some("authorization"),
        "Routes" => Some("handler"),
        other => panic!("{other} is not a layer that LAYER_ORDER knows"),
    };
    let order: Vec<_> = built
        .iter()
        .filter_map(|service| meaning(service))
        .collect();
    assert_eq!(order, LAYER_ORDER);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/layer_order.txt");
    assert_golden(golden, &format!("{}\n", built.join("\n")));
}
