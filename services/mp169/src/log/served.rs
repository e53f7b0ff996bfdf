//! How is the log of a running service read from its first event?

use std::ops::ControlFlow;

use anyhow::{Context as _, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use mesh_api::audit::v1::FollowAuditRequest;
use mesh_api::common::v1::{
    FollowStart, LogEntry, Position, SnapshotStart, StreamHello, follow_start::Start,
    stream_frame::Frame,
};
use mesh_api::convert::position_from_wire;
use mesh_api::csp_notification::v1::{
    FollowFlagChangesRequest, GetSubscriptionRequest, follow_flag_changes_request,
};
use mesh_api::flag_registry::v1::FollowFlagsRequest;
use mesh_api::registration::v1::{FollowDevicesRequest, FollowPartiesRequest};
use mesh_follow::{Body, FollowResponse};
use mesh_store::log::Head;
use mesh_store::verify::{Checker, Found, Verified};
use mesh_types::{Epoch, LogName, Sequence, Timestamp};
use tonic::{Response, Status, Streaming};

use super::line::Line;
use super::{Findings, read_stamp};
use crate::cli::audit::log_of;
use crate::cli::log::ExportArgs;
use crate::clients::Clients;
use crate::output::print_line;
use crate::progress::Progress;
use crate::service::Service;

/// What an auditor may follow.
const ALL: [&str; 3] = ["parties", "devices", "flags"];
/// In front of a CSP's name.
const CSP: &str = "csp/";

/// Checks the logs that are asked for, each up to where its head was when it was opened. `seen` hears of
/// the beginning of each and of each event that fits.
pub(super) async fn verify(
    clients: &Clients,
    asked: &[LogName],
    mut seen: impl FnMut(&Head),
) -> Result<Findings> {
    let mut findings = Findings::default();
    for log in logs(asked)? {
        match check(clients, &log, &mut seen).await {
            Ok(verified) => findings.logs.push(verified),
            // It does not keep the others from being checked.
            Err(error) => {
                findings.unread.get_or_insert(error);
            }
        }
    }
    Ok(findings)
}

async fn check(clients: &Clients, log: &LogName, seen: &mut impl FnMut(&Head)) -> Result<Verified> {
    let head = head(clients, log).await?;
    let progress = Progress::new(log.as_str(), head.sequence);
    let start = position_from_wire(&head).context("the service names no position")?;
    let first_epoch = first_epoch(clients, &head).await?;
    let mut checker = Checker::new(&start, first_epoch, Some(read_stamp));
    seen(checker.reached());
    let mut misfit = None;
    read(clients, &head, 0, head.sequence, |entry| {
        progress.step(1);
        match checker.take(found(&head, &entry)) {
            Ok(()) => {
                seen(checker.reached());
                Ok(ControlFlow::Continue(()))
            }
            Err(does_not_fit) => {
                misfit = Some(does_not_fit);
                Ok(ControlFlow::Break(()))
            }
        }
    })
    .await?;
    let reached = checker.reached().clone();
    Ok(Verified {
        log: log.to_string(),
        fit: reached.position.sequence,
        found: misfit.map_or(Ok(reached), Err),
    })
}

/// Prints the events that are asked for.
pub(super) async fn export(clients: &Clients, args: &ExportArgs) -> Result<()> {
    for log in logs(&args.logs.logs)? {
        let head = head(clients, &log).await?;
        let until = args.until.unwrap_or(head.sequence).min(head.sequence);
        read(clients, &head, args.after, until, |entry| {
            let position = entry.position.unwrap_or_default();
            let line = Line {
                log: &position.log,
                epoch: position.epoch,
                sequence: position.sequence.try_into().unwrap_or(-1),
                recorded_time: read_stamp(&entry.event).map(|stamp| stamp.recorded_time),
                previous_hash: &entry.previous_hash,
                hash: &entry.hash,
                event: &entry.event,
            };
            print_line(&line.json())?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    }
    Ok(())
}

fn logs(asked: &[LogName]) -> Result<Vec<LogName>> {
    if asked.is_empty() {
        return Ok(ALL
            .iter()
            .map(|log| log.parse())
            .collect::<Result<_, _>>()?);
    }
    Ok(asked.to_vec())
}

/// What is sent beside an event is its position; of another log's position the number says nothing.
fn found<'a>(head: &Position, entry: &'a LogEntry) -> Found<'a> {
    let position = entry.position.as_ref();
    let own = position.filter(|at| at.log == head.log && at.epoch == head.epoch);
    let stamp = read_stamp(&entry.event);
    Found {
        sequence: own.map_or(0, |at| at.sequence),
        recorded_time: stamp.map_or(Timestamp::from_micros(0), |stamp| stamp.recorded_time),
        previous_hash: &entry.previous_hash,
        hash: &entry.hash,
        event: &entry.event,
    }
}

/// The service whose audit a log is.
fn audited(log: &str) -> Option<Service> {
    let mut all = Service::ALL.into_iter();
    all.find(|service| log_of(*service) == log)
}

/// The end of a log now.
async fn head(clients: &Clients, log: &LogName) -> Result<Position> {
    let head = if let Some(csp) = log.as_str().strip_prefix(CSP) {
        let csp_id = csp.to_owned();
        let mut csp = clients.csp()?;
        let answer = csp.get_subscription(GetSubscriptionRequest { csp_id });
        answer
            .await?
            .into_inner()
            .subscription
            .and_then(|subscription| subscription.head)
    } else {
        // Only the first frame is taken.
        let start = Start::Snapshot(SnapshotStart::default());
        match frames(clients, log.as_str(), start)
            .await?
            .try_next()
            .await?
        {
            Some(Frame::Hello(StreamHello { head, .. })) => head,
            _ => None,
        }
    };
    head.with_context(|| format!("the service does not say where the log {log} ends"))
}

/// The epoch in which the log of `head` began, with which its hash chain begins.
async fn first_epoch(clients: &Clients, head: &Position) -> Result<Epoch> {
    let mut frames = frames(clients, &head.log, Start::After(head.clone())).await?;
    let first = match frames.try_next().await? {
        Some(Frame::Hello(hello)) => hello.first_epoch,
        _ => 0,
    };
    // A service that does not say it has never begun another history.
    let first = if first == 0 { head.epoch } else { first };
    Epoch::new(first).context("the service names no epoch")
}

/// Hands over what stands in the log of `head` after event `after` and up to event `until`.
async fn read(
    clients: &Clients,
    head: &Position,
    after: Sequence,
    until: Sequence,
    mut take: impl FnMut(LogEntry) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut at = Position {
        sequence: after,
        ..head.clone()
    };
    while at.sequence < until {
        let start = Start::After(at.clone());
        let mut frames = frames(clients, &head.log, start).await?;
        let before = at.sequence;
        while let Some(frame) = frames.try_next().await.with_context(|| lost(&at))? {
            let Frame::Entries(entries) = frame else {
                continue;
            };
            for entry in entries.entries {
                at.sequence += 1;
                if take(entry)?.is_break() || at.sequence == until {
                    return Ok(());
                }
            }
        }
        // The service stops. Another may go on, but not one that stops too.
        if at.sequence == before {
            return Err(Status::unavailable("the service is stopping")).with_context(|| lost(&at));
        }
    }
    Ok(())
}

fn lost(at: &Position) -> String {
    format!(
        "the log {} could be read up to event {}; if the next one is never served, check a copy with --database",
        at.log, at.sequence
    )
}

type Frames = BoxStream<'static, Result<Frame, Status>>;

/// The frames of a log, from whichever service has it.
async fn frames(clients: &Clients, log: &str, start: Start) -> Result<Frames> {
    let follow = |start| {
        Some(FollowStart {
            start: Some(start),
            seen: None,
        })
    };
    Ok(match (log, log.strip_prefix(CSP)) {
        ("parties", _) => {
            let start = follow(start);
            of(clients
                .parties()?
                .follow_parties(FollowPartiesRequest { start })
                .await?)
        }
        ("devices", _) => {
            let start = follow(start);
            of(clients
                .devices()?
                .follow_devices(FollowDevicesRequest { start })
                .await?)
        }
        ("flags", _) => {
            let start = follow(start);
            of(clients
                .flags()?
                .follow_flags(FollowFlagsRequest { start })
                .await?)
        }
        (_, Some(csp)) => {
            use follow_flag_changes_request::Start as CspStart;
            let request = FollowFlagChangesRequest {
                csp_id: csp.to_owned(),
                start: Some(match start {
                    Start::After(position) => CspStart::After(position),
                    Start::Snapshot(snapshot) => CspStart::Snapshot(snapshot),
                }),
                seen: None,
            };
            of(clients.csp()?.follow_flag_changes(request).await?)
        }
        _ if audited(log).is_some() => {
            let service = audited(log).context("it was there")?;
            let start = follow(start);
            of(clients
                .audit(service)?
                .follow_audit(FollowAuditRequest { start })
                .await?)
        }
        _ => bail!(
            "no service has a log {log}; there are: {}, csp/NAME, and audit/SERVICE",
            ALL.join(", ")
        ),
    })
}

fn of<R: FollowResponse>(response: Response<Streaming<R>>) -> Frames {
    let frame = async |response: R| {
        Ok(match response.into_body() {
            Some(Body::Frame(frame)) => Some(frame),
            // A part of a snapshot, or of a kind that this build does not know.
            _ => None,
        })
    };
    response.into_inner().try_filter_map(frame).boxed()
}
