//! Whose clock is heard, and what it is heard to show.

use std::sync::Arc;
use std::time::Instant;

use mesh_rpc::{ClientOptions, MeshChannel, TIME, connect};
use mesh_testkit::certificates;
use mesh_types::{Clock, EntityId, Eui64, ManualClock, SystemClock, Timestamp, WatchedClock};

use crate::harness::{Ask, SERVICE, TestServer, UNARY, tls};

const DAY: i64 = 86_400 * 1_000_000;
/// Far more than a call of these tests takes.
const MOMENT: i64 = 60 * 1_000_000;

/// A clock that is watched and stands that many microseconds ahead of the machine's.
fn ahead(by: i64) -> Arc<dyn Clock> {
    let shows = Timestamp::from_micros(SystemClock.now().micros() + by);
    let began = Instant::now();
    let clock = WatchedClock::new(Arc::new(ManualClock::new(shows)), move || began.elapsed());
    Arc::new(clock)
}

fn heard(clock: &Arc<dyn Clock>) -> Vec<(&'static str, i64)> {
    let peers = clock.watch().unwrap().peers(clock.now());
    let peers = peers.into_iter();
    peers.map(|(peer, clock)| (peer, clock.ahead)).collect()
}

fn channel(server: &TestServer, role: &str, clock: Arc<dyn Clock>) -> MeshChannel {
    let tls = tls(&certificates().internal(role));
    let options = ClientOptions::new(SERVICE, server.address.to_string(), tls);
    connect(options.with_clock(clock))
}

#[tokio::test]
async fn a_call_tells_each_service_the_others_time() {
    let clock = ahead(0);
    let own = clock.clone();
    let server = TestServer::start_with(|options| options.clock = own).await;
    let callers = ahead(2 * DAY);
    let ask = Ask::new(UNARY, "report");
    let answer = ask.unary(channel(&server, "classification", callers.clone()));
    let answer = String::from_utf8(answer.await.unwrap()).unwrap();
    assert!(!answer.contains(TIME), "not for handlers: {answer}");
    for (told, peer, expected) in [
        (heard(&clock), "classification", -2 * DAY),
        (heard(&callers), "flag-registry", 2 * DAY),
    ] {
        let [(named, ahead)] = told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(named, peer);
        assert!((ahead - expected).abs() < MOMENT, "{peer}: {ahead}");
    }
}

#[tokio::test]
async fn nobody_else_is_heard() {
    let clock = ahead(0);
    let own = clock.clone();
    let server = TestServer::start_with(|options| options.clock = own).await;
    let entity = EntityId::new(Eui64::from_u64(0x90B3_D51F_3000_0002));
    let supplier = certificates().organisation(entity);
    let later = (SystemClock.now().micros() + DAY).to_string();
    let ask = Ask::new(UNARY, "echo").header(TIME, format!("{later};vouched"));
    ask.unary(server.foreign(Some(&supplier))).await.unwrap();
    for role in ["operator", "dsp"] {
        let caller = channel(&server, role, ahead(DAY));
        Ask::new(UNARY, "echo").unary(caller).await.unwrap();
    }
    assert_eq!(heard(&clock), []);
    let answered = channel(&server, "reporting", ahead(0));
    Ask::new(UNARY, "echo").unary(answered).await.unwrap();
    assert_eq!(heard(&clock).len(), 1, "a service is");
}

/// What is not a time does no harm.
#[tokio::test]
async fn a_time_that_makes_no_sense_is_not_taken() {
    let clock = ahead(0);
    let own = clock.clone();
    let server = TestServer::start_with(|options| options.clock = own).await;
    let issued = certificates().internal("reporting");
    for nonsense in ["", "-1", "soon", "99999999999999999999"] {
        let ask = Ask::new(UNARY, "echo").header(TIME, nonsense);
        ask.unary(server.foreign(Some(&issued))).await.unwrap();
    }
    let far = Ask::new(UNARY, "echo").header(TIME, i64::MAX.to_string());
    far.unary(server.foreign(Some(&issued))).await.unwrap();
    assert_eq!(heard(&clock).len(), 1, "a time, if an odd one");
    assert_eq!(clock.doubt(), None);
}
