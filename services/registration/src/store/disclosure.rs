//! Which Devices may a question be told of?
//!
//! One that is asked on behalf of a party: of those that the party is responsible for. All others
//! take the same work, whether they exist or not: the same statements, with as many keys, and as many
//! rows returned. What there is less of is made up for with rows of other records. Nothing more is read
//! before it is known whom it may be told.

use std::collections::{BTreeSet, HashMap};

use mesh_store::StoreError;
use mesh_store::sql::Conn;
use mesh_types::{DeviceId, Mpxn, PartyId, Timestamp};

use super::read::{self, STANDING};
use super::rows::Recorded;
use crate::authority::Points;
use crate::device::Device;

/// Who is responsible for a Device?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The Device.
    pub(crate) device: DeviceId,
    /// On behalf of whom it is asked; `None` if the one who asks may know of every Device.
    pub(crate) party: Option<PartyId>,
}

/// Rows of Devices that can belong to one: itself, and the meter that a GPF mirrors.
const DEVICE_ROWS: usize = 2;

/// What stands about the Devices that parties ask about.
#[derive(Debug, Default)]
struct Found {
    devices: HashMap<DeviceId, Recorded<Device>>,
    /// The GSMEs that GPFs mirror, by these.
    meters: HashMap<DeviceId, Device>,
    suppliers: HashMap<DeviceId, PartyId>,
}

/// Who may be told of which Device.
#[derive(Debug, Default)]
pub(super) struct Disclosed {
    suppliers: HashMap<DeviceId, PartyId>,
    /// What was read to find that out.
    devices: HashMap<DeviceId, Recorded<Device>>,
}

impl Disclosed {
    /// Finds the suppliers at an instant, by what stands.
    pub(super) async fn of(
        conn: &mut Conn,
        questions: &[Question],
        valid: Timestamp,
    ) -> Result<Self, StoreError> {
        let secret = |asked: &&Question| asked.party.is_some();
        let ids: BTreeSet<DeviceId> = questions
            .iter()
            .filter(secret)
            .map(|asked| asked.device)
            .collect();
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let found = Found::read(conn, &ids, valid).await?;
        let told = |asked: &&Question| {
            asked.party.is_some() && asked.party.as_ref() == found.suppliers.get(&asked.device)
        };
        let told: BTreeSet<DeviceId> = questions
            .iter()
            .filter(told)
            .map(|asked| asked.device)
            .collect();
        let refused: Vec<&DeviceId> = ids.difference(&told).collect();
        found.make_up(conn, &refused).await?;
        Ok(Self {
            suppliers: found.suppliers,
            devices: found.devices,
        })
    }

    /// Takes out what stands of a Device, if it was read.
    pub(super) fn take(&mut self, device: &DeviceId) -> Option<Recorded<Device>> {
        self.devices.remove(device)
    }

    /// Whether the one who asks may know the answer.
    pub(super) fn may_tell(&self, asked: &Question) -> bool {
        asked.party.is_none() || self.suppliers.get(&asked.device) == asked.party.as_ref()
    }
}

impl Found {
    /// Three statements, each with a key for every Device.
    async fn read(
        conn: &mut Conn,
        ids: &BTreeSet<DeviceId>,
        valid: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for device in read::devices(conn, ids, STANDING).await? {
            found.devices.insert(device.value.id, device);
        }
        for Recorded { value, .. } in read::mirrored_by(conn, ids).await? {
            if let Some(gpf) = value.gpf {
                found.meters.insert(gpf, value);
            }
        }
        // What has no MPxN is looked for by its own id, under which nothing is registered.
        let points: Vec<Option<Mpxn>> = ids.iter().map(|id| found.point(id)).collect();
        let keys = ids.iter().zip(&points).map(|(id, point)| match point {
            Some(mpxn) => mpxn.to_string(),
            None => id.to_string(),
        });
        let keys: Vec<String> = keys.collect();
        let registered = read::registered_at(conn, &keys, valid).await?;
        let registered = registered.into_iter().map(|held| (held.mpxn, held.party));
        let registered: HashMap<Mpxn, PartyId> = registered.collect();
        let supplier = |(id, point): (&DeviceId, &Option<Mpxn>)| {
            let party = registered.get(point.as_ref()?)?;
            Some((*id, party.clone()))
        };
        found.suppliers = ids.iter().zip(&points).filter_map(supplier).collect();
        Ok(found)
    }

    /// The MPxN that decides who is responsible.
    fn point(&self, id: &DeviceId) -> Option<Mpxn> {
        let device = &self.devices.get(id)?.value;
        Points::of(device, self.meters.get(id)).decisive
    }

    /// Reads of other records what the refused ones have fewer.
    async fn make_up(&self, conn: &mut Conn, refused: &[&DeviceId]) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        let rows = |id: &DeviceId| {
            let found = [self.devices.contains_key(id), self.meters.contains_key(id)];
            found.into_iter().filter(|found| *found).count()
        };
        let had: usize = refused.iter().map(|id| rows(id)).sum();
        // A GPF and its meter rest on one registration, which was read once.
        let registered: BTreeSet<Mpxn> = refused
            .iter()
            .filter(|id| self.suppliers.contains_key(**id))
            .filter_map(|id| self.point(id))
            .collect();
        let devices = (DEVICE_ROWS * refused.len()).saturating_sub(had);
        read::any(conn, devices, refused.len() - registered.len()).await
    }
}
