//! What anybody can trigger fills no disk, and is counted all the same.

use std::time::Instant;

use mesh_testkit::wait_until;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Process, SERVICE, TestServer, collected, guest, process};

const HANDSHAKES: usize = 1_000;
const CONNECTIONS: u16 = 100;

/// Lines of one kind that may be written: so many at once, and one for each second since `start`.
fn most(start: Instant) -> usize {
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    20 + seconds + 1
}

/// How many lines of `log` hold `text`.
fn lines(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_thousand_bad_handshakes_are_counted_and_few_are_logged() {
    if let Some(folder) = process::folder() {
        let server = TestServer::start().await;
        process::until_told(&folder, &server).await;
        let failed = server.tls.handshakes().failed();
        return process::tell(&folder, "failed", &failed.to_string());
    }
    let start = Instant::now();
    let test = "log::a_thousand_bad_handshakes_are_counted_and_few_are_logged";
    let server = Process::start(test, 1_024).await;
    for _ in 0..HANDSHAKES {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // Whether it ends with an alert or with a reset.
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    }
    let [failed, log] = server.ended("failed").await;
    assert_eq!(failed, HANDSHAKES.to_string());
    let count = lines(&log, "handshake failed");
    assert!((1..=most(start)).contains(&count), "{count} lines");
}

/// Opens a connection without a certificate, asks for many things, and resets each of them at once.
async fn ask_and_reset(server: &Process) {
    let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    octets.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for stream in (1..400_u32).step_by(2) {
        // POST, https, a path and an authority; then a reset: cancelled.
        octets.extend([0, 0, 6, 1, 4]);
        octets.extend(stream.to_be_bytes());
        octets.extend([0x83, 0x87, 0x84, 0x41, 1, b'a']);
        octets.extend([0, 0, 4, 3, 0]);
        octets.extend(stream.to_be_bytes());
        octets.extend([0, 0, 0, 8]);
    }
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from(SERVICE).unwrap();
    let connector = TlsConnector::from(guest(&server.trust));
    let mut tls = connector.connect(name, tcp).await.unwrap();
    // It may have been closed before all was sent.
    let _ = tls.write_all(&octets).await;
    let _ = tls.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn connections_that_reset_their_streams_are_counted_and_few_are_logged() {
    if let Some(folder) = process::folder() {
        let server = TestServer::start().await;
        process::until_told(&folder, &server).await;
        let broken = ("fault".to_owned(), "broken".to_owned());
        let expected = [(vec![broken], f64::from(CONNECTIONS))];
        wait_until("all connections to be counted", async || {
            match collected().series("mp169.server.connection.faults") {
                series if series == expected => Ok(()),
                series => Err(format!("{series:?}")),
            }
        })
        .await;
        return;
    }
    let start = Instant::now();
    let test = "log::connections_that_reset_their_streams_are_counted_and_few_are_logged";
    let server = Process::start(test, 1_024).await;
    for _ in 0..CONNECTIONS {
        ask_and_reset(&server).await;
    }
    let [_, log] = server.ended("").await;
    let count = lines(&log, "reset");
    assert!((1..=most(start)).contains(&count), "{count} lines: {log}");
}
