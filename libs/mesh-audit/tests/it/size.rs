//! How many octets of the disk does a record take? The figures stand in
//! `docs/adr/2026-11-28-the-audit-is-a-log-of-its-own.md`.

use std::sync::Arc;

use mesh_api::registration::v1::{Party, PartyIdentity, PartyStatus};
use mesh_authz::{Directory, Identity, Noted, Role};
use mesh_rpc::audit::Entry;
use mesh_types::{DeviceId, EntityId, Epoch, Eui64, Position};

use crate::world::{ADD, World, entry, patient};

/// Calls that are put on record, in events of so many records.
const CALLS: u32 = 1_600;

/// A supplier's write of one Device, traced: what a record holds most often.
fn writes() -> impl FnMut(u32) -> Entry {
    let entity = EntityId::new(Eui64::from_u64(0x9C54_CA00_0000_0001));
    let directory = Directory::not_loaded();
    directory
        .load(&[Party {
            party_id: "ALBION".to_owned(),
            name: "Albion Energy".to_owned(),
            identities: vec![PartyIdentity {
                entity_id: entity.to_string(),
                roles: vec![Role::ImportSupplier.into()],
            }],
            status: PartyStatus::Active.into(),
            ..Party::default()
        }])
        .unwrap();
    let identity = Identity::Organisation(entity);
    let caller = Arc::new(directory.resolve(identity, None).unwrap());
    move |number| Entry {
        identity,
        noted: Noted {
            caller: Some(Arc::clone(&caller)),
            devices: vec![DeviceId::new(Eui64::from_u64(number.into()))],
            position: Some(Position {
                log: "flags".parse().unwrap(),
                epoch: Epoch::new(u64::MAX >> 2).unwrap(),
                sequence: number.into(),
            }),
            ..Noted::default()
        },
        trace: Some([7; 16]),
        ..entry(ADD)
    }
}

/// Octets of the closed database for each record, with what stands in it when it is new left out.
async fn octets(together: u32, call: impl FnMut(u32) -> Entry) -> u64 {
    let size = async |calls: u32, mut call: Box<dyn FnMut(u32) -> Entry + '_>| {
        let world = World::start(patient()).await;
        for first in (0..calls).step_by(together.try_into().unwrap()) {
            for number in first..first + together - 1 {
                world.journal.enter(call(number));
            }
            let last = world.journal.enter(call(first + together - 1));
            world.journal.on_disk(last).await.unwrap();
        }
        let (path, _folder) = (world.path(), Arc::clone(&world.folder));
        world.stop().await;
        path.metadata().unwrap().len()
    };
    let new = size(0, Box::new(|_| unreachable!("no calls"))).await;
    let full = size(CALLS, Box::new(call)).await;
    (full - new) / u64::from(CALLS)
}

#[tokio::test]
async fn a_record_takes_no_more_of_the_disk_than_the_decision_says() {
    for (together, most) in [(400, 180), (40, 220), (1, 400)] {
        let write = octets(together, writes()).await;
        let read = octets(together, |_| entry(ADD)).await;
        eprintln!(
            "{together} in an event: {write} octets of a supplier's write, {read} of an internal read"
        );
        assert!(read < write && write <= most, "{together}: {write}, {read}");
    }
}
