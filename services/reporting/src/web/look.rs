//! How does a page look? Without a script; every word from outside is escaped, isolated and seen.

use maud::{Markup, html};
use mesh_sheet::Frame;
use mesh_types::text::shown;
use mesh_types::{PartyId, Timestamp};

use super::address::{Asked, Filters, Page};
use super::ask::Found;
use super::filter;
use super::refusal::Refusal;
use crate::business_process::BusinessProcesses;
use crate::month::Month;

const STYLE: &str = include_str!("web.css");
/// How many months the first page offers, the present one among them.
const MONTHS: usize = 12;
/// What figures can be grouped by, as the form offers it; a URL may say any order.
const GROUPINGS: [(&str, &str); 7] = [
    ("supplier", "supplier"),
    ("business-process", "business process"),
    ("variant", "Service Reference Variant"),
    ("supplier,business-process", "supplier, business process"),
    ("supplier,variant", "supplier, Service Reference Variant"),
    (
        "business-process,variant",
        "business process, Service Reference Variant",
    ),
    (
        "supplier,business-process,variant",
        "supplier, business process, Service Reference Variant",
    ),
];

/// What a page may load and do: nothing but its own styles, and forms to where it came from.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src {}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        mesh_sheet::style_sources(STYLE)
    )
}

/// What the links to other pages go on with: the supplier, and the month with its zone or else the present one.
pub(super) fn ways(now: Timestamp, filters: &Filters) -> Filters {
    let (month, supplier) = (filters.get(filter::MONTH), filters.get(filter::SUPPLIER));
    let month = match month.parse::<Month>() {
        Ok(month) => Some(month),
        Err(_) => Month::of(now).ok(),
    };
    let supplier = supplier.parse::<PartyId>().ok();
    let zone = Some(filters.get(filter::ZONE)).filter(|zone| *zone == "london");
    let ways = [
        (filter::MONTH, month.map(|month| month.to_string())),
        (filter::ZONE, zone.map(str::to_owned)),
        (
            filter::SUPPLIER,
            supplier.map(|supplier| supplier.to_string()),
        ),
    ];
    let named = ways
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    named.fold(Filters::default(), |ways, (name, value)| {
        ways.with(name, &value)
    })
}

/// The first page: the months that can be chosen, and all reports.
pub(super) fn index(now: Timestamp) -> String {
    let before = html! {
        (site(Some(Page::Index), &ways(now, &Filters::default())))
        header { h1 { "Reports" } }
        main {
            section {
                h2 { "By month" }
                ul.months {
                    @for (at, month) in months(now).into_iter().enumerate() {
                        // It has no figures before it is over.
                        @let is_present = at == 0;
                        @let chosen = Filters::default().with(filter::MONTH, &month);
                        li {
                            span.month { (month) } " "
                            a href=(chosen.on(Page::Performance)) { "performance" } " "
                            a href=(chosen.on(Page::Exceptions)) { "exceptions" } " "
                            a href=(chosen.with(filter::DELIVERED_ONLY, "true").on(Page::Exceptions)) { "broken promises" } " "
                            a href=(chosen.on(Page::Flags)) { "flags" }
                            @if !is_present { " " a href=(chosen.on(Page::Obligation)) { "obligation" } }
                        }
                    }
                }
            }
            section {
                h2 { "As of now" }
                p { a href=(Page::Editions.path()) { "Months that are closed, and their restatements" } }
                p { a href=(Page::Obligation.path()) { "Meters installed and commissioned, and those reduced by choice" } }
            }
            section {
                h2 { "Another month" }
                (form(Page::Performance, &Filters::default()))
            }
        }
    };
    page(Page::Index.title(), before, html! {}, None)
}

/// The present month (UTC) and those before it.
fn months(now: Timestamp) -> Vec<String> {
    let Ok(now) = jiff::Timestamp::from_microsecond(now.micros()) else {
        return Vec::new();
    };
    let first = now
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
        .first_of_month();
    let months = std::iter::successors(Some(first), |month| {
        month
            .yesterday()
            .ok()
            .map(jiff::civil::Date::first_of_month)
    });
    let months = months.take(MONTHS);
    months
        .map(|month| format!("{:04}-{:02}", month.year(), month.month()))
        .collect()
}

/// A report with its filters, its downloads, and where it goes on.
pub(super) fn report(now: Timestamp, asked: &Asked, found: &Found) -> String {
    let (page_of, filters) = (asked.page, &asked.filters);
    let before = html! {
        (site(Some(page_of), &ways(now, filters)))
        (form(page_of, filters))
        (downloads(page_of, filters))
    };
    let after = html! {
        @if !found.next.is_empty() || !filters.get(filter::PAGE).is_empty() {
            nav.pages aria-label="Pages" {
                @if !filters.get(filter::PAGE).is_empty() { a href=(filters.on(page_of)) { "First page" } " " }
                @if !found.next.is_empty() {
                    a rel="next" href=(filters.with(filter::PAGE, &found.next).all_on(page_of)) { "Next page" }
                }
            }
        }
    };
    page(page_of.title(), before, after, Some(found))
}

/// Why there is no page. `known` is the page that was asked for, if it is known who asks.
pub(super) fn refused(
    now: Timestamp,
    refusal: &Refusal,
    known: Option<Page>,
    filters: &Filters,
) -> String {
    let Refusal {
        status,
        reason,
        message,
        fields,
        ..
    } = refusal;
    let title = status.canonical_reason().unwrap_or("Refused");
    let before = html! {
        @if refusal.knows_the_peer() { (site(known, &ways(now, filters))) }
        header {
            h1 { (title) }
            p.period { "HTTP " (status.as_u16()) @if !reason.is_empty() { ", " code { (reason) } } }
        }
        main {
            p.refusal { (outside(message)) }
            @if !fields.is_empty() {
                ul.refusal {
                    @for (name, why) in fields {
                        li { code { (outside(name)) } ": " (outside(why)) }
                    }
                }
            }
            @if let Some(known) = known.filter(|known| *known != Page::Index) { (form(known, filters)) }
        }
    };
    page(title, before, html! {}, None)
}

fn page(title: &str, before: Markup, after: Markup, found: Option<&Found>) -> String {
    let frame = Frame {
        title: format!("{title} – reduced communications"),
        style: STYLE,
        before,
        after,
    };
    mesh_sheet::framed(found.map(|found| &found.report), &frame)
}

/// The way to every page.
fn site(here: Option<Page>, ways: &Filters) -> Markup {
    html! {
        nav.site aria-label="Reports" {
            @for page in [Page::Index].into_iter().chain(Page::REPORTS) {
                a href=(way(page, ways)) aria-current=[(here == Some(page)).then_some("page")] { (page.title()) } " "
            }
        }
    }
}

/// The present month is not over, and has no figures of meters yet: the way to them leads to those of now.
fn way(page: Page, ways: &Filters) -> String {
    match page {
        Page::Obligation => ways.without(filter::MONTH).without(filter::ZONE).on(page),
        Page::Index | Page::Performance | Page::Exceptions | Page::Flags | Page::Editions => {
            ways.on(page)
        }
    }
}

/// All pages in one file.
fn downloads(page: Page, filters: &Filters) -> Markup {
    let as_csv = filters.with(filter::OUTPUT, "csv");
    html! {
        p.downloads {
            "Download: "
            @if page == Page::Obligation {
                a href=(as_csv.with(filter::FUEL, "electricity").all_on(page)) { "CSV, electricity" } " "
                a href=(as_csv.with(filter::FUEL, "gas").all_on(page)) { "CSV, gas" } " "
            } @else {
                a href=(as_csv.without(filter::PAGE).all_on(page)) { "CSV" } " "
            }
            a href=(filters.with(filter::OUTPUT, "json").without(filter::PAGE).all_on(page)) { "JSON" }
        }
    }
}

/// The filters of a page, with what is chosen.
fn form(page: Page, filters: &Filters) -> Markup {
    html! {
        form.filters action=(page.path()) method="get" {
            @for &name in page.filters() { (field(page, name, filters.get(name))) }
            button type="submit" { "Show" }
        }
    }
}

fn field(page: Page, name: &str, value: &str) -> Markup {
    match name {
        filter::MONTH => {
            // Browsers complain of another value in such a field.
            let value = value
                .parse::<Month>()
                .map_or_else(|_| String::new(), |month| month.to_string());
            let needed = page != Page::Obligation;
            html! { label { "Month " input type="month" name=(name) value=(value) required[needed] placeholder="2026-11"; } }
        }
        filter::ZONE => choice(
            name,
            "begins at midnight in",
            "UTC",
            [("london", "Great Britain")].into_iter(),
            value,
        ),
        filter::BY => choice(
            name,
            "Group by",
            "the whole report",
            GROUPINGS.into_iter(),
            value,
        ),
        filter::BUSINESS_PROCESS => {
            let processes = BusinessProcesses::builtin().processes().iter();
            let processes = processes.map(|process| (process.key.as_str(), &*process.name));
            choice(name, "Business process", "all", processes, value)
        }
        filter::DELIVERED_ONLY => {
            html! { label.check { input type="checkbox" name=(name) value="true" checked[value == "true"]; " Broken promises only" } }
        }
        filter::EDITION => text(name, "Edition", "the last, or 0, added-1, now", value),
        filter::CSP => text(name, "CSP", "all, or such as north", value),
        filter::SUPPLIER => text(name, "Supplier", "all, or its short name", value),
        _ => text(name, "Variant", "all, or such as 4.8.1", value),
    }
}

fn text(name: &str, label: &str, hint: &str, value: &str) -> Markup {
    html! {
        label { (label) " " input type="text" name=(name) value=(shown(value)) placeholder=(hint) maxlength="64" spellcheck="false" autocomplete="off"; }
    }
}

/// One of `options`; the value of a URL is among them, whatever it is.
fn choice<'a>(
    name: &str,
    label: &str,
    none: &str,
    options: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    value: &str,
) -> Markup {
    let offered = value.is_empty() || options.clone().any(|(key, _)| key == value);
    html! {
        label {
            (label) " "
            select name=(name) {
                option value="" { (none) }
                @if !offered { option value=(shown(value)) selected { (shown(value)) } }
                @for (key, words) in options { option value=(key) selected[key == value] { (words) } }
            }
        }
    }
}

fn outside(text: &str) -> Markup {
    html! { bdi { (shown(text)) } }
}
