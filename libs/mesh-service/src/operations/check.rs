//! What does an operator learn who has the rows compared with the logs?

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use mesh_api::common::v1::ErrorReason;
use mesh_api::operations::v1 as wire;
use mesh_api::operations::v1::check_state_response::Part;
use mesh_api::status;
use mesh_store::fold::{Difference, Folded, Unlike};
use mesh_store::{Store, StoreError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::error::store_refusal;
use crate::state::Compare;

/// Between two pages: somebody waits for the answer.
const PAUSE: Duration = Duration::from_millis(1);

/// The parts of an answer.
pub(crate) type Parts = BoxStream<'static, Result<wire::CheckStateResponse, Status>>;

/// What of a service is checked.
pub(crate) struct Checked {
    /// The service's name.
    pub(crate) service: &'static str,
    /// Its database, if it keeps one.
    pub(crate) store: Option<Store>,
    /// The comparisons of its rows, if there are any.
    pub(crate) compare: Option<Compare>,
    /// Cancelled when the server ends.
    pub(crate) draining: CancellationToken,
}

impl Checked {
    /// Says what there is, and checks it once it has the turn of `turns`: one check goes on at a time. It ends
    /// when nobody reads the answer any more.
    pub(crate) fn parts(&self, turns: &Arc<Semaphore>) -> Parts {
        let started = Part::Started(wire::StateCheckStarted {
            service: self.service.to_owned(),
            keeps_database: self.store.is_some(),
            compares_rows: self.compare.is_some(),
        });
        let compared = self.compare.as_ref().map(|compare| compare(PAUSE));
        let compared = stream::iter(compared).flatten().map(comparison);
        let store = self.store.clone();
        let turn = Arc::clone(turns).acquire_owned();
        let stop = self.draining.clone();
        let checked = async move {
            let turn = Arc::new(turn.await);
            let of_file = Arc::clone(&turn);
            let file = stream::iter(store)
                .then(move |store| check_file(store, stop.clone(), Arc::clone(&of_file)));
            // Kept as long as the stream is.
            compared.chain(file).inspect(move |_| {
                let _held = &turn;
            })
        };
        let parts = stream::once(async { Ok(started) })
            .chain(stream::once(checked).flatten())
            .map(|part| part.map(|part| wire::CheckStateResponse { part: Some(part) }))
            .boxed();
        let draining = self.draining.clone();
        let told = stream::unfold(Some(parts), move |left| {
            let draining = draining.clone();
            async move {
                let mut parts = left?;
                tokio::select! {
                    () = draining.cancelled() => Some((Err(stopping()), None)),
                    part = parts.next() => Some((part?, Some(parts))),
                }
            }
        });
        told.boxed()
    }
}

fn stopping() -> Status {
    let reason = ErrorReason::Draining;
    status::refusal(Code::Unavailable, reason, "the service is stopping")
}

fn comparison(compared: Result<Folded, StoreError>) -> Result<Part, Status> {
    match compared {
        Ok(folded) => Ok(Part::Comparison(comparison_to_wire(&folded))),
        Err(error @ StoreError::Inconsistent { .. }) => {
            Ok(Part::Comparison(wire::StateComparison {
                unreadable: error.to_string(),
                ..wire::StateComparison::default()
            }))
        }
        Err(error) => Err(store_refusal(&error)),
    }
}

/// Once begun, the check of a table goes on even if nobody reads the answer any more: the turn lasts as
/// long.
async fn check_file<T: Send + 'static>(
    store: Store,
    server_ends: CancellationToken,
    turn: T,
) -> Result<Part, Status> {
    let stop = server_ends.child_token();
    let unfinished = stop.clone();
    let _reader = stop.clone().drop_guard();
    let checking = tokio::spawn(async move {
        let _held = turn;
        store.check_file(&stop).await
    });
    let whole = checking.await.map_err(|_| stopping())?;
    let whole = whole.map_err(|error| store_refusal(&error))?;
    // Damage that was found is told; tables that were not looked at are not called whole.
    if whole && unfinished.is_cancelled() {
        return Err(stopping());
    }
    Ok(Part::File(wire::DatabaseFileCheck { whole }))
}

/// What came of a comparison, as the contract has it.
#[must_use]
pub fn comparison_to_wire(folded: &Folded) -> wire::StateComparison {
    wire::StateComparison {
        log: folded.log.clone(),
        up_to: folded.up_to,
        fit: folded.fit,
        differences: folded.differences.iter().map(difference_to_wire).collect(),
        more: folded.more,
        unreadable: String::new(),
    }
}

fn difference_to_wire(difference: &Difference) -> wire::StateDifference {
    use wire::StateDifferenceKind as Kind;
    let (kind, column) = match difference.unlike {
        Unlike::Missing => (Kind::Missing, ""),
        Unlike::Surplus => (Kind::Surplus, ""),
        Unlike::Column(column) => (Kind::Column, column),
    };
    wire::StateDifference {
        table: difference.table.to_owned(),
        key: difference.key.clone(),
        sequence: difference.sequence,
        kind: kind.into(),
        column: column.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, TryStreamExt as _};
    use mesh_api::status::reason_of;
    use mesh_store::{Database, Migrator};

    use super::*;

    /// A comparison that finds a row which no event has made.
    fn finding() -> Compare {
        Arc::new(|_| {
            let mut folded = Folded {
                log: "flags".to_owned(),
                up_to: 3,
                fit: 2,
                ..Folded::default()
            };
            folded.differs("flag_entry", "a Device", 3, Unlike::Column("flagged"));
            let unreadable = StoreError::inconsistent("log_event", "an event is not well formed");
            stream::iter([Ok(folded), Err(unreadable)]).boxed()
        })
    }

    async fn checked(folder: &std::path::Path) -> Checked {
        let url = format!("sqlite://{}", folder.join("a.db").display());
        let migrations = Migrator::with_migrations(vec![]);
        let database = Database::existing_or_new(&url);
        let store = Store::open(&database, &migrations).await.unwrap();
        Checked {
            service: "flag-registry",
            store: Some(store),
            compare: Some(finding()),
            draining: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn a_check_says_what_there_is_what_was_found_and_how_the_file_is() {
        let folder = mesh_testkit::temp_dir();
        let checked = checked(folder.path()).await;
        let turns = Arc::new(Semaphore::new(1));
        let parts: Vec<_> = checked.parts(&turns).try_collect().await.unwrap();
        let parts: Vec<_> = parts.into_iter().filter_map(|part| part.part).collect();
        let [
            Part::Started(started),
            Part::Comparison(compared),
            Part::Comparison(unreadable),
            Part::File(file),
        ] = &parts[..]
        else {
            panic!("{parts:?}");
        };
        assert!(started.keeps_database && started.compares_rows);
        assert_eq!((compared.up_to, compared.fit, compared.more), (3, 2, 0));
        let [difference] = &compared.differences[..] else {
            panic!("{compared:?}");
        };
        assert_eq!(difference.kind(), wire::StateDifferenceKind::Column);
        assert_eq!(difference.column, "flagged");
        assert!(
            unreadable.unreadable.contains("log_event"),
            "{unreadable:?}"
        );
        assert!(file.whole);

        let nothing = Checked {
            store: None,
            compare: None,
            ..checked
        };
        let parts: Vec<_> = nothing.parts(&turns).try_collect().await.unwrap();
        assert_eq!(parts.len(), 1, "{parts:?}");
    }

    #[tokio::test]
    async fn one_check_goes_on_at_a_time_and_ends_with_its_reader_or_the_server() {
        let folder = mesh_testkit::temp_dir();
        let checked = checked(folder.path()).await;
        let turns = Arc::new(Semaphore::new(1));
        let mut first = checked.parts(&turns);
        let mut second = checked.parts(&turns);
        for _ in 0..2 {
            assert!(first.next().await.unwrap().is_ok());
        }
        assert!(second.next().await.unwrap().is_ok(), "what there is");
        assert!(second.next().now_or_never().is_none(), "the first goes on");
        drop(first);
        assert!(second.next().await.unwrap().is_ok());
        checked.draining.cancel();
        let ended: Vec<_> = second.collect().await;
        let Some(Err(last)) = ended.last() else {
            panic!("{ended:?}");
        };
        assert_eq!(reason_of(last), Some(ErrorReason::Draining));
        // Its task may end after its last part was taken.
        let turn = tokio::time::timeout(mesh_testkit::LIMIT, turns.acquire());
        assert!(turn.await.is_ok(), "the turn is over");
    }
}
