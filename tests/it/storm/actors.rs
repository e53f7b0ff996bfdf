//! Who does what in the storm, and what were they answered?

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::Preference;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::registration::v1::{self as registration, PartyStatus};
use mesh_api::status::reason_of;
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mesh_types::{Clock as _, DeviceId, Sequence, SystemClock, Timestamp};
use mp169::clients::Clients;
use mp169::sample::{ALBION, BRIGHT, CALEDONIA};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Status;

use super::meters::{Fuel, HOMES, Meter};
use crate::mesh::TestMesh;
use crate::requests::{add, choice, new_id, now, remove};

pub(super) const SUPPLIERS: [&str; 3] = [ALBION.id, BRIGHT.id, CALEDONIA.id];
/// How many calls each supplier has under way.
const CALLERS: usize = 4;
/// How many of its calls must be refused before a suspended party is reinstated, and how many must
/// be accepted before the next one is suspended.
const ENOUGH: usize = 20;
/// When a change of supplier takes effect, in microseconds from when it is asked for.
const TAKES_EFFECT: RangeInclusive<i64> = -20_000..=100_000;

/// What was asked and answered while it lasted.
pub(super) struct Storm {
    pub(super) calls: Vec<Call>,
    pub(super) suspensions: Vec<Suspension>,
    changes: Vec<Changes>,
}

/// A supplier's call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) party: &'static str,
    pub(super) request_id: String,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    /// The event, or why there is none.
    pub(super) answer: Result<Position, ErrorReason>,
}

/// A party was suspended, and reinstated when it had been refused often enough.
#[derive(Debug)]
pub(super) struct Suspension {
    pub(super) party: &'static str,
    /// When the operator was answered.
    pub(super) answered: Timestamp,
    /// When flag-registry was first heard to know of it.
    pub(super) known: Timestamp,
    /// Where the reinstatement stands in the log `parties`.
    reinstated: Position,
}

/// What one of those who keep the inventory did.
#[derive(Debug, Clone, Copy)]
struct Changes {
    made: usize,
    /// When the last of them takes effect.
    last: Timestamp,
}

/// Where the calls are written down as they end.
#[derive(Default)]
struct Board {
    calls: Mutex<Vec<Call>>,
    /// Nobody is suspended any more.
    suspended: AtomicBool,
    /// The inventory is not changed any more.
    over: AtomicBool,
}

impl Storm {
    /// Lets it rage until each supplier has been suspended and has come back.
    pub(super) async fn rage(mesh: &TestMesh, seed: u64) -> Self {
        let board = Arc::new(Board::default());
        let mut seeds = seed..;
        let mut rng = || StdRng::seed_from_u64(seeds.next().unwrap());
        let mut suppliers = Vec::new();
        for party in SUPPLIERS {
            for _ in 0..CALLERS {
                let clients = mesh.clients(party);
                let acting = supply(clients, party, rng(), Arc::clone(&board));
                suppliers.push(tokio::spawn(acting));
            }
        }
        let mut keepers = Vec::new();
        for fuel in [Fuel::Electricity, Fuel::Gas] {
            let clients = mesh.clients("registration-data");
            let meters = Meter::of(fuel);
            let acting = change_suppliers(clients.clone(), meters, rng(), Arc::clone(&board));
            keepers.push(tokio::spawn(acting));
            let acting = move_meters(clients, meters, rng(), Arc::clone(&board));
            keepers.push(tokio::spawn(acting));
        }
        let suspensions = suspend(mesh.clients("operator"), &board).await;
        board.suspended.store(true, Ordering::Relaxed);
        let changes = join_all(keepers).await;
        board.over.store(true, Ordering::Relaxed);
        for supplier in join_all(suppliers).await {
            supplier.unwrap();
        }
        let calls = board.calls.lock().unwrap().clone();
        Self {
            calls,
            suspensions,
            changes: changes.into_iter().map(Result::unwrap).collect(),
        }
    }

    /// When the last change of supplier takes effect.
    pub(super) fn last_start(&self) -> Timestamp {
        self.changes
            .iter()
            .map(|changes| changes.last)
            .max()
            .unwrap()
    }

    /// Where the last change of a party's status stands.
    pub(super) fn parties_head(&self) -> Sequence {
        self.suspensions.last().unwrap().reinstated.sequence
    }

    /// Fails if nothing could have gone wrong, because too little happened.
    pub(super) fn was_one(&self) {
        for changes in &self.changes {
            assert!(changes.made >= ENOUGH, "{:?}", self.changes);
        }
        let reason = |reason| {
            let calls = self.calls.iter();
            calls.filter(|call| call.answer == Err(reason)).count()
        };
        let lost = reason(ErrorReason::NotResponsibleSupplier);
        let aborted = reason(ErrorReason::AuthorityChanged);
        println!(
            "{} calls, {lost} by others than the supplier, {aborted} aborted; {:?}",
            self.calls.len(),
            self.changes
        );
        assert!(lost >= ENOUGH);
    }
}

impl Board {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether one who keeps the inventory has done enough: each change of a Device that is being
    /// written waits for a lease.
    fn is_enough(&self, changes: Changes) -> bool {
        self.suspended.load(Ordering::Relaxed) && changes.made >= ENOUGH
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    /// Waits until [`ENOUGH`] calls of a party that began after `since` were answered so; gives when
    /// the first of them was.
    async fn enough(
        &self,
        party: &str,
        since: Timestamp,
        wanted: fn(&Result<Position, ErrorReason>) -> bool,
    ) -> Timestamp {
        wait_until(&format!("{party} to be answered"), async || {
            let calls = self.calls.lock().unwrap();
            let calls = calls
                .iter()
                .filter(|call| call.party == party && call.began > since && wanted(&call.answer));
            let ends: Vec<Timestamp> = calls.map(|call| call.ended).collect();
            match ends.iter().min() {
                Some(first) if ends.len() >= ENOUGH => Ok(*first),
                _ => Err(format!("{} calls so far", ends.len())),
            }
        })
        .await
    }
}

/// A supplier changes flags, also of Devices that are not its own.
async fn supply(clients: Clients, party: &'static str, mut rng: StdRng, board: Arc<Board>) {
    let meters = Meter::all().into_iter();
    let meters = meters.filter(|meter| meter.suppliers().contains(&party));
    let meters: Vec<Meter> = meters.collect();
    let mut client = clients.flags().unwrap();
    while !board.is_over() {
        let device = meters.choose(&mut rng).unwrap().device();
        let request_id = new_id();
        let began = SystemClock.now();
        let answer = ask(&mut client, device, party, &request_id, &mut rng).await;
        board.note(Call {
            party,
            request_id,
            began,
            ended: SystemClock.now(),
            answer: answer.map_err(|status| expected(&status)),
        });
    }
}

async fn ask(
    client: &mut FlagServiceClient<MeshChannel>,
    device: DeviceId,
    party: &str,
    request_id: &str,
    rng: &mut StdRng,
) -> Result<Position, Status> {
    let request_id = request_id.to_owned();
    let position = match rng.random_range(0..6) {
        0..=2 => {
            let request = flags::AddFlagRequest {
                request_id,
                ..add(device, party)
            };
            client.add_flag(request).await?.into_inner().position
        }
        3 => {
            let request = flags::RemoveFlagRequest {
                request_id,
                ..remove(device, party)
            };
            client.remove_flag(request).await?.into_inner().position
        }
        preference => {
            let keeps = preference == 4;
            let given = add(device, party);
            let request = flags::RecordTenancyChangeRequest {
                request_id,
                device_id: given.device_id,
                tenancy_start_time: Some(now()),
                choice: Some(choice(
                    if keeps {
                        Preference::Reduced
                    } else {
                        Preference::Full
                    },
                    party,
                )),
                reasonable_steps: given.reasonable_steps,
                site_declarations: given.site_declarations,
                ..Default::default()
            };
            let answer = client.record_tenancy_change(request).await?;
            answer.into_inner().position
        }
    };
    Ok(position.unwrap())
}

/// Why a supplier may be refused in a storm.
fn expected(status: &Status) -> ErrorReason {
    match reason_of(status) {
        Some(
            reason @ (ErrorReason::NotResponsibleSupplier
            | ErrorReason::PartyNotActive
            | ErrorReason::PreconditionsNotMet
            | ErrorReason::AuthorityChanged),
        ) => reason,
        _ => panic!("{status:?}"),
    }
}

/// Registers suppliers: now, from an instant to come, or from one that has passed.
async fn change_suppliers(
    clients: Clients,
    meters: [Meter; HOMES.len()],
    mut rng: StdRng,
    board: Arc<Board>,
) -> Changes {
    let mut client = clients.devices().unwrap();
    let mut changes = Changes::default();
    while !board.is_enough(changes) {
        let meter = meters.choose(&mut rng).unwrap();
        let off = rng.random_range(TAKES_EFFECT);
        let start = Timestamp::from_micros(SystemClock.now().micros() + off);
        let request = registration::ChangeSupplierRequest {
            request_id: new_id(),
            mpxn: meter.mpxn(),
            party_id: (*meter.suppliers().choose(&mut rng).unwrap()).to_owned(),
            start_time: rng.random_bool(0.8).then(|| timestamp_to_wire(start)),
        };
        match client.change_supplier(request).await {
            Ok(_) => changes.note(start),
            Err(status) => {
                assert_eq!(
                    reason_of(&status),
                    Some(ErrorReason::RegistrationOverlap),
                    "{status:?}"
                );
            }
        }
    }
    changes
}

/// Moves meters from hub to hub, and replaces GPFs.
async fn move_meters(
    clients: Clients,
    meters: [Meter; HOMES.len()],
    mut rng: StdRng,
    board: Arc<Board>,
) -> Changes {
    let mut client = clients.devices().unwrap();
    let mut changes = Changes::default();
    while !board.is_enough(changes) {
        let meter = meters.choose(&mut rng).unwrap();
        let request = registration::GetDeviceRequest {
            device_id: meter.device().to_string(),
            ..Default::default()
        };
        let device = client.get_device(request).await.unwrap();
        let mut device = device.into_inner().device.unwrap();
        device.communications_hub_id = HOMES.choose(&mut rng).unwrap().hub().to_string();
        if let Some(gpfs) = meter.gpfs() {
            device.gas_proxy_function_id = gpfs.choose(&mut rng).unwrap().to_string();
        }
        let request = registration::PutDeviceRequest {
            request_id: new_id(),
            device: Some(device),
            ..Default::default()
        };
        client.put_device(request).await.unwrap();
        changes.note(SystemClock.now());
    }
    changes
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            made: 0,
            last: SystemClock.now(),
        }
    }
}

impl Changes {
    fn note(&mut self, takes_effect: Timestamp) {
        self.made += 1;
        self.last = self.last.max(takes_effect);
    }
}

/// Suspends one supplier after the other, each until it was refused often enough.
async fn suspend(clients: Clients, board: &Board) -> Vec<Suspension> {
    let mut client = clients.parties().unwrap();
    let mut set = async |party: &str, status: PartyStatus| {
        let request = registration::SetPartyStatusRequest {
            request_id: new_id(),
            party_id: party.to_owned(),
            status: status.into(),
            reason: "a storm".to_owned(),
        };
        let answer = client.set_party_status(request).await.unwrap();
        (SystemClock.now(), answer.into_inner().position.unwrap())
    };
    let mut suspensions = Vec::new();
    let mut since = SystemClock.now();
    for party in SUPPLIERS {
        board.enough(party, since, Result::is_ok).await;
        let (answered, _) = set(party, PartyStatus::Suspended).await;
        let not_active = |answer: &_| *answer == Err(ErrorReason::PartyNotActive);
        let known = board.enough(party, answered, not_active).await;
        let reinstated;
        (since, reinstated) = set(party, PartyStatus::Active).await;
        suspensions.push(Suspension {
            party,
            answered,
            known,
            reinstated,
        });
    }
    for party in SUPPLIERS {
        board.enough(party, since, Result::is_ok).await;
    }
    suspensions
}
