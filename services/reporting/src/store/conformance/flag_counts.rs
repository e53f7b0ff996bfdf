//! Are flags counted as somebody would count them who reads the whole log anew for each figure?

use std::collections::BTreeMap;

use mesh_api::reporting::v1::{FlagCounts, FlagRow};
use mesh_store::conformance::Database;
use mesh_store::cursor::Cursor;
use mesh_store::sql::query;
use mesh_types::{Interval, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::Checked;
use super::world::{World, cursor, flag, hour, utc};
use crate::flags::FlagChange;
use crate::movement::{Cause, FlagFigures, Holder, Movement};
use crate::period::{Period, Zone};
use crate::store::{FlagsQuery, Stale, Step};
use crate::wire::flag_row;

/// Midnight in Great Britain is an hour before that of UTC until the end of October.
const MONTHS: [&str; 5] = ["2026-08", "2026-09", "2026-10", "2026-11", "2026-12"];
const CAUSES: [Cause; 6] = [
    Cause::Lifted,
    Cause::TenancyKept,
    Cause::TenancyLifted,
    Cause::Confirmed,
    Cause::DeviceEnded,
    Cause::Other,
];

/// Hours since the event before, meter, whether it is flagged afterwards, supplier, CSP, cause.
type Draft = (i64, u64, bool, usize, usize, usize);

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    // Whole hours, so that many events are at the very edge of a part; and most flags live for a while.
    let later = prop::sample::select(vec![0_i64, 0, 1, 1, 7, 23, 24, 90]);
    let flagged = prop::sample::select(vec![true, true, true, false]);
    prop::collection::vec(
        (later, 1_u64..6, flagged, 0..3_usize, 0..3_usize, 0..6_usize),
        400,
    )
}

fn history(drafts: Vec<Draft>) -> Vec<FlagChange> {
    let mut hours = -80 * 24;
    let read = drafts
        .into_iter()
        .map(|(later, meter, flagged, supplier, csp, cause)| {
            hours += later;
            let covered = [meter, 100 + meter];
            let reduced = if flagged { &covered[..] } else { &[] };
            FlagChange {
                holder: Holder {
                    supplier: ["", "ONE", "TWO"][supplier].parse().ok(),
                    csp: ["", "north", "4g"][csp].parse().ok(),
                },
                cause: CAUSES[cause],
                ..flag(meter, hour(hours), reduced)
            }
        });
    read.collect()
}

/// The flag of a meter between two of its events: the first of these, and the index of it among all.
struct Seen<'a> {
    change: &'a FlagChange,
    /// Whether another supplier was responsible since it was set.
    gained: bool,
}

/// What the events of a meter say it was before the one at `index`; `None` if it was not flagged.
fn before<'a>(all: &'a [FlagChange], index: usize) -> Option<Seen<'a>> {
    let source = all[index].source;
    let earlier = all[..index].iter().filter(|one| one.source == source);
    let since_set: Vec<_> = earlier
        .rev()
        .take_while(|one| !one.reduced.is_empty())
        .collect();
    let (last, first) = (since_set.first()?, since_set.last()?);
    let supplier = |one: &FlagChange| one.holder.supplier.clone();
    Some(Seen {
        change: last,
        gained: since_set.iter().any(|one| supplier(one) != supplier(first)),
    })
}

type Rows = BTreeMap<Holder, [FlagCounts; 2]>;

fn add(rows: &mut Rows, holder: &Holder, gained: bool, to: impl Fn(&mut FlagCounts) -> &mut u64) {
    let row = rows.entry(holder.clone()).or_default();
    *to(&mut row[0]) += 1;
    if gained {
        *to(&mut row[1]) += 1;
    }
}

/// What happened within a month, event by event.
fn within(all: &[FlagChange], month: Interval) -> Rows {
    let mut rows = Rows::new();
    let of_month = |(_, change): &(usize, &FlagChange)| month.contains(change.at);
    for (index, change) in all.iter().enumerate().filter(of_month) {
        let here = &change.holder;
        match (before(all, index), change.reduced.is_empty()) {
            (None, true) => {}
            (None, false) => add(&mut rows, here, false, |row| &mut row.set),
            (Some(was), true) => {
                let holder = &was.change.holder;
                add(&mut rows, holder, was.gained, |row| match change.cause {
                    Cause::Lifted => &mut row.lifted,
                    Cause::TenancyLifted => &mut row.lifted_at_change_of_tenancy,
                    Cause::DeviceEnded => &mut row.device_ended,
                    _ => &mut row.ended_otherwise,
                });
            }
            (Some(was), false) => {
                let there = &was.change.holder;
                // First the supplier changes, then the CSP.
                let between = Holder {
                    supplier: here.supplier.clone(),
                    csp: there.csp.clone(),
                };
                let mut gained = was.gained;
                if there.supplier != here.supplier {
                    add(&mut rows, there, gained, |row| &mut row.lost);
                    gained = true;
                    add(&mut rows, &between, gained, |row| &mut row.gained);
                }
                if there.csp != here.csp {
                    add(&mut rows, &between, gained, |row| &mut row.moved_out);
                    add(&mut rows, here, gained, |row| &mut row.moved_in);
                }
                match change.cause {
                    Cause::TenancyKept => {
                        add(&mut rows, here, gained, |row| {
                            &mut row.kept_at_change_of_tenancy
                        });
                    }
                    Cause::Confirmed => add(&mut rows, here, gained, |row| &mut row.confirmed),
                    _ => {}
                }
            }
        }
    }
    rows
}

/// The flags that were set when only the events before `at` had been recorded.
fn set_at(all: &[FlagChange], at: Timestamp) -> Vec<(Holder, bool)> {
    let known = all.partition_point(|change| change.at < at);
    let meters = 1..6;
    let set = meters.filter_map(|meter| {
        let mut next = all[..known].to_vec();
        next.push(flag(meter, at, &[]));
        let was = before(&next, known)?;
        Some((was.change.holder.clone(), was.gained))
    });
    set.collect()
}

fn expected(all: &[FlagChange], asked: &FlagsQuery) -> Vec<FlagRow> {
    let month = asked.period.interval();
    let mut rows = within(all, month);
    for (holder, gained) in set_at(all, month.start()) {
        add(&mut rows, &holder, gained, |row| &mut row.active_before);
    }
    for (holder, gained) in set_at(all, month.end()) {
        add(&mut rows, &holder, gained, |row| &mut row.active);
    }
    let asked_for = |holder: &Holder| {
        (asked.party.is_none() || holder.supplier == asked.party)
            && (asked.csp.is_none() || holder.csp == asked.csp)
    };
    let rows = rows.into_iter().filter(|(holder, _)| asked_for(holder));
    let rows = rows.map(|(holder, [total, gained])| {
        let mut row = flag_row(&holder, &Default::default());
        row.figures = Some(mesh_api::reporting::v1::FlagFigures {
            total: Some(total),
            gained_from_another: Some(gained),
        });
        row
    });
    rows.collect()
}

async fn rows(world: &World, asked: &FlagsQuery) -> Result<Vec<FlagRow>, mesh_store::StoreError> {
    let month = world.store.flags(asked).await?;
    assert!(month.is_complete);
    let rows = month.figures.iter();
    Ok(rows
        .map(|(holder, figures)| flag_row(holder, figures))
        .collect())
}

async fn agree(world: &World, all: &[FlagChange], filtered: bool) -> Checked {
    for month in MONTHS {
        for zone in Zone::ALL {
            let period = Period { zone, ..utc(month) };
            let mut asked = FlagsQuery {
                period,
                party: None,
                csp: None,
            };
            assert_eq!(
                rows(world, &asked).await?,
                expected(all, &asked),
                "{asked:?}"
            );
            if filtered {
                asked.party = "TWO".parse().ok();
                assert_eq!(
                    rows(world, &asked).await?,
                    expected(all, &asked),
                    "{asked:?}"
                );
                asked.csp = "4g".parse().ok();
                assert_eq!(
                    rows(world, &asked).await?,
                    expected(all, &asked),
                    "{asked:?}"
                );
                asked.party = None;
                assert_eq!(
                    rows(world, &asked).await?,
                    expected(all, &asked),
                    "{asked:?}"
                );
            }
        }
    }
    Ok(())
}

fn drawn() -> Result<Vec<FlagChange>, String> {
    let mut runner = TestRunner::deterministic();
    let drawn = drafts().new_tree(&mut runner);
    Ok(history(
        drawn.map_err(|reason| reason.to_string())?.current(),
    ))
}

/// However the events arrive, one by one or many together, in each month and zone.
pub(in crate::store) async fn flags_are_counted_as_the_log_tells(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let all = drawn()?;
    let mut applied = 0;
    for size in [1, 2, 57, 3, 1, 120, 40, 1, 175] {
        world
            .flags(&all[applied..applied + size])
            .await?
            .expect("in step");
        applied += size;
        agree(&world, &all[..applied], applied == all.len()).await?;
    }
    assert_eq!(applied, all.len());
    // A history in which little happens would show nothing.
    let mut sums = FlagFigures::default();
    for month in MONTHS {
        let asked = FlagsQuery {
            period: utc(month),
            party: None,
            csp: None,
        };
        for figures in world.store.flags(&asked).await?.figures.values() {
            sums += *figures;
        }
    }
    let happened = |counts: crate::movement::FlagCounts, movement| counts.of(movement) > Some(0);
    for movement in Movement::ALL {
        assert!(happened(sums.total, movement), "{movement:?}");
        let of_gained = movement != Movement::Set;
        assert_eq!(happened(sums.gained, movement), of_gained, "{movement:?}");
    }
    world.close().await;
    Ok(())
}

/// Of another history of the log only what that says is counted.
pub(in crate::store) async fn a_new_history_is_counted_anew(database: &Database) -> Checked {
    let world = World::open(database).await?;
    let all = drawn()?;
    world.flags(&all[..200]).await?.expect("in step");
    let step = |from: Option<Cursor>, to| Step {
        from,
        to: cursor("flags", 9, to),
    };
    let from = world.store.flags_cursor().await?;
    let anew = world
        .store
        .apply_flags(step(from, 30), true, all[..30].to_vec());
    assert_eq!(anew.await?, Ok(0));
    agree(&world, &all[..30], true).await?;
    let from = world.store.flags_cursor().await?;
    let next = world
        .store
        .apply_flags(step(from, 90), false, all[30..90].to_vec());
    next.await?.expect("in step");
    agree(&world, &all[..90], false).await?;
    world.close().await;
    Ok(())
}

/// A log that was followed before its flags were counted is counted once, whoever else counts it as well; and nothing is
/// applied before that is done.
pub(in crate::store) async fn what_was_followed_before_is_counted_once(
    database: &Database,
) -> Checked {
    let world = World::open(database).await?;
    let all = drawn()?;
    world.flags(&all[..100]).await?.expect("in step");
    let mut tx = world.store.database().begin_write(hour(1_000)).await?;
    for forgotten in [
        "DELETE FROM flag_standing",
        "DELETE FROM flag_movement",
        "DELETE FROM cursor WHERE follower = 'flag-counts'",
    ] {
        query(forgotten).execute(tx.conn()).await?;
    }
    tx.commit().await?;
    let november = FlagsQuery {
        period: utc("2026-11"),
        party: None,
        csp: None,
    };
    assert!(!world.store.flags(&november).await?.is_complete);
    assert_eq!(world.flags(&all[100..110]).await?, Err(Stale));
    assert_eq!(
        world.store.flags_cursor().await?,
        Some(cursor("flags", 1, 100))
    );

    let count = async |from: u64, to: u64| {
        let step = Step {
            from: (from > 0).then(|| cursor("flags", 1, from)),
            to: cursor("flags", 1, to),
        };
        let events = all[usize::try_from(from)?..usize::try_from(to)?].to_vec();
        let counted = world.store.count_flags(step, false, events).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(counted)
    };
    assert_eq!(count(0, 60).await?, Ok(()));
    assert_eq!(count(0, 60).await?, Err(Stale), "another replica was first");
    assert!(!world.store.flags(&november).await?.is_complete);
    assert_eq!(world.flags(&all[100..110]).await?, Err(Stale));
    assert_eq!(count(60, 100).await?, Ok(()));
    agree(&world, &all[..100], false).await?;
    world.flags(&all[100..110]).await?.expect("in step");
    agree(&world, &all[..110], false).await?;
    world.close().await;
    Ok(())
}
