//! A database that cannot be written to: nothing is lost, and nothing that has to be on record goes on.

use mesh_api::audit::v1::ServiceChange;
use mesh_audit::Settings;
use mesh_audit::testing::{refuse_events, refuse_events_with, take_events};
use mesh_rpc::audit::{Answer, NotOnRecord};
use mesh_testkit::wait_until;

use crate::world::{ADD, REMOVE, World, calls, changes, counted, entry, patient};

#[tokio::test]
async fn while_nothing_can_be_written_calls_are_refused_and_afterwards_nothing_is_missing() {
    let world = World::start(patient()).await;
    let first = world.journal.enter(entry(ADD));
    world.journal.on_disk(first).await.unwrap();
    refuse_events(&world.path()).await;

    assert!(world.journal.admit().is_none(), "nobody knows it yet");
    let under_way = world.journal.enter(entry(ADD));
    assert_eq!(world.journal.on_disk(under_way).await, Err(NotOnRecord));
    assert!(!world.audit.is_writing());
    assert_eq!(world.journal.admit().unwrap().await, Err(NotOnRecord));
    // Calls that were under way, and those that are counted.
    world.journal.enter(entry(ADD));
    world.journal.count(counted(ADD, Answer::OK), 5, 0);

    take_events(&world.path()).await;
    wait_until("it is written again", async || {
        if world.audit.is_writing() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert!(world.journal.admit().is_none());
    let last = world.journal.enter(entry(ADD));
    world.journal.on_disk(last).await.unwrap();
    let records = world.stop().await;
    assert_eq!(calls(&records).len(), 4, "each once");
    let [started, resumed, stopped] = changes(&records)[..] else {
        panic!("{records:?}");
    };
    assert_eq!(started, ServiceChange::Started);
    assert_eq!(resumed, ServiceChange::RecordingResumed);
    assert_eq!(stopped, ServiceChange::Stopped);
}

#[tokio::test]
async fn calls_wait_for_room_and_begin_when_there_is_some() {
    let settings = Settings {
        most_waiting: 10,
        ..patient()
    };
    let world = World::start(settings).await;
    while world.journal.admit().is_none() {
        world.journal.enter(entry(ADD));
    }
    let waits = world.journal.admit().unwrap();
    let waits = tokio::spawn(waits);
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    let last = world.journal.enter(entry(ADD));
    world.journal.on_disk(last).await.unwrap();
    assert_eq!(waits.await.unwrap(), Ok(()));
}

/// STOPPED says that nothing is missing before it.
#[tokio::test]
async fn a_service_that_stops_with_calls_that_are_not_on_record_does_not_say_that_it_stopped() {
    let world = World::start(patient()).await;
    let first = world.journal.enter(entry(ADD));
    world.journal.on_disk(first).await.unwrap();
    // Of whatever tells of this call, and of nothing else.
    refuse_events_with(&world.path(), "RemoveFlag").await;
    let lost = world.journal.enter(entry(REMOVE));
    assert_eq!(world.journal.on_disk(lost).await, Err(NotOnRecord));
    let records = world.stop().await;
    assert_eq!(calls(&records).len(), 1, "{records:?}");
    assert_eq!(changes(&records), [ServiceChange::Started]);
}
