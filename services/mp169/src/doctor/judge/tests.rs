//! Each kind of trouble, as it would be learnt of, and what is made of it.

mod order;

use std::io;
use std::time::Duration;

use mesh_api::common::v1::Position;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1::{SourceTrouble, Subscription};
use mesh_api::operations::v1 as wire;
use mesh_rpc::CertificateFacts;
use mesh_types::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::Status;

use super::*;
use crate::doctor::Summary;
use crate::learnt::Told;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const DAY: u64 = 86_400;

fn ago(seconds: u64) -> Option<prost_types::Timestamp> {
    Some(timestamp_to_wire(
        NOW.saturating_sub(Duration::from_secs(seconds)),
    ))
}

fn ahead(seconds: u64) -> Option<prost_types::Timestamp> {
    Some(timestamp_to_wire(
        NOW.saturating_add(Duration::from_secs(seconds)),
    ))
}

/// A certificate of 90 days of which so many seconds are left.
fn left(seconds: u64) -> CertificateFacts {
    let pem = mesh_testkit::certificates().trust_pem();
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let read = CertificateFacts::of(&der).unwrap();
    let not_after = NOW.saturating_add(Duration::from_secs(seconds));
    CertificateFacts {
        not_before: not_after.saturating_sub(Duration::from_secs(90 * DAY)),
        not_after,
        ..read
    }
}

fn position(log: &str, sequence: u64) -> Option<Position> {
    Some(Position {
        log: log.to_owned(),
        epoch: 7,
        sequence,
    })
}

fn owned(log: &str) -> wire::LogStatus {
    wire::LogStatus {
        head: position(log, 10),
        hash: vec![10; 32],
        recorded_time: ago(3_600),
        first_epoch: 7,
        histories: Vec::new(),
    }
}

fn followed(owner: &str, log: &str) -> wire::FollowedLogStatus {
    wire::FollowedLogStatus {
        log: log.to_owned(),
        owner: owner.to_owned(),
        state: wire::FollowState::Following.into(),
        position: position(log, 10),
        hash: vec![10; 32],
        ..wire::FollowedLogStatus::default()
    }
}

fn sound(logs: &[&str]) -> Option<wire::DatabaseStatus> {
    Some(wire::DatabaseStatus {
        condition: wire::DatabaseCondition::Sound.into(),
        logs: logs.iter().map(|log| owned(log)).collect(),
        schema: Some(wire::SchemaStatus {
            known: 1_003,
            applied: 1_003,
            fits: true,
        }),
    })
}

fn instance(service: Service) -> Instance {
    let (logs, follows): (&[&str], &[_]) = match service {
        Service::Registration => (&["devices", "parties"], &[]),
        Service::FlagRegistry => (&["flags"], &[("registration", "devices")]),
        _ => (&[], &[("flag-registry", "flags")]),
    };
    let parties = [("registration", "parties")];
    let keeps = service != Service::Classification;
    let status = wire::GetStatusResponse {
        service: service.name().to_owned(),
        time: ago(0),
        database: sound(logs).filter(|_| keeps),
        audit_database: sound(&[]),
        followed_logs: parties
            .iter()
            .chain(follows)
            .map(|(owner, log)| followed(owner, log))
            .collect(),
        clock: Some(wire::ClockStatus::default()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        health_since_time: ago(600),
        deny_list: Some(wire::DenyListStatus {
            sha256: vec![1; 32],
            entries: 2,
        }),
        flagged_devices: (!keeps).then_some(5),
        ..wire::GetStatusResponse::default()
    };
    Instance {
        service,
        address: "127.0.0.1:1".to_owned(),
        is_one_of_several: false,
        certificate: Ok(left(60 * DAY)),
        told: Ok(Told {
            status,
            time: NOW,
            round_trip: Duration::from_millis(4),
        }),
    }
}

fn well() -> Learnt {
    Learnt {
        time: NOW,
        identity: "operator".to_owned(),
        own: Some(left(60 * DAY)),
        authorities: vec![left(60 * DAY)],
        denied: Some(vec![1; 32]),
        instances: Service::ALL.map(instance).into(),
        subscriptions: Ok(vec![Subscription {
            csp_id: "north".to_owned(),
            ..Subscription::default()
        }]),
    }
}

fn said(learnt: &mut Learnt, service: Service) -> &mut wire::GetStatusResponse {
    let mut instances = learnt.instances.iter_mut();
    let instance = instances.find(|instance| instance.service == service);
    &mut instance.unwrap().told.as_mut().unwrap().status
}

fn database_of(learnt: &mut Learnt, service: Service) -> &mut wire::DatabaseStatus {
    said(learnt, service).database.as_mut().unwrap()
}

/// How classification follows the flags.
fn flags(learnt: &mut Learnt) -> &mut wire::FollowedLogStatus {
    &mut said(learnt, Service::Classification).followed_logs[1]
}

fn csp_of(learnt: &mut Learnt) -> &mut Subscription {
    &mut learnt.subscriptions.as_mut().unwrap()[0]
}

fn is(findings: &[Finding], grade: Grade, check: Check, subject: &str, says: &str) {
    let found = findings.iter().any(|finding| {
        finding.grade == grade
            && finding.check == check
            && finding.subject.contains(subject)
            && finding.says.contains(says)
            && finding.remedy.is_some()
    });
    let bad: Vec<_> = findings
        .iter()
        .filter(|one| one.grade > Grade::Ok)
        .collect();
    assert!(found, "{grade:?} {check:?} {subject}: {says}\n{bad:#?}");
}

#[test]
fn a_mesh_that_is_well_is_said_to_be() {
    let findings = judge(&well());
    let bad: Vec<_> = findings
        .iter()
        .filter(|one| one.grade > Grade::Ok)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(findings.iter().all(|one| one.remedy.is_none()));
    // Two certificates of the client, and of each service: certificate, health, clock, databases.
    assert!(findings.len() > 30, "{}", findings.len());
    assert!(Summary::of(&findings).is_well());
}

type Change = fn(&mut Learnt);

#[test]
fn each_kind_of_trouble_is_found_and_only_that() {
    use Check as C;
    use Grade::{Contradiction, Warning, Wrong};
    let cases: Vec<(Change, Grade, Check, &str, &str)> = vec![
        (
            |l| l.own = Some(left(29 * DAY)),
            Warning,
            C::Certificate,
            "of operator",
            "in 29 days",
        ),
        (
            |l| l.own = Some(left(6 * DAY)),
            Wrong,
            C::Certificate,
            "of operator",
            "in 6 days",
        ),
        (
            |l| l.own = None,
            Wrong,
            C::Certificate,
            "of operator",
            "cannot be read",
        ),
        (
            |l| l.authorities[0] = left(20 * DAY),
            Warning,
            C::Certificate,
            "of the authority",
            "20 days",
        ),
        (
            |l| l.instances[1].certificate = Ok(left(2 * DAY)),
            Wrong,
            C::Certificate,
            "of flag-registry",
            "ends",
        ),
        (
            |l| l.instances[1].certificate = Ok(left(0)),
            Wrong,
            C::Certificate,
            "of flag-registry",
            "ended",
        ),
        (
            |l| l.instances[1].certificate = Ok(left(91 * DAY)),
            Wrong,
            C::Certificate,
            "of flag-registry",
            "only from",
        ),
        (
            |l| l.instances[1].certificate = Err(LookError::Handshake(io::Error::other("expired"))),
            Wrong,
            C::Certificate,
            "of flag-registry",
            "not accepted here: the handshake failed: expired",
        ),
        (
            |l| {
                said(l, Service::Reporting).certificate = Some(wire::CertificateStatus {
                    last_failure: Some(wire::ReloadFailure {
                        files: "certificate".to_owned(),
                        problem: "the key file is not PEM".to_owned(),
                        persists: true,
                        ..wire::ReloadFailure::default()
                    }),
                    ..wire::CertificateStatus::default()
                });
            },
            Wrong,
            C::Certificate,
            "of reporting",
            "the key file is not PEM",
        ),
        (
            |l| l.instances[4].told = Err(Status::unavailable("gone")),
            Wrong,
            C::Answer,
            "reporting",
            "does not answer: UNAVAILABLE, gone",
        ),
        (
            |l| {
                l.instances[4].told = Err(Status::unavailable("gone"));
                l.instances[4].certificate = Err(LookError::Unreachable(
                    io::ErrorKind::ConnectionRefused.into(),
                ));
            },
            Wrong,
            C::Answer,
            "reporting",
            "connection refused",
        ),
        (
            |l| l.instances[4].told = Err(Status::permission_denied("not you")),
            Wrong,
            C::Answer,
            "reporting",
            "PERMISSION_DENIED",
        ),
        (
            |l| said(l, Service::Reporting).not_serving_reason = "cannot-write".to_owned(),
            Wrong,
            C::Health,
            "reporting",
            "cannot-write",
        ),
        (
            |l| {
                said(l, Service::FlagRegistry).not_serving_reason =
                    "log-went-back: flags".to_owned();
            },
            Contradiction,
            C::Health,
            "flag-registry",
            "log-went-back: flags",
        ),
        (
            |l| said(l, Service::Reporting).time = ahead(3),
            Warning,
            C::Clock,
            "reporting",
            "3.0 s ahead of",
        ),
        (
            |l| said(l, Service::Reporting).time = ago(45),
            Wrong,
            C::Clock,
            "reporting",
            "44 s behind",
        ),
        (
            |l| {
                said(l, Service::Reporting).clock.as_mut().unwrap().doubt =
                    "clock-set-ahead".to_owned();
            },
            Wrong,
            C::Clock,
            "reporting",
            "clock-set-ahead",
        ),
        (
            |l| said(l, Service::Reporting).database = None,
            Wrong,
            C::Database,
            "reporting",
            "cannot be read",
        ),
        (
            |l| said(l, Service::Classification).audit_database = None,
            Wrong,
            C::Database,
            "audit of classification",
            "cannot be read",
        ),
        (
            |l| {
                database_of(l, Service::Reporting).condition =
                    wire::DatabaseCondition::CannotWrite.into();
            },
            Wrong,
            C::Database,
            "reporting",
            "CANNOT_WRITE",
        ),
        (
            |l| {
                database_of(l, Service::Reporting).condition =
                    wire::DatabaseCondition::Damaged.into();
            },
            Contradiction,
            C::Database,
            "reporting",
            "DAMAGED",
        ),
        (
            |l| {
                let schema = database_of(l, Service::Reporting).schema.as_mut().unwrap();
                (schema.fits, schema.applied) = (false, 1_004);
            },
            Wrong,
            C::Database,
            "reporting",
            "its schema 1004",
        ),
        (
            |l| {
                flags(l).state = wire::FollowState::Lost.into();
                flags(l).stale_since = ago(60);
            },
            Wrong,
            C::Freshness,
            "classification of flags",
            "STALE",
        ),
        (
            |l| {
                flags(l).state = wire::FollowState::Lost.into();
                flags(l).stale_since = ago(3);
            },
            Warning,
            C::Freshness,
            "classification of flags",
            "STALE",
        ),
        (
            |l| flags(l).position = position("flags", 4),
            Wrong,
            C::Freshness,
            "classification",
            "6 behind",
        ),
        (
            |l| flags(l).position = None,
            Warning,
            C::Freshness,
            "classification",
            "anything over yet",
        ),
        (
            |l| flags(l).position = position("flags", 12),
            Contradiction,
            C::Freshness,
            "classification",
            "no such event",
        ),
        (
            |l| flags(l).hash = vec![9; 32],
            Contradiction,
            C::Freshness,
            "classification",
            "another event",
        ),
        (
            |l| {
                let devices = &mut said(l, Service::FlagRegistry).followed_logs[1];
                devices.state = wire::FollowState::WentBack.into();
                devices.stale_since = ago(2);
            },
            Contradiction,
            C::Follower,
            "flag-registry of devices",
            "went back",
        ),
        (
            |l| {
                let devices = &mut said(l, Service::FlagRegistry).followed_logs[1];
                devices.state = wire::FollowState::Malformed.into();
                devices.malformed = "an event without a Device".to_owned();
            },
            Contradiction,
            C::Follower,
            "flag-registry of devices",
            "an event without a Device",
        ),
        (
            |l| {
                (csp_of(l).lag, csp_of(l).oldest_unacknowledged_time) = (3, ago(1_200));
            },
            Warning,
            C::Csp,
            "north",
            "not attached, 3 events not acknowledged, the oldest for 20 minutes",
        ),
        (
            |l| {
                (csp_of(l).lag, csp_of(l).oldest_unacknowledged_time) = (3, ago(9_000));
            },
            Wrong,
            C::Csp,
            "north",
            "2 hours",
        ),
        (
            |l| csp_of(l).went_back_seen = position("csp/north", 9),
            Contradiction,
            C::Csp,
            "north",
            "lacks event 9",
        ),
        (
            |l| {
                csp_of(l).source_stale_since = ago(60);
                csp_of(l).set_source_trouble(SourceTrouble::NotFollowing);
            },
            Wrong,
            C::Csp,
            "north",
            "60 s: NOT_FOLLOWING",
        ),
        (
            |l| l.subscriptions = Err(Status::deadline_exceeded("no answer")),
            Wrong,
            C::Csp,
            "all CSPs",
            "DEADLINE_EXCEEDED",
        ),
        (
            |l| {
                said(l, Service::Reporting)
                    .deny_list
                    .as_mut()
                    .unwrap()
                    .sha256 = vec![2; 32];
            },
            Warning,
            C::DenyList,
            "reporting",
            "than the folder",
        ),
        (
            |l| said(l, Service::Reporting).version = "9.0.0".to_owned(),
            Warning,
            C::Version,
            "reporting",
            "is 9.0.0, this program is",
        ),
    ];
    for (change, grade, check, subject, says) in cases {
        let mut learnt = well();
        change(&mut learnt);
        let findings = judge(&learnt);
        is(&findings, grade, check, subject, says);
        let bad = findings.iter().filter(|one| one.grade > Grade::Ok).count();
        assert_eq!(bad, 1, "{says}: {findings:#?}");
        assert!(!Summary::of(&findings).is_well());
        assert_eq!(
            findings.last().map(|one| one.grade),
            Some(grade),
            "the worst is last"
        );
    }
}

#[test]
fn replicas_are_told_apart_and_held_against_one_another() {
    let mut learnt = well();
    let mut other = instance(Service::Classification);
    other.address = "127.0.0.1:2".to_owned();
    other.told.as_mut().unwrap().status.flagged_devices = Some(6);
    learnt.instances.push(other);
    for one in &mut learnt.instances {
        one.is_one_of_several = one.service == Service::Classification;
    }
    let findings = judge(&learnt);
    is(
        &findings,
        Grade::Contradiction,
        Check::Freshness,
        "classification at 127.0.0.1:2",
        "holds 6 flagged Devices",
    );
    // At another event it may hold another number.
    let other = learnt.instances.last_mut().unwrap();
    let status = &mut other.told.as_mut().unwrap().status;
    status.followed_logs[1].position = position("flags", 9);
    let findings = judge(&learnt);
    assert!(
        !findings
            .iter()
            .any(|one| one.says.contains("flagged Devices"))
    );
}

#[test]
fn a_clock_from_which_all_others_differ_alike_is_this_machines() {
    let mut learnt = well();
    for service in Service::ALL {
        said(&mut learnt, service).time = ahead(40);
    }
    let findings = judge(&learnt);
    let clocks: Vec<_> = findings
        .iter()
        .filter(|one| one.check == Check::Clock)
        .collect();
    assert_eq!(clocks.len(), 5);
    for clock in clocks {
        assert_eq!(clock.remedy, Some(remedy::SET_OWN_CLOCK), "{clock:?}");
    }
}

/// What lives shorter than the usual time is told of in proportion.
#[test]
fn a_certificate_of_a_day_may_live_for_most_of_it() {
    let of_a_day = |left: u64| {
        let mut learnt = well();
        let not_after = NOW.saturating_add(Duration::from_secs(left));
        learnt.own = Some(CertificateFacts {
            not_before: not_after.saturating_sub(Duration::from_secs(DAY)),
            not_after,
            ..self::left(0)
        });
        let findings = judge(&learnt);
        findings.last().map(|one| one.grade)
    };
    assert_eq!(of_a_day(DAY / 2), Some(Grade::Ok));
    assert_eq!(of_a_day(DAY / 4), Some(Grade::Warning));
    assert_eq!(of_a_day(DAY / 20), Some(Grade::Wrong));
}
