//! An owner of the log `parties` that does as a test tells it, over plain TCP.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http_body_util::Full;
use mesh_api::common::v1::{self as common, stream_frame::Frame};
use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_server::{PartyService, PartyServiceServer};
use mesh_follow::FollowResponse as _;
use mesh_store::cursor::Cursor;
use mesh_types::chain;
use mesh_types::{Epoch, Position, Sequence, Timestamp};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// One thing that the owner does on a stream.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Frame(Frame),
    Part(wire::PartySnapshot),
    Fail(Status),
    /// Says nothing any more, and does not end.
    Hang,
}

/// What to do on each connection: its number from 0, and where it was asked to start.
pub(crate) type Script = dyn Fn(usize, &common::FollowStart) -> Vec<Step> + Send + Sync;

/// Runs the script; gives a channel to it and the starts that it was asked for.
pub(crate) async fn scripted(
    script: impl Fn(usize, &common::FollowStart) -> Vec<Step> + Send + Sync + 'static,
) -> (Channel, Arc<Mutex<Vec<common::FollowStart>>>) {
    let starts = Arc::default();
    let owner = Owner {
        script: Box::new(script),
        starts: Arc::clone(&starts),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder().add_service(PartyServiceServer::new(owner));
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    (endpoint.connect_lazy(), starts)
}

/// An owner whose only stream has come as a whole when its first message is read.
pub(crate) fn at_once(
    steps: Vec<Step>,
) -> impl GrpcService<Body, ResponseBody = Body, Future = impl Future + Send, Error = Infallible>
+ Clone
+ Sync
+ Send {
    let mut octets = Vec::new();
    for step in steps {
        let Step::Frame(frame) = step else {
            panic!("{step:?} is not a frame");
        };
        let message = wire::FollowPartiesResponse::from_frame(frame).encode_to_vec();
        octets.push(0);
        octets.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        octets.extend(message);
    }
    let asked = Arc::new(AtomicBool::new(false));
    tower::service_fn(move |_: http::Request<Body>| {
        let again = asked.swap(true, Ordering::SeqCst);
        let response = if again {
            Status::unavailable("there was one stream").into_http()
        } else {
            let response = http::Response::builder().header("content-type", "application/grpc");
            response
                .body(Body::new(Full::from(octets.clone())))
                .unwrap()
        };
        async move { Ok::<_, Infallible>(response) }
    })
}

struct Owner {
    script: Box<Script>,
    starts: Arc<Mutex<Vec<common::FollowStart>>>,
}

#[tonic::async_trait]
impl PartyService for Owner {
    type FollowPartiesStream = BoxStream<'static, Result<wire::FollowPartiesResponse, Status>>;

    async fn follow_parties(
        &self,
        request: Request<wire::FollowPartiesRequest>,
    ) -> Result<Response<Self::FollowPartiesStream>, Status> {
        let start = request.into_inner().start.unwrap();
        let number = {
            let mut starts = self.starts.lock().unwrap();
            starts.push(start.clone());
            starts.len() - 1
        };
        let steps = (self.script)(number, &start);
        if let [Step::Fail(status)] = steps.as_slice() {
            return Err(status.clone());
        }
        let stream = futures::stream::iter(steps).then(async |step| match step {
            Step::Frame(frame) => Ok(wire::FollowPartiesResponse::from_frame(frame)),
            Step::Part(part) => Ok(wire::FollowPartiesResponse::from_snapshot(part)),
            Step::Fail(status) => Err(status),
            Step::Hang => std::future::pending().await,
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn put_party(
        &self,
        _request: Request<wire::PutPartyRequest>,
    ) -> Result<Response<wire::PutPartyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_party_status(
        &self,
        _request: Request<wire::SetPartyStatusRequest>,
    ) -> Result<Response<wire::SetPartyStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_party(
        &self,
        _request: Request<wire::GetPartyRequest>,
    ) -> Result<Response<wire::GetPartyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_parties(
        &self,
        _request: Request<wire::ListPartiesRequest>,
    ) -> Result<Response<wire::ListPartiesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A log that is whole, from which scripts take what they send.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) cursors: Vec<Cursor>,
    first_epoch: Epoch,
    events: Vec<Bytes>,
}

impl Chain {
    /// The log `parties` of an epoch, with these events.
    pub(crate) fn new(epoch: u64, events: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::begun_in(epoch, epoch, events)
    }

    /// The same of a log that began in another epoch.
    pub(crate) fn begun_in(
        first_epoch: u64,
        epoch: u64,
        events: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let first_epoch = Epoch::new(first_epoch).unwrap();
        let mut position = Position {
            log: "parties".parse().unwrap(),
            epoch: Epoch::new(epoch).unwrap(),
            sequence: 0,
        };
        let mut hash = chain::genesis(&position.log, first_epoch);
        let events: Vec<Bytes> = events.into_iter().map(Bytes::from).collect();
        let start = Cursor {
            position: position.clone(),
            hash,
        };
        let mut cursors = vec![start];
        for event in &events {
            position.sequence += 1;
            hash = chain::link(&hash, position.sequence, event);
            cursors.push(Cursor {
                position: position.clone(),
                hash,
            });
        }
        Self {
            cursors,
            first_epoch,
            events,
        }
    }

    fn position(&self, sequence: Sequence) -> common::Position {
        let last = &self.cursors[self.events.len()].position;
        position_to_wire(&Position {
            sequence,
            ..last.clone()
        })
    }

    pub(crate) fn hello(&self) -> Step {
        self.hello_with(5_000)
    }

    pub(crate) fn hello_with(&self, checkpoint_interval_ms: u32) -> Step {
        Step::Frame(Frame::Hello(common::StreamHello {
            head: Some(self.position(self.events.len() as u64)),
            checkpoint_interval_ms,
            first_epoch: self.first_epoch.get(),
        }))
    }

    /// The entry of an event, from 1.
    pub(crate) fn entry(&self, sequence: usize) -> common::LogEntry {
        common::LogEntry {
            position: Some(self.position(sequence as u64)),
            previous_hash: self.cursors[sequence - 1].hash.to_vec().into(),
            hash: self.cursors[sequence].hash.to_vec().into(),
            event: self.events[sequence - 1].clone(),
        }
    }

    pub(crate) fn entries(&self, sequences: impl IntoIterator<Item = usize>) -> Step {
        let entries = sequences.into_iter().map(|sequence| self.entry(sequence));
        Step::entries(entries.collect())
    }

    pub(crate) fn checkpoint(&self, sequence: Sequence) -> Step {
        Step::Frame(Frame::Checkpoint(common::Checkpoint {
            position: Some(self.position(sequence)),
            time: Some(timestamp_to_wire(Timestamp::from_micros(1))),
            source_stale_since: None,
        }))
    }

    pub(crate) fn complete(&self, sequence: usize, items: u64) -> Step {
        Step::Frame(Frame::SnapshotComplete(common::SnapshotComplete {
            position: Some(self.position(sequence as u64)),
            hash: self.cursors[sequence].hash.to_vec(),
            items,
        }))
    }
}

impl Step {
    pub(crate) fn entries(entries: Vec<common::LogEntry>) -> Self {
        Self::Frame(Frame::Entries(common::LogEntries { entries }))
    }
}
