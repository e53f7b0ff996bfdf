//! How does an answer become a report that people read?
//!
//! What stands in a report is decided here, and how it looks in `mesh-sheet`. Excepted requests are a part of every
//! bar and a column of every table; none is taken away.

mod editions;
mod exceptions;
mod flags;
mod measure;
mod obligation;
mod service_requests;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use mesh_api::common::v1::Position;
use mesh_api::reporting::v1 as wire;
use mesh_sheet::Report;

use crate::period::Zone;

pub use editions::{EDITIONS, editions};
pub use exceptions::{EXCEPTIONS, exceptions};
pub use flags::{FLAGS, flags};
pub use obligation::{ELECTRICITY, GAS, obligation};
pub use service_requests::{FINEST, Grouped, SERVICE_REQUESTS, performance, service_requests};

/// The same with what it rests on.
fn resting_on(mut report: Report, basis: &wire::ReportBasis) -> Report {
    let logs = [
        ("flags", &basis.flags, &basis.flags_stale_since),
        ("devices", &basis.devices, &basis.devices_stale_since),
    ];
    for (log, position, stale_since) in logs {
        report = report.with_fact(format!("Log {log} up to"), event(position.as_ref()));
        if let Some(since) = stale_since {
            report = report.with_note(format!(
                "The log {log} is not followed since {}: later events of it are not counted.",
                instant(since)
            ));
        }
    }
    report.with_fact("Outcomes recorded", basis.outcomes.to_string())
}

/// The same of a month, of which a part may not be settled, or which is closed.
fn resting_on_flags(
    report: Report,
    basis: &wire::ReportBasis,
    choice: Option<&wire::EditionChoice>,
) -> Report {
    let report = match &basis.edition {
        Some(edition) => of_edition(report, edition, choice),
        None => report,
    };
    let settled = basis.settled_until.as_ref();
    let until = settled.map_or_else(|| "nothing yet".to_owned(), instant);
    let mut report = resting_on(report, basis).with_fact("Exceptions settled up to", until);
    if basis.open_outcomes > 0 {
        report = report
            .with_fact("Outcomes not settled", basis.open_outcomes.to_string())
            .with_note(
                "Outcomes that are newer than what is known of the flags may still turn out to be excepted.",
            );
    }
    report
}

/// The same with which edition it is of.
fn of_edition(
    report: Report,
    edition: &wire::Edition,
    choice: Option<&wire::EditionChoice>,
) -> Report {
    let named = editions::named(edition.restatement);
    let only_added = matches!(
        choice.and_then(|choice| choice.choice),
        Some(wire::edition_choice::Choice::AddedBy(_))
    );
    let note = if only_added {
        format!("Only what the {named} added to the edition before it.")
    } else {
        format!("The month is closed: these figures are those of the {named}, and do not change.")
    };
    report
        .with_note(note)
        .with_fact("Edition", named)
        .with_fact("SHA-256 of its content", &*edition.content_sha256)
        .with_fact("Made by", &*edition.program_version)
        .with_fact("Version of the rules", &*edition.rules_version)
}

/// The month, and whose midnight begins it.
fn period(month: &str, zone: wire::MonthZone) -> String {
    format!("{month} ({})", zone_of(zone).name())
}

const fn zone_of(zone: wire::MonthZone) -> Zone {
    match zone {
        wire::MonthZone::Unspecified | wire::MonthZone::Utc => Zone::Utc,
        wire::MonthZone::EuropeLondon => Zone::London,
    }
}

fn event(position: Option<&Position>) -> String {
    position.map_or_else(
        || "nothing yet".to_owned(),
        |position| format!("event {} of epoch {}", position.sequence, position.epoch),
    )
}

fn instant(at: &prost_types::Timestamp) -> String {
    Timestamp::new(at.seconds, at.nanos)
        .map_or_else(|_| "an unknown time".to_owned(), |at| at.to_string())
}
