//! Who may not know of a Device cannot find out by what an answer takes.

use mesh_testkit::{Statement, statements};
use mesh_types::{DeviceId, Mpxn};

use super::world::{World, at, device, id, mpan, mprn, put, registered};
use super::{Checked, Database};
use crate::device::{Device, DeviceType, SmiStatus};
use crate::store::Question;

/// Devices of every kind that A or G is responsible for, or nobody.
const FOREIGN: [u64; 9] = [1, 2, 3, 4, 5, 6, 14, 15, 17];
/// Devices of B.
const OWN: [u64; 3] = [11, 12, 13];
/// Devices that do not exist: before, between and after those that do.
const MISSING: [u64; 6] = [0, 7, 8, 9, 10, 99];

async fn recorded(database: &Database) -> Result<World, mesh_store::StoreError> {
    let world = World::start(database).await?;
    let mut rows = vec![put(device(1, DeviceType::Chf))];
    for n in [2, 6, 11, 12, 13] {
        let on_hub = Device {
            hub: Some(id(1)),
            ..device(n, DeviceType::Esme)
        };
        rows.push(put(on_hub));
    }
    let gsme = Device {
        gpf: Some(id(3)),
        ..device(4, DeviceType::Gsme)
    };
    rows.extend([put(device(3, DeviceType::Gpf)), put(gsme)]);
    rows.push(put(device(5, DeviceType::Ppmid)));
    // Two GPFs that have had two meters each; one of them has another now.
    for (gpf, former) in [(14, [15, 16]), (17, [18, 19])] {
        rows.push(put(device(gpf, DeviceType::Gpf)));
        for n in former {
            let gone = Device {
                gpf: Some(id(gpf)),
                status: Some(SmiStatus::Decommissioned),
                ..device(n, DeviceType::Gsme)
            };
            rows.push(put(gone));
        }
    }
    let third = Device {
        gpf: Some(id(17)),
        ..device(20, DeviceType::Gsme)
    };
    rows.push(put(third));
    // 2 changed its supplier often; nobody supplies 6.
    for (start, party) in [(0, "A"), (100, "B"), (200, "A"), (300, "B")] {
        rows.push(registered(
            Mpxn::Mpan(mpan(2)),
            party,
            start,
            Some(start + 100),
        ));
    }
    rows.push(registered(Mpxn::Mpan(mpan(2)), "A", 400, None));
    for n in [4, 15, 20] {
        rows.push(registered(Mpxn::Mprn(mprn(n)), "G", 0, None));
    }
    for n in OWN {
        rows.push(registered(Mpxn::Mpan(mpan(n)), "B", 0, None));
    }
    world.load(rows).await;
    Ok(world)
}

/// What B is told about Devices, and what that takes.
async fn asked_by_b(world: &World, devices: &[u64]) -> (Vec<bool>, Vec<Statement>) {
    let question = |n: &u64| Question {
        device: id(*n),
        party: Some("B".parse().unwrap()),
    };
    let questions: Vec<Question> = devices.iter().map(question).collect();
    let asked = world.inventory.authorities(&questions, None, at(1_000));
    let (answers, taken) = statements(asked).await;
    let (answers, _) = answers.unwrap();
    let told = answers.iter().zip(devices).map(|(answer, n)| {
        let (told, nothing) = (answer.to_wire(), unknown(id(*n)));
        assert_eq!(told.device.is_some(), told != nothing, "all or nothing");
        told != nothing
    });
    (told.collect(), taken)
}

fn unknown(device: DeviceId) -> mesh_api::registration::v1::Authority {
    mesh_api::registration::v1::Authority {
        device_id: device.to_string(),
        ..Default::default()
    }
}

pub(in super::super) async fn what_is_not_told_takes_the_same_work(database: &Database) -> Checked {
    let world = recorded(database).await?;
    let (told, missing) = asked_by_b(&world, &MISSING[..1]).await;
    assert_eq!(told, [false]);
    assert!(missing.len() > 4, "the statements are seen: {missing:?}");
    for n in FOREIGN.into_iter().chain(MISSING) {
        let (told, taken) = asked_by_b(&world, &[n]).await;
        assert_eq!(told, [false], "{n}");
        assert_eq!(rows(&taken), rows(&missing), "{n}: {taken:?}, {missing:?}");
    }
    let (_, missing) = asked_by_b(&world, &MISSING[..4]).await;
    for foreign in FOREIGN.windows(4) {
        let (told, taken) = asked_by_b(&world, foreign).await;
        assert_eq!(told, [false; 4]);
        assert_eq!(rows(&taken), rows(&missing), "{foreign:?}: {taken:?}");
    }
    world.stop().await;
    Ok(())
}

/// Beside Devices of its own, too.
pub(in super::super) async fn what_is_told_hides_what_is_not(database: &Database) -> Checked {
    let world = recorded(database).await?;
    let [one, two, three] = OWN;
    let (told, missing) = asked_by_b(&world, &[one, 0, two, 99, three]).await;
    assert_eq!(told, [true, false, true, false, true]);
    for (first, second) in [(2, 4), (3, 5), (6, 1), (14, 17), (2, 99)] {
        let (told, taken) = asked_by_b(&world, &[one, first, two, second, three]).await;
        assert_eq!(told, [true, false, true, false, true]);
        assert_eq!(rows(&taken), rows(&missing), "{first} {second}: {taken:?}");
    }
    world.stop().await;
    Ok(())
}

/// How many statements there were, and how many rows all of them gave.
fn rows(taken: &[Statement]) -> (usize, u64) {
    (taken.len(), taken.iter().map(|taken| taken.rows).sum())
}
