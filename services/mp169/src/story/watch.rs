//! A CSP of the story: attached to its stream from the start, noting what it is told.

use anyhow::Result;
use mesh_api::common::v1::{LogEntry, Position, stream_frame::Frame};
use mesh_api::csp_notification::v1::{self as csp, follow_flag_changes_response::Body};
use mesh_types::DeviceId;
use prost::Message as _;
use tokio::sync::watch;

use super::PATIENCE;
use crate::clients::Clients;
use crate::home::Folder;

/// What the CSP was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Every change of the meters that it looks for, in order.
    pub(super) changes: Vec<csp::CspFlagChange>,
    /// Where the last change of all stands.
    pub(super) position: Option<Position>,
    /// The stream ended.
    pub(super) ended: bool,
}

/// A CSP attached to its stream.
pub(super) struct CspWatch {
    pub(super) csp_id: &'static str,
    told: watch::Receiver<Told>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl CspWatch {
    /// Attaches `identity` behind what it has acknowledged, and looks for changes of `meters`.
    pub(super) fn start(
        folder: &Folder,
        identity: &str,
        csp_id: &'static str,
        meters: &[DeviceId],
    ) -> Result<Self> {
        let meters: Vec<_> = meters.iter().map(ToString::to_string).collect();
        let client = Clients::of(folder, identity)?.csp()?;
        let (sender, told) = watch::channel(Told::default());
        let task = tokio::spawn(async move {
            if let Err(status) = attend(client, csp_id, &meters, &sender).await {
                tracing::warn!(code = ?status.code(), csp_id, "the CSP's stream ended");
            }
            sender.send_modify(|told| told.ended = true);
        });
        Ok(Self {
            csp_id,
            told,
            _task: tokio_util::task::AbortOnDropHandle::new(task),
        })
    }

    /// What the CSP was told, once that is `count` changes or patience ends.
    pub(super) async fn told(&mut self, count: usize) -> Told {
        let enough = self
            .told
            .wait_for(|told| told.changes.len() >= count || told.ended);
        // Whatever came until then is the answer; the story judges it.
        let _ = tokio::time::timeout(PATIENCE, enough).await;
        self.told.borrow().clone()
    }
}

type Client =
    csp::csp_notification_service_client::CspNotificationServiceClient<mesh_rpc::MeshChannel>;

async fn attend(
    mut client: Client,
    csp_id: &str,
    meters: &[String],
    told: &watch::Sender<Told>,
) -> Result<(), tonic::Status> {
    let start = csp::follow_flag_changes_request::Start::Acknowledged(csp::AcknowledgedStart {});
    let request = csp::FollowFlagChangesRequest {
        csp_id: csp_id.to_owned(),
        start: Some(start),
        seen: None,
    };
    let mut stream = client.follow_flag_changes(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        let Some(Body::Frame(frame)) = response.body else {
            continue;
        };
        let Some(Frame::Entries(entries)) = frame.frame else {
            continue;
        };
        told.send_modify(|told| {
            for entry in entries.entries {
                told.take(entry, meters);
            }
        });
    }
    Ok(())
}

impl Told {
    fn take(&mut self, entry: LogEntry, meters: &[String]) {
        if let Ok(change) = csp::CspFlagChange::decode(entry.event)
            && meters.contains(&change.device_id)
        {
            self.changes.push(change);
        }
        self.position = entry.position;
    }
}
