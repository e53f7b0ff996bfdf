//! The cases. None knows an engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::flag_registry::v1::{Cause, FlagEvent};
use mesh_authz::{Authority, Authorized, Refusal};
use mesh_store::conformance::Database;
use mesh_store::cursor::Advance;
use mesh_store::log::{self, PageLimit};
use mesh_types::{DeviceId, Eui64};
use prost::Message as _;

use super::world::{
    World, authority, command, command_of, cursor, hub_of, lost, moved, note, of_the_dsp,
};
use crate::error::Error;
use crate::flag::{Change, Meter};
use crate::past::Past;
use crate::request::Request;
use crate::restriction::prompt;
use crate::store::ledger::{Ledger, Recorded};
use crate::store::{Answered, ChangeCommand, Declined, EntryFilter, NoteCommand};
use crate::tests::fixtures::{CHF, ESME, NOW, OTHER_CHF, add, at, id, party, position, remove};
use crate::wire;

fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

/// The whole log, checked to be contiguous and chained.
async fn events(world: &World) -> Vec<FlagEvent> {
    let database = world.store.database();
    let mut conn = database.readers().acquire().await.unwrap();
    let limit = PageLimit {
        events: u32::MAX,
        octets: usize::MAX,
    };
    let stored = log::read(&mut conn, world.store.log(), 0, limit)
        .await
        .unwrap();
    let mut hash = log::hash_at(&mut conn, world.store.log(), 0)
        .await
        .unwrap()
        .unwrap();
    let mut events = Vec::new();
    for event in stored {
        assert_eq!(event.previous_hash, hash);
        hash = mesh_types::chain::link(&hash, event.sequence, &event.event);
        assert_eq!(event.hash, hash);
        events.push(FlagEvent::decode(event.event.as_slice()).unwrap());
    }
    events
}

async fn causes(world: &World) -> Vec<Cause> {
    events(world).await.iter().map(FlagEvent::cause).collect()
}

/// Of many wishes for one Device at the same time each is judged by what those before it did.
pub(super) async fn commands_of_a_batch_see_each_other(database: &Database) {
    let world = World::open(database).await;
    let wishes = (0..60).map(|number| {
        let wish = if number % 2 == 0 { add() } else { remove() };
        world.change(command(authority(id(ESME), 1, None), wish))
    });
    let answers = join_all(wishes).await;
    let mut changes = BTreeMap::new();
    for answer in answers {
        let Answered(answer) = answer.unwrap();
        changes.insert(answer.position.unwrap().sequence, answer.changed);
    }
    assert!(changes.keys().copied().eq(1..=60));
    let mut flagged = false;
    for event in events(&world).await {
        let current = event.current.unwrap().state;
        let now = current == i32::from(mesh_api::flag_registry::v1::FlagState::Flagged);
        assert_eq!(changes[&event.sequence], now != flagged);
        flagged = now;
    }
}

/// What is read at a position is what the events up to it say, before and after a restart.
pub(super) async fn every_version_is_the_fold_of_the_log_so_far(database: &Database) {
    let mut answered = Vec::new();
    {
        let world = World::open(database).await;
        for round in 0..4 {
            for number in 1..=3 {
                let wish = if (round + number) % 2 == 0 {
                    add()
                } else {
                    remove()
                };
                let authority = authority(device(number), round + 1, None);
                let Answered(answer) = world.change(command(authority, wish)).await.unwrap();
                answered.push(answer);
            }
        }
        world.close().await;
    }
    let world = World::open(database).await;
    let mut entries = BTreeMap::new();
    for answer in answered {
        let at = answer.position.unwrap().sequence;
        let entry = answer.entry.unwrap();
        entries.insert(entry.device_id.clone(), entry);
        let filter = EntryFilter::default();
        let listed = world.store.list(&filter, at, None, 100).await.unwrap();
        let listed: Vec<_> = listed.iter().map(wire::entry).collect();
        assert!(listed.iter().eq(entries.values()), "at {at}");
    }
    let page = world.store.history(device(2), 8, None, 2).await.unwrap();
    let sequences: Vec<_> = page.events.iter().map(|event| event.sequence).collect();
    assert_eq!((sequences, page.next_before), (vec![8, 5], Some(5)));
    let page = world.store.history(device(2), 8, Some(5), 2).await.unwrap();
    assert_eq!((page.events.len(), page.next_before), (1, None));
}

/// The Device moved at NOW, which is known from the third event on.
pub(super) async fn what_held_is_read_from_the_events_up_to_a_position(database: &Database) {
    let world = World::open(database).await;
    let (one, other) = (device(1), device(2));
    world.clock.set(at(NOW + 10));
    for device in [one, other] {
        let known = authority(device, 1, None);
        world.granted(command(known, add())).await;
    }
    let batch = vec![(2, moved(one, OTHER_CHF, "south"))];
    assert_eq!(world.follow(None, &cursor(2), batch).await, Advance::Moved);
    let told = async |known: u64, instant: i64| {
        let devices = [one, other, device(3)];
        let pasts = world.store.pasts(&devices, known, at(instant)).await;
        let mut pasts = pasts.unwrap();
        let csp = |past: &Past| past.csp.as_ref().map(ToString::to_string);
        let parts = |past: Past| (past.state.is_some(), csp(&past));
        [one, other].map(|device| pasts.remove(&device).map(parts))
    };
    let north = || Some((true, Some("north".to_owned())));
    let south = |flagged| Some((flagged, Some("south".to_owned())));
    let nothing = || Some((false, None));
    assert_eq!(told(0, NOW + 10).await, [None, None]);
    assert_eq!(told(1, NOW + 10).await, [north(), None]);
    assert_eq!(told(2, NOW + 10).await, [north(), north()]);
    assert_eq!(told(2, NOW).await, [nothing(), nothing()]);
    assert_eq!(told(3, NOW + 10).await, [south(true), north()]);
    assert_eq!(told(3, NOW).await, [south(false), nothing()]);
}

pub(super) async fn a_list_leaves_out_what_a_supplier_has_lost(database: &Database) {
    let world = World::open(database).await;
    for number in 1..=2 {
        let known = authority(device(number), 1, None);
        world.granted(command(known, add())).await;
    }
    let batch = vec![(2, lost(device(1)))];
    assert_eq!(world.follow(None, &cursor(2), batch).await, Advance::Moved);
    let listed = async |still: bool, at: u64| {
        let filter = EntryFilter {
            supplier: Some(party("ACME")),
            still,
            ..EntryFilter::default()
        };
        let entries = world.store.list(&filter, at, None, 10).await.unwrap();
        let devices = entries.into_iter().map(|entry| entry.device);
        devices.collect::<Vec<_>>()
    };
    assert_eq!(listed(false, 2).await, [device(1), device(2)]);
    assert_eq!(listed(true, 2).await, [device(2)]);
    assert_eq!(listed(true, 3).await, [device(2)]);
}

/// A replica that comes second with a batch writes nothing.
pub(super) async fn the_cursor_moves_with_the_effects_or_not_at_all(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(id(ESME), 1, None), add()))
        .await;
    let batch = || vec![(2, moved(id(ESME), OTHER_CHF, "south"))];
    let (second, third) = (cursor(2), cursor(3));
    let replicas = (0..4).map(|_| world.follow(None, &second, batch()));
    let outcomes = join_all(replicas).await;
    let moved_by = outcomes
        .iter()
        .filter(|&&one| one == Advance::Moved)
        .count();
    assert_eq!(moved_by, 1);
    assert_eq!(causes(&world).await, [Cause::FlagAdded, Cause::HubReplaced]);
    assert_eq!(
        world.store.devices_cursor().await.unwrap(),
        Some(second.clone())
    );

    let back = vec![(3, moved(id(ESME), CHF, "north"))];
    let stale = world.follow(Some(&third), &third, back.clone()).await;
    assert_eq!(stale, Advance::Stale);
    assert_eq!(world.head().await, 2);
    let step = world.follow(Some(&second), &third, back).await;
    assert_eq!((step, world.head().await), (Advance::Moved, 3));
}

/// The permit was ahead of the follower: its facts are in the entry, and events up to it are none.
pub(super) async fn what_an_entry_knows_already_is_skipped(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(id(ESME), 7, None), add()))
        .await;
    let batch = vec![
        (6, moved(id(ESME), OTHER_CHF, "south")),
        (7, moved(id(ESME), CHF, "north")),
    ];
    assert_eq!(world.follow(None, &cursor(7), batch).await, Advance::Moved);
    assert_eq!(world.head().await, 1);
    let batch = vec![(8, moved(id(ESME), OTHER_CHF, "south"))];
    let step = world.follow(Some(&cursor(7)), &cursor(8), batch).await;
    assert_eq!((step, world.head().await), (Advance::Moved, 2));
}

pub(super) async fn a_permit_that_may_be_out_of_date_is_sent_back(database: &Database) {
    let world = World::open(database).await;
    let ended = Some(at(NOW));
    let answer = world
        .change(command(authority(id(ESME), 3, ended), add()))
        .await;
    assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(3)));

    let _ = world.follow(None, &cursor(5), Vec::new()).await;
    let answer = world
        .change(command(authority(id(ESME), 4, None), add()))
        .await;
    assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(5)));
    assert_eq!(world.head().await, 0);
    world
        .granted(command(authority(id(ESME), 5, None), add()))
        .await;

    // A batch that stands before the change in the same transaction counts as well.
    let (from, to) = (cursor(5), cursor(6));
    let followed = world.follow(Some(&from), &to, Vec::new());
    let change = world.change(command(authority(id(ESME), 6, None), remove()));
    let (step, answer) = tokio::join!(followed, change);
    assert!(step == Advance::Moved && answer.is_ok());
    // Nothing is kept of what was sent back: time may also go on.
    world.clock.set(at(NOW + 1));
    world
        .granted(command(authority(id(ESME), 6, Some(at(NOW + 2))), add()))
        .await;
}

/// Another write was given newer facts and was faster; the follower has seen neither yet.
pub(super) async fn a_permit_older_than_the_entry_is_sent_back(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(id(ESME), 10, None), add()))
        .await;
    let older = command(authority(id(ESME), 8, None), remove());
    let answer = world.change(older).await;
    assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(10)));
    // Of another Device nothing newer is known.
    let other = command(authority(device(1), 8, None), add());
    assert_eq!(world.granted(other).await, 2);
    let renewed = command(authority(id(ESME), 10, None), remove());
    assert_eq!(world.granted(renewed).await, 3);
}

/// A supplier that is registered once more for the same Device asked its consumer long ago.
pub(super) async fn a_supplier_that_goes_on_keeps_its_choices(database: &Database) {
    let world = World::open(database).await;
    let known = authority(id(ESME), 1, None);
    let mut facts = known.facts().clone();
    let registered = facts.registration.as_mut().unwrap();
    facts.responsible_since_time = registered
        .start_time
        .replace(timestamp_to_wire(at(NOW - 1)));
    let known = Authority::from_wire(facts, &position_to_wire(known.position())).unwrap();
    assert_eq!(world.granted(command(known, add())).await, 1);
}

/// What is recorded at an instant is allowed at that instant, whatever the clock says.
pub(super) async fn a_clock_that_goes_back_revives_no_permit(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(device(1), 1, None), add()))
        .await;
    world.clock.set(at(NOW - 10));
    let ended = Some(at(NOW));
    let answer = world
        .change(command(authority(device(2), 1, ended), add()))
        .await;
    assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(1)));
    assert_eq!(world.head().await, 1);
}

/// With a lease that has ended, or will before a COMMIT can be done.
pub(super) async fn a_permit_with_too_little_left_of_its_lease_is_sent_back(database: &Database) {
    let world = World::open(database).await;
    for left in [0, 100, 250].map(Duration::from_millis) {
        let authority = authority(id(ESME), 1, None).leased(Instant::now(), left);
        let answer = world.change(command(authority, add())).await;
        assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(1)));
    }
    assert_eq!(world.head().await, 0);
}

/// It is decided again, and then too little is left.
pub(super) async fn a_permit_whose_lease_ends_on_the_way_to_the_commit_is_sent_back(
    database: &Database,
) {
    let world = World::open(database).await;
    let (asked, lease) = (Instant::now(), Duration::from_secs(1));
    let authority = authority(id(ESME), 1, None).leased(asked, lease);
    let decided = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&decided);
    let slow = command_of(authority, add(), move || {
        count.fetch_add(1, Ordering::SeqCst);
        while asked.elapsed() < lease {
            std::thread::yield_now();
        }
        Ok(())
    });
    let answer = world.change(slow).await;
    assert!(matches!(answer, Err(Declined::AskAgain(p)) if p == position(1)));
    assert_eq!(decided.load(Ordering::SeqCst), 2);
    assert_eq!(world.head().await, 0);
}

pub(super) async fn a_caller_that_is_no_longer_allowed_writes_nothing(database: &Database) {
    let world = World::open(database).await;
    let suspended = command_of(authority(id(ESME), 1, None), add(), || {
        Err(Refusal::PartyNotActive)
    });
    let answer = world.change(suspended).await;
    assert!(matches!(
        answer,
        Err(Declined::Refused(Error::Refused(Refusal::PartyNotActive)))
    ));
    assert_eq!(world.head().await, 0);
}

/// Entries that moved to the hub earlier in the same batch included, those that left it not.
pub(super) async fn a_hub_that_changes_its_csp_takes_its_devices_along(database: &Database) {
    let world = World::open(database).await;
    for number in 1..=4 {
        world
            .granted(command(authority(device(number), 1, None), add()))
            .await;
    }
    let batch = vec![
        (2, moved(device(1), OTHER_CHF, "south")),
        (3, moved(device(2), OTHER_CHF, "south")),
        (4, moved(device(2), CHF, "north")),
        (5, hub_of("central")),
    ];
    assert_eq!(world.follow(None, &cursor(5), batch).await, Advance::Moved);
    let head = world.head().await;
    let filter = EntryFilter {
        csp: Some("central".parse().unwrap()),
        ..EntryFilter::default()
    };
    let moved = world.store.list(&filter, head, None, 10).await.unwrap();
    let moved: Vec<_> = moved.into_iter().map(|entry| entry.device).collect();
    assert_eq!(moved, [device(2), device(3), device(4)]);
    assert_eq!(head, 4 + 3 + 3);
}

/// More rows and keys than one statement takes.
pub(super) async fn thousands_of_events_fit_in_a_batch(database: &Database) {
    const DEVICES: u64 = 2_500;
    let world = World::open(database).await;
    let wishes = (1..=DEVICES).map(|number| {
        let authority = authority(device(number), 1, None);
        world.change(command(authority, add()))
    });
    assert!(join_all(wishes).await.iter().all(Result::is_ok));
    let batch = (1..=DEVICES)
        .map(|number| (number + 1, moved(device(number), OTHER_CHF, "south")))
        // Devices without a history are none of ours.
        .chain([(DEVICES + 2, moved(device(DEVICES + 1), OTHER_CHF, "south"))]);
    let to = cursor(DEVICES + 2);
    let step = world.follow(None, &to, batch.collect()).await;
    assert_eq!((step, world.head().await), (Advance::Moved, 2 * DEVICES));
    assert_eq!(causes(&world).await.len(), 5_000);
    let devices: Vec<_> = (0..=DEVICES + 1).map(device).collect();
    let entries = world.store.entries(&devices, 2 * DEVICES).await.unwrap();
    assert_eq!(entries.len(), 2_500);
    assert!(
        entries
            .values()
            .all(|entry| entry.standing.hub == Some(id(OTHER_CHF)))
    );
}

/// What it rests on is what the entry rested on: the DSP brings no facts of registration.
pub(super) async fn one_prompt_is_written_however_often_it_is_told(database: &Database) {
    let world = World::open(database).await;
    let never = world.store.note(note(id(ESME))).await.unwrap();
    assert!(!never.noted && never.position.is_none());
    world
        .granted(command(authority(id(ESME), 3, None), add()))
        .await;
    let told = join_all((0..20).map(|_| world.store.note(note(id(ESME))))).await;
    let noted: Vec<_> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(noted.iter().filter(|answer| answer.noted).count(), 1);
    let events = events(&world).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].cause(), Cause::ReviewNeeded);
    assert_eq!(events[1].previous, events[1].current);
    let rests_on = events[1].registration_position.clone();
    assert_eq!(rests_on, Some(position_to_wire(&position(3))));
    // A permit that the entry was not older than before is not older than it now.
    world
        .granted(command(authority(id(ESME), 3, None), remove()))
        .await;
}

/// The type of the command refuses it first, and the ledger if that should fail.
pub(super) async fn a_role_alone_writes_nothing_but_prompts(database: &Database) {
    let world = World::open(database).await;
    world
        .granted(command(authority(id(ESME), 1, None), add()))
        .await;
    let request = Request {
        request_id: uuid::Uuid::now_v7().to_string(),
        wish: remove(),
        etag: String::new(),
        validate_only: false,
    };
    let permit = of_the_dsp(id(ESME));
    let refused = ChangeCommand::new(permit.clone(), request, String::new(), Arc::new(|| Ok(())));
    assert!(matches!(refused, Err(Error::Refused(Refusal::Internal))));
    let suspended = Arc::new(|| Err(Refusal::RoleNotPermitted));
    let late = NoteCommand::new(permit.clone(), "1".into(), String::new(), suspended);
    let late = world.store.note(late).await;
    assert!(matches!(
        late,
        Err(Error::Refused(Refusal::RoleNotPermitted))
    ));

    let mut tx = world.store.database().begin_write(at(NOW)).await.unwrap();
    tx.lock(world.store.log()).await.unwrap();
    let mut ledger = Ledger::of(world.store.log(), [], Vec::new());
    ledger.learn(&mut tx, [id(ESME)]).await.unwrap();
    let entry = ledger.entry(id(ESME)).unwrap().clone();
    let asks = prompt(&entry, id(ESME)).unwrap();
    let mut record = |permit, change| {
        let news = Recorded {
            device: id(ESME),
            meter: Meter::Esme,
            change,
            by: None,
            trace_parent: String::new(),
        };
        let authorized = Authorized::Caller(permit);
        ledger.record(&mut tx, &authorized, news).is_ok()
    };
    let lifts = entry.standing.with_flag(false);
    for change in [
        Change::of_facts(Cause::FlagRemoved, lifts.clone(), at(NOW)),
        Change {
            current: lifts,
            ..asks.clone()
        },
        Change {
            given: Some(add().given),
            ..asks.clone()
        },
    ] {
        assert!(!record(permit.clone(), change));
    }
    assert!(
        !record(of_the_dsp(device(1)), asks.clone()),
        "another Device"
    );
    assert!(record(permit, asks));
}
