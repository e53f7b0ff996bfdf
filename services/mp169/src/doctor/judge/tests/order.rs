//! Is what causes the rest said last, and is it said how a service is started that does not run?

use super::*;
use crate::doctor::remedy::{IMPATIENT, START, START_APART, by_reason};

fn last(learnt: &Learnt) -> Finding {
    judge(learnt).pop().unwrap()
}

fn unreachable(learnt: &mut Learnt, service: Service, status: Status, error: io::Error) {
    let mut instances = learnt.instances.iter_mut();
    let instance = instances.find(|one| one.service == service).unwrap();
    instance.told = Err(status);
    instance.certificate = Err(LookError::Unreachable(error));
}

/// What follows from flag-registry's not sending anything.
fn nothing_is_sent(learnt: &mut Learnt) {
    let lost = |log: &mut wire::FollowedLogStatus| {
        log.state = wire::FollowState::Lost.into();
        log.stale_since = ago(60);
    };
    lost(flags(learnt));
    lost(&mut said(learnt, Service::Reporting).followed_logs[1]);
    learnt.subscriptions = Err(Status::unavailable("the storage does not answer"));
}

#[test]
fn a_database_server_that_is_away_is_said_after_what_follows_from_it() {
    let mut learnt = well();
    for service in Service::ALL {
        let status = said(&mut learnt, service);
        status.audit_database = None;
        if service != Service::Classification {
            status.database = None;
            status.not_serving_reason = "database-away".to_owned();
        }
    }
    nothing_is_sent(&mut learnt);
    let last = last(&learnt);
    assert_eq!(last.check, Check::Database, "{last:?}");
    assert_eq!(last.remedy, Some(by_reason("database-away")));
}

#[test]
fn a_service_that_does_not_run_is_said_after_what_follows_from_it() {
    let mut learnt = well();
    let gone = Status::unavailable("gone");
    let refused = io::ErrorKind::ConnectionRefused.into();
    unreachable(&mut learnt, Service::FlagRegistry, gone, refused);
    nothing_is_sent(&mut learnt);
    let last = last(&learnt);
    assert_eq!(last.check, Check::Answer, "{last:?}");
    assert_eq!(last.subject, "flag-registry");
}

#[test]
fn a_certificate_that_is_not_accepted_is_said_after_what_follows_from_it() {
    let mut learnt = well();
    let refused = Err(LookError::Handshake(io::Error::other("revoked")));
    learnt.instances[1].certificate = refused;
    learnt.instances[1].told = Err(Status::unavailable("revoked"));
    nothing_is_sent(&mut learnt);
    let last = last(&learnt);
    assert_eq!(last.check, Check::Certificate, "{last:?}");
    let remedy = last.remedy.unwrap();
    assert!(remedy.what.contains("mp169 prepare"), "{remedy:?}");
}

#[test]
fn whoever_is_not_reached_is_to_be_started_where_it_runs() {
    let unknown = || io::Error::other("Name or service not known");
    let refused = || io::ErrorKind::ConnectionRefused.into();
    let late = || io::ErrorKind::TimedOut.into();
    let cases: [(&str, Status, io::Error, _, _); 4] = [
        (
            "flag-registry:16170",
            Status::unavailable("unknown"),
            unknown(),
            "it does not run, or its name is not known (Name or service not known)",
            START_APART,
        ),
        (
            "flag-registry:16170",
            Status::deadline_exceeded("no answer"),
            unknown(),
            "it does not run",
            START_APART,
        ),
        (
            "127.0.0.1:1",
            Status::unavailable("refused"),
            refused(),
            "it does not run",
            START,
        ),
        (
            "127.0.0.1:1",
            Status::deadline_exceeded("no answer"),
            late(),
            "does not answer: timed out",
            IMPATIENT,
        ),
    ];
    for (address, status, error, says, remedy) in cases {
        let mut learnt = well();
        learnt.instances[1].address = address.to_owned();
        unreachable(&mut learnt, Service::FlagRegistry, status, error);
        let last = last(&learnt);
        assert_eq!(last.check, Check::Answer);
        assert!(last.says.contains(says), "{last:?}");
        assert_eq!(last.remedy, Some(remedy), "{last:?}");
    }
    assert!(!START_APART.what.contains("mp169 up"));
}
