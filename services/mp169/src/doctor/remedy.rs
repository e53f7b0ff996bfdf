//! What is to be done about something that is wrong, and where is that told at length?

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// In a sentence without a capital and a full stop.
    pub(crate) what: &'static str,
    /// The heading in docs/operations.md.
    pub(crate) section: &'static str,
}

const REASONS: &str = "Other reasons in health";

const fn remedy(what: &'static str, section: &'static str) -> Remedy {
    Remedy { what, section }
}

/// Of a certificate.
pub(super) const RENEW: Remedy = remedy(
    "issue another: `mp169 certificate renew ROLE` for a service or an internal role, `mp169 party \
     certificate PARTY` for a party, `mp169 prepare` for services that run apart (in containers `docker compose run \
     --rm certificates`); a service shows it within a second",
    "Certificates",
);
pub(super) const NEW_AUTHORITY: Remedy = remedy(
    "let a new authority be trusted beside this one (`mp169 certificate authority add`), then issue certificates \
     by it",
    "Another authority",
);
pub(super) const NOT_ACCEPTED: Remedy = remedy(
    "compare the certificate with the authorities trusted here, and with `mp169 certificate list`; then issue \
     another: `mp169 certificate issue ROLE`, or `mp169 prepare` for services that run apart (in containers `docker \
     compose run --rm certificates`)",
    "Certificates",
);
pub(super) const RIGHT_FILES: Remedy = remedy(
    "put right files in place: certificate and key that fit each other, a deny-list that can be read; the \
     service takes them within a second",
    "Certificates",
);
/// Of who does not answer.
pub(super) const START: Remedy = remedy(
    "start it again, with `mp169 up` if that runs all, and read its log; if it runs, see whether addresses.json in \
     the folder says where",
    "What is wrong?",
);
pub(super) const START_APART: Remedy = remedy(
    "start it again, then read its log: in containers `docker compose ps`, `docker compose start NAME`, `docker \
     compose logs NAME`; if it runs, see whether addresses.json in the folder says where",
    "What is wrong?",
);
pub(super) const LOOK: Remedy = remedy(
    "look whether the service runs and its log, and whether addresses.json in the folder says where",
    "What is wrong?",
);
pub(super) const ANOTHER_IDENTITY: Remedy = remedy(
    "name an identity with --as that may ask this: operator or auditor, with a certificate in force",
    "Certificates",
);
pub(super) const IMPATIENT: Remedy = remedy(
    "look at its log, and at the database that it waits for",
    "What is wrong?",
);
/// Of clocks.
pub(super) const SET_CLOCK: Remedy = remedy(
    "set that machine's clock right, by NTP; writes go on by themselves",
    REASONS,
);
pub(super) const SET_OWN_CLOCK: Remedy = remedy(
    "set the clock of this machine right, by NTP: all services agree with one another",
    REASONS,
);
/// Of databases.
pub(super) const MIGRATE: Remedy = remedy(
    "let all processes of the service be of one version, and bring the schema up to it: `mp169 db migrate`",
    "On a PostgreSQL server",
);
pub(super) const READ_LOG: Remedy = remedy("read the service's log", REASONS);
/// Of logs.
pub(super) const WENT_BACK: Remedy = remedy(
    "put the newest file of the owner's database back, or accept the loss: `mp169 log verify` says how far each \
     follower had come",
    "`log-went-back` in health",
);
pub(super) const MALFORMED: Remedy = remedy(
    "`mp169 log verify` at the owner, and read the two services' logs",
    REASONS,
);
pub(super) const FOLLOW_AGAIN: Remedy = remedy(
    "look whether the owner of the log answers and serves, and read the follower's log: it comes back by \
     itself within 10 seconds of its owner",
    "What is wrong?",
);
pub(super) const WAIT_AND_LOOK: Remedy = remedy(
    "ask again in half a minute; if it does not catch up, read its log and look at its database's disk",
    "What is wrong?",
);
/// Of CSPs.
pub(super) const CSP_WENT_BACK: Remedy = remedy(
    "ask the CSP what it has seen last; put the newest csp-notification database back, or accept the loss",
    "A CSP's log went back",
);
pub(super) const ASK_CSP: Remedy = remedy(
    "ask the CSP whether its program runs, takes its stream and acknowledges: `mp169 csp lag`",
    "A CSP does not keep up",
);
/// Of differences between processes.
pub(super) const SAME_DENY_LIST: Remedy = remedy(
    "give all of them the same list, the one that `mp169 certificate revoke` writes to; a service takes it within a \
     second unless it cannot be read, which its log says",
    "Certificates",
);
pub(super) const SAME_VERSION: Remedy = remedy(
    "finish the upgrade: services of two versions work together, but not for ever",
    "What is wrong?",
);
pub(super) const COMPARE: Remedy = remedy(
    "start the classifier again whose number is not that of the others: it loads the flags anew",
    "What is wrong?",
);

/// For each reason for not serving. Those that are not here are new.
pub(super) const BY_REASON: [(&str, Remedy); 16] = [
    (
        "file-gone",
        remedy(
            "stop the service and put the right file back, or restore a backup",
            REASONS,
        ),
    ),
    (
        "cannot-write",
        remedy(
            "make room on the database's disk: writes go on by themselves",
            REASONS,
        ),
    ),
    (
        "damaged",
        remedy("keep the files, then restore a backup", "Restore a backup"),
    ),
    ("log-went-back", WENT_BACK),
    (
        "database-away",
        remedy(
            "bring the database server back: everybody goes on by themselves within seconds",
            REASONS,
        ),
    ),
    ("storage-unavailable", READ_LOG),
    ("clock-ahead-of-peers", SET_CLOCK),
    ("clock-set-ahead", SET_CLOCK),
    (
        "clock-ahead-of-last-life",
        remedy(
            "compare the clock with another machine's; if it is right, start with `mp169 up --accept-clock`, \
             or one service with MP169_ACCEPT_CLOCK",
            REASONS,
        ),
    ),
    (
        "log-ahead-of-clock",
        remedy(
            "wait until the time of the last event, restore a backup from before it, or `--accept-clock`",
            REASONS,
        ),
    ),
    (
        "audit-cannot-be-written",
        remedy("make room for the audit's database", REASONS),
    ),
    ("followed-log-malformed", MALFORMED),
    (
        "directory-not-loaded",
        remedy("look at registration, which it follows", REASONS),
    ),
    (
        "flags-not-loaded",
        remedy("look at flag-registry, which it follows", REASONS),
    ),
    (
        "starting",
        remedy("ask again in a few seconds", "What is wrong?"),
    ),
    (
        "draining",
        remedy(
            "it was told to stop: start it again, if that is not meant",
            "What is wrong?",
        ),
    ),
];

/// What to do about a reason for not serving, such as `log-went-back: flags`.
pub(super) fn by_reason(reason: &str) -> Remedy {
    let kind = reason.split(':').next().unwrap_or_default();
    let known = BY_REASON.iter().find(|(known, _)| *known == kind);
    known.map_or(READ_LOG, |(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operations.md");

    #[test]
    fn every_remedy_is_told_at_length_in_a_section_that_exists() {
        let others = [
            RENEW,
            NEW_AUTHORITY,
            NOT_ACCEPTED,
            RIGHT_FILES,
            START,
            START_APART,
            LOOK,
            ANOTHER_IDENTITY,
            IMPATIENT,
            SET_CLOCK,
            SET_OWN_CLOCK,
            MIGRATE,
            READ_LOG,
            WENT_BACK,
            MALFORMED,
            FOLLOW_AGAIN,
            WAIT_AND_LOOK,
            CSP_WENT_BACK,
            ASK_CSP,
            SAME_DENY_LIST,
            SAME_VERSION,
            COMPARE,
        ];
        let all = BY_REASON.iter().map(|(_, remedy)| remedy).chain(&others);
        for remedy in all {
            let heading = |line: &str| line.trim_start_matches('#').trim() == remedy.section;
            let mut headings = PAGE.lines().filter(|line| line.starts_with('#'));
            assert!(headings.any(heading), "{remedy:?}");
        }
    }

    /// The table of reasons in the page, and what is done about each here.
    #[test]
    fn every_reason_of_the_page_has_a_remedy() {
        let (_, table) = PAGE.split_once("| the reason |").unwrap();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let reasons: Vec<_> = rows
            .flat_map(|row| {
                let cell = row.split('|').nth(1).unwrap_or_default();
                cell.split('`').skip(1).step_by(2)
            })
            .collect();
        assert!(reasons.len() > 10, "{reasons:?}");
        for reason in reasons {
            assert!(
                BY_REASON.iter().any(|(known, _)| *known == reason),
                "{reason}"
            );
        }
        assert_eq!(by_reason("log-went-back: flags"), WENT_BACK);
    }
}
