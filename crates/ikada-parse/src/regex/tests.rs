//! The dialect, point by point. Where a recorded case shows a point, it is replayed in `tests/`; these add the rest.

use proptest::prelude::*;

use super::*;

fn regex(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The text of the first match.
fn found(text: &str, subject: &str) -> Option<String> {
    let regex = regex(text);
    let captures = regex.captures(subject.as_bytes())?;
    Some(String::from_utf8_lossy(captures.get(0)?).into_owned())
}

/// What the pattern matches of each subject, against what it should.
#[track_caller]
fn check(text: &str, cases: &[(&str, Option<&str>)]) {
    for (subject, expected) in cases {
        assert_eq!(found(text, subject).as_deref(), *expected, "{text} on {subject:?}");
        let regex = regex(text);
        assert_eq!(regex.is_match(subject.as_bytes()), expected.is_some(), "{text} on {subject:?}");
    }
}

#[track_caller]
fn refused(text: &str, position: usize) {
    match Regex::new(text) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => assert_eq!(error.position, position, "{text}: {error}"),
    }
}

fn machine(text: &str) -> &'static str {
    match regex(text).0.one_line {
        Engine::Literal(_) => "literal",
        Engine::Plain(_) => "plain",
        Engine::Backtracking(_) => "backtracking",
    }
}

#[test]
fn carets_and_dollars_stand_at_lines() {
    check("^b$", &[("b", Some("b")), ("a\nb\nc", Some("b")), ("ab", None), ("a\rb\rc", None)]);
    check("b$", &[("ab\r\n", None), ("ab\n", Some("b"))]);
    check("x|^b", &[("a\nb", Some("b")), ("ab", None)]);
}

#[test]
fn a_caret_does_not_stand_behind_the_last_line_feed() {
    check(r"^\s*$", &[("text\n", None), ("\n", Some("\n")), ("", Some("")), ("a\n\nb", Some(""))]);
    check("^$", &[("text\n", None), ("\n", Some("")), ("a\n\n", Some(""))]);
    check(r"(?:^)$", &[("text\n", None), ("", Some(""))]);
    check(r"x|(^)$", &[("line\n", None), ("a\n\n", Some(""))]);
    check(r"a*|^$", &[("b\n", Some(""))]);
    check(r"(?=.*)^$", &[("text\n", None), ("a\n\nb", Some(""))]);
}

#[test]
fn a_dollar_stands_behind_the_last_line_feed_too() {
    check(r"\n$", &[("a\n", Some("\n"))]);
}

#[test]
fn text_anchors_stand_at_the_text() {
    check(r"\Ab\z", &[("b", Some("b")), ("a\nb", None), ("b\n", None)]);
    check(r"b\Z", &[("b", Some("b")), ("b\n", Some("b")), ("b\n\n", None), ("b\nc", None)]);
    check(r"\Gb", &[("b", Some("b")), ("ab", None)]);
}

#[test]
fn the_dot_stops_at_line_feeds_unless_told_otherwise() {
    check("a.b", &[("a\nb", None), ("a\rb", Some("a\rb")), ("aあb", Some("aあb"))]);
    check("/a.b/m", &[("a\nb", Some("a\nb"))]);
    check("(?m)a.b", &[("a\nb", Some("a\nb"))]);
    check("(?m:a.b)c.d", &[("a\nbc\nd", None), ("a\nbcxd", Some("a\nbcxd"))]);
    check("(?m)a(?-m).b", &[("a\nb", None)]);
}

#[test]
fn shorthands_are_ascii() {
    check(r"\w+", &[("あ9_x-", Some("9_x")), ("é", None)]);
    check(r"\W", &[("é", Some("é")), ("a", None)]);
    check(r"\d+", &[("１2", Some("2"))]);
    check(r"\s", &[("\u{3000}", None), ("\u{b}", Some("\u{b}")), ("\u{85}", None)]);
    check(r"[\w.]+", &[("é.x", Some(".x"))]);
    check(r"[^\W_]+", &[("_a_", Some("a"))]);
    check(r"\h+\H", &[("xBEEFg", Some("BEEFg"))]);
    check(r"(?u)\w+", &[("é_", Some("é_"))]);
    check(r"(?u:\d)\d", &[("１1", Some("１1")), ("１１", None)]);
    check(r"(?i)\w", &[("ſ", None), ("K", Some("K")), ("\u{212a}", None)]);
}

#[test]
fn posix_brackets_and_properties_are_unicode() {
    check("[[:alpha:]]+", &[("監査-x", Some("監査"))]);
    check("[[:^alpha:]]+", &[("監査-1x", Some("-1"))]);
    check("[[:upper:][:digit:]]+", &[("aÉ１z", Some("É１"))]);
    check("[[:space:]]", &[("\u{3000}", Some("\u{3000}"))]);
    check("[[:punct:]]+", &[("a$+-、b", Some("$+-、"))]);
    check(r"\p{Punct}+", &[("a$+-、b", Some("-、"))]);
    check("[[:print:]]+", &[("\u{7}a b", Some("a b"))]);
    check("[[:graph:]]+", &[("\u{7}a b", Some("a"))]);
    check(r"\p{Hiragana}\P{Hiragana}\p{^Han}", &[("あxy", Some("あxy")), ("あx監", None)]);
    check(r"[\p{Han}\d]+", &[("x監1", Some("監1"))]);
    check("(?a)[[:alpha:]]+", &[("監a", Some("a"))]);
    check(r"(?a)\p{Alpha}", &[("監", Some("監"))]);
    check("[[:alpha:", &[]);
}

#[test]
fn word_boundaries_are_unicode_unless_ascii_is_asked_for() {
    check(r"\bx", &[("éx", None), ("-x", Some("x"))]);
    check(r"x\B", &[("xé", Some("x")), ("x-", None)]);
    check(r"(?a)\bx", &[("éx", Some("x"))]);
    check(r"(?a)\bx(?!z)", &[("éx", Some("x")), ("ax", None), ("éxz", None)]);
    check(r"(?a)x\B(?!z)", &[("xé", None), ("xa", Some("x"))]);
    check(r"\bx(?!z)", &[("éx", None), ("-x", Some("x"))]);
}

#[test]
fn brackets_know_sets_ranges_and_intersections() {
    check("[a-w&&[^c-g]z]+", &[("cabhz", Some("abh"))]);
    check("[]a]+", &[("x]a", Some("]a"))]);
    check("[^]a]+", &[("]xa", Some("x"))]);
    check("[a-]+", &[("-a", Some("-a"))]);
    check(r"[a-\d]+", &[("x-a1", Some("-a1"))]);
    check("[a-c-e]+", &[("d-be", Some("-be"))]);
    check(r"[\]\-\\^]+", &[(r"x]-\^", Some(r"]-\^"))]);
    check("[ab[cd]]+", &[("xadcb", Some("adcb"))]);
    check(r"[\b]", &[("\u{8}", Some("\u{8}"))]);
    check(r"[\x41-\u0043\103]+", &[("xABC", Some("ABC"))]);
    check("[!--]+", &[("a+,-", Some("+,-"))]);
    check("[a~~b]+", &[("x~ab", Some("~ab"))]);
    check("[あ-ん]+", &[("aいうx", Some("いう"))]);
    check("[#$%{}()*+.?|/]+", &[("a#${}/b", Some("#${}/"))]);
}

#[test]
fn escapes_name_characters() {
    check(r"\<a\>", &[("<a>", Some("<a>"))]);
    check(r"a\/b", &[("a/b", Some("a/b"))]);
    check(r"\t\x41\x{3042}\u3042\101\0", &[("\tAああA\0", Some("\tAああA\0"))]);
    check(r"\xE3\x81\x82+", &[("ああ", Some("ああ"))]);
    check(r"\cA\C-b\c?", &[("\u{1}\u{2}\u{7f}", Some("\u{1}\u{2}\u{7f}"))]);
    check(r"\e\a\f\v\r", &[("\u{1b}\u{7}\u{c}\u{b}\r", Some("\u{1b}\u{7}\u{c}\u{b}\r"))]);
    check(r"\y\i\q\-\ \あ", &[("yiq- あ", Some("yiq- あ"))]);
    check(r"\R", &[("a\r\n", Some("\r\n")), ("\u{85}", Some("\u{85}"))]);
}

#[test]
fn a_brace_that_opens_no_interval_is_a_character() {
    check(r#"^{"a""#, &[(r#"{"a":1}"#, Some(r#"{"a""#))]);
    check("a{,}", &[("a{,}", Some("a{,}"))]);
    check("a{x}}", &[("a{x}}", Some("a{x}}"))]);
    check("]}", &[("]}", Some("]}"))]);
}

#[test]
fn quantifiers_are_rubys() {
    check("a{2}", &[("aaa", Some("aa"))]);
    check("a{,2}b", &[("aaab", Some("aab"))]);
    check("a{2,}?", &[("aaaa", Some("aa"))]);
    check("a{2}?", &[("a", Some("")), ("aaa", Some("aa"))]);
    check("a{1,2}+", &[("aaaaa", Some("aaaaa"))]);
    check("a**", &[("aa", Some("aa"))]);
    check("(?:ab){2}{2}", &[("abababab", Some("abababab")), ("ababab", None)]);
    check("a+?b??", &[("aab", Some("a"))]);
    check("a++a", &[("aaa", None)]);
    check("a*+b", &[("aab", Some("aab"))]);
    check("^(?:ab|a)?+b", &[("ab", None), ("abb", Some("abb"))]);
    check("^*a", &[("ba", Some("a"))]);
    check("(?=b)*a", &[("a", Some("a"))]);
    check("(?=b)+a", &[("a", None)]);
    check("(?:(?=b))?+a|(?:)*a|(?:(?i)^)*a", &[("xa", Some("a"))]);
    check(r"(?:(?<!b)|\b)+a", &[("ba", None), ("xa", Some("a"))]);
    check(r"\b?x", &[("ax", Some("x"))]);
}

#[test]
fn groups_look_hold_and_choose() {
    check("foo(?=bar)", &[("foobar", Some("foo")), ("foobaz", None)]);
    check("foo(?!bar)", &[("foobaz", Some("foo")), ("foobar", None)]);
    check("(?<=foo)bar", &[("foobar", Some("bar")), ("bar", None)]);
    check("(?<!foo)bar", &[("foobar", None), ("xbar", Some("bar"))]);
    check("(?>a|ab)c", &[("abc", None), ("ac", Some("ac"))]);
    check(r"^(?:(a)|b)(?(1)c|d)$", &[("ac", Some("ac")), ("bd", Some("bd")), ("ad", None)]);
    check(r"^(?:(?<x>a)|b)(?(<x>)c|d)$", &[("ac", Some("ac")), ("bc", None)]);
    check(r"(?#a (comment\))b", &[("b", Some("b"))]);
}

#[test]
fn references_go_back_and_call() {
    check(r"(\w)\1", &[("abbc", Some("bb"))]);
    check(r"(?<x>\w)\k<x>", &[("abbc", Some("bb"))]);
    check(r"(?'x'\w)\k'x'", &[("abbc", Some("bb"))]);
    check(r"(a)(b)\k<-1>", &[("abb", Some("abb")), ("aba", None)]);
    check(r"(?i)(a)\1", &[("aA", Some("aA"))]);
    check(r"(?<p>a)|(?<p>b)\k<p>", &[("bb", Some("bb"))]);
    check(r"\((?:[^()]|\g<0>)*\)", &[("x(a(b))", Some("(a(b))"))]);
    check(r"(?<n>\d+)\.\g<n>", &[("x1.22", Some("1.22"))]);
    check(r"(a)\g<-1>\g<1>", &[("aaa", Some("aaa"))]);
    check(r"\g<+1>(a)", &[("aa", Some("aa"))]);
    check(r"(a)\12", &[("a\n", Some("a\n"))]);
}

#[test]
fn options_hold_to_the_end_of_their_group() {
    check("a(?i)b|c", &[("aB", Some("aB")), ("aC", Some("aC")), ("c", None), ("Ab", None)]);
    check("(a(?i)b)c", &[("aBc", Some("aBc")), ("aBC", None)]);
    check("(?i:a)b", &[("Ab", Some("Ab")), ("AB", None)]);
    check("(?i)a(?-i)b", &[("Ab", Some("Ab")), ("AB", None)]);
    check("/ERROR/i", &[("an Error", Some("Error"))]);
    check("(?i)é1K", &[("É1k", Some("É1k"))]);
    check("(?i)[a-c]+", &[("xABc", Some("ABc"))]);
    check("(?i)k+", &[("Kk", Some("Kk"))]);
}

#[test]
fn extended_patterns_may_breathe() {
    check("/a b # c\n d/x", &[("abd", Some("abd"))]);
    check(r"(?x) a\ b [ ] c", &[("a b c", Some("a b c"))]);
    check("(?x: a + ) b", &[("aa b", Some("aa b"))]);
    check("(?x) a (?-x) b", &[("a b", Some("a b"))]);
}

#[test]
fn slashes_delimit_only_when_flags_follow() {
    check("/a/", &[("a", Some("a"))]);
    check("/a/o", &[("a", Some("a"))]);
    check("/var/log", &[("/var/log", Some("/var/log")), ("var", None)]);
    check("/a", &[("/a", Some("/a"))]);
    check("/", &[("a/", Some("/"))]);
    check("/a\\/b/", &[("a/b", Some("a/b"))]);
}

#[test]
fn named_groups_stop_the_others_from_capturing() {
    let mixed = regex(r"^(\d+) (?<w>\w+)$");
    assert_eq!(mixed.group_count(), 1);
    let captures = mixed.captures(b"12 ab").unwrap();
    assert_eq!(captures.get(1), Some(&b"ab"[..]));
    assert_eq!(captures.named().collect::<Vec<_>>(), [("w", Some(&b"ab"[..]))]);

    let numbered = regex(r"^(\d+) (\w+)$");
    assert_eq!(numbered.captures(b"12 ab").unwrap().get(2), Some(&b"ab"[..]));
    assert_eq!(numbered.names().count(), 0);
}

#[test]
fn a_name_may_come_twice() {
    for text in [r"^(?<v>\d+)?-(?<v>\w+)?$", r"^(?<v>\d+)?-(?<v>\w+)?$(?!x)"] {
        let twice = regex(text);
        let captures = twice.captures(b"12-ab").unwrap();
        assert_eq!(captures.named().collect::<Vec<_>>(), [("v", Some(&b"12"[..])), ("v", Some(&b"ab"[..]))]);
        assert_eq!(captures.name("v"), Some(&b"ab"[..]));
        assert_eq!(twice.captures(b"12-").unwrap().name("v"), Some(&b"12"[..]));
    }
}

#[test]
fn stray_bytes_match_and_pass_through() {
    for text in [r"^(?<a>[^ ]+) (?<b>.*)$", r"^(?<a>[^ ]+) (?<b>.*)$(?!x)", r"(?m)^(?<a>\S+)\s(?<b>.*)"] {
        let regex = regex(text);
        let captures = regex.captures(b"x\xff y\xfez").unwrap();
        assert_eq!(captures.name("a"), Some(&b"x\xff"[..]), "{text}");
        assert_eq!(captures.name("b"), Some(&b"y\xfez"[..]), "{text}");
        assert_eq!(captures.get(0), Some(&b"x\xff y\xfez"[..]), "{text}");
    }
    assert!(regex(r"user=(\w+)").is_match(b"\xff\xfe user=bob \xff"));
    assert!(regex("^..$").is_match(b"\xff\xfe"));
    assert_eq!(regex("..").match_at_start(b"\xff\xe3\x81\x82x"), Some(4));
    assert!(regex(r"a\Bb|a\B").is_match(b"ab"));
}

#[test]
fn a_match_at_the_start_is_the_preferred_one() {
    let end = |text: &str, subject: &str| regex(text).match_at_start(subject.as_bytes());
    assert_eq!(end("a|ab", "ab"), Some(1));
    assert_eq!(end("x*", "ab"), Some(0));
    assert_eq!(end("b", "ab"), None);
    assert_eq!(end("^b", "a\nb"), None);
    assert_eq!(end("^(?!app).*$", "web"), Some(3));
    assert_eq!(end("b(?!x)", "ab"), None);
    assert_eq!(end("ab", "abc"), Some(2));
}

#[test]
fn each_pattern_runs_on_the_cheapest_machine() {
    assert_eq!(machine("health check"), "literal");
    assert_eq!(machine(r"\[a\.b\]"), "literal");
    assert_eq!(machine(""), "literal");
    assert_eq!(machine("/error/i"), "plain");
    assert_eq!(machine(r"^(?<time>[^ ]+) (?<stream>stdout|stderr) (?<log>.*)$"), "plain");
    assert_eq!(machine(r"\bfoo\b"), "plain");
    assert_eq!(machine(r"(?<v>a)|(?<v>b)"), "plain");
    assert_eq!(machine("^*a"), "plain");
    assert_eq!(machine("foo(?=bar)"), "backtracking");
    assert_eq!(machine("a++b"), "backtracking");
}

#[test]
fn endless_backtracking_is_given_up_and_counted() {
    let hostile = regex(r"^(?:(a+)+\1?)+$(?!x)");
    let subject = [&[b'a'; 40][..], b"b"].concat();
    assert!(!hostile.is_match(&subject));
    assert!(hostile.captures(&subject).is_none());
    assert_eq!(hostile.match_at_start(&subject), None);
    assert_eq!(hostile.limit_hits(), 3);
    assert!(hostile.is_match(b"aa"));
}

#[test]
fn slots_serve_many_subjects_and_expressions() {
    let (pair, word) = (regex(r"(?<k>\w+)=(?<v>\w*)"), regex(r"\w+"));
    let mut slots = Slots::default();
    for _ in 0..3 {
        assert!(pair.captures_into(b"x a=1", &mut slots));
        assert_eq!((slots.get(0), slots.get(1), slots.get(2)), (Some(2..5), Some(2..3), Some(4..5)));
        assert!(word.captures_into(b"-ab", &mut slots));
        assert_eq!((slots.get(0), slots.get(1)), (Some(1..3), None));
        assert!(!pair.captures_into(b"nothing", &mut slots));
        assert_eq!(slots.get(0), None);
    }
}

#[test]
fn mistakes_are_refused_where_they_stand() {
    refused("(", 0);
    refused("ab(c", 2);
    refused("/ab(c/i", 3);
    refused("a)", 1);
    refused("*", 1);
    refused("a|*b", 3);
    refused("(?P<x>a)", 0);
    refused("(?s)a", 0);
    refused("(?<>a)", 2);
    refused("(?<1x>a)", 0);
    refused("(?<x", 2);
    refused("a[b", 1);
    refused("a[]", 1);
    refused("[z-a]", 1);
    refused("a[[:foo:]]", 2);
    refused("a\\", 1);
    refused(r"\xFF", 2);
    refused(r"\u12", 2);
    refused("a{3,2}", 6);
    refused("a{1,100001}", 11);
    refused(r"\k<nope>", 0);
    refused(r"(?<x>a)\1", 7);
    refused(r"(?<x>a)(?<x>b)\g<x>", 14);
    refused(r"(a)\2", 3);
    refused(r"\p{Nope}", 0);
    refused(r"\X", 0);
    refused("(?#a", 0);
    refused("(?(2)a|b)", 0);
}

#[test]
fn what_an_engine_refuses_is_said_in_one_line() {
    let error = Regex::new("(?:(?:a{1000}){1000}){1000}").unwrap_err();
    assert!(!error.message.contains('\n') && !error.message.is_empty(), "{error}");
    let error = Regex::new(r"(?<x>\g<x>a)").unwrap_err();
    assert!(!error.message.contains('\n') && !error.message.is_empty(), "{error}");
}

#[test]
fn recursion_does_not_make_programs_grow_without_bound() {
    let text = format!(r"(?<x>a{}|b)", r"\g<x>".repeat(30));
    assert!(Regex::new(&text).is_err());
    assert!(Regex::new(&"(".repeat(10_000)).is_err());
    assert!(Regex::new(&"[".repeat(10_000)).is_err());
}

/// Compiles a pattern for the backtracking engine although it is regular.
fn on_the_other_engine(text: &str) -> Option<Regex> {
    let source = Source::of(text);
    let groups = dialect::survey(&source).ok()?;
    let facts = dialect::translate(&source, &groups, Lines::One, true).ok()?;
    let one = Engine::backtracking(&facts.text).ok()?;
    let many = Regex::backtracking_many(&source, &groups, &facts).ok()?;
    Some(Regex::assemble(text, groups, one, many, true))
}

/// Regular patterns over a small alphabet.
fn patterns() -> impl Strategy<Value = String> {
    const ATOMS: &[&str] = &[
        "a",
        "b",
        "あ",
        ".",
        r"\w",
        r"\W",
        r"\s",
        "[ab]",
        "[^a]",
        "[[:alpha:]]",
        "^",
        "$",
        r"\A",
        r"\z",
        r"\b",
        r"\B",
        r"\n",
        "(?i)A",
        "(?m).",
        "(?a)\\b",
    ];
    let atom = proptest::sample::select(ATOMS).prop_map(str::to_owned);
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => proptest::collection::vec(inner.clone(), 1..3).prop_map(|parts| format!("({})", parts.join("|"))),
            1 => inner.clone().prop_map(|part| format!("(?<n>{part})")),
            1 => (inner, proptest::sample::select(&["*", "+", "?", "*?", "{2}", "{0,2}"][..]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    })
}

/// Pieces of subjects, one of them no text.
const PIECES: &[&[u8]] = &[b"a", b"B", b"-", b"\n", b" ", "あ".as_bytes(), b"\xff"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_engines_give_the_same_answer(
        pattern in patterns(),
        subject in proptest::collection::vec(
            proptest::sample::select(PIECES), 0..6),
    ) {
        let subject = subject.concat();
        let (Ok(chosen), Some(other)) = (Regex::new(&pattern), on_the_other_engine(&pattern)) else {
            return Ok(());
        };
        let ranges = |regex: &Regex| {
            let mut slots = Slots::default();
            let found = regex.captures_into(&subject, &mut slots);
            (found, (0..=regex.group_count()).map(|group| slots.get(group)).collect::<Vec<_>>())
        };
        prop_assert_eq!(ranges(&chosen).0, chosen.is_match(&subject));
        prop_assert_eq!(ranges(&chosen).1[0].clone(), ranges(&other).1[0].clone(), "whole match");
        prop_assert_eq!(ranges(&chosen).1, ranges(&other).1);
    }

    #[test]
    fn many_asked_together_answer_as_each_does_alone(
        patterns in proptest::collection::vec(patterns(), 1..8),
        subjects in proptest::collection::vec(
            proptest::collection::vec(proptest::sample::select(PIECES), 0..6), 1..4),
    ) {
        let members: Vec<_> = patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
        let Some(many) = Many::new(&members) else { return Ok(()) };
        let mut answers = many.room();
        for subject in subjects {
            let subject = subject.concat();
            many.ask(&subject, &mut answers);
            for (number, member) in members.iter().enumerate() {
                prop_assert_eq!(many.is_match(number, &subject, &answers), member.is_match(&subject), "{}", member);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(pattern in "\\PC{0,20}", subject in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(regex) = Regex::new(&pattern) {
            regex.is_match(&subject);
            regex.match_at_start(&subject);
        }
    }
}
