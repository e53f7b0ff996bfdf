//! How do records stand in tables, and how are the changes of one transaction written?
//!
//! Each record is a row from the event that made it up to and without the one that replaced it.

use std::collections::{BTreeMap, BTreeSet};

use mesh_store::sqlite::Conn;
use mesh_store::{CURRENT, StoreError, insert_rows, sequence_to_db};
use mesh_types::{DeviceId, EntityId, Interval, Mpxn, PartyId, Sequence, Timestamp};
use sqlx::FromRow;

use crate::device::{Device, SiteException, SmetsVersion};
use crate::party::Party;
use crate::supply::{Registration, RegistrationId};
use crate::wire::{Numbered, party_from_record, party_to_record};

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
pub(super) trait Row: for<'r> FromRow<'r, mesh_store::sqlite::Row> + Send + Unpin {
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
            import_mpan: parsed_if(TABLE, self.import_mpan)?,
            secondary_import_mpan: parsed_if(TABLE, self.secondary_import_mpan)?,
            export_mpan: parsed_if(TABLE, self.export_mpan)?,
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
            mpxn: parsed(TABLE, &self.mpxn)?,
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

fn in_range(table: &'static str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::inconsistent(table, "a number is out of range"))
}

fn numbered<T: Numbered>(table: &'static str, number: i64) -> Result<T, StoreError> {
    i32::try_from(number)
        .ok()
        .and_then(T::numbered)
        .ok_or_else(|| StoreError::inconsistent(table, "a number stands for nothing"))
}

fn exceptions_to_db(exceptions: &BTreeSet<SiteException>) -> i64 {
    exceptions
        .iter()
        .fold(0, |bits, exception| bits | 1 << exception.number())
}

fn exceptions_from_db(bits: i64) -> BTreeSet<SiteException> {
    (1..63)
        .filter(|number| bits >> number & 1 == 1)
        .filter_map(SiteException::numbered)
        .collect()
}

/// Rows of one table, by the record and the event that made it, each with the event that replaced
/// it. A row that ends comes before the one that follows it, as the indices on what stands demand.
#[derive(Debug)]
struct Versions<K, T>(BTreeMap<(K, Sequence), (T, i64)>);

impl<K, T> Default for Versions<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, T> Versions<K, T> {
    fn end(&mut self, key: K, since: Sequence, value: T, at: Sequence) {
        self.0.insert((key, since), (value, sequence_to_db(at)));
    }

    fn begin(&mut self, key: K, value: T, at: Sequence) {
        self.0.insert((key, at), (value, CURRENT));
    }

    fn rows(self) -> Vec<(K, i64, i64, T)> {
        self.0
            .into_iter()
            .map(|((key, from), (value, to))| (key, sequence_to_db(from), to, value))
            .collect()
    }
}

/// What one transaction writes beside its events.
#[derive(Debug, Default)]
pub(super) struct Changes {
    parties: Versions<PartyId, Party>,
    identities: Versions<EntityId, PartyId>,
    devices: Versions<DeviceId, Device>,
    registrations: Versions<RegistrationId, Registration>,
    due: BTreeSet<(Timestamp, Mpxn)>,
    settled: Vec<(Timestamp, Mpxn)>,
}

impl Changes {
    pub(super) fn party(&mut self, before: Option<&Recorded<Party>>, after: Party, at: Sequence) {
        if let Some(Recorded { value, since }) = before {
            for entity in value.identities.keys() {
                self.identities.end(*entity, *since, value.id.clone(), at);
            }
            self.parties
                .end(value.id.clone(), *since, value.clone(), at);
        }
        for entity in after.identities.keys() {
            self.identities.begin(*entity, after.id.clone(), at);
        }
        self.parties.begin(after.id.clone(), after, at);
    }

    pub(super) fn device(
        &mut self,
        before: Option<&Recorded<Device>>,
        after: Device,
        at: Sequence,
    ) {
        if let Some(Recorded { value, since }) = before {
            self.devices.end(value.id, *since, value.clone(), at);
        }
        self.devices.begin(after.id, after, at);
    }

    pub(super) fn registration(
        &mut self,
        before: Option<Recorded<Registration>>,
        after: Registration,
        at: Sequence,
    ) {
        if let Some(Recorded { value, since }) = before {
            self.registrations.end(value.id.clone(), since, value, at);
        }
        self.registrations.begin(after.id.clone(), after, at);
    }

    /// Something will take effect at an instant to come.
    pub(super) fn due(&mut self, at: Timestamp, mpxn: Mpxn) {
        self.due.insert((at, mpxn));
    }

    /// An instant that was due has been dealt with.
    pub(super) fn settled(&mut self, at: Timestamp, mpxn: Mpxn) {
        self.settled.push((at, mpxn));
    }

    /// Writes everything, each table in one statement.
    pub(super) async fn write(self, conn: &mut Conn) -> Result<(), StoreError> {
        settle(conn, &self.settled).await?;
        write_parties(conn, &self.parties.rows(), &self.identities.rows()).await?;
        write_devices(conn, &self.devices.rows()).await?;
        write_registrations(conn, &self.registrations.rows()).await?;
        let due: Vec<_> = self.due.into_iter().collect();
        insert_rows(
            conn,
            "INSERT INTO effect_due (at_time, mpxn)",
            &due,
            2,
            "ON CONFLICT (at_time, mpxn) DO NOTHING",
            |mut row, (at, mpxn)| {
                row.push_bind(at.micros()).push_bind(mpxn.to_string());
            },
        )
        .await?;
        Ok(())
    }
}

/// Takes back what was due.
async fn settle(conn: &mut Conn, settled: &[(Timestamp, Mpxn)]) -> Result<(), StoreError> {
    for chunk in settled.chunks(mesh_store::MAX_BINDS / 2) {
        let mut query = sqlx::QueryBuilder::<mesh_store::sqlite::Db>::new(
            "DELETE FROM effect_due WHERE (at_time, mpxn) IN (",
        );
        query.push_values(chunk, |mut row, (at, mpxn)| {
            row.push_bind(at.micros()).push_bind(mpxn.to_string());
        });
        query.push(")");
        query.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn write_parties(
    conn: &mut Conn,
    parties: &[(PartyId, i64, i64, Party)],
    identities: &[(EntityId, i64, i64, PartyId)],
) -> Result<(), StoreError> {
    insert_rows(
        conn,
        "INSERT INTO party (party_id, from_sequence, to_sequence, record)",
        parties,
        4,
        "ON CONFLICT (party_id, from_sequence) DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut row, (id, from, to, party)| {
            row.push_bind(id.to_string())
                .push_bind(*from)
                .push_bind(*to)
                .push_bind(party_to_record(party));
        },
    )
    .await?;
    insert_rows(
        conn,
        "INSERT INTO party_identity (entity_id, from_sequence, to_sequence, party_id)",
        identities,
        4,
        "ON CONFLICT (entity_id, from_sequence) DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut row, (entity, from, to, party)| {
            row.push_bind(entity.to_string())
                .push_bind(*from)
                .push_bind(*to)
                .push_bind(party.to_string());
        },
    )
    .await?;
    Ok(())
}

async fn write_devices(
    conn: &mut Conn,
    devices: &[(DeviceId, i64, i64, Device)],
) -> Result<(), StoreError> {
    insert_rows(
        conn,
        "INSERT INTO device (device_id, from_sequence, to_sequence, device_type, smets_major, \
         smets_minor, smi_status, smi_status_time, hub_id, csp_id, gpf_id, import_mpan, \
         secondary_import_mpan, export_mpan, mprn, site_exceptions)",
        devices,
        16,
        "ON CONFLICT (device_id, from_sequence) DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut row, (id, from, to, device)| {
            let version = device.smets_version;
            row.push_bind(id.to_string())
                .push_bind(*from)
                .push_bind(*to)
                .push_bind(i64::from(device.device_type.number()))
                .push_bind(version.map(|version| i64::from(version.major)))
                .push_bind(version.map(|version| i64::from(version.minor)))
                .push_bind(device.status.map(|status| i64::from(status.number())))
                .push_bind(device.status_since.map(Timestamp::micros))
                .push_bind(text(device.hub.as_ref()))
                .push_bind(text(device.csp.as_ref()))
                .push_bind(text(device.gpf.as_ref()))
                .push_bind(text(device.import_mpan.as_ref()))
                .push_bind(text(device.secondary_import_mpan.as_ref()))
                .push_bind(text(device.export_mpan.as_ref()))
                .push_bind(text(device.mprn.as_ref()))
                .push_bind(exceptions_to_db(&device.site_exceptions));
        },
    )
    .await?;
    Ok(())
}

async fn write_registrations(
    conn: &mut Conn,
    registrations: &[(RegistrationId, i64, i64, Registration)],
) -> Result<(), StoreError> {
    insert_rows(
        conn,
        "INSERT INTO registration (registration_id, from_sequence, to_sequence, mpxn, party_id, \
         start_time, end_time)",
        registrations,
        7,
        "ON CONFLICT (registration_id, from_sequence) \
         DO UPDATE SET to_sequence = excluded.to_sequence",
        |mut row, (id, from, to, registration)| {
            row.push_bind(id.to_string())
                .push_bind(*from)
                .push_bind(*to)
                .push_bind(registration.mpxn.to_string())
                .push_bind(registration.party.to_string())
                .push_bind(registration.interval.start().micros())
                .push_bind(registration.interval.end().micros());
        },
    )
    .await?;
    Ok(())
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}
