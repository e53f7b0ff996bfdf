//! Who judges outcomes: the service that records them, or the rules that need nothing of what is recorded?

use std::time::Duration;

use anyhow::Result;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_api::status::item_status;
use mesh_authz::InternalRole;
use mesh_rpc::{MeshChannel, Retry, RetryPolicy};
use mesh_types::{Clock as _, SystemClock, Timestamp};
use reporting::error::Error;
use reporting::outcome;
use tonic::Status;

use crate::cli::outcome::LoadArgs;
use crate::session::Session;

/// Who usually gives these commands.
const USUAL: Option<InternalRole> = Some(InternalRole::Dsp);

/// Who judges.
pub(super) enum Judge {
    /// The service, which records them.
    Service(Box<Recorder>),
    /// Nobody but the rules.
    Rules,
}

/// Sends outcomes to be recorded.
pub(super) struct Recorder {
    reporting: ReportingServiceClient<MeshChannel>,
    producer: String,
    retry: Retry,
    was_answered: bool,
}

impl Judge {
    pub(super) fn of(args: &LoadArgs) -> Result<Self> {
        if args.dry_run {
            return Ok(Self::Rules);
        }
        let session = Session::open(&args.connection, USUAL)?;
        Ok(Self::Service(Box::new(Recorder {
            reporting: session.clients.reporting()?,
            producer: args.producer.to_string(),
            retry: Retry::default(),
            was_answered: false,
        })))
    }

    /// What becomes of outcomes, or would.
    pub(super) async fn judge(
        &mut self,
        outcomes: Vec<wire::Outcome>,
    ) -> Result<wire::RecordOutcomesResponse, Status> {
        match self {
            Self::Rules => Ok(by_rules(&outcomes, SystemClock.now())),
            // A file may end in lines without outcomes.
            Self::Service(_) if outcomes.is_empty() => Ok(wire::RecordOutcomesResponse::default()),
            Self::Service(recorder) => recorder.record(outcomes).await,
        }
    }
}

impl Recorder {
    /// One stream for each call, so that its answer names all that it refuses, and is the word that they
    /// are on disk. After a cut all of it is sent again.
    async fn record(
        &mut self,
        outcomes: Vec<wire::Outcome>,
    ) -> Result<wire::RecordOutcomesResponse, Status> {
        let producer = self.producer.clone();
        let request = wire::RecordOutcomesRequest {
            producer,
            outcomes,
            batch_number: 0,
        };
        let reporting = &mut self.reporting;
        let call = async || {
            let stream = tokio_stream::iter([request.clone()]);
            reporting.record_outcomes(stream).await
        };
        let answer = self.retry.idempotent(call).await?;
        if !std::mem::replace(&mut self.was_answered, true) {
            self.retry = patient();
        }
        Ok(answer.into_inner())
    }
}

/// Waits half a minute or so for a service that restarts. One that never answered is not waited for: the
/// address may be wrong.
fn patient() -> Retry {
    Retry::new(RetryPolicy {
        attempts: 32,
        longest_pause: Duration::from_secs(2),
        patience: Duration::from_secs(60),
        ..RetryPolicy::default()
    })
}

/// What the rules say at `now`: which outcomes would be refused whatever is recorded.
fn by_rules(outcomes: &[wire::Outcome], now: Timestamp) -> wire::RecordOutcomesResponse {
    let refusals = outcomes.iter().filter_map(|outcome| {
        let errors = outcome::read(outcome, now, |_| true).err()?;
        Some(wire::RefusedOutcome {
            outcome_id: outcome.outcome_id.clone(),
            status: Some(item_status(&Error::Fields(errors).into())),
        })
    });
    let refusals: Vec<_> = refusals.collect();
    wire::RecordOutcomesResponse {
        refused: refusals.len() as u64,
        refusals,
        ..Default::default()
    }
}
