//! Which report shows all that a report can show, with names that nobody wishes for?

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh_sheet::{Cell, Chart, Column, Kind, Malformed, Report, Section, Series, Table};

/// 200 characters of Hebrew.
pub(crate) const RIGHT_TO_LEFT: &str = "חברת החשמל של הצפון והדרום בעירבון מוגבל עם שם ארוך במיוחד \
    חברת החשמל של הצפון והדרום בעירבון מוגבל עם שם ארוך במיוחד \
    חברת החשמל של הצפון והדרום בעירבון מוגבל עם שם ארוך במיוחד סוף השם הארוך הזה ";

/// A supplier's name, requests, and of these successful ones and excepted ones.
const SUPPLIERS: [(&str, u64, u64, u64); 10] = [
    ("Albion Energy", 1_284_410, 1_190_204, 61_377),
    ("Bright Power Ltd", 842_001, 800_412, 22_910),
    (
        "Caledonia Gas & Electricity Supply Company of the Highlands and Islands (Trading) Limited",
        611_950,
        560_070,
        40_088,
    ),
    (
        "=HYPERLINK(\"https://example.invalid\",\"Click\")",
        402_118,
        380_551,
        12_006,
    ),
    ("<script>alert('figures')</script>", 240_733, 221_004, 9_120),
    (RIGHT_TO_LEFT, 120_554, 112_909, 4_417),
    ("Ynni Môn\u{202E}\u{1B}[2J", 88_021, 80_400, 5_230),
    ("電力会社 北部支店", 54_300, 51_990, 0),
    (
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        31_204,
        29_198,
        2_001,
    ),
    ("No requests plc", 0, 0, 0),
];

pub(crate) fn report() -> Report {
    made().expect("the sample is well formed")
}

fn made() -> Result<Report, Malformed> {
    let report = Report::new("Service Requests and consumers’ choices", "January to December 2026, Great Britain")
        .with_fact("Published", "2026-12-01T00:00:00Z")
        .with_fact("Outcomes up to", "position 4 102 377 of the log outcomes")
        .with_fact("Choices up to", "position 88 410 of the log flags")
        .with_fact("Made by", "mesh-sheet 0.1.0")
        .with_fact("Content (SHA-256)", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
        .with_note("A request is excepted if the consumer’s choice was in force when it was sent. It stays in the total.")
        .with_note("Figures below 10 are withheld where they could tell of one home.")
        .with_note("A name as its owner wrote it: <b>\u{202E}not bold</b>.");
    report
        .with_section(suppliers()?)?
        .with_section(rates()?)?
        .with_section(months()?)?
        .with_section(variants()?)?
        .with_section(timings()?)
}

fn suppliers() -> Result<Section, Malformed> {
    let columns = vec![
        Column::new("supplier", "Supplier", Kind::Text)
            .meaning("The Responsible Supplier when the request was sent."),
        Column::new("requests", "All", Kind::Count)
            .unit("requests")
            .meaning("All requests that the supplier sent."),
        Column::new("successful", "Successful", Kind::Count)
            .unit("requests")
            .meaning("Those that were answered in time."),
        Column::new("failed", "Failed", Kind::Count)
            .unit("requests")
            .meaning("Those that were not, and are not excepted."),
        Column::new("excepted", "Excepted by choice", Kind::Count)
            .unit("requests")
            .meaning("Those that were not because the consumer refused the reading."),
    ];
    // Withheld in two figures of the row and in their totals: otherwise the others would tell it.
    let rows = SUPPLIERS.iter().map(|&(name, all, successful, excepted)| {
        let failed = all - successful - excepted;
        let few = all > 0 && failed < 10;
        let seen = |count: u64| if few { Cell::Withheld } else { count.into() };
        vec![
            name.into(),
            all.into(),
            seen(successful),
            seen(failed),
            excepted.into(),
        ]
    });
    let sum =
        |of: fn(&(&str, u64, u64, u64)) -> u64| Cell::from(SUPPLIERS.iter().map(of).sum::<u64>());
    let total = vec![
        "All suppliers".into(),
        sum(|s| s.1),
        Cell::Withheld,
        Cell::Withheld,
        sum(|s| s.3),
    ];
    let table = Table::new(columns, rows.collect())?.with_total(total)?;
    let series = [
        Series::of("successful"),
        Series::of("failed"),
        Series::excepted("excepted"),
    ];
    let explanation = "What became of the Service Requests of each supplier, with those excepted shown as a part of all.";
    Section::new("suppliers", "Requests by supplier", explanation, table).with_chart(
        Chart::stacked_bars(
            "Service Requests by supplier and outcome",
            "supplier",
            series,
        ),
    )
}

fn rates() -> Result<Section, Malformed> {
    let columns = vec![
        Column::new("supplier", "Supplier", Kind::Text),
        Column::new("requests", "All", Kind::Count).unit("requests"),
        Column::new("rate", "Rate", Kind::Share)
            .unit("of requests")
            .meaning("Successful requests of all."),
        Column::new("rate_with_exceptions", "Rate with exceptions", Kind::Share)
            .unit("of requests")
            .meaning("Successful requests of those that are not excepted."),
    ];
    let rows = SUPPLIERS.iter().map(|&(name, all, successful, excepted)| {
        let few = all > 0 && all - successful - excepted < 10;
        let seen = |whole: u64| {
            if few {
                Cell::Withheld
            } else {
                Cell::share(successful, whole)
            }
        };
        vec![name.into(), all.into(), seen(all), seen(all - excepted)]
    });
    let table = Table::new(columns, rows.collect())?;
    let chart = Chart::shares(
        "Successful requests, with and without exceptions",
        "supplier",
        "rate",
        Some("rate_with_exceptions"),
    );
    let explanation = "The rate of success as it is, and as it would be without the requests that consumers’ choices except.";
    Section::new("rates", "Rates by supplier", explanation, table).with_chart(chart)
}

fn months() -> Result<Section, Malformed> {
    let columns = vec![
        Column::new("month", "Month", Kind::Text),
        Column::new("delivered", "Delivered", Kind::Count).unit("messages"),
        Column::new("stopped", "Stopped", Kind::Count).unit("messages"),
        Column::new("excepted", "Excepted", Kind::Count).unit("messages"),
    ];
    let rows = (1..=12_u64).map(|month| {
        let stopped = if month == 4 {
            Cell::Withheld
        } else {
            (820 * month + month * month * 31).into()
        };
        let delivered = 21_000 + (month * 7_919) % 6_000;
        vec![
            Cell::text(format!("2026-{month:02}")),
            delivered.into(),
            stopped,
            (310 * month).into(),
        ]
    });
    let table = Table::new(columns, rows.collect())?;
    let series = [
        Series::of("delivered"),
        Series::of("stopped"),
        Series::excepted("excepted"),
    ];
    let chart = Chart::over_time("Messages by month", "month", series);
    let explanation = "How many messages were delivered and stopped in each month.";
    Section::new("months", "Messages over the year", explanation, table).with_chart(chart)
}

fn variants() -> Result<Section, Malformed> {
    let columns = vec![
        Column::new("variant", "Service Request Variant", Kind::Text),
        Column::new("delivered", "Delivered", Kind::Count).unit("messages"),
        Column::new("stopped", "Stopped", Kind::Count).unit("messages"),
        Column::new("unknown", "Not yet known", Kind::Count).unit("messages"),
        Column::new("repeated", "Repeated", Kind::Count).unit("messages"),
    ];
    let rows = (1..=31_u64).map(|n| {
        let name = format!(
            "{}.{} Read or write something of the Device",
            n / 6 + 1,
            n % 6 + 1
        );
        vec![
            Cell::text(name),
            ((n * 7_919) % 997 * 10).into(),
            ((n * 104_729) % 499 * 5).into(),
            (n * 13 % 700).into(),
            (n * 29 % 600).into(),
        ]
    });
    let table = Table::new(columns, rows.collect())?;
    let series = ["delivered", "stopped", "unknown", "repeated"].map(Series::of);
    let chart = Chart::stacked_bars("Messages by Service Request Variant", "variant", series);
    let explanation = "How many messages of each variant there were. There are more variants than a chart can show.";
    Section::new("variants", "Messages by variant", explanation, table).with_chart(chart)
}

fn timings() -> Result<Section, Malformed> {
    let columns = vec![
        Column::new("what", "What", Kind::Text),
        Column::new("since", "Since", Kind::Instant).meaning("When it was measured first."),
        Column::new("typical_seconds", "Typical time", Kind::Duration)
            .meaning("Half of all took no longer."),
        Column::new("longest_seconds", "Longest time", Kind::Duration),
    ];
    let since = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(490_000);
    let rows = vec![
        vec![
            "From choice to flag".into(),
            since.into(),
            Duration::from_millis(420).into(),
            Duration::from_millis(8_250).into(),
        ],
        vec![
            "From flag to CSP".into(),
            since.into(),
            Duration::from_secs(95).into(),
            Duration::from_secs(200_000).into(),
        ],
        vec![
            "From CSP to home".into(),
            Cell::Nothing,
            Cell::Nothing,
            Cell::Withheld,
        ],
    ];
    let table = Table::new(columns, rows)?;
    Ok(Section::new(
        "timings",
        "How long it takes",
        "The time from a consumer’s choice until it is in force.",
        table,
    ))
}
