//! The party directory as a followed log keeps it.

use std::sync::Arc;

use mesh_api::common::v1::{ErrorReason, follow_start::Start};
use mesh_api::registration::v1::{Party, PartyEvent, PartySnapshot, PartyStatus};
use mesh_api::status::{reason_of, refusal};
use mesh_authz::{Directory, Identity};
use mesh_follow::{FollowedLog, follow_directory};
use mesh_testkit::wait_until;
use mesh_types::SystemClock;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::harness::{Chain, OTHER_CSP, Step, csp_party, scripted};

fn event(party: Party) -> Vec<u8> {
    let event = PartyEvent {
        party: Some(party),
        ..PartyEvent::default()
    };
    event.encode_to_vec()
}

/// What the directory says of the organisation with this entity id.
fn verdict(directory: &Directory, party: &Party) -> Option<ErrorReason> {
    let entity = party.identities[0].entity_id.parse().unwrap();
    let resolved = directory.resolve(Identity::Organisation(entity), None);
    resolved
        .err()
        .and_then(|refusal| reason_of(&Status::from(refusal)))
}

async fn becomes(directory: &Directory, party: &Party, expected: Option<ErrorReason>) {
    wait_until("the directory to follow", async || {
        match verdict(directory, party) {
            found if found == expected => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_directory_follows_snapshot_events_and_a_new_history() {
    let active = csp_party(PartyStatus::Active);
    let suspended = csp_party(PartyStatus::Suspended);
    let mut other = active.clone();
    other.party_id = "OTHER-CSP".into();
    other.identities[0].entity_id = OTHER_CSP.into();
    let old = Chain::new(7, [event(active.clone()), event(suspended.clone())]);
    let restored = Chain::new(8, [event(other.clone())]);

    // Each stream waits until the test has seen what the one before brought.
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let told = std::sync::Arc::clone(&seen);
    let parties = (active.clone(), other.clone());
    let (channel, starts) = scripted(move |_, start| {
        let part = |party: &Party| {
            Step::Part(PartySnapshot {
                parties: vec![party.clone()],
            })
        };
        let seen = told.load(std::sync::atomic::Ordering::SeqCst);
        match (seen, start.start.as_ref().unwrap()) {
            (0, Start::Snapshot(_)) => {
                vec![old.hello(), part(&parties.0), old.complete(1, 1)]
            }
            (0, Start::After(_)) => vec![old.hello(), old.checkpoint(1)],
            (1, Start::After(_)) => vec![old.hello(), old.entries([2])],
            (2, Start::After(after)) if after.epoch == 7 => vec![Step::Fail(refusal(
                Code::FailedPrecondition,
                ErrorReason::PositionOfAnotherEpoch,
                "restored",
            ))],
            (2, Start::Snapshot(_)) => {
                vec![
                    restored.hello(),
                    part(&parties.1),
                    restored.complete(1, 1),
                    Step::Hang,
                ]
            }
            _ => vec![Step::Fail(Status::unavailable("not now"))],
        }
    })
    .await;
    let directory = Directory::not_loaded();
    let stop = CancellationToken::new();
    let log = FollowedLog::new("tests", "parties", Arc::new(SystemClock));
    let task = tokio::spawn(follow_directory(
        channel,
        directory.clone(),
        log,
        stop.clone(),
    ));

    let now = |number| seen.store(number, std::sync::atomic::Ordering::SeqCst);
    becomes(&directory, &active, None).await;
    assert_eq!(verdict(&directory, &other), Some(ErrorReason::PartyUnknown));
    now(1);
    becomes(&directory, &active, Some(ErrorReason::PartyNotActive)).await;
    now(2);
    becomes(&directory, &other, None).await;
    // What only the old history knew is forgotten.
    assert_eq!(
        verdict(&directory, &active),
        Some(ErrorReason::PartyUnknown)
    );
    stop.cancel();
    task.await.unwrap();
    assert!(starts.lock().unwrap().len() >= 4);
}
