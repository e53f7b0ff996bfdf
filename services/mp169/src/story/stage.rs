//! What differs between a mesh that is made for the story and one that ran before and goes on?
//!
//! The former has a clock of the story's choosing, so that a month passes in it; the latter goes by the
//! machine's, and the month's requests follow one another within the moment that the story has taken. The
//! latter has seen other things, so that what the story tells of is what has been added.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::reporting::v1 as reporting;
use mesh_types::{Clock, SystemClock, Timestamp};

use super::BEGINNING;
use crate::clients::Clients;
use crate::clock::StoryClock;
use crate::home::Folder;
use crate::output::instant;
use crate::sample::{ALBION, CSP_SOUTH, Home, TOWNS};

const DAY: i64 = 86_400 * 1_000_000;
/// The day on which the month ends.
const LAST_DAY: i64 = 30;

/// The mesh, and the town in which the story takes place.
pub(super) struct Stage {
    pub(super) clock: Arc<dyn Clock>,
    /// The mesh's clock if it is the story's.
    own: Option<Arc<StoryClock>>,
    pub(super) town: u32,
    /// When the story begins.
    begun: Timestamp,
}

impl Stage {
    pub(super) fn own(clock: Arc<StoryClock>) -> Self {
        Self {
            clock: clock.clone(),
            own: Some(clock),
            town: 0,
            begun: BEGINNING,
        }
    }

    /// In a town that hardly any other telling has had.
    pub(super) fn running() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            own: None,
            town: rand::random_range(TOWNS),
            begun: SystemClock.now(),
        }
    }

    /// Whether the mesh has seen nothing but the story.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    pub(super) fn home(&self, number: u16) -> Home {
        Home::in_town(self.town, number)
    }

    /// Lets a month pass, if that can be. `settled` is when the last flag changed.
    pub(super) fn month(&self, settled: Timestamp) -> Month {
        if let Some(clock) = &self.own {
            clock.advance(Duration::from_secs(LAST_DAY.unsigned_abs() * 86_400));
            return Month {
                before: Timestamp::from_micros(BEGINNING.micros() - DAY),
                first: BEGINNING,
                day: DAY,
            };
        }
        let passed = self.clock.now().micros() - settled.micros();
        Month {
            before: Timestamp::from_micros(self.begun.micros() - 1_000),
            first: settled,
            day: passed / (LAST_DAY + 1),
        }
    }
}

/// When the requests of the story's month were sent.
pub(super) struct Month {
    before: Timestamp,
    first: Timestamp,
    /// How long a day takes, in microseconds.
    day: i64,
}

impl Month {
    /// The time of day `day`, with the first as 0; before the story if that is negative.
    pub(super) fn at(&self, day: i64) -> Timestamp {
        if day < 0 {
            return self.before;
        }
        Timestamp::from_micros(self.first.micros() + day * self.day)
    }

    /// The calendar month, as `2026-03`.
    pub(super) fn name(&self) -> String {
        let first = instant(Some(&timestamp_to_wire(self.first)));
        first.chars().take(7).collect()
    }
}

/// What was there before the story.
#[derive(Default)]
pub(super) struct Before {
    /// How many events the log of the southern CSP had.
    pub(super) south: u64,
    /// Albion's electricity meters, of which reduced by choice; gas meters, of which reduced by choice.
    pub(super) obligation: [u64; 4],
    /// What was reported, by party and Service Request Variant, as [`counts`] has it.
    pub(super) reported: BTreeMap<(String, String), [u64; 6]>,
}

impl Before {
    pub(super) async fn of(stage: &Stage, folder: &Folder) -> Result<Self> {
        if stage.is_own() {
            return Ok(Self::default());
        }
        // Whoever the mesh has not heard of yet has nothing there.
        let mut csp = Clients::of(folder, CSP_SOUTH.id)?.csp()?;
        let request = csp::GetSubscriptionRequest {
            csp_id: CSP_SOUTH.csp.to_owned(),
        };
        let south = csp.get_subscription(request).await.ok();
        let south = south.and_then(|answer| answer.into_inner().subscription?.head);
        let mut albion = Clients::of(folder, ALBION.id)?.reporting()?;
        let request = reporting::GetObligationReportRequest {
            party_id: ALBION.id.into(),
            ..Default::default()
        };
        let obligation = albion.get_obligation_report(request).await.ok();
        let obligation = obligation.and_then(|answer| answer.into_inner().rows.into_iter().next());
        let month = Month {
            before: stage.begun,
            first: stage.begun,
            day: 0,
        };
        let mut analyst = Clients::of(folder, "analyst")?.reporting()?;
        let request = reporting::GetServiceRequestReportRequest {
            month: month.name(),
            ..Default::default()
        };
        let report = analyst.get_service_request_report(request).await?;
        let rows = report.into_inner().rows.into_iter();
        Ok(Self {
            south: south.map_or(0, |head| head.sequence),
            obligation: obligation.map_or([0; 4], |row| meters(&row)),
            reported: rows
                .map(|row| {
                    let counts = counts(&row);
                    ((row.party_id, row.service_reference_variant), counts)
                })
                .collect(),
        })
    }
}

/// The figures of a supplier's obligation, as [`Before::obligation`] has them.
pub(super) const fn meters(row: &reporting::ObligationRow) -> [u64; 4] {
    [
        row.electricity,
        row.electricity_reduced_by_choice,
        row.gas,
        row.gas_reduced_by_choice,
    ]
}

/// Sent, succeeded, failed, suppressed, excepted, excepted but delivered.
pub(super) fn counts(row: &reporting::ServiceRequestRow) -> [u64; 6] {
    let total = row.figures.and_then(|figures| figures.total);
    let total = total.unwrap_or_default();
    [
        total.sent,
        total.succeeded,
        total.failed,
        total.suppressed,
        total.excepted,
        total.excepted_but_delivered,
    ]
}
