//! `mp169 csp watch`: the changes as they come.

use anyhow::Result;
use mesh_api::common::v1::{ErrorReason, LogEntries, Position, Resync, Seen, stream_frame::Frame};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_api::status::{reason_of, refusal};
use mesh_types::Epoch;
use prost::Message as _;
use tonic::{Code, Status};

use super::{acknowledge, own_csp, subscription};
use crate::cli::connection::Output;
use crate::cli::csp::{From, Place, WatchArgs};
use crate::output::{complain, instant, print_json, print_line, reader_gone, short};
use crate::session::Session;
use crate::signals;

/// Carries out the command. However it ends, it says up to where it came.
pub(super) async fn run(args: WatchArgs) -> Result<()> {
    let session = Session::open(&args.connection, None)?;
    let csp_id = own_csp(&session, args.csp.clone()).await?;
    let subscription = subscription(&session, &csp_id).await?.subscription;
    let acknowledged = subscription.unwrap_or_default().acknowledged;
    let acknowledged = acknowledged.unwrap_or_default();
    let shown = args.after.unwrap_or(Place {
        sequence: acknowledged.sequence,
        seen: None,
    });
    let after = Position {
        sequence: shown.sequence,
        epoch: shown
            .seen
            .map_or(acknowledged.epoch, |(epoch, _)| epoch.get()),
        ..acknowledged
    };
    let seen = shown.seen.map(|(_, hash)| Seen {
        position: Some(after.clone()),
        hash: hash.to_vec(),
    });
    let start = match args.from {
        From::Snapshot => Start::Snapshot(Default::default()),
        From::Acknowledged => Start::After(after),
    };
    let mut watch = Watch {
        session,
        csp_id,
        shown,
        stale_since: None,
        args,
    };
    let ended = tokio::select! {
        stopped = signals::told_to_stop() => stopped,
        gone = reader_gone() => Err(gone.into()),
        ended = watch.follow(start, seen) => ended,
    };
    let Watch { shown, csp_id, .. } = &watch;
    if let Err(error) = &ended
        && went_back(error)
    {
        let again = match shown.seen {
            Some(_) => "as said below",
            None => "with the --after that your last watch said at its end",
        };
        complain(&format_args!(
            "The log no longer has an event that {csp_id} has seen. Keep what you have and tell the operator, \
             to whom `mp169 csp lag` shows it. Go on {again} once the right database is back; if the \
             operator accepts the loss instead, start over with --from snapshot."
        ));
    }
    complain(&format_args!(
        "Shown up to event {}. To go on from there: --after {shown}",
        shown.sequence
    ));
    ended
}

fn went_back(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<Status>();
    status.and_then(reason_of) == Some(ErrorReason::LogWentBack)
}

struct Watch {
    session: Session,
    csp_id: String,
    args: WatchArgs,
    /// The last event that was shown, or that needs not be.
    shown: Place,
    /// Since when the service has not heard from flag-registry, as it said last.
    stale_since: Option<prost_types::Timestamp>,
}

impl Watch {
    async fn follow(&mut self, start: Start, seen: Option<Seen>) -> Result<()> {
        let request = wire::FollowFlagChangesRequest {
            csp_id: self.csp_id.clone(),
            start: Some(start),
            seen,
        };
        let mut client = self.session.clients.csp()?;
        let mut stream = client.follow_flag_changes(request).await?.into_inner();
        self.header()?;
        let mut head = u64::MAX;
        while let Some(response) = stream.message().await? {
            match response.body {
                Some(Body::Snapshot(part)) => self.devices(&part.devices)?,
                Some(Body::Frame(frame)) => match frame.frame {
                    Some(Frame::Hello(hello)) => {
                        head = hello.head.map_or(0, |head| head.sequence);
                        // Of a snapshot its end is awaited.
                        if self.args.from == From::Snapshot {
                            continue;
                        }
                    }
                    Some(Frame::Entries(entries)) => self.changes(entries).await?,
                    Some(Frame::SnapshotComplete(complete)) => {
                        self.shown = place(complete.position.as_ref(), &complete.hash);
                    }
                    Some(Frame::Draining(_)) => break,
                    Some(Frame::Checkpoint(checkpoint)) => {
                        self.source(checkpoint.source_stale_since);
                    }
                    Some(Frame::Resync(resync)) => self.resync(&resync)?,
                    None => {}
                },
                None => {}
            }
            if self.args.once && self.shown.sequence >= head {
                return Ok(());
            }
        }
        let text = "the service is stopping";
        Err(refusal(Code::Unavailable, ErrorReason::Draining, text).into())
    }

    async fn changes(&mut self, entries: LogEntries) -> Result<()> {
        let mut last = None;
        for entry in entries.entries {
            let change = wire::CspFlagChange::decode(entry.event)?;
            self.change(&change)?;
            self.shown = place(entry.position.as_ref(), &entry.hash);
            last = entry.position;
        }
        if let Some(position) = last.filter(|_| self.args.acknowledge) {
            acknowledge(&self.session, &self.csp_id, position).await?;
        }
        Ok(())
    }

    /// Says it when the service stops or begins again to hear from flag-registry.
    fn source(&mut self, stale_since: Option<prost_types::Timestamp>) {
        if self.stale_since == stale_since {
            return;
        }
        match &stale_since {
            Some(since) => complain(&format_args!(
                "csp-notification has not heard from flag-registry since {}: changes of flags may be \
                 missing here.",
                instant(Some(since))
            )),
            None => complain(&"csp-notification hears from flag-registry again."),
        }
        self.stale_since = stale_since;
    }

    fn resync(&self, resync: &Resync) -> Result<()> {
        if self.args.connection.output == Output::Json {
            return print_json(resync);
        }
        let source = resync.source_position.clone().unwrap_or_default();
        let after = resync.position.as_ref().map_or(0, |after| after.sequence);
        print_line(&format_args!(
            "{after:>7}  {:<27}  compared with event {} of a new history of {}; corrections follow: {}",
            instant(resync.recorded_time.as_ref()),
            source.sequence,
            source.log,
            resync.differences
        ))
    }

    fn header(&self) -> Result<()> {
        match self.args.connection.output {
            Output::Json => Ok(()),
            Output::Table => line([
                "event",
                "since",
                "Device",
                "now",
                "because",
                "hub",
                "covers too",
            ]),
        }
    }

    fn change(&self, change: &wire::CspFlagChange) -> Result<()> {
        if self.args.connection.output == Output::Json {
            return print_json(change);
        }
        line([
            &change.sequence.to_string(),
            &instant(change.effective_time.as_ref()),
            &change.device_id,
            short(change.state().as_str_name(), "CSP_FLAG_STATE_"),
            short(change.cause_class().as_str_name(), "CAUSE_CLASS_"),
            &change.communications_hub_id,
            &change.covered_device_ids.join(", "),
        ])
    }

    fn devices(&self, devices: &[wire::ReducedDevice]) -> Result<()> {
        for device in devices {
            if self.args.connection.output == Output::Json {
                print_json(device)?;
                continue;
            }
            line([
                &device.sequence.to_string(),
                &instant(device.since_time.as_ref()),
                &device.device_id,
                "REDUCED",
                "–",
                &device.communications_hub_id,
                &device.covered_device_ids.join(", "),
            ])?;
        }
        Ok(())
    }
}

/// An event that was seen with the log's hash after it.
fn place(position: Option<&Position>, hash: &[u8]) -> Place {
    let position = position.cloned().unwrap_or_default();
    let (epoch, hash) = (Epoch::new(position.epoch), hash.try_into().ok());
    Place {
        sequence: position.sequence,
        seen: epoch.zip(hash),
    }
}

/// A row of a table that is never finished, and so cannot fit its columns to what they hold.
fn line(cells: [&str; 7]) -> Result<()> {
    let [event, since, device, now, because, hub, covers] = cells;
    let row = format!(
        "{event:>7}  {since:<27}  {device:<23}  {now:<11}  {because:<16}  {hub:<23}  {covers}"
    );
    print_line(&row.trim_end())
}
