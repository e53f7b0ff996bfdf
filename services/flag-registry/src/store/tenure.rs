//! Until when is the supplier of a Device known to stay responsible?
//!
//! Only asked while registration is out of reach: a supplier that was about to lose the Device must
//! not read on because the event that says so cannot arrive. It is followed state of the present
//! and no part of an entry, so that nothing but events changes those.

use std::collections::HashMap;

use mesh_store::sql::{QueryBuilder, Question};
use mesh_store::{MAX_BINDS, StoreError, WriteTx};
use mesh_types::{DeviceId, Timestamp};

use crate::lifecycle::Tenure;

const TABLE: &str = "followed_tenure";

/// The tenures of one transaction.
#[derive(Debug, Default)]
pub(super) struct Tenures {
    known: HashMap<DeviceId, Tenure>,
    changed: Vec<DeviceId>,
}

impl Tenures {
    /// Which tenures rest on `registrations`.
    pub(super) fn resting_on_any(registrations: &[&str]) -> Question<Self> {
        let statements = registrations.chunks(MAX_BINDS).map(|chunk| {
            let mut query = QueryBuilder::new(
                "SELECT device, registration_id, until FROM followed_tenure \
                 WHERE registration_id ",
            );
            query.push_in(chunk.iter().copied());
            query
        });
        Question::new(statements, |rows| {
            let mut tenures = Self::default();
            for row in rows {
                let (device, registration_id, until): (String, String, i64) = row.read()?;
                let tenure = Tenure {
                    registration_id,
                    until: Timestamp::from_micros(until),
                };
                tenures.known.insert(device_from_db(&device)?, tenure);
            }
            Ok(tenures)
        })
    }

    /// The Devices whose tenure is known to this transaction.
    pub(super) fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.known.keys().copied()
    }

    /// The Devices whose supplier is responsible by `registration_id`, in order.
    pub(super) fn resting_on(&self, registration_id: &str) -> Vec<DeviceId> {
        let resting = self
            .known
            .iter()
            .filter(|(_, tenure)| tenure.registration_id == registration_id);
        let mut devices: Vec<DeviceId> = resting.map(|(device, _)| *device).collect();
        devices.sort_unstable();
        devices
    }

    pub(super) fn set(&mut self, device: DeviceId, tenure: Tenure) {
        if self.known.get(&device) != Some(&tenure) {
            self.known.insert(device, tenure);
            self.changed.push(device);
        }
    }

    /// Writes what has changed.
    pub(super) fn write(mut self, tx: &mut WriteTx) {
        self.changed.sort_unstable();
        self.changed.dedup();
        let rows: Vec<(DeviceId, &Tenure)> = self
            .changed
            .iter()
            .filter_map(|device| Some((*device, self.known.get(device)?)))
            .collect();
        tx.insert_rows(
            "INSERT INTO followed_tenure (device, registration_id, until)",
            &rows,
            3,
            "ON CONFLICT (device) DO UPDATE SET \
             registration_id = excluded.registration_id, until = excluded.until",
            |mut row, (device, tenure)| {
                row.push_bind(device.to_string())
                    .push_bind(tenure.registration_id.as_str())
                    .push_bind(tenure.until.micros());
            },
        );
    }
}

/// Whether a Device's entry that stands, `to_sequence` $2, is of a supplier whose tenure lasts.
pub(super) const IS_HELD: &str = "SELECT CAST(1 AS BIGINT) FROM flag_entry \
     JOIN followed_tenure ON followed_tenure.device = flag_entry.device \
     WHERE flag_entry.device = $1 AND flag_entry.to_sequence = $2 AND flag_entry.supplier = $3 \
     AND followed_tenure.until > $4";

fn device_from_db(text: &str) -> Result<DeviceId, StoreError> {
    text.parse()
        .map_err(|_| StoreError::inconsistent(TABLE, "a row is malformed"))
}
