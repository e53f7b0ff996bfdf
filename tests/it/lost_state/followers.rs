//! Older databases of those who only follow. What they had made of others' logs comes again by itself;
//! what nobody else has seen is lost.

use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1 as reporting;
use mp169::clients::Clients;
use mp169::sample::{CSP_NORTH, CSP_SOUTH, Home};
use mp169::service::Service;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;
use crate::requests::now;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_accepted_loss_of_what_csps_were_told_they_start_over() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;
    let older = town.copy(Service::CspNotification).await;
    town.lift(7..12).await;
    town.set(17..27).await;
    all_agree(town.folder(), &csps).await;

    town.stop(Service::CspNotification).await;
    let database = town.database(Service::CspNotification);
    database.put_back_under_the_witness(&older);
    let said = town.refused(Service::CspNotification).await;
    assert!(said.contains("the log csp/north was at event"), "{said}");
    town.lift([12]).await;
    town.set([27, 28]).await;
    let accepted = town.accept_loss(Service::CspNotification).await;
    let goes_on_after = accepted.logs.iter().map(|new| new.goes_on_after);
    assert_eq!(goes_on_after.collect::<Vec<_>>(), [5, 5]);
    town.start_service(Service::CspNotification).await;
    town.set(29..37).await;
    all_agree(town.folder(), &csps).await;
    for csp in &csps {
        assert_eq!(csp.snapshots(), 2, "{} starts over, once", csp.id);
    }
    never_silent(&csps, &town.changes()).await;
}

/// Nobody but reporting has seen an outcome: with its own witness beside it, an older database says
/// less and nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_reporting_database_follows_on_and_lacks_the_outcomes_since() {
    let mut town = Town::start().await;
    let outcomes = Outcomes::now();
    town.set(7..17).await;
    outcomes.record(&town, 0..10).await;
    all_agree(town.folder(), &[]).await;
    let older = town.copy(Service::Reporting).await;
    town.lift(7..12).await;
    town.set(17..27).await;
    outcomes.record(&town, 10..20).await;
    assert_eq!(outcomes.reported(&town).await, 20);
    all_agree(town.folder(), &[]).await;

    town.stop(Service::Reporting).await;
    town.database(Service::Reporting).put_back(&older);
    town.start_service(Service::Reporting).await;
    all_agree(town.folder(), &[]).await;
    assert_eq!(outcomes.reported(&town).await, 10);
    // Whoever has them still sends them again.
    outcomes.record(&town, 10..20).await;
    town.set(27..30).await;
    all_agree(town.folder(), &[]).await;

    town.stop(Service::Reporting).await;
    let database = town.database(Service::Reporting);
    database.put_back_under_the_witness(&older);
    let said = town.refused(Service::Reporting).await;
    assert!(
        said.contains("is older than the database that was here"),
        "{said}"
    );
    town.accept_loss(Service::Reporting).await;
    town.start_service(Service::Reporting).await;
    all_agree(town.folder(), &[]).await;
    assert_eq!(outcomes.reported(&town).await, 10);
}

/// Outcomes of one instant.
struct Outcomes {
    at: prost_types::Timestamp,
}

impl Outcomes {
    fn now() -> Self {
        Self { at: now() }
    }

    /// Records those with these numbers, none of which may be known.
    async fn record(&self, town: &Town, numbers: std::ops::Range<u64>) {
        let sent = numbers.end - numbers.start;
        let home = Home::new(8);
        let outcomes = numbers.map(|number| reporting::Outcome {
            outcome_id: number.to_string(),
            party_id: home.electricity().id.to_owned(),
            device_id: home.esme().to_string(),
            service_reference_variant: "4.8.1".to_owned(),
            message_class: MessageClass::Consumption.into(),
            request_time: Some(self.at),
            result: reporting::OutcomeResult::Failed.into(),
            origin: reporting::OutcomeOrigin::OnDemand.into(),
        });
        let request = reporting::RecordOutcomesRequest {
            producer: "dsp".to_owned(),
            outcomes: outcomes.collect(),
            batch_number: 0,
        };
        let dsp = Clients::of(town.folder(), "dsp").unwrap();
        let mut reports = dsp.reporting().unwrap();
        let answer = reports.record_outcomes(tokio_stream::once(request)).await;
        assert_eq!(answer.unwrap().into_inner().recorded, sent);
    }

    /// How many the report of their month counts.
    async fn reported(&self, town: &Town) -> u64 {
        let analyst = Clients::of(town.folder(), "analyst").unwrap();
        let request = reporting::GetServiceRequestReportRequest {
            month: self.at.to_string()[..7].to_owned(),
            ..Default::default()
        };
        let mut reports = analyst.reporting().unwrap();
        let report = reports.get_service_request_report(request).await;
        let totals = report.unwrap().into_inner().totals.unwrap();
        totals.total.unwrap().sent
    }
}
