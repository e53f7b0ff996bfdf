//! Who may call what: rules from the contracts, the party directory, permits.

mod identity;

pub use identity::{Identity, InternalRole};
