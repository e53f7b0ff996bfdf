//! What does an event of the log `devices` do to the flag of a Device?
//!
//! The flag survives a change of supplier, a hub swap and a replaced GPF, and ends with its Device
//! (decisions 14 and 16). An excluded fact that becomes known later asks for a review and never
//! lifts the flag (17).
//!
//! Supplier, hub and coverage of a Device are kept up to date for as long as it has a history,
//! flagged or not: a former supplier must not go on reading a history, or listing a Device, because
//! the flag was lifted before it lost the Device. Such an event has `NOT_FLAGGED` before and after
//! and is nobody's business downstream. The end is only told of a flag that is set, and so is a review,
//! but for one: a flag that was lifted when, as it turns out, somebody else was responsible (see
//! `docs/adr/2026-11-24-a-lifted-flag-can-need-a-review.md`).

use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1::{Cause, ReviewReason};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change as WireChange;
use mesh_api::registration::v1::{SiteException, SmiStatus};
use mesh_types::{CspId, DeviceId, PartyId, Timestamp};

use crate::facts::{MalformedRecord, covered, meter, optional, required};
use crate::flag::{Change, Entry};

/// An event of the log `devices`, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvent {
    /// When registration recorded it.
    pub recorded_time: Timestamp,
    /// The trace context of the request that made it; empty if there was none.
    pub trace_parent: String,
    /// What it says, as far as it matters here.
    pub news: News,
}

/// What an event of the log `devices` says of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Devices have another Responsible Supplier, or none.
    Supplier {
        /// The Devices.
        devices: Vec<DeviceId>,
        /// The supplier.
        supplier: Option<PartyId>,
        /// Since when.
        effective: Timestamp,
        /// How long it is known to stay so.
        tenure: Tenure,
    },
    /// A registration was given an end, or its end was moved. Changes no flag yet.
    RegistrationEnds(Tenure),
    /// A meter was recorded.
    Meter(Box<MeterRecord>),
    /// A hub was recorded.
    Hub {
        /// Its CHF.
        hub: DeviceId,
        /// Its CSP.
        csp: Option<CspId>,
    },
    /// Nothing.
    Nothing,
}

/// By which registration a supplier is responsible, and until when as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The registration; empty if it is not known.
    pub registration_id: String,
    /// The first instant at which it may be over.
    pub until: Timestamp,
}

impl Tenure {
    /// Nothing is known but that it is so now.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            registration_id: String::new(),
            until: Timestamp::FOREVER,
        }
    }
}

/// A meter as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterRecord {
    /// The Device.
    pub device: DeviceId,
    /// Its Responsible Supplier.
    pub supplier: Option<PartyId>,
    /// The hub that it is on.
    pub hub: Option<DeviceId>,
    /// The CSP of that hub.
    pub csp: Option<CspId>,
    /// What a flag on it covers besides.
    pub covered: Vec<DeviceId>,
    /// What is recorded of the site.
    pub exceptions: Vec<SiteException>,
    /// Whether it is gone for good.
    pub decommissioned: bool,
}

impl DeviceEvent {
    /// Reads an event. What this build does not know of is [`News::Nothing`].
    pub fn read(event: &wire::DeviceEvent) -> Result<Self, MalformedRecord> {
        let recorded_time = instant(event.recorded_time.as_ref(), "recorded_time")?;
        let news = match &event.change {
            Some(WireChange::DeviceRecorded(recorded)) => device_news(recorded)?,
            Some(WireChange::SupplierTookEffect(change)) => supplier_news(change)?,
            Some(WireChange::RegistrationRecorded(recorded)) => registration_news(recorded)?,
            // What was announced changes nothing before it begins. If another registration goes on in
            // its place, an event of its own says so.
            Some(WireChange::RegistrationWithdrawn(_)) | None => News::Nothing,
        };
        Ok(Self {
            recorded_time,
            trace_parent: event.trace_parent.clone(),
            news,
        })
    }

    /// What a snapshot of the log says of a Device, as if it were recorded at `at`.
    pub fn of_state(state: wire::DeviceState, at: Timestamp) -> Result<Self, MalformedRecord> {
        let news = device_news(&wire::DeviceRecorded {
            device: state.device,
            previous: None,
            csp_id: state.csp_id,
            responsible_party_id: state.responsible_party_id,
        })?;
        Ok(Self {
            recorded_time: at,
            trace_parent: String::new(),
            news,
        })
    }

    /// The meter that the event records, if it does.
    #[must_use]
    pub fn meter(&self) -> Option<DeviceId> {
        match &self.news {
            News::Meter(record) => Some(record.device),
            News::Supplier { .. }
            | News::RegistrationEnds(_)
            | News::Hub { .. }
            | News::Nothing => None,
        }
    }

    /// What the event does to `entry`, in order.
    #[must_use]
    pub fn effects(&self, entry: &Entry) -> Vec<Change> {
        match &self.news {
            News::Supplier {
                devices,
                supplier,
                effective,
                tenure: _,
            } if devices.contains(&entry.device) => {
                supplier_changed(entry, supplier.as_ref(), *effective)
            }
            News::Meter(record) if record.device == entry.device => {
                meter_recorded(entry, record, self.recorded_time)
            }
            News::Hub { hub, csp }
                if entry.standing.hub == Some(*hub) && entry.standing.csp != *csp =>
            {
                let mut standing = entry.standing.clone();
                standing.csp.clone_from(csp);
                vec![Change::of_facts(
                    Cause::HubReplaced,
                    standing,
                    self.recorded_time,
                )]
            }
            News::Supplier { .. }
            | News::RegistrationEnds(_)
            | News::Meter(_)
            | News::Hub { .. }
            | News::Nothing => Vec::new(),
        }
    }
}

/// What another supplier is to an entry; nothing if it is the one that the entry has.
pub(crate) fn supplier_changed(
    entry: &Entry,
    supplier: Option<&PartyId>,
    effective: Timestamp,
) -> Vec<Change> {
    if entry.standing.supplier.as_ref() == supplier {
        return Vec::new();
    }
    let mut standing = entry.standing.clone();
    standing.supplier = supplier.cloned();
    let review = entry.is_questioned_by(effective).then(|| {
        review(
            standing.clone(),
            effective,
            ReviewReason::BackdatedRegistration,
        )
    });
    let change = Change::of_facts(Cause::SupplierChanged, standing, effective);
    std::iter::once(change).chain(review).collect()
}

fn meter_recorded(entry: &Entry, record: &MeterRecord, at: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut standing = entry.standing.clone();
    if standing.flagged && record.decommissioned {
        // First, so that the CSP that knows the flag hears that it ended.
        standing.flagged = false;
        changes.push(Change::of_facts(Cause::DeviceEnded, standing.clone(), at));
    }
    if standing.supplier != record.supplier {
        standing.supplier.clone_from(&record.supplier);
        changes.push(Change::of_facts(
            Cause::SupplierChanged,
            standing.clone(),
            at,
        ));
    }
    if (standing.hub, &standing.csp) != (record.hub, &record.csp) {
        standing.hub = record.hub;
        standing.csp.clone_from(&record.csp);
        changes.push(Change::of_facts(Cause::HubReplaced, standing.clone(), at));
    }
    if standing.covered != record.covered {
        standing.covered.clone_from(&record.covered);
        changes.push(Change::of_facts(
            Cause::CoverageChanged,
            standing.clone(),
            at,
        ));
    }
    if standing.flagged {
        let reasons = record.exceptions.iter().copied().filter_map(review_reason);
        let news = reasons.filter(|reason| !entry.reviews.contains(reason));
        changes.extend(news.map(|reason| review(standing.clone(), at, reason)));
    }
    changes
}

fn review(standing: crate::flag::Standing, effective: Timestamp, reason: ReviewReason) -> Change {
    Change {
        review: Some(reason),
        ..Change::of_facts(Cause::ReviewNeeded, standing, effective)
    }
}

fn review_reason(exception: SiteException) -> Option<ReviewReason> {
    match exception {
        SiteException::Economy7OrSimilar => Some(ReviewReason::Economy7OrSimilar),
        SiteException::RadioTeleswitch => Some(ReviewReason::RadioTeleswitch),
        SiteException::NetworkManagedWithoutWan => Some(ReviewReason::NetworkManagedWithoutWan),
        SiteException::Unspecified => None,
    }
}

fn device_news(recorded: &wire::DeviceRecorded) -> Result<News, MalformedRecord> {
    let device = recorded
        .device
        .as_ref()
        .ok_or(MalformedRecord("device_recorded.device"))?;
    let id: DeviceId = required(&device.device_id, "device_recorded.device.device_id")?;
    if device.r#type() == mesh_api::common::v1::DeviceType::Chf {
        return Ok(News::Hub {
            hub: id,
            csp: optional(&device.csp_id, "device_recorded.device.csp_id")?,
        });
    }
    let Some(kind) = meter(device.r#type()) else {
        return Ok(News::Nothing);
    };
    let gas_proxy = optional(
        &device.gas_proxy_function_id,
        "device_recorded.device.gas_proxy_function_id",
    )?;
    Ok(News::Meter(Box::new(MeterRecord {
        device: id,
        supplier: optional(
            &recorded.responsible_party_id,
            "device_recorded.responsible_party_id",
        )?,
        hub: optional(
            &device.communications_hub_id,
            "device_recorded.device.communications_hub_id",
        )?,
        csp: optional(&recorded.csp_id, "device_recorded.csp_id")?,
        covered: covered(Some(kind), gas_proxy),
        exceptions: device.site_exceptions().collect(),
        decommissioned: device.smi_status() == SmiStatus::Decommissioned,
    })))
}

fn supplier_news(change: &wire::SupplierTookEffect) -> Result<News, MalformedRecord> {
    let devices = change
        .device_ids
        .iter()
        .map(|id| required(id, "supplier_took_effect.device_ids"));
    let (supplier, tenure) = match &change.registration {
        None => (None, Tenure::unknown()),
        Some(registration) => {
            let supplier = required(
                &registration.party_id,
                "supplier_took_effect.registration.party_id",
            )?;
            (Some(supplier), tenure(registration)?)
        }
    };
    Ok(News::Supplier {
        devices: devices.collect::<Result<_, _>>()?,
        supplier,
        effective: instant(
            change.effective_time.as_ref(),
            "supplier_took_effect.effective_time",
        )?,
        tenure,
    })
}

/// A registration that is new is nobody's yet.
fn registration_news(recorded: &wire::RegistrationRecorded) -> Result<News, MalformedRecord> {
    match (&recorded.previous, &recorded.registration) {
        (Some(_), Some(registration)) => Ok(News::RegistrationEnds(tenure(registration)?)),
        _ => Ok(News::Nothing),
    }
}

fn tenure(registration: &wire::Registration) -> Result<Tenure, MalformedRecord> {
    let end = registration.end_time.as_ref();
    Ok(Tenure {
        registration_id: registration.registration_id.clone(),
        until: match end {
            None => Timestamp::FOREVER,
            Some(_) => instant(end, "registration.end_time")?,
        },
    })
}

fn instant(
    time: Option<&prost_types::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, MalformedRecord> {
    let time = time.ok_or(MalformedRecord(field))?;
    timestamp_from_wire(time).map_err(|_| MalformedRecord(field))
}
