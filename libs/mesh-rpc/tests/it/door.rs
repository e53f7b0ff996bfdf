//! Who keeps whom out before anybody has said who it is? Nobody, and not for a moment: where a test
//! says so, time stands still, and whatever needs a timer to get in never does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mesh_rpc::{HandshakeOutcome, Tls};
use mesh_testkit::{LIMIT, certificates, wait_until};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Ask, Process, SERVICE, TestServer, UNARY, guest, process};

/// Places in each stage of the handshake, and as many as a crowd has several times.
const PLACES: usize = 4;
const CROWD: usize = 5 * PLACES;

async fn server() -> TestServer {
    TestServer::start_with(|options| {
        options.limits.newcomers = PLACES;
        options.limits.guests = PLACES;
    })
    .await
}

/// Time of this runtime, which stands still until this is dropped: tokio does not go on to the next
/// timer while something blocks.
struct StandingStill {
    _go_on: Sender<()>,
    gave_up: JoinHandle<bool>,
}

impl StandingStill {
    fn begin() -> Self {
        tokio::time::pause();
        let (go_on, told) = channel();
        let gave_up = tokio::task::spawn_blocking(move || {
            matches!(
                told.recv_timeout(LIMIT),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            )
        });
        Self {
            _go_on: go_on,
            gave_up,
        }
    }

    /// What comes of `work`, which must need no time.
    async fn need_none<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            _ = &mut self.gave_up => panic!("whoever is at the door waits for a timer"),
        }
    }
}

/// Both with a certificate and without one.
async fn others_get_in(server: &TestServer) {
    let mut health = HealthClient::new(server.foreign(None));
    health.check(HealthCheckRequest::default()).await.unwrap();
    let known = server.channel("dsp");
    Ask::new(UNARY, "echo").unary(known).await.unwrap();
}

async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// What a client says first.
fn client_hello() -> Vec<u8> {
    let name = ServerName::try_from(SERVICE).unwrap();
    let config = guest(certificates().trust_pem());
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Reads until the server has closed or reset the connection; gives what came.
async fn until_closed(tcp: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    // A reset is an end, too.
    let _ = tcp.read_to_end(&mut octets).await;
    octets
}

async fn counted(tls: &Tls, outcome: HandshakeOutcome, at_least: u64) {
    wait_until(&format!("{at_least} of {outcome:?}"), async || {
        match tls.handshakes().get(outcome) {
            count if count >= at_least => Ok(()),
            count => Err(count),
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_crowd_keeps_nobody_waiting() {
    let server = server().await;
    let mut still = StandingStill::begin();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    still.need_none(others_get_in(&server)).await;
    // The newest of the crowd are still there: they may yet speak.
    let mut newest = crowd.pop().unwrap();
    newest.write_all(&client_hello()).await.unwrap();
    let answer = still.need_none(newest.read_u8()).await.unwrap();
    assert_eq!(answer, 22, "a handshake message");
}

#[tokio::test]
async fn those_who_stop_after_their_client_hello_keep_nobody_waiting() {
    let server = server().await;
    let mut still = StandingStill::begin();
    let hello = client_hello();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(&hello).await.unwrap();
        crowd.push(tcp);
    }
    still.need_none(others_get_in(&server)).await;
}

#[tokio::test]
async fn those_who_come_without_a_certificate_keep_nobody_waiting() {
    let server = server().await;
    let mut still = StandingStill::begin();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut health = HealthClient::new(server.foreign(None));
        let check = health.check(HealthCheckRequest::default());
        still.need_none(check).await.unwrap();
        crowd.push(health);
    }
    still.need_none(others_get_in(&server)).await;
}

/// Linux has all addresses of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_pushes_out_its_own() {
    let server = server().await;
    let mut quiet = connect_from(2, server.address).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(connect_from(3, server.address).await);
    }
    let gone = u64::try_from(CROWD - PLACES).unwrap();
    counted(&server.tls, HandshakeOutcome::MadeRoom, gone).await;
    until_closed(&mut crowd[0]).await;
    quiet.write_all(&client_hello()).await.unwrap();
    assert_eq!(quiet.read_u8().await.unwrap(), 22, "a handshake message");
}

/// Half a ClientHello is not enough to stay, however it trickles in.
#[tokio::test]
async fn a_client_hello_has_a_limit_of_time() {
    let server = server().await;
    let mut still = StandingStill::begin();
    let hello = client_hello();
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    for octet in &hello[..100] {
        // It may have closed already.
        let _ = tcp.write_all(&[*octet]).await;
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    still.need_none(until_closed(&mut tcp)).await;
    assert_eq!(server.tls.handshakes().get(HandshakeOutcome::TimedOut), 1);
}

/// A record of TLS that says it goes on, and does.
#[tokio::test]
async fn a_client_hello_has_a_limit_of_octets() {
    let server = server().await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    // The head of a ClientHello of 64,000 octets, in records of 4,096.
    let mut record = vec![22, 3, 1, 16, 0];
    record.extend_from_slice(&[1, 0, 250, 0]);
    record.resize(5 + 4_096, 0);
    for _ in 0..10 {
        // It may have closed already.
        let _ = tcp.write_all(&record).await;
        record[5..].fill(0);
    }
    until_closed(&mut tcp).await;
    counted(&server.tls, HandshakeOutcome::Other, 1).await;
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_told() {
    let server = server().await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let answer = until_closed(&mut tcp).await;
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    counted(&server.tls, HandshakeOutcome::Other, 1).await;
}

/// A server in a process that may open 64 files, and more who say nothing than that.
#[tokio::test]
async fn a_process_that_has_no_file_left_makes_room() {
    if let Some(folder) = process::folder() {
        let server = TestServer::start().await;
        let mut still = StandingStill::begin();
        return still.need_none(process::until_told(&folder, &server)).await;
    }
    let test = "door::a_process_that_has_no_file_left_makes_room";
    let server = Process::start(test, 64).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut health = HealthClient::new(server.channel());
    health.check(HealthCheckRequest::default()).await.unwrap();
    let [_, log] = server.ended("").await;
    assert!(log.contains("cannot accept a connection"), "{log}");
}
