//! What must this service's store do, whichever engine is below?
//!
//! An engine is plugged in by one line, `conformance::suite!(fresh)`, and a function that makes an
//! empty database. Nothing here knows an engine.

mod effects;
mod positions;
mod secrecy;
mod state;
mod withdrawals;
mod world;
mod writes;

pub(super) use mesh_store::conformance::{Checked, Database};

pub(super) use effects::{
    a_replica_logs_an_effect_once, a_supplier_that_went_on_is_told_late,
    authority_follows_time_without_a_ticker, late_effects_come_in_order_and_before_what_follows,
    nothing_due_stays_after_a_change_of_plan, past_changes_take_effect_at_once,
    two_tickers_log_what_takes_effect_once, what_is_due_is_told_before_what_replaces_it,
};
pub(super) use positions::{
    a_damaged_record_fails_its_own_question_alone, every_field_is_read_back,
    lists_show_one_position_while_records_change, rows_hold_between_their_positions,
    snapshots_show_who_was_responsible_at_their_position,
    the_same_store_is_found_when_opened_again,
};
pub(super) use secrecy::{what_is_not_told_takes_the_same_work, what_is_told_hides_what_is_not};
pub(super) use state::{
    any_history_leaves_rows_as_its_log_has_them, what_changes_behind_the_back_is_found,
};
pub(super) use withdrawals::{
    a_chain_is_withdrawn_from_either_end, a_registration_begins_or_is_withdrawn,
    an_end_of_its_own_stays, what_is_withdrawn_can_be_announced_again,
    what_is_withdrawn_never_begins, what_was_announced_for_no_time_that_can_be_is_withdrawn,
    what_was_known_before_a_withdrawal_stays_known,
};
pub(super) use writes::{
    a_gpf_mirrors_one_meter, a_request_is_answered_once, an_entity_moves_between_parties,
    concurrent_changes_never_overlap, etags_guard_what_was_read, import_order_counts,
    one_bad_row_never_spoils_the_others, what_is_recorded_just_so_is_unchanged,
};

/// Makes a test out of every case, for the engine whose empty databases `$fresh` makes.
macro_rules! suite {
    ($fresh:path) => {
        $crate::store::conformance::suite!(@cases $fresh;
            every_field_is_read_back
            rows_hold_between_their_positions
            lists_show_one_position_while_records_change
            snapshots_show_who_was_responsible_at_their_position
            the_same_store_is_found_when_opened_again
            a_damaged_record_fails_its_own_question_alone
            one_bad_row_never_spoils_the_others
            import_order_counts
            what_is_recorded_just_so_is_unchanged
            concurrent_changes_never_overlap
            a_request_is_answered_once
            etags_guard_what_was_read
            an_entity_moves_between_parties
            a_gpf_mirrors_one_meter
            past_changes_take_effect_at_once
            a_replica_logs_an_effect_once
            two_tickers_log_what_takes_effect_once
            late_effects_come_in_order_and_before_what_follows
            what_is_due_is_told_before_what_replaces_it
            a_supplier_that_went_on_is_told_late
            nothing_due_stays_after_a_change_of_plan
            authority_follows_time_without_a_ticker
            what_is_not_told_takes_the_same_work
            what_is_told_hides_what_is_not
            what_is_withdrawn_never_begins
            a_chain_is_withdrawn_from_either_end
            an_end_of_its_own_stays
            what_is_withdrawn_can_be_announced_again
            what_was_known_before_a_withdrawal_stays_known
            what_was_announced_for_no_time_that_can_be_is_withdrawn
            a_registration_begins_or_is_withdrawn
            any_history_leaves_rows_as_its_log_has_them
            what_changes_behind_the_back_is_found
        );
    };
    (@cases $fresh:path; $($case:ident)*) => {
        mod suite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() -> $crate::store::conformance::Checked {
                    match $fresh() {
                        Some(database) => $crate::store::conformance::$case(&database).await,
                        None => Ok(()),
                    }
                }
            )*
        }
    };
}
pub(super) use suite;
