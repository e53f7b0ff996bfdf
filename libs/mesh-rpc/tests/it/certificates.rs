//! Who gets in, and as whom; certificates that are exchanged and certificates that end.

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_pki::{Issued, Profile, Validity, spiffe_uri};
use mesh_rpc::{CertificateId, HandshakeOutcome, Tls, TlsFiles, TlsPem};
use mesh_testkit::{LIMIT, certificates, other_certificates, temp_dir, wait_until};
use mesh_types::{Clock as _, EntityId, Eui64, SystemClock};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Ask, STREAM, TestServer, UNARY, pem, tls};

fn report() -> Ask {
    Ask::new(UNARY, "report")
}

#[tokio::test]
async fn the_certificate_says_who_calls() {
    let server = TestServer::start().await;
    let entity = EntityId::new(Eui64::from_u64(0x90B3_D51F_3000_0002));
    let supplier = tls(&certificates().organisation(entity));
    for (channel, identity) in [
        (server.channel("operator"), "Internal(Operator)"),
        (
            server.channel_with(supplier),
            "Organisation(90-B3-D5-1F-30-00-00-02)",
        ),
    ] {
        let answer = report().unary(channel).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.contains(&format!("identity=Some({identity})")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_identity_claimed_in_metadata_does_not_reach_the_handler() {
    let server = TestServer::start().await;
    let ask = report()
        .header(
            "x-forwarded-client-cert",
            "URI=spiffe://mp169.example/operator",
        )
        .header("x-mp169-identity", "operator")
        .header("mp169-on-behalf-of", "90-B3-D5-1F-30-00-00-02")
        .header("traceparent", "rubbish");
    let answer = ask.unary(server.channel("dsp")).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("identity=Some(Internal(Dsp))"), "{answer}");
    assert!(answer.contains("mp169-on-behalf-of: 90-B3"), "{answer}");
    assert!(!answer.contains("x-"), "{answer}");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_answered_properly() {
    let server = TestServer::start().await;
    let status = report().unary(server.foreign(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason_of(&status), Some(ErrorReason::CertificateMissing));
    assert_eq!(server.handlers.called(), 0);
    assert_eq!(server.tls.handshakes().get(HandshakeOutcome::Accepted), 1);
    let mut health = HealthClient::new(server.foreign(None));
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_trusted_certificate_with_no_or_two_identities_is_refused_with_its_reason() {
    let server = TestServer::start().await;
    let operator = spiffe_uri("operator");
    for uris in [
        vec![],
        vec![operator.clone(), spiffe_uri("dsp")],
        vec!["spiffe://elsewhere.example/operator".to_owned()],
        vec![spiffe_uri("nobody")],
    ] {
        let profile = Profile {
            uris,
            ..Profile::default()
        };
        let issued = certificates().issue(&profile);
        let refused = report().unary(server.foreign(Some(&issued))).await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{profile:?}");
        let reason = Some(ErrorReason::IdentityNotRecognised);
        assert_eq!(reason_of(&status), reason, "{profile:?}");
    }
    assert_eq!(
        (server.authorize.judged(), server.handlers.called()),
        (0, 0)
    );
}

/// Each of them may cost the check of a signature, on both sides.
#[tokio::test]
async fn a_peer_may_show_four_certificates_beside_its_own() {
    let server = TestServer::start().await;
    let with_others = |role: &str, others: usize| {
        let mut pem = pem(&certificates().internal(role));
        pem.certificate += &other_certificates().trust_pem().repeat(others);
        pem
    };
    let caller = |others| server.channel_with(Tls::from_pem(with_others("dsp", others)).unwrap());
    report().unary(caller(4)).await.unwrap();
    let status = report().unary(caller(5)).await.unwrap_err();
    let refused = server.tls.handshakes().get(HandshakeOutcome::Other);
    assert!(refused >= 1, "{status}");
    for (others, is_taken) in [(4, true), (5, false)] {
        server
            .tls
            .replace(with_others("flag-registry", others))
            .unwrap();
        let answer = report().unary(server.channel("dsp")).await;
        assert_eq!(answer.is_ok(), is_taken, "{others}: {answer:?}");
    }
}

#[tokio::test]
async fn other_authorities_and_times_fail_the_handshake_and_are_counted_by_cause() {
    let server = TestServer::start().await;
    let stranger = other_certificates().internal("operator");
    let early = certificates().not_yet_valid("operator");
    let late = certificates().expired("operator");
    for (issued, outcome) in [
        (stranger, HandshakeOutcome::UnknownAuthority),
        (early, HandshakeOutcome::NotYetValid),
        (late, HandshakeOutcome::Expired),
    ] {
        let mine = report().unary(server.channel_with(tls(&issued))).await;
        assert!(mine.is_err(), "{outcome:?}");
        let foreign = report().unary(server.foreign(Some(&issued))).await;
        assert!(foreign.is_err(), "{outcome:?}");
        wait_until("two failures to be counted", async || {
            let count = server.tls.handshakes().get(outcome);
            if count >= 2 {
                Ok(())
            } else {
                Err(format!("{outcome:?}: {count}"))
            }
        })
        .await;
    }
    assert_eq!(server.tls.handshakes().get(HandshakeOutcome::Accepted), 0);
    let plain = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    drop(plain);
    wait_until("a connection without TLS to be counted", async || {
        let count = server.tls.handshakes().get(HandshakeOutcome::Other);
        if count == 1 { Ok(()) } else { Err(count) }
    })
    .await;
}

#[tokio::test]
async fn a_client_takes_only_the_service_it_meant() {
    let server = TestServer::start().await;
    let entity = EntityId::new(Eui64::from_u64(1));
    let named_like_it = Profile {
        entities: vec![entity],
        organisational_unit: Some("02".to_owned()),
        names: vec!["flag-registry".to_owned()],
        ..Profile::default()
    };
    let another_role = Profile {
        uris: vec![spiffe_uri("reporting")],
        names: vec!["flag-registry".to_owned()],
        ..Profile::default()
    };
    for issued in [
        certificates().internal("reporting"),
        certificates().issue(&named_like_it),
        certificates().issue(&another_role),
        certificates().expired("flag-registry"),
        other_certificates().internal("flag-registry"),
    ] {
        server.tls.replace(pem(&issued)).unwrap();
        let status = report().unary(server.channel("dsp")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    let right = certificates().internal("flag-registry");
    server.tls.replace(pem(&right)).unwrap();
    report().unary(server.channel("dsp")).await.unwrap();
}

fn write(folder: &std::path::Path, issued: &Issued) -> TlsFiles {
    let paths = issued.write_to(folder, "server").unwrap();
    certificates().ca().write_to(folder).unwrap();
    TlsFiles {
        certificate: paths.certificate,
        key: paths.key,
        trust: folder.join(mesh_pki::CA_CERTIFICATE_FILE),
        denied: None,
        crls: Vec::new(),
    }
}

#[tokio::test]
async fn new_files_are_used_and_bad_ones_keep_the_last_good_ones() {
    let folder = temp_dir();
    let first = certificates().internal("flag-registry");
    let files = write(folder.path(), &first);
    let tls = Tls::from_files(files.clone()).unwrap();
    let in_use = tls.clone();
    let server = TestServer::start_with(|options| options.tls = in_use).await;
    let channel = server.channel("dsp");
    report().unary(channel.clone()).await.unwrap();

    std::fs::write(&files.key, "half a ke").unwrap();
    wait_until("the bad key to be noticed", async || {
        let refused = tls.refused_reloads();
        if refused > 0 { Ok(()) } else { Err(refused) }
    })
    .await;
    assert_eq!(tls.generation(), 0);
    report().unary(server.channel("dsp")).await.unwrap();
    for _ in 0..3 {
        assert!(tls.reload().is_err());
    }
    assert_eq!(tls.refused_reloads(), 1, "one trouble is one alarm");
    let refused = tls.status().unwrap().last_refused.unwrap();
    assert_eq!((refused.files, refused.persists), ("certificate", true));
    assert!(refused.problem.contains("key file"), "{refused:?}");

    let second = certificates().internal("flag-registry");
    std::fs::write(&files.certificate, second.certificate_pem()).unwrap();
    std::fs::write(&files.key, second.key_pem()).unwrap();
    wait_until("the new certificate to be in use", async || {
        let generation = tls.generation();
        if generation == 1 {
            Ok(())
        } else {
            Err(generation)
        }
    })
    .await;
    report().unary(server.channel("dsp")).await.unwrap();
    report().unary(channel).await.unwrap();
    let status = tls.status().unwrap();
    let own = CertificateId::of(&second.certificate_der());
    assert_eq!((Some(status.own.id), status.generation), (own, 1));
    assert_eq!(status.own_refused, None);
    assert!(!status.last_refused.unwrap().persists, "that is over");
}

#[tokio::test]
async fn both_sides_take_a_new_authority_without_a_restart() {
    let server = TestServer::start().await;
    let client = tls(&certificates().internal("dsp"));
    let channel = server.channel_with(client.clone());
    report().unary(channel.clone()).await.unwrap();
    let next = mesh_testkit::Certificates::new("Next CA");
    let with_trust = |issued: &Issued| {
        let mut pem = pem(issued);
        pem.trust = next.trust_pem().to_owned();
        pem
    };
    server
        .tls
        .replace(with_trust(&next.internal("flag-registry")))
        .unwrap();
    let old = server.channel_with(tls(&certificates().internal("dsp")));
    assert!(
        report().unary(old).await.is_err(),
        "the old authority is out"
    );
    client.replace(with_trust(&next.internal("dsp"))).unwrap();
    report().unary(channel).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_new_certificate_at_the_next_call() {
    let server = TestServer::start().await;
    let client = tls(&certificates().internal("dsp"));
    let channel = server.channel_with(client.clone());
    for role in ["Dsp", "Operator", "Auditor"] {
        let issued = certificates().internal(&role.to_lowercase());
        client.replace(pem(&issued)).unwrap();
        let answer = report().unary(channel.clone()).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(&format!("Internal({role})")), "{answer}");
    }
}

async fn some_calls(server: &TestServer) {
    let before = server.handlers.called();
    wait_until("calls to be served", async || {
        match server.handlers.called() - before {
            calls if calls > 50 => Ok(()),
            calls => Err(calls),
        }
    })
    .await;
}

#[tokio::test]
async fn certificates_and_authorities_are_exchanged_under_load_without_a_failed_call() {
    let server = TestServer::start().await;
    let client = tls(&certificates().internal("dsp"));
    let channel = server.channel_with(client.clone());
    let done = CancellationToken::new();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (channel, done) = (channel.clone(), done.clone());
            tokio::spawn(async move {
                let mut calls = 0_u32;
                while !done.is_cancelled() {
                    report().unary(channel.clone()).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let next = mesh_testkit::Certificates::new("Next CA");
    let both = format!("{}{}", certificates().trust_pem(), next.trust_pem());
    let trusting = |issued: &Issued, trust: &str| TlsPem {
        trust: trust.to_owned(),
        ..pem(issued)
    };
    let service = "flag-registry";
    for (pem_of_server, pem_of_client) in [
        // Trust both, then move to the new authority, then leave the old one.
        (
            trusting(&certificates().internal(service), &both),
            trusting(&certificates().internal("dsp"), &both),
        ),
        (
            trusting(&next.internal(service), &both),
            trusting(&next.internal("dsp"), &both),
        ),
        (
            trusting(&next.internal(service), next.trust_pem()),
            trusting(&next.internal("dsp"), next.trust_pem()),
        ),
    ] {
        some_calls(&server).await;
        server.tls.replace(pem_of_server).unwrap();
        client.replace(pem_of_client).unwrap();
    }
    some_calls(&server).await;
    done.cancel();
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert!(server.tls.handshakes().get(HandshakeOutcome::Accepted) >= 4);
    assert_eq!(server.tls.handshakes().failed(), 0);
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_of_its_peer() {
    let server = TestServer::start().await;
    let now = SystemClock.now();
    let soon = now.saturating_add(Duration::from_secs(3));
    let issued = certificates()
        .ca()
        .issue_internal("dsp", &[], Validity::between(now, soon))
        .unwrap();
    let channel = server.channel_with(tls(&issued));
    let mut stream = Ask::new(STREAM, "for ever").stream(channel).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), b"first");
    let end = timeout(LIMIT, stream.message()).await.unwrap();
    assert!(end.is_err(), "{end:?}");
    let whole_seconds_and_last_words = Duration::from_millis(1_500);
    assert!(
        SystemClock
            .now()
            .saturating_add(whole_seconds_and_last_words)
            >= soon
    );
}
