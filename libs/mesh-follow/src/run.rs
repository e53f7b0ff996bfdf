//! Following a log: connect, check, hand over, and connect again.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_api::common::v1::{self as wire, ErrorReason, stream_frame::Frame};
use mesh_api::convert::{position_from_wire, position_to_wire, timestamp_from_wire};
use mesh_api::status::reason_of;
use mesh_store::cursor::Cursor;
use mesh_store::log::PageLimit;
use mesh_types::chain::{self, Hash};
use mesh_types::{Epoch, Position, Sequence};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{Begin, Body, FollowError, FollowResponse, FollowedLog, Follower, LogEvent};

/// The pause before the first new attempt, and the longest one. Each is drawn at random from zero to
/// its bound, so that many followers do not come back together. Whatever becomes of a log, a restart or
/// an operator's decision, each of its followers is to know within ten seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that lived so long was healthy: the next pause is a short one again.
const HEALTHY: Duration = Duration::from_secs(30);
/// How long to wait for the first frame.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);

/// Follows a log until `stop` is cancelled.
///
/// `connect` opens the stream. Every end of it, an orderly one too, is followed by a pause and a new
/// connection; three checkpoint intervals without a frame are an end.
pub async fn follow<F, C>(log: FollowedLog, mut follower: F, connect: C, stop: CancellationToken)
where
    F: Follower,
    C: Fn(wire::FollowStart) -> BoxFuture<'static, Result<Streaming<F::Response>, Status>>
        + Send
        + Sync,
{
    let name = log.name();
    let mut pause = FIRST_PAUSE;
    let mut seen = None;
    loop {
        let began = tokio::time::Instant::now();
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = attempt(&mut follower, &connect, &log, &mut seen) => ended,
        };
        follower.disconnected();
        match &ended {
            Ok(()) => tracing::info!(log = name, "the followed log asks to connect again"),
            Err(Ended::Remote(status)) => {
                log.refused(status);
                tracing::warn!(log = name, code = ?status.code(), "the followed log was lost");
            }
            Err(Ended::Local(error @ FollowError::Stale)) => {
                log.failed(error);
                tracing::info!(log = name, %error, "following goes on elsewhere");
            }
            Err(Ended::Local(error)) => {
                log.failed(error);
                tracing::error!(log = name, %error, "following failed");
            }
            Err(Ended::Silent) => {
                log.lost();
                tracing::warn!(log = name, "the followed log went silent");
            }
        }
        if let Err(Ended::Remote(status)) = &ended
            && reason_of(status) == Some(ErrorReason::PositionOfAnotherEpoch)
            && !follower.other_history().await
        {
            tracing::error!(
                log = name,
                "the followed log has another history than the cursor"
            );
        }
        if began.elapsed() >= HEALTHY {
            pause = FIRST_PAUSE;
        }
        let drawn = pause.mul_f64(rand::random_range(0.0..=1.0));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(drawn) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Ended {
    Remote(Status),
    Local(FollowError),
    Silent,
}

impl From<FollowError> for Ended {
    fn from(error: FollowError) -> Self {
        Self::Local(error)
    }
}

/// One stream from its opening to its end. `seen` is the last event that was seen on any of them,
/// applied or not: a follower that loses its place is a witness all the same.
async fn attempt<F, C>(
    follower: &mut F,
    connect: &C,
    log: &FollowedLog,
    seen: &mut Option<Cursor>,
) -> Result<(), Ended>
where
    F: Follower,
    C: Fn(wire::FollowStart) -> BoxFuture<'static, Result<Streaming<F::Response>, Status>>
        + Send
        + Sync,
{
    let begin = follower.begin().await?;
    if let Begin::After(cursor) = &begin {
        see(seen, cursor);
        log.stands(cursor);
    }
    let asked = seen.as_ref().map(seen_to_wire);
    let start = start_of(&begin, asked, connect).await?;
    let mut stream = connect(start).await.map_err(Ended::Remote)?;
    let mut session = Session {
        begin,
        stage: Stage::Opened,
        silence: HELLO_TIMEOUT,
        seen,
        gathered: Gathered::default(),
    };
    loop {
        let Some(response) = session.next(&mut stream, follower, log).await? else {
            return Ok(());
        };
        // A kind of frame that this build does not know changes nothing that it relies on.
        let Some(body) = response.into_body() else {
            continue;
        };
        let is_entries = matches!(&body, Body::Frame(Frame::Entries(_)));
        if !is_entries {
            session.apply(follower, log).await?;
        }
        // The hello alone does not show that the log can be followed.
        let is_hello = matches!(&body, Body::Frame(Frame::Hello(_)));
        match session.take(follower, body).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                // What came before it was right.
                session.apply(follower, log).await?;
                return Err(error.into());
            }
        }
        if let Stage::Tail(at) = &session.stage
            && !is_hello
            && !is_entries
        {
            log.reached(at);
        }
    }
}

/// Where the follower stands counts as seen, unless more of the same history was seen before.
fn see(seen: &mut Option<Cursor>, cursor: &Cursor) {
    let further = seen.as_ref().is_some_and(|seen| {
        seen.position.comparable(&cursor.position)
            && seen.position.sequence > cursor.position.sequence
    });
    if !further {
        *seen = Some(cursor.clone());
    }
}

fn seen_to_wire(seen: &Cursor) -> wire::Seen {
    wire::Seen {
        position: Some(position_to_wire(&seen.position)),
        hash: seen.hash.to_vec(),
    }
}

/// The next message, unless there is none for so long.
async fn next<R>(stream: &mut Streaming<R>, silence: Duration) -> Result<Option<R>, Ended> {
    let message = tokio::time::timeout(silence, stream.message()).await;
    message.map_err(|_| Ended::Silent)?.map_err(Ended::Remote)
}

/// Where to ask the owner to start. "With the first event" needs the log's epoch, which only its
/// owner knows: the hello of a stream that is dropped at once tells it.
async fn start_of<R, C>(
    begin: &Begin,
    seen: Option<wire::Seen>,
    connect: &C,
) -> Result<wire::FollowStart, Ended>
where
    R: FollowResponse,
    C: Fn(wire::FollowStart) -> BoxFuture<'static, Result<Streaming<R>, Status>> + Send + Sync,
{
    use wire::follow_start::Start;
    let start = match begin {
        Begin::Snapshot => Start::Snapshot(wire::SnapshotStart::default()),
        Begin::After(cursor) => Start::After(position_to_wire(&cursor.position)),
        Begin::Start => {
            let start = Some(Start::Snapshot(wire::SnapshotStart::default()));
            let seen = seen.clone();
            let stream = connect(wire::FollowStart { start, seen }).await;
            let mut stream = stream.map_err(Ended::Remote)?;
            let hello = next(&mut stream, HELLO_TIMEOUT).await?;
            match hello.and_then(FollowResponse::into_body) {
                Some(Body::Frame(Frame::Hello(wire::StreamHello {
                    head: Some(head), ..
                }))) => Start::After(wire::Position {
                    sequence: 0,
                    ..head
                }),
                _ => return Err(FollowError::Malformed("no hello").into()),
            }
        }
    };
    let start = Some(start);
    Ok(wire::FollowStart { start, seen })
}

/// What one stream has said so far.
struct Session<'s> {
    begin: Begin,
    stage: Stage,
    silence: Duration,
    /// The last event that was seen.
    seen: &'s mut Option<Cursor>,
    gathered: Gathered,
}

/// Events that were checked and are to be handed over.
#[derive(Default)]
struct Gathered {
    events: Vec<LogEvent>,
    octets: usize,
    /// Where the last of them stands.
    up_to: Option<Cursor>,
}

impl Gathered {
    /// Whether there are some, and there may be more of them.
    fn may_grow(&self) -> bool {
        let PageLimit { events, octets } = PageLimit::default();
        !self.events.is_empty() && self.octets < octets && self.events.len() < events as usize
    }

    fn add(&mut self, events: Vec<LogEvent>, up_to: &Cursor) {
        self.octets += events.iter().map(|event| event.event.len()).sum::<usize>();
        self.events.extend(events);
        self.up_to = Some(up_to.clone());
    }
}

/// What may come next on a stream.
enum Stage {
    /// The hello.
    Opened,
    /// Parts of a snapshot of the log that the hello named, so many items so far, and its end.
    Snapshot(Position, u64),
    /// Events after this one.
    Tail(Cursor),
}

impl Session<'_> {
    /// The next message. Before one is waited for, what was gathered is handed over.
    async fn next<F: Follower>(
        &mut self,
        stream: &mut Streaming<F::Response>,
        follower: &mut F,
        log: &FollowedLog,
    ) -> Result<Option<F::Response>, Ended> {
        let has_come = if self.gathered.may_grow() {
            next(stream, self.silence).now_or_never()
        } else {
            None
        };
        if let Some(Ok(Some(response))) = has_come {
            return Ok(Some(response));
        }
        self.apply(follower, log).await?;
        match has_come {
            Some(end) => end,
            None => next(stream, self.silence).await,
        }
    }

    /// Hands over what was gathered, and rests if the follower wants to.
    async fn apply<F: Follower>(
        &mut self,
        follower: &mut F,
        log: &FollowedLog,
    ) -> Result<(), FollowError> {
        // A log that fills whole frames leaves no time to rest.
        let may_rest = self.gathered.may_grow();
        let Gathered { events, up_to, .. } = std::mem::take(&mut self.gathered);
        let Some(at) = up_to else { return Ok(()) };
        follower.apply(events, at.clone()).await?;
        log.reached(&at);
        let rest = follower.rest();
        if may_rest && !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
        Ok(())
    }

    /// Takes one frame over; `false` if it was the last.
    async fn take<F: Follower>(
        &mut self,
        follower: &mut F,
        body: Body<<F::Response as FollowResponse>::Snapshot>,
    ) -> Result<bool, FollowError> {
        match (body, &mut self.stage) {
            (Body::Frame(Frame::Draining(_)), _) => return Ok(false),
            (Body::Frame(Frame::Hello(hello)), Stage::Opened) => {
                self.hello(hello)?;
                follower.connected(self.silence);
            }
            (Body::Snapshot(part), Stage::Snapshot(_, items)) => {
                *items += F::Response::items(&part) as u64;
                follower.snapshot_part(part).await?;
            }
            (Body::Frame(Frame::SnapshotComplete(complete)), Stage::Snapshot(log, items)) => {
                if complete.items != *items {
                    return Err(FollowError::Malformed(
                        "a snapshot with another number of items",
                    ));
                }
                let hash = complete.hash.as_slice().try_into();
                let cursor = Cursor {
                    position: position(complete.position)?,
                    hash: hash.map_err(|_| FollowError::Malformed("a hash has 32 octets"))?,
                };
                if !cursor.position.comparable(log) {
                    return Err(FollowError::Malformed("a snapshot of another log"));
                }
                self.stage = Stage::Tail(cursor.clone());
                *self.seen = Some(cursor.clone());
                follower.snapshot_complete(cursor).await?;
            }
            (Body::Frame(Frame::Entries(entries)), Stage::Tail(at)) => {
                let events = verify(at, entries.entries)?;
                if !events.is_empty() {
                    *self.seen = Some(at.clone());
                    self.gathered.add(events, at);
                }
            }
            (Body::Frame(Frame::Checkpoint(checkpoint)), Stage::Tail(at)) => {
                let position = position(checkpoint.position)?;
                if at.position != position {
                    return Err(FollowError::Malformed("a checkpoint ahead of its events"));
                }
                let looked = checkpoint.time.as_ref().map(timestamp_from_wire);
                let Some(Ok(looked)) = looked else {
                    return Err(FollowError::Malformed("a checkpoint without its time"));
                };
                follower.checkpoint_at(at, looked).await?;
            }
            // The corrections come as events.
            (Body::Frame(Frame::Resync(resync)), Stage::Tail(at)) => {
                if position(resync.position)? != at.position {
                    return Err(FollowError::Malformed("a resync at another place"));
                }
            }
            _ => return Err(FollowError::Malformed("a frame out of turn")),
        }
        Ok(true)
    }

    fn hello(&mut self, hello: wire::StreamHello) -> Result<(), FollowError> {
        let interval = Duration::from_millis(hello.checkpoint_interval_ms.into());
        self.silence = (interval * 3).clamp(Duration::from_secs(1), Duration::from_secs(300));
        let head = position(hello.head)?;
        self.stage = match &self.begin {
            Begin::Snapshot => Stage::Snapshot(head, 0),
            Begin::After(cursor) => Stage::Tail(cursor.clone()),
            Begin::Start => {
                let first = match hello.first_epoch {
                    0 => head.epoch,
                    first => Epoch::new(first).ok_or(FollowError::Malformed("no first epoch"))?,
                };
                let hash = chain::genesis(&head.log, first);
                let position = Position {
                    sequence: 0,
                    ..head
                };
                Stage::Tail(Cursor { position, hash })
            }
        };
        Ok(())
    }
}

fn position(position: Option<wire::Position>) -> Result<Position, FollowError> {
    let position = position.ok_or(FollowError::Malformed("a position is missing"))?;
    position_from_wire(&position).map_err(|_| FollowError::Malformed("a position is malformed"))
}

/// Checks that the entries continue the log at `at`, and moves `at` behind them.
fn verify(at: &mut Cursor, entries: Vec<wire::LogEntry>) -> Result<Vec<LogEvent>, FollowError> {
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        let position = position(entry.position)?;
        let next: Sequence = at.position.sequence + 1;
        if !position.comparable(&at.position) || position.sequence != next {
            return Err(FollowError::Malformed("an event is missing or comes twice"));
        }
        let hash: Hash = chain::link(&at.hash, next, &entry.event);
        if entry.previous_hash.as_ref() != at.hash || entry.hash.as_ref() != hash {
            return Err(FollowError::Malformed("an event does not fit the chain"));
        }
        at.position.sequence = next;
        at.hash = hash;
        events.push(LogEvent {
            sequence: next,
            hash,
            event: entry.event,
        });
    }
    Ok(events)
}
