//! What happens at a time is logged once, in order, when the time has come.

use std::sync::Arc;

use mesh_testkit::wait_until;
use mesh_types::Mpxn;
use tokio_util::sync::CancellationToken;

use super::world::{Told, World, at, device, effect, id, mpan, mprn, open, put, registered};
use super::{Checked, Database};
use crate::device::{Device, DeviceType};
use crate::store::SETTLED_AT_ONCE;
use crate::ticker;

/// An ESME whose import MPAN A supplies since second 0.
async fn supplied(database: &Database) -> Result<(World, Mpxn), mesh_store::StoreError> {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    world
        .load(vec![
            put(device(1, DeviceType::Esme)),
            registered(point, "A", 0, None),
        ])
        .await;
    Ok((world, point))
}

fn by_request(told: &Told) -> Told {
    match told.clone() {
        Told::Effect {
            from,
            to,
            seconds,
            devices,
            ..
        } => effect(&from, &to, seconds, devices),
        other => other,
    }
}

pub(in super::super) async fn past_changes_take_effect_at_once(database: &Database) -> Checked {
    let (world, point) = supplied(database).await?;
    let late = world.change(point, "B", Some(400)).await?;
    assert_eq!(late.ended.unwrap().end_time.unwrap().seconds, 400);
    let effects: Vec<Told> = world.effects().await?.iter().map(by_request).collect();
    assert_eq!(effects, [effect("", "A", 0, 1), effect("A", "B", 400, 1)]);
    // For gas the GPF changes hands with its meter.
    let gsme = Device {
        gpf: Some(id(3)),
        ..device(2, DeviceType::Gsme)
    };
    world
        .load(vec![put(device(3, DeviceType::Gpf)), put(gsme)])
        .await;
    world.change(Mpxn::Mprn(mprn(2)), "G", None).await?;
    let last = world.effects().await?.pop().map(|told| by_request(&told));
    assert_eq!(last, Some(effect("", "G", 1_000, 2)));
    // An export MPAN beside an import MPAN makes nobody responsible.
    let export = Device {
        export_mpan: Some(mpan(50)),
        ..device(1, DeviceType::Esme)
    };
    world.load(vec![put(export)]).await;
    world.change(Mpxn::Mpan(mpan(50)), "A", None).await?;
    let last = world.effects().await?.pop().map(|told| by_request(&told));
    assert_eq!(last, Some(effect("", "A", 1_000, 0)));
    assert_eq!(world.inventory.next_due().await?, None);
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn a_replica_logs_an_effect_once(database: &Database) -> Checked {
    let (world, point) = supplied(database).await?;
    world.change(point, "B", Some(1_500)).await?;
    assert_eq!(world.effects().await?.len(), 1, "nothing yet");
    assert_eq!(world.inventory.next_due().await?, Some(at(1_500)));
    assert_eq!(world.settle().await, 0);

    world.clock.set(at(1_500));
    let world = Arc::new(world);
    let settling = (0..16).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { world.settle().await })
    });
    let settled: Vec<_> = settling.collect();
    for settled in settled {
        settled.await?;
    }
    let effects = world.effects().await?;
    assert_eq!(effects.len(), 2);
    assert_eq!(effects[1], effect("A", "B", 1_500, 1));
    assert_eq!(world.inventory.next_due().await?, None);
    Ok(())
}

/// Each replica with a writer and a ticker of its own; then one that is started later.
pub(in super::super) async fn two_tickers_log_what_takes_effect_once(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database).await?;
    let planned = [("B", 1_500), ("A", 1_600), ("B", 1_700)];
    for (party, seconds) in planned {
        world.change(point, party, Some(seconds)).await?;
    }
    let recorded = world.told().await?;
    let is_new = |told: &&Told| matches!(told, Told::Registration { ended: false, .. });
    assert_eq!(recorded.iter().filter(is_new).count(), 1 + planned.len());
    assert_eq!(world.effects().await?.len(), 1, "none has taken effect");

    let stop = CancellationToken::new();
    let (other, task) = world.replica();
    let tickers = [&world.inventory, &other].map(|inventory| {
        let clock = world.clock.clone();
        tokio::spawn(ticker::run(inventory.clone(), clock, stop.clone()))
    });
    for (logged, (_, seconds)) in (2..).zip(planned) {
        world.clock.set(at(seconds));
        wait_until("what takes effect is logged", async || {
            match world.effects().await.unwrap().len() {
                found if found == logged => Ok(()),
                found => Err(found),
            }
        })
        .await;
    }
    // Whoever was second has nothing left to log.
    world.settle().await;
    stop.cancel();
    for ticker in tickers {
        ticker.await?;
    }
    drop(other);
    task.shutdown().await;
    let expected = [
        effect("A", "B", 1_500, 1),
        effect("B", "A", 1_600, 1),
        effect("A", "B", 1_700, 1),
    ];
    assert_eq!(world.effects().await?[1..], expected);
    world.stop().await;

    let again = World::open(database).await?;
    again.clock.set(at(2_000));
    assert_eq!(again.settle().await, 0);
    assert_eq!(again.effects().await?[1..], expected);
    again.stop().await;
    Ok(())
}

pub(in super::super) async fn late_effects_come_in_order_and_before_what_follows(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database).await?;
    world.change(point, "B", Some(1_100)).await?;
    world.change(point, "A", Some(1_200)).await?;
    let other = Mpxn::Mpan(mpan(2));
    world
        .load(vec![registered(other, "B", 1_050, Some(1_150))])
        .await;
    let before = world.told().await?.len();

    // Nobody looked for a long time; then a Device changes.
    world.clock.set(at(5_000));
    let changed = Device {
        export_mpan: Some(mpan(9)),
        ..device(1, DeviceType::Esme)
    };
    world.load(vec![put(changed)]).await;
    let told = world.told().await?.split_off(before);
    assert_eq!(
        told,
        [
            effect("", "B", 1_050, 0),
            effect("A", "B", 1_100, 1),
            effect("B", "", 1_150, 0),
            effect("B", "A", 1_200, 1),
            Told::Device {
                id: id(1).to_string(),
                responsible: "A".to_owned(),
                csp: String::new(),
            },
        ]
    );
    world.stop().await;
    Ok(())
}

/// More is due than the transactions of the changes deal with.
pub(in super::super) async fn what_is_due_is_told_before_what_replaces_it(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let others = 2 * u64::from(SETTLED_AT_ONCE);
    let (meter, moved) = (others + 1, others + 2);
    let (point, replaced) = (Mpxn::Mpan(mpan(meter)), Mpxn::Mpan(mpan(moved)));
    let mut rows: Vec<_> = (1..=others)
        .map(|n| registered(Mpxn::Mpan(mpan(n)), "B", 1_500, None))
        .collect();
    for (n, point) in [(meter, point), (moved, replaced)] {
        rows.push(put(device(n, DeviceType::Esme)));
        rows.push(registered(point, "A", 0, None));
    }
    world.load(rows).await;
    for point in [point, replaced] {
        world.change(point, "B", Some(1_500)).await?;
    }
    let before = world.told().await?.len();

    world.clock.set(at(2_000));
    let exported = Device {
        export_mpan: Some(mpan(9_000)),
        ..device(moved, DeviceType::Esme)
    };
    world.load(vec![put(exported)]).await;
    world.change(point, "A", None).await?;
    while world.settle().await > 0 {}
    let told = world.told().await?.split_off(before);
    let meters: Vec<_> = told
        .into_iter()
        .filter(|told| match told {
            Told::Effect { devices, .. } => *devices == 1,
            Told::Device { .. } => true,
            Told::Registration { .. } | Told::Withdrawn { .. } => false,
        })
        .collect();
    let put = Told::Device {
        id: id(moved).to_string(),
        responsible: "B".to_owned(),
        csp: String::new(),
    };
    let effects = [effect("A", "B", 1_500, 1), effect("B", "A", 2_000, 1)];
    let [came, left] = effects;
    assert_eq!(meters, [came.clone(), put, came, left]);
    world.stop().await;
    Ok(())
}

/// The log said that nobody is responsible any more, and then it turns out that A went on.
pub(in super::super) async fn a_supplier_that_went_on_is_told_late(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    world
        .load(vec![
            put(device(1, DeviceType::Esme)),
            registered(point, "A", 0, Some(1_500)),
        ])
        .await;
    world.clock.set(at(1_600));
    assert_eq!(world.settle().await, 1);
    world.change(point, "A", Some(1_500)).await?;
    // Said again, it is nothing new: A is responsible all the time.
    world.change(point, "A", Some(1_550)).await?;
    let effects = world.effects().await?;
    assert_eq!(
        effects,
        [
            effect("", "A", 0, 1),
            effect("A", "", 1_500, 1),
            effect("", "A", 1_500, 1),
        ]
    );
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn nothing_due_stays_after_a_change_of_plan(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    world
        .load(vec![
            put(device(1, DeviceType::Esme)),
            registered(point, "A", 0, Some(2_000)),
        ])
        .await;
    world.change(point, "B", Some(1_500)).await?;
    world.clock.set(at(3_000));
    assert_eq!(
        world.settle().await,
        2,
        "the end of A that never came is looked at too"
    );
    let effects = world.effects().await?;
    assert_eq!(effects.len(), 2);
    assert_eq!(effects[1], effect("A", "B", 1_500, 1));
    assert_eq!(world.settle().await, 0);
    // A clock that went back tells nothing again.
    world.clock.set(at(100));
    assert_eq!(world.settle().await, 0);
    assert_eq!(world.effects().await?.len(), 2);
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn authority_follows_time_without_a_ticker(
    database: &Database,
) -> Checked {
    let (world, point) = supplied(database).await?;
    world.change(point, "B", Some(1_500)).await?;
    for (seconds, expected) in [
        (-1, None),
        (0, Some("A")),
        (1_499, Some("A")),
        (1_500, Some("B")),
    ] {
        let found = world.responsible(id(1), seconds).await;
        assert_eq!(found.as_deref(), expected, "{seconds}");
    }
    let (answers, _) = world
        .inventory
        .authorities(&[id(1), id(99), id(1)].map(open), None, at(1_000))
        .await?;
    let [first, unknown, again] = answers.as_slice() else {
        return Err("one answer for each".into());
    };
    let told = first.to_wire();
    assert_eq!(told.authority_end_time.unwrap().seconds, 1_500);
    assert_eq!(told, again.to_wire());
    assert_eq!(unknown.to_wire().device_id, id(99).to_string());
    assert!(unknown.to_wire().device.is_none() && unknown.party().is_none());
    world.stop().await;
    Ok(())
}
