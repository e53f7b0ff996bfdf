//! Which RPCs does the mesh know, and which of them stream?
//!
//! Names from the wire become span names and metric labels only if they stand here, so that a caller
//! cannot make up labels without end.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::cost::Cost;

/// What stands for every method that is not known, as OpenTelemetry has it.
pub(crate) const OTHER: &str = "_OTHER";

/// One RPC of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method {
    /// Full name without a leading slash, such as `grpc.health.v1.Health/Check`.
    pub(crate) name: Arc<str>,
    /// Whether the caller sends any number of messages.
    pub(crate) client_streaming: bool,
    /// Whether the server sends any number of messages.
    pub(crate) server_streaming: bool,
    /// The most octets of one message of a request, where the contract says it.
    pub(crate) request_octets: Option<usize>,
    /// How much work a request asks for.
    pub(crate) cost: Cost,
}

/// The RPCs of the mesh's contracts, of health and of reflection, by request path. Several layers look up
/// each call, and the keys are our own: they need no hash that withstands a caller's choice of keys.
#[derive(Debug)]
pub(crate) struct Methods(HashMap<String, Method, RandomState>);

static MESH: LazyLock<Methods> = LazyLock::new(|| {
    let sets = [
        mesh_api::FILE_DESCRIPTOR_SET,
        crate::health_api::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = Methods(HashMap::default());
    for set in sets {
        let pool = DescriptorPool::decode(set)
            .expect("descriptor sets are compiled in and were written by the same build");
        methods.extend(&pool);
    }
    methods
});

impl Methods {
    /// All that a server of the mesh offers.
    pub(crate) fn of_mesh() -> &'static Self {
        &MESH
    }

    /// The method at a request path such as `/grpc.health.v1.Health/Check`.
    pub(crate) fn get(&self, path: &str) -> Option<&Method> {
        self.0.get(path)
    }

    fn extend(&mut self, pool: &DescriptorPool) {
        for service in pool.services() {
            for method in service.methods() {
                let name = format!("{}/{}", service.full_name(), method.name());
                let known = Method {
                    name: name.as_str().into(),
                    client_streaming: method.is_client_streaming(),
                    server_streaming: method.is_server_streaming(),
                    request_octets: request_octets(pool, &method),
                    cost: Cost::of(&method.input()),
                };
                self.0.insert(format!("/{name}"), known);
            }
        }
    }
}

/// What stands beside the method's rule in the contract.
fn request_octets(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<usize> {
    let extension = pool.get_extension_by_name("mp169.authorization.v1.request_octets")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let octets = options.get_extension(&extension).as_u32()?;
    usize::try_from(octets).ok()
}

/// The method's name if it is known, else [`OTHER`].
pub(crate) fn label(method: Option<&'static Method>) -> Arc<str> {
    static OTHER_LABEL: LazyLock<Arc<str>> = LazyLock::new(|| OTHER.into());
    method.map_or_else(|| OTHER_LABEL.clone(), |method| method.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_classification_takes_larger_messages() {
        let methods = Methods::of_mesh().0.values();
        let larger = methods.filter(|method| method.request_octets.is_some());
        let mut names: Vec<&str> = larger.map(|method| &*method.name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["BatchClassify", "Classify", "ClassifyStream"]
                .map(|name| format!("mp169.classification.v1.ClassificationService/{name}"))
        );
    }

    #[test]
    fn health_and_reflection_are_known_and_others_are_not() {
        let methods = Methods::of_mesh();
        let check = methods.get("/grpc.health.v1.Health/Check").unwrap();
        assert!(!check.client_streaming && !check.server_streaming);
        let watch = methods.get("/grpc.health.v1.Health/Watch").unwrap();
        assert!(!watch.client_streaming && watch.server_streaming);
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let reflection = methods.get(&path).unwrap();
            assert!(reflection.client_streaming && reflection.server_streaming);
        }
        assert_eq!(&*label(Some(check)), "grpc.health.v1.Health/Check");
        for path in [
            "",
            "/",
            "/grpc.health.v1.Health/",
            "grpc.health.v1.Health/Check",
        ] {
            assert_eq!(methods.get(path), None, "{path}");
        }
        assert_eq!(&*label(None), OTHER);
    }
}
