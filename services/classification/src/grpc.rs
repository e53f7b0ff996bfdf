//! How does each RPC go from request to answer?
//!
//! The layers in front have judged the caller; what they found is the request's
//! [`Authorization`]. The stream stands in `grpc/stream.rs`, the pages of the policy in
//! `grpc/rules.rs`.

mod rules;
mod stream;

use mesh_api::classification::v1 as wire;
use mesh_api::classification::v1::classification_service_server::ClassificationService;
use mesh_api::classification::v1::decision_result;
use mesh_api::common::v1::Position as WirePosition;
use mesh_api::convert::{FieldErrors, position_from_wire};
use mesh_authz::Authorization;
use mesh_rpc::{Draining, Work};
use mesh_store::Tokens;
use mesh_types::Position;
use tonic::{Request, Response, Status, Streaming};

use crate::classify::{Answer, Classifier};
use crate::problem::Error;

use self::stream::Answers;

/// The service behind the chain.
#[derive(Debug, Clone)]
pub struct Classification {
    classifier: Classifier,
    tokens: Tokens,
    draining: Draining,
}

impl Classification {
    /// Answers with what `classifier` decides; streams end when `draining` starts.
    #[must_use]
    pub fn new(classifier: Classifier, draining: Draining) -> Self {
        let tokens = rules::tokens(classifier.policy());
        Self {
            classifier,
            tokens,
            draining,
        }
    }
}

#[tonic::async_trait]
impl ClassificationService for Classification {
    async fn classify(
        &self,
        request: Request<wire::ClassifyRequest>,
    ) -> Result<Response<wire::ClassifyResponse>, Status> {
        let request = request.into_inner();
        let at_least = position(request.at_least.as_ref())?;
        let message = request
            .message
            .ok_or_else(|| invalid("message", "is missing"))?;
        let answer = self.classifier.answer(vec![message], at_least.as_ref());
        let Answer { decisions, basis } = answer.await?;
        let decision = decisions.into_iter().next().transpose();
        Ok(Response::new(wire::ClassifyResponse {
            decision: decision.map_err(|error| error.within("message"))?,
            basis,
        }))
    }

    async fn batch_classify(
        &self,
        request: Request<wire::BatchClassifyRequest>,
    ) -> Result<Response<wire::BatchClassifyResponse>, Status> {
        let request = request.into_inner();
        let at_least = position(request.at_least.as_ref())?;
        let answer = self.classifier.answer(request.messages, at_least.as_ref());
        let Answer { decisions, basis } = answer.await?;
        Ok(Response::new(wire::BatchClassifyResponse {
            results: results(decisions),
            basis,
        }))
    }

    type ClassifyStreamStream = Answers;

    async fn classify_stream(
        &self,
        request: Request<Streaming<wire::ClassifyStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let authorization = Authorization::of(&request)?;
        let work = Work::of(&request);
        let requests = request.into_inner();
        Ok(Response::new(self.stream(authorization, work, requests)))
    }

    async fn list_rules(
        &self,
        request: Request<wire::ListRulesRequest>,
    ) -> Result<Response<wire::ListRulesResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        Ok(Response::new(
            self.rules(&authorization, request.get_ref())?,
        ))
    }
}

fn results(decisions: Vec<Result<wire::Decision, Error>>) -> Vec<wire::DecisionResult> {
    let result = |decision| match decision {
        Ok(decision) => decision_result::Result::Decision(decision),
        Err(error) => decision_result::Result::Status(Error::item(&error)),
    };
    let results = decisions.into_iter().map(|decision| wire::DecisionResult {
        result: Some(result(decision)),
    });
    results.collect()
}

fn position(at_least: Option<&WirePosition>) -> Result<Option<Position>, Error> {
    let position = at_least.map(position_from_wire).transpose();
    position.map_err(|error| invalid("at_least", &error.to_string()))
}

fn invalid(field: &str, problem: &str) -> Error {
    let mut errors = FieldErrors::default();
    errors.add(field, problem);
    Error::Fields(errors)
}
