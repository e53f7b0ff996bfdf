//! In which ways can a change contradict what is recorded?

use mesh_types::{DeviceId, EntityId, PartyId};

/// Why a well-formed change cannot be recorded. The texts are shown to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Another party has the Entity Identifier.
    #[error("the entity {0} belongs to another party")]
    EntityOfAnotherParty(EntityId),
    /// Closing is final.
    #[error("the party {0} is closed, which is final")]
    PartyClosed(PartyId),
    /// The type of a Device never changes.
    #[error("the Device is recorded with another type, which never changes")]
    TypeChanged,
    /// The CSP of a hub never changes: the Devices on it would move without being told.
    #[error("the hub is recorded with another CSP, which never changes")]
    CspChanged,
    /// Decommissioning is final.
    #[error("the Device is decommissioned, which is final")]
    Decommissioned,
    /// The hub is not recorded.
    #[error("the Communications Hub {0} is not recorded")]
    HubUnknown(DeviceId),
    /// The hub is another kind of Device.
    #[error("the Device {0} is recorded and is not a CHF")]
    NotAHub(DeviceId),
    /// The GPF is not recorded.
    #[error("the Gas Proxy Function {0} is not recorded")]
    GpfUnknown(DeviceId),
    /// The GPF is another kind of Device.
    #[error("the Device {0} is recorded and is not a GPF")]
    NotAGpf(DeviceId),
    /// A GPF mirrors one meter.
    #[error("the Gas Proxy Function mirrors the GSME {0}, which is not decommissioned")]
    GpfTaken(DeviceId),
    /// Nobody but a recorded supplier of that fuel can be registered.
    #[error("{0} is not recorded as a supplier of this fuel")]
    NotASupplier(PartyId),
}
