//! The generated contracts, their descriptor set, and the way between wire and domain types.
//!
//! The modules are named as the proto packages are: [`registration::v1`], [`flag_registry::v1`] and
//! so on. Nothing here decides anything.

#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    reason = "generated from proto/, which documents every line"
)]
#[expect(unreachable_pub, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mesh_api.rs"));
}

pub mod codec;
pub mod convert;
pub mod status;

pub use generated::mp169::{
    audit, authorization, classification, common, csp_notification, flag_registry, operations,
    registration, reporting,
};

/// All contracts with their options and comments, serialized: what rules are read from and what
/// server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
