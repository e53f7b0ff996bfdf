//! How a stream ends that its reader did not end.

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::registration::v1::PartyStatus;
use mesh_api::status::reason_of;
use mesh_follow::{FeedSettings, Start};
use mesh_testkit::{Certificates, LIMIT, certificates};
use mesh_types::Position;
use tonic::{Code, Status};

use crate::harness::{Gate, Got, Reader, TestLog, TestServer, csp_party, item, pem, sequences};

/// Enough that neither windows nor buffers on the way hold it all.
const EVENTS: usize = 250;
const OCTETS: usize = 40_000;

async fn large_log() -> TestLog {
    let log = TestLog::new().await;
    log.append_large(EVENTS, OCTETS).await;
    log
}

async fn from_the_start(server: &TestServer, log: &TestLog) -> Reader {
    let start = Position {
        sequence: 0,
        ..log.head().await
    };
    let mut reader = server.open(Start::After(start)).await.unwrap();
    assert!(matches!(reader.next().await, Got::Hello(_)));
    reader
}

/// Reads to the end: the sequences, and the status if it was not `OK`.
async fn rest(mut reader: Reader) -> (Vec<u64>, Option<Status>) {
    let mut found = Vec::new();
    loop {
        match reader.try_next().await {
            Ok(Some(Got::Entries(entries))) => found.extend(sequences(&entries)),
            Ok(Some(_)) => {}
            Ok(None) => return (found, None),
            Err(status) => return (found, Some(status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_takes_nothing_is_cut_off_and_resumes_without_a_gap() {
    let log = large_log().await;
    let settings = FeedSettings {
        send_timeout: Duration::from_millis(50),
        ..FeedSettings::default()
    };
    let server = TestServer::start_with(&log, settings, Gate::open()).await;
    let reader = from_the_start(&server, &log).await;
    server.live(0).await;
    let (got, status) = rest(reader).await;
    let status = status.expect("a stream that was cut off");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason_of(&status), Some(ErrorReason::ReaderTooSlow));
    let last = *got.last().unwrap();
    assert!(last < EVENTS as u64, "nothing was held back");
    assert_eq!(got, (1..=last).collect::<Vec<_>>());

    let patient = TestServer::start(&log).await;
    let resume = Position {
        sequence: last,
        ..log.head().await
    };
    let mut reader = patient.open(Start::After(resume)).await.unwrap();
    let rest = reader.sequences_until(EVENTS as u64).await;
    assert_eq!(rest, (last + 1..=EVENTS as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_are_stuck_stop_neither_writers_nor_others() {
    let log = large_log().await;
    let server = TestServer::start(&log).await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(from_the_start(&server, &log).await);
    }
    let mut reader = server.open(Start::After(log.head().await)).await.unwrap();
    for number in 0..50 {
        let written = tokio::time::timeout(LIMIT, log.put(&item(number), Some("hub"))).await;
        let sequence = written.expect("a write before the limit");
        assert_eq!(reader.sequences_until(sequence).await, [sequence]);
    }
    server.live(stuck.len() + 1).await;
}

#[tokio::test]
async fn a_server_that_stops_says_where_to_go_on_and_ends_with_ok() {
    let log = TestLog::with_events(4).await;
    let server = TestServer::start(&log).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    reader.sequences_until(4).await;
    server.draining.cancel();
    let got = reader.news().await.unwrap();
    assert!(matches!(got, Some(Got::Draining(Some(4)))), "{got:?}");
    assert!(reader.try_next().await.unwrap().is_none());
    server.live(0).await;
}

#[tokio::test]
async fn a_server_that_stops_within_a_snapshot_names_no_place() {
    let log = TestLog::with_events(30).await;
    let server = TestServer::start_with(&log, FeedSettings::default(), Gate::after(1)).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    assert!(matches!(reader.next().await, Got::Hello(_)));
    assert!(matches!(reader.next().await, Got::Part(_)));
    server.draining.cancel();
    server.gate.let_through(1);
    // The page that was under way may still come.
    let got = match reader.next().await {
        Got::Part(_) => reader.next().await,
        other => other,
    };
    assert!(matches!(got, Got::Draining(None)), "{got:?}");
    assert!(reader.try_next().await.unwrap().is_none());
}

/// One authority follows another: first both are trusted, then the new one alone.
#[tokio::test]
async fn a_reader_whose_authority_leaves_is_told_where_to_resume_and_loses_nothing() {
    let log = TestLog::with_events(4).await;
    let server = TestServer::start(&log).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    reader.sequences_until(4).await;
    let next = Certificates::new("Next CA");
    let both = format!("{}{}", certificates().trust_pem(), next.trust_pem());
    let issued = next.internal("csp-notification");
    server.tls.replace(pem(&issued, &both)).unwrap();
    log.put(&item(4), Some("hub")).await;
    reader.sequences_until(5).await;

    server.tls.replace(pem(&issued, next.trust_pem())).unwrap();
    let got = reader.news().await.unwrap();
    assert!(matches!(got, Some(Got::Draining(Some(5)))), "{got:?}");
    assert!(reader.try_next().await.unwrap().is_none(), "a good end");
    assert!(server.open(Start::Snapshot).await.is_err(), "the old one");

    log.put(&item(5), Some("hub")).await;
    let resume = Position {
        sequence: 5,
        ..log.head().await
    };
    let resumed = server.open_with(&next, Start::After(resume)).await;
    assert_eq!(resumed.unwrap().sequences_until(6).await, [6]);
}

#[tokio::test]
async fn a_party_that_is_suspended_is_sent_nothing_more() {
    let log = TestLog::with_events(4).await;
    let server = TestServer::start(&log).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    reader.sequences_until(4).await;
    let suspended = csp_party(PartyStatus::Suspended);
    server.directory.apply(&[suspended]).unwrap();
    log.put(&item(0), None).await;
    let status = reader.news().await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&status), Some(ErrorReason::PartyNotActive));
}

#[tokio::test]
async fn a_reader_that_is_stuck_loses_its_right_all_the_same() {
    let log = large_log().await;
    let server = TestServer::start(&log).await;
    let reader = from_the_start(&server, &log).await;
    server.live(1).await;
    server.directory.load(&[]).unwrap();
    server.live(0).await;
    let (got, status) = rest(reader).await;
    assert!(got.len() < EVENTS);
    assert_eq!(reason_of(&status.unwrap()), Some(ErrorReason::PartyUnknown));
}

#[tokio::test]
async fn a_stream_that_breaks_does_not_end_with_ok() {
    let log = TestLog::with_events(30).await;
    let server = TestServer::start_with(&log, FeedSettings::default(), Gate::after(1)).await;
    let mut reader = server.open(Start::Snapshot).await.unwrap();
    assert!(matches!(reader.next().await, Got::Hello(_)));
    assert!(matches!(reader.next().await, Got::Part(_)));
    server.gate.break_it();
    let status = reader.try_next().await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(reason_of(&status), Some(ErrorReason::Internal));
}
