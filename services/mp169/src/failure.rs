//! What is said when a command failed, and which code does the process end with?

use std::process::ExitCode;

use mesh_api::common::v1::ErrorReason as Reason;
use mesh_api::status::reason_of;
use mesh_store::StoreError;
use tonic::{Code, Status};

use crate::exit::{Incomplete, NotConfirmed, NotWhole, ReaderGone, Unwell, Usage, Warned};
use crate::output::complain;
use crate::refusal::{explain, refusal};

/// Says on standard error what went wrong and what to do about it, and gives the exit code.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    let Some(status) = error.downcast_ref::<Status>() else {
        complain(&format_args!("mp169: {error:#}"));
        let code = match error {
            error if error.is::<Usage>() => 2,
            error if error.is::<NotConfirmed>() => 4,
            error if error.is::<Incomplete>() => 5,
            error if error.is::<Unwell>() => 6,
            error if error.is::<NotWhole>() => 7,
            error if is_unfit(error) => 9,
            error if error.is::<Warned>() => 10,
            _ => 1,
        };
        return ExitCode::from(code);
    };
    let contexts = error.chain().take_while(|cause| !cause.is::<Status>());
    contexts.for_each(|context| complain(&format_args!("mp169: {context}")));
    complain(&format_args!("mp169: {}", refusal(status)));
    explain(status).iter().for_each(complain);
    if let Some(advice) = advice(status) {
        complain(&advice);
    }
    ExitCode::from(match reason_of(status) {
        Some(Reason::QuotaExhausted) => 8,
        _ => code(status.code()),
    })
}

/// Whether a database was refused as it stands.
fn is_unfit(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let store = cause.downcast_ref::<StoreError>();
        matches!(store, Some(StoreError::Unfit(_)))
    })
}

/// Says what is wrong with a command line, or gives the help that it asks for.
#[must_use]
pub fn misread(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let printed = error.print();
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let lines = error.render().to_string();
    lines.lines().for_each(|line| complain(&line));
    ExitCode::from(2)
}

fn code(code: Code) -> u8 {
    match code {
        Code::Unauthenticated | Code::PermissionDenied => 3,
        Code::FailedPrecondition => 4,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented => 5,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => 6,
        _ => 1,
    }
}

/// What whoever typed the command can do; `None` where the refusal itself says it.
fn advice(status: &Status) -> Option<&'static str> {
    let Some(reason) = reason_of(status) else {
        if status.code() == Code::Unauthenticated {
            return Some(
                "The operator issues another (`mp169 party certificate`, `mp169 certificate issue`); `mp169 certificate list` says what is denied.",
            );
        }
        let unreachable = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
        return unreachable.then_some(
            "Does it run? `mp169 doctor` says which service does not answer, and what to do about it.",
        );
    };
    Some(match reason {
        Reason::CertificateMissing | Reason::IdentityNotRecognised => {
            "Ask the mesh's operator for a certificate: `mp169 party certificate`."
        }
        Reason::PartyUnknown => {
            "The operator records a party with `mp169 party add`; every service knows it within a second."
        }
        Reason::PartyNotActive => "The operator reinstates a party with `mp169 party resume`.",
        Reason::RoleNotPermitted => "Name an identity that may do this with --as.",
        Reason::NotResponsibleSupplier => {
            "Check the Device's id. The operator sees who is responsible: `mp169 authority get`."
        }
        Reason::NotOwnData => {
            "A party sees its own: leave out --party and --csp, which the certificate says."
        }
        Reason::PreconditionsNotMet => {
            "What is declared and attested is given with --step, --contact and --no-…; the rest is put right in the inventory."
        }
        Reason::QuotaExhausted => {
            "Nothing was recorded. A flag that is not set can be set all the same."
        }
        Reason::RequestIdReused => "Leave out --request-id, or send just the same request again.",
        Reason::EtagMismatch => {
            "It is recorded already, or was changed meanwhile: look at it first."
        }
        Reason::RegistrationOverlap => {
            "`mp169 device registrations` shows which registration is in the way; one that has not begun can be withdrawn with `mp169 device withdraw-registration`."
        }
        Reason::RegistrationBegun => {
            "`mp169 device change-supplier` registers another supplier from now on."
        }
        Reason::LogWentBack => {
            "An older database was put in place, or one was lost: put the right file back, or see `mp169 log accept-loss --help`."
        }
        Reason::PositionOfAnotherEpoch => {
            "The log began anew: start over, with `--from snapshot` where a stream is watched."
        }
        Reason::AcknowledgedNotSent => "`mp169 csp lag` says what was sent.",
        Reason::AuthorityChanged
        | Reason::AuthorityUnreachable
        | Reason::DirectoryNotLoaded
        | Reason::FlagsNotLoaded
        | Reason::Draining
        | Reason::StorageUnavailable
        | Reason::Overloaded
        | Reason::CallerLimit => "Try again in a moment.",
        Reason::DeadlineExceeded => {
            "Try again in a moment. `mp169 doctor` says which service does not answer, and what to do about it."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn ended(error: impl Into<anyhow::Error>) -> String {
        format!("{:?}", failed(&error.into()))
    }

    fn exit(code: u8) -> String {
        format!("{:?}", ExitCode::from(code))
    }

    #[test]
    fn each_kind_of_end_has_its_code() {
        let refused = |code| ended(Status::new(code, "no"));
        for (code, expected) in [
            (Code::Internal, 1),
            (Code::Unauthenticated, 3),
            (Code::PermissionDenied, 3),
            (Code::FailedPrecondition, 4),
            (Code::InvalidArgument, 5),
            (Code::NotFound, 5),
            (Code::Aborted, 5),
            (Code::Unavailable, 6),
            (Code::DeadlineExceeded, 6),
        ] {
            assert_eq!(refused(code), exit(expected), "{code:?}");
        }
        assert_eq!(ended(anyhow::anyhow!("no such file")), exit(1));
        let incomplete = Incomplete::check(1, 2, "rows were refused").unwrap_err();
        assert_eq!(incomplete.to_string(), "1 of 2 rows were refused");
        assert_eq!(ended(incomplete), exit(5));
        assert!(Incomplete::check(0, 2, "rows were refused").is_ok());
        assert_eq!(ended(Usage("say with --as".to_owned())), exit(2));
        assert_eq!(ended(Unwell("no".to_owned())), exit(6));
        assert_eq!(ended(Warned("soon".to_owned())), exit(10));
        assert_eq!(ended(ReaderGone), exit(0));
        let path = "flag-registry.db".into();
        let missing = StoreError::Unfit(mesh_store::Unfit::Missing { path });
        let ended = ended(anyhow::Error::new(missing).context("flag-registry failed"));
        assert_eq!(ended, exit(9));
    }

    #[test]
    fn a_refusal_with_a_context_keeps_its_code() {
        let refused: Result<(), _> = Err(Status::not_found("no"));
        let error = refused.context("the party is looked up").unwrap_err();
        assert_eq!(ended(error), exit(5));
    }
    #[test]
    fn whoever_gets_no_answer_is_sent_to_the_doctor() {
        let late = mesh_api::status::refusal(
            Code::DeadlineExceeded,
            Reason::DeadlineExceeded,
            "no answer from flag-registry before the deadline",
        );
        for status in [late, Status::unavailable("flag-registry is not reached")] {
            let advice = advice(&status).unwrap();
            assert!(advice.contains("`mp169 doctor`"), "{advice}");
            assert!(!advice.contains("mp169 up"), "{advice}");
        }
    }
}
