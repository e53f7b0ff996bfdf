//! How many files may the process have open, and how many strangers is that enough for?
//!
//! A connection is a file. The limit that a process starts with is often 1,024, for the sake of
//! programs that cannot do with more, and may be raised to the one that the administrator set.

/// A stage of the handshake has places for one file in so many.
const SHARE: u64 = 16;
/// Fewer places would let a crowd push out whoever is on its way.
const FEWEST: usize = 64;

/// Raises the limit as far as the process may, and gives what it is then; `None` if there is none.
#[cfg(unix)]
pub(super) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// Elsewhere there is none.
#[cfg(not(unix))]
pub(super) const fn raise_limit() -> Option<u64> {
    None
}

/// How many may be in one stage of their handshake, if there may be `most` and so many `files`.
pub(super) fn places(most: usize, files: Option<u64>) -> usize {
    let share = files.map_or(most, |files| {
        usize::try_from(files / SHARE).unwrap_or(usize::MAX)
    });
    most.min(share.max(FEWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_a_share_of_the_files_and_never_too_few_places() {
        for (files, expected) in [
            (Some(64), 64),
            (Some(1_024), 64),
            (Some(4_096), 256),
            (Some(20_000), 1_024),
            (None, 1_024),
        ] {
            assert_eq!(places(1_024, files), expected, "{files:?}");
        }
        assert_eq!(places(4, Some(1_024)), 4, "as the owner wants");
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        use rustix::process::{Resource, getrlimit};

        let limit = raise_limit();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
        assert_eq!(limit, raise_limit());
    }
}
