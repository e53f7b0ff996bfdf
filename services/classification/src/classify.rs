//! How does a request become an answer?
//!
//! Every answer goes the same way: read the messages, take the flags (waiting for a position only if
//! a verdict depends on one), decide, count.

use std::sync::Arc;

use mesh_api::classification::v1 as wire;
use mesh_types::Position;

use crate::decide::Judgement;
use crate::flags::{Flags, View};
use crate::message::Message;
use crate::metrics::{Metrics, Tally};
use crate::policy::Policy;
use crate::problem::Error;
use crate::{request, wire as to_wire};

/// The most messages of one request.
pub const MAX_MESSAGES: usize = 1_000;

/// After reading so many octets of raw messages, other tasks of the thread get their turn.
const TURN_OCTETS: usize = 256 << 10;

/// And after answering about so many Devices.
const TURN_DEVICES: usize = 10_000;

/// Decides by one policy and the flags of this replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Classifier {
    policy: Arc<Policy>,
    flags: Flags,
    metrics: Metrics,
}

/// What a request is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// A decision or an error for each message, in order.
    pub(crate) decisions: Vec<Result<wire::Decision, Error>>,
    /// What all decisions rest on.
    pub(crate) basis: Option<wire::FlagBasis>,
}

impl Classifier {
    /// Decides by `policy` and `flags`.
    #[must_use]
    pub const fn new(policy: Arc<Policy>, flags: Flags, metrics: Metrics) -> Self {
        Self {
            policy,
            flags,
            metrics,
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides about each message by itself, all by the same flags.
    pub(crate) async fn answer(
        &self,
        messages: Vec<wire::Message>,
        at_least: Option<&Position>,
    ) -> Result<Answer, Error> {
        if messages.len() > MAX_MESSAGES {
            return Err(Error::TooManyItems { max: MAX_MESSAGES });
        }
        let messages = self.read(messages).await;
        let view = self.flags_for(&messages, at_least).await?;
        let mut tally = Tally::default();
        let mut decisions = Vec::with_capacity(messages.len());
        let mut devices = 0;
        for message in messages {
            let named = message.as_ref().ok().map(|message| &message.devices);
            devices += named.map_or(0, |devices| devices.as_slice().len());
            let decision =
                message.and_then(|message| self.decide(&message, view.as_deref(), &mut tally));
            decisions.push(decision.inspect_err(|error| tally.undecided(error)));
            if devices >= TURN_DEVICES {
                devices = 0;
                tokio::task::yield_now().await;
            }
        }
        self.metrics.add(&tally);
        Ok(Answer {
            decisions,
            basis: view.as_deref().map(to_wire::basis),
        })
    }

    async fn read(&self, messages: Vec<wire::Message>) -> Vec<Result<Message, Error>> {
        let mut read = Vec::with_capacity(messages.len());
        let mut octets = 0;
        for message in messages {
            octets += request::octets(&message);
            read.push(request::read(&self.policy, message));
            if octets >= TURN_OCTETS {
                octets = 0;
                tokio::task::yield_now().await;
            }
        }
        read
    }

    /// The flags to decide by. Messages whose verdict does not depend on one never wait.
    async fn flags_for(
        &self,
        messages: &[Result<Message, Error>],
        at_least: Option<&Position>,
    ) -> Result<Option<Arc<View>>, Error> {
        let view = self.flags.view();
        match (&view, at_least) {
            (Some(view), Some(wanted)) if !view.shows(wanted) && self.any_depends(messages) => {
                self.flags.wait_for(wanted).await.map(Some)
            }
            _ => Ok(view),
        }
    }

    fn any_depends(&self, messages: &[Result<Message, Error>]) -> bool {
        messages.iter().flatten().any(|message| {
            let judged = self.policy.judge(message);
            matches!(judged, Judgement::DependsOnFlag(_))
        })
    }

    fn decide(
        &self,
        message: &Message,
        view: Option<&View>,
        tally: &mut Tally,
    ) -> Result<wire::Decision, Error> {
        let decision = match self.policy.judge(message) {
            Judgement::Final(decision) => decision,
            Judgement::DependsOnFlag(pending) => {
                let set = &view.ok_or(Error::FlagsNotLoaded)?.set;
                pending.decide(|device| set.get(device).map(|flagged| flagged.flag()))
            }
        };
        tally.decided(&decision);
        let flag = view
            .zip(decision.flagged_device)
            .and_then(|(view, device)| view.set.get(device));
        Ok(to_wire::decision(
            &self.policy,
            message,
            &decision,
            flag,
            view,
        ))
    }
}
