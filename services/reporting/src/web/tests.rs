//! Which hosts are this machine, which filters does a URL have, what stands in a page that came from outside, and how
//! is a refusal told?

use std::time::Duration;

use mesh_api::common::v1::ErrorReason;
use mesh_api::reporting::v1 as wire;
use mesh_types::Timestamp;
use tonic::Code;

use super::address::{Asked, Filters, Form, Page, leniently};
use super::answer::Answer;
use super::filter;
use super::guard::is_loopback;
use super::look;
use super::refusal::Refusal;

/// In November 2026.
const NOVEMBER: Timestamp = Timestamp::from_micros(1_793_500_000_000_000);

#[test]
fn links_go_on_with_month_and_supplier_if_these_are_some() {
    for (query, expected) in [
        ("", "/exceptions?month=2026-11"),
        (
            "month=2025-06&supplier=ALBION&variant=4.8.1",
            "/exceptions?month=2025-06&supplier=ALBION",
        ),
        ("month=June&supplier=%3Cb%3E", "/exceptions?month=2026-11"),
        (
            "month=2025-06&zone=london",
            "/exceptions?month=2025-06&zone=london",
        ),
        ("zone=paris", "/exceptions?month=2026-11"),
    ] {
        let ways = look::ways(NOVEMBER, &leniently(Some(query)));
        assert_eq!(ways.on(Page::Exceptions), expected);
    }
}

#[test]
fn only_names_and_addresses_of_this_machine_are_this_machine() {
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.9.9.9:65535",
        "[::1]",
        "[::1]:16174",
    ] {
        assert!(is_loopback(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "evil.example:127",
        "user@127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:+80",
        "127.0.0.1 ",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::]",
        "[::1",
        "[::1]x",
        "::1",
        "192.0.2.1",
    ] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[test]
fn filters_are_read_once_and_none_is_ignored() {
    let read = |page, query| Asked::read(page, Some(query));
    let asked = read(
        Page::Performance,
        "month=2026-11&by=&supplier=ALBION&variant=4.8.1&business_process=other&output=csv",
    )
    .unwrap();
    assert_eq!((asked.form, asked.by()), (Form::Csv, None));
    let request = asked.performance();
    assert_eq!(
        [
            request.month,
            request.party_id,
            request.service_reference_variant,
            request.business_process
        ],
        ["2026-11", "ALBION", "4.8.1", "other"]
    );
    assert_eq!(asked.file_name("csv"), "performance-2026-11.csv");
    for (page, query, wrong) in [
        (Page::Performance, "suplier=ALBION", "suplier"),
        (Page::Performance, "page=x", "page"),
        (Page::Performance, "month=2026-11&month=2026-12", "month"),
        (Page::Obligation, "month=2026-11&zone=paris", "zone"),
        (Page::Obligation, "fuel=coal", "fuel"),
        (Page::Exceptions, "delivered_only=yes", "delivered_only"),
        (Page::Exceptions, "output=pdf", "output"),
        (Page::Index, "x=1", "x"),
    ] {
        let refusal: Refusal = read(page, query).unwrap_err();
        assert_eq!(refusal.status, 400, "{query}");
        assert_eq!(refusal.fields[0].0, wrong, "{query}");
    }
}

/// Without a month the meters are those of now, which no zone is about.
#[test]
fn the_meters_are_those_of_a_month_or_of_now() {
    use wire::MonthZone::{EuropeLondon, Unspecified, Utc};
    for (query, month, zone) in [
        ("", "", Unspecified),
        ("supplier=ALBION&month=&zone=", "", Unspecified),
        ("zone=london", "", EuropeLondon),
        ("month=2026-10", "2026-10", Utc),
        ("month=2026-10&zone=utc", "2026-10", Utc),
        ("month=2026-10&zone=london", "2026-10", EuropeLondon),
    ] {
        let asked = Asked::read(Page::Obligation, Some(query)).unwrap();
        let request = asked.obligation();
        assert_eq!(
            (&*request.month, request.month_zone()),
            (month, zone),
            "{query}"
        );
    }
    let index = look::index(NOVEMBER);
    for (link, offered) in [
        ("/obligation?month=2026-10", true),
        ("/obligation?month=2026-11", false),
        ("/flags?month=2026-11", true),
        ("\"/obligation\"", true),
    ] {
        assert_eq!(index.contains(link), offered, "{link}: {index}");
    }
}

#[test]
fn a_link_has_what_its_page_takes() {
    let filters = leniently(Some("month=2026-11&supplier=A%26B&page=p%3D&x=1"));
    assert_eq!(
        filters.on(Page::Exceptions),
        "/exceptions?month=2026-11&supplier=A%26B"
    );
    assert_eq!(
        filters.all_on(Page::Exceptions),
        "/exceptions?month=2026-11&page=p%3D&supplier=A%26B"
    );
    assert_eq!(
        filters.on(Page::Obligation),
        "/obligation?month=2026-11&supplier=A%26B"
    );
    assert_eq!(Filters::default().on(Page::Obligation), "/obligation");
    assert_eq!(
        filters.without(filter::SUPPLIER).on(Page::Obligation),
        "/obligation?month=2026-11"
    );
}

#[test]
fn what_comes_from_outside_is_text() {
    let attack = "\"><script>alert(1)</script>'\u{202E}";
    for page in Page::REPORTS {
        for name in page.filters() {
            let filters = Filters::default().with(name, attack);
            let refusal = Refusal::field(attack, attack);
            let text = look::refused(NOVEMBER, &refusal, Some(page), &filters);
            assert!(!text.contains("<script"), "{text}");
            assert!(!text.contains('\u{202E}'), "{text}");
        }
    }
}

#[test]
fn a_refusal_of_an_rpc_becomes_the_status_that_fits() {
    let after = Duration::from_millis(1_500);
    let busy = mesh_api::status::try_later(
        Code::ResourceExhausted,
        ErrorReason::Overloaded,
        "full",
        after,
    );
    let refusal = Refusal::from(busy);
    assert_eq!(
        (refusal.status.as_u16(), refusal.reason),
        (429, "OVERLOADED")
    );
    let (head, ()) = http::Request::new(()).into_parts();
    let answer = Answer::refusal(&refusal, String::new()).into_response(&head, false, false);
    assert_eq!(answer.status(), 429);
    assert_eq!(
        answer.headers()["retry-after"],
        "2",
        "not before it makes sense"
    );
    for (code, status) in [
        (Code::InvalidArgument, 400),
        (Code::Unauthenticated, 401),
        (Code::PermissionDenied, 403),
        (Code::NotFound, 404),
        (Code::Internal, 500),
        (Code::Unavailable, 503),
        (Code::DeadlineExceeded, 504),
    ] {
        let refusal = Refusal::from(tonic::Status::new(code, ""));
        assert_eq!((refusal.status.as_u16(), refusal.reason), (status, ""));
    }
}

#[test]
fn a_browser_comes_by_tls_alone_but_not_to_localhost() {
    for (host, here, told) in [
        ("reports.example", false, true),
        ("127.0.0.1:16174", false, true),
        ("localhost:16174", false, false),
        ("reports.example", true, false),
    ] {
        let request = http::Request::get("/")
            .header("host", host)
            .body(())
            .unwrap();
        let (head, ()) = request.into_parts();
        let answer = Answer::page(String::new()).into_response(&head, here, false);
        let said = answer.headers().contains_key("strict-transport-security");
        assert_eq!(said, told, "{host}");
    }
}
