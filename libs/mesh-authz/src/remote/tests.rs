//! A registration that answers as each test says.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use mesh_api::common::v1::ErrorReason;
use mesh_types::Eui64;
use prost::Message as _;
use tokio::sync::Semaphore;

use super::*;

const DEVICE: &str = "00-DB-12-34-56-78-90-A0";

fn party() -> PartyId {
    "ACME".parse().unwrap()
}

const LEASE: prost_types::Duration = prost_types::Duration {
    seconds: 1,
    nanos: 0,
};

fn position() -> mesh_api::common::v1::Position {
    mesh_api::common::v1::Position {
        log: "devices".into(),
        epoch: 1,
        sequence: 1,
    }
}

fn answer() -> Response<Body> {
    respond(&told())
}

fn told() -> wire::GetAuthorityResponse {
    wire::GetAuthorityResponse {
        authority: Some(wire::Authority {
            device_id: DEVICE.into(),
            ..Default::default()
        }),
        position: Some(position()),
        ..Default::default()
    }
}

fn respond(message: &impl prost::Message) -> Response<Body> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let response = Response::builder().header("content-type", "application/grpc");
    let response = response.header("grpc-status", "0");
    response.body(Body::new(Full::from(frame))).unwrap()
}

/// Asks a registration that refuses so often before it answers; says how often it was asked.
async fn ask(refusals: usize, refusal: Status) -> (Result<usize, AuthorityError>, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let registration = tower::service_fn(move |_: Request<Body>| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let refusal = refusal.clone();
        async move {
            let refused = (number < refusals).then(|| refusal.into_http());
            Ok::<_, Infallible>(refused.unwrap_or_else(answer))
        }
    });
    let authority = RemoteAuthority::new(registration, (), || None);
    let device = DEVICE.parse().unwrap();
    let answers = authority.authorities(&party(), &[device], None).await;
    (
        answers.map(|answers| answers.len()),
        asked.load(Ordering::SeqCst),
    )
}

#[tokio::test]
async fn a_lost_connection_is_tried_again_once() {
    let lost = || Status::unavailable("lost");
    assert_eq!(ask(0, lost()).await, (Ok(1), 1));
    assert_eq!(ask(1, lost()).await, (Ok(1), 2));
    assert_eq!(ask(9, lost()).await, (Err(AuthorityError::Unreachable), 2));
}

#[tokio::test]
async fn nothing_else_is_tried_again() {
    let mut told = Status::unavailable("stay away");
    let metadata = told.metadata_mut();
    metadata.insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
    for status in [
        told,
        Status::deadline_exceeded("late"),
        Status::resource_exhausted("full"),
    ] {
        let answer = ask(1, status).await;
        assert_eq!(answer, (Err(AuthorityError::Unreachable), 1));
    }
    let refused = ask(1, Status::permission_denied("no")).await;
    assert_eq!(refused, (Err(AuthorityError::Broken), 1));
}

#[tokio::test]
async fn a_certificate_that_the_handshake_refuses_is_as_good_as_no_connection() {
    let revoked = Status::unauthenticated("the service refuses this certificate");
    let answer = ask(1, revoked).await;
    assert_eq!(answer, (Err(AuthorityError::Unreachable), 1));
    let reason = ErrorReason::IdentityNotRecognised;
    let refused = mesh_api::status::refusal(Code::Unauthenticated, reason, "no identity");
    let answer = ask(1, refused).await;
    assert_eq!(answer, (Err(AuthorityError::Broken), 1));
}

#[tokio::test]
async fn a_lease_is_counted_from_before_the_question_was_sent() {
    let asked_for_write = Arc::new(Mutex::new(Vec::new()));
    let questions = Arc::clone(&asked_for_write);
    let answered = Arc::new(Mutex::new(None));
    let answering = Arc::clone(&answered);
    let registration = tower::service_fn(move |request: Request<Body>| {
        let (questions, answering) = (Arc::clone(&questions), Arc::clone(&answering));
        async move {
            let frame = request.into_body().collect().await.unwrap().to_bytes();
            let question = wire::GetAuthorityRequest::decode(&frame[5..]).unwrap();
            questions.lock().unwrap().push(question.for_write);
            *answering.lock().unwrap() = Some(Instant::now());
            Ok::<_, Infallible>(respond(&wire::GetAuthorityResponse {
                lease_duration: question.for_write.then_some(LEASE),
                ..told()
            }))
        }
    });
    let authority = RemoteAuthority::new(registration, (), || None);
    let device = DEVICE.parse().unwrap();
    let before = Instant::now();
    let leased = authority.leased(&party(), &[device], None).await.unwrap();
    let leased = &leased[0];
    let sent = leased.lease_ends().unwrap() - Duration::from_secs(1);
    assert!(before <= sent && sent <= answered.lock().unwrap().unwrap());
    let read = authority.authorities(&party(), &[device], None).await;
    assert_eq!(read.unwrap()[0].lease_ends(), None);
    assert_eq!(*asked_for_write.lock().unwrap(), [true, false]);
}

/// Registration gives none while it cannot promise that its other processes would wait for the end of it.
#[tokio::test]
async fn a_write_without_a_lease_is_to_be_tried_again() {
    let registration = tower::service_fn(async |_: Request<Body>| {
        let facts = wire::Authority {
            device_id: DEVICE.into(),
            responsible_party_id: party().to_string(),
            responsible_party_status: wire::PartyStatus::Active.into(),
            ..Default::default()
        };
        Ok::<_, Infallible>(respond(&wire::GetAuthorityResponse {
            authority: Some(facts),
            ..told()
        }))
    });
    let authority = RemoteAuthority::new(registration, (), || None);
    let device = [DEVICE.parse().unwrap()];
    let leased = authority.leased(&party(), &device, None).await;
    assert_eq!(leased.map(drop), Err(AuthorityError::Unreachable));
    // Nobody else needs one: reads do not, and whoever may not act is refused for that.
    let read = authority.authorities(&party(), &device, None).await;
    assert!(read.is_ok_and(|read| read[0].admits(&party())));
    let other = "OTHER".parse().unwrap();
    let leased = authority.leased(&other, &device, None).await;
    assert!(leased.is_ok_and(|leased| !leased[0].admits(&other)));
}

#[tokio::test]
async fn a_large_batch_is_several_questions_and_one_answer_in_order() {
    let asked: Arc<Mutex<Vec<usize>>> = Arc::default();
    let sizes = Arc::clone(&asked);
    let registration = tower::service_fn(move |request: Request<Body>| {
        let sizes = Arc::clone(&sizes);
        async move {
            let frame = request.into_body().collect().await.unwrap().to_bytes();
            let question = wire::BatchGetAuthorityRequest::decode(&frame[5..]).unwrap();
            sizes.lock().unwrap().push(question.device_ids.len());
            let result = |device_id| wire::AuthorityResult {
                lease_duration: question.for_write.then_some(LEASE),
                result: Some(wire::authority_result::Result::Authority(wire::Authority {
                    device_id,
                    ..Default::default()
                })),
            };
            Ok::<_, Infallible>(respond(&wire::BatchGetAuthorityResponse {
                results: question.device_ids.into_iter().map(result).collect(),
                position: Some(position()),
                valid_time: None,
            }))
        }
    });
    let authority = RemoteAuthority::new(registration, (), || None);
    let devices: Vec<DeviceId> = (0..300)
        .map(|number| DeviceId::new(Eui64::from_u64(number)))
        .collect();
    let answers = authority
        .authorities(&party(), &devices, None)
        .await
        .unwrap();
    let answered: Vec<DeviceId> = answers.iter().map(Authority::device).collect();
    assert_eq!(answered, devices);
    assert_eq!(*asked.lock().unwrap(), [MOST, MOST, 44]);
    assert!(answers.iter().all(|answer| answer.lease_ends().is_none()));
    let before = Instant::now();
    let leased = authority.leased(&party(), &devices, None).await.unwrap();
    let sent = leased
        .iter()
        .map(|leased| leased.lease_ends().unwrap() - Duration::from_secs(1));
    // Each part counts from its own question.
    let sent: Vec<Instant> = sent.collect();
    assert!(before <= sent[0] && sent.is_sorted());
    assert!(sent[0] == sent[MOST - 1] && sent[0] < sent[MOST]);
}

/// A registration that holds its first answer back until `go`, and refuses the calls that follow as
/// `refusal` says. Of several questions it refuses that about `REFUSED`.
fn gated(
    go: &Arc<Semaphore>,
    refusal: Option<Status>,
    calls: &Arc<AtomicUsize>,
) -> RemoteAuthority<impl CallChannel, ()> {
    let (go, calls) = (Arc::clone(go), Arc::clone(calls));
    let registration = tower::service_fn(move |request: Request<Body>| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        let (go, refusal) = (Arc::clone(&go), refusal.clone());
        async move {
            let several = request.uri().path().ends_with("/GetAuthorityForParties");
            let frame = request.into_body().collect().await.unwrap().to_bytes();
            if number == 0 {
                go.acquire().await.unwrap().forget();
            } else if let Some(refusal) = refusal {
                return Ok(refusal.into_http());
            }
            Ok::<_, Infallible>(if several {
                let request = wire::GetAuthorityForPartiesRequest::decode(&frame[5..]);
                let results = request.unwrap().questions.into_iter().map(result).collect();
                respond(&wire::GetAuthorityForPartiesResponse { results })
            } else {
                let question = wire::GetAuthorityRequest::decode(&frame[5..]).unwrap();
                respond(&told_of(question.device_id, question.for_write))
            })
        }
    });
    RemoteAuthority::new(registration, (), || None)
}

const REFUSED: u64 = 7;

fn result(question: wire::AuthorityQuestion) -> wire::AuthorityForPartyResult {
    use wire::authority_for_party_result::Result as Told;
    assert_eq!(question.for_party_id, "ACME");
    let told = if question.device_id == device(REFUSED).to_string() {
        let refused = Status::invalid_argument("not this one");
        Told::Status(mesh_api::status::item_status(&refused))
    } else {
        Told::Answer(told_of(question.device_id, question.for_write))
    };
    wire::AuthorityForPartyResult { result: Some(told) }
}

fn told_of(device_id: String, for_write: bool) -> wire::GetAuthorityResponse {
    wire::GetAuthorityResponse {
        authority: Some(wire::Authority {
            device_id,
            ..Default::default()
        }),
        lease_duration: for_write.then_some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..told()
    }
}

fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

/// What each of `0..32` is told, all asked while the first question is under way; every second one is
/// for a write.
async fn ask_at_once(
    refusal: Option<Status>,
) -> (Vec<Result<Authority, AuthorityError>>, usize, Instant) {
    let (go, calls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let authority = Arc::new(gated(&go, refusal, &calls));
    let ask = |number: u64| {
        let authority = Arc::clone(&authority);
        tokio::spawn(async move {
            if number.is_multiple_of(2) {
                let told = authority.leased(&party(), &[device(number)], None).await;
                return told.map(|mut told| told.remove(0));
            }
            let (party, devices) = (party(), [device(number)]);
            let told = authority.authorities(&party, &devices, None);
            Ok(told.await?.remove(0))
        })
    };
    let asked: Vec<_> = (0..32).map(ask).collect();
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let before = Instant::now();
    go.add_permits(1);
    let mut told = Vec::new();
    for asked in asked {
        told.push(asked.await.unwrap());
    }
    (told, calls.load(Ordering::SeqCst), before)
}

#[tokio::test(start_paused = true)]
async fn questions_at_a_time_share_a_call_and_each_has_its_own_answer_and_lease() {
    let (told, calls, before) = ask_at_once(None).await;
    assert_eq!(calls, 2);
    for (number, told) in (0..).zip(told) {
        if number == REFUSED {
            assert_eq!(told, Err(AuthorityError::Broken));
            continue;
        }
        let told = told.unwrap();
        assert_eq!(told.device(), device(number));
        assert_eq!(told.lease_ends().is_some(), number.is_multiple_of(2));
        let sent = told.lease_ends().map(|ends| ends - Duration::from_secs(1));
        assert!(number == 0 || sent.is_none_or(|sent| before <= sent && sent <= Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_to_each() {
    for (status, error, calls) in [
        (Status::unavailable("gone"), AuthorityError::Unreachable, 3),
        (
            Status::resource_exhausted("full"),
            AuthorityError::Unreachable,
            2,
        ),
        (Status::unimplemented("older"), AuthorityError::Broken, 2),
    ] {
        let (told, asked, _) = ask_at_once(Some(status)).await;
        assert_eq!(asked, calls, "the second time as for one");
        assert!(told[0].is_ok(), "it was answered before");
        assert_eq!(told[1..], vec![Err(error); 31]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_position_goes_alone_and_holds_nobody() {
    let (go, calls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let authority = Arc::new(gated(&go, None, &calls));
    let waits = Arc::clone(&authority);
    let at_least = mesh_api::convert::position_from_wire(&position()).unwrap();
    let waiting =
        tokio::spawn(async move { waits.leased(&party(), &[device(1)], Some(&at_least)).await });
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let told = authority.leased(&party(), &[device(2)], None).await;
    assert_eq!(told.unwrap()[0].device(), device(2));
    assert!(!waiting.is_finished());
    go.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap()[0].device(), device(1));
}
