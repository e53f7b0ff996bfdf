//! In which ways can a command end, and with which exit code?

/// What the codes mean: scripts rely on it.
pub(crate) const CODES: &str = "Exit codes:\n  \
    0  done\n  \
    1  failed\n  \
    2  the command line is wrong\n  \
    3  refused: not authenticated or not permitted\n  \
    4  refused: a precondition does not hold, or --yes was not said\n  \
    5  refused, as a whole or in part: malformed, contradicts the record, or names nothing that exists\n  \
    6  not available now: try again; or somebody does not follow a log (`log verify`), or something else is \
    wrong (`doctor`)\n  \
    7  something does not fit: a log or what was made of it (`log verify`, `doctor`), or what a CSP has seen \
    (`csp lag`)\n  \
    8  refused: a quota is used up; the message says when there is room again\n  \
    9  a database is missing, damaged, or not the one that was here; nothing was touched, and the message says what to do\n  \
    10 nothing is wrong, but something will be (`doctor`)";

/// The command line does not say all that is needed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The command changes something for good, and nobody has said that it shall.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed: {0}")]
pub(crate) struct NotConfirmed(pub(crate) &'static str);

/// Some of the things that a command was about were not done; which ones was said before.
#[derive(Debug, thiserror::Error)]
#[error("{undone} of {all} {what}")]
pub(crate) struct Incomplete {
    undone: u64,
    all: u64,
    what: &'static str,
}

impl Incomplete {
    /// An error if anything is `undone`; `what` goes on from "1 of 2".
    pub(crate) fn check(undone: u64, all: u64, what: &'static str) -> anyhow::Result<()> {
        if undone == 0 {
            return Ok(());
        }
        Err(Self { undone, all, what }.into())
    }
}

/// Logs were looked at, and not all of them are whole.
#[derive(Debug, thiserror::Error)]
#[error("not whole: {0}")]
pub(crate) struct NotWhole(pub(crate) String);

/// Nothing contradicts anything, but services do not serve, or do not follow a log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unwell(pub(crate) String);

/// Nothing is wrong yet, but somebody should do something.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Warned(pub(crate) String);

/// Whoever read the answer went away, as `head` does: the rest need not be said, and nothing failed.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the answer any more")]
pub(crate) struct ReaderGone;
