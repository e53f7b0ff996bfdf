//! Each command is decided by itself, in order, on what is recorded.

use std::collections::BTreeMap;

use mesh_api::registration::v1 as wire;
use mesh_authz::Role;
use mesh_types::{Mpxn, PartyId};

use super::world::{
    Told, World, device, entity, head, id, mpan, mprn, party, permitted, put, registered, request,
    sequence,
};
use super::{Checked, Database};
use crate::contradiction::Contradiction;
use crate::device::{Device, DeviceType, SmiStatus};
use crate::error::Error;
use crate::store::command::{Command, Origin, Outcome, Row};

pub(in super::super) async fn one_bad_row_never_spoils_the_others(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    let results = world
        .import(vec![
            put(device(9, DeviceType::Chf)),
            put(Device {
                hub: Some(id(8)),
                ..device(2, DeviceType::Esme)
            }),
            put(Device {
                hub: Some(id(9)),
                ..device(1, DeviceType::Esme)
            }),
            registered(point, "A", 0, None),
            registered(point, "B", 500, None),
            registered(point, "NOBODY", 0, None),
            registered(point, "G", 0, None),
            put(device(9, DeviceType::Chf)),
        ])
        .await;
    assert_eq!(results.len(), 8);
    for (n, expected) in [
        (0, Outcome::Recorded),
        (2, Outcome::Recorded),
        (3, Outcome::Recorded),
        (7, Outcome::Unchanged),
    ] {
        assert_eq!(results[n].as_ref().unwrap(), &expected, "{n}");
    }
    assert!(matches!(
        results[1],
        Err(Error::Contradicts(Contradiction::HubUnknown(_)))
    ));
    assert!(matches!(results[4], Err(Error::Overlap(_))));
    for n in [5, 6] {
        assert!(matches!(
            results[n],
            Err(Error::Contradicts(Contradiction::NotASupplier(_)))
        ));
    }
    assert_eq!(
        world.told().await?.len(),
        4,
        "two Devices, a registration, its effect"
    );
    assert_eq!(world.responsible(id(1), 1_000).await.as_deref(), Some("A"));
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn import_order_counts(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let gsme = Device {
        gpf: Some(id(3)),
        ..device(2, DeviceType::Gsme)
    };
    let gpf = || put(device(3, DeviceType::Gpf));
    let results = world
        .import(vec![put(gsme.clone()), gpf(), put(gsme)])
        .await;
    assert!(matches!(
        results[0],
        Err(Error::Contradicts(Contradiction::GpfUnknown(_)))
    ));
    assert!(results[1].is_ok() && results[2].is_ok());
    let point = Mpxn::Mprn(mprn(2));
    // The party that a registration names may come in the same request, before it.
    let late = || party("LATE", 77, Role::GasSupplier);
    let row = || registered(point, "LATE", 0, None);
    let results = world.import(vec![row(), Row::Party(late()), row()]).await;
    assert!(results[0].is_err() && results[1].is_ok() && results[2].is_ok());
    for device in [2, 3] {
        assert_eq!(
            world.responsible(id(device), 1_000).await.as_deref(),
            Some("LATE")
        );
    }
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn what_is_recorded_just_so_is_unchanged(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let rows = || {
        let mut rows = vec![put(device(1_000_000, DeviceType::Chf))];
        for n in 1..300 {
            rows.push(put(Device {
                hub: Some(id(1_000_000)),
                ..device(n, DeviceType::Esme)
            }));
            rows.push(registered(Mpxn::Mpan(mpan(n)), "A", 0, Some(900)));
            rows.push(registered(Mpxn::Mpan(mpan(n)), "B", 900, None));
        }
        rows
    };
    world.load(rows()).await;
    let (told, at) = (world.told().await?.len(), head(&world).await);
    assert_eq!(
        told,
        1 + 299 * 4,
        "each open registration takes effect, the past one does not"
    );
    for result in world.import(rows()).await {
        assert_eq!(result?, Outcome::Unchanged);
    }
    assert_eq!(head(&world).await, at);
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn concurrent_changes_never_overlap(database: &Database) -> Checked {
    let world = std::sync::Arc::new(World::start(database).await?);
    let point = Mpxn::Mpan(mpan(1));
    let mut changes = Vec::new();
    for n in 0..64_i64 {
        let world = world.clone();
        let to = if n % 2 == 0 { "A" } else { "B" };
        // Starts in no order, some of them the same, some in the past.
        let start = 900 + n * 37 % 41 * 10;
        changes.push(tokio::spawn(async move {
            world.change(point, to, Some(start)).await
        }));
    }
    let mut made = 0;
    for change in changes {
        match change.await? {
            Ok(_) => made += 1,
            Err(Error::Overlap(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let at = head(&world).await.sequence;
    let supply = world.inventory.supply(point, at).await?;
    let all = supply.registrations();
    assert_eq!(all.len(), made);
    for pair in all.windows(2) {
        assert_eq!(pair[0].interval.end(), pair[1].interval.start());
    }
    let told = world.told().await?;
    assert_eq!(told.len() as u64, at);
    let recorded = |told: &&Told| matches!(told, Told::Registration { ended: false, .. });
    assert_eq!(told.iter().filter(recorded).count(), made);
    let devices = &world.inventory.logs().devices;
    mesh_store::verify::verify(world.inventory.store().readers(), devices).await??;
    Ok(())
}

pub(in super::super) async fn a_request_is_answered_once(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let put = |request_id: &str, n: u64| Command::PutDevice {
        request: request(request_id, &n.to_string()),
        origin: Origin::default(),
        put: permitted(device(n, DeviceType::Esme)),
        etag: None,
    };
    let first: wire::PutDeviceResponse = world.inventory.ask(put("x", 1)).await?;
    let again: wire::PutDeviceResponse = world.inventory.ask(put("x", 1)).await?;
    assert!(!first.replayed && again.replayed);
    assert_eq!(
        (&first.device, &first.position),
        (&again.device, &again.position)
    );
    let reused = world
        .inventory
        .ask::<wire::PutDeviceResponse>(put("x", 2))
        .await;
    assert!(matches!(reused, Err(Error::RequestIdReused)), "{reused:?}");
    // What changes nothing is kept as well, and stands where the log stood.
    let same: wire::PutDeviceResponse = world.inventory.ask(put("y", 1)).await?;
    assert_eq!((same.replayed, &same.position), (false, &first.position));
    assert!(
        world
            .inventory
            .ask::<wire::PutDeviceResponse>(put("y", 1))
            .await?
            .replayed
    );
    // A refusal is not kept: the same request may succeed later.
    let change = || Command::ChangeSupplier {
        request: request("z", "z"),
        origin: Origin::default(),
        mpxn: Mpxn::Mpan(mpan(1)),
        party: "LATE".parse().unwrap(),
        start: None,
    };
    assert!(
        world
            .inventory
            .ask::<wire::ChangeSupplierResponse>(change())
            .await
            .is_err()
    );
    let late = Row::Party(party("LATE", 50, Role::ImportSupplier));
    world.load(vec![late]).await;
    let made: wire::ChangeSupplierResponse = world.inventory.ask(change()).await?;
    assert!(!made.replayed);
    assert_eq!(
        sequence(made.position.as_ref()),
        head(&world).await.sequence
    );
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn etags_guard_what_was_read(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let put = async |etag: Option<u64>, status: SmiStatus| {
        let put = permitted(Device {
            status: Some(status),
            ..device(1, DeviceType::Esme)
        });
        let command = Command::PutDevice {
            request: request(&uuid::Uuid::new_v4().to_string(), "any"),
            origin: Origin::default(),
            put,
            etag,
        };
        world
            .inventory
            .ask::<wire::PutDeviceResponse>(command)
            .await
    };
    let refused = put(Some(1), SmiStatus::Pending).await;
    assert!(matches!(refused, Err(Error::EtagMismatch)), "{refused:?}");
    let first = put(Some(0), SmiStatus::Pending).await?;
    let refused = put(Some(0), SmiStatus::Commissioned).await;
    assert!(matches!(refused, Err(Error::EtagMismatch)), "{refused:?}");
    let etag: u64 = first.device.unwrap().etag.parse()?;
    put(Some(etag), SmiStatus::Commissioned).await?;
    let stale = put(Some(etag), SmiStatus::Suspended).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)), "{stale:?}");
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn an_entity_moves_between_parties(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let with = |id: &str, entities: &[u64]| {
        let mut party = party(id, 0, Role::ImportSupplier);
        let roles = party.identities.remove(&entity(0)).unwrap();
        party.identities = entities
            .iter()
            .map(|&n| (entity(n), roles.clone()))
            .collect::<BTreeMap<_, _>>();
        Row::Party(party)
    };
    let results = world
        .import(vec![
            with("B", &[2, 1]),
            with("A", &[10]),
            with("B", &[2, 1]),
            with("A", &[10, 2]),
        ])
        .await;
    let taken = |result: &Result<Outcome, Error>| {
        matches!(
            result,
            Err(Error::Contradicts(Contradiction::EntityOfAnotherParty(_)))
        )
    };
    assert!(taken(&results[0]) && taken(&results[3]), "{results:?}");
    assert!(results[1].is_ok() && results[2].is_ok(), "{results:?}");
    // Across transactions too.
    assert!(taken(&world.import(vec![with("A", &[1])]).await[0]));
    let at = world.inventory.parties_head().await?.sequence;
    let b = world
        .inventory
        .party(&"B".parse::<PartyId>()?, at)
        .await?
        .unwrap();
    assert!(b.value.identities.contains_key(&entity(1)));
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn a_gpf_mirrors_one_meter(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let gsme = |n| Device {
        gpf: Some(id(3)),
        ..device(n, DeviceType::Gsme)
    };
    world
        .load(vec![put(device(3, DeviceType::Gpf)), put(gsme(1))])
        .await;
    let taken = world.import(vec![put(gsme(2))]).await.remove(0);
    assert!(matches!(
        taken,
        Err(Error::Contradicts(Contradiction::GpfTaken(other))) if other == id(1)
    ));
    let old = Device {
        status: Some(SmiStatus::Decommissioned),
        ..gsme(1)
    };
    world.load(vec![put(old), put(gsme(2))]).await;
    world
        .load(vec![registered(Mpxn::Mprn(mprn(2)), "G", 0, None)])
        .await;
    assert_eq!(world.responsible(id(3), 1_000).await.as_deref(), Some("G"));
    world.stop().await;
    Ok(())
}
