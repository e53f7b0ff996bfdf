//! How are the calls of each RPC put on record?
//!
//! As the contracts declare it beside the rule. What is no part of the contracts (health, reflection) is
//! counted.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use mesh_api::audit::v1 as wire;
use mesh_rpc::audit::{OnDisk, Recording};
use prost_reflect::{DescriptorPool, MethodDescriptor};

const OPTION: &str = "mp169.audit.v1.recording";

/// A contract that no server starts with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// The descriptor set cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Descriptor(String),
    /// The service is not in the descriptor set.
    #[error("the descriptor set has no service {0}")]
    NoSuchService(String),
    /// A method does not say how its calls are put on record.
    #[error("{0} does not say how its calls are put on record")]
    Undeclared(String),
}

/// How the calls of a server's RPCs are put on record.
#[derive(Debug)]
pub struct Recordings(HashMap<String, Recording, RandomState>);

impl Recordings {
    /// Reads what `services`, given by their full names, declare in any contracts: an encoded
    /// `google.protobuf.FileDescriptorSet`. Fails if a method declares nothing.
    pub fn read(descriptor_set: &[u8], services: &[&str]) -> Result<Self, RecordingError> {
        let pool = DescriptorPool::decode(descriptor_set)
            .map_err(|error| RecordingError::Descriptor(error.to_string()))?;
        let mut recordings = HashMap::default();
        for name in services {
            let service = pool
                .get_service_by_name(name)
                .ok_or_else(|| RecordingError::NoSuchService((*name).to_owned()))?;
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let recording = declared(&pool, &method)
                    .ok_or_else(|| RecordingError::Undeclared(path.clone()))?;
                recordings.insert(path, recording);
            }
        }
        Ok(Self(recordings))
    }

    /// How the calls of the RPC at a path such as `/mp169.flag_registry.v1.FlagService/AddFlag` are put
    /// on record.
    #[must_use]
    pub fn of(&self, path: &str) -> Recording {
        self.0.get(path).copied().unwrap_or(Recording::Counted)
    }
}

fn declared(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Recording> {
    let extension = pool.get_extension_by_name(OPTION)?;
    let options = method.options();
    let value = options.get_extension(&extension).as_enum_number()?;
    let each = |before_answer| Some(Recording::Each { before_answer });
    match wire::Recording::try_from(value).ok()? {
        wire::Recording::Unspecified => None,
        wire::Recording::Each => each(OnDisk::Never),
        wire::Recording::EachBeforeAnswer => each(OnDisk::Always),
        wire::Recording::EachPastBeforeAnswer => each(OnDisk::ThePast),
        wire::Recording::Counted => Some(Recording::Counted),
        wire::Recording::CountedOfServices => Some(Recording::CountedOfServices),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    const FLAGS: &str = "mp169.flag_registry.v1.FlagService";

    #[test]
    fn what_the_contracts_declare_is_read_and_all_else_is_counted() {
        let recordings = Recordings::read(mesh_api::FILE_DESCRIPTOR_SET, &[FLAGS]).unwrap();
        let of = |method: &str| recordings.of(&format!("/{FLAGS}/{method}"));
        let each = |before_answer| Recording::Each { before_answer };
        assert_eq!(of("AddFlag"), each(OnDisk::Never));
        assert_eq!(of("GetFlag"), each(OnDisk::ThePast));
        assert_eq!(of("FollowFlags"), each(OnDisk::Always));
        assert_eq!(of("Nothing"), Recording::Counted);
        assert_eq!(
            recordings.of("/grpc.health.v1.Health/Check"),
            Recording::Counted
        );
    }

    #[test]
    fn a_method_that_declares_nothing_stops_the_start() {
        // Through this type custom options are lost.
        let set = prost_types::FileDescriptorSet::decode(mesh_api::FILE_DESCRIPTOR_SET);
        let stripped = set.unwrap().encode_to_vec();
        let error = Recordings::read(&stripped, &[FLAGS]).unwrap_err();
        assert_eq!(
            error,
            RecordingError::Undeclared(format!("/{FLAGS}/AddFlag"))
        );
        let error = Recordings::read(&stripped, &["mp169.Missing"]).unwrap_err();
        assert_eq!(error, RecordingError::NoSuchService("mp169.Missing".into()));
    }
}
