//! How do figures look on the wire?

use mesh_api::convert::{position_to_wire, timestamp_to_wire};
use mesh_api::reporting::v1 as wire;
use mesh_types::{PartyId, Timestamp};

use crate::edition::Edition;
use crate::exception::{Excepted, ExceptedKey};
use crate::figures::{Counts, Figures};
use crate::grouping::{Part, RowKey};
use crate::movement::{FlagCounts, FlagFigures, Holder, Movement};
use crate::obligation::Obligation;
use crate::period::Zone;
use crate::store::Basis;

/// What a report rests on, and since when each of the logs is not followed.
#[must_use]
pub fn basis(
    basis: &Basis,
    flags_stale_since: Option<Timestamp>,
    devices_stale_since: Option<Timestamp>,
) -> wire::ReportBasis {
    wire::ReportBasis {
        flags: basis.flags.as_ref().map(position_to_wire),
        devices: basis.devices.as_ref().map(position_to_wire),
        outcomes: basis.outcomes,
        flags_stale_since: flags_stale_since.map(timestamp_to_wire),
        devices_stale_since: devices_stale_since.map(timestamp_to_wire),
        settled_until: basis.settled_until.map(timestamp_to_wire),
        open_outcomes: basis.open,
        edition: None,
    }
}

/// What the figures of an edition rest on.
#[must_use]
pub fn basis_of(of: &Edition) -> wire::ReportBasis {
    let edition = edition(of);
    wire::ReportBasis {
        flags: edition.flags.clone(),
        devices: edition.devices.clone(),
        outcomes: edition.outcomes,
        settled_until: edition.settled_until,
        edition: Some(edition),
        ..Default::default()
    }
}

/// An edition.
#[must_use]
pub fn edition(edition: &Edition) -> wire::Edition {
    let zone = match edition.period.zone {
        Zone::Utc => wire::MonthZone::Utc,
        Zone::London => wire::MonthZone::EuropeLondon,
    };
    let sealed = &edition.sealed;
    wire::Edition {
        month: edition.period.month.to_string(),
        month_zone: zone.into(),
        restatement: edition.restatement,
        content_sha256: sealed.sha256.clone(),
        begun_time: Some(timestamp_to_wire(edition.begun)),
        by_operator: edition.by_operator,
        flags: edition.flags.as_ref().map(position_to_wire),
        devices: edition.devices.as_ref().map(position_to_wire),
        outcomes: edition.outcomes,
        settled_until: Some(timestamp_to_wire(edition.settled_until)),
        program_version: sealed.program.clone(),
        rules_version: sealed.rules.clone(),
        business_processes_version: sealed.business_processes.clone(),
    }
}

/// A row of the Service Request report.
#[must_use]
pub fn figures_row(key: &RowKey, of_key: &Figures) -> wire::ServiceRequestRow {
    let mut row = wire::ServiceRequestRow {
        figures: Some(figures(of_key)),
        ..Default::default()
    };
    for part in &key.0 {
        match part {
            Part::Supplier(party) => row.party_id = party.to_string(),
            Part::Variant(variant) => row.service_reference_variant = variant.to_string(),
            Part::BusinessProcess(process) => row.business_process = process.to_string(),
        }
    }
    row
}

/// Figures, with both rates of each.
#[must_use]
pub fn figures(figures: &Figures) -> wire::ServiceRequestFigures {
    wire::ServiceRequestFigures {
        total: Some(counts(&figures.total())),
        on_demand: Some(counts(&figures.on_demand)),
        executions: Some(counts(&figures.executions)),
    }
}

fn counts(counts: &Counts) -> wire::Counts {
    wire::Counts {
        sent: counts.sent(),
        succeeded: counts.succeeded,
        failed: counts.failed,
        suppressed: counts.suppressed,
        excepted: counts.excepted,
        excepted_but_delivered: counts.excepted_but_delivered,
        rate: counts.rate(),
        rate_with_exceptions: counts.rate_with_exceptions(),
    }
}

/// A row of the Devices with excepted requests.
#[must_use]
pub fn excepted_row((key, excepted): &(ExceptedKey, Excepted)) -> wire::ExceptedRequests {
    let (device, party, variant) = key;
    wire::ExceptedRequests {
        device_id: device.to_string(),
        party_id: party.to_string(),
        service_reference_variant: variant.to_string(),
        excepted: excepted.all(),
        suppressed: excepted.suppressed,
        failed: excepted.failed,
        delivered: excepted.delivered,
    }
}

/// A row of the report of flags.
#[must_use]
pub fn flag_row(holder: &Holder, figures: &FlagFigures) -> wire::FlagRow {
    let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
    wire::FlagRow {
        party_id: text(holder.supplier.as_ref().map(|party| party.as_str())),
        csp_id: text(holder.csp.as_ref().map(|csp| csp.as_str())),
        figures: Some(flag_figures(figures)),
    }
}

/// Figures of flags.
#[must_use]
pub fn flag_figures(figures: &FlagFigures) -> wire::FlagFigures {
    wire::FlagFigures {
        total: Some(flag_counts(&figures.total)),
        gained_from_another: Some(flag_counts(&figures.gained)),
    }
}

fn flag_counts(counts: &FlagCounts) -> wire::FlagCounts {
    // The store answers with no other counts than those that can be.
    let of = |movement| counts.of(movement).unwrap_or_default();
    wire::FlagCounts {
        active_before: counts.active_before().unwrap_or_default(),
        set: of(Movement::Set),
        gained: of(Movement::Gained),
        moved_in: of(Movement::MovedIn),
        lifted: of(Movement::Lifted),
        lifted_at_change_of_tenancy: of(Movement::TenancyLifted),
        device_ended: of(Movement::DeviceEnded),
        ended_otherwise: of(Movement::EndedOtherwise),
        lost: of(Movement::Lost),
        moved_out: of(Movement::MovedOut),
        active: counts.active().unwrap_or_default(),
        kept_at_change_of_tenancy: of(Movement::TenancyKept),
        confirmed: of(Movement::Confirmed),
    }
}

/// A row of the obligation report.
#[must_use]
pub fn obligation_row((party, row): &(PartyId, Obligation)) -> wire::ObligationRow {
    wire::ObligationRow {
        party_id: party.to_string(),
        electricity: row.electricity,
        electricity_reduced_by_choice: row.electricity_reduced,
        gas: row.gas,
        gas_reduced_by_choice: row.gas_reduced,
    }
}
