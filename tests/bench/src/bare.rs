//! How fast could a flag be set, if that were two calls and one commit?

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::{ClassifyRequest, ClassifyResponse, Decision, Message};
use mp169::service::Service;
use tonic::transport::Channel;

use crate::commits::Commits;
use crate::echo::{Answers, Echo};
use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

/// The octets of a request to set a flag, about; the answer has as many.
const MESSAGE: [u8; 300] = [0xA5; 300];

/// The supplier's, and that about the supplier's authority.
const CALLS: usize = 2;

/// What must at least be done for a flag, one after another: a call to a server, the call of that server to
/// another, each over mTLS and answered at once, and a commit of the mesh's engine.
pub(crate) struct CallsAndCommits {
    client: ClassificationServiceClient<Channel>,
    request: ClassifyRequest,
    commits: Commits,
    _echo: Echo,
}

impl CallsAndCommits {
    pub(crate) async fn start(town: &Town) -> Result<Self> {
        let decision = Decision {
            rule_id: "0".repeat(MESSAGE.len()),
            ..Decision::default()
        };
        let answers = Answers {
            unary: Arc::new(ClassifyResponse {
                decision: Some(decision),
                ..ClassifyResponse::default()
            }),
            streamed: Arc::new([]),
        };
        let echo = Echo::start(town.server_tls(Service::Classification)?, answers).await?;
        let mut channels = town.channels_to(Service::Classification, &echo.address, "dsp")?;
        let channel = channels.pop().context("there is a channel")?;
        let message = Message {
            content: Some(Content::Gbcs(Bytes::from_static(&MESSAGE))),
            ..Message::default()
        };
        Ok(Self {
            client: ClassificationServiceClient::new(channel),
            request: ClassifyRequest {
                message: Some(message),
                at_least: None,
            },
            commits: Commits::open(town, 1).await?,
            _echo: echo,
        })
    }
}

impl Side for CallsAndCommits {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (client, request) = (self.client.clone(), self.request.clone());
        let commits = self.commits.clone();
        keep_in_flight(1, time, move |_| {
            let (mut client, request) = (client.clone(), request.clone());
            let commits = commits.clone();
            async move {
                for _ in 0..CALLS {
                    let answer = client.classify(request.clone()).await?.into_inner();
                    let decision = answer.decision.context("the decision is missing")?;
                    ensure!(decision.rule_id.len() == MESSAGE.len(), "{decision:?}");
                }
                commits.commit().await.map(ControlFlow::Continue)
            }
        })
        .await
    }
}
