//! A service of several processes, some of which come and go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use mesh_rpc::{ClientOptions, MeshChannel, Names, connect};
use mesh_testkit::{certificates, wait_until};
use tokio::net::TcpListener;
use tonic::Status;

use crate::harness::{Ask, SERVICE, TestServer, UNARY, tls};

/// What the name of the service stands for.
#[derive(Clone, Default)]
struct Site(Arc<Mutex<Vec<SocketAddr>>>);

impl Site {
    fn of(servers: &[&TestServer]) -> Self {
        let site = Self::default();
        site.set(servers);
        site
    }

    fn set(&self, servers: &[&TestServer]) {
        *self.0.lock().unwrap() = servers.iter().map(|server| server.address).collect();
    }

    fn channel(&self) -> MeshChannel {
        let site = self.clone();
        let client = tls(&certificates().internal("dsp"));
        let mut options = ClientOptions::new(SERVICE, "flag-registry:16170", client);
        options.names = Names::by(move |name| {
            assert_eq!(name, "flag-registry:16170");
            let found = site.0.lock().unwrap().clone();
            async { Ok(found) }
        });
        connect(options)
    }
}

async fn ask(channel: MeshChannel) -> Result<Vec<u8>, Status> {
    Ask::new(UNARY, "echo").unary(channel).await
}

/// Callers that call without a pause until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Result<(), Status>>>,
}

impl Load {
    fn on(channel: &MeshChannel) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let caller = |_| {
            let (stop, calls, channel) = (Arc::clone(&stop), Arc::clone(&calls), channel.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(channel.clone()).await?;
                    AtomicUsize::fetch_add(&calls, 1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let callers = (0..64).map(caller).collect();
        Self {
            stop,
            calls,
            callers,
        }
    }

    /// How many calls were answered; the first failure, if there was one.
    async fn ended(self) -> Result<usize, Status> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in join_all(self.callers).await {
            caller.unwrap()?;
        }
        Ok(self.calls.load(Ordering::Relaxed))
    }
}

async fn is_called(what: &str, server: &TestServer) {
    let before = server.handlers.called();
    wait_until(what, async || match server.handlers.called() - before {
        0..20 => Err("hardly a call"),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn calls_are_spread_over_all_processes() {
    let servers = [
        TestServer::start().await,
        TestServer::start().await,
        TestServer::start().await,
    ];
    let channel = Site::of(&servers.each_ref()).channel();
    let load = Load::on(&channel);
    for server in &servers {
        is_called("each process to be called", server).await;
    }
    load.ended().await.unwrap();
}

#[tokio::test]
async fn processes_are_replaced_one_by_one_and_no_call_fails() {
    let mut old = Vec::new();
    for _ in 0..8 {
        old.push(TestServer::start().await);
    }
    let site = Site::of(&old.iter().collect::<Vec<_>>());
    let load = Load::on(&site.channel());
    for server in &old {
        is_called("an old process to be called", server).await;
    }
    let mut fresh = Vec::new();
    while let Some(leaving) = old.pop() {
        fresh.push(TestServer::start().await);
        site.set(&old.iter().chain(&fresh).collect::<Vec<_>>());
        let drained = leaving.stop().await.unwrap();
        assert!(drained.clean);
        is_called("the new process to be found", &fresh[fresh.len() - 1]).await;
    }
    let answered = load.ended().await.unwrap();
    assert!(answered >= 120, "{answered}");
}

#[tokio::test]
async fn a_process_that_does_not_answer_keeps_no_call_waiting() {
    // Accepts connections in its queue and says nothing, not even TLS.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let server = TestServer::start().await;
    let site = Site::of(&[&server]);
    let others = [silent.local_addr().unwrap(), gone];
    site.0.lock().unwrap().extend(others);
    let channel = site.channel();
    let calls = (0..50).map(|_| {
        let channel = channel.clone();
        async {
            Ask::new(UNARY, "echo")
                .header("grpc-timeout", "2S")
                .unary(channel)
                .await
        }
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap(), b"hello");
    }
}
