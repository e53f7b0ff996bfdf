//! The last act: parties are suspended and reinstated.

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::csp_notification::v1::csp_notification_service_client::CspNotificationServiceClient;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::registration::v1::{self as registration, PartyStatus};
use mesh_api::reporting::v1 as reporting;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_api::status::reason_of;
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mp169::sample::{ALBION, CSP_SOUTH};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::views::Journey;
use super::{HOME, assert_refused};
use crate::downstream::Read::Suppress;
use crate::requests::new_id;

/// How long a suspension may take to act everywhere.
const EVERYWHERE: Duration = Duration::from_secs(1);

/// Within a second a party is refused everywhere, its open stream ends, and its flags stay.
pub(super) async fn parties_are_suspended_and_reinstated(journey: &mut Journey) {
    let mut parties = Parties::of(journey);
    for answer in parties.calls().await {
        answer.unwrap();
    }
    let streams_before = journey.south.ends();
    for party in [ALBION.id, CSP_SOUTH.id] {
        set_status(journey, party, PartyStatus::Suspended).await;
    }
    let since = Instant::now();
    wait_until("all services to refuse the parties", async || {
        let answers = parties.calls().await;
        let refused = |answer: &Result<(), Status>| {
            let reason = answer.as_ref().err().and_then(reason_of);
            reason == Some(ErrorReason::PartyNotActive)
        };
        if answers.iter().all(refused) {
            Ok(())
        } else {
            Err(format!("{answers:?}"))
        }
    })
    .await;
    let end = journey
        .south
        .ended(streams_before)
        .await
        .expect("a refusal");
    assert_refused(&end, Code::PermissionDenied, ErrorReason::PartyNotActive);
    assert!(since.elapsed() < EVERYWHERE, "{:?}", since.elapsed());
    journey.reads(&[(HOME.gsme(), Suppress)]).await;
    for party in [ALBION.id, CSP_SOUTH.id] {
        set_status(journey, party, PartyStatus::Active).await;
    }
    wait_until("all services to serve the parties", async || {
        let [flags, reports, csp] = parties.calls().await;
        flags.and(reports).and(csp)
    })
    .await;
    journey.south_is_told(&[]).await;
    journey.albion_has([6, 0, 9, 1]).await;
}

async fn set_status(journey: &Journey, party: &str, status: PartyStatus) {
    let mut parties = journey.town.clients("operator").parties().unwrap();
    let request = registration::SetPartyStatusRequest {
        request_id: new_id(),
        party_id: party.to_owned(),
        status: status.into(),
        reason: "a test".into(),
    };
    parties.set_party_status(request).await.unwrap();
}

/// The parties' own connections, which are there before the suspension.
struct Parties {
    flags: FlagServiceClient<MeshChannel>,
    reports: ReportingServiceClient<MeshChannel>,
    csp: CspNotificationServiceClient<MeshChannel>,
}

impl Parties {
    fn of(journey: &Journey) -> Self {
        let albion = journey.town.clients(ALBION.id);
        Self {
            flags: albion.flags().unwrap(),
            reports: albion.reporting().unwrap(),
            csp: journey.town.clients(CSP_SOUTH.id).csp().unwrap(),
        }
    }

    /// What flag-registry, reporting and csp-notification say to them.
    async fn calls(&mut self) -> [Result<(), Status>; 3] {
        let list = flags::ListFlagsRequest {
            party_id: ALBION.id.into(),
            ..Default::default()
        };
        let report = reporting::GetObligationReportRequest {
            party_id: ALBION.id.into(),
            ..Default::default()
        };
        let subscription = csp::GetSubscriptionRequest {
            csp_id: CSP_SOUTH.csp.into(),
        };
        [
            self.flags.list_flags(list).await.map(drop),
            self.reports.get_obligation_report(report).await.map(drop),
            self.csp.get_subscription(subscription).await.map(drop),
        ]
    }
}
