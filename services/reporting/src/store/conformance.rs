//! What must the service's store do, whichever engine it is on?
//!
//! An engine is plugged in by one line, [`suite!`], and a function that makes an empty database.

pub(super) mod batches;
pub(super) mod editions;
pub(super) mod excepted;
pub(super) mod flag_counts;
pub(super) mod followed;
pub(super) mod model;
pub(super) mod month_ends;
pub(super) mod outcomes;
pub(super) mod settled;
pub(super) mod state;
pub(super) mod world;

pub(super) use mesh_store::conformance::Checked;

/// Makes a test out of every case, on the empty databases that the function `$fresh` makes.
macro_rules! suite {
    ($fresh:path) => {
        $crate::store::conformance::suite!(@cases $fresh;
            outcomes::an_outcome_is_recorded_once
            outcomes::an_id_with_another_content_is_told_apart
            outcomes::what_arrives_first_does_not_matter
            outcomes::a_device_covered_twice_is_excepted_once
            outcomes::smets1_is_outside
            outcomes::groupings_have_the_same_sums
            settled::settling_changes_no_figure_and_leaves_no_row
            settled::only_what_the_cursor_knows_is_settled
            settled::what_is_settled_stays_so
            settled::an_event_that_comes_too_late_is_told
            settled::an_id_is_recognised_for_its_time
            batches::each_is_taken_once_and_in_order
            batches::a_number_with_another_content_is_told_apart
            batches::whoever_has_numbered_numbers
            excepted::requests_are_told_by_device
            excepted::pages_make_up_the_list
            excepted::broken_promises_are_found_among_many
            followed::a_stale_step_writes_nothing
            followed::a_new_history_replaces_the_old_one
            followed::meters_are_counted_for_their_suppliers
            followed::only_a_whole_snapshot_counts
            followed::a_store_that_is_opened_again_is_the_same
            editions::an_edition_says_the_same_on_every_engine
            editions::an_edition_is_the_next_one_or_none
            editions::one_that_was_only_begun_is_made_later
            editions::months_are_closed_as_they_become_due
            editions::a_choice_means_its_layers
            model::figures_are_those_of_the_pure_rules
            flag_counts::flags_are_counted_as_the_log_tells
            flag_counts::a_new_history_is_counted_anew
            flag_counts::what_was_followed_before_is_counted_once
            month_ends::meters_are_counted_as_they_were
            month_ends::what_was_loaded_anew_has_no_past
            month_ends::what_others_followed_is_not_seen
            state::what_the_service_wrote_fits
            state::outcomes_that_come_meanwhile_are_counted
        );
    };
    (@cases $fresh:path; $($module:ident::$case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() -> $crate::store::conformance::Checked {
                match $fresh() {
                    Some(database) => $crate::store::conformance::$module::$case(&database).await,
                    None => Ok(()),
                }
            }
        )*
    };
}
pub(super) use suite;
