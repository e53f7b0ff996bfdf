//! A month of outcomes, and the reports that allow for the consumers' choices.

use mesh_api::common::v1::{DeviceType, MessageClass};
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1::{self as wire, OutcomeOrigin, OutcomeResult};
use mesh_testkit::wait_until;

use crate::world::{World, device, hour, inventoried, november, outcome, outcomes, record};

const ESME: u64 = 0xE1;
const GSME: u64 = 0x61;
const GPF: u64 = 0x6F;
const OTHER: u64 = 0xE2;
const DAY: i64 = 24;

fn counts(
    [succeeded, failed, suppressed, excepted, delivered]: [u64; 5],
    rate: Option<f64>,
    rate_with_exceptions: Option<f64>,
) -> Option<wire::Counts> {
    Some(wire::Counts {
        sent: succeeded + failed + suppressed,
        succeeded,
        failed,
        suppressed,
        excepted,
        excepted_but_delivered: delivered,
        rate,
        rate_with_exceptions,
    })
}

/// ALBION's reads of its flagged gas meter through the GPF, one a night, and some on demand; a
/// firmware update of the flagged meter; reads of a meter that nobody flagged.
fn month() -> Vec<wire::Outcome> {
    let mut all = Vec::new();
    for day in 0..30 {
        // The flag stands from the 11th (day 10) to the 21st (day 20).
        let mut read = outcome(&format!("night {day}"), GPF, day * DAY + 1);
        read.result = match day {
            // One got through against the consumer's choice, one failed.
            12 => OutcomeResult::Succeeded,
            13 => OutcomeResult::Failed,
            10..20 => OutcomeResult::Suppressed,
            _ => OutcomeResult::Succeeded,
        }
        .into();
        all.push(read);
    }
    for (id, at, result) in [
        ("before", 10 * DAY - 1, OutcomeResult::Succeeded),
        ("at the very instant", 10 * DAY, OutcomeResult::Suppressed),
        ("while", 15 * DAY, OutcomeResult::Suppressed),
        ("lifted", 20 * DAY, OutcomeResult::Failed),
    ] {
        let mut read = outcome(id, GPF, at);
        read.result = result.into();
        read.origin = OutcomeOrigin::OnDemand.into();
        all.push(read);
    }
    let mut firmware = outcome("firmware", GSME, 15 * DAY);
    firmware.service_reference_variant = "11.3".into();
    firmware.message_class = MessageClass::Firmware.into();
    firmware.result = OutcomeResult::Failed.into();
    firmware.origin = OutcomeOrigin::FutureDated.into();
    all.push(firmware);
    let mut other = outcome("other", OTHER, 15 * DAY);
    other.party_id = "BRIGHT".into();
    other.result = OutcomeResult::Succeeded.into();
    all.push(other);
    // Belongs to another month.
    all.push(outcome("December", GPF, 30 * DAY));
    all
}

/// By hand: 30 nights of which 21 succeeded, one of them while flagged; 1 failed and 8 suppressed
/// while flagged. On demand: 1 succeeded before, 2 suppressed while, 1 failed after.
fn expected() -> Vec<wire::ServiceRequestRow> {
    let row = |party: &str, variant: &str, total, on_demand, executions| wire::ServiceRequestRow {
        party_id: party.into(),
        service_reference_variant: variant.into(),
        figures: Some(wire::ServiceRequestFigures {
            total,
            on_demand,
            executions,
        }),
        ..Default::default()
    };
    let nothing = || counts([0; 5], None, None);
    vec![
        row(
            "ALBION",
            "11.3",
            counts([0, 1, 0, 0, 0], Some(0.0), Some(0.0)),
            nothing(),
            counts([0, 1, 0, 0, 0], Some(0.0), Some(0.0)),
        ),
        row(
            "ALBION",
            "4.8.1",
            counts([22, 2, 10, 12, 1], Some(22.0 / 34.0), Some(21.0 / 22.0)),
            counts([1, 1, 2, 2, 0], Some(0.25), Some(0.5)),
            counts([21, 1, 8, 10, 1], Some(0.7), Some(1.0)),
        ),
        row(
            "BRIGHT",
            "4.8.1",
            counts([1, 0, 0, 0, 0], Some(1.0), Some(1.0)),
            nothing(),
            counts([1, 0, 0, 0, 0], Some(1.0), Some(1.0)),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_reported_with_its_exceptions() {
    let world = World::start(Vec::new()).await;
    let mut dsp = world.service.internal("dsp");
    // Half of the outcomes come before their flag event was recorded, half after it.
    let all = month();
    let (before, after) = all.split_at(14);
    let answer = record(&mut dsp, vec![outcomes(before.to_vec())])
        .await
        .unwrap();
    assert_eq!(
        (answer.recorded, answer.duplicates, answer.refused),
        (14, 0, 0)
    );
    world.flag(GSME, 10 * DAY, Some(&[GPF])).await;
    let lifted = world.flag(GSME, 20 * DAY, None).await;
    let requests = after.chunks(7).map(|part| outcomes(part.to_vec()));
    let answer = record(&mut dsp, requests.collect()).await.unwrap();
    assert_eq!(answer.recorded, all.len() as u64 - 14);

    let report = world.november(lifted).await;
    assert_eq!(report.rows, expected());
    let totals = report.totals.unwrap();
    assert_eq!(
        totals.total,
        counts([23, 3, 10, 12, 1], Some(23.0 / 36.0), Some(22.0 / 24.0))
    );
    assert_eq!(report.basis.as_ref().unwrap().outcomes, all.len() as u64);
    assert_eq!(report.next_page_token, "");

    // The whole stream sent again changes nothing.
    let requests: Vec<_> = all.chunks(10).map(|part| outcomes(part.to_vec())).collect();
    let answer = record(&mut dsp, requests).await.unwrap();
    assert_eq!((answer.recorded, answer.duplicates), (0, all.len() as u64));
    assert_eq!(world.november(lifted).await, report);

    // Neither does a restart, after which following goes on where it stopped.
    let world = world.restart().await;
    assert_eq!(world.november(lifted).await, report);
    let again = world.flag(OTHER, 14 * DAY, Some(&[])).await;
    let report = world.november(again).await;
    let bright = report.rows[2].figures.as_ref().unwrap().total;
    assert_eq!(bright, counts([1, 0, 0, 1, 1], Some(1.0), None));
    // The execution after the month is in its own.
    let mut analyst = world.service.internal("analyst");
    let december = wire::GetServiceRequestReportRequest {
        month: "2026-12".into(),
        ..november()
    };
    let december = analyst
        .get_service_request_report(december)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(december.rows.len(), 1);
    assert_eq!(
        december.totals.unwrap().total,
        counts([0, 0, 1, 0, 0], Some(0.0), Some(0.0))
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meters_are_reported_for_whoever_is_responsible() {
    let mut smets1 = inventoried(5, DeviceType::Esme, "ALBION");
    smets1.device.as_mut().unwrap().smets_version =
        Some(registration::SmetsVersion { major: 1, minor: 0 });
    let world = World::start(vec![
        inventoried(ESME, DeviceType::Esme, "ALBION"),
        inventoried(GSME, DeviceType::Gsme, "ALBION"),
        inventoried(GPF, DeviceType::Gpf, "ALBION"),
        inventoried(OTHER, DeviceType::Esme, "BRIGHT"),
        smets1,
    ])
    .await;
    let flagged = world.flag(GSME, 1, Some(&[GPF])).await;
    let report = obligations(&world, flagged, 0).await;
    let row = |party: &str, electricity, gas, reduced| wire::ObligationRow {
        party_id: party.into(),
        electricity,
        electricity_reduced_by_choice: 0,
        gas,
        gas_reduced_by_choice: reduced,
    };
    assert_eq!(report, [row("ALBION", 1, 1, 1), row("BRIGHT", 1, 0, 0)]);

    // The gas meter changes supplier, and an ESME is commissioned.
    use registration::device_event::Change;
    let effect = Change::SupplierTookEffect(registration::SupplierTookEffect {
        registration: Some(registration::Registration {
            party_id: "BRIGHT".into(),
            ..Default::default()
        }),
        previous_party_id: "ALBION".into(),
        effective_time: Some(hour(2)),
        device_ids: vec![device(GSME).to_string(), device(GPF).to_string()],
        ..Default::default()
    });
    let recorded = Change::DeviceRecorded(registration::DeviceRecorded {
        device: inventoried(0xE3, DeviceType::Esme, "").device,
        responsible_party_id: "ALBION".into(),
        ..Default::default()
    });
    let mut last = 0;
    for change in [effect, recorded] {
        let event = registration::DeviceEvent {
            recorded_time: Some(hour(2)),
            change: Some(change),
            ..Default::default()
        };
        last = world.devices.append(event).await;
    }
    let report = obligations(&world, flagged, last).await;
    assert_eq!(report, [row("ALBION", 2, 0, 0), row("BRIGHT", 1, 1, 1)]);
    world.service.stop().await;
}

/// The obligation report of all suppliers, once it rests on these events.
async fn obligations(world: &World, flags: u64, devices: u64) -> Vec<wire::ObligationRow> {
    let mut analyst = world.service.internal("analyst");
    wait_until("the logs to be followed", async || {
        let request = wire::GetObligationReportRequest::default();
        let answer = analyst.get_obligation_report(request).await;
        let answer = answer.map_err(|status| format!("{status:?}"))?.into_inner();
        let basis = answer.basis.unwrap();
        let reached = (
            basis.flags.unwrap().sequence,
            basis.devices.unwrap().sequence,
        );
        if reached.0 >= flags && reached.1 >= devices {
            Ok(answer.rows)
        } else {
            Err(format!("{reached:?}"))
        }
    })
    .await
}
