//! The flags of a month: what the events of the log say, to whom it is told, and that nothing is counted twice.

use mesh_api::common::v1::ErrorReason;
use mesh_api::flag_registry::v1 as flag_wire;
use mesh_api::flag_registry::v1::Cause;
use mesh_api::reporting::v1 as wire;
use mesh_testkit::{TempDir, certificates, wait_until};
use reporting::present;
use sqlx::Connection as _;
use tokio::net::TcpListener;
use tonic::Code;

use crate::browser::{Browser, Http};
use crate::pages::report_in;
use crate::upstream::{Log, Upstream};
use crate::world::{Running, World, flag_event, refused};

const DAY: i64 = 24;

/// What an event of the tests says: meter, hour, whether it is flagged, supplier, CSP, cause.
type Said = (u64, i64, bool, &'static str, &'static str, Cause);

/// Flags of a summer month and of November: set, kept, lifted, gone with a change of supplier and with a hub.
const HISTORY: [Said; 11] = [
    (1, -92 * DAY - 1, true, "ALBION", "north", Cause::FlagAdded),
    (2, 1, true, "ALBION", "north", Cause::FlagAdded),
    (3, 2, true, "BRIGHT", "north", Cause::FlagAdded),
    (2, 3, true, "BRIGHT", "north", Cause::SupplierChanged),
    (2, 4, true, "BRIGHT", "north", Cause::PreferenceRecorded),
    (2, 5, true, "BRIGHT", "4g", Cause::HubReplaced),
    (1, 6, true, "ALBION", "north", Cause::TenancyKept),
    (3, 7, false, "BRIGHT", "north", Cause::TenancyRemoved),
    (4, 8, true, "ALBION", "", Cause::FlagAdded),
    (4, 9, false, "ALBION", "", Cause::DeviceEnded),
    (2, 31 * DAY, false, "BRIGHT", "4g", Cause::FlagRemoved),
];

fn event(&(meter, at, flagged, supplier, csp, cause): &Said) -> flag_wire::FlagEvent {
    let mut event = flag_event(meter, at, flagged.then_some(&[100][..]));
    event.cause = cause.into();
    let facts = event.current.as_mut().unwrap();
    facts.responsible_party_id = supplier.into();
    facts.csp_id = csp.into();
    event
}

async fn with_history() -> (World, u64) {
    let world = World::start(Vec::new()).await;
    let mut last = 0;
    for said in &HISTORY {
        last = world.flags.append(event(said)).await;
    }
    (world, last)
}

fn november() -> wire::GetFlagReportRequest {
    wire::GetFlagReportRequest {
        month: "2026-11".into(),
        ..Default::default()
    }
}

/// The report, once it rests on the flag event `sequence`.
async fn report(
    world: &World,
    request: wire::GetFlagReportRequest,
    sequence: u64,
) -> wire::GetFlagReportResponse {
    let mut analyst = world.service.internal("analyst");
    wait_until("the flags to be counted", async || {
        let answer = analyst.get_flag_report(request.clone()).await;
        let answer = answer.map_err(|status| format!("{status:?}"))?.into_inner();
        let flags = answer.basis.clone().unwrap().flags.unwrap();
        if flags.sequence == sequence {
            Ok(answer)
        } else {
            Err(format!("{flags:?}"))
        }
    })
    .await
}

fn row(party: &str, csp: &str, total: wire::FlagCounts, gained: wire::FlagCounts) -> wire::FlagRow {
    wire::FlagRow {
        party_id: party.into(),
        csp_id: csp.into(),
        figures: Some(wire::FlagFigures {
            total: Some(total),
            gained_from_another: Some(gained),
        }),
    }
}

/// By hand.
fn of_november() -> Vec<wire::FlagRow> {
    let none = wire::FlagCounts::default();
    let moved_out = wire::FlagCounts {
        gained: 1,
        moved_out: 1,
        confirmed: 1,
        ..none
    };
    let moved_in = wire::FlagCounts {
        moved_in: 1,
        active: 1,
        ..none
    };
    let ended = wire::FlagCounts {
        set: 1,
        device_ended: 1,
        ..none
    };
    let albion = wire::FlagCounts {
        active_before: 1,
        set: 1,
        lost: 1,
        kept_at_change_of_tenancy: 1,
        active: 1,
        ..none
    };
    let bright = wire::FlagCounts {
        set: 1,
        lifted_at_change_of_tenancy: 1,
        ..moved_out
    };
    vec![
        row("ALBION", "", ended, none),
        row("ALBION", "north", albion, none),
        row("BRIGHT", "4g", moved_in, moved_in),
        row("BRIGHT", "north", bright, moved_out),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_are_reported_month_by_month() {
    let (world, last) = with_history().await;
    let all = report(&world, november(), last).await;
    assert_eq!(all.rows, of_november());
    let totals = all.totals.unwrap().total.unwrap();
    assert_eq!((totals.set, totals.active, totals.active_before), (3, 2, 1));

    // The last hour of the 31st of July by UTC is of August in Great Britain.
    let of = |month: &str, zone: wire::MonthZone| wire::GetFlagReportRequest {
        month: month.into(),
        month_zone: zone.into(),
        ..Default::default()
    };
    for (month, zone, set, active) in [
        ("2026-07", wire::MonthZone::Utc, 1, 1),
        ("2026-07", wire::MonthZone::EuropeLondon, 0, 0),
        ("2026-08", wire::MonthZone::Utc, 0, 1),
        ("2026-08", wire::MonthZone::EuropeLondon, 1, 1),
        ("2026-09", wire::MonthZone::Utc, 0, 1),
    ] {
        let answer = report(&world, of(month, zone), last).await;
        let totals = answer.totals.unwrap().total.unwrap();
        assert_eq!(
            (totals.set, totals.active),
            (set, active),
            "{month} {zone:?}"
        );
        assert_eq!(answer.rows.len() as u64, active);
    }
    // What ended in December is not active then, and a month to come is as it is now.
    let december = report(&world, of("2026-12", wire::MonthZone::Utc), last).await;
    let totals = december.totals.unwrap();
    assert_eq!(totals.total.unwrap().lifted, 1);
    assert_eq!(totals.gained_from_another.unwrap().lifted, 1);
    let later = report(&world, of("2027-06", wire::MonthZone::EuropeLondon), last).await;
    let totals = later.totals.unwrap().total.unwrap();
    assert_eq!((totals.active_before, totals.active), (1, 1));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_filters_make_up_the_report() {
    let (world, last) = with_history().await;
    report(&world, november(), last).await;
    let mut analyst = world.service.internal("analyst");
    let mut request = wire::GetFlagReportRequest {
        page_size: 1,
        ..november()
    };
    let mut rows = Vec::new();
    loop {
        let answer = analyst.get_flag_report(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.totals.unwrap().total.unwrap().set, 3);
        rows.extend(answer.rows);
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        let other = wire::GetFlagReportRequest {
            csp_id: "north".into(),
            ..request.clone()
        };
        let invalid = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
        assert_eq!(refused(analyst.get_flag_report(other).await), invalid);
    }
    assert_eq!(rows, of_november());
    for (party, csp, expected) in [
        ("ALBION", "", &of_november()[..2]),
        ("", "4g", &of_november()[2..3]),
        ("BRIGHT", "north", &of_november()[3..]),
        ("NOBODY", "", &[]),
    ] {
        let request = wire::GetFlagReportRequest {
            party_id: party.into(),
            csp_id: csp.into(),
            ..november()
        };
        assert_eq!(report(&world, request, last).await.rows, expected);
    }

    // A supplier sees its own.
    let mut albion = world.service.supplier("ALBION");
    let own = wire::GetFlagReportRequest {
        party_id: "ALBION".into(),
        ..november()
    };
    let answer = albion.get_flag_report(own).await.unwrap().into_inner();
    assert_eq!(answer.rows, of_november()[..2]);
    for party in ["", "BRIGHT"] {
        let other = wire::GetFlagReportRequest {
            party_id: party.into(),
            ..november()
        };
        assert_eq!(
            refused(albion.get_flag_report(other).await),
            (Code::PermissionDenied, ErrorReason::NotOwnData)
        );
    }
    let wrong = wire::GetFlagReportRequest {
        csp_id: "NORTH".into(),
        ..Default::default()
    };
    assert_eq!(
        refused(analyst.get_flag_report(wrong).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
    world.service.stop().await;
}

/// The page of flags has what its RPC answers, in every form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_flags_has_the_figures_of_the_rpc() {
    let (world, last) = with_history().await;
    let answer = report(&world, november(), last).await;
    let report = present::flags(&november(), &answer.rows, &answer.basis.unwrap()).unwrap();
    let analyst = certificates().internal("analyst");
    let mut browser = Browser::open(world.service.pages, Some(&analyst), Http::Two)
        .await
        .unwrap();
    let page = browser.get("/flags?month=2026-11&csp=").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(report_in(&page.text), report_in(&mesh_sheet::html(&report)));
    let json = browser.get("/flags?month=2026-11&output=json").await;
    assert_eq!(json.text, mesh_sheet::json(&report).to_string());
    let csv = browser.get("/flags?month=2026-11&output=csv").await;
    let section = report.section(present::FLAGS).unwrap();
    assert_eq!(csv.text, mesh_sheet::csv(section));
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"flags-2026-11.csv\""
    );
    for (filters, lines) in [
        ("", 5),
        ("&zone=london", 5),
        ("&csp=north", 3),
        ("&supplier=BRIGHT&csp=4g", 2),
    ] {
        let csv = format!("/flags?month=2026-11{filters}&output=csv");
        assert_eq!(
            browser.get(&csv).await.text.lines().count(),
            lines,
            "{filters}"
        );
    }
    for wrong in ["csp=NORTH", "variant=4.8.1", "month=2026-11", "page=x"] {
        let seen = browser.get(&format!("/flags?month=2026-11&{wrong}")).await;
        assert_eq!(seen.status, 400, "{seen:?}");
    }
    world.service.stop().await;
}

/// A service that has stopped, with a database of an earlier version: the log was followed, and nothing was counted.
async fn forget_counts(folder: &TempDir) {
    let path = folder.path().join("reporting.db");
    let url = format!("sqlite://{}", path.display());
    let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let uncounted = "DELETE FROM flag_standing; DELETE FROM flag_movement; \
                     DELETE FROM cursor WHERE follower = 'flag-counts'";
    sqlx::raw_sql(uncounted).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    // Its witness remembers the cursor; that of an earlier version did not.
    std::fs::remove_file(folder.path().join("reporting.db.witness")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_that_were_followed_before_are_counted() {
    let (world, last) = with_history().await;
    let before = report(&world, november(), last).await;
    let world = world.restart().await;
    assert_eq!(report(&world, november(), last).await, before);
    world.service.stop().await;
    forget_counts(&world.folder).await;
    let meanwhile = (5, 10, true, "ALBION", "north", Cause::FlagAdded);
    world.flags.append(event(&meanwhile)).await;

    let owners = [&world.registration, &world.flag_registry];
    let [registration, flag_registry] = owners.map(|owner| owner.address.to_string());
    let service = Running::start(&world.folder, &registration, &flag_registry).await;
    let world = World { service, ..world };
    let after = report(&world, november(), last + 1).await;
    let set = |answer: &wire::GetFlagReportResponse| answer.totals.unwrap().total.unwrap().set;
    assert_eq!((set(&before), set(&after)), (3, 4));
    world.service.stop().await;
}

/// flag-registry was restored from a backup, while the service ran or while it was replaced by one that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_history_of_the_flags_is_counted_anew() {
    for was_counted in [true, false] {
        let (world, last) = with_history().await;
        report(&world, november(), last).await;
        let (registration, address) = (world.registration.address, world.flag_registry.address);
        world.flag_registry.stop().await;
        let listener = TcpListener::bind(address).await.unwrap();
        let restored = Log::new("flags").await;
        restored.accept(&world.flags).await;
        restored.append(event(&HISTORY[2])).await;
        let mut service = world.service;
        if !was_counted {
            service.stop().await;
            forget_counts(&world.folder).await;
            let [registration, address] = [registration, address].map(|it| it.to_string());
            service = Running::start(&world.folder, &registration, &address).await;
        }
        let _flag_registry = Upstream::flag_registry(&restored, listener).await;
        let mut analyst = service.internal("analyst");
        wait_until("the restored log to be counted", async || {
            let answer = analyst.get_flag_report(november()).await;
            let answer = answer.map_err(|status| format!("{status:?}"))?;
            let rows = answer.into_inner().rows;
            let counts = wire::FlagCounts {
                set: 1,
                active: 1,
                ..Default::default()
            };
            let expected = [row("BRIGHT", "north", counts, wire::FlagCounts::default())];
            (rows == expected).then_some(()).ok_or(format!("{rows:?}"))
        })
        .await;
        service.stop().await;
    }
}
