//! Who is not let in any more because an authority revoked its certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_pki::{CA_CERTIFICATE_FILE, Issued, Validity};
use mesh_rpc::{CrlError, Tls, TlsError, TlsFiles};
use mesh_testkit::{
    Certificates, LIMIT, TempDir, certificates, other_certificates, temp_dir, wait_until,
};
use mesh_types::SystemClock;
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::harness::{Ask, STREAM, TestServer, UNARY, pem, tls};

fn hour() -> Validity {
    Validity::starting_now(&SystemClock, Duration::from_hours(1))
}

/// The list of an authority, the `number`th.
fn list(authority: &Certificates, revoked: &[&Issued], number: u64) -> String {
    let list = authority.ca().revocation_list(revoked, number, hour());
    list.unwrap()
}

/// A folder with the files of `own`, which trusts the authorities of the tests and what they list.
struct Files {
    folder: TempDir,
    tls: TlsFiles,
}

impl Files {
    fn of(own: &Issued, list: &str) -> Self {
        let folder = temp_dir();
        let paths = own.write_to(folder.path(), "own").unwrap();
        let trust = folder.path().join(CA_CERTIFICATE_FILE);
        std::fs::write(&trust, certificates().trust_pem()).unwrap();
        let crl = folder.path().join("authority.crl");
        std::fs::write(&crl, list).unwrap();
        Self {
            folder,
            tls: TlsFiles {
                certificate: paths.certificate,
                key: paths.key,
                trust,
                denied: None,
                crls: vec![crl],
            },
        }
    }

    fn crl(&self) -> &Path {
        &self.tls.crls[0]
    }

    /// As an authority's tool should: whoever reads meanwhile finds the old file or the new one.
    fn replace(&self, list: &[u8]) {
        self.put(self.crl(), list);
    }

    fn trust(&self, authorities: &str) {
        self.put(&self.tls.trust, authorities.as_bytes());
    }

    fn put(&self, path: &Path, octets: &[u8]) {
        let beside: PathBuf = self.folder.path().join("next");
        std::fs::write(&beside, octets).unwrap();
        std::fs::rename(beside, path).unwrap();
    }
}

/// A server with these files, and what it made of them.
async fn serving(files: &Files) -> (TestServer, Tls) {
    let tls = Tls::from_files(files.tls.clone()).unwrap();
    let in_use = tls.clone();
    let server = TestServer::start_with(|options| options.tls = in_use).await;
    (server, tls)
}

fn echo() -> Ask {
    Ask::new(UNARY, "echo")
}

async fn accepts(server: &TestServer, issued: &Issued) -> bool {
    let answer = echo().unary(server.channel_with(tls(issued))).await;
    if let Err(status) = &answer {
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    answer.is_ok()
}

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

#[tokio::test]
async fn a_revoked_certificate_gets_no_connection_and_an_open_one_ends() {
    let own = certificates().internal("flag-registry");
    let [first, second, third] =
        ["dsp", "dsp", "operator"].map(|role| certificates().internal(role));
    let files = Files::of(&own, &list(certificates(), &[&first], 1));
    let (server, _) = serving(&files).await;
    assert!(!accepts(&server, &first).await);
    let mut open = follow(&server, tls(&second)).await;
    let mut others = follow(&server, tls(&third)).await;

    files.replace(list(certificates(), &[&first, &second], 2).as_bytes());
    ends(&mut open).await;
    assert!(!accepts(&server, &second).await);
    assert!(accepts(&server, &third).await);
    files.replace(list(certificates(), &[&third], 3).as_bytes());
    ends(&mut others).await;
    assert!(
        accepts(&server, &second).await,
        "the newest list alone holds"
    );
    assert!(!accepts(&server, &third).await);
}

#[tokio::test]
async fn a_client_leaves_a_service_that_its_authority_revoked() {
    let server = TestServer::start().await;
    let shown = certificates().internal("flag-registry");
    server.tls.replace(pem(&shown)).unwrap();
    let dsp = certificates().internal("dsp");
    let files = Files::of(&dsp, &list(certificates(), &[], 1));
    let client = Tls::from_files(files.tls.clone()).unwrap();
    let mut stream = follow(&server, client.clone()).await;
    files.replace(list(certificates(), &[&shown], 2).as_bytes());
    ends(&mut stream).await;
    let channel = server.channel_with(client.clone());
    let status = echo().unary(channel.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let next = certificates().internal("flag-registry");
    server.tls.replace(pem(&next)).unwrap();
    echo().unary(channel).await.unwrap();
}

/// As DER, several in one file, and of an authority that makes none.
#[tokio::test]
async fn every_form_is_read_and_an_authority_without_a_list_revokes_nothing() {
    let other = Certificates::new("Another CA");
    let third = Certificates::new("Third CA");
    let own = certificates().internal("flag-registry");
    let [ours, theirs] = [certificates(), &other].map(|authority| authority.internal("dsp"));
    let both = list(certificates(), &[&ours], 1) + &list(&other, &[&theirs], 1);
    let files = Files::of(&own, &both);
    let trust = [certificates(), &other, &third].map(Certificates::trust_pem);
    std::fs::write(&files.tls.trust, trust.concat()).unwrap();
    let (server, _) = serving(&files).await;
    assert!(!accepts(&server, &ours).await);
    assert!(!accepts(&server, &theirs).await);
    assert!(accepts(&server, &third.internal("dsp")).await);
    let (_, der) = x509_parser::pem::parse_x509_pem(both.as_bytes()).unwrap();
    files.replace(&der.contents);
    wait_until("the shorter file to be read", async || {
        if accepts(&server, &theirs).await {
            Ok(())
        } else {
            Err("still revoked")
        }
    })
    .await;
    assert!(!accepts(&server, &ours).await);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_keeps_the_last_good_list() {
    let own = certificates().internal("flag-registry");
    let revoked = certificates().internal("dsp");
    let good = list(certificates(), &[&revoked], 1);
    let files = Files::of(&own, &good);
    let (server, in_use) = serving(&files).await;
    // Of the same name, and so for the same certificates, but not theirs.
    let forged = list(other_certificates(), &[], 2);
    let half = &good[..good.len() / 2];
    for (text, problem) in [
        (half, CrlError::Form),
        ("", CrlError::Form),
        (certificates().trust_pem(), CrlError::Form),
        (&forged, CrlError::Signature),
    ] {
        files.replace(text.as_bytes());
        let error = in_use.reload().unwrap_err();
        let is = matches!(&error, TlsError::Crl { problem: is, .. } if *is == problem);
        assert!(is, "{error}");
        assert!(error.to_string().contains("authority.crl"), "{error}");
        assert!(Tls::from_files(files.tls.clone()).is_err(), "at the start");
        assert!(!accepts(&server, &revoked).await);
        assert!(accepts(&server, &certificates().internal("dsp")).await);
    }
    std::fs::remove_file(files.crl()).unwrap();
    assert!(in_use.reload().is_err());
    assert!(Tls::from_files(files.tls.clone()).is_err());
    assert!(!accepts(&server, &revoked).await);
}

#[tokio::test]
async fn a_list_that_has_ended_holds_and_raises_an_alarm() {
    let own = certificates().internal("flag-registry");
    let revoked = certificates().internal("dsp");
    let ended = Validity::over(&SystemClock);
    let ended = certificates().ca().revocation_list(&[&revoked], 1, ended);
    let files = Files::of(&own, &ended.unwrap());
    let (server, in_use) = serving(&files).await;
    assert!(!accepts(&server, &revoked).await);
    assert!(accepts(&server, &certificates().internal("dsp")).await);
    wait_until("the alarm", async || match in_use.refused_reloads() {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
}

/// Of an authority that has the name of the one before: its key was exchanged.
#[tokio::test]
async fn an_authority_is_exchanged_with_its_list_and_not_without() {
    let own = certificates().internal("flag-registry");
    let files = Files::of(&own, &list(certificates(), &[], 1));
    let (server, in_use) = serving(&files).await;
    let dsp = certificates().internal("dsp");
    let both = [certificates(), other_certificates()].map(Certificates::trust_pem);
    for (trust, problem) in [
        (other_certificates().trust_pem(), CrlError::Signature),
        (&both.concat(), CrlError::OneOfTwo),
    ] {
        files.trust(trust);
        let error = in_use.reload().unwrap_err();
        let is = matches!(&error, TlsError::Crl { problem: is, .. } if *is == problem);
        assert!(is, "{error}");
        assert!(Tls::from_files(files.tls.clone()).is_err(), "at the start");
        assert!(accepts(&server, &dsp).await, "the last good ones stay");
    }
    wait_until("the alarm", async || match in_use.refused_reloads() {
        0 => Err("none"),
        _ => Ok(()),
    })
    .await;

    let next = list(other_certificates(), &[], 2);
    files.replace(next.as_bytes());
    files.trust(other_certificates().trust_pem());
    wait_until("both in use", async || in_use.reload().map(|_| ())).await;
    Tls::from_files(files.tls.clone()).unwrap();
    let status = echo().unary(server.channel_with(tls(&dsp))).await;
    assert!(status.is_err(), "trusted no more");
    let theirs = other_certificates().internal("dsp");
    let caller = Tls::from_pem(pem(&theirs)).unwrap();
    echo().unary(server.channel_with(caller)).await.unwrap();
}
