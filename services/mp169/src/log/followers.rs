//! Does everybody who follows a log stand on an event that its owner has?

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::Result;
use mesh_api::convert::timestamp_from_wire;
use mesh_api::operations::v1 as wire;
use mesh_store::log::Head;
use mesh_types::Sequence;
use mesh_types::chain::Hash;
use serde_json::{Value, json};

use crate::cli::connection::Output;
use crate::clients::Clients;
use crate::output::{instant, json, print_line, print_table, short};
use crate::service::Service;

/// Who does not follow a log for longer is told: by then a follower has made several attempts.
const PATIENCE_SECONDS: u64 = 10;

const HEADER: [&str; 6] = [
    "follower",
    "log",
    "owner",
    "stands on",
    "follows",
    "finding",
];

/// What the services say of themselves, and what was read of the logs that they follow.
#[derive(Default)]
pub(crate) struct Followers {
    /// Followers before owners.
    statuses: Vec<wire::GetStatusResponse>,
    /// Why a service could not be asked.
    unanswered: Option<anyhow::Error>,
    /// What the owner of a log has, by the log's name, where a follower stands.
    hashes: BTreeMap<(String, Sequence), Option<Hash>>,
}

/// How the place where a follower stands looks to the owner of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has this event.
    Fits,
    /// It has another one there.
    Another,
    /// It has none there.
    Lacking,
    /// That was in a history that an operator has ended.
    Over,
    /// There is nothing to compare yet.
    Nothing,
    /// The owner could not be asked, or the log not be read.
    Unknown,
}

impl Standing {
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Another => "the owner has another event there",
            Self::Lacking => "the owner has no such event",
            Self::Over => "of a history that is over: it starts over",
            Self::Nothing => "nothing was followed yet",
            Self::Unknown => "could not be compared",
        }
    }
}

/// A follower of a log, and what was found out about it.
pub(crate) struct Judged<'a> {
    pub(crate) service: &'a str,
    pub(crate) log: &'a wire::FollowedLogStatus,
    pub(crate) standing: Standing,
    /// Whether it has not followed for too long.
    pub(crate) is_stuck: bool,
}

impl Judged<'_> {
    /// Whether follower and owner contradict each other.
    pub(crate) fn is_misfit(&self) -> bool {
        use wire::FollowState as State;
        matches!(self.standing, Standing::Another | Standing::Lacking)
            || matches!(self.log.state(), State::WentBack | State::Malformed)
    }

    pub(crate) fn sequence(&self) -> Sequence {
        self.log.position.as_ref().map_or(0, |at| at.sequence)
    }

    pub(crate) fn follows(&self) -> String {
        let state = short(self.log.state().as_str_name(), "FOLLOW_STATE_");
        match (&self.log.stale_since, self.log.state()) {
            (_, wire::FollowState::Following) => "yes".to_owned(),
            (Some(since), _) => format!("{state} since {}", instant(Some(since))),
            (None, _) => state.to_owned(),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.service.to_owned(),
            self.log.log.clone(),
            self.log.owner.clone(),
            format!("event {}", self.sequence()),
            self.follows(),
            self.standing.says().to_owned(),
        ]
    }

    pub(crate) fn line(&self) -> Result<Value> {
        Ok(json!({
            "follower": self.service,
            "status": json(self.log)?,
            "finding": self.standing.says(),
            "fits": !self.is_misfit(),
        }))
    }
}

impl Followers {
    /// Asks every service how it is. One that cannot be asked does not keep the others from being compared.
    pub(super) async fn ask(clients: &Clients) -> Self {
        let mut asked = Self::default();
        // Whoever is asked first cannot have seen more of a log than its owner has later.
        for service in Service::ALL.into_iter().rev() {
            match status(clients, service).await {
                Ok(status) => asked.add(status),
                Err(error) => {
                    let whom = format!("how {} is", service.name());
                    asked.unanswered.get_or_insert(error.context(whom));
                }
            }
        }
        asked
    }

    /// What services have said, followers before owners.
    pub(crate) fn of(statuses: impl IntoIterator<Item = wire::GetStatusResponse>) -> Self {
        let mut asked = Self::default();
        statuses.into_iter().for_each(|status| asked.add(status));
        asked
    }

    fn add(&mut self, status: wire::GetStatusResponse) {
        let places = status.followed_logs.iter().filter_map(|followed| {
            let at = followed.position.as_ref()?;
            Some((followed.log.clone(), at.sequence))
        });
        self.hashes.extend(places.map(|place| (place, None)));
        for log in status.database.iter().flat_map(|database| &database.logs) {
            if let (Some(head), Ok(hash)) = (&log.head, log.hash.as_slice().try_into()) {
                self.note(&head.log, head.sequence, hash);
            }
        }
        self.statuses.push(status);
    }

    /// Hears of an event of a log, or of the log's beginning.
    pub(super) fn take(&mut self, at: &Head) {
        self.note(at.position.log.as_str(), at.position.sequence, at.hash);
    }

    fn note(&mut self, log: &str, sequence: Sequence, hash: Hash) {
        if let Some(noted) = self.hashes.get_mut(&(log.to_owned(), sequence)) {
            *noted = Some(hash);
        }
    }

    /// Everybody who follows a log.
    pub(crate) fn judged(&self) -> Vec<Judged<'_>> {
        let in_order = self.statuses.iter().rev();
        let judged = in_order.flat_map(|status| {
            status.followed_logs.iter().map(|log| Judged {
                service: &status.service,
                log,
                standing: self.standing(log),
                is_stuck: is_stuck(log, status.time.as_ref()),
            })
        });
        judged.collect()
    }

    fn standing(&self, followed: &wire::FollowedLogStatus) -> Standing {
        let Some(at) = &followed.position else {
            return Standing::Nothing;
        };
        let owner = self.logs().find(|(service, log)| {
            let head = log.head.as_ref();
            *service == followed.owner && head.is_some_and(|head| head.log == followed.log)
        });
        let Some((
            _,
            wire::LogStatus {
                head: Some(head),
                histories,
                ..
            },
        )) = owner
        else {
            return Standing::Unknown;
        };
        if head.epoch != at.epoch {
            let is_over = histories.iter().any(|history| history.epoch == at.epoch);
            return if is_over {
                Standing::Over
            } else {
                Standing::Lacking
            };
        }
        match self.hashes.get(&(followed.log.clone(), at.sequence)) {
            Some(Some(hash)) if followed.hash == hash => Standing::Fits,
            Some(Some(_)) => Standing::Another,
            _ if at.sequence > head.sequence => Standing::Lacking,
            _ => Standing::Unknown,
        }
    }

    /// The logs of all services, as their owners have them.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (&str, &wire::LogStatus)> {
        self.statuses.iter().rev().flat_map(|status| {
            let logs = status.database.iter();
            let logs = logs.flat_map(|database| &database.logs);
            logs.map(|log| (status.service.as_str(), log))
        })
    }

    pub(super) fn show(&self, output: Output) -> Result<()> {
        match output {
            Output::Table => self.table(),
            Output::Json => self.lines(),
        }
    }

    fn table(&self) -> Result<()> {
        let rows: Vec<_> = self.judged().iter().map(Judged::row).collect();
        if !rows.is_empty() {
            print_table(&HEADER, rows)?;
        }
        for (log, history) in self.losses() {
            print_line(&format_args!(
                "{log} began a new history after event {} at {}, by {} ({}): {}.",
                history.ended_after,
                instant(history.ended_time.as_ref()),
                history.decided_by,
                history.reason,
                lost(history)
            ))?;
        }
        for troubled in self.troubled() {
            print_line(&not_serving(troubled))?;
        }
        Ok(())
    }

    fn lines(&self) -> Result<()> {
        for judged in self.judged() {
            print_line(&judged.line()?)?;
        }
        for (log, history) in self.losses() {
            print_line(&json!({ "log": log, "accepted_loss": json(history)? }))?;
        }
        for (service, reason) in self.troubled() {
            print_line(&json!({ "service": service, "not_serving": reason }))?;
        }
        Ok(())
    }

    fn losses(&self) -> impl Iterator<Item = (&str, &wire::LogHistory)> {
        self.logs().flat_map(|(_, log)| {
            let name = log.head.as_ref().map_or("", |head| head.log.as_str());
            log.histories.iter().map(move |history| (name, history))
        })
    }

    fn troubled(&self) -> impl Iterator<Item = (&str, &str)> {
        let in_order = self.statuses.iter().rev();
        let troubled = in_order.filter(|status| !status.not_serving_reason.is_empty());
        troubled.map(|status| (&*status.service, &*status.not_serving_reason))
    }

    /// Who contradicts the owner of a log, and who has found itself that something does not fit.
    pub(super) fn misfits(&self) -> impl Iterator<Item = String> {
        let judged = self.judged().into_iter().filter(Judged::is_misfit);
        let said = judged.map(|judged| {
            let (service, sequence) = (judged.service, judged.sequence());
            format!("{service} with {} at event {sequence}", judged.log.log)
        });
        let damaged = self
            .troubled()
            .filter(|(_, reason)| tells_of_misfit(reason));
        said.chain(damaged.map(not_serving))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Who does not serve, and who has not followed for too long.
    pub(super) fn unwell(&self) -> Vec<String> {
        let judged = self.judged().into_iter().filter(|judged| judged.is_stuck);
        let stuck =
            judged.map(|judged| format!("{} does not follow {}", judged.service, judged.log.log));
        self.troubled().map(not_serving).chain(stuck).collect()
    }

    /// Why not everybody could be asked.
    pub(super) fn unanswered(&mut self) -> Result<()> {
        self.unanswered.take().map_or(Ok(()), Err)
    }
}

fn not_serving((service, reason): (&str, &str)) -> String {
    format!("{service} does not serve: {reason}")
}

/// Whether a reason for not serving says that what is stored does not fit. The others pass, or need
/// nothing to be put back.
pub(crate) fn tells_of_misfit(reason: &str) -> bool {
    let (kind, _) = reason.split_once(':').unwrap_or((reason, ""));
    ["damaged", "file-gone", "log-went-back"].contains(&kind)
}

async fn status(clients: &Clients, service: Service) -> Result<wire::GetStatusResponse> {
    let mut operations = clients.operations(service)?;
    let answer = operations.get_status(wire::GetStatusRequest {}).await?;
    Ok(answer.into_inner())
}

/// Whether the log is not followed for longer than a follower needs to come back; by the follower's clock.
fn is_stuck(log: &wire::FollowedLogStatus, now: Option<&prost_types::Timestamp>) -> bool {
    let read = |at: Option<&prost_types::Timestamp>| timestamp_from_wire(at?).ok();
    match (read(log.stale_since.as_ref()), read(now)) {
        (Some(since), Some(now)) => now.since(since).as_secs() > PATIENCE_SECONDS,
        _ => false,
    }
}

fn lost(history: &wire::LogHistory) -> String {
    let (first, last) = (history.ended_after + 1, history.seen_up_to);
    match last.cmp(&first) {
        Ordering::Less => "nothing that is known is lost".to_owned(),
        Ordering::Equal => format!("event {first} is lost"),
        Ordering::Greater => format!("events {first} to {last} are lost"),
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::common::v1::Position;

    use super::*;

    fn position(epoch: u64, sequence: Sequence) -> Option<Position> {
        Some(Position {
            log: "flags".to_owned(),
            epoch,
            sequence,
        })
    }

    fn follower(epoch: u64, sequence: Sequence, hash: u8) -> wire::FollowedLogStatus {
        wire::FollowedLogStatus {
            log: "flags".to_owned(),
            owner: "flag-registry".to_owned(),
            state: wire::FollowState::Following.into(),
            position: position(epoch, sequence),
            hash: vec![hash; 32],
            ..wire::FollowedLogStatus::default()
        }
    }

    fn asked(followed: wire::FollowedLogStatus) -> Followers {
        let mut asked = Followers::default();
        asked.add(wire::GetStatusResponse {
            service: "reporting".to_owned(),
            followed_logs: vec![followed],
            ..wire::GetStatusResponse::default()
        });
        let log = wire::LogStatus {
            head: position(2, 10),
            hash: vec![10; 32],
            histories: vec![wire::LogHistory {
                epoch: 1,
                ..wire::LogHistory::default()
            }],
            ..wire::LogStatus::default()
        };
        asked.add(wire::GetStatusResponse {
            service: "flag-registry".to_owned(),
            database: Some(wire::DatabaseStatus {
                logs: vec![log],
                ..wire::DatabaseStatus::default()
            }),
            ..wire::GetStatusResponse::default()
        });
        asked
    }

    #[test]
    fn a_follower_is_held_against_what_the_owner_has() {
        for (followed, expected) in [
            (follower(2, 10, 10), Standing::Fits),
            (follower(2, 10, 9), Standing::Another),
            (follower(2, 11, 11), Standing::Lacking),
            (follower(3, 4, 4), Standing::Lacking),
            (follower(1, 99, 9), Standing::Over),
            // Of the log nothing was read.
            (follower(2, 4, 4), Standing::Unknown),
            (wire::FollowedLogStatus::default(), Standing::Nothing),
        ] {
            let asked = asked(followed.clone());
            assert_eq!(asked.judged()[0].standing, expected, "{followed:?}");
        }
        for (hash, expected) in [(4, Standing::Fits), (5, Standing::Another)] {
            let mut asked = asked(follower(2, 4, 4));
            asked.note("flags", 4, [hash; 32]);
            assert_eq!(asked.judged()[0].standing, expected);
            assert_eq!(asked.misfits().count(), usize::from(hash == 5));
        }
    }

    #[test]
    fn who_has_not_followed_for_longer_than_ten_seconds_is_stuck() {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let mut lost = follower(2, 10, 10);
        lost.stale_since = Some(at(1_700_000_000));
        assert!(!is_stuck(&lost, Some(&at(1_700_000_010))));
        assert!(is_stuck(&lost, Some(&at(1_700_000_011))));
        assert!(!is_stuck(&follower(2, 10, 10), Some(&at(1_700_000_011))));
    }
}
