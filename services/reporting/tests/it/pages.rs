//! Pages for browsers: what they show and to whom, and what stands above them.

use http::{Method, Request};
use hyper::body::Bytes;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::OutcomeResult;
use mesh_audit::testing::OnDisk;
use mesh_pki::Issued;
use mesh_rpc::CertificateId;
use mesh_testkit::{LIMIT, certificates, temp_dir};
use reporting::present;
use tokio::time::timeout;

use crate::browser::{Browser, Http, Seen};
use crate::world::{World, device, issued_to, november, outcome, outcomes, record};

const BOTH: [Http; 2] = [Http::One, Http::Two];
const FLAGGED: u64 = 0xE1;

/// Excepted requests of ALBION and BRIGHT, one of them a broken promise, and others.
async fn with_outcomes() -> World {
    let world = World::start(Vec::new()).await;
    let mut all = Vec::new();
    for (party, number, at, result) in [
        ("ALBION", FLAGGED, 11, OutcomeResult::Suppressed),
        ("ALBION", FLAGGED, 12, OutcomeResult::Succeeded),
        ("ALBION", 0xE2, 12, OutcomeResult::Failed),
        ("BRIGHT", FLAGGED, 14, OutcomeResult::Suppressed),
        ("BRIGHT", 0xE3, 14, OutcomeResult::Succeeded),
    ] {
        let mut one = outcome(&format!("{party} {number} {at}"), number, at);
        one.party_id = party.into();
        one.result = result.into();
        all.push(one);
    }
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, vec![outcomes(all)]).await.unwrap();
    let flagged = world.flag(FLAGGED, 10, Some(&[])).await;
    world.november(flagged).await;
    world
}

fn analyst() -> Issued {
    certificates().internal("analyst")
}

async fn open(world: &World, certificate: &Issued, speaks: Http) -> Browser {
    let browser = Browser::open(world.service.pages, Some(certificate), speaks).await;
    browser.unwrap()
}

/// What the RPC answers, as a report.
async fn expected(world: &World) -> mesh_sheet::Report {
    let request = wire::GetServiceRequestReportRequest {
        group_by: present::FINEST.map(i32::from).to_vec(),
        ..november()
    };
    let mut client = world.service.internal("analyst");
    let answer = client.get_service_request_report(request).await.unwrap();
    let answer = answer.into_inner();
    let group = present::Grouped {
        by: present::FINEST.to_vec(),
        rows: answer.rows,
        basis: answer.basis.unwrap(),
        business_processes_version: answer.business_processes_version,
    };
    present::performance(&november(), &group).unwrap()
}

/// The part of a page that is the report.
pub(crate) fn report_in(page: &str) -> &str {
    let (from, to) = (page.find("<header>"), page.rfind("</main>"));
    &page[from.unwrap()..to.unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_the_figures_of_the_rpc_in_every_form_and_protocol() {
    let world = with_outcomes().await;
    let report = expected(&world).await;
    let html = mesh_sheet::html(&report);
    for speaks in BOTH {
        let mut browser = open(&world, &analyst(), speaks).await;
        let page = browser
            .get("/performance?month=2026-11&by=&supplier=")
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(report_in(&page.text), report_in(&html));
        let json = browser.get("/performance?month=2026-11&output=json").await;
        assert_eq!(json.text, mesh_sheet::json(&report).to_string());
        assert_eq!(json.header("content-type"), "application/json");
        let csv = browser.get("/performance?month=2026-11&output=csv").await;
        let section = report.section(present::SERVICE_REQUESTS).unwrap();
        assert_eq!(csv.text, mesh_sheet::csv(section));
        assert_eq!(
            csv.header("content-disposition"),
            "attachment; filename=\"performance-2026-11.csv\""
        );
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_reaches_the_rpc() {
    let world = with_outcomes().await;
    let mut browser = open(&world, &analyst(), Http::Two).await;
    let mut csv = async |address: &str| {
        let seen = browser.get(&format!("{address}&output=csv")).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        let lines = seen.text.lines().skip(1);
        let firsts = lines.map(|line| line.split(',').next().unwrap().to_owned());
        firsts.collect::<Vec<_>>()
    };
    let performance = "/performance?month=2026-11&by=";
    for (filter, expected) in [
        ("supplier", &["ALBION", "BRIGHT"][..]),
        ("supplier,variant&supplier=BRIGHT", &["BRIGHT"]),
        ("variant&variant=4.8.1", &["4.8.1"]),
        ("variant&variant=4.8.2", &[]),
        (
            "business-process&business_process=billing-reads",
            &["billing-reads"],
        ),
        ("business-process&business_process=other", &[]),
    ] {
        assert_eq!(
            csv(&format!("{performance}{filter}")).await,
            expected,
            "{filter}"
        );
    }
    let flagged = device(FLAGGED).to_string();
    // Of the month that begins at midnight in Great Britain.
    assert_eq!(
        csv("/performance?month=2026-11&zone=london&by=supplier")
            .await
            .len(),
        2
    );
    let exceptions = "/exceptions?month=2026-11";
    assert_eq!(csv(exceptions).await, [&*flagged, &*flagged]);
    assert_eq!(
        csv(&format!("{exceptions}&delivered_only=true")).await,
        [&*flagged]
    );
    assert_eq!(
        csv(&format!("{exceptions}&supplier=BRIGHT")).await,
        [&*flagged]
    );
    assert_eq!(csv("/exceptions?month=2026-10").await, [""; 0]);
    let elsewhere = browser.get("/performance?month=2026-11&zone=paris").await;
    assert_eq!(elsewhere.status, 400, "{elsewhere:?}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_shown_what_the_rpc_refuses() {
    let world = with_outcomes().await;
    let address = "/performance?month=2026-11";
    for speaks in BOTH {
        let guest = Browser::open(world.service.pages, None, speaks).await;
        let mut guest = guest.unwrap();
        for path in ["/", address, "/nothing"] {
            let seen = guest.get(path).await;
            assert_eq!(seen.status, 401, "{seen:?}");
            assert!(!seen.text.contains("href"), "{seen:?}");
        }
        let mut dsp = open(&world, &certificates().internal("dsp"), speaks).await;
        for path in [
            address,
            "/exceptions?month=2026-11",
            "/flags?month=2026-11",
            "/obligation",
        ] {
            let seen = dsp.get(path).await;
            assert_eq!(seen.status, 403, "{seen:?}");
            assert!(
                seen.text.contains("<code>ROLE_NOT_PERMITTED</code>"),
                "{seen:?}"
            );
        }
        let mut albion = open(&world, &issued_to("ALBION"), speaks).await;
        for path in [
            address,
            "/performance?month=2026-11&supplier=BRIGHT",
            "/flags?month=2026-11&supplier=BRIGHT",
            "/obligation",
        ] {
            let seen = albion.get(path).await;
            assert_eq!(seen.status, 403, "{seen:?}");
            assert!(seen.text.contains("<code>NOT_OWN_DATA</code>"), "{seen:?}");
            assert!(!seen.text.contains("<table"), "{seen:?}");
        }
        let own = albion
            .get("/performance?month=2026-11&supplier=ALBION")
            .await;
        assert_eq!(own.status, 200);
        assert!(own.text.contains("ALBION") && !own.text.contains("BRIGHT"));
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_connection_ends_when_its_certificate_is_denied() {
    let world = with_outcomes().await;
    let stolen = analyst();
    let mut connections = Vec::new();
    for speaks in BOTH {
        let mut browser = open(&world, &stolen, speaks).await;
        assert_eq!(browser.get("/").await.status, 200);
        connections.push(browser);
    }
    let CertificateId { serial, issuer } = CertificateId::of(&stolen.certificate_der()).unwrap();
    let list = format!("[[certificate]]\nserial = '{serial}'\nissuer = '{issuer}'\n");
    assert!(world.service.tls.deny(list).unwrap());
    for browser in connections {
        timeout(LIMIT, browser.ended).await.unwrap().unwrap();
    }
    // In TLS 1.3 a client learns of its refusal when it reads.
    if let Ok(mut browser) = Browser::open(world.service.pages, Some(&stolen), Http::One).await {
        let request = Request::get("/").body(Default::default()).unwrap();
        browser.send(request).await.unwrap_err();
    }
    let mut other = open(&world, &analyst(), Http::One).await;
    assert_eq!(other.get("/").await.status, 200);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_an_address_is_never_markup() {
    let world = with_outcomes().await;
    let mut browser = open(&world, &analyst(), Http::One).await;
    let attacks = [
        "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "%27%22%20onfocus%3Dalert(1)%20autofocus%20x%3D%22",
        "javascript%3Aalert(1)",
        "%E2%80%AE%3C%2Foption%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
        "%FF%00%0D%0ASet-Cookie%3A%20a%3Db",
    ];
    for page in ["performance", "exceptions", "flags", "obligation"] {
        for name in [
            "month",
            "by",
            "supplier",
            "variant",
            "csp",
            "business_process",
            "delivered_only",
            "page",
            "output",
            "fuel",
            "nothing",
        ] {
            for attack in attacks {
                let month = if name == "month" || page == "obligation" {
                    ""
                } else {
                    "month=2026-11&"
                };
                let seen = browser
                    .get(&format!("/{page}?{month}{name}={attack}"))
                    .await;
                assert_eq!(seen.status, 400, "{seen:?}");
                is_harmless(&seen);
            }
        }
        for attack in attacks {
            let seen = browser.get(&format!("/{page}?{attack}={attack}")).await;
            assert_eq!(seen.status, 400, "{seen:?}");
            is_harmless(&seen);
        }
    }
    world.service.stop().await;
}

fn is_harmless(seen: &Seen) {
    let text = &seen.text;
    for markup in [
        "<script",
        "<img",
        "href=\"javascript:",
        "'\" on",
        "\u{202E}",
        "\0",
    ] {
        assert!(!text.contains(markup), "{markup}: {text}");
    }
    assert!(seen.headers.get("set-cookie").is_none(), "{seen:?}");
    has_policy(seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_stands_above_every_answer() {
    let world = with_outcomes().await;
    for speaks in BOTH {
        let mut browser = open(&world, &analyst(), speaks).await;
        for (path, status) in [
            ("/", 200),
            ("/performance?month=2026-11", 200),
            ("/performance?month=2026-11&output=csv", 200),
            ("/performance", 400),
            ("/exceptions?month=2026-11&page=x", 400),
            ("/obligation?colour=red", 400),
            ("/favicon.ico", 404),
            ("/performance/", 404),
        ] {
            let seen = browser.get(path).await;
            assert_eq!(seen.status, status, "{path}: {seen:?}");
            has_policy(&seen);
        }
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let seen = browser
                .ask(Request::builder().method(method).uri("/"))
                .await;
            assert_eq!(seen.status, 405, "{seen:?}");
            assert_eq!(seen.header("allow"), "GET, HEAD");
            has_policy(&seen);
        }
        let head = browser.ask(Request::head("/")).await;
        assert_eq!((head.status.as_u16(), &*head.text), (200, ""));
        has_policy(&head);
        let embedded = Request::get("/")
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "no-cors")
            .header("sec-fetch-dest", "image");
        let seen = browser.ask(embedded).await;
        assert_eq!(seen.status, 403);
        has_policy(&seen);
        let body = Request::get("/").header("content-length", "4");
        let body = body.body(Bytes::from_static(b"body").into()).unwrap();
        let seen = browser.send(body).await.unwrap();
        assert_eq!(seen.status, 400);
        has_policy(&seen);
    }
    let guest = Browser::open(world.service.pages, None, Http::Two).await;
    has_policy(&guest.unwrap().get("/").await);
    let mut dsp = open(&world, &certificates().internal("dsp"), Http::Two).await;
    has_policy(&dsp.get("/obligation").await);
    world.service.stop().await;
}

fn has_policy(seen: &Seen) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(seen.header(name), value, "{name}: {seen:?}");
    }
    let policy = seen.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(seen.header("permissions-policy").contains("geolocation=()"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_refused_and_harms_nobody_else() {
    let world = World::start(Vec::new()).await;
    let mut other = open(&world, &analyst(), Http::Two).await;
    for (speaks, octets) in [(Http::One, 20_000), (Http::Two, 70_000)] {
        let mut browser = open(&world, &analyst(), speaks).await;
        let long = Request::get("/").header("x", "x".repeat(octets));
        let answer = browser.send(long.body(Bytes::new().into()).unwrap()).await;
        // In HTTP/2 the connection may end before the answer is read.
        assert!(answer.map_or(true, |seen| seen.status == 431), "{speaks:?}");
        assert_eq!(other.get("/").await.status, 200);
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_view_is_on_record_as_its_rpc_is() {
    let world = with_outcomes().await;
    let mut browser = open(&world, &analyst(), Http::Two).await;
    for path in [
        "/exceptions?month=2026-11",
        "/obligation",
        "/obligation?supplier=x",
    ] {
        browser.get(path).await;
    }
    let mut dsp = open(&world, &certificates().internal("dsp"), Http::One).await;
    dsp.get("/exceptions?month=2026-11").await;
    // A connection that is kept does not keep the service.
    world.service.stop().await;
    let folder = temp_dir();
    let audit = world.folder.path().join("reporting-audit.db");
    let disk = OnDisk::copy(&audit, folder.path()).await;
    let roles = |method| {
        let calls = disk.calls(method).into_iter();
        let who = calls.map(|call| call.caller.as_ref().unwrap().internal_role.clone());
        who.collect::<Vec<_>>()
    };
    assert_eq!(roles("ListExceptedRequests"), ["analyst", "dsp"]);
    assert_eq!(roles("GetObligationReport"), ["analyst", "analyst"]);
    let calls = disk.calls("ListExceptedRequests");
    let seen = [disk.pseudonym(device(FLAGGED))];
    assert_eq!(calls[0].device_pseudonyms, seen);
    assert_eq!(calls[1].device_pseudonyms, [[0; 0]; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_goes_on_page_after_page() {
    let world = World::start(Vec::new()).await;
    let numbers: Vec<u64> = (0x1_0000..0x1_0000 + 501).collect();
    let all = numbers
        .iter()
        .map(|&number| outcome(&number.to_string(), number, 12));
    let mut dsp = world.service.internal("dsp");
    record(&mut dsp, vec![outcomes(all.collect())])
        .await
        .unwrap();
    let flagged = world.flag(FLAGGED, 10, Some(&numbers)).await;
    world.november(flagged).await;
    let mut browser = open(&world, &analyst(), Http::Two).await;
    let rows = |seen: &Seen| seen.text.matches("<th scope=\"row\"").count();
    let first = browser
        .get("/exceptions?month=2026-11&supplier=ALBION")
        .await;
    assert_eq!(rows(&first), 500);
    let next = first.text.split("rel=\"next\" href=\"").nth(1).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let last = browser.get(&next).await;
    assert_eq!((last.status.as_u16(), rows(&last)), (200, 1), "{last:?}");
    assert!(!last.text.contains("rel=\"next\""));
    // A token is the caller's alone, and that of the same filters.
    let mut auditor = open(&world, &certificates().internal("auditor"), Http::Two).await;
    let other = auditor.get(&next).await;
    assert_eq!(other.status, 400);
    assert!(other.text.contains("PAGE_TOKEN_INVALID"), "{other:?}");
    let csv = browser.get("/exceptions?month=2026-11&output=csv").await;
    assert_eq!(csv.text.lines().count(), 502);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_certificates_pages_are_for_this_machine_alone() {
    let world = with_outcomes().await.restart_without_certificates().await;
    let mut browser = Browser::plain(world.service.pages).await;
    let asked = |host: &str| Request::get("/obligation").header("host", host);
    for host in ["127.0.0.1", "localhost:16174", "[::1]"] {
        let seen = browser.ask(asked(host)).await;
        assert_ne!(seen.status, 421, "{seen:?}");
        assert_eq!(seen.header("strict-transport-security"), "", "{seen:?}");
    }
    for host in [
        "evil.example",
        "evil.example:16174",
        "127.0.0.1.evil.example",
        "",
    ] {
        let seen = browser.ask(asked(host)).await;
        assert_eq!(seen.status, 421, "{seen:?}");
        assert!(
            !seen.text.contains("<table") && !seen.text.contains("href"),
            "{seen:?}"
        );
    }
    let elsewhere = Request::get("http://evil.example/obligation").header("host", "127.0.0.1");
    assert_eq!(browser.ask(elsewhere).await.status, 421);
    world.service.stop().await;
    let folder = temp_dir();
    let audit = world.folder.path().join("reporting-audit.db");
    let disk = OnDisk::copy(&audit, folder.path()).await;
    let calls = disk.calls("GetObligationReport");
    let roles = calls
        .iter()
        .map(|call| &*call.caller.as_ref().unwrap().internal_role);
    assert_eq!(roles.collect::<Vec<_>>(), ["analyst"; 3]);
}
