//! How fast are messages decided, one by one and in streams?

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use http::uri::PathAndQuery;
use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::classification::v1::decision_result::Result as Item;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::codec::Shared;
use crate::echo::CLASSIFY_STREAM;
use crate::machine::Processors;
use crate::messages::{Exchange, Expected};
use crate::turn::{Side, Turn, keep_in_flight, latencies, record};

/// Requests of a stream that are not answered yet.
const WINDOW: usize = 4;

/// Asks about one message per call.
pub(crate) struct Unary {
    /// Calls at a time.
    in_flight: usize,
    clients: Arc<[ClassificationServiceClient<Channel>]>,
    exchanges: Arc<[(wire::ClassifyRequest, Expected)]>,
}

impl Unary {
    pub(crate) fn new(channels: &[Channel], exchanges: &[Exchange], in_flight: usize) -> Self {
        let exchanges = exchanges.iter().map(|exchange| {
            let request = wire::ClassifyRequest {
                message: Some(exchange.message.clone()),
                at_least: None,
            };
            (request, exchange.expected.clone())
        });
        let clients = channels.iter().cloned();
        Self {
            in_flight,
            clients: clients.map(ClassificationServiceClient::new).collect(),
            exchanges: exchanges.collect(),
        }
    }

    /// Of all answers, after a check, the one of middle length, with what was expected.
    pub(crate) async fn typical(&self) -> Result<(Expected, wire::ClassifyResponse)> {
        let mut client = self.clients[0].clone();
        let mut answers = Vec::new();
        for (request, expected) in self.exchanges.iter() {
            let answer = client.classify(request.clone()).await?.into_inner();
            expected.check(answer.decision.as_ref())?;
            answers.push((expected.clone(), answer));
        }
        answers.sort_by_key(|(_, answer)| answer.encoded_len());
        Ok(answers.swap_remove(answers.len() / 2))
    }

    /// The same calls to a server that answers all of them with one decision.
    pub(crate) fn always(&self, channels: &[Channel], answer: &Expected) -> Self {
        let clients = channels.iter().cloned();
        let exchanges = self.exchanges.iter().cloned();
        Self {
            in_flight: self.in_flight,
            clients: clients.map(ClassificationServiceClient::new).collect(),
            exchanges: exchanges
                .map(|(request, _)| (request, answer.clone()))
                .collect(),
        }
    }
}

impl Side for Unary {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (clients, exchanges) = (Arc::clone(&self.clients), Arc::clone(&self.exchanges));
        let next = Arc::new(AtomicUsize::new(0));
        keep_in_flight(self.in_flight, time, move |caller| {
            let mut client = clients[caller % clients.len()].clone();
            let number = next.fetch_add(1, Ordering::Relaxed) % exchanges.len();
            let exchanges = Arc::clone(&exchanges);
            async move {
                let (request, expected) = &exchanges[number];
                let answer = client.classify(request.clone()).await?.into_inner();
                expected.check(answer.decision.as_ref())?;
                Ok(ControlFlow::Continue(()))
            }
        })
        .await
    }
}

/// The requests of a stream, each with what must be answered. They are sent over and over.
#[derive(Clone)]
pub(crate) struct Frames(Arc<[(Arc<wire::ClassifyStreamRequest>, Vec<Expected>)]>);

impl Frames {
    /// All of `exchanges`, `size` in a request.
    pub(crate) fn of(exchanges: &[Exchange], size: usize) -> Self {
        let frames = exchanges.chunks(size).map(|exchanges| {
            let messages = exchanges.iter().map(|exchange| exchange.message.clone());
            let request = wire::ClassifyStreamRequest {
                messages: messages.collect(),
                at_least: None,
            };
            let expected = exchanges.iter().map(|exchange| exchange.expected.clone());
            (Arc::new(request), expected.collect())
        });
        Self(frames.collect())
    }

    /// What is answered to each of them, after a check.
    pub(crate) async fn answers(
        &self,
        channel: Channel,
    ) -> Result<Vec<wire::ClassifyStreamResponse>> {
        let requests: Vec<_> = self
            .0
            .iter()
            .map(|(request, _)| Arc::clone(request))
            .collect();
        let mut answers = open(channel, tokio_stream::iter(requests)).await?;
        let mut all = Vec::new();
        for (_, expected) in self.0.iter() {
            let answer = answers.message().await?;
            let answer = answer.context("the stream ended early")?;
            check(&answer, expected)?;
            all.push(answer);
        }
        Ok(all)
    }
}

/// Asks about many messages per request, in streams side by side.
pub(crate) struct Streamed {
    pub(crate) channels: Vec<Channel>,
    pub(crate) frames: Frames,
}

impl Side for Streamed {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (start, processors) = (Instant::now(), Processors::now());
        let streams = self.channels.iter().map(|channel| {
            let stream = stream(channel.clone(), self.frames.clone(), start + time);
            async { tokio::spawn(stream).await? }
        });
        let (mut done, mut all) = (0, latencies());
        for (decided, latencies) in try_join_all(streams).await? {
            done += decided;
            all.add(latencies)?;
        }
        Ok(Turn {
            done: u64::try_from(done)?,
            took: start.elapsed(),
            processors: Processors::ours_since(processors),
            latencies: all,
        })
    }
}

/// One stream until `end`: a request goes out for each answer that comes in. Gives how many messages
/// were decided, and how soon each request was answered.
async fn stream(channel: Channel, frames: Frames, end: Instant) -> Result<(usize, Histogram<u64>)> {
    let (sender, requests) = mpsc::channel(WINDOW);
    let mut answers = open(channel, ReceiverStream::new(requests)).await?;
    let mut sender = Some(sender);
    let mut to_send = frames.0.iter().cycle().map(|(request, _)| request);
    let mut to_come = frames.0.iter().cycle().map(|(_, expected)| expected);
    let mut on_the_way = VecDeque::new();
    let (mut done, mut latencies) = (0, latencies());
    loop {
        while let (Some(open), true) = (&sender, on_the_way.len() < WINDOW) {
            if Instant::now() < end {
                let request = to_send.next().context("there are no requests")?;
                open.send(Arc::clone(request)).await?;
                on_the_way.push_back(Instant::now());
            } else {
                sender = None;
            }
        }
        let Some(answer) = answers.message().await? else {
            break;
        };
        let expected = to_come.next().context("there are no requests")?;
        check(&answer, expected)?;
        let sent = on_the_way.pop_front().context("one answer too many")?;
        record(&mut latencies, sent);
        done += expected.len();
    }
    ensure!(
        on_the_way.is_empty(),
        "requests were left without an answer"
    );
    Ok((done, latencies))
}

/// Opens a stream without copying what is sent.
async fn open(
    channel: Channel,
    requests: impl futures::Stream<Item = Arc<wire::ClassifyStreamRequest>> + Send + 'static,
) -> Result<Streaming<wire::ClassifyStreamResponse>> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static(CLASSIFY_STREAM);
    let answers = grpc.streaming(Request::new(requests), path, Shared::default());
    Ok(answers.await?.into_inner())
}

fn check(answer: &wire::ClassifyStreamResponse, expected: &[Expected]) -> Result<()> {
    let (came, asked) = (answer.results.len(), expected.len());
    ensure!(came == asked, "{came} answers to {asked} messages");
    for (result, expected) in answer.results.iter().zip(expected) {
        let decision = match &result.result {
            Some(Item::Decision(decision)) => Some(decision),
            _ => None,
        };
        expected.check(decision)?;
    }
    Ok(())
}
