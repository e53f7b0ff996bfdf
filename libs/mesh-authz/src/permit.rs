//! Permits: proof, in the type of a value, that a check was made.
//!
//! A permit can only be built in this crate. A store's write takes the Device from the permit, so
//! that a write without a check does not compile:
//!
//! ```compile_fail
//! let permit = mesh_authz::DevicePermit { };
//! ```

use std::sync::Arc;
#[cfg(feature = "testing")]
use std::time::Duration;
use std::time::Instant;

use mesh_types::{DeviceId, Position, Timestamp};

use crate::{Authority, Caller};

/// A caller may do what one method does to one Device, until a moment.
#[derive(Debug, Clone)]
pub struct DevicePermit {
    pub(crate) caller: Arc<Caller>,
    pub(crate) method: Arc<str>,
    pub(crate) device: DeviceId,
    pub(crate) basis: Basis,
}

/// What a permit rests on.
#[derive(Debug, Clone)]
pub enum Basis {
    /// The caller's role alone.
    Role,
    /// Registration's answer that the caller is the Responsible Supplier.
    Responsible(Box<Authority>),
    /// The service's own followed state, with registration out of reach. Only reads get this.
    Followed,
}

impl DevicePermit {
    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The method, such as `/mp169.flag_registry.v1.FlagService/AddFlag`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The Device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// What the permit rests on.
    #[must_use]
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Registration's answer, if the permit rests on one.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        match &self.basis {
            Basis::Responsible(authority) => Some(authority),
            Basis::Role | Basis::Followed => None,
        }
    }

    /// The first moment at which the permit no longer holds.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.authority()
            .map_or(Timestamp::FOREVER, Authority::holds_until)
    }

    /// Before when a write that rests on the permit must have committed; `None`: none may rest on it.
    #[must_use]
    pub fn lease_ends(&self) -> Option<Instant> {
        self.authority().and_then(Authority::lease_ends)
    }

    /// A permit that nothing was checked for, with a lease of an hour if the answer has none. For tests
    /// only.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn unchecked(caller: Caller, method: &str, authority: Authority) -> Self {
        let device = authority.device();
        let authority = match authority.lease_ends() {
            Some(_) => authority,
            None => authority.leased(Instant::now(), Duration::from_hours(1)),
        };
        let basis = Basis::Responsible(Box::new(authority));
        Self {
            caller: Arc::new(caller),
            method: method.into(),
            device,
            basis,
        }
    }

    /// A permit that rests on a role that nobody looked at. For tests only.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn unchecked_by_role(caller: Caller, method: &str, device: DeviceId) -> Self {
        Self {
            caller: Arc::new(caller),
            method: method.into(),
            device,
            basis: Basis::Role,
        }
    }
}

/// Why a store may write: every write takes one.
#[derive(Debug, Clone)]
pub enum Authorized {
    /// A caller was permitted to.
    Caller(DevicePermit),
    /// An event of a followed log says so.
    Followed(Position),
    /// Its time came, at the instant that was recorded for it.
    Scheduled(Timestamp),
}
