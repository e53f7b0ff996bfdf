//! Do the logs, and all who follow them, say at the end of a case what the reference says?

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::common::v1::MessageClass;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::reporting::v1::{self as reporting, OutcomeOrigin, OutcomeResult};
use mesh_types::Timestamp;

use super::case::Case;
use super::cast::{self, CSPS, DEVICES, GPFS, METERS, PARTIES};
use super::equal::{Outcome, equal};
use crate::downstream::{Read, classify, obligations};
use crate::tape::Tape;

/// The most outcomes of one request.
const MOST_OUTCOMES: usize = 1_000;

/// Excepted requests, and all of them, by month and variant.
type Figures = BTreeMap<(String, String), (u64, u64)>;

impl Case {
    /// Looks at everything.
    pub(super) async fn end(&self) -> Outcome {
        self.logs_are_equal().await?;
        self.csps_were_told().await?;
        let folder = self.town.folder();
        let flags = self.world.flags.head();
        let rows = obligations(folder, &flags, &self.world.devices.head()).await;
        equal("obligations", &rows, &self.world.obligations())?;
        let devices = || (0..DEVICES).map(cast::device);
        let reads = classify(folder, devices(), Some(flags)).await;
        let reads = reads.unwrap().into_iter().map(|(read, _)| read);
        let expected = devices().map(|device| {
            if self.world.reduced(&device) {
                Read::Suppress
            } else {
                Read::Deliver
            }
        });
        equal("reads", &reads.collect::<Vec<_>>(), &expected.collect())?;
        self.requests_are_excepted().await
    }

    async fn logs_are_equal(&self) -> Outcome {
        let folder = self.town.folder();
        let parties = Tape::of_parties(folder);
        let mut parties = parties.up_to(self.world.parties.head().sequence).await;
        parties
            .iter_mut()
            .for_each(|event| event.trace_parent.clear());
        equal("the log parties", &parties, &self.world.parties.events)?;
        let devices = Tape::of_devices(folder);
        let mut devices = devices.up_to(self.world.devices.head().sequence).await;
        devices
            .iter_mut()
            .for_each(|event| event.trace_parent.clear());
        equal("the log devices", &devices, &self.world.devices.events)?;
        let flags = Tape::of_flags(folder);
        let mut flags = flags.up_to(self.world.flags.head().sequence).await;
        flags
            .iter_mut()
            .for_each(|event| event.trace_parent.clear());
        equal("the log flags", &flags, &self.world.flags.events)
    }

    /// When csp-notification recorded what it tells is its own affair.
    async fn csps_were_told(&self) -> Outcome {
        for (party, csp) in CSPS {
            let expected = self.world.told(csp);
            let tape = Tape::of_csp(self.town.folder(), party, csp);
            let mut told = tape.after(0, expected.len()).await;
            for change in &mut told {
                change.recorded_time = None;
                change.trace_parent.clear();
            }
            equal(&format!("what {csp} was told"), &told, &expected)?;
        }
        Ok(())
    }

    /// Reads are sent to every Device whenever a flag was about to change and when it had. The
    /// report of each month tells which of them are excepted.
    async fn requests_are_excepted(&self) -> Outcome {
        let (mut outcomes, mut expected) = (Vec::new(), Figures::new());
        let around = self.world.flags.times().iter().flat_map(|at| {
            let before = Timestamp::from_micros(at.micros() - 1);
            [before, *at]
        });
        for (at, number) in around.flat_map(|at| METERS.chain(GPFS).map(move |n| (at, n))) {
            let device = cast::device(number);
            if self.world.is_smets1(&device) {
                continue;
            }
            let time = timestamp_to_wire(at);
            // A variant for each Device makes figures for each Device.
            let variant = format!("4.8.{}", number + 1);
            let month = time.to_string()[..7].to_owned();
            let (excepted, sent) = expected.entry((month, variant.clone())).or_default();
            *excepted += u64::from(self.world.excepted(&device, at));
            *sent += 1;
            outcomes.push(reporting::Outcome {
                outcome_id: outcomes.len().to_string(),
                party_id: PARTIES[0].to_owned(),
                device_id: device,
                service_reference_variant: variant,
                message_class: MessageClass::Consumption.into(),
                request_time: Some(time),
                result: OutcomeResult::Failed.into(),
                origin: OutcomeOrigin::OnDemand.into(),
            });
        }
        let sent = u64::try_from(outcomes.len()).unwrap();
        let requests = outcomes.chunks(MOST_OUTCOMES).map(|outcomes| {
            let (producer, outcomes) = ("dsp".to_owned(), outcomes.to_vec());
            reporting::RecordOutcomesRequest {
                producer,
                outcomes,
                batch_number: 0,
            }
        });
        let requests: Vec<_> = requests.collect();
        let mut dsp = self.town.clients("dsp").reporting().unwrap();
        let taken = dsp.record_outcomes(tokio_stream::iter(requests)).await;
        equal("outcomes", &taken.unwrap().into_inner().recorded, &sent)?;
        let months = expected.keys().map(|(month, _)| month.clone());
        let months: BTreeSet<String> = months.collect();
        let mut found = Figures::new();
        for month in months {
            found.extend(self.reported(month).await);
        }
        equal("figures", &found, &expected)
    }

    async fn reported(&self, month: String) -> Figures {
        let mut analyst = self.town.clients("analyst").reporting().unwrap();
        let request = reporting::GetServiceRequestReportRequest {
            month: month.clone(),
            ..Default::default()
        };
        let report = analyst.get_service_request_report(request).await.unwrap();
        let rows = report.into_inner().rows.into_iter();
        rows.map(|row| {
            let counts = row.figures.unwrap().total.unwrap();
            (
                (month.clone(), row.service_reference_variant),
                (counts.excepted, counts.sent),
            )
        })
        .collect()
    }
}
