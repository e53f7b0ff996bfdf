//! How is a record read from its row?
//!
//! Each record is a row from the event that made it up to and without the one that replaced it.

use std::collections::BTreeSet;

use mesh_store::StoreError;
use mesh_store::sql::Record;
use mesh_types::{Interval, Mpan, Mpxn, MpxnError, Sequence, Timestamp};
use sqlx::FromRow;

use crate::device::{Device, SiteException, SmetsVersion};
use crate::party::Party;
use crate::supply::{Registration, RegistrationId};
use crate::wire::{Numbered, party_from_record};

/// A record and the event that made it, which is its etag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded<T> {
    /// The record.
    pub(crate) value: T,
    /// The event's sequence.
    pub(crate) since: Sequence,
}

/// The columns of a party's row.
pub(super) const PARTY: &str = "SELECT party_id, from_sequence, record FROM party";
/// The columns of a Device's row.
pub(super) const DEVICE: &str = "SELECT device_id, from_sequence, device_type, smets_major, \
    smets_minor, smi_status, smi_status_time, hub_id, csp_id, gpf_id, import_mpan, \
    secondary_import_mpan, export_mpan, mprn, site_exceptions FROM device";
/// The columns of a registration's row.
pub(super) const REGISTRATION: &str = "SELECT registration_id, from_sequence, mpxn, party_id, \
    start_time, end_time FROM registration";

#[derive(FromRow)]
pub(super) struct PartyRow {
    from_sequence: i64,
    record: Vec<u8>,
}

#[derive(FromRow)]
pub(super) struct DeviceRow {
    device_id: String,
    from_sequence: i64,
    device_type: i64,
    smets_major: Option<i64>,
    smets_minor: Option<i64>,
    smi_status: Option<i64>,
    smi_status_time: Option<i64>,
    hub_id: Option<String>,
    csp_id: Option<String>,
    gpf_id: Option<String>,
    import_mpan: Option<String>,
    secondary_import_mpan: Option<String>,
    export_mpan: Option<String>,
    mprn: Option<String>,
    site_exceptions: i64,
}

#[derive(FromRow)]
pub(super) struct RegistrationRow {
    registration_id: String,
    from_sequence: i64,
    mpxn: String,
    party_id: String,
    start_time: i64,
    end_time: i64,
}

/// What can be read back from a row of its own.
pub(super) trait Row: Record {
    /// The record.
    type Record;

    /// Reads the row, which this service wrote.
    fn read(self) -> Result<Recorded<Self::Record>, StoreError>;
}

impl Row for PartyRow {
    type Record = Party;

    fn read(self) -> Result<Recorded<Party>, StoreError> {
        Ok(Recorded {
            value: party_from_record(&self.record)?,
            since: mesh_store::sequence_from_db("party", self.from_sequence)?,
        })
    }
}

impl Row for DeviceRow {
    type Record = Device;

    fn read(self) -> Result<Recorded<Device>, StoreError> {
        const TABLE: &str = "device";
        let smets_version = match (self.smets_major, self.smets_minor) {
            (Some(major), Some(minor)) => Some(SmetsVersion {
                major: in_range(TABLE, major)?,
                minor: in_range(TABLE, minor)?,
            }),
            _ => None,
        };
        let status = self.smi_status.map(|number| numbered(TABLE, number));
        let device = Device {
            id: parsed(TABLE, &self.device_id)?,
            device_type: numbered(TABLE, self.device_type)?,
            smets_version,
            status: status.transpose()?,
            status_since: self.smi_status_time.map(Timestamp::from_micros),
            hub: parsed_if(TABLE, self.hub_id)?,
            csp: parsed_if(TABLE, self.csp_id)?,
            gpf: parsed_if(TABLE, self.gpf_id)?,
            import_mpan: mpan(self.import_mpan)?,
            secondary_import_mpan: mpan(self.secondary_import_mpan)?,
            export_mpan: mpan(self.export_mpan)?,
            mprn: parsed_if(TABLE, self.mprn)?,
            site_exceptions: exceptions_from_db(self.site_exceptions),
        };
        Ok(Recorded {
            value: device,
            since: mesh_store::sequence_from_db(TABLE, self.from_sequence)?,
        })
    }
}

impl Row for RegistrationRow {
    type Record = Registration;

    fn read(self) -> Result<Recorded<Registration>, StoreError> {
        const TABLE: &str = "registration";
        let at = Timestamp::from_micros;
        let end = Some(at(self.end_time));
        let registration = Registration {
            id: RegistrationId::recorded(&self.registration_id),
            mpxn: point(TABLE, Mpxn::recorded(&self.mpxn))?,
            party: parsed(TABLE, &self.party_id)?,
            interval: Interval::new(at(self.start_time), end)
                .map_err(|_| StoreError::inconsistent(TABLE, "an interval is empty"))?,
        };
        Ok(Recorded {
            value: registration,
            since: mesh_store::sequence_from_db(TABLE, self.from_sequence)?,
        })
    }
}

fn parsed<T: std::str::FromStr>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| StoreError::inconsistent(table, "an identifier is malformed"))
}

fn parsed_if<T: std::str::FromStr>(
    table: &'static str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| parsed(table, &text)).transpose()
}

/// An MPAN, which may be older than what is asked of one now.
fn mpan(text: Option<String>) -> Result<Option<Mpan>, StoreError> {
    text.map(|text| point("device", Mpan::recorded(&text)))
        .transpose()
}

/// A metering point that was read back.
pub(super) fn point<T>(table: &'static str, read: Result<T, MpxnError>) -> Result<T, StoreError> {
    read.map_err(|_| StoreError::inconsistent(table, "an MPxN is malformed"))
}

fn in_range(table: &'static str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::inconsistent(table, "a number is out of range"))
}

fn numbered<T: Numbered>(table: &'static str, number: i64) -> Result<T, StoreError> {
    i32::try_from(number)
        .ok()
        .and_then(T::numbered)
        .ok_or_else(|| StoreError::inconsistent(table, "a number stands for nothing"))
}

fn exceptions_from_db(bits: i64) -> BTreeSet<SiteException> {
    (1..63)
        .filter(|number| bits >> number & 1 == 1)
        .filter_map(SiteException::numbered)
        .collect()
}
