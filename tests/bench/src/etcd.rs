//! How fast does etcd keep what it is told, and tell it to a watcher?
//!
//! One member of its own with the options it has by itself, reached by the same client, over the same
//! mTLS and with as many connections as the mesh. Its contract is written down as far as it is needed.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::uri::PathAndQuery;
use mesh_types::DeviceId;
use mp169::service::Service;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::machine::{CountedIn, Processors};
use crate::town::Town;
use crate::turn::{Side, Turn, count, keep_in_flight, latencies};

const PUT: &str = "/etcdserverpb.KV/Put";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// An internal role: Go cannot read the unique identifier in an organisation's certificate.
const CALLER: &str = "dsp";
/// The octets of an event of the log `flags`, about.
const VALUE: [u8; 640] = [0xA5; 640];
/// Ends etcd when this process has ended, however it did.
const KEEPER: &str =
    r#""$@" </dev/null 2>&1 & echo "$!"; exec >/dev/null; read -r _; kill -9 "$!"; wait"#;

/// What is kept.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(int64, tag = "3")]
    revision: i64,
}

/// What is watched.
#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreateRequest>,
}

/// All keys from one up to another.
#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(int64, tag = "3")]
    mod_revision: i64,
}

/// A running etcd, which goes away with the value.
struct Server {
    keeper: Child,
    address: String,
    _counted: CountedIn,
    _data: TempDir,
}

impl Server {
    /// Starts one in `parent`; `None` and a line if there is no etcd here.
    fn start(town: &Town, parent: &Path, plain: bool) -> Result<Option<Self>> {
        if Command::new("etcd").arg("--version").output().is_err() {
            return Ok(None);
        }
        let data = TempDir::new_in(parent)?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper", "etcd", "--logger=zap"]);
        keeper.arg("--data-dir").arg(data.path());
        keeper.arg("--listen-peer-urls=http://127.0.0.1:0");
        let (authority, files) = town.files(Service::FlagRegistry);
        let scheme = if plain { "http" } else { "https" };
        for option in ["listen", "advertise"] {
            keeper.arg(format!("--{option}-client-urls={scheme}://127.0.0.1:0"));
        }
        if !plain {
            keeper.arg("--client-cert-auth").arg("--trusted-ca-file");
            keeper
                .arg(authority)
                .arg("--cert-file")
                .arg(files.certificate);
            keeper.arg("--key-file").arg(files.key);
        }
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = keeper.stdout.take().context("etcd tells nothing")?;
        let mut told = BufReader::new(told).lines();
        let process = told.next().context("there is no etcd")??;
        let counted = CountedIn::new(process.parse()?);
        let mut all = String::new();
        let address = loop {
            let Some(line) = told.next() else {
                anyhow::bail!("etcd does not start:\n{all}");
            };
            let line = line?;
            if line.contains("serving client traffic") {
                let address = line.rsplit_once(r#""address":""#);
                let address = address.and_then(|(_, rest)| rest.split_once('"'));
                break address.context("etcd has no address")?.0.to_owned();
            }
            all += &line;
            all.push('\n');
        };
        // What it tells from here on is nobody's, but must not fill the pipe.
        std::thread::spawn(move || told.for_each(drop));
        Ok(Some(Self {
            keeper,
            address,
            _counted: counted,
            _data: data,
        }))
    }

    fn channels(&self, town: &Town, plain: bool) -> Result<Vec<Channel>> {
        let mut channels = town.channels_to(Service::FlagRegistry, &self.address, CALLER)?;
        if plain {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
            channels.fill_with(|| endpoint.connect_lazy());
        }
        Ok(channels)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Puts, each of them on disk when it is answered.
pub(crate) struct Puts {
    _server: Server,
    channels: Arc<[Channel]>,
    keys: Arc<[DeviceId]>,
    callers: usize,
}

impl Puts {
    pub(crate) fn start(
        town: &Town,
        parent: &Path,
        plain: bool,
        callers: usize,
    ) -> Result<Option<Self>> {
        let Some(server) = Server::start(town, parent, plain)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            channels: server.channels(town, plain)?.into(),
            keys: town.unflagged().into(),
            callers,
            _server: server,
        }))
    }
}

impl Side for Puts {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (channels, keys) = (Arc::clone(&self.channels), Arc::clone(&self.keys));
        let next = Arc::new(AtomicUsize::new(0));
        let revisions: Arc<Mutex<Vec<i64>>> = Arc::default();
        let answered = Arc::clone(&revisions);
        let turn = keep_in_flight(self.callers, time, move |caller| {
            let channel = channels[caller % channels.len()].clone();
            let key = keys[next.fetch_add(1, Ordering::Relaxed) % keys.len()];
            let answered = Arc::clone(&answered);
            async move {
                let revision = put(channel, key).await?;
                let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
                answered.push(revision);
                Ok(ControlFlow::Continue(()))
            }
        });
        let turn = turn.await?;
        let mut revisions = revisions.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.sort_unstable();
        let is_whole = revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        ensure!(is_whole, "the revisions of etcd do not follow one another");
        Ok(turn)
    }
}

/// Puts one after another, each until a watcher has it.
pub(crate) struct Watched {
    _server: Server,
    channel: Channel,
    keys: Vec<DeviceId>,
    events: mpsc::UnboundedReceiver<(i64, Instant)>,
}

impl Watched {
    pub(crate) async fn start(town: &Town, parent: &Path, plain: bool) -> Result<Option<Self>> {
        let Some(server) = Server::start(town, parent, plain)? else {
            return Ok(None);
        };
        let mut channels = server.channels(town, plain)?;
        let channel = channels.pop().context("there is a channel")?;
        let watcher = channels.pop().context("there is another channel")?;
        Ok(Some(Self {
            events: watch(watcher).await?,
            channel,
            keys: town.unflagged(),
            _server: server,
        }))
    }
}

impl Side for Watched {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (start, processors) = (Instant::now(), Processors::now());
        let mut latencies = latencies();
        for key in self.keys.iter().cycle() {
            if start.elapsed() >= time {
                break;
            }
            let asked = Instant::now();
            let revision = put(self.channel.clone(), *key).await?;
            let event = self.events.recv().await;
            let (told, at) = event.context("the watcher has ended")?;
            ensure!(told == revision, "put {revision} and watched {told}");
            count(&mut latencies, at.duration_since(asked));
        }
        Ok(Turn {
            done: latencies.len(),
            took: start.elapsed(),
            processors: Processors::ours_since(processors),
            latencies,
        })
    }
}

/// Keeps a value under `key`, and gives the revision that it made.
async fn put(channel: Channel, key: DeviceId) -> Result<i64> {
    let request = PutRequest {
        key: key.to_string().into_bytes(),
        value: VALUE.to_vec(),
    };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(PUT);
    let answer = grpc.unary(Request::new(request), path, codec).await?;
    let header = answer
        .into_inner()
        .header
        .context("the header is missing")?;
    ensure!(header.revision > 0, "{header:?}");
    Ok(header.revision)
}

/// Watches all keys, from now on; gives the revision of each event, and when it came.
async fn watch(channel: Channel) -> Result<mpsc::UnboundedReceiver<(i64, Instant)>> {
    let create = WatchCreateRequest {
        key: vec![0],
        range_end: vec![0],
    };
    let create = WatchRequest {
        create: Some(create),
    };
    // A watcher that asks for nothing more keeps its side open.
    let requests = tokio_stream::once(create).chain(tokio_stream::pending());
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let codec: ProstCodec<WatchRequest, WatchResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(WATCH);
    let answer = grpc.streaming(Request::new(requests), path, codec).await?;
    let mut answers = answer.into_inner();
    let first = answers.message().await?.context("the watcher has ended")?;
    ensure!(first.created, "{first:?}");
    let (sender, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(answer)) = answers.message().await {
            let now = Instant::now();
            for event in answer.events {
                let revision = event.kv.map_or(0, |kv| kv.mod_revision);
                if sender.send((revision, now)).is_err() {
                    return;
                }
            }
        }
    });
    Ok(events)
}
