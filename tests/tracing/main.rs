//! Can everything that a request causes be found from its trace, and nothing about a home be found
//! in it? Spans as an OTLP endpoint receives them; a process has one of those, so this is a binary
//! of its own.

#![cfg(test)]

mod dashboards;
mod otlp;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use flag_registry::Quotas;
use http::{HeaderMap, HeaderValue};
use mesh_api::audit::v1::ListAuditRecordsRequest;
use mesh_api::audit::v1::audit_record::Record;
use mesh_api::common::v1::Position;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1::GetFlagRequest;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::registration::v1::{
    GetDeviceRequest, ListPartiesRequest, PutDeviceRequest, SiteException,
};
use mesh_pki::IssuedPaths;
use mesh_testkit::{TempDir, temp_dir, wait_until};
use mesh_types::{Clock, SystemClock, Timestamp};
use mp169::Cli;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::mesh::{Listen, Mesh};
use mp169::sample::{self, ALBION, CSP_NORTH, Home};
use mp169::service::Service;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::sync::{Mutex, MutexGuard};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use otlp::{attribute, spans, texts};

/// The home whose meter is flagged, of the CSP of the north.
const HOME: Home = Home::new(0);
/// The sample's parties, and the six rows of its first home.
const ROWS: usize = 7 + 6;
const DAY: i64 = 86_400 * 1_000_000;

/// What is received is that of one mesh at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// A mesh whose spans are received.
struct Traced {
    _one: MutexGuard<'static, ()>,
    /// When it began, in nanoseconds since 1970.
    began: u64,
    mesh: Mesh,
    folder: Folder,
    home: TempDir,
}

impl Traced {
    async fn start() -> Self {
        Self::start_with(Arc::new(SystemClock), Quotas::default()).await
    }

    async fn start_with(clock: Arc<dyn Clock>, quotas: Quotas) -> Self {
        otlp::install();
        let one = ONE.lock().await;
        let began = u64::try_from(SystemClock.now().micros()).unwrap() * 1_000;
        let home = temp_dir();
        let folder = Folder::open_or_make(home.path()).unwrap();
        let mesh = Mesh::start_with(&folder, &Listen::default(), clock, quotas)
            .await
            .unwrap();
        Self {
            _one: one,
            began,
            mesh,
            folder,
            home,
        }
    }

    fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }

    /// Runs the command `mp169` as a user would.
    async fn mp169(&self, arguments: &[&str]) {
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(self.tried(arguments).await, success, "{arguments:?}");
    }

    /// Runs it and says how it ended.
    async fn tried(&self, arguments: &[&str]) -> String {
        let home = self.home.path().to_str().unwrap();
        let place = ["--home", home, "--as", ALBION.id];
        let line = ["mp169"].iter().chain(arguments).chain(&place);
        let ended = mp169::run(Cli::try_parse_from(line).unwrap()).await;
        format!("{ended:?}")
    }

    /// Loads one home and waits until its supplier is known where it is going to ask.
    async fn load(&self) {
        let since = Timestamp::from_micros(SystemClock.now().micros() - 365 * DAY);
        let rows = sample::rows(since)
            .unwrap()
            .into_iter()
            .take(ROWS)
            .collect();
        load(&self.folder, rows, |_| {}).await.unwrap();
        let mut flags = self.clients(ALBION.id).flags().unwrap();
        let device_id = HOME.esme().to_string();
        wait_until("the supplier to be known", async || {
            let request = GetFlagRequest {
                device_id: device_id.clone(),
                ..Default::default()
            };
            flags.get_flag(request).await
        })
        .await;
    }

    /// Records of the flagged meter's site what asks for a review of the flag.
    async fn record_an_exception(&self) {
        let mut devices = self.clients("registration-data").devices().unwrap();
        let device_id = HOME.esme().to_string();
        let answer = devices
            .get_device(GetDeviceRequest {
                device_id,
                ..Default::default()
            })
            .await;
        let mut device = answer.unwrap().into_inner().device.unwrap();
        device.site_exceptions = vec![SiteException::RadioTeleswitch.into()];
        let request = PutDeviceRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            device: Some(device),
            etag: String::new(),
        };
        devices.put_device(request).await.unwrap();
    }

    /// The pseudonyms of the call about a Device in a trace, as the audit of flag-registry has it.
    async fn pseudonyms_on_record(&self, device: &str, trace: &[u8]) -> Vec<String> {
        let audit = self.clients("auditor").audit(Service::FlagRegistry);
        let mut audit = audit.unwrap();
        let request = ListAuditRecordsRequest {
            device_id: device.to_owned(),
            rpc: "AddFlag".to_owned(),
            ..Default::default()
        };
        let record = wait_until("the call to be on record", async || {
            let answer = audit.list_audit_records(request.clone()).await;
            let mut records = answer.unwrap().into_inner().records.into_iter();
            records.next().ok_or("none yet")
        });
        let Some(Record::Call(call)) = record.await.record.unwrap().record else {
            panic!("not a call");
        };
        assert_eq!(call.trace_id, trace);
        call.device_pseudonyms.iter().map(hex::encode).collect()
    }

    /// A CSP's stream, from its first event on.
    async fn csp_stream(&self) -> tonic::Streaming<csp::FollowFlagChangesResponse> {
        let mut client = self.clients(CSP_NORTH.id).csp().unwrap();
        let acknowledged = csp::AcknowledgedStart {};
        let request = csp::FollowFlagChangesRequest {
            csp_id: CSP_NORTH.csp.into(),
            start: Some(csp::follow_flag_changes_request::Start::Acknowledged(
                acknowledged,
            )),
            seen: None,
        };
        let attached = wait_until("the CSP to be known", async || {
            client.follow_flag_changes(request.clone()).await
        });
        attached.await.into_inner()
    }
}

/// The spans of `traced` that are so, once there is one.
async fn received(what: &str, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
    wait_until(what, async || {
        let all = spans();
        let found: Vec<Span> = all.iter().filter(|span| wanted(span)).cloned().collect();
        if found.is_empty() {
            Err(format!("{} spans", all.len()))
        } else {
            Ok(found)
        }
    })
    .await
}

/// The one span of a trace that a side of a call to a method has.
async fn one(trace: &[u8], method: &str, kind: SpanKind) -> Span {
    let what = format!("{kind:?} of {method}");
    let mut found = received(&what, |span| {
        span.trace_id == trace && span.name.ends_with(method) && span.kind() == kind
    })
    .await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Whether one span is below another, directly or not.
fn is_below(span: &Span, above: &Span) -> bool {
    let all = spans();
    let mut at = span.clone();
    while let Some(parent) = all.iter().find(|other| other.span_id == at.parent_span_id) {
        if parent.span_id == above.span_id {
            return true;
        }
        at = parent.clone();
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_flag_causes_is_found_from_its_trace() {
    let traced = Traced::start().await;
    traced.load().await;
    let mut told = traced.csp_stream().await;
    let device = HOME.esme().to_string();
    let mut add = vec![
        "flag",
        "add",
        &device,
        "--channel",
        "telephone",
        "--evidence",
        "CALL-1",
    ];
    add.extend([
        "--step",
        "benefits-explained",
        "--contact",
        "CRM-1",
        "--no-economy-7",
    ]);
    add.extend(["--no-radio-teleswitch", "--no-network-managed-without-wan"]);
    traced.mp169(&add).await;

    // Down: one trace through mp169, flag-registry and registration.
    let asked = received("the command's call", |span| {
        span.name.ends_with("FlagService/AddFlag")
            && span.kind() == SpanKind::Client
            && span.start_time_unix_nano >= traced.began
    })
    .await;
    assert_eq!(asked.len(), 1);
    let (asked, trace) = (&asked[0], &*asked[0].trace_id);
    assert_eq!(attribute(asked, "server.address"), Some("flag-registry"));
    let changing = one(trace, "FlagService/AddFlag", SpanKind::Server).await;
    assert_eq!(changing.parent_span_id, asked.span_id);
    assert_eq!(attribute(&changing, "mp169.service"), Some("flag-registry"));
    let pseudonyms = traced.pseudonyms_on_record(&device, trace).await;
    assert_eq!(texts(&changing, "mp169.device.pseudonyms"), pseudonyms);
    let authority = "AuthorityService/GetAuthority";
    let asking = one(trace, authority, SpanKind::Client).await;
    assert_eq!(attribute(&asking, "server.address"), Some("registration"));
    assert!(is_below(&asking, &changing));
    let answering = one(trace, authority, SpanKind::Server).await;
    assert_eq!(answering.parent_span_id, asking.span_id);
    assert_eq!(attribute(&answering, "mp169.service"), Some("registration"));

    // Onward: what the event causes has traces of its own, which link to the request.
    while told
        .message()
        .await
        .unwrap()
        .is_some_and(|frame| !has_entries(&frame))
    {}
    for (service, work) in [
        ("classification", "apply flag event"),
        ("reporting", "apply"),
        ("csp-notification", "project flag change"),
        ("csp-notification", "deliver flag change"),
    ] {
        let links_here = |span: &Span| {
            let mut links = span.links.iter();
            links.any(|link| link.trace_id == trace && link.span_id == changing.span_id)
        };
        let what = format!("{work} of {service} to link to the request");
        let linked = received(&what, |span| {
            attribute(span, "mp169.service") == Some(service)
                && span.name == work
                && links_here(span)
        })
        .await;
        for span in linked {
            assert_ne!(span.trace_id, trace, "{service} is not part of the request");
        }
    }

    // And back: what happens to the Device becomes an event of the flag, which links to its cause.
    traced.record_an_exception().await;
    received("the registry to apply the Device's event", |span| {
        attribute(span, "mp169.service") == Some("flag-registry")
            && span.name == "apply device event"
            && !span.links.is_empty()
    })
    .await;

    traced.mp169(&["flag", "get", &device]).await;
    traced.mp169(&["flag", "history", &device]).await;
    drop(told);
    assert!(traced.mesh.stop().await);
    received("the last call", |span| {
        span.name.ends_with("FlagService/ListFlagEvents")
    })
    .await;
    for span in spans() {
        let text = format!("{span:?}");
        assert!(!names_a_device(&text), "{text}");
    }
}

fn has_entries(response: &csp::FollowFlagChangesResponse) -> bool {
    use mesh_api::common::v1::stream_frame::Frame;
    let Some(csp::follow_flag_changes_response::Body::Frame(frame)) = &response.body else {
        return false;
    };
    matches!(frame.frame, Some(Frame::Entries(_)))
}

/// Whether an EUI-64 stands in a text, with dashes or the way the sample's Devices begin.
fn names_a_device(text: &str) -> bool {
    let with_dashes = text.as_bytes().windows(23).any(|window| {
        window
            .iter()
            .enumerate()
            .all(|(index, octet)| match index % 3 {
                2 => *octet == b'-',
                _ => octet.is_ascii_hexdigit(),
            })
    });
    with_dashes || text.to_ascii_uppercase().contains("02DCC0000000")
}

#[test]
fn a_device_is_recognised_in_a_text() {
    let device = HOME.esme().to_string();
    assert!(names_a_device(&format!("device: {device:?},")));
    assert!(names_a_device(&device.to_lowercase()));
    assert!(names_a_device(&device.replace('-', "")));
    assert!(!names_a_device(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ));
}

/// A channel of somebody else's making: ours would replace the header.
fn foreign(traced: &Traced) -> Channel {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let paths = IssuedPaths::of(&traced.home.path().join("certificates"), "operator");
    let trust = traced
        .home
        .path()
        .join("authority")
        .join(mesh_pki::CA_CERTIFICATE_FILE);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&trust)))
        .identity(Identity::from_pem(
            read(&paths.certificate),
            read(&paths.key),
        ))
        .domain_name(Service::Registration.name());
    let address = traced.mesh.address(Service::Registration);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint.tls_config(tls).unwrap().connect_lazy()
}

/// Lists the parties under these `traceparent`s; gives the position, for want of anything smaller.
async fn list_parties(channel: Channel, trace_parents: &[&[u8]]) -> Option<Position> {
    let mut headers = HeaderMap::new();
    for trace_parent in trace_parents {
        headers.append(
            "traceparent",
            HeaderValue::from_bytes(trace_parent).unwrap(),
        );
    }
    let mut request = tonic::Request::new(ListPartiesRequest::default());
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let answer = PartyServiceClient::new(channel).list_parties(request).await;
    answer.unwrap().into_inner().position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traceparent_full_of_rubbish_starts_a_new_trace_and_the_call_succeeds() {
    const GOOD: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let over_long = [GOOD, &b"0".repeat(7_000)].concat();
    let rubbish: [(&str, &[&[u8]]); 10] = [
        ("none", &[]),
        ("empty", &[b""]),
        ("words", &[b"'; DROP TABLE log_event; --"]),
        (
            "all zero",
            &[b"00-00000000000000000000000000000000-0000000000000000-00"],
        ),
        (
            "upper case",
            &[b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01"],
        ),
        (
            "version ff",
            &[b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ),
        ("cut short", &[&GOOD[..GOOD.len() - 1]]),
        ("over-long", &[&over_long]),
        ("repeated", &[GOOD, GOOD]),
        (
            "not ASCII",
            &[b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902\xC3\xA9-01"],
        ),
    ];
    let traced = Traced::start().await;
    let channel = foreign(&traced);
    assert!(list_parties(channel.clone(), &[GOOD]).await.is_some());
    for (_, trace_parents) in rubbish {
        assert!(list_parties(channel.clone(), trace_parents).await.is_some());
    }
    drop(channel);
    assert!(traced.mesh.stop().await);
    let calls = wait_until("the spans of all calls", async || {
        let mut calls = spans();
        calls.retain(|span| span.name.ends_with("PartyService/ListParties"));
        if calls.len() > rubbish.len() {
            Ok(calls)
        } else {
            Err(format!("{}", calls.len()))
        }
    })
    .await;
    let given = hex::decode("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    let (continued, begun): (Vec<_>, Vec<_>) =
        calls.iter().partition(|span| span.trace_id == given);
    assert_eq!(continued.len(), 1, "only the good one is continued");
    let traces: BTreeSet<_> = begun.iter().map(|span| &span.trace_id).collect();
    assert_eq!(
        traces.len(),
        rubbish.len(),
        "each call has a trace of its own"
    );
    for span in begun {
        assert!(span.parent_span_id.is_empty(), "{span:?}");
        assert_eq!(attribute(span, "rpc.response.status_code"), Some("OK"));
    }
}
