//! Outcomes: once each, in any order, and page by page.

use mesh_store::conformance::Database;

use super::Checked;
use super::world::{
    World, cursor, delivery, events, flag, hour, meter, of_month, on_demand, party, read, totals,
};
use crate::business_process::BusinessProcesses;
use crate::figures::Counts;
use crate::grouping::{Dimension, Grouping};
use crate::obligation::{Fuel, MeterChange};
use crate::outcome::{Ending, Origin};
use crate::store::Disposition::{Duplicate, Outside, Recorded, Reused};
use crate::store::{FiguresQuery, Step};

/// Sent again, in the same request or in a later one, an outcome changes nothing.
pub(in crate::store) async fn an_outcome_is_recorded_once(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let outcomes = [
        read("a", 1, hour(1)),
        read("b", 1, hour(2)),
        read("a", 1, hour(1)),
    ];
    let first = world.record(outcomes.clone()).await?;
    assert_eq!(first, [Recorded, Recorded, Duplicate]);
    let before = world.november().await?;
    assert_eq!(world.record(outcomes).await?, [Duplicate; 3]);
    let after = world.november().await?;
    assert_eq!(after, before);
    assert_eq!(
        (after.basis.outcomes, totals(&after).total().sent()),
        (2, 2)
    );
    assert_eq!(world.record([]).await?, []);
    Ok(())
}

/// Another content under a used id is never taken for the same outcome; another producer's id is
/// another id.
pub(in crate::store) async fn an_id_with_another_content_is_told_apart(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    let outcome = read("a", 1, hour(1));
    world.record([outcome.clone()]).await?;
    let mut others = vec![read("a", 2, hour(1)), read("a", 1, hour(2))];
    for change in 0..5 {
        let mut other = outcome.clone();
        match change {
            0 => other.outcome.party = party("TWO"),
            1 => other.outcome.variant = "4.1.1".parse()?,
            2 => other.outcome.class = mesh_api::common::v1::MessageClass::Export,
            3 => other.outcome.ending = Ending::Failed,
            _ => other.outcome.origin = Origin::Scheduled,
        }
        others.push(other);
    }
    let count = others.len();
    assert_eq!(world.record(others).await?, vec![Reused; count]);
    let elsewhere = delivery("dsp-2", 0, [outcome.clone()]);
    let taken = world.store.record(elsewhere).await?.expect("no number");
    assert_eq!(taken.dispositions, [Recorded]);
    let mut within = read("b", 1, hour(1));
    within.outcome.ending = Ending::Failed;
    let request = [read("b", 1, hour(1)), within, outcome];
    assert_eq!(world.record(request).await?, [Recorded, Reused, Duplicate]);
    assert_eq!(world.november().await?.basis.outcomes, 3);
    Ok(())
}

/// An outcome that came before the event that flags its Device at that time is excepted as soon as
/// the event is applied.
pub(in crate::store) async fn what_arrives_first_does_not_matter(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let mut suppressed = read("b", 7, hour(10));
    suppressed.outcome.ending = Ending::Suppressed;
    world
        .record([read("a", 7, hour(9)), suppressed.clone()])
        .await?;
    let before = totals(&world.november().await?);
    assert_eq!((before.total().excepted, before.total().suppressed), (0, 1));

    // The GSME 1 is flagged at hour 10, and its flag covers the GPF 7.
    world
        .flags(&[flag(1, hour(10), &[1, 7])])
        .await?
        .expect("in step");
    world
        .record([read("c", 7, hour(11)), read("d", 7, hour(20))])
        .await?;
    world
        .flags(&[flag(1, hour(20), &[])])
        .await?
        .expect("in step");
    let expected = Counts {
        succeeded: 3,
        suppressed: 1,
        excepted: 2,
        excepted_but_delivered: 1,
        ..Counts::default()
    };
    assert_eq!(totals(&world.november().await?), on_demand(expected));
    Ok(())
}

/// SMETS1 is outside of every figure; a meter that nobody knows yet counts.
pub(in crate::store) async fn smets1_is_outside(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let mut old = meter(1, Fuel::Electricity, "ONE");
    old.facts.smets_major = 1;
    let meters = [old, meter(2, Fuel::Gas, "ONE")];
    let step = Step {
        from: None,
        to: cursor("devices", 1, 2),
    };
    let changes = meters.map(MeterChange::Recorded).to_vec();
    assert_eq!(
        world.store.apply_meters(step, events(&changes)).await?,
        Ok(())
    );
    let outcomes = [1, 2, 3].map(|n| read(&format!("o{n}"), n, hour(1)));
    assert_eq!(
        world.record(outcomes.clone()).await?,
        [Outside, Recorded, Recorded]
    );
    assert_eq!(
        world.record(outcomes).await?,
        [Outside, Duplicate, Duplicate]
    );
    let page = world.november().await?;
    assert_eq!((page.basis.outcomes, totals(&page).total().sent()), (2, 2));
    Ok(())
}

/// Two GSMEs that mirror to one GPF, as while a meter is being exchanged.
pub(in crate::store) async fn a_device_covered_twice_is_excepted_once(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    let changes = [
        flag(1, hour(1), &[1, 7]),
        flag(2, hour(2), &[2, 7]),
        flag(1, hour(4), &[]),
    ];
    world.flags(&changes).await?.expect("in step");
    world
        .record([read("a", 7, hour(3)), read("b", 7, hour(5))])
        .await?;
    let totals = totals(&world.november().await?).total();
    assert_eq!((totals.sent(), totals.excepted), (2, 2));
    Ok(())
}

/// What a report is grouped by changes its rows and not its sums; filters narrow both.
pub(in crate::store) async fn groupings_have_the_same_sums(database: &Database) -> Checked {
    let world = World::open(database).await?;
    world
        .flags(&[flag(1, hour(0), &[1])])
        .await?
        .expect("in step");
    let mut outcomes = Vec::new();
    for supplier in ["ONE", "TWO", "THREE"] {
        for variant in ["4.8.1", "4.10", "11.3"] {
            for &ending in Ending::ALL {
                for &origin in Origin::ALL {
                    let id = format!("{supplier} {variant} {ending:?} {origin:?}");
                    let mut outcome = read(&id, 1, hour(5));
                    outcome.outcome.party = party(supplier);
                    outcome.outcome.variant = variant.parse()?;
                    outcome.outcome.ending = ending;
                    outcome.outcome.origin = origin;
                    outcomes.push(outcome);
                }
            }
        }
    }
    // The month before and the one after are other reports.
    outcomes.extend([
        read("October", 1, hour(-1)),
        read("December", 1, hour(30 * 24)),
    ]);
    world.record(outcomes).await?;
    let whole = world.november().await?;
    let total = totals(&whole).total();
    assert_eq!(
        (whole.figures.len(), total.sent(), total.excepted),
        (9, 81, 81)
    );
    let processes = BusinessProcesses::builtin();
    for (dimensions, rows) in [
        (vec![], 9),
        (vec![Dimension::Supplier], 3),
        (vec![Dimension::Variant, Dimension::Supplier], 9),
        (vec![Dimension::BusinessProcess], 3),
        (vec![Dimension::BusinessProcess, Dimension::Supplier], 9),
    ] {
        let grouping = Grouping::of(dimensions).expect("none twice");
        let report = grouping.report(&whole.figures, processes, None);
        assert_eq!(report.rows.len(), rows, "{grouping:?}");
        assert_eq!(report.totals, totals(&whole), "{grouping:?}");
    }
    let narrow = FiguresQuery {
        party: Some(party("TWO")),
        variant: Some("4.10".parse()?),
        ..of_month("2026-11")
    };
    let narrow = world.store.figures(&narrow).await?;
    assert_eq!(narrow.figures.len(), 1);
    let narrow = totals(&narrow);
    assert_eq!((narrow.on_demand.sent(), narrow.executions.sent()), (3, 6));
    let none = world.store.figures(&of_month("2025-11")).await?;
    assert!(none.figures.is_empty());
    Ok(())
}
