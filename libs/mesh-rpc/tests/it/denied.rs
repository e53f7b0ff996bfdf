//! Who is not let in any more, and whose open connection ends: by the deny-list, on both sides.

use std::path::Path;

use mesh_pki::{Issued, Profile, spiffe_uri};
use mesh_rpc::{CertificateId, Denied, Exchanged, HandshakeOutcome, Tls, TlsError, TlsFiles};
use mesh_testkit::{LIMIT, certificates, temp_dir, wait_until};
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::harness::{Ask, STREAM, TestServer, UNARY, collected, tls};

fn report() -> Ask {
    Ask::new(UNARY, "report")
}

fn id(issued: &Issued) -> CertificateId {
    CertificateId::of(&issued.certificate_der()).unwrap()
}

/// The list that denies these certificates.
fn denying(denied: &[&Issued]) -> String {
    let entry = |issued: &&Issued| {
        let CertificateId { serial, issuer } = id(issued);
        format!("[[certificate]]\nserial = '{serial}'\nissuer = '{issuer}'\n")
    };
    denied.iter().map(entry).collect()
}

/// A stream that has begun.
async fn follow(server: &TestServer, tls: Tls) -> Streaming<Vec<u8>> {
    let ask = Ask::new(STREAM, "for ever");
    let mut stream = ask.stream(server.channel_with(tls)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), b"first");
    stream
}

async fn ends(stream: &mut Streaming<Vec<u8>>) {
    let end = timeout(LIMIT, stream.message()).await.unwrap();
    assert!(end.is_err(), "{end:?}");
}

async fn refused(server: &TestServer, times: u64) {
    wait_until("the refusals to be counted", async || {
        match server.tls.handshakes().get(HandshakeOutcome::Revoked) {
            count if count >= times => Ok(()),
            count => Err(count),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_certificate_gets_no_connection_and_a_new_one_of_its_holder_does() {
    let server = TestServer::start().await;
    let (stolen, new) = (
        certificates().internal("dsp"),
        certificates().internal("dsp"),
    );
    report()
        .unary(server.channel_with(tls(&stolen)))
        .await
        .unwrap();
    assert!(server.tls.deny(denying(&[&stolen])).unwrap());
    assert!(
        !server.tls.deny(denying(&[&stolen])).unwrap(),
        "the same list"
    );

    // However the server's alert and what the client writes meanwhile cross.
    for attempt in 1..=50 {
        let status = report()
            .unary(server.channel_with(tls(&stolen)))
            .await
            .unwrap_err();
        assert_eq!(
            status.code(),
            Code::Unauthenticated,
            "{attempt}: {status:?}"
        );
        assert!(status.message().contains("revoked"), "{status:?}");
    }
    let foreign = report().unary(server.foreign(Some(&stolen))).await;
    assert!(foreign.is_err(), "another client");
    refused(&server, 51).await;
    report()
        .unary(server.channel_with(tls(&new)))
        .await
        .unwrap();
    report().unary(server.channel("operator")).await.unwrap();

    server.tls.deny(String::new()).unwrap();
    report()
        .unary(server.channel_with(tls(&stolen)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_denied_identity_gets_none_with_any_certificate() {
    let server = TestServer::start().await;
    let list = "[[identity]]\nidentity = 'dsp'\n";
    server.tls.deny(list.to_owned()).unwrap();
    for _ in 0..2 {
        assert!(report().unary(server.channel("dsp")).await.is_err());
    }
    report().unary(server.channel("operator")).await.unwrap();
    refused(&server, 2).await;
}

#[tokio::test]
async fn an_open_stream_and_a_waiting_call_end_and_those_of_others_go_on() {
    let server = TestServer::start().await;
    let (stolen, other) = (
        certificates().internal("dsp"),
        certificates().internal("dsp"),
    );
    let mut stream = follow(&server, tls(&stolen)).await;
    let mut others = follow(&server, tls(&other)).await;
    let channel = server.channel_with(tls(&stolen));
    let call = tokio::spawn(async move { Ask::new(UNARY, "wait").unary(channel).await });
    wait_until("the call to be in its handler", async || {
        match server.handlers.waiting() {
            1 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    // An entry of somebody else is no reason to end.
    let third = certificates().internal("auditor");
    server.tls.deny(denying(&[&third])).unwrap();
    server.tls.deny(denying(&[&third, &stolen])).unwrap();
    ends(&mut stream).await;
    let status = timeout(LIMIT, call).await.unwrap().unwrap();
    assert!(status.is_err(), "{status:?}");
    wait_until("the handler to be told", async || {
        match server.handlers.waiting() {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    let list = "[[identity]]\nidentity = 'dsp'\n";
    server.tls.deny(list.to_owned()).unwrap();
    ends(&mut others).await;
    let ended = || -> f64 {
        let series = collected().series("mp169.tls.revoked_connections");
        series.iter().map(|(_, count)| count).sum()
    };
    wait_until("three connections in the metric", async || match ended() {
        count if count >= 3.0 => Ok(()),
        count => Err(count),
    })
    .await;
}

#[tokio::test]
async fn a_client_leaves_a_service_that_is_denied_and_takes_its_new_certificate() {
    let server = TestServer::start().await;
    let client = tls(&certificates().internal("dsp"));
    let mut stream = follow(&server, client.clone()).await;
    let channel = server.channel_with(client.clone());
    report().unary(channel.clone()).await.unwrap();
    let shown = certificates().internal("flag-registry");
    server.tls.replace(crate::harness::pem(&shown)).unwrap();
    let mut second = follow(&server, client.clone()).await;

    client.deny(denying(&[&shown])).unwrap();
    ends(&mut second).await;
    let status = report().unary(server.channel_with(client.clone())).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    // Made with the certificate before, and so not denied.
    report().unary(channel.clone()).await.unwrap();
    let next = certificates().internal("flag-registry");
    server.tls.replace(crate::harness::pem(&next)).unwrap();
    report()
        .unary(server.channel_with(client.clone()))
        .await
        .unwrap();

    let list = "[[identity]]\nidentity = 'flag-registry'\n";
    client.deny(list.to_owned()).unwrap();
    ends(&mut stream).await;
    assert!(report().unary(channel).await.is_err());
}

fn write(folder: &Path, issued: &Issued, list: &str) -> TlsFiles {
    let paths = issued.write_to(folder, "server").unwrap();
    certificates().ca().write_to(folder).unwrap();
    let denied = folder.join("denied.toml");
    std::fs::write(&denied, list).unwrap();
    TlsFiles {
        certificate: paths.certificate,
        key: paths.key,
        trust: folder.join(mesh_pki::CA_CERTIFICATE_FILE),
        denied: Some(denied),
        crls: Vec::new(),
    }
}

#[tokio::test]
async fn the_file_is_read_again_and_a_bad_or_missing_one_keeps_the_last_good_list() {
    let folder = temp_dir();
    let (stolen, later) = (
        certificates().internal("dsp"),
        certificates().internal("dsp"),
    );
    let own = certificates().internal("flag-registry");
    let files = write(folder.path(), &own, &denying(&[&stolen]));
    let list = files.denied.clone().unwrap();
    let in_use = Tls::from_files(files.clone()).unwrap();
    let server_tls = in_use.clone();
    let server = TestServer::start_with(|options| options.tls = server_tls).await;
    assert!(
        report()
            .unary(server.channel_with(tls(&stolen)))
            .await
            .is_err()
    );

    let half = denying(&[&stolen, &later]);
    let texts = [Some(&half[..half.len() - 3]), Some("[[certificat]]"), None];
    for (trouble, text) in (1..).zip(texts) {
        match text {
            Some(text) => std::fs::write(&list, text).unwrap(),
            None => std::fs::remove_file(&list).unwrap(),
        }
        wait_until("the trouble to be noticed", async || {
            let refused = in_use.refused_reloads();
            if refused >= trouble {
                Ok(())
            } else {
                Err(refused)
            }
        })
        .await;
        assert!(in_use.reload().is_err());
        assert!(
            report()
                .unary(server.channel_with(tls(&stolen)))
                .await
                .is_err()
        );
        report()
            .unary(server.channel_with(tls(&later)))
            .await
            .unwrap();
    }
    // Meanwhile a new certificate of the server's own is used all the same.
    certificates()
        .internal("flag-registry")
        .write_to(folder.path(), "server")
        .unwrap();
    wait_until("the new certificate to be in use", async || {
        match in_use.generation() {
            1 => Ok(()),
            generation => Err(generation),
        }
    })
    .await;
    // And a bad key keeps nobody from being denied.
    let mut stream = follow(&server, tls(&later)).await;
    std::fs::write(&files.key, "half a ke").unwrap();
    std::fs::write(&list, half).unwrap();
    ends(&mut stream).await;
}

#[tokio::test]
async fn a_list_that_cannot_be_used_at_the_start_refuses_the_start() {
    let folder = temp_dir();
    let own = certificates().internal("flag-registry");
    let bad = write(folder.path(), &own, "[[certificate]]\nserial = 'one'");
    let error = Tls::from_files(bad).unwrap_err();
    assert!(matches!(error, TlsError::Denied(_)), "{error}");
    assert!(error.to_string().contains("line 2"), "{error}");
    let mut missing = write(folder.path(), &own, "");
    Tls::from_files(missing.clone()).unwrap();
    missing.denied = Some(folder.path().join("nowhere.toml"));
    let error = Tls::from_files(missing).unwrap_err();
    assert!(error.to_string().contains("nowhere.toml"), "{error}");
}

/// A certificate without an identity, too: it gets as far as a proper refusal otherwise.
#[tokio::test]
async fn a_certificate_of_nobody_is_denied_as_well() {
    let server = TestServer::start().await;
    let two = vec![spiffe_uri("dsp"), spiffe_uri("operator")];
    let issued = certificates().issue(&Profile {
        uris: two,
        ..Profile::default()
    });
    let status = report().unary(server.foreign(Some(&issued))).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    server.tls.deny(denying(&[&issued])).unwrap();
    let status = report().unary(server.foreign(Some(&issued))).await;
    assert_ne!(status.unwrap_err().code(), Code::Unauthenticated);
    refused(&server, 1).await;
}

#[tokio::test]
async fn each_list_that_comes_into_use_is_told_to_who_keeps_the_record() {
    let server = TestServer::start().await;
    let stolen = certificates().internal("dsp");
    let lists = || server.journal.lists();
    let list = |added: &[Denied], removed: &[Denied], entries| Exchanged::DenyList {
        added: added.to_vec(),
        removed: removed.to_vec(),
        entries,
    };
    wait_until("the list at the start", async || match lists()[..] {
        [] => Err("nothing was told"),
        _ => Ok(()),
    })
    .await;
    server.tls.deny(denying(&[&stolen])).unwrap();
    server.tls.deny(denying(&[&stolen])).unwrap();
    server.tls.deny("not a list".to_owned()).unwrap_err();
    let all_of_it = "[[identity]]\nidentity = 'dsp'\n";
    server.tls.deny(all_of_it.to_owned()).unwrap();
    let stolen = Denied::Certificate(id(&stolen));
    let dsp = Denied::Identity("dsp".parse().unwrap());
    assert_eq!(
        lists(),
        [
            list(&[], &[], 0),
            list(std::slice::from_ref(&stolen), &[], 1),
            list(&[dsp], &[stolen], 1),
        ]
    );
}
