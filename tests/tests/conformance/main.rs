//! The same promises, held by every output that speaks to a server: a table of outputs and scenarios.
//!
//! Each cell runs the program with one output against a server that has a mind of its own, and compares what was written with what
//! arrived and with what the program's books say: nothing lost, nothing twice where the server has said what it took, and no line
//! that calls for a person where none is needed.
#![allow(clippy::unwrap_used, missing_docs)]

mod peer;
mod rig;
mod scenarios;

/// The table: for each output the scenarios that its protocol has words for.
macro_rules! cells {
    ($($output:ident: $($scenario:ident)+;)+) => {$(
        mod $output {
            $(
                #[test]
                fn $scenario() {
                    super::scenarios::$scenario(super::rig::Kind::$output);
                }
            )+
        }
    )+};
}

cells! {
    cloudwatch_logs:
        order_is_kept_and_everything_arrives_once
        throttling_doubles_and_loses_nothing
        half_a_batch_is_turned_away_and_the_other_half_arrives_once
        server_errors_double_and_lose_nothing
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        expired_credentials_are_renewed_and_nothing_is_lost
        records_wait_for_credentials_that_are_missing
        a_clock_that_is_off_holds_nothing_up
        records_wait_for_a_right_that_is_missing
        records_wait_for_a_destination_that_is_missing
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged
        a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books;
    kinesis_firehose:
        order_is_kept_and_everything_arrives_once
        throttling_doubles_and_loses_nothing
        half_a_batch_is_sent_again_and_the_other_half_is_not
        server_errors_double_and_lose_nothing
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        expired_credentials_are_renewed_and_nothing_is_lost
        records_wait_for_credentials_that_are_missing
        a_clock_that_is_off_holds_nothing_up
        records_wait_for_a_right_that_is_missing
        records_wait_for_a_destination_that_is_missing
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged
        a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books;
    kinesis_streams:
        order_is_kept_and_everything_arrives_once
        throttling_doubles_and_loses_nothing
        half_a_batch_is_sent_again_and_the_other_half_is_not
        server_errors_double_and_lose_nothing
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        expired_credentials_are_renewed_and_nothing_is_lost
        records_wait_for_credentials_that_are_missing
        a_clock_that_is_off_holds_nothing_up
        records_wait_for_a_right_that_is_missing
        records_wait_for_a_destination_that_is_missing
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged
        a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books;
    s3:
        order_is_kept_and_everything_arrives_once
        throttling_doubles_and_loses_nothing
        server_errors_double_and_lose_nothing
        an_error_in_an_answer_of_success_loses_nothing
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        expired_credentials_are_renewed_and_nothing_is_lost
        records_wait_for_credentials_that_are_missing
        a_clock_that_is_off_holds_nothing_up
        records_wait_for_a_right_that_is_missing
        records_wait_for_a_destination_that_is_missing
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged;
    http:
        order_is_kept_and_everything_arrives_once
        throttling_doubles_and_loses_nothing
        server_errors_double_and_lose_nothing
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        expired_credentials_are_renewed_and_nothing_is_lost
        what_a_server_refuses_for_good_is_counted
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged
        a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books;
    forward:
        order_is_kept_and_everything_arrives_once
        a_cut_before_the_body_doubles_and_loses_nothing
        a_cut_after_the_body_doubles_and_loses_nothing
        a_cut_after_the_data_was_taken_loses_nothing
        a_cut_in_the_answer_loses_nothing
        a_refused_connection_doubles_and_loses_nothing
        a_black_hole_is_left_at_the_deadline_and_nothing_is_lost
        a_stop_waits_for_slow_answers
        a_kill_loses_nothing_that_was_acknowledged
        a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books;
}
