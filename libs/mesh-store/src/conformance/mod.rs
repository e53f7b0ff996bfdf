//! What must every storage engine be able to do, whichever it is?
//!
//! An engine is plugged in by one line in a test binary, [`conformance!`](crate::conformance), and
//! a function that makes an empty database. Nothing here knows an engine.

mod disputes;
mod idempotency;
mod kept;
mod ledger;
mod logs;
mod opening;
mod seen;
mod sharing;
mod together;
mod verifying;
mod writing;

use std::any::Any;
use std::error::Error;

use sqlx::Connection as _;

use crate::StoreError;
use crate::postgres::Server;
use crate::sql::{Conn, QueryBuilder};

pub use disputes::what_somebody_disputes_lasts_until_the_log_has_it;
pub use idempotency::{
    a_request_is_answered_once, a_store_remembers_thousands_of_requests,
    cursors_move_by_compare_and_set, equal_requests_race_to_one_answer,
};
pub use kept::{
    an_answer_from_before_ages_ends_no_other, an_answer_is_kept_for_its_life_and_then_forgotten,
    an_idle_writer_forgets, answers_are_forgotten_in_steps,
    answers_from_before_ages_have_their_life_too, no_clock_ends_the_life_of_an_answer,
};
pub use logs::{
    an_event_has_the_time_at_which_the_log_was_locked, events_are_read_in_pages,
    followers_are_woken_after_the_commit, no_write_changes_what_was_known,
    recorded_time_never_goes_back, snapshots_stand_still_and_readers_cannot_write,
    what_was_known_at_a_time_is_one_position, what_was_known_at_a_time_stays_so,
};
pub use opening::{
    a_store_that_is_opened_again_is_the_same, migrations_that_do_not_fit_are_refused,
    one_secret_makes_the_tokens,
};
pub use seen::accept_history;
pub use seen::{a_log_knows_what_was_seen_of_it, a_log_that_went_back_takes_no_writes};
pub use sharing::{
    a_database_ages_by_whoever_has_counted_most, processes_know_whether_there_are_others,
    several_processes_write_one_log, what_one_process_has_told_no_other_changes,
};
pub use together::{each_question_has_its_own_answer, each_statement_says_what_it_wrote};
pub use verifying::{a_whole_log_is_found_whole, every_misfit_is_found_with_its_sequence};
pub use writing::{
    a_batch_that_is_too_late_is_decided_anew, a_caller_who_leaves_changes_nothing_for_the_others,
    a_full_queue_answers_busy, a_poisoned_command_fails_alone, nothing_is_written_by_halves,
    positions_are_contiguous_under_concurrency, shutdown_finishes_what_waits,
    what_is_handed_in_at_once_is_answered_one_by_one,
};

/// The result of a case; what it does not expect, it returns.
pub type Checked = Result<(), Box<dyn Error + Send + Sync>>;

/// An empty database made for one case.
pub struct Database {
    /// Where it is.
    pub url: String,
    /// Removes it when the case is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl Database {
    /// One in a file of its own.
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = mesh_testkit::temp_dir();
        Self {
            url: format!("sqlite://{}", folder.path().join("store.db").display()),
            keep: Box::new(folder),
        }
    }

    /// One on the server that the tests share; `None` where PostgreSQL is not installed.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        let database = mesh_testkit::postgres::database()?;
        Some(Self {
            url: database.url(),
            keep: Box::new(database),
        })
    }

    /// With leave to make it, and to open it again.
    #[must_use]
    pub fn with_leave(&self) -> crate::Database {
        crate::Database::existing_or_new(&self.url)
    }
}

/// A connection to the database at `url` behind its service's back.
pub async fn behind(url: &str) -> Result<Conn, StoreError> {
    if url.starts_with("sqlite:") {
        Ok(sqlx::SqliteConnection::connect(url).await?.into())
    } else {
        Server::of(url)?.connect().await
    }
}

/// Carries out a statement that a test has put together, and says how many rows it wrote.
pub async fn carry_out(conn: &mut Conn, statement: &str) -> Result<u64, StoreError> {
    let statement = QueryBuilder::new(statement).build();
    statement.persistent(false).execute(conn).await
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

/// Makes a test out of every case of the suite, for the engine whose empty databases the function
/// `$fresh` makes: `fn() -> Database`, or `fn() -> Option<Database>` for an engine that may not be installed and
/// then says so.
#[macro_export]
macro_rules! conformance {
    ($fresh:path) => {
        $crate::conformance!(@cases $fresh;
            positions_are_contiguous_under_concurrency
            nothing_is_written_by_halves
            what_is_handed_in_at_once_is_answered_one_by_one
            a_poisoned_command_fails_alone
            each_question_has_its_own_answer
            each_statement_says_what_it_wrote
            a_batch_that_is_too_late_is_decided_anew
            a_caller_who_leaves_changes_nothing_for_the_others
            a_full_queue_answers_busy
            shutdown_finishes_what_waits
            a_request_is_answered_once
            equal_requests_race_to_one_answer
            a_store_remembers_thousands_of_requests
            an_answer_is_kept_for_its_life_and_then_forgotten
            answers_are_forgotten_in_steps
            no_clock_ends_the_life_of_an_answer
            answers_from_before_ages_have_their_life_too
            an_answer_from_before_ages_ends_no_other
            an_idle_writer_forgets
            cursors_move_by_compare_and_set
            events_are_read_in_pages
            recorded_time_never_goes_back
            what_was_known_at_a_time_is_one_position
            what_was_known_at_a_time_stays_so
            no_write_changes_what_was_known
            an_event_has_the_time_at_which_the_log_was_locked
            followers_are_woken_after_the_commit
            snapshots_stand_still_and_readers_cannot_write
            a_whole_log_is_found_whole
            every_misfit_is_found_with_its_sequence
            a_store_that_is_opened_again_is_the_same
            migrations_that_do_not_fit_are_refused
            one_secret_makes_the_tokens
            a_log_knows_what_was_seen_of_it
            a_log_that_went_back_takes_no_writes
            what_somebody_disputes_lasts_until_the_log_has_it
            several_processes_write_one_log
            what_one_process_has_told_no_other_changes
            a_database_ages_by_whoever_has_counted_most
            processes_know_whether_there_are_others
        );
    };
    (@cases $fresh:path; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() -> $crate::conformance::Checked {
                let database: Option<$crate::conformance::Database> = $fresh().into();
                match database {
                    Some(database) => $crate::conformance::$case(&database).await,
                    None => Ok(()),
                }
            }
        )*
    };
}
