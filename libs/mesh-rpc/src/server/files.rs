//! How many files may the process have open, and how many strangers is that enough for?
//!
//! A connection is a file. The limit that a process starts with is often 1,024, for the sake of
//! programs that cannot do with more, and may be raised to the one that the administrator set. It is
//! the whole process's: servers that run in one share it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A stage of the handshake has places for one file in so many.
const SHARE: u64 = 16;
/// Fewer places would let a crowd push out whoever is on its way.
const FEWEST: usize = 64;
/// The same where servers share the files: all of their strangers must leave files for others.
const FEWEST_OF_EACH: usize = 16;

static SERVERS: AtomicUsize = AtomicUsize::new(1);

/// Says how many servers this process runs; one, if nobody says so. Those that start from now on have
/// the share of its files that falls to each.
pub fn share_files_among(servers: usize) {
    SERVERS.store(servers, Ordering::Relaxed);
}

/// How many servers share the files of this process.
pub(super) fn servers() -> usize {
    SERVERS.load(Ordering::Relaxed)
}

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

/// How many may be in one stage of their handshake, if there may be `most`, and so many `files` for all
/// `servers` together.
pub(super) fn places(most: usize, files: Option<u64>, servers: usize) -> usize {
    let servers = servers.max(1);
    let share = files.map_or(most, |files| {
        usize::try_from(files / SHARE).unwrap_or(usize::MAX) / servers
    });
    let fewest = (FEWEST / servers).max(FEWEST_OF_EACH);
    most.min(share.max(fewest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_a_share_of_the_files_and_never_too_few_places() {
        for (files, servers, expected) in [
            (Some(64), 1, 64),
            (Some(1_024), 1, 64),
            (Some(4_096), 1, 256),
            (Some(20_000), 1, 1_024),
            (None, 1, 1_024),
            (Some(1_024), 5, 16),
            (Some(4_096), 5, 51),
            (Some(1_048_576), 5, 1_024),
            (None, 5, 1_024),
        ] {
            let places = places(1_024, files, servers);
            assert_eq!(places, expected, "{files:?} of {servers}");
        }
        assert_eq!(places(4, Some(1_024), 1), 4, "as the owner wants");
    }

    #[test]
    fn the_strangers_of_all_servers_in_a_process_leave_most_of_its_files_to_others() {
        for files in [1_024, 4_096, 65_536] {
            let strangers = 3 * 5 * places(1_024, Some(files), 5);
            let strangers = u64::try_from(strangers).unwrap();
            assert!(strangers <= files / 4, "{strangers} of {files}");
        }
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
