//! Excepted requests, Device by Device.

use mesh_store::conformance::Database;

use super::Checked;
use super::world::{World, device, excepted_of, flag, hour, party, read};
use crate::exception::Excepted;
use crate::outcome::{Ending, Origin};
use crate::store::{ExceptedKey, ExceptedQuery, Recording};

fn key(number: u64, supplier: &str, variant: &str) -> ExceptedKey {
    let variant = variant.parse().expect("a variant");
    (device(number), party(supplier), variant)
}

fn ended(number: u64, at: i64, ending: Ending, id: &str) -> Recording {
    let mut one = read(id, number, hour(at));
    one.outcome.ending = ending;
    one
}

/// Each row has one Device, supplier and variant, whoever started the requests; what was sent while
/// the Device was not flagged, or is not about consumption, is not in it.
pub(in crate::store) async fn requests_are_told_by_device(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let changes = [flag(1, hour(10), &[1, 7]), flag(1, hour(20), &[])];
    world.flags(&changes).await?.expect("in step");
    let mut scheduled = ended(7, 11, Ending::Suppressed, "a");
    scheduled.outcome.origin = Origin::Scheduled;
    let mut firmware = ended(7, 12, Ending::Failed, "firmware");
    firmware.outcome.class = mesh_api::common::v1::MessageClass::Firmware;
    let mut other = ended(7, 13, Ending::Succeeded, "other");
    other.outcome.party = party("TWO");
    let mut variant = ended(7, 14, Ending::Suppressed, "variant");
    variant.outcome.variant = "4.10".parse()?;
    world
        .record([
            scheduled,
            firmware,
            other,
            variant,
            ended(7, 9, Ending::Succeeded, "before"),
            ended(7, 10, Ending::Suppressed, "b"),
            ended(7, 15, Ending::Failed, "c"),
            ended(7, 20, Ending::Succeeded, "lifted"),
            ended(1, 16, Ending::Succeeded, "d"),
            ended(2, 16, Ending::Suppressed, "never flagged"),
        ])
        .await?;
    let row = |suppressed, failed, delivered| Excepted {
        suppressed,
        failed,
        delivered,
    };
    let all = [
        (key(1, "ONE", "4.8.1"), row(0, 0, 1)),
        (key(7, "ONE", "4.10"), row(1, 0, 0)),
        (key(7, "ONE", "4.8.1"), row(2, 1, 0)),
        (key(7, "TWO", "4.8.1"), row(0, 0, 1)),
    ];
    let november = excepted_of("2026-11");
    assert_eq!(world.excepted(&november, 10).await?, all);
    let delivered = ExceptedQuery {
        delivered_only: true,
        ..november.clone()
    };
    let broken = [all[0].clone(), all[3].clone()];
    assert_eq!(world.excepted(&delivered, 10).await?, broken);
    let of_two = ExceptedQuery {
        party: Some(party("TWO")),
        ..november
    };
    assert_eq!(world.excepted(&of_two, 10).await?, all[3..]);
    let december = excepted_of("2026-12");
    assert_eq!(world.excepted(&december, 10).await?, []);
    Ok(())
}

/// Ninety flagged Devices, of which every third has excepted requests of two suppliers and one those of
/// every variant.
async fn many(database: &Database) -> Result<(World, Vec<ExceptedKey>), mesh_store::StoreError> {
    let world = World::open(database).await?;
    let flags: Vec<_> = (1..=90).map(|n| flag(n, hour(1), &[n])).collect();
    world.flags(&flags).await?.expect("in step");
    let (mut outcomes, mut keys) = (Vec::new(), Vec::new());
    for number in (3..=90).step_by(3) {
        let variants = if number == 45 { 1..=20 } else { 8..=8 };
        for supplier in ["ONE", "TWO"] {
            for variant in variants.clone() {
                let variant = format!("4.{variant}.1");
                let id = format!("{number} {supplier} {variant}");
                let mut one = ended(number, 2, Ending::Suppressed, &id);
                one.outcome.party = party(supplier);
                one.outcome.variant = variant.parse().expect("a variant");
                outcomes.push(one);
                keys.push(key(number, supplier, &variant));
            }
        }
    }
    world.record(outcomes).await?;
    keys.sort();
    Ok((world, keys))
}

/// Pages of any size, of which some end within a Device.
pub(in crate::store) async fn pages_make_up_the_list(database: &Database) -> Checked {
    let (world, keys) = many(database).await?;
    assert_eq!(keys.len(), 98);
    for size in [1, 2, 7, 39, 97, 98, 99] {
        let rows = world.excepted(&excepted_of("2026-11"), size).await?;
        let found: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, keys, "pages of {size}");
    }
    Ok(())
}

/// A page is full or the last one, however rare its rows are.
pub(in crate::store) async fn broken_promises_are_found_among_many(database: &Database) -> Checked {
    let (world, _) = many(database).await?;
    let broken = [1, 46, 90].map(|number| {
        let id = format!("{number} delivered");
        ended(number, 3, Ending::Succeeded, &id)
    });
    world.record(broken).await?;
    let query = ExceptedQuery {
        delivered_only: true,
        ..excepted_of("2026-11")
    };
    for size in [1, 2, 3, 4] {
        let rows = world.excepted(&query, size).await?;
        let found: Vec<_> = rows.iter().map(|((device, ..), _)| *device).collect();
        assert_eq!(found, [1, 46, 90].map(device), "pages of {size}");
        // Those that were suppressed stay in the row.
        assert_eq!((rows[2].1.delivered, rows[2].1.suppressed), (1, 1));
    }
    Ok(())
}
