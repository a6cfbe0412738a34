use proptest::prelude::*;

use super::*;
use crate::Parsers;

type Done = (String, bool, Vec<usize>);

struct Numbers(Vec<usize>);

impl Origin for Numbers {
    fn join(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

fn parsers(names: &[&str]) -> Arc<[Arc<MultilineParser>]> {
    let known = Parsers::new();
    names.iter().map(|name| known.multiline(name).unwrap()).collect()
}

/// The text of a record, whether it is cut, and the numbers of its lines.
fn done(finished: Finished<'_, Numbers>) -> Done {
    let log = MapView::known(finished.record).get(b"log").unwrap();
    let text = String::from_utf8(log.as_str().unwrap().to_vec()).unwrap();
    (text, finished.is_cut, finished.origin.0)
}

fn joined(joiner: &mut Joiner<Numbers>, lines: &[&str]) -> Vec<Done> {
    let mut records = Vec::new();
    let mut hand = |finished: Finished<'_, Numbers>| records.push(done(finished));
    for (number, line) in lines.iter().enumerate() {
        let origin = Numbers(vec![number]);
        joiner.push_line(line.as_bytes(), Timestamp::default(), origin, Duration::ZERO, &mut hand);
    }
    joiner.finish(&mut hand);
    records
}

#[test]
fn a_record_over_the_limit_is_handed_over_in_parts() {
    let mut joiner = Joiner::new(parsers(&["java"]), None).with_limit(32);
    let lines = ["java.lang.Error: x", "\tat a", "\tat bbbbbbbbbbbbbbb", "\tat c", "next"];
    let records = joined(&mut joiner, &lines);
    assert_eq!(
        records,
        [
            ("java.lang.Error: x\n\tat a\n".to_owned(), true, vec![0, 1]),
            ("\tat bbbbbbbbbbbbbbb\n\tat c\n".to_owned(), false, vec![2, 3]),
            ("next\n".to_owned(), false, vec![4]),
        ]
    );
}

#[test]
fn the_multiline_parser_of_the_image_s_file_joins_frames_below_a_day_in_december() {
    let lines = [
        "a",
        "Dec 14 06:41:08 Exception: x",
        "    at a",
        "\tat b",
        "Caused by: c",
        "  at d",
        "Nov 1 1:2:3 e",
    ];
    let records = joined(&mut Joiner::new(parsers(&["exception_test"]), None), &lines);
    let numbers: Vec<_> = records.into_iter().map(|(_, _, numbers)| numbers).collect();
    assert_eq!(numbers, [vec![0], vec![1, 2, 3], vec![4], vec![5], vec![6]]);
}

#[test]
fn an_empty_line_makes_no_record_behind_a_parser_either() {
    let cri = ["2025-09-11T06:46:18Z stdout F a", "", "2025-09-11T06:46:18Z stdout F b"];
    let docker = [r#"{"log":"a\n"}"#, "", r#"{"log":"b\n"}"#];
    for (name, lines, end) in [("cri", cri, ""), ("docker", docker, "\n")] {
        let records = joined(&mut Joiner::new(parsers(&[name]), None), &lines);
        let texts: Vec<_> = records.into_iter().map(|(text, ..)| text).collect();
        assert_eq!(texts, [format!("a{end}"), format!("b{end}")], "{name}");
    }
}

#[test]
fn each_record_waits_for_itself() {
    let mut joiner = Joiner::new(parsers(&["cri"]), None);
    let mut records = Vec::new();
    let mut hand = |finished: Finished<'_, Numbers>| records.push(done(finished).0);
    let line = |stream| format!("2025-09-11T06:46:18Z {stream} P {stream}");
    let second = Duration::from_secs(1);
    let time = Timestamp::default();
    joiner.push_line(line("stdout").as_bytes(), time, Numbers(vec![0]), Duration::ZERO, &mut hand);
    joiner.push_line(line("stderr").as_bytes(), time, Numbers(vec![1]), 2 * second, &mut hand);
    assert_eq!(joiner.due(), Some(4 * second));
    assert_eq!(joiner.waiting().count(), 2);
    joiner.flush(4 * second, &mut hand);
    assert_eq!(joiner.due(), Some(6 * second));
    joiner.flush(6 * second, &mut hand);
    assert_eq!(joiner.due(), None);
    assert_eq!(records, ["stdout", "stderr"]);
}

#[test]
fn a_record_that_no_parser_takes_goes_on_as_it_is() {
    let mut joiner = Joiner::new(parsers(&["python"]), Some((*b"log").into()));
    let mut records = Vec::new();
    let mut hand = |finished: Finished<'_, ()>| records.push(finished.record.to_vec());
    let mut push = |text: &[u8]| {
        let mut record = vec![0x82, 0xa3, b'l', b'o', b'g'];
        write::str(&mut record, text);
        record.extend(b"\xa1n\x01");
        let fields = Fields::split(ikada_record::record_at(&record));
        joiner.push_record(&fields, Timestamp::default(), || (), Duration::ZERO, &mut hand)
    };
    assert_eq!(push(b"plain"), Pushed::Alone);
    assert_eq!(push(b"Traceback (most recent call last):"), Pushed::Taken);
    assert_eq!(push(b"  File x"), Pushed::Taken);
    assert_eq!(push(b"    f()"), Pushed::Taken);
    assert_eq!(push(b"plain"), Pushed::Alone);
    assert_eq!(records, [b"\x82\xa3log\xd93Traceback (most recent call last):\n  File x\n    f()\xa1n\x01"]);
}

#[test]
fn a_group_too_many_hands_over_the_quietest() {
    let mut joiner = Joiner::new(parsers(&["docker"]), None);
    let mut records = 0;
    let mut hand = |_: Finished<'_, Numbers>| records += 1;
    for number in 0..=MOST_GROUPS {
        let line = format!("{{\"log\":\"x\",\"stream\":\"{number}\"}}");
        let now = Duration::from_millis(number as u64);
        joiner.push_line(line.as_bytes(), Timestamp::default(), Numbers(vec![number]), now, &mut hand);
    }
    assert_eq!(records, 1);
}

proptest! {
    #[test]
    fn every_line_is_part_of_one_record(
        names in proptest::sample::subsequence(crate::multiline::NAMES.to_vec(), 1..4),
        lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "plain", "x.Exception: y", "\tat z", "Caused by: q", "Traceback (most recent call last):", "  File a", "  code",
                "E: b", "panic: no", "goroutine 1 [running]:", "main()", "a.rb:1:in x", "\tfrom a.rb:1:in y", "nested exception is: ",
                "2025-09-11T06:46:18Z stdout P a", "2025-09-11T06:46:18Z stderr F b", "{\"log\":\"c\"}", "{\"log\":\"d\\n\"}",
            ]),
            0..24,
        ),
        limit in 1_usize..200,
    ) {
        let mut joiner = Joiner::new(parsers(&names), None).with_limit(limit);
        let records = joined(&mut joiner, &lines);
        let mut numbers: Vec<usize> = records.iter().flat_map(|record| record.2.clone()).collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (0..lines.len()).collect::<Vec<_>>());
        prop_assert!(joiner.is_empty());
    }
}
