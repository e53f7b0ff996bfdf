//! What is handed over is on record, once.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::audit::v1::ServiceChange;
use mesh_api::audit::v1::audit_record::Record;
use mesh_api::common::v1::ErrorReason;
use mesh_audit::Settings;
use mesh_authz::Identity;
use mesh_rpc::audit::{Answer, Counted, Part};
use mesh_types::DeviceId;
use tonic::Code;

use crate::world::{ADD, World, calls, changes, counted, entry, patient};

const DEVICE: &str = "00-DB-12-34-56-78-90-A0";

#[tokio::test]
async fn a_call_is_on_record_as_it_was_and_its_device_under_a_pseudonym() {
    let world = World::start(patient()).await;
    let device: DeviceId = DEVICE.parse().unwrap();
    let mut call = entry(ADD);
    call.answer = Answer {
        code: Code::FailedPrecondition,
        reason: Some(ErrorReason::PreconditionsNotMet),
    };
    call.noted.devices = vec![device];
    call.trace = Some([7; 16]);
    let ticket = world.journal.enter(call);
    world.journal.on_disk(ticket).await.unwrap();
    let (path, _folder) = (world.path(), Arc::clone(&world.folder));
    let records = world.stop().await;
    let call = calls(&records)[0];
    assert_eq!(call.rpc, ADD);
    assert_eq!(call.caller.as_ref().unwrap().internal_role, "dsp");
    assert_eq!(
        (call.code, call.reason()),
        (9, ErrorReason::PreconditionsNotMet)
    );
    assert_eq!(call.trace_id, [7; 16]);
    assert_eq!(call.device_pseudonyms.len(), 1);
    // The id stands nowhere in the file, in no spelling.
    let octets = std::fs::read(path).unwrap();
    for id in [DEVICE.as_bytes(), &device.eui64().octets()] {
        let found = octets.windows(id.len()).any(|part| part == id);
        assert!(!found, "{id:?}");
    }
}

#[tokio::test]
async fn whoever_waits_for_the_disk_makes_all_that_waits_written_together() {
    let world = World::start(patient()).await;
    for _ in 0..1_000 {
        world.journal.enter(entry(ADD));
    }
    let last = world.journal.enter(entry(ADD));
    world.journal.on_disk(last).await.unwrap();
    let records = world.stop().await;
    assert_eq!(calls(&records).len(), 1_001);
}

#[tokio::test]
async fn a_record_is_written_soon_when_nobody_waits_for_it() {
    let settings = Settings {
        linger: Duration::from_millis(1),
        ..patient()
    };
    let world = World::start(settings).await;
    let ticket = world.journal.enter(entry(ADD));
    // Asks for nothing to be hurried: it only looks.
    mesh_testkit::wait_until("the record is on disk", async || {
        match world.audit.written() > ticket.0 {
            true => Ok(()),
            false => Err("not yet"),
        }
    })
    .await;
}

#[tokio::test]
async fn counts_add_up_over_restarts() {
    let mut world = World::start(patient()).await;
    let refused = Answer {
        code: Code::Unauthenticated,
        reason: Some(ErrorReason::CertificateMissing),
    };
    for round in 1..=3_u64 {
        for _ in 0..round * 100 {
            world.journal.count(counted(ADD, Answer::OK), 1, 2);
            let nobody: Option<Identity> = None;
            let what = Counted {
                identity: nobody,
                rpc: "",
                answer: refused,
            };
            world.journal.count(what, 1, 0);
        }
        world = world.restart(patient()).await;
    }
    let records = world.stop().await;
    let mut sums = [(0, 0), (0, 0)];
    for record in &records {
        if let Record::Count(count) = record {
            let known = count.caller.is_some();
            assert_eq!(known, count.rpc == ADD);
            assert_eq!(known, count.code == 0);
            let sum = &mut sums[usize::from(known)];
            *sum = (sum.0 + count.calls, sum.1 + count.messages_sent);
        }
    }
    assert_eq!(sums, [(600, 0), (600, 1_200)]);
    let turns = [ServiceChange::Started, ServiceChange::Stopped];
    assert_eq!(changes(&records), [turns; 4].concat());
}

#[tokio::test]
async fn ten_thousand_calls_of_a_kind_are_one_record() {
    let world = World::start(patient()).await;
    let refused = Answer {
        code: Code::Unauthenticated,
        reason: Some(ErrorReason::CertificateMissing),
    };
    for _ in 0..10_000 {
        world.journal.count(counted(ADD, refused), 1, 0);
    }
    let records = world.stop().await;
    assert_eq!(records.len(), 3, "a start, a count and an end: {records:?}");
}

#[tokio::test]
async fn a_stream_is_on_record_at_both_ends() {
    let world = World::start(patient()).await;
    let mut ended = entry(ADD);
    ended.part = Part::StreamEnded {
        messages: 3,
        octets: 70,
    };
    let mut started = entry(ADD);
    started.part = Part::StreamStarted;
    world.journal.enter(started);
    world.journal.enter(ended);
    let records = world.stop().await;
    let calls = calls(&records);
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[1].messages_sent, calls[1].octets_sent), (3, 70));
}

#[tokio::test]
async fn large_records_make_several_events() {
    let world = World::start(patient()).await;
    let device: DeviceId = DEVICE.parse().unwrap();
    for _ in 0..50 {
        let mut call = entry(ADD);
        call.noted.devices = vec![device; 1_000];
        world.journal.enter(call);
    }
    let records = world.stop().await;
    assert_eq!(calls(&records).len(), 50);
}

/// What an operator reckons with: `docs/adr/2026-11-28-the-audit-is-a-log-of-its-own.md` says so.
#[tokio::test]
async fn a_record_of_a_change_takes_less_than_two_hundred_octets() {
    const CALLS: u64 = 20_000;
    let world = World::start(patient()).await;
    let (path, _folder) = (world.path(), Arc::clone(&world.folder));
    for _ in 0..CALLS {
        let mut call = entry(ADD);
        let entity = "90-B3-D5-1F-30-00-00-02".parse().unwrap();
        call.identity = Identity::Organisation(entity);
        call.noted.claims_to_act_for = Some(entity);
        call.noted.devices = vec![DEVICE.parse().unwrap()];
        call.trace = Some([7; 16]);
        world.journal.enter(call);
    }
    assert_eq!(calls(&world.stop().await).len(), 20_000);
    let octets = std::fs::metadata(path).unwrap().len() / CALLS;
    assert!((100..200).contains(&octets), "{octets}");
}
