//! What must the store of flags do on every engine?
//!
//! An engine is plugged in by a line of `suite!` and a function that makes an empty database.

mod cases;
mod quotas;
mod secrecy;
mod state;
mod statements;
mod world;

use mesh_store::conformance::Database;

/// Makes a test out of every case, for each engine.
macro_rules! suite {
    ($($cases:ident: $($case:ident)*;)*) => {
        suite!(@engine sqlite; $($($cases $case)*)*);
        suite!(@engine postgres; $($($cases $case)*)*);
    };
    (@engine $engine:ident; $($cases:ident $case:ident)*) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    if let Some(database) = super::$engine() {
                        super::$cases::$case(&database).await;
                    }
                }
            )*
        }
    };
}

suite! {
    cases:
    commands_of_a_batch_see_each_other
    every_version_is_the_fold_of_the_log_so_far
    what_held_is_read_from_the_events_up_to_a_position
    a_list_leaves_out_what_a_supplier_has_lost
    the_cursor_moves_with_the_effects_or_not_at_all
    what_an_entry_knows_already_is_skipped
    a_permit_that_may_be_out_of_date_is_sent_back
    a_permit_older_than_the_entry_is_sent_back
    a_supplier_that_goes_on_keeps_its_choices
    a_clock_that_goes_back_revives_no_permit
    a_permit_with_too_little_left_of_its_lease_is_sent_back
    a_permit_whose_lease_ends_on_the_way_to_the_commit_is_sent_back
    a_caller_that_is_no_longer_allowed_writes_nothing
    a_hub_that_changes_its_csp_takes_its_devices_along
    thousands_of_events_fit_in_a_batch
    one_prompt_is_written_however_often_it_is_told
    a_role_alone_writes_nothing_but_prompts
    ;
    quotas:
    no_two_writers_take_the_last_one
    a_loop_keeps_nobody_from_what_is_needed
    what_was_spent_survives_and_comes_back
    a_clock_that_was_wrong_holds_no_quota_up
    a_used_up_quota_changes_no_answer
    ;
    state:
    an_untouched_database_is_what_its_log_says
    a_flag_that_vanished_is_found
    a_flag_that_was_lifted_behind_the_back_is_found
    every_column_counts
    a_row_that_no_event_made_is_found
    ;
    secrecy: what_is_followed_is_found_with_the_same_work;
    statements: a_batch_takes_as_many_statements_as_one_change;
}

fn sqlite() -> Option<Database> {
    Some(Database::sqlite())
}

fn postgres() -> Option<Database> {
    Database::postgres()
}
