//! Who may call what: rules from the contracts, the party directory, permits.
//!
//! The rule of each RPC stands beside it in `proto/`, as a method option. [`Rules`] reads them at
//! start, [`AuthorizeLayer`] applies them to every call, and a handler finds an [`Authorization`]
//! in its request: the [`Caller`], and for a method that is about Devices a [`DevicePermit`] for
//! each. Permits can only be built here. What is found out about a call on the way goes into its
//! [`Notes`], for the audit.
//!
//! Order of the checks, so that nobody can probe: method, certificate, party, role, and only then
//! the request's fields and the Device.

mod authority;
mod authorizer;
mod caller;
mod directory;
mod distinct;
mod ending;
mod extract;
mod identity;
mod layer;
mod notes;
mod permit;
mod refusal;
mod remote;
mod roles;
mod rule;
#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError, AuthoritySource, MalformedAuthority};
pub use authorizer::{Authorization, Authorizer, MAX_BATCH};
pub use caller::Caller;
pub use directory::{Directory, MalformedParty};
pub use distinct::each_once;
pub use ending::Ending;
pub use identity::{Identity, IdentityTextError, InternalRole};
pub use layer::{Authorize, AuthorizeLayer, ON_BEHALF_OF};
pub use mesh_api::authorization::v1::Role;
pub use notes::{Noted, Notes, Rows};
pub use permit::{Authorized, Basis, DevicePermit};
pub use refusal::Refusal;
pub use remote::{FollowedSupplier, RemoteAuthority};
pub use roles::{Roles, is_external};
pub use rule::{RuleError, Rules};
