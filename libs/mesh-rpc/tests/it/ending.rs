//! How open connections end once a certificate on them ends or its authority is trusted no more, and
//! what their calls are told first.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_pki::Issued;
use mesh_rpc::{HandshakeOutcome, Tls, TlsFiles, TlsPem};
use mesh_testkit::{Certificates, LIMIT, certificates, other_certificates, temp_dir, wait_until};
use mesh_types::{Clock as _, ManualClock, SystemClock};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::harness::{Ask, STREAM, TestServer, UNARY, pem, tls};

/// Longer than the certificates of tests are in force.
const STEP: Duration = Duration::from_hours(2);

fn report() -> Ask {
    Ask::new(UNARY, "report")
}

async fn stream(server: &TestServer, tls: &Tls, behaviour: &'static str) -> Streaming<Vec<u8>> {
    let ask = Ask::new(STREAM, behaviour);
    let mut stream = ask.stream(server.channel_with(tls.clone())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), b"first");
    stream
}

async fn end(stream: &mut Streaming<Vec<u8>>) -> Result<Option<Vec<u8>>, Status> {
    timeout(LIMIT, stream.message()).await.unwrap()
}

/// One that watches its connection says its own last word; one that does not gets a status.
async fn are_told(watching: &mut Streaming<Vec<u8>>, other: &mut Streaming<Vec<u8>>) {
    assert_eq!(end(watching).await.unwrap(), None, "a good end");
    let status = end(other).await.unwrap_err();
    let told = (status.code(), reason_of(&status));
    assert_eq!(told, (Code::Unavailable, Some(ErrorReason::Draining)));
}

/// A clock that is set, or a machine that slept: the timer of the handshake would run for an hour.
#[tokio::test]
async fn a_certificate_that_ended_across_a_clock_step_ends_its_connections() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let own = pem(&certificates().internal("flag-registry"));
    let own = Tls::by_clock(own, clock.clone()).unwrap();
    let server = TestServer::start_with(|options| options.tls = own.clone()).await;
    let caller = tls(&certificates().internal("dsp"));
    let mut watching = stream(&server, &caller, "until ending").await;
    let mut other = stream(&server, &caller, "for ever").await;
    let channel = server.channel_with(caller.clone());
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await });
    wait_until("the call to be in its handler", async || {
        match server.handlers.waiting() {
            1 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    clock.advance(STEP);
    are_told(&mut watching, &mut other).await;
    let status = timeout(LIMIT, call).await.unwrap().unwrap().unwrap_err();
    assert_eq!(reason_of(&status), Some(ErrorReason::Draining), "{status}");
    assert!(report().unary(server.channel_with(caller)).await.is_err());
    let refused = own.handshakes().get(HandshakeOutcome::Expired);
    assert!(refused >= 1, "new ones are judged by the same clock");
}

#[tokio::test]
async fn a_client_leaves_a_service_whose_certificate_ended_across_a_clock_step() {
    let server = TestServer::start().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let own = pem(&certificates().internal("dsp"));
    let client = Tls::by_clock(own, clock.clone()).unwrap();
    let mut open = stream(&server, &client, "for ever").await;
    clock.advance(STEP);
    assert!(end(&mut open).await.is_err());
    assert!(report().unary(server.channel_with(client)).await.is_err());
}

/// The service's own certificate ends first: its clients would cut the connection at that moment, so
/// the service tells its streams before.
#[tokio::test]
async fn a_service_tells_its_streams_before_its_own_certificate_ends() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let long = mesh_pki::Validity::starting_now(&SystemClock, STEP * 2);
    let caller = certificates().ca().issue_internal("dsp", &[], long);
    let own = pem(&certificates().internal("flag-registry"));
    let own = Tls::by_clock(own, clock.clone()).unwrap();
    let server = TestServer::start_with(|options| options.tls = own).await;
    let caller = tls(&caller.unwrap());
    let mut watching = stream(&server, &caller, "until ending").await;
    let mut other = stream(&server, &caller, "for ever").await;
    clock.advance(STEP);
    are_told(&mut watching, &mut other).await;
}

fn trusting(issued: &Issued, trust: &str) -> TlsPem {
    TlsPem {
        trust: trust.to_owned(),
        ..pem(issued)
    }
}

/// Both have the same name, as an authority has that got a new key.
fn two_authorities() -> (&'static Certificates, &'static Certificates, String) {
    let (old, next) = (certificates(), other_certificates());
    let both = format!("{}{}", old.trust_pem(), next.trust_pem());
    (old, next, both)
}

#[tokio::test]
async fn an_authority_that_left_the_trust_file_takes_its_connections_along() {
    let (old, next, both) = two_authorities();
    let folder = temp_dir();
    let paths = next.internal("flag-registry");
    let paths = paths.write_to(folder.path(), "server").unwrap();
    let trust = folder.path().join("trust.pem");
    std::fs::write(&trust, &both).unwrap();
    let own = Tls::from_files(TlsFiles {
        certificate: paths.certificate,
        key: paths.key,
        trust: trust.clone(),
        denied: None,
        crls: Vec::new(),
    });
    let own = own.unwrap();
    let in_use = own.clone();
    let server = TestServer::start_with(|options| options.tls = in_use).await;
    let [by_old, by_next] = [old, next]
        .map(|authority| Tls::from_pem(trusting(&authority.internal("dsp"), &both)).unwrap());
    let mut watching = stream(&server, &by_old, "until ending").await;
    let mut other = stream(&server, &by_old, "for ever").await;
    let kept_channel = server.channel_with(by_next.clone());
    let ask = Ask::new(STREAM, "for ever");
    let mut kept = ask.stream(kept_channel.clone()).await.unwrap();
    kept.message().await.unwrap().unwrap();

    std::fs::write(&trust, next.trust_pem()).unwrap();
    are_told(&mut watching, &mut other).await;
    assert!(report().unary(server.channel_with(by_old)).await.is_err());
    let accepted = own.handshakes().get(HandshakeOutcome::Accepted);
    report().unary(kept_channel).await.unwrap();
    let now = own.handshakes().get(HandshakeOutcome::Accepted);
    assert_eq!(now, accepted, "the others' connections last");
    let pending = futures::FutureExt::now_or_never(kept.message());
    assert!(pending.is_none(), "{pending:?}");
}

/// At a change of authority the connection may be older than what its service shows now.
#[tokio::test]
async fn a_call_that_runs_comes_to_its_end_though_the_authority_of_its_service_leaves() {
    let (_, next, both) = two_authorities();
    let server = TestServer::start().await;
    let old = pem(&certificates().internal("flag-registry"));
    let trust = both.clone();
    server.tls.replace(TlsPem { trust, ..old }).unwrap();
    let issued = next.internal("dsp");
    let client = Tls::from_pem(trusting(&issued, &both)).unwrap();
    let channel = server.channel_with(client.clone());
    let running = channel.clone();
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(running).await });
    wait_until("the call to be in its handler", async || {
        match server.handlers.waiting() {
            1 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    let renewed = trusting(&next.internal("flag-registry"), &both);
    server.tls.replace(renewed).unwrap();
    client.replace(trusting(&issued, next.trust_pem())).unwrap();
    report().unary(channel).await.unwrap();
    server.handlers.open_gate(1);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_call_fails_while_a_certificate_of_the_service_ends_that_was_replaced() {
    let now = SystemClock.now();
    let end = now.saturating_add(Duration::from_secs(5));
    let short = mesh_pki::Validity::between(now, end);
    let own = certificates().ca();
    let own = own.issue_internal("flag-registry", &["flag-registry"], short);
    let own = Tls::from_pem(pem(&own.unwrap())).unwrap();
    let in_use = own.clone();
    let server = TestServer::start_with(|options| options.tls = in_use).await;
    let channel = server.channel("dsp");
    report().unary(channel.clone()).await.unwrap();
    own.replace(pem(&certificates().internal("flag-registry")))
        .unwrap();
    while SystemClock.now() <= end.saturating_add(Duration::from_secs(1)) {
        report().unary(channel.clone()).await.unwrap();
    }
    let handshakes = own.handshakes().get(HandshakeOutcome::Accepted);
    assert_eq!(handshakes, 2, "one with each certificate");
}

#[tokio::test]
async fn a_client_leaves_a_service_whose_authority_left() {
    let (_, next, both) = two_authorities();
    let server = TestServer::start().await;
    let shown = pem(&certificates().internal("flag-registry"));
    server
        .tls
        .replace(TlsPem {
            trust: both.clone(),
            ..shown
        })
        .unwrap();
    let issued = next.internal("dsp");
    let client = Tls::from_pem(trusting(&issued, &both)).unwrap();
    let mut open = stream(&server, &client, "for ever").await;
    client.replace(trusting(&issued, next.trust_pem())).unwrap();
    assert!(end(&mut open).await.is_err());
    let refused = report().unary(server.channel_with(client)).await;
    assert!(refused.is_err(), "{refused:?}");
}
