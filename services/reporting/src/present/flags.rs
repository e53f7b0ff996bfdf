//! How many flags were set, what became of them, and how many are active, by supplier and by CSP?

use std::collections::BTreeMap;

use mesh_api::reporting::v1 as wire;
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};

use super::{instant, period, resting_on, zone_of};
use crate::period::Period;

/// The key of the table with all figures.
pub const FLAGS: &str = "flags";

/// The report of `rows`, which are all that answer `request`.
pub fn flags(
    request: &wire::GetFlagReportRequest,
    rows: &[wire::FlagRow],
    basis: &wire::ReportBasis,
) -> Result<Report, Malformed> {
    let suppliers = Sums::of(rows, &[SUPPLIER]);
    let csps = Sums::of(rows, &[CSP]);
    let mut report = Report::new(
        "Flags of reduced communications",
        period(&request.month, request.month_zone()),
    )
    .with_note(
        "A flag counts once, for the meter that is flagged, and for its Responsible Supplier and the CSP of its hub at \
         the time. It stays set when either changes: then it goes from one and comes to another.",
    );
    if rows.is_empty() {
        report = report.with_note("No flag was set in this month or before it.");
    }
    let report = known_up_to(report, request, basis)
        .with_section(active(&suppliers)?)?
        .with_section(ended(&suppliers)?)?
        .with_section(changes_of_supplier(&suppliers)?)?
        .with_section(by_csp(&csps)?)?
        .with_section(figures(&Sums::of(rows, &[SUPPLIER, CSP]))?)?;
    Ok(resting_on(report, basis))
}

/// The same with how far events are known, and what that means for a month that was not over then.
fn known_up_to(
    report: Report,
    request: &wire::GetFlagReportRequest,
    basis: &wire::ReportBasis,
) -> Report {
    let until = basis.settled_until.as_ref();
    let report = report.with_fact(
        "All flag events up to",
        until.map_or_else(|| "nothing yet".to_owned(), instant),
    );
    let zone = zone_of(request.month_zone());
    let end = request.month.parse().map(|month| {
        let end = Period { month, zone }.interval().end();
        end.micros().div_euclid(1_000_000)
    });
    if end.is_ok_and(|end| until.is_some_and(|until| until.seconds >= end)) {
        return report;
    }
    report.with_note(
        "The month is not over, or not all of its events are known yet: active are the flags that are set as far as is \
         known.",
    )
}

fn active(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        ACTIVE_BEFORE,
        SET,
        GAINED,
        MOVED_IN,
        ENDED,
        LOST,
        MOVED_OUT,
        ACTIVE_OWN,
        ACTIVE_GAINED,
        ACTIVE,
    ];
    let chart = Chart::stacked_bars(
        "Active flags by supplier",
        SUPPLIER.key,
        [Series::of(ACTIVE_OWN.key), Series::of(ACTIVE_GAINED.key)],
    );
    Section::new(
        "active_by_supplier",
        "Active flags by supplier",
        "Flags that were set when the month began, what came and went, and those that were set when it ended.",
        table(sums, &measures)?,
    )
    .with_chart(chart)
}

fn ended(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [LIFTED, TENANCY_LIFTED, DEVICE_ENDED, ENDED_OTHERWISE, ENDED];
    let series = [LIFTED, TENANCY_LIFTED, DEVICE_ENDED, ENDED_OTHERWISE];
    let chart = Chart::stacked_bars(
        "Flags that ended, by supplier",
        SUPPLIER.key,
        series.map(|measure| Series::of(measure.key)),
    );
    Section::new(
        "ended_by_supplier",
        "Flags that ended, by supplier",
        "Why they ended.",
        table(sums, &measures)?,
    )
    .with_chart(chart)
}

fn changes_of_supplier(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        LOST,
        GAINED,
        GAINED_BEFORE,
        GAINED_CONFIRMED,
        GAINED_ENDED,
        GAINED_LOST,
        ACTIVE_GAINED,
    ];
    let chart = Chart::stacked_bars(
        "What became of flags that a supplier gained",
        SUPPLIER.key,
        [GAINED_ENDED, GAINED_LOST, ACTIVE_GAINED].map(|measure| Series::of(measure.key)),
    );
    Section::new(
        "changes_of_supplier",
        "Flags at changes of supplier",
        "Flags that came and went with a change of supplier, and what became of those that came then or earlier.",
        table(sums, &measures)?,
    )
    .with_chart(chart)
}

fn by_csp(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        ACTIVE_BEFORE,
        SET,
        GAINED,
        MOVED_IN,
        ENDED,
        LOST,
        MOVED_OUT,
        ACTIVE,
    ];
    let chart = Chart::stacked_bars("Active flags by CSP", CSP.key, [Series::of(ACTIVE.key)]);
    Section::new(
        "active_by_csp",
        "Active flags by CSP",
        "Flags that were set when the month began, what came and went, and those that were set when it ended.",
        table(sums, &measures)?,
    )
    .with_chart(chart)
}

fn figures(sums: &Sums) -> Result<Section, Malformed> {
    let measures = [
        ACTIVE_BEFORE,
        SET,
        GAINED,
        MOVED_IN,
        LIFTED,
        TENANCY_LIFTED,
        DEVICE_ENDED,
        ENDED_OTHERWISE,
        LOST,
        MOVED_OUT,
        ACTIVE,
        ACTIVE_GAINED,
        TENANCY_KEPT,
        CONFIRMED,
    ];
    Ok(Section::new(
        FLAGS,
        "Flags by supplier and CSP",
        "All that came, went, ended and stayed.",
        table(sums, &measures)?,
    ))
}

/// Whose flags they are.
#[derive(Clone, Copy)]
struct Whose {
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    of: fn(&wire::FlagRow) -> &str,
}

const SUPPLIER: Whose = Whose {
    key: "supplier",
    title: "Supplier",
    meaning: "The Responsible Supplier; none where nobody is responsible.",
    of: |row| &row.party_id,
};
const CSP: Whose = Whose {
    key: "csp",
    title: "CSP",
    meaning: "The CSP of the meter's hub; none where it is on none.",
    of: |row| &row.csp_id,
};

/// A count of flags, and the column that shows it.
#[derive(Clone, Copy)]
struct Measure {
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    of: fn(&Counts) -> u64,
}

const fn counting(
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    of: fn(&Counts) -> u64,
) -> Measure {
    Measure {
        key,
        title,
        meaning,
        of,
    }
}

const ACTIVE_BEFORE: Measure = counting(
    "active_before",
    "Active before",
    "Set when the month began.",
    |counts| counts.total.active_before,
);
const SET: Measure = counting("set", "Set", "Set by the supplier.", |counts| {
    counts.total.set
});
const GAINED: Measure = counting(
    "gained",
    "Gained",
    "Came with a change of supplier.",
    |counts| counts.total.gained,
);
const MOVED_IN: Measure = counting(
    "moved_in",
    "Moved in",
    "Came from another CSP with the meter's hub.",
    |counts| counts.total.moved_in,
);
const LIFTED: Measure = counting("lifted", "Lifted", "Lifted by the supplier.", |counts| {
    counts.total.lifted
});
const TENANCY_LIFTED: Measure = counting(
    "lifted_at_change_of_tenancy",
    "Lifted at change of tenancy",
    "Lifted as the incoming tenant wishes.",
    |counts| counts.total.lifted_at_change_of_tenancy,
);
const DEVICE_ENDED: Measure = counting(
    "device_ended",
    "Device ended",
    "Ended with their Device, which was decommissioned.",
    |counts| counts.total.device_ended,
);
const ENDED_OTHERWISE: Measure = counting(
    "ended_otherwise",
    "Ended otherwise",
    "Ended for a reason that the service does not know.",
    |counts| counts.total.ended_otherwise,
);
const ENDED: Measure = counting(
    "ended",
    "Ended",
    "Lifted by the supplier or at a change of tenancy, or ended with their Device or otherwise.",
    |counts| ends_of(&counts.total),
);
const LOST: Measure = counting(
    "lost",
    "Lost",
    "Went to another supplier, or to none, with a change of supplier.",
    |counts| counts.total.lost,
);
const MOVED_OUT: Measure = counting(
    "moved_out",
    "Moved out",
    "Went to another CSP with the meter's hub.",
    |counts| counts.total.moved_out,
);
const ACTIVE: Measure = counting(
    "active",
    "Active",
    "Set when the month ended; now, if it is not over.",
    |counts| counts.total.active,
);
const ACTIVE_OWN: Measure = counting(
    "active_set_by_the_supplier",
    "Active, set by the supplier",
    "Of the active ones, those that the supplier set itself.",
    |counts| counts.total.active.saturating_sub(counts.gained.active),
);
const ACTIVE_GAINED: Measure = counting(
    "active_gained",
    "Active, gained",
    "Of the active ones, those that another supplier had set.",
    |counts| counts.gained.active,
);
const TENANCY_KEPT: Measure = counting(
    "kept_at_change_of_tenancy",
    "Kept at change of tenancy",
    "How often an incoming tenant kept a flag.",
    |counts| counts.total.kept_at_change_of_tenancy,
);
const CONFIRMED: Measure = counting(
    "confirmed",
    "Confirmed",
    "How often the supplier recorded again that the consumer wants the flag.",
    |counts| counts.total.confirmed,
);
const GAINED_BEFORE: Measure = counting(
    "gained_before",
    "Gained before",
    "Active when the month began, and gained earlier.",
    |counts| counts.gained.active_before,
);
const GAINED_CONFIRMED: Measure = counting(
    "gained_confirmed",
    "Gained, confirmed",
    "How often the supplier recorded that the consumer wants a flag that it had gained.",
    |counts| counts.gained.confirmed,
);
const GAINED_ENDED: Measure = counting(
    "gained_ended",
    "Gained, ended",
    "Of those that were gained, these ended in the month.",
    |counts| ends_of(&counts.gained),
);
const GAINED_LOST: Measure = counting(
    "gained_lost",
    "Gained, lost again",
    "Of those that were gained, these went on to another supplier, or to none, in the month.",
    |counts| counts.gained.lost,
);

const fn ends_of(counts: &wire::FlagCounts) -> u64 {
    counts
        .lifted
        .saturating_add(counts.lifted_at_change_of_tenancy)
        .saturating_add(counts.device_ended)
        .saturating_add(counts.ended_otherwise)
}

/// A column for whose they are, then those of the measures.
fn table(sums: &Sums, measures: &[Measure]) -> Result<Table, Malformed> {
    let whose = sums.whose.iter();
    let columns =
        whose.map(|whose| Column::new(whose.key, whose.title, Kind::Text).meaning(whose.meaning));
    let columns = columns.chain(measures.iter().map(|measure| {
        Column::new(measure.key, measure.title, Kind::Count)
            .unit("flags")
            .meaning(measure.meaning)
    }));
    let cells = |counts: &Counts| {
        let cells = measures.iter().map(|measure| (measure.of)(counts).into());
        cells.collect::<Vec<Cell>>()
    };
    let rows = sums.rows.iter().map(|(names, counts)| {
        let names = names.iter().map(|name| match *name {
            "" => Cell::Nothing,
            name => name.into(),
        });
        names.chain(cells(counts)).collect()
    });
    let all = (0..sums.whose.len()).map(|at| if at == 0 { "All".into() } else { Cell::Nothing });
    let total = all.chain(cells(&sums.total)).collect();
    Table::new(columns.collect(), rows.collect())?.with_total(total)
}

/// All flags, and those that were gained.
#[derive(Default, Clone, Copy)]
struct Counts {
    total: wire::FlagCounts,
    gained: wire::FlagCounts,
}

/// Counts, by whose flags they are.
struct Sums<'a> {
    whose: Vec<Whose>,
    rows: BTreeMap<Vec<&'a str>, Counts>,
    total: Counts,
}

impl<'a> Sums<'a> {
    fn of(rows: &'a [wire::FlagRow], whose: &[Whose]) -> Self {
        let mut sums: BTreeMap<Vec<&str>, Counts> = BTreeMap::new();
        let mut total = Counts::default();
        for row in rows {
            let figures = row.figures.unwrap_or_default();
            let counts = Counts {
                total: figures.total.unwrap_or_default(),
                gained: figures.gained_from_another.unwrap_or_default(),
            };
            let names = whose.iter().map(|whose| (whose.of)(row)).collect();
            for sum in [sums.entry(names).or_default(), &mut total] {
                add(&mut sum.total, &counts.total);
                add(&mut sum.gained, &counts.gained);
            }
        }
        Self {
            whose: whose.to_vec(),
            rows: sums,
            total,
        }
    }
}

fn add(to: &mut wire::FlagCounts, counts: &wire::FlagCounts) {
    let wire::FlagCounts {
        active_before,
        set,
        gained,
        moved_in,
        lifted,
        lifted_at_change_of_tenancy,
        device_ended,
        ended_otherwise,
        lost,
        moved_out,
        active,
        kept_at_change_of_tenancy,
        confirmed,
    } = counts;
    for (sum, count) in [
        (&mut to.active_before, active_before),
        (&mut to.set, set),
        (&mut to.gained, gained),
        (&mut to.moved_in, moved_in),
        (&mut to.lifted, lifted),
        (
            &mut to.lifted_at_change_of_tenancy,
            lifted_at_change_of_tenancy,
        ),
        (&mut to.device_ended, device_ended),
        (&mut to.ended_otherwise, ended_otherwise),
        (&mut to.lost, lost),
        (&mut to.moved_out, moved_out),
        (&mut to.active, active),
        (&mut to.kept_at_change_of_tenancy, kept_at_change_of_tenancy),
        (&mut to.confirmed, confirmed),
    ] {
        *sum = sum.saturating_add(*count);
    }
}
