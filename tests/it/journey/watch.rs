//! A CSP attached to its stream: connects again wherever it was cut, and accepts no gap, no
//! duplicate and no broken chain.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_api::common::v1::{LogEntry, Position, stream_frame::Frame};
use mesh_api::csp_notification::v1 as csp;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::csp_notification::v1::follow_flag_changes_response::Body;
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mesh_types::{Epoch, chain};
use mp169::clients::Clients;
use prost::Message as _;
use tokio::task::JoinHandle;
use tonic::Status;

/// The shortest time between two attempts to attach.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

type Client = CspNotificationServiceClient<MeshChannel>;

/// What one CSP was told, from the first event of its log on.
pub(crate) struct Watch {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    changes: Vec<csp::CspFlagChange>,
    /// Where to go on, and the chain's hash there.
    at: Option<(Position, Vec<u8>)>,
    /// How each stream ended; `None` for `OK`.
    ends: Vec<Option<Status>>,
}

impl Watch {
    pub(crate) fn start(clients: &Clients, csp_id: &'static str) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (client, shared) = (clients.csp().unwrap(), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut attempts = tokio::time::interval(BETWEEN_ATTEMPTS);
            loop {
                attempts.tick().await;
                let end = attend(client.clone(), csp_id, &shared).await.err();
                shared.lock().unwrap().ends.push(end);
            }
        });
        Self { heard, task }
    }

    /// The changes after the first `known`, once there are `new` of them; none is one too many.
    pub(crate) async fn told(&self, known: usize, new: usize) -> Vec<csp::CspFlagChange> {
        let changes = wait_until("the CSP to be told", async || {
            assert!(
                !self.task.is_finished(),
                "the chain of the CSP's log is broken"
            );
            let heard = self.heard.lock().unwrap();
            if heard.changes.len() >= known + new {
                Ok(heard.changes[known..].to_vec())
            } else {
                Err(format!("{} of {}", heard.changes.len(), known + new))
            }
        })
        .await;
        assert_eq!(changes.len(), new, "{changes:?}");
        changes
    }

    /// How the first stream that ended after the first `known` ends did so.
    pub(crate) async fn ended(&self, known: usize) -> Option<Status> {
        wait_until("the stream to end", async || {
            let heard = self.heard.lock().unwrap();
            heard.ends.get(known).cloned().ok_or("it goes on")
        })
        .await
    }

    /// How many streams have ended.
    pub(crate) fn ends(&self) -> usize {
        self.heard.lock().unwrap().ends.len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn attend(mut client: Client, csp_id: &str, shared: &Mutex<Heard>) -> Result<(), Status> {
    let csp_id = csp_id.to_owned();
    let known = shared.lock().unwrap().at.clone();
    let after = match known {
        Some((position, _)) => position,
        None => {
            let request = csp::GetSubscriptionRequest {
                csp_id: csp_id.clone(),
            };
            let subscription = client
                .get_subscription(request)
                .await?
                .into_inner()
                .subscription;
            let head = subscription.unwrap().head.unwrap();
            let first = Position {
                sequence: 0,
                ..head
            };
            let hash = chain::genesis(
                &first.log.parse().unwrap(),
                Epoch::new(first.epoch).unwrap(),
            );
            shared.lock().unwrap().at = Some((first.clone(), hash.to_vec()));
            first
        }
    };
    let request = csp::FollowFlagChangesRequest {
        csp_id,
        start: Some(Start::After(after)),
    };
    let mut stream = client.follow_flag_changes(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        let Some(Body::Frame(frame)) = response.body else {
            panic!("a snapshot was not asked for")
        };
        if let Some(Frame::Entries(entries)) = frame.frame {
            let mut heard = shared.lock().unwrap();
            entries
                .entries
                .into_iter()
                .for_each(|entry| heard.take(entry));
        }
    }
    Ok(())
}

impl Heard {
    fn take(&mut self, entry: LogEntry) {
        let (at, hash) = self.at.as_mut().unwrap();
        let position = entry.position.unwrap();
        assert_eq!(
            position,
            Position {
                sequence: at.sequence + 1,
                ..at.clone()
            }
        );
        assert_eq!(entry.previous_hash, *hash);
        let previous = hash.as_slice().try_into().unwrap();
        let linked = chain::link(&previous, position.sequence, &entry.event);
        assert_eq!(entry.hash.as_ref(), linked);
        self.changes
            .push(csp::CspFlagChange::decode(entry.event).unwrap());
        *hash = linked.to_vec();
        *at = position;
    }
}
