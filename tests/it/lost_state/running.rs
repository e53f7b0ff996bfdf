//! The file of a database goes away while its service runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use mesh_testkit::wait_until;
use mp169::load::load;
use mp169::sample::{self, CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;
use crate::mesh::a_year_ago;
use crate::tape::Tape;

/// How many suppliers' clerks write at the same time.
const WRITERS: u16 = 4;
/// How many writes are acknowledged before the file goes away.
const BEFORE: usize = 5;

/// 224 writes were acknowledged into a file that was deleted, and gone at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_into_a_registry_that_was_deleted() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    let database = town.database(Service::FlagRegistry);
    let (acknowledged, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
    let writer = async |first: u16| {
        let mut events = Vec::new();
        for home in (7 + first..47).step_by(WRITERS.into()).map(Home::new) {
            let late = gone.load(Ordering::SeqCst);
            if let Ok((position, _)) = town.try_set(home).await {
                assert!(!late, "acknowledged into a file that is gone: {home:?}");
                acknowledged.fetch_add(1, Ordering::SeqCst);
                events.push((position.sequence, home.esme().to_string()));
            }
        }
        events
    };
    let deleted = async {
        wait_until("some writes", async || {
            let done = acknowledged.load(Ordering::SeqCst);
            if done >= BEFORE { Ok(()) } else { Err(done) }
        })
        .await;
        let away = database.take_away();
        gone.store(true, Ordering::SeqCst);
        away
    };
    let (events, away) = tokio::join!(join_all((0..WRITERS).map(writer)), deleted);
    // The writers may have been done by then.
    let late = town.try_set(Home::new(47)).await;
    assert!(late.is_err(), "acknowledged into a file that is gone");
    town.fails(Service::FlagRegistry, "file-gone").await;

    town.stop(Service::FlagRegistry).await;
    std::fs::rename(away, database.path()).unwrap();
    town.start_service(Service::FlagRegistry).await;
    town.set([47]).await;
    all_agree(town.folder(), &csps).await;
    let head = crate::downstream::heads(town.folder()).await.0.sequence;
    let log = Tape::of_flags(town.folder()).up_to(head).await;
    let events = events.into_iter().flatten();
    for (sequence, device) in events {
        let event = &log[usize::try_from(sequence).unwrap() - 1];
        assert_eq!(event.device_id, device, "what was acknowledged is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_deleted_under_its_service_is_told_whichever_it_is() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    for service in [
        Service::Registration,
        Service::CspNotification,
        Service::Reporting,
    ] {
        let database = town.database(service);
        let away = database.take_away();
        match service {
            Service::Registration => {
                let more = sample::rows(a_year_ago()).unwrap();
                let loaded = load(town.folder(), more, |_| {}).await;
                assert!(loaded.is_err() || loaded.unwrap().recorded == 0);
            }
            // It cannot take over what is set now, and each CSP has to learn that.
            Service::CspNotification => {
                town.set([17, 18]).await;
                never_silent(&csps, &town.changes()).await;
            }
            _ => town.set([19, 20]).await,
        }
        town.fails(service, "file-gone").await;
        town.stop(service).await;
        std::fs::rename(away, database.path()).unwrap();
        town.start_service(service).await;
    }
    town.set([21, 22]).await;
    all_agree(town.folder(), &csps).await;
    never_silent(&csps, &town.changes()).await;
}
