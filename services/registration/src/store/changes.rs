//! How are the changes of one transaction written?

use std::collections::{BTreeMap, BTreeSet};

use mesh_store::sql::{Conn, QueryBuilder};
use mesh_store::{CURRENT, MAX_BINDS, StoreError, WriteTx, sequence_to_db};
use mesh_types::{DeviceId, EntityId, Mpxn, PartyId, Sequence, Timestamp};

use super::rows::Recorded;
use crate::device::{Device, SiteException};
use crate::party::Party;
use crate::supply::{Registration, RegistrationId};
use crate::wire::{Numbered, party_to_record};

/// Rows of one table, by the record and the event that made it, each with the event that replaced
/// it. The rows that end come before those that stand, as the indices on what stands demand.
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
        let rows = self.0.into_iter();
        let (standing, ended): (Vec<_>, Vec<_>) = rows
            .map(|((key, from), (value, to))| (key, sequence_to_db(from), to, value))
            .partition(|(_, _, to, _)| *to == CURRENT);
        ended.into_iter().chain(standing).collect()
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

    /// A registration stands no more, and none comes in its place.
    pub(super) fn withdrawn(&mut self, before: Recorded<Registration>, at: Sequence) {
        let Recorded { value, since } = before;
        self.registrations.end(value.id.clone(), since, value, at);
    }

    /// Something will take effect at an instant to come.
    pub(super) fn due(&mut self, at: Timestamp, mpxn: Mpxn) {
        self.due.insert((at, mpxn));
    }

    /// An instant that was due has been dealt with.
    pub(super) fn settled(&mut self, at: Timestamp, mpxn: Mpxn) {
        self.settled.push((at, mpxn));
    }

    /// Writes everything, each table in one statement. What was due is taken back at once, because the same
    /// may be due anew.
    pub(super) async fn write(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        settle(tx.conn(), &self.settled).await?;
        write_parties(tx, &self.parties.rows(), &self.identities.rows());
        write_devices(tx, &self.devices.rows());
        write_registrations(tx, &self.registrations.rows());
        let due: Vec<_> = self.due.into_iter().collect();
        tx.insert_rows(
            "INSERT INTO effect_due (at_time, mpxn)",
            &due,
            2,
            "ON CONFLICT (at_time, mpxn) DO NOTHING",
            |mut row, (at, mpxn)| {
                row.push_bind(at.micros()).push_bind(mpxn.to_string());
            },
        );
        Ok(())
    }
}

/// Takes back what was due.
async fn settle(conn: &mut Conn, settled: &[(Timestamp, Mpxn)]) -> Result<(), StoreError> {
    for chunk in settled.chunks(MAX_BINDS / 2) {
        let mut query = QueryBuilder::new("DELETE FROM effect_due WHERE (at_time, mpxn) IN (");
        query.push_values(chunk, |mut row, (at, mpxn)| {
            row.push_bind(at.micros()).push_bind(mpxn.to_string());
        });
        query.push(")");
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

fn write_parties(
    tx: &mut WriteTx,
    parties: &[(PartyId, i64, i64, Party)],
    identities: &[(EntityId, i64, i64, PartyId)],
) {
    tx.insert_rows(
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
    );
    tx.insert_rows(
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
    );
}

fn write_devices(tx: &mut WriteTx, devices: &[(DeviceId, i64, i64, Device)]) {
    tx.insert_rows(
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
    );
}

fn write_registrations(
    tx: &mut WriteTx,
    registrations: &[(RegistrationId, i64, i64, Registration)],
) {
    tx.insert_rows(
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
    );
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn exceptions_to_db(exceptions: &BTreeSet<SiteException>) -> i64 {
    exceptions
        .iter()
        .fold(0, |bits, exception| bits | 1 << exception.number())
}
