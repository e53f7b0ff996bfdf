//! What does registration say of a Device that somebody wants to flag?

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::{SiteException, SmiStatus};
use mesh_types::{CspId, DeviceId, PartyId, Timestamp};

use crate::flag::{Meter, Standing};

/// An authority answer about one Device, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The Device.
    pub device: DeviceId,
    /// What it is.
    pub device_type: DeviceType,
    /// The major number of the specification that it was built to, if one is recorded.
    pub smets_major: Option<u32>,
    /// Its SMI status.
    pub smi_status: SmiStatus,
    /// The hub that it is on.
    pub hub: Option<Hub>,
    /// The GPF that mirrors it.
    pub gas_proxy: Option<DeviceId>,
    /// What is recorded of the site.
    pub exceptions: Vec<SiteException>,
    /// The Responsible Supplier.
    pub supplier: PartyId,
    /// Since when it is responsible without a break.
    pub supplier_since: Timestamp,
    /// The registration that says so.
    pub registration_id: String,
    /// The supplier of the second element of a twin-element meter, `Some(None)` if that element has
    /// an MPAN and nobody is registered for it.
    pub second_element: Option<Option<PartyId>>,
}

/// The hub that a Device is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Its CHF.
    pub device: DeviceId,
    /// Its CSP.
    pub csp: Option<CspId>,
    /// Its SMI status.
    pub smi_status: SmiStatus,
}

/// The record is not well formed, or not complete: a defect of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("registration's record is malformed in {0}")]
pub struct MalformedRecord(pub(crate) &'static str);

impl Facts {
    /// Reads an answer that names a Responsible Supplier.
    pub fn read(authority: &wire::Authority) -> Result<Self, MalformedRecord> {
        let device = authority.device.as_ref().ok_or(MalformedRecord("device"))?;
        let registration = authority
            .registration
            .as_ref()
            .ok_or(MalformedRecord("registration"))?;
        // An earlier build of registration tells only when the present registration began.
        let since = authority.responsible_since_time.as_ref();
        let since = since
            .or(registration.start_time.as_ref())
            .ok_or(MalformedRecord("responsible_since_time"))?;
        let second_supplier = optional(
            &authority.secondary_responsible_party_id,
            "secondary_responsible_party_id",
        )?;
        let hub = authority.communications_hub.as_ref().map(read_hub);
        Ok(Self {
            device: required(&authority.device_id, "device_id")?,
            device_type: device.r#type(),
            smets_major: device.smets_version.map(|version| version.major),
            smi_status: device.smi_status(),
            hub: hub.transpose()?,
            gas_proxy: optional(
                &device.gas_proxy_function_id,
                "device.gas_proxy_function_id",
            )?,
            exceptions: device.site_exceptions().collect(),
            supplier: required(&authority.responsible_party_id, "responsible_party_id")?,
            supplier_since: timestamp_from_wire(since)
                .map_err(|_| MalformedRecord("responsible_since_time"))?,
            registration_id: registration.registration_id.clone(),
            second_element: (!device.secondary_import_mpan.is_empty()).then_some(second_supplier),
        })
    }

    /// Which kind of meter the Device is, if it is one that can be flagged.
    #[must_use]
    pub fn meter(&self) -> Option<Meter> {
        meter(self.device_type)
    }

    /// What a flag on the Device rests on.
    #[must_use]
    pub fn standing(&self, flagged: bool) -> Standing {
        Standing {
            flagged,
            covered: covered(self.meter(), self.gas_proxy),
            hub: self.hub.as_ref().map(|hub| hub.device),
            csp: self.hub.as_ref().and_then(|hub| hub.csp.clone()),
            supplier: Some(self.supplier.clone()),
        }
    }
}

/// The meters among the Devices.
pub(crate) fn meter(device_type: DeviceType) -> Option<Meter> {
    match device_type {
        DeviceType::Esme => Some(Meter::Esme),
        DeviceType::Gsme => Some(Meter::Gsme),
        DeviceType::Unspecified
        | DeviceType::Gpf
        | DeviceType::Chf
        | DeviceType::Ppmid
        | DeviceType::Hcalcs
        | DeviceType::Ihd
        | DeviceType::Cad
        | DeviceType::Sapc => None,
    }
}

/// What a flag on a meter covers besides it: of a GSME its GPF.
pub(crate) fn covered(meter: Option<Meter>, gas_proxy: Option<DeviceId>) -> Vec<DeviceId> {
    match meter {
        Some(Meter::Gsme) => gas_proxy.into_iter().collect(),
        Some(Meter::Esme) | None => Vec::new(),
    }
}

pub(crate) fn required<T: std::str::FromStr>(
    text: &str,
    field: &'static str,
) -> Result<T, MalformedRecord> {
    text.parse().map_err(|_| MalformedRecord(field))
}

pub(crate) fn optional<T: std::str::FromStr>(
    text: &str,
    field: &'static str,
) -> Result<Option<T>, MalformedRecord> {
    if text.is_empty() {
        Ok(None)
    } else {
        required(text, field).map(Some)
    }
}

fn read_hub(hub: &wire::Device) -> Result<Hub, MalformedRecord> {
    Ok(Hub {
        device: required(&hub.device_id, "communications_hub.device_id")?,
        csp: optional(&hub.csp_id, "communications_hub.csp_id")?,
        smi_status: hub.smi_status(),
    })
}
