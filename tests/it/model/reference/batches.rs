//! What is a batch of changes answered? What its requests would be, one after another.

use std::collections::BTreeSet;

use mesh_api::common::v1::Position;

use super::super::calls::{Answer, Call, Refusal, Reply, Request};
use super::Reference;

impl Call {
    /// The requests of a batch as calls of their own; none of anything else.
    pub(in super::super) fn parts(&self) -> Vec<Self> {
        let requests: Vec<Request> = match &self.request {
            Request::AddAll(asked) => asked.requests.iter().cloned().map(Request::Add).collect(),
            Request::RemoveAll(asked) => {
                let requests = asked.requests.iter().cloned();
                requests.map(Request::Remove).collect()
            }
            _ => Vec::new(),
        };
        let caller = self.caller;
        let alone = |request| Self { caller, request };
        requests.into_iter().map(alone).collect()
    }

    /// Whether it has an id, or its parts have.
    pub(in super::super) fn can_come_again(&self) -> bool {
        !self.request.id().is_empty() || !self.parts().is_empty()
    }

    fn device(&self) -> &str {
        match &self.request {
            Request::Add(asked) => &asked.device_id,
            Request::Remove(asked) => &asked.device_id,
            other => panic!("{other:?} is in no batch"),
        }
    }
}

impl Reference {
    pub(super) fn answer_each(&mut self, call: &Call) -> Reply {
        let (mut devices, mut ids) = (BTreeSet::new(), BTreeSet::new());
        let mut answers: Vec<Answer> = Vec::new();
        for part in call.parts() {
            let first_of_device = devices.insert(part.device().to_owned());
            let first_of_id = ids.insert(part.request.id().to_owned());
            let answer = if !first_of_device {
                Err(Refusal::of_field("device_id"))
            } else if first_of_id {
                self.answer(&part)
            } else {
                // Whose the Device is comes before what is wrong with the request.
                let admitted = self.admit(&part);
                admitted.and(Err(Refusal::of_field("request_id")))
            };
            answers.push(answer);
        }
        let position = last(&answers);
        Reply::Each(answers, position)
    }
}

/// The last position of what was granted: a log only grows, so that its sequence says so.
fn last(answers: &[Answer]) -> Option<Position> {
    let positions = answers.iter().flatten().filter_map(|reply| match reply {
        Reply::Add(reply) => reply.position.clone(),
        Reply::Remove(reply) => reply.position.clone(),
        other => panic!("{other:?} answers no request of a batch"),
    });
    positions.max_by_key(|position| position.sequence)
}
