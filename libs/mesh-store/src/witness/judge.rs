//! Is a database the one that its witness remembers, and does it hold all that was acknowledged?
//!
//! A database may be further than its witness: a process can be killed between a commit and its note.

use std::collections::BTreeMap;
use std::path::Path;

use mesh_types::Sequence;

use super::{Identity, Remembered};
use crate::cursor::Cursor;
use crate::database::Unfit;
use crate::history::Seen;

/// What was found in a database, for one who knows what its witness remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Which database it is; `None` if it is older than databases have names.
    pub(crate) identity: Option<Identity>,
    /// How often its heart has beaten.
    pub(crate) pulse: i64,
    /// What became of each log that is remembered.
    pub(crate) logs: Vec<Remains>,
    /// Where its followers stand in others' logs.
    pub(crate) cursors: BTreeMap<String, Cursor>,
}

/// What became of a log that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remains {
    /// How far it was.
    pub(crate) remembered: Cursor,
    /// Whether it still has that.
    pub(crate) judged: Seen,
    /// Its last event; `None` if it is gone.
    pub(crate) last: Option<Sequence>,
}

/// Compares what was found in the database at `path` with what its witness remembers.
pub(crate) fn judge(
    path: &Path,
    remembered: &Remembered,
    standing: &Standing,
) -> Result<(), Unfit> {
    let path = || path.to_owned();
    match standing.identity {
        Some(identity) if identity == remembered.identity => {}
        Some(_) => return Err(Unfit::Replaced { path: path() }),
        None => return Err(older(path(), "it is from before databases had names")),
    }
    let behind = |log: &&Remains| log.judged == Seen::WentBack;
    if let Some(log) = standing.logs.iter().find(behind) {
        let at = &log.remembered.position;
        let found = match log.last {
            None => "does not have it".to_owned(),
            Some(last) if last < at.sequence => format!("ends at event {last}"),
            Some(_) => "has another event there".to_owned(),
        };
        return Err(Unfit::Behind {
            path: path(),
            log: at.log.clone(),
            remembered: at.sequence,
            found,
        });
    }
    for (follower, cursor) in &remembered.cursors {
        let at = &cursor.position;
        let goes_on = standing.cursors.get(follower).is_some_and(|found| {
            // A cursor in another history was set anew after a snapshot.
            !found.position.comparable(at) || found.position.sequence >= at.sequence
        });
        if !goes_on {
            let what = format!("the follower {follower} was at {at}");
            return Err(older(path(), &what));
        }
    }
    if standing.pulse < remembered.pulse {
        return Err(older(path(), "it was written to after this was taken"));
    }
    Ok(())
}

fn older(path: std::path::PathBuf, what: &str) -> Unfit {
    let what = what.to_owned();
    Unfit::Older { path, what }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{remembered, seen};
    use super::*;

    fn standing() -> Standing {
        let remembered = remembered();
        Standing {
            identity: Some(remembered.identity),
            pulse: remembered.pulse,
            logs: vec![Remains {
                remembered: seen("flags", 7, 300),
                judged: Seen::Fits,
                last: Some(300),
            }],
            cursors: remembered.cursors,
        }
    }

    fn judged(change: impl FnOnce(&mut Standing)) -> Result<(), String> {
        let mut standing = standing();
        change(&mut standing);
        let judged = judge(Path::new("store.db"), &remembered(), &standing);
        judged.map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn the_database_itself_fits_and_so_does_one_that_went_on() {
        assert_eq!(judged(|_| ()), Ok(()));
        assert_eq!(judged(|found| found.pulse += 5), Ok(()));
        assert_eq!(
            judged(|found| found.logs[0].judged = Seen::Accepted),
            Ok(())
        );
        let further = seen("devices", 9, 21);
        let moved =
            |found: &mut Standing| drop(found.cursors.insert("devices".to_owned(), further));
        assert_eq!(judged(moved), Ok(()));
        let resynced = seen("devices", 10, 1);
        let moved =
            |found: &mut Standing| drop(found.cursors.insert("devices".to_owned(), resynced));
        assert_eq!(judged(moved), Ok(()));
    }

    #[test]
    fn whatever_is_older_or_another_is_said_to_be() {
        let refused = |change: fn(&mut Standing), said: &str| {
            let text = judged(change).unwrap_err();
            assert!(text.contains(said), "{text}");
        };
        refused(|found| found.identity = Some([1; 16]), "another database");
        refused(|found| found.identity = None, "before databases had names");
        let back = |found: &mut Standing| found.logs[0].judged = Seen::WentBack;
        refused(
            back,
            "was at event 300 and this one has another event there",
        );
        refused(
            |found| {
                found.logs[0].judged = Seen::WentBack;
                found.logs[0].last = Some(200);
            },
            "the log flags was at event 300 and this one ends at event 200",
        );
        refused(
            |found| {
                found.logs[0].judged = Seen::WentBack;
                found.logs[0].last = None;
            },
            "does not have it",
        );
        refused(|found| found.cursors.clear(), "devices was at devices@20");
        refused(
            |found| {
                let earlier = seen("devices", 9, 19);
                found.cursors.insert("devices".to_owned(), earlier);
            },
            "devices was at devices@20",
        );
        refused(|found| found.pulse -= 1, "written to after");
    }
}
