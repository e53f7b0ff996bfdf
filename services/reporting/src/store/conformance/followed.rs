//! Followed logs: each event once, each history by itself, and meters for their suppliers.

use mesh_api::registration::v1::SmiStatus;
use mesh_store::conformance::Database;

use super::Checked;
use super::world::{World, cursor, device, events, flag, hour, meter, party, read, totals};
use crate::obligation::{Fuel, Meter, MeterChange, Obligation};
use crate::store::{Stale, Step};

/// Of two replicas that apply the same events one finds that the other was first.
pub(in crate::store) async fn a_stale_step_writes_nothing(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let store = &world.store;
    let first = Step {
        from: None,
        to: cursor("flags", 1, 1),
    };
    let set = vec![flag(1, hour(1), &[1])];
    assert_eq!(store.apply_flags(first.clone(), false, set).await?, Ok(0));
    let late = vec![flag(1, hour(1), &[]), flag(2, hour(1), &[2])];
    assert_eq!(store.apply_flags(first, true, late).await?, Err(Stale));
    world
        .record([read("a", 1, hour(2)), read("b", 2, hour(2))])
        .await?;
    assert_eq!(totals(&world.november().await?).total().excepted, 1);
    assert_eq!(store.flags_cursor().await?, Some(cursor("flags", 1, 1)));

    let first = Step {
        from: None,
        to: cursor("devices", 1, 1),
    };
    let recorded = |number| events(&[MeterChange::Recorded(meter(number, Fuel::Gas, "ONE"))]);
    assert_eq!(
        store.apply_meters(first.clone(), recorded(1)).await?,
        Ok(())
    );
    assert_eq!(
        store.apply_meters(first.clone(), recorded(2)).await?,
        Err(Stale)
    );
    store.arrive(1, vec![]).await?;
    assert_eq!(store.load_arrived(1, first).await?, Err(Stale));
    assert_eq!(store.obligations(None, None, 10).await?.rows[0].1.gas, 1);
    Ok(())
}

/// A log that begins anew leaves nothing of what it said before.
pub(in crate::store) async fn a_new_history_replaces_the_old_one(database: &Database) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(1), &[1]), flag(2, hour(1), &[2])])
        .await?
        .expect("in step");
    world
        .record([read("a", 1, hour(5)), read("b", 2, hour(5))])
        .await?;
    let step = Step {
        from: Some(cursor("flags", 1, 2)),
        to: cursor("flags", 9, 1),
    };
    let anew = vec![flag(2, hour(3), &[2])];
    assert_eq!(world.store.apply_flags(step, true, anew).await?, Ok(0));
    let page = world.november().await?;
    assert_eq!(totals(&page).total().excepted, 1);
    assert_eq!(page.basis.flags, Some(cursor("flags", 9, 1).position));
    Ok(())
}

/// Counted for who is responsible now; of which reduced by a flag of their own that stands.
pub(in crate::store) async fn meters_are_counted_for_their_suppliers(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    let mut smets1 = meter(4, Fuel::Electricity, "ONE");
    smets1.facts.smets_major = 1;
    let mut suspended = meter(5, Fuel::Electricity, "ONE");
    suspended.facts.smi_status = SmiStatus::Suspended.into();
    let recorded = [
        meter(1, Fuel::Electricity, "ONE"),
        meter(2, Fuel::Gas, "ONE"),
        meter(3, Fuel::Gas, "TWO"),
        smets1,
        suspended,
        meter(6, Fuel::Gas, ""),
    ];
    let mut changes: Vec<_> = recorded.into_iter().map(MeterChange::Recorded).collect();
    meters(&world, &changes).await?;
    let flags = [
        flag(1, hour(1), &[1]),
        flag(2, hour(1), &[2, 7]),
        flag(5, hour(1), &[5]),
        flag(1, hour(2), &[]),
    ];
    world.flags(&flags).await?.expect("in step");
    let one = Obligation {
        electricity: 1,
        gas: 1,
        gas_reduced: 1,
        ..Obligation::default()
    };
    let two = Obligation {
        gas: 1,
        ..Obligation::default()
    };
    let rows = world.store.obligations(None, None, 10).await?.rows;
    assert_eq!(rows, [(party("ONE"), one), (party("TWO"), two)]);

    // A change of supplier takes the meter and its flag along.
    let effect = MeterChange::Supplier {
        devices: vec![device(2), device(7)],
        supplier: Some(party("TWO")),
    };
    changes = vec![effect];
    meters(&world, &changes).await?;
    let page = world.store.obligations(None, None, 1).await?;
    assert!(page.more && page.rows[0].1.gas == 0);
    let after = party("ONE");
    let page = world.store.obligations(None, Some(&after), 1).await?;
    let two = Obligation {
        gas: 2,
        gas_reduced: 1,
        ..Obligation::default()
    };
    assert_eq!(
        (page.rows.as_slice(), page.more),
        (&[(party("TWO"), two)][..], false)
    );
    let only = world.store.obligations(Some(&after), None, 10).await?;
    assert_eq!(only.rows.len(), 1);
    Ok(())
}

async fn meters(world: &World, changes: &[MeterChange]) -> Checked {
    let from = world.store.devices_cursor().await?;
    let sequence = from.as_ref().map_or(0, |cursor| cursor.position.sequence);
    let to = cursor("devices", 1, sequence + changes.len() as u64);
    let applied = world.store.apply_meters(Step { from, to }, events(changes));
    applied.await?.expect("in step");
    Ok(())
}

/// Parts count when all have arrived; those of an attempt that was given up, or of another replica,
/// never do.
pub(in crate::store) async fn only_a_whole_snapshot_counts(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let store = &world.store;
    meters(&world, &[MeterChange::Recorded(meter(9, Fuel::Gas, "OLD"))]).await?;
    let part = |numbers: std::ops::Range<u64>| -> Vec<Meter> {
        numbers
            .map(|number| meter(number, Fuel::Gas, "ONE"))
            .collect()
    };
    store.arrive(1, part(1..4)).await?;
    store.drop_arrived(1).await?;
    store.arrive(1, part(1..3)).await?;
    store.arrive(2, part(1..9)).await?;
    store.arrive(1, part(3..4)).await?;
    let rows = store.obligations(None, None, 10).await?.rows;
    assert_eq!(rows.len(), 1, "nothing has been loaded yet");
    assert_eq!(rows[0].0, party("OLD"));
    let step = Step {
        from: Some(cursor("devices", 1, 1)),
        to: cursor("devices", 2, 50),
    };
    assert_eq!(store.load_arrived(1, step).await?, Ok(()));
    let page = store.obligations(None, None, 10).await?;
    let gas = Obligation {
        gas: 3,
        ..Obligation::default()
    };
    assert_eq!(page.rows, [(party("ONE"), gas)]);
    assert_eq!(page.basis.devices, Some(cursor("devices", 2, 50).position));
    Ok(())
}

/// Cursors, outcomes and intervals outlive the process.
pub(in crate::store) async fn a_store_that_is_opened_again_is_the_same(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    assert!(!world.store.is_loaded().await?);
    world
        .flags(&[flag(1, hour(1), &[1])])
        .await?
        .expect("in step");
    meters(&world, &[MeterChange::Recorded(meter(1, Fuel::Gas, "ONE"))]).await?;
    world.record([read("a", 1, hour(2))]).await?;
    let figures = world.november().await?;
    let obligations = world.store.obligations(None, None, 10).await?;
    world.close().await;
    let world = World::open(database).await?;
    assert!(world.store.is_loaded().await?);
    assert_eq!(world.november().await?, figures);
    assert_eq!(world.store.obligations(None, None, 10).await?, obligations);
    world
        .flags(&[flag(1, hour(3), &[])])
        .await?
        .expect("in step");
    assert_eq!(totals(&figures).total().excepted, 1);
    Ok(())
}
