//! What is said of options.

use ikada_options::check_set;
use ikada_tail::TailOptions;

use crate::rig::input;

#[test]
fn the_declaration_is_sound() {
    check_set::<TailOptions>();
}

#[test]
fn every_option_of_fluent_bit_is_known() {
    let options = "path /var/log/*.log\nexclude_path *.gz\nkey m\npath_key p\noffset_key o\nrefresh_interval 1\n\
        rotate_wait 1\nwatcher_interval 2s\nprogress_check_interval 2s\nprogress_check_interval_nsec 5\nread_from_head on\n\
        read_newly_discovered_files_from_head on\nignore_older 1d\nignore_active_older_files off\nskip_long_lines on\n\
        truncate_long_lines off\nskip_empty_lines on\nbuffer_max_size 64k\nstatic_batch_size 1M\nevent_batch_size 1M\n\
        exit_on_eof off\ninotify_watcher on\ndb.sync full\ndb.locking off\ndb.journal_mode WAL\ndb.compare_filename off\n\
        parser json\n";
    let (built, found) = input(options);
    assert!(built.is_some() && found.is_empty(), "{found:?}");
}

#[test]
fn an_unknown_parser_is_refused_at_its_place() {
    let (built, found) = input("path /x\nparser jsn\n");
    assert!(built.is_none());
    assert_eq!(
        found,
        ["a.conf:2:8: error[unknown-parser]: no parser is named `jsn` (help: did you mean `json`?)"]
    );
}

#[test]
fn the_old_multiline_mode_needs_a_first_line() {
    let (built, found) = input("path /x\nmultiline on\n");
    assert!(built.is_none() && found[0].contains("error[missing-option]"), "{found:?}");
    let (built, found) =
        input("path /x\nmultiline on\nparser_firstline json\nparser_1 logfmt\nparser_2 docker\n");
    assert!(built.is_some() && found.is_empty(), "{found:?}");
}

#[test]
fn an_expression_that_is_none_is_refused() {
    let (built, found) = input("path /x\ntag_regex (\n");
    assert!(built.is_none() && found[0].contains("error[bad-regex]"), "{found:?}");
}
