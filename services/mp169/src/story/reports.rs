//! Act 10: a month of outcomes, and the reports that allow for the flag.

use std::time::Duration;

use anyhow::Result;
use mesh_api::common::v1::MessageClass;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::reporting::v1::{self as wire, OutcomeOrigin, OutcomeResult};
use mesh_types::{DeviceId, Timestamp};

use super::{BEGINNING, HOME, Story, line, until};
use crate::report::{PERFORMANCE, performance_row};
use crate::sample::{ALBION, BRIGHT, Home, SampleParty};

const MONTH: &str = "2026-03";
/// The report as it must come out: counted by hand from [`month`].
const TOLD: [[&str; 10]; 3] = [
    [
        "ALBION", "11.3", "1", "0", "1", "0", "0", "0", "0.0 %", "0.0 %",
    ],
    [
        "ALBION", "4.8.1", "50", "21", "3", "26", "28", "1", "42.0 %", "90.9 %",
    ],
    [
        "BRIGHT", "4.1.1", "10", "10", "0", "0", "0", "0", "100.0 %", "100.0 %",
    ],
];
const DAY: i64 = 86_400 * 1_000_000;

/// Homes of ordinary customers of Albion and of Bright.
const ALBION_CUSTOMER: Home = Home::new(8);
const BRIGHT_CUSTOMER: Home = Home::new(11);

impl Story {
    /// Act 10.
    pub(super) async fn month_is_reported(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 10: a month later, the reports",
            "The DSP reports what became of the month's requests. Reads that the flag stopped are\n\
             excepted, in the open: nothing is subtracted silently.",
        );
        self.clock.advance(Duration::from_secs(30 * 86_400));
        let outcomes = month();
        let count = outcomes.len();
        let first = self.record(outcomes.clone()).await?;
        let expected = format!("{count} recorded, 0 duplicates, 0 refused");
        self.step("dsp", format!("reports {count} outcomes"), &expected, first);
        let again = self.record(outcomes).await?;
        let expected = format!("0 recorded, {count} duplicates, 0 refused");
        self.step(
            "dsp",
            "reports them again, as after a cut",
            &expected,
            again,
        );
        let rows = self.service_requests().await?;
        self.obligations().await?;
        self.narrator.figures(&PERFORMANCE, rows);
        self.narrator.remark(
            "broken: excepted, but delivered all the same: a broken promise. rate: ok of sent. allowing:\n\
             the same with what is excepted left out of both.",
        );
        Ok(())
    }

    async fn record(&self, outcomes: Vec<wire::Outcome>) -> Result<String> {
        let requests: Vec<_> = outcomes
            .chunks(20)
            .map(|outcomes| wire::RecordOutcomesRequest {
                producer: "dsp-story".into(),
                outcomes: outcomes.to_vec(),
            })
            .collect();
        let mut client = self.clients("dsp")?.reporting()?;
        let answer = client.record_outcomes(tokio_stream::iter(requests)).await;
        Ok(line(answer, |a| {
            format!(
                "{} recorded, {} duplicates, {} refused",
                a.recorded, a.duplicates, a.refused
            )
        }))
    }

    async fn service_requests(&mut self) -> Result<Vec<Vec<String>>> {
        let mut analyst = self.clients("analyst")?.reporting()?;
        let request = wire::GetServiceRequestReportRequest {
            month: MONTH.into(),
            ..Default::default()
        };
        let told = TOLD.map(|row| row.map(str::to_owned).to_vec());
        // Reporting follows the flags: it may still be a moment behind.
        let (rows, answer) = until(
            |(rows, _): &(Vec<Vec<String>>, String)| *rows == told,
            async || {
                let answer = analyst.get_service_request_report(request.clone()).await;
                let mut rows = Vec::new();
                let said = line(answer, |answer| {
                    rows = answer.rows.iter().map(performance_row).collect();
                    format!("{} rows", answer.rows.len())
                });
                (rows, said)
            },
        )
        .await;
        self.step(
            "analyst",
            format!("asks for the report of {MONTH}"),
            "3 rows",
            answer,
        );
        for (told, row) in TOLD.iter().zip(&rows) {
            let [party, variant, figures @ ..] = told;
            let came_out = row.get(2..).unwrap_or_default().join(", ");
            self.step(
                "analyst",
                format!("reads {party} {variant}"),
                &figures.join(", "),
                came_out,
            );
        }

        let mut albion = self.clients(ALBION.id)?.reporting()?;
        let request = wire::GetServiceRequestReportRequest {
            party_id: BRIGHT.id.into(),
            ..request
        };
        let answer = albion.get_service_request_report(request).await;
        self.step(
            ALBION.id,
            "asks for the report of a competitor",
            "PERMISSION_DENIED NOT_OWN_DATA",
            line(answer, |_| "an answer".into()),
        );
        Ok(rows)
    }

    async fn obligations(&mut self) -> Result<()> {
        let mut albion = self.clients(ALBION.id)?.reporting()?;
        let request = wire::GetObligationReportRequest {
            party_id: ALBION.id.into(),
            ..Default::default()
        };
        let answer = albion.get_obligation_report(request).await;
        self.step(
            ALBION.id,
            "asks how many of its meters are installed and commissioned",
            "electricity 142, reduced by choice 0; gas 95, reduced by choice 1",
            line(answer, |answer| {
                answer.rows.first().map_or_else(String::new, |row| {
                    format!(
                        "electricity {}, reduced by choice {}; gas {}, reduced by choice {}",
                        row.electricity,
                        row.electricity_reduced_by_choice,
                        row.gas,
                        row.gas_reduced_by_choice
                    )
                })
            }),
        );
        Ok(())
    }
}

/// What became of the month's requests: the flag on the gas meter has stood since the 2nd.
fn month() -> Vec<wire::Outcome> {
    let mut month = Month::default();
    // Before the flag: counts like any other.
    month.add(ALBION, HOME.gpf(), "4.8.1", -1, OutcomeResult::Succeeded);
    // While it is set: stopped each night, but for one that got through and one that failed.
    for day in 1..=28 {
        let result = match day {
            9 => OutcomeResult::Succeeded,
            10 => OutcomeResult::Failed,
            _ => OutcomeResult::Suppressed,
        };
        month.add(ALBION, HOME.gpf(), "4.8.1", day, result);
    }
    // The electricity meter's flag was lifted with the change of tenancy.
    month.add(ALBION, HOME.esme(), "4.8.1", 12, OutcomeResult::Succeeded);
    for day in 1..=20 {
        let result = if day % 10 == 0 {
            OutcomeResult::Failed
        } else {
            OutcomeResult::Succeeded
        };
        month.add(ALBION, ALBION_CUSTOMER.esme(), "4.8.1", day, result);
    }
    // Firmware is not excepted: its failure on a flagged Device counts.
    month.add(ALBION, HOME.gsme(), "11.3", 15, OutcomeResult::Failed);
    for day in 1..=10 {
        month.add(
            BRIGHT,
            BRIGHT_CUSTOMER.esme(),
            "4.1.1",
            day,
            OutcomeResult::Succeeded,
        );
    }
    month.outcomes
}

#[derive(Default)]
struct Month {
    outcomes: Vec<wire::Outcome>,
}

impl Month {
    fn add(
        &mut self,
        party: SampleParty,
        device: DeviceId,
        variant: &str,
        day: i64,
        result: OutcomeResult,
    ) {
        let class = if variant == "11.3" {
            MessageClass::Firmware
        } else {
            MessageClass::Consumption
        };
        self.outcomes.push(wire::Outcome {
            outcome_id: format!("{}", self.outcomes.len() + 1),
            party_id: party.id.to_owned(),
            device_id: device.to_string(),
            service_reference_variant: variant.to_owned(),
            message_class: class.into(),
            request_time: Some(timestamp_to_wire(Timestamp::from_micros(
                BEGINNING.micros() + day * DAY,
            ))),
            result: result.into(),
            origin: OutcomeOrigin::Scheduled.into(),
        });
    }
}
