//! Act 10: a month of outcomes, and the reports that allow for the flag.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use mesh_api::common::v1::MessageClass;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::reporting::v1::{self as wire, OutcomeOrigin, OutcomeResult};
use mesh_types::DeviceId;

use super::stage::{Month, counts, meters};
use super::{Story, line, until};
use crate::report;
use crate::sample::{ALBION, BRIGHT, SampleParty};

/// The columns of the table. *broken*: excepted, but delivered all the same: a broken promise. *allowing*: the
/// rate with what is excepted left out.
const PERFORMANCE: [&str; 10] = [
    "supplier", "SRV", "sent", "ok", "failed", "stopped", "excepted", "broken", "rate", "allowing",
];

/// The report as it must come out: counted by hand from [`Story::outcomes`].
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
/// Albion's meters as they must come out: all of the sample's, and those of another town.
const METERS: [u64; 4] = [142, 0, 95, 1];
const METERS_OF_A_TOWN: [u64; 4] = [8, 0, 10, 1];

/// The homes of ordinary customers of Albion and of Bright.
const ALBION_CUSTOMER: u16 = 8;
const BRIGHT_CUSTOMER: u16 = 11;

impl Story {
    /// Act 10.
    pub(super) async fn month_is_reported(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 10: a month later, the reports",
            "The DSP reports what became of the month's requests. Reads that the flag stopped are\n\
             excepted, in the open: nothing is subtracted silently.",
        );
        let month = self.stage.month(self.settled);
        let outcomes = self.outcomes(&month);
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
        let month = month.name();
        let rows = self.service_requests(month.clone()).await?;
        self.obligations().await?;
        if !self.stage.is_own() {
            self.narrator.remark(
                "The steps show what this telling has added; the table shows what the mesh has in all.",
            );
        }
        self.narrator.figures(&PERFORMANCE, rows);
        self.narrator.remark(
            "broken: excepted, but delivered all the same: a broken promise. rate: ok of sent. allowing:\n\
             the same with what is excepted left out of both.",
        );
        self.page = Some(self.write_page(month).await?);
        Ok(())
    }

    /// The month's report for people: in the folder of a mesh that goes on, or in a file of its own where temporary
    /// ones are.
    async fn write_page(&self, month: String) -> Result<PathBuf> {
        let report = report::whole(self.clients("analyst")?.reporting()?, month).await?;
        let page = mesh_sheet::html(&report);
        if self.stage.is_own() {
            let mut named = tempfile::Builder::new();
            let mut file = named.prefix("mp169-demo-").suffix(".html").tempfile()?;
            file.write_all(page.as_bytes())?;
            return Ok(file.keep()?.1);
        }
        let path = self.folder.path().join("mp169-demo.html");
        let written = fs::write(&path, page);
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    async fn record(&self, outcomes: Vec<wire::Outcome>) -> Result<String> {
        let requests: Vec<_> = outcomes
            .chunks(20)
            .map(|outcomes| wire::RecordOutcomesRequest {
                producer: format!("dsp-story-{}", self.stage.town),
                outcomes: outcomes.to_vec(),
                batch_number: 0,
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

    async fn service_requests(&mut self, month: String) -> Result<Vec<Vec<String>>> {
        let mut analyst = self.clients("analyst")?.reporting()?;
        let request = wire::GetServiceRequestReportRequest {
            month: month.clone(),
            ..Default::default()
        };
        let told = TOLD.map(|row| row[..self.columns()].to_vec());
        // Reporting follows the flags: it may still be a moment behind.
        let (rows, answer) = until(
            |(rows, _): &(Vec<wire::ServiceRequestRow>, String)| self.added(rows) == told,
            async || {
                let answer = analyst.get_service_request_report(request.clone()).await;
                let mut rows = Vec::new();
                let said = line(answer, |answer| {
                    rows = answer.rows;
                    format!("{} rows", self.added(&rows).len())
                });
                (rows, said)
            },
        )
        .await;
        self.step(
            "analyst",
            format!("asks for the report of {month}"),
            "3 rows",
            answer,
        );
        for (told, row) in told.iter().zip(self.added(&rows)) {
            let [party, variant, figures @ ..] = &told[..] else {
                bail!("a row has a party, a variant and figures");
            };
            let came_out = say_figures(row.get(2..).unwrap_or_default());
            self.step(
                "analyst",
                format!("reads {party} {variant}"),
                &say_figures(figures),
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
        Ok(rows.iter().map(performance_row).collect())
    }

    /// How many columns of a row are the story's alone: not the rates where others have reported, too.
    const fn columns(&self) -> usize {
        if self.stage.is_own() { 10 } else { 8 }
    }

    /// What the story has added to the rows; on a mesh of its own that is all of them.
    fn added(&self, rows: &[wire::ServiceRequestRow]) -> Vec<Vec<String>> {
        if self.stage.is_own() {
            return rows.iter().map(performance_row).collect();
        }
        let of_the_story = |row: &&wire::ServiceRequestRow| {
            let named = [&*row.party_id, &row.service_reference_variant];
            TOLD.iter().any(|told| told[..2] == named)
        };
        let rows = rows.iter().filter(of_the_story).map(|row| {
            let named = (row.party_id.clone(), row.service_reference_variant.clone());
            let before = self.before.reported.get(&named).unwrap_or(&[0; 6]);
            let added = counts(row).into_iter().zip(before);
            let added = added.map(|(now, before)| now.saturating_sub(*before).to_string());
            [named.0, named.1].into_iter().chain(added).collect()
        });
        rows.collect()
    }

    async fn obligations(&mut self) -> Result<()> {
        let mut albion = self.clients(ALBION.id)?.reporting()?;
        let request = wire::GetObligationReportRequest {
            party_id: ALBION.id.into(),
            ..Default::default()
        };
        let told = if self.stage.is_own() {
            METERS
        } else {
            METERS_OF_A_TOWN
        };
        let mut expected = self.before.obligation;
        for (count, told) in expected.iter_mut().zip(told) {
            *count += told;
        }
        let expected = say_meters(expected);
        let answer = until(
            |said: &String| *said == expected,
            async || {
                let answer = albion.get_obligation_report(request.clone()).await;
                line(answer, |answer| {
                    let row = answer.rows.first();
                    row.map_or_else(String::new, |row| say_meters(meters(row)))
                })
            },
        )
        .await;
        self.step(
            ALBION.id,
            "asks how many of its meters are installed and commissioned",
            &expected,
            answer,
        );
        Ok(())
    }

    /// What became of the month's requests: the flag on the gas meter has stood since the story's first day.
    fn outcomes(&self, month: &Month) -> Vec<wire::Outcome> {
        let home = self.home(0);
        let mut outcomes = Outcomes {
            month,
            all: Vec::new(),
        };
        // Before the flag: counts like any other.
        outcomes.add(ALBION, home.gpf(), "4.8.1", -1, OutcomeResult::Succeeded);
        // While it is set: stopped each night, but for one that got through and one that failed.
        for day in 1..=28 {
            let result = match day {
                9 => OutcomeResult::Succeeded,
                10 => OutcomeResult::Failed,
                _ => OutcomeResult::Suppressed,
            };
            outcomes.add(ALBION, home.gpf(), "4.8.1", day, result);
        }
        // The electricity meter's flag was lifted with the change of tenancy.
        outcomes.add(ALBION, home.esme(), "4.8.1", 12, OutcomeResult::Succeeded);
        for day in 1..=20 {
            let result = if day % 10 == 0 {
                OutcomeResult::Failed
            } else {
                OutcomeResult::Succeeded
            };
            let customer = self.home(ALBION_CUSTOMER).esme();
            outcomes.add(ALBION, customer, "4.8.1", day, result);
        }
        // Firmware is not excepted: its failure on a flagged Device counts.
        outcomes.add(ALBION, home.gsme(), "11.3", 15, OutcomeResult::Failed);
        for day in 1..=10 {
            let customer = self.home(BRIGHT_CUSTOMER).esme();
            outcomes.add(BRIGHT, customer, "4.1.1", day, OutcomeResult::Succeeded);
        }
        outcomes.all
    }
}

/// The cells of a row.
fn performance_row(row: &wire::ServiceRequestRow) -> Vec<String> {
    let total = row
        .figures
        .and_then(|figures| figures.total)
        .unwrap_or_default();
    let mut cells = vec![row.party_id.clone(), row.service_reference_variant.clone()];
    cells.extend(counts(row).map(|count| count.to_string()));
    cells.extend([rate(total.rate), rate(total.rate_with_exceptions)]);
    cells
}

/// Figures with the names of their columns.
fn say_figures(figures: &[impl Display]) -> String {
    let named = PERFORMANCE[2..].iter().zip(figures);
    let named: Vec<_> = named
        .map(|(name, figure)| format!("{name} {figure}"))
        .collect();
    named.join(", ")
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

fn say_meters([electricity, electricity_reduced, gas, gas_reduced]: [u64; 4]) -> String {
    format!(
        "electricity {electricity}, reduced by choice {electricity_reduced}; gas {gas}, reduced by choice {gas_reduced}"
    )
}

struct Outcomes<'a> {
    month: &'a Month,
    all: Vec<wire::Outcome>,
}

impl Outcomes<'_> {
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
        self.all.push(wire::Outcome {
            outcome_id: format!("{}", self.all.len() + 1),
            party_id: party.id.to_owned(),
            device_id: device.to_string(),
            service_reference_variant: variant.to_owned(),
            message_class: class.into(),
            request_time: Some(timestamp_to_wire(self.month.at(day))),
            result: result.into(),
            origin: OutcomeOrigin::Scheduled.into(),
        });
    }
}
