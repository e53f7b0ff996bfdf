//! What the journey does to a home, and how it looks from each service downstream.

use mesh_api::classification::v1::Freshness;
use mesh_api::common::v1::Position;
use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange};
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_testkit::wait_until;
use mesh_types::DeviceId;
use mp169::sample::{ALBION, CSP_NORTH, CSP_SOUTH};
use tonic::Status;

use super::town::Town;
use crate::downstream::{Read, classify, obligations};
use crate::engine::Databases;
use crate::requests::{add, new_id, now};
use crate::tape::Tape;

/// What a CSP is told of a Device: why, which, and what the flag covers besides.
pub(super) type Told = (CauseClass, String, Vec<String>);

pub(super) fn told(cause: CauseClass, device: DeviceId, covered: &[DeviceId]) -> Told {
    (
        cause,
        device.to_string(),
        covered.iter().map(DeviceId::to_string).collect(),
    )
}

/// The mesh, both CSPs attached to their streams, and how far the journey has come.
pub(super) struct Journey {
    pub(super) town: Town,
    pub(super) south: Tape<CspFlagChange>,
    north: Tape<CspFlagChange>,
    /// What either CSP has been told in the acts so far.
    north_known: usize,
    south_known: usize,
    /// The heads of the logs `flags` and `devices` as far as the journey moved them.
    flags: Position,
    devices: Position,
}

impl Journey {
    pub(super) async fn begin(databases: Databases) -> Self {
        let town = Town::start(databases).await;
        let north = Tape::of_csp(town.folder(), CSP_NORTH.id, CSP_NORTH.csp);
        let south = Tape::of_csp(town.folder(), CSP_SOUTH.id, CSP_SOUTH.csp);
        let (flags, devices) = (Position::default(), Position::default());
        Self {
            town,
            south,
            north,
            north_known: 0,
            south_known: 0,
            flags,
            devices,
        }
    }

    /// Albion sets a flag.
    pub(super) async fn flag(&mut self, device: DeviceId) {
        let mut client = self.town.clients(ALBION.id).flags().unwrap();
        let answer = client
            .add_flag(add(device, ALBION.id))
            .await
            .unwrap()
            .into_inner();
        assert!(answer.changed);
        self.flags = answer.position.unwrap();
    }

    /// Records a Device with something changed.
    pub(super) async fn record(
        &mut self,
        device: DeviceId,
        change: impl FnOnce(&mut registration::Device),
    ) {
        let mut client = self.town.clients("operator").devices().unwrap();
        let request = registration::GetDeviceRequest {
            device_id: device.to_string(),
            ..Default::default()
        };
        let mut device = client
            .get_device(request)
            .await
            .unwrap()
            .into_inner()
            .device
            .unwrap();
        let before = device.clone();
        change(&mut device);
        if device.smi_status != before.smi_status {
            device.smi_status_time = Some(now());
        }
        assert_ne!(device, before);
        self.put(device).await;
    }

    pub(super) async fn put(&mut self, device: registration::Device) {
        let mut client = self.town.clients("registration-data").devices().unwrap();
        let request = registration::PutDeviceRequest {
            request_id: new_id(),
            device: Some(device),
            etag: String::new(),
        };
        let answer = client.put_device(request).await.unwrap().into_inner();
        self.devices = answer.position.unwrap();
    }

    /// The entry of a Device once it is as `wanted`; what comes after looks no further back.
    pub(super) async fn entry(
        &mut self,
        device: DeviceId,
        wanted: impl Fn(&flags::FlagEntry) -> bool,
    ) -> flags::FlagEntry {
        let mut client = self.town.clients("operator").flags().unwrap();
        let (entry, position) = wait_until("the entry to change", async || {
            let request = flags::GetFlagRequest {
                device_id: device.to_string(),
                ..Default::default()
            };
            let answer = client
                .get_flag(request)
                .await
                .map_err(|status| format!("{status:?}"))?;
            let answer = answer.into_inner();
            let entry = answer.entry.unwrap();
            if wanted(&entry) {
                Ok((entry, answer.position.unwrap()))
            } else {
                Err(format!("{entry:?}"))
            }
        })
        .await;
        self.flags = position;
        entry
    }

    /// The causes of the events of a Device as Albion sees them, newest first.
    pub(super) async fn history(&self, device: DeviceId) -> Vec<flags::Cause> {
        let mut client = self.town.clients(ALBION.id).flags().unwrap();
        let request = flags::ListFlagEventsRequest {
            device_id: device.to_string(),
            ..Default::default()
        };
        let events = client
            .list_flag_events(request)
            .await
            .unwrap()
            .into_inner()
            .events;
        events.iter().map(flags::FlagEvent::cause).collect()
    }

    /// What becomes of reads of Devices, once classification knows all that has happened.
    pub(super) async fn reads(&self, expected: &[(DeviceId, Read)]) {
        let at_least = Some(self.flags.clone());
        let found = wait_until("classification to catch up", async || {
            self.classify(expected, at_least.clone()).await
        })
        .await;
        let found: Vec<Read> = found.into_iter().map(|(read, _)| read).collect();
        assert_eq!(
            found,
            expected.iter().map(|(_, read)| *read).collect::<Vec<_>>()
        );
    }

    /// The same, when classification says that it has lost its source.
    pub(super) async fn reads_from_stale_flags(&self, expected: &[(DeviceId, Read)]) {
        wait_until(
            "classification to say that its flags are stale",
            async || {
                let found = self
                    .classify(expected, None)
                    .await
                    .map_err(|status| status.to_string())?;
                let expected: Vec<_> = expected
                    .iter()
                    .map(|(_, read)| (*read, Freshness::Stale))
                    .collect();
                if found == expected {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            },
        )
        .await;
    }

    async fn classify(
        &self,
        devices: &[(DeviceId, Read)],
        at_least: Option<Position>,
    ) -> Result<Vec<(Read, Freshness)>, Status> {
        let devices = devices.iter().map(|(device, _)| device.to_string());
        classify(self.town.folder(), devices, at_least).await
    }

    /// What the CSP of the north is told in this act, in order, and nothing else.
    pub(super) async fn north_is_told(&mut self, expected: &[Told]) {
        check_told(&self.north, &mut self.north_known, expected).await;
    }

    /// What the CSP of the south is told in this act.
    pub(super) async fn south_is_told(&mut self, expected: &[Told]) {
        check_told(&self.south, &mut self.south_known, expected).await;
    }

    /// Albion's row of the obligation report: ESMEs, of which reduced, GSMEs, of which reduced.
    pub(super) async fn albion_has(&self, expected: [u64; 4]) {
        let rows = obligations(self.town.folder(), &self.flags, &self.devices).await;
        let row = rows.iter().find(|row| row.party_id == ALBION.id).unwrap();
        let found = [
            row.electricity,
            row.electricity_reduced_by_choice,
            row.gas,
            row.gas_reduced_by_choice,
        ];
        assert_eq!(found, expected);
    }
}

async fn check_told(csp: &Tape<CspFlagChange>, known: &mut usize, expected: &[Told]) {
    let changes = csp.after(*known, expected.len()).await;
    let found = changes.into_iter().map(|change| {
        (
            change.cause_class(),
            change.device_id,
            change.covered_device_ids,
        )
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    *known += expected.len();
}
