use proptest::prelude::*;

use super::*;

/// 2026-11-22T12:00:00Z.
fn now() -> Timestamp {
    Timestamp::new(1_795_348_800, 0)
}

fn rules(format: &str) -> TimeRules {
    TimeRules::new(TimeFormat::new(format).unwrap(), Zone::UTC, true)
}

fn secs(format: &str, text: &str) -> Option<i64> {
    rules(format).time_of(text.as_bytes(), now()).map(|time| time.secs())
}

#[test]
fn a_date_without_a_year_is_the_one_nearest_to_now() {
    let january = Timestamp::new(1_798_765_200, 0); // 2027-01-01T01:00:00Z
    let time = rules("%b %d %H:%M:%S").time_of(b"Dec 31 23:59:59", january).unwrap();
    assert_eq!(time.secs(), 1_798_761_599);
    let december = Timestamp::new(1_798_761_599, 0);
    let time = rules("%b %d %H:%M:%S").time_of(b"Jan  1 01:00:00", december).unwrap();
    assert_eq!(time.secs(), 1_798_765_200);
}

#[test]
fn a_time_of_day_is_one_of_today_where_its_zone_is() {
    let tokyo = TimeRules::new(TimeFormat::new("%H:%M").unwrap(), Zone::Fixed(9 * 3600), true);
    let late = Timestamp::new(1_795_364_400, 0); // 16:20 in UTC, 01:20 of the next day in Tokyo
    let time = tokyo.time_of(b"01:15", late).unwrap();
    assert_eq!(time.secs(), 1_795_364_100);
}

#[test]
fn seconds_since_1970_come_in_four_units() {
    for text in ["1757573178", "1757573178000", "1757573178000000", "1757573178000000000"] {
        assert_eq!(secs("%s", text), Some(1_757_573_178), "{text}");
    }
    let millis = rules("%s").time_of(b"1757573178182", now()).unwrap();
    assert_eq!(millis.nanos(), 182_000_000);
}

#[test]
fn a_number_is_a_time_where_the_format_is_one_of_seconds() {
    let number = View::Uint(1_757_573_178);
    assert_eq!(rules("%s").time_of_number(&number), Some(Timestamp::new(1_757_573_178, 0)));
    assert_eq!(rules("%s.%L").time_of_number(&View::Float(5.5)), Some(Timestamp::new(5, 500_000_000)));
    assert_eq!(rules("%Y").time_of_number(&number), None);
}

#[test]
fn half_days_turn_at_noon() {
    assert_eq!(secs("%F %I:%M %p", "1970-01-02 12:30 AM"), Some(86_400 + 1800));
    assert_eq!(secs("%F %I:%M %p", "1970-01-02 12:30 pm"), Some(86_400 + 45_000));
    assert_eq!(secs("%F %r", "1970-01-02 01:00:00 PM"), Some(86_400 + 46_800));
}

#[test]
fn a_day_of_the_year_is_a_date() {
    assert_eq!(secs("%Y-%j", "2024-366"), secs("%F", "2024-12-31"));
}

#[test]
fn american_zones_may_be_in_any_case_and_the_others_may_not() {
    let format = "%Y-%m-%d %H:%M:%S %z";
    assert_eq!(secs(format, "2025-01-02 03:04:05 est"), secs(format, "2025-01-02 03:04:05 -0500"));
    assert_eq!(secs(format, "2025-01-02 03:04:05 Pdt"), secs(format, "2025-01-02 03:04:05 -0700"));
    assert_eq!(secs(format, "2025-01-02 03:04:05 UTC"), secs(format, "2025-01-02 03:04:05 Z"));
    assert_eq!(secs(format, "2025-01-02 03:04:05 z"), None);
    assert_eq!(secs(format, "2025-01-02 03:04:05 utc"), None);
}

#[test]
fn blanks_before_a_time_count_only_where_the_year_is_written_out() {
    assert_eq!(secs("%b %d %H:%M:%S", " \tNov 22 01:02:03"), secs("%b %d %H:%M:%S", "Nov 22 01:02:03"));
    assert_eq!(secs("%F", " 2025-01-02"), secs("%F", "2025-01-02"));
    assert_eq!(secs("%Y-%m-%d", " 2025-01-02"), None);
    assert_eq!(secs("%s", " 1757573178"), None);
}

#[test]
fn unknown_directives_are_told_with_what_to_type() {
    let error = TimeFormat::new("%Y-%m-%dT%H:%M:%S.%3N%z").unwrap_err();
    assert_eq!(error.position, 18);
    assert_eq!(error.message, "there is no directive `%3`");
    assert!(error.help.unwrap().contains("`%L`"));
    assert!(TimeFormat::new("%").is_err());
    assert!(TimeFormat::new("%L%L").is_err());
    assert!(TimeFormat::new("%Ed %Oy 100%%").is_ok());
}

#[test]
fn offsets_need_two_digits_of_hours_and_of_minutes() {
    assert_eq!(parse_offset("+0900"), Some(32_400));
    assert_eq!(parse_offset("-03:30"), Some(-12_600));
    assert_eq!(parse_offset("Z"), Some(0));
    for wrong in ["JST", "+9", "+09", "0900", "+09:00x", "", "+9900"] {
        assert_eq!(parse_offset(wrong), None, "{wrong}");
    }
}

#[test]
fn usual_formats_are_recognised() {
    assert_eq!(suggest(b"2025-09-11T15:46:18+09:00"), Some("%Y-%m-%dT%H:%M:%S%z"));
    assert_eq!(suggest(b"2025-09-11 15:46:18,182"), Some("%Y-%m-%d %H:%M:%S,%L"));
    assert_eq!(suggest(b"11/Sep/2025:15:46:18 +0900"), Some("%d/%b/%Y:%H:%M:%S %z"));
    assert_eq!(suggest(b"1757573178"), Some("%s"));
    assert_eq!(suggest(b"yesterday"), None);
}

proptest! {
    #[test]
    fn every_moment_that_is_written_is_read_again(secs in 0..=u32::MAX, nanos in 0..1_000_000_000_u32) {
        let time = chrono::DateTime::from_timestamp(i64::from(secs), nanos).unwrap();
        let text = time.format("%Y-%m-%dT%H:%M:%S.%9f+00:00").to_string();
        let read = rules("%Y-%m-%dT%H:%M:%S.%L%z").time_of(text.as_bytes(), now());
        prop_assert_eq!(read, Some(Timestamp::new(i64::from(secs), nanos)));
    }

    #[test]
    fn any_format_reads_or_refuses_any_text(
        format in "(%[a-zA-Z%]|%[EO][a-z]|[-: TZ/.,]){0,10}",
        text in "[-+0-9A-Za-z:/., Z]{0,30}",
        strict: bool,
    ) {
        if let Ok(format) = TimeFormat::new(&format) {
            let rules = TimeRules::new(format, Zone::UTC, strict);
            let time = rules.time_of(text.as_bytes(), now());
            prop_assert!(time.is_none_or(|time| (0..=i64::from(u32::MAX)).contains(&time.secs())));
        }
    }
}
