//! How does the answer of csp-notification become a report of how promptly CSPs take changes over?

use std::time::Duration;

use jiff::Timestamp;
use mesh_api::csp_notification::v1::{DeliveryBasis, DeliveryRow, DeliveryTimes};
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};
use reporting::period::Period;

use crate::output::instant;

/// The key of the table with all figures.
pub(super) const ALL: &str = "promptness";

/// The report of `rows`, which are all that there are.
pub(super) fn report(
    period: Period,
    rows: &[DeliveryRow],
    basis: &DeliveryBasis,
) -> Result<Report, Malformed> {
    let title = format!("{} ({})", period.month, period.zone.name());
    let report = Report::new("CSP: committed → acknowledged → applied", title)
        .with_fact("Made at", instant(basis.made_time.as_ref()))
        .with_note(
            "A change is committed when it is recorded in the CSP's log, and belongs to the month in which it was. It is \
             acknowledged with the first acknowledgement of it or of a later one, by the mesh's clock. When it was \
             applied is what the CSP says with that acknowledgement, by its own clock; it need not say so.",
        )
        .with_note("Each time is up to 1% or 1 ms more than what was measured; 90 days stand for more as well.");
    noted(report, period, rows, basis)
        .with_section(counts(rows)?)?
        .with_section(acknowledged(rows)?)?
        .with_section(applied(rows)?)?
        .with_section(all(rows)?)
}

/// The same with what a reader has to know of these figures.
fn noted(
    mut report: Report,
    period: Period,
    rows: &[DeliveryRow],
    basis: &DeliveryBasis,
) -> Report {
    let end = period.interval().end().micros().div_euclid(1_000_000);
    let made = basis.made_time.as_ref();
    if rows.is_empty() {
        report = report.with_note("No CSP has a subscription yet.");
    }
    if made.is_none_or(|made| made.seconds < end) {
        report = report.with_note("The month is not over.");
    }
    if let Some(since) = &basis.source_stale_since {
        report = report.with_note(format!(
            "Nothing is taken over from flag-registry since {}: later changes may be missing.",
            instant(Some(since))
        ));
    }
    if rows.iter().any(|row| row.acknowledged_untimed > 0) {
        report = report.with_note(
            "Some changes were acknowledged before the mesh kept how long that takes. They are in none of the times.",
        );
    }
    report
}

fn counts(rows: &[DeliveryRow]) -> Result<Section, Malformed> {
    let figures = [CHANGES, ACKNOWLEDGED, NOT_ACKNOWLEDGED, OLDEST, UNTIMED];
    let sum = |of: fn(&DeliveryRow) -> u64| {
        let sum = rows.iter().map(of).fold(0, u64::saturating_add);
        Cell::from(sum)
    };
    let total = vec![
        "All".into(),
        sum(|row| row.changes),
        sum(|row| row.acknowledged),
        sum(|row| row.not_acknowledged),
        Cell::Nothing,
        sum(|row| row.acknowledged_untimed),
    ];
    let chart = Chart::stacked_bars(
        "Changes by CSP",
        CSP,
        [ACKNOWLEDGED, NOT_ACKNOWLEDGED].map(|figure| Series::of(figure.key)),
    );
    Section::new(
        "changes",
        "Changes by CSP",
        "What each CSP was told, and how much of that it has acknowledged by now.",
        table(rows, &figures)?.with_total(total)?,
    )
    .with_chart(chart)
}

fn acknowledged(rows: &[DeliveryRow]) -> Result<Section, Malformed> {
    Ok(Section::new(
        "until_acknowledged",
        "Committed → acknowledged",
        "How long it took until changes were acknowledged.",
        table(rows, &UNTIL_ACKNOWLEDGED)?,
    ))
}

fn applied(rows: &[DeliveryRow]) -> Result<Section, Malformed> {
    let figures = [&[APPLIED, APPLIED_BEFORE], &UNTIL_APPLIED[..]].concat();
    Ok(Section::new(
        "until_applied",
        "Committed → applied",
        "How long it took until changes were applied, as the CSP says.",
        table(rows, &figures)?,
    ))
}

fn all(rows: &[DeliveryRow]) -> Result<Section, Malformed> {
    let figures = [
        &[CHANGES, ACKNOWLEDGED, NOT_ACKNOWLEDGED, OLDEST, UNTIMED],
        &UNTIL_ACKNOWLEDGED[..],
        &[APPLIED, APPLIED_BEFORE],
        &UNTIL_APPLIED[..],
    ];
    Ok(Section::new(
        ALL,
        "All figures by CSP",
        "The same in one table.",
        table(rows, &figures.concat())?,
    ))
}

const CSP: &str = "csp";

/// A figure of a row, and the column that shows it.
#[derive(Clone, Copy)]
struct Figure {
    key: &'static str,
    title: &'static str,
    kind: Kind,
    meaning: &'static str,
    of: fn(&DeliveryRow) -> Cell,
}

const fn count(
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    of: fn(&DeliveryRow) -> Cell,
) -> Figure {
    let kind = Kind::Count;
    Figure {
        key,
        title,
        kind,
        meaning,
        of,
    }
}

const fn time(
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    of: fn(&DeliveryRow) -> Cell,
) -> Figure {
    let kind = Kind::Duration;
    Figure {
        key,
        title,
        kind,
        meaning,
        of,
    }
}

const CHANGES: Figure = count("changes", "Changes", "Committed in the month.", |row| {
    row.changes.into()
});
const ACKNOWLEDGED: Figure = count(
    "acknowledged",
    "Acknowledged",
    "Of these, acknowledged by now.",
    |row| row.acknowledged.into(),
);
const NOT_ACKNOWLEDGED: Figure = count(
    "not_acknowledged",
    "Not acknowledged",
    "Of these, not acknowledged yet.",
    |row| row.not_acknowledged.into(),
);
const OLDEST: Figure = Figure {
    key: "oldest_not_acknowledged_time",
    title: "Oldest since",
    kind: Kind::Instant,
    meaning: "When the oldest was committed that is not acknowledged yet.",
    of: |row| {
        let oldest = row.oldest_not_acknowledged_time.as_ref();
        let oldest = oldest.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        oldest.into()
    },
};
const UNTIMED: Figure = count(
    "acknowledged_untimed",
    "Not timed",
    "Acknowledged before the mesh kept how long that takes.",
    |row| row.acknowledged_untimed.into(),
);
const APPLIED: Figure = count(
    "applied",
    "Applied",
    "Changes of which the CSP has said when they were applied.",
    |row| until_applied(row).changes.into(),
);
const APPLIED_BEFORE: Figure = count(
    "applied_before_committed",
    "Before committed",
    "Of these, applied before they were committed, as the CSP says: its clock goes behind. They count as no time.",
    |row| row.applied_before_recorded.into(),
);

const UNTIL_ACKNOWLEDGED: [Figure; 4] = [
    time(
        "acknowledged_median_seconds",
        "Acknowledged: median",
        "Half of the changes took no longer until they were acknowledged.",
        |row| length(until_acknowledged(row).median_duration),
    ),
    time(
        "acknowledged_p95_seconds",
        "Acknowledged: 95%",
        "95% of the changes took no longer until they were acknowledged.",
        |row| length(until_acknowledged(row).p95_duration),
    ),
    time(
        "acknowledged_p99_seconds",
        "Acknowledged: 99%",
        "99% of the changes took no longer until they were acknowledged.",
        |row| length(until_acknowledged(row).p99_duration),
    ),
    time(
        "acknowledged_longest_seconds",
        "Acknowledged: longest",
        "No change took longer until it was acknowledged.",
        |row| length(until_acknowledged(row).longest_duration),
    ),
];

const UNTIL_APPLIED: [Figure; 4] = [
    time(
        "applied_median_seconds",
        "Applied: median",
        "Half of the changes took no longer until they were applied.",
        |row| length(until_applied(row).median_duration),
    ),
    time(
        "applied_p95_seconds",
        "Applied: 95%",
        "95% of the changes took no longer until they were applied.",
        |row| length(until_applied(row).p95_duration),
    ),
    time(
        "applied_p99_seconds",
        "Applied: 99%",
        "99% of the changes took no longer until they were applied.",
        |row| length(until_applied(row).p99_duration),
    ),
    time(
        "applied_longest_seconds",
        "Applied: longest",
        "No change took longer until it was applied.",
        |row| length(until_applied(row).longest_duration),
    ),
];

fn until_acknowledged(row: &DeliveryRow) -> DeliveryTimes {
    row.until_acknowledged.unwrap_or_default()
}

fn until_applied(row: &DeliveryRow) -> DeliveryTimes {
    row.until_applied.unwrap_or_default()
}

fn length(of: Option<prost_types::Duration>) -> Cell {
    let length = of.and_then(|of| Duration::try_from(of).ok());
    length.into()
}

/// A column for the CSPs' names, then those of the figures.
fn table(rows: &[DeliveryRow], figures: &[Figure]) -> Result<Table, Malformed> {
    let names = Column::new(CSP, "CSP", Kind::Text).meaning("The CSP.");
    let columns = figures.iter().map(|figure| {
        let column = Column::new(figure.key, figure.title, figure.kind).meaning(figure.meaning);
        match figure.kind {
            Kind::Count => column.unit("changes"),
            // People see a unit beside each, and for programs it is part of the key.
            Kind::Duration | Kind::Text | Kind::Share | Kind::Instant => column,
        }
    });
    let columns = std::iter::once(names).chain(columns);
    let rows = rows.iter().map(|row| {
        let cells = figures.iter().map(|figure| (figure.of)(row));
        let name = Cell::from(row.csp_id.as_str());
        std::iter::once(name).chain(cells).collect()
    });
    Table::new(columns.collect(), rows.collect())
}

#[cfg(test)]
mod tests;
