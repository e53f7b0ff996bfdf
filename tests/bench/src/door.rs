//! How long does a new client wait for its first answer beside a crowd at the door?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use mp169::service::Service;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// At whose door they stand.
const SERVICE: Service = Service::Classification;
/// Connections that the crowd makes side by side where it makes as many as it can.
const HANDS: usize = 32;
/// Connections that each hand of the crowd keeps open.
const KEPT: usize = 100;
/// The crowd is there when it has made so many connections.
const THERE: u64 = 300;
/// A member of the crowd gives up a connection that is not made in this time, and makes another.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a crowd does; all from the address of the new clients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Crowd {
    /// Connects so often in a second, and says nothing.
    Silent(u32),
    /// The same as often as it can.
    SilentFlood,
    /// Connects as often as it can, says its ClientHello, and stops.
    Hellos,
}

/// One new client after another, alone or beside a crowd.
pub(crate) struct Newcomers<'t> {
    town: &'t Town,
    endpoint: Endpoint,
    crowd: Option<Crowd>,
}

impl<'t> Newcomers<'t> {
    pub(crate) fn beside(town: &'t Town, crowd: Option<Crowd>) -> Result<Self> {
        let endpoint = town.door(SERVICE)?;
        Ok(Self {
            town,
            endpoint,
            crowd,
        })
    }
}

impl Side for Newcomers<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let crowd = match self.crowd {
            None => None,
            Some(crowd) => Some(Gathered::start(self.town, crowd).await?),
        };
        let endpoint = self.endpoint.clone();
        let turned_away = Arc::new(AtomicU64::new(0));
        let turned = Arc::clone(&turned_away);
        let turn = keep_in_flight(1, time, move |_| {
            let (endpoint, turned) = (endpoint.clone(), Arc::clone(&turned));
            async move {
                // Whoever is turned away comes again at once, and its time goes on.
                while !first_answer(&endpoint).await? {
                    turned.fetch_add(1, Ordering::Relaxed);
                }
                Ok(ControlFlow::Continue(()))
            }
        })
        .await?;
        if let Some(crowd) = crowd {
            let made = crowd.stop()?;
            let turned = turned_away.load(Ordering::Relaxed);
            let (answered, took) = (turn.done, turn.took);
            eprintln!(
                "{made} of the crowd came in {took:.1?}; {answered} new clients were answered, \
                 {turned} times one was turned away and came again"
            );
        }
        Ok(turn)
    }

    /// Newcomers are dealt with in their order: when these are answered, nobody of the crowd waits.
    async fn settle(&mut self) -> Result<()> {
        for _ in 0..2 {
            while !first_answer(&self.endpoint).await? {}
        }
        Ok(())
    }
}

/// Whether a new client was answered.
async fn first_answer(endpoint: &Endpoint) -> Result<bool> {
    let Ok(channel) = endpoint.connect().await else {
        return Ok(false);
    };
    let mut health = HealthClient::new(channel);
    let Ok(answer) = health.check(HealthCheckRequest::default()).await else {
        return Ok(false);
    };
    let status = answer.get_ref().status();
    ensure!(status == ServingStatus::Serving, "{status:?}");
    Ok(true)
}

/// A crowd on a thread of its own.
struct Gathered {
    stop: watch::Sender<bool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Gathered {
    /// Starts it, and waits until it is there.
    async fn start(town: &Town, crowd: Crowd) -> Result<Self> {
        let to: SocketAddr = town.address(SERVICE).parse()?;
        let says: Arc<[u8]> = match crowd {
            Crowd::Silent(_) | Crowd::SilentFlood => Arc::default(),
            Crowd::Hellos => client_hello()?.into(),
        };
        let (stop, stopped) = watch::channel(false);
        let made = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&made);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut hands = tokio::task::JoinSet::new();
                let count = match crowd {
                    Crowd::Silent(_) => 1,
                    Crowd::SilentFlood | Crowd::Hellos => HANDS,
                };
                for _ in 0..count {
                    let pace = match crowd {
                        Crowd::Silent(rate) => Some(pace(rate)),
                        Crowd::SilentFlood | Crowd::Hellos => None,
                    };
                    let kept = KEPT * HANDS / count;
                    hands.spawn(come(
                        to,
                        Arc::clone(&says),
                        pace,
                        kept,
                        Arc::clone(&counted),
                    ));
                }
                let mut stopped = stopped;
                // An error is an end, too.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        });
        while made.load(Ordering::Relaxed) < THERE {
            ensure!(!thread.is_finished(), "the crowd did not come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { stop, made, thread })
    }

    /// How many came.
    fn stop(self) -> Result<u64> {
        self.stop.send(true)?;
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the crowd panicked"))?;
        Ok(self.made.load(Ordering::Relaxed))
    }
}

fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

/// Comes again and again, and keeps the newest connections.
async fn come(
    to: SocketAddr,
    says: Arc<[u8]>,
    mut pace: Option<Interval>,
    kept: usize,
    made: Arc<AtomicU64>,
) {
    let mut crowd = VecDeque::new();
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let Ok(Ok(mut tcp)) = timeout(PATIENCE, TcpStream::connect(to)).await else {
            continue;
        };
        made.fetch_add(1, Ordering::Relaxed);
        // A crowd does not run out of ports: it ends its connections with a reset.
        let _ = tcp.set_zero_linger();
        if !says.is_empty() && tcp.write_all(&says).await.is_err() {
            continue;
        }
        crowd.push_back(tcp);
        if crowd.len() > kept {
            crowd.pop_front();
        }
    }
}

/// What a client says first. The crowd need not trust the server.
fn client_hello() -> Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(SERVICE.name())?;
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    client
        .write_tls(&mut hello)
        .context("a client that speaks")?;
    Ok(hello)
}
