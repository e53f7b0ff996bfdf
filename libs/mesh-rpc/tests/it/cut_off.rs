//! A host that is cut off while a call is under way: nothing comes from it any more, not even that it is gone.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_rpc::{ClientOptions, MeshChannel, connect};
use mesh_testkit::{certificates, wait_until};
use socket2::{SockFilter, SockRef};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::harness::{Ask, SERVICE, TestServer, UNARY, tls};

/// Longer than any machine needs to notice a cut, and shorter than HTTP/2's own signs of life.
const DEADLINE: Duration = Duration::from_secs(25);
/// Takes nothing of what arrives (`BPF_RET | BPF_K`, no octets).
const NOTHING: (u16, u32) = (0x06, 0);

/// A host on the way to a server.
struct Host {
    address: SocketAddr,
    cut: oneshot::Sender<oneshot::Sender<()>>,
}

impl Host {
    /// One connection leads through it.
    async fn before(server: &TestServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), server.address);
        let (cut, told) = oneshot::channel();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            let done: oneshot::Sender<()> = tokio::select! {
                ended = copy_bidirectional(&mut near, &mut far) => panic!("{ended:?}"),
                told = told => told.unwrap(),
            };
            let (code, octets) = NOTHING;
            let filter = SockFilter::new(code, 0, 0, octets);
            SockRef::from(&near).attach_filter(&[filter]).unwrap();
            done.send(()).unwrap();
            pending::<()>().await;
        });
        Self { address, cut }
    }

    /// From now on its kernel sees nothing of what it is sent, and so acknowledges nothing.
    async fn cut_off(self) {
        let (done, is_cut_off) = oneshot::channel();
        self.cut.send(done).unwrap();
        is_cut_off.await.unwrap();
    }
}

fn channel(address: SocketAddr) -> MeshChannel {
    let client = tls(&certificates().internal("dsp"));
    let mut options = ClientOptions::new(SERVICE, address.to_string(), client);
    options.deadline = DEADLINE;
    connect(options)
}

fn is_cut_off(answer: Result<Vec<u8>, Status>) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_call_to_a_host_that_is_gone_does_not_wait_for_its_deadline() {
    let server = TestServer::start().await;
    let host = Host::before(&server).await;
    let channel = channel(host.address);
    let ask = Ask::new(UNARY, "echo");
    assert_eq!(ask.unary(channel.clone()).await.unwrap(), b"hello");
    host.cut_off().await;
    is_cut_off(ask.unary(channel).await);
}

#[tokio::test]
async fn a_call_that_a_host_took_before_it_was_gone_does_not_wait_and_one_to_a_busy_server_does() {
    let server = TestServer::start().await;
    let host = Host::before(&server).await;
    let (taken, busy) = (channel(host.address), channel(server.address));
    for channel in [&taken, &busy] {
        // A connection that has been used has no more to say than the request.
        let answer = Ask::new(UNARY, "echo").unary(channel.clone()).await;
        assert_eq!(answer.unwrap(), b"hello");
    }
    let wait = async |channel| Ask::new(UNARY, "wait").unary(channel).await;
    let (taken, busy) = (tokio::spawn(wait(taken)), tokio::spawn(wait(busy)));
    wait_until("both calls to be under way", async || {
        match server.handlers.waiting() {
            2 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    host.cut_off().await;
    is_cut_off(taken.await.unwrap());
    server.handlers.open_gate(2);
    assert_eq!(busy.await.unwrap().unwrap(), b"hello");
}
