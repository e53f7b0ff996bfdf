//! Is an answer that somebody has lost a Device the last word on it?
//!
//! While many writes of the losing supplier are under way, registration is asked to take its authority
//! away. What the log `flags` has of it must stand before the answer, by time and by order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use mesh_api::common::v1::ErrorReason;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1::{self as registration, PartyStatus, SmiStatus};
use mesh_api::status::reason_of;
use mesh_testkit::wait_until;
use mesh_types::{Clock as _, Sequence, SystemClock, Timestamp};
use mp169::clients::Clients;
use mp169::sample::{ALBION, BRIGHT, CSP_SOUTH, Home};
use mp169::service::Service;
use tonic::Status;

use crate::engine::{Databases, on_each_engine};
use crate::mesh::TestMesh;
use crate::replicas::beside::Beside;
use crate::requests::{add, new_id, rows};
use crate::tape::Tape;

/// How many writes of the losing supplier are under way at any time.
const WRITERS: usize = 16;
/// How many must have been accepted before its authority is taken away.
const UNDER_WAY: usize = 50;
/// The first homes are special ones. These are Albion's.
const HOMES: [Home; 3] = [Home::new(7), Home::new(8), Home::new(9)];
/// Bright's.
const OTHER: Home = Home::new(11);

on_each_engine!(
    once_a_change_of_supplier_is_answered_nothing_of_the_losing_supplier_is_recorded
    once_a_meter_has_another_mpan_nothing_of_the_supplier_of_the_old_one_is_recorded
    once_a_meter_is_decommissioned_no_preference_of_it_is_recorded
    once_a_suspension_is_answered_nothing_of_the_party_is_recorded
);

async fn once_a_change_of_supplier_is_answered_nothing_of_the_losing_supplier_is_recorded(
    databases: Databases,
) {
    let town = Race::start(databases).await;
    let operator = town.mesh.clients("operator");
    town.change_supplier(&operator).await;
}

/// The leases were given by the replica that flag-registry asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_another_replica_answers_a_change_nothing_of_the_losing_supplier_is_recorded() {
    let Some(databases) = Databases::on_server() else {
        return;
    };
    let town = Race::start(databases).await;
    let replica = Beside::start(&town.mesh, &[Service::Registration]).await;
    town.change_supplier(&replica.clients("operator")).await;
}

async fn once_a_meter_has_another_mpan_nothing_of_the_supplier_of_the_old_one_is_recorded(
    databases: Databases,
) {
    let town = Race::start(databases).await;
    let operator = town.mesh.clients("operator");
    for home in HOMES {
        let lost = [ErrorReason::NotResponsibleSupplier];
        let taken = town.take(home, &lost, async || {
            put(&operator, home, |device| {
                device.import_mpan = OTHER.import_mpan().unwrap().to_string();
            })
            .await
        });
        town.nothing_follows(home, &taken.await).await;
    }
}

async fn once_a_meter_is_decommissioned_no_preference_of_it_is_recorded(databases: Databases) {
    let town = Race::start(databases).await;
    let operator = town.mesh.clients("operator");
    for home in HOMES {
        let ended = [ErrorReason::PreconditionsNotMet];
        let taken = town.take(home, &ended, async || {
            put(&operator, home, |device| {
                device.set_smi_status(SmiStatus::Decommissioned);
            })
            .await
        });
        town.nothing_follows(home, &taken.await).await;
    }
}

async fn once_a_suspension_is_answered_nothing_of_the_party_is_recorded(databases: Databases) {
    let town = Race::start(databases).await;
    let operator = town.mesh.clients("operator");
    // The second by registration, until flag-registry has heard of the suspension, too.
    let barred = [
        ErrorReason::PartyNotActive,
        ErrorReason::NotResponsibleSupplier,
    ];
    let home = HOMES[0];
    let taken = town.take(home, &barred, async || {
        let request = registration::SetPartyStatusRequest {
            request_id: new_id(),
            party_id: ALBION.id.to_owned(),
            status: PartyStatus::Suspended.into(),
            reason: "a test".to_owned(),
        };
        let mut parties = operator.parties().unwrap();
        parties.set_party_status(request).await.map(drop)
    });
    town.nothing_follows(home, &taken.await).await;
}

/// Changes what is recorded of a home's electricity meter.
async fn put(
    clients: &Clients,
    home: Home,
    change: impl FnOnce(&mut registration::Device),
) -> Result<(), Status> {
    let mut devices = clients.devices().unwrap();
    let request = registration::GetDeviceRequest {
        device_id: home.esme().to_string(),
        ..Default::default()
    };
    let device = devices.get_device(request).await?.into_inner().device;
    let mut device = device.unwrap();
    change(&mut device);
    let request = registration::PutDeviceRequest {
        request_id: new_id(),
        device: Some(device),
        ..Default::default()
    };
    devices.put_device(request).await.map(drop)
}

/// A mesh, and what its log `flags` says.
struct Race {
    mesh: TestMesh,
    log: Tape<flags::FlagEvent>,
}

/// When it was answered that a supplier has lost a Device.
struct Taken {
    answered: Timestamp,
    /// Where the log `flags` ended just after that.
    head: Sequence,
}

impl Race {
    async fn start(databases: Databases) -> Self {
        let mesh = TestMesh::without_quotas(databases).await;
        mesh.load(rows(12)).await;
        mesh.knows(CSP_SOUTH.id).await;
        let log = Tape::of_flags(mesh.folder());
        Self { mesh, log }
    }

    /// Has one Device after the other change its supplier, by registration as `operator` reaches it.
    async fn change_supplier(&self, operator: &Clients) {
        for home in HOMES {
            let lost = [ErrorReason::NotResponsibleSupplier];
            let taken = self.take(home, &lost, async || {
                let request = registration::ChangeSupplierRequest {
                    request_id: new_id(),
                    mpxn: home.import_mpan().unwrap().to_string(),
                    party_id: BRIGHT.id.to_owned(),
                    start_time: None,
                };
                let mut devices = operator.devices().unwrap();
                devices.change_supplier(request).await.map(drop)
            });
            let taken = taken.await;
            let mut gaining = self.mesh.clients(BRIGHT.id).flags().unwrap();
            let written = gaining.add_flag(add(home.esme(), BRIGHT.id)).await;
            written.unwrap();
            self.nothing_follows(home, &taken).await;
        }
    }

    /// Takes a Device away from Albion while it writes, and waits until each of its writers has been
    /// refused for one of `reasons`, and for no other.
    async fn take(
        &self,
        home: Home,
        reasons: &[ErrorReason],
        take: impl AsyncFnOnce() -> Result<(), Status>,
    ) -> Taken {
        let accepted = Arc::new(AtomicUsize::new(0));
        let writers = (0..WRITERS).map(|_| {
            let writing = write(self.mesh.clients(ALBION.id), home, Arc::clone(&accepted));
            tokio::spawn(writing)
        });
        let writers: Vec<_> = writers.collect();
        wait_until("writes to be under way", async || {
            let accepted = accepted.load(Ordering::Relaxed);
            if accepted >= UNDER_WAY {
                Ok(())
            } else {
                Err(accepted)
            }
        })
        .await;
        take().await.unwrap();
        let answered = SystemClock.now();
        let head = self.head().await;
        for refused in join_all(writers).await {
            let refused = refused.unwrap();
            let reason = reason_of(&refused);
            assert!(
                reason.is_some_and(|reason| reasons.contains(&reason)),
                "{refused:?}"
            );
        }
        Taken { answered, head }
    }

    /// Where the log `flags` ends.
    async fn head(&self) -> Sequence {
        let mut flags = self.mesh.clients("operator").flags().unwrap();
        let listed = flags.list_flags(flags::ListFlagsRequest::default()).await;
        listed.unwrap().into_inner().position.unwrap().sequence
    }

    /// Fails if Albion wrote anything after it lost the Device.
    async fn nothing_follows(&self, home: Home, taken: &Taken) {
        let events = self.log.up_to(self.head().await).await;
        let device = home.esme().to_string();
        let albions = events.iter().filter(|event| {
            let actor = event.actor.as_ref();
            event.device_id == device && actor.is_some_and(|actor| actor.party_id == ALBION.id)
        });
        let (mut all, mut later, mut further) = (0, 0, 0);
        for event in albions {
            let recorded = event.recorded_time.as_ref().unwrap();
            all += 1;
            later += usize::from(timestamp_from_wire(recorded).unwrap() > taken.answered);
            further += usize::from(event.sequence > taken.head);
        }
        assert!(all >= UNDER_WAY, "{all}");
        assert_eq!((later, further), (0, 0), "of {all} writes");
    }
}

/// Asks for the flag again and again until that is refused.
async fn write(clients: Clients, home: Home, accepted: Arc<AtomicUsize>) -> Status {
    let mut flags = clients.flags().unwrap();
    loop {
        match flags.add_flag(add(home.esme(), ALBION.id)).await {
            Ok(_) => accepted.fetch_add(1, Ordering::Relaxed),
            Err(refused) => return refused,
        };
    }
}
