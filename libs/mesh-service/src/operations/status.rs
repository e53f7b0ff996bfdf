//! How is a database, a log that is followed, a clock, a certificate?

use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::operations::v1 as wire;
use mesh_follow::{FollowedLog, FollowerStatus};
use mesh_rpc::Tls;
use mesh_store::history::{History, histories};
use mesh_store::log::{self, Head};
use mesh_store::{Condition, Schema, Store, StoreError, Trouble};
use mesh_types::{Clock, Doubt};
use sha2::{Digest as _, Sha256};

use crate::clock::{clock_offsets, doubt};

/// A log of another service, and how following it goes.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// The service that owns it.
    pub(crate) owner: &'static str,
    /// The log.
    pub(crate) log: FollowedLog,
}

impl Followed {
    pub(super) fn to_wire(&self) -> wire::FollowedLogStatus {
        use wire::FollowState as State;
        let status = self.log.status().borrow().clone();
        let (state, malformed) = match &status {
            FollowerStatus::Starting => (State::Starting, ""),
            FollowerStatus::Following { .. } => (State::Following, ""),
            FollowerStatus::Lost { .. } => (State::Lost, ""),
            FollowerStatus::WentBack { .. } => (State::WentBack, ""),
            FollowerStatus::Malformed { what, .. } => (State::Malformed, *what),
        };
        let at = self.log.stands_at();
        wire::FollowedLogStatus {
            log: self.log.name().to_owned(),
            owner: self.owner.to_owned(),
            state: state.into(),
            position: at.as_ref().map(|at| position_to_wire(&at.position)),
            hash: at.map_or_else(Vec::new, |at| at.hash.to_vec()),
            stale_since: status.stale_since().map(timestamp_to_wire),
            malformed: malformed.to_owned(),
        }
    }
}

/// How the clock is by which `store` is written.
pub(super) async fn clock_status(clock: &dyn Clock, store: Option<&Store>) -> wire::ClockStatus {
    let doubt = doubt(clock, store).await;
    let offsets = clock_offsets(clock).into_iter();
    let offsets = offsets.map(|(service, seconds_ahead)| wire::ClockOffset {
        service: service.to_owned(),
        seconds_ahead,
    });
    wire::ClockStatus {
        doubt: doubt.as_ref().map_or("", Doubt::reason).to_owned(),
        offsets: offsets.collect(),
    }
}

/// How the certificate is that is shown; `None` if it cannot be read.
pub(super) fn certificate_status(tls: &Tls) -> Option<wire::CertificateStatus> {
    let status = tls.status()?;
    let authorities = status.authorities.into_iter();
    let authorities = authorities.map(|authority| wire::TrustedAuthority {
        subject: authority.subject.to_string(),
        serial: authority.id.serial.to_string(),
        not_after: Some(timestamp_to_wire(authority.not_after)),
    });
    let last_failure = status.last_refused.map(|refused| wire::ReloadFailure {
        time: Some(timestamp_to_wire(refused.at)),
        files: refused.files.to_owned(),
        problem: refused.problem,
        persists: refused.persists,
    });
    Some(wire::CertificateStatus {
        not_after: Some(timestamp_to_wire(status.own.not_after)),
        serial: status.own.id.serial.to_string(),
        issuer: status.own.id.issuer.to_string(),
        generation: status.generation,
        authorities: authorities.collect(),
        failed_reloads: status.refused_reloads,
        last_failure,
    })
}

/// Which deny-list is in use.
pub(super) fn deny_list_status(tls: &Tls) -> wire::DenyListStatus {
    let (text, entries) = tls.denied();
    wire::DenyListStatus {
        sha256: Sha256::digest(text.as_bytes()).to_vec(),
        entries: entries.try_into().unwrap_or(u64::MAX),
    }
}

/// How a database is; `None` if it cannot be read, so that the rest is answered all the same.
pub(super) async fn database_status(store: &Store) -> Option<wire::DatabaseStatus> {
    match contents(store).await {
        Ok((logs, schema)) => Some(wire::DatabaseStatus {
            condition: condition(&store.condition().borrow()).into(),
            logs,
            schema: Some(schema_to_wire(schema)),
        }),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "the state of the database cannot be read");
            None
        }
    }
}

/// All of one committed state.
async fn contents(store: &Store) -> Result<(Vec<wire::LogStatus>, Schema), StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut logs = Vec::new();
    for head in log::heads(&mut snapshot, "").await? {
        let mut over = histories(&mut snapshot, &head.position.log).await?;
        over.sort_unstable_by_key(|history| history.ended_time);
        logs.push(log_to_wire(&head, &over));
    }
    let schema = store.schema(&mut snapshot).await?;
    snapshot.rollback().await?;
    Ok((logs, schema))
}

fn schema_to_wire(schema: Schema) -> wire::SchemaStatus {
    wire::SchemaStatus {
        known: schema.known.unsigned_abs(),
        applied: schema.applied.unsigned_abs(),
        fits: schema.fits,
    }
}

fn log_to_wire(head: &Head, histories: &[History]) -> wire::LogStatus {
    let begun = head.position.sequence > 0;
    wire::LogStatus {
        head: Some(position_to_wire(&head.position)),
        hash: head.hash.to_vec(),
        recorded_time: begun.then(|| timestamp_to_wire(head.recorded_time)),
        first_epoch: head.first_epoch.get(),
        histories: histories.iter().map(history_to_wire).collect(),
    }
}

fn history_to_wire(history: &History) -> wire::LogHistory {
    wire::LogHistory {
        epoch: history.epoch.get(),
        ended_after: history.ended_after,
        seen_up_to: history.seen_up_to,
        next_epoch: history.next_epoch.get(),
        ended_time: Some(timestamp_to_wire(history.ended_time)),
        decided_by: history.decided_by.clone(),
        reason: history.reason.clone(),
    }
}

const fn condition(condition: &Condition) -> wire::DatabaseCondition {
    use wire::DatabaseCondition as Wire;
    match condition.trouble() {
        None => Wire::Sound,
        Some(Trouble::FileGone) => Wire::FileGone,
        Some(Trouble::Damaged) => Wire::Damaged,
        Some(Trouble::WentBack { .. }) => Wire::LogWentBack,
        Some(Trouble::CannotWrite) => Wire::CannotWrite,
        Some(_) => Wire::Unspecified,
    }
}
