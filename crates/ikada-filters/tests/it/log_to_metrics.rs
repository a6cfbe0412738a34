//! `log_to_metrics`: what it shows of the records that passed.

use ikada_plugin::{Families, Filter};

use crate::support::{build, encode, filter, run, run_json};

/// A filter with these options and those that must be there.
fn metric(properties: &[(&str, &str)]) -> Box<dyn Filter> {
    let mut all = vec![("metric_name", "hits"), ("metric_description", "Hits")];
    all.extend(properties);
    filter("log_to_metrics", &all)
}

/// The text of a filter's own metric, without that of what it leaves out.
fn shown(filter: &dyn Filter) -> String {
    all_shown(&[filter]).split("# HELP ikada_").next().unwrap().to_owned()
}

fn all_shown(filters: &[&dyn Filter]) -> String {
    let mut families = Families::default();
    for filter in filters {
        filter.metrics().unwrap().show(&mut families);
    }
    families.into_text()
}

fn findings(properties: &[(&str, &str)]) -> String {
    build("log_to_metrics", properties).findings.join("\n")
}

#[test]
fn a_counter_counts_records_by_their_labels() {
    let counter = metric(&[("label_field", "level"), ("add_label", "code $http['status']")]);
    let records = [
        r#"{"level":"info","http":{"status":200}}"#,
        r#"{"level":"info","http":{"status":200}}"#,
        r#"{"level":"error","http":{"status":503}}"#,
        r#"{"log":"x"}"#,
    ];
    assert_eq!(run_json(&*counter, &records), records, "the records pass on as they came");
    assert_eq!(
        shown(&*counter),
        "# HELP log_metric_counter_hits Hits\n# TYPE log_metric_counter_hits counter\n\
         log_metric_counter_hits{level=\"info\",code=\"200\"} 2\n\
         log_metric_counter_hits{level=\"error\",code=\"503\"} 1\n\
         log_metric_counter_hits{level=\"\",code=\"\"} 1\n"
    );
}

#[test]
fn labels_are_plain_values_as_text_in_the_order_of_the_file() {
    let counter =
        metric(&[("add_label", "z $f"), ("label_field", "b"), ("label_field", "m"), ("label_field", "t")]);
    run_json(&*counter, &[r#"{"t":"say \"hi\"\n","b":true,"f":1.5,"m":{"x":1}}"#]);
    assert!(
        shown(&*counter).ends_with("hits{z=\"1.500000\",b=\"true\",m=\"\",t=\"say \\\"hi\\\"\\n\"} 1\n"),
        "{}",
        shown(&*counter)
    );
}

#[test]
fn a_gauge_keeps_the_last_number() {
    let gauge = metric(&[
        ("metric_mode", "gauge"),
        ("value_field", "$took['s']"),
        ("metric_namespace", "shop"),
        ("metric_subsystem", "web"),
    ]);
    run_json(
        &*gauge,
        &[r#"{"took":{"s":7}}"#, r#"{"took":{"s":"0.25s"}}"#, r#"{"took":{"s":"long"}}"#, "{}"],
    );
    assert_eq!(shown(&*gauge), "# HELP shop_web_hits Hits\n# TYPE shop_web_hits gauge\nshop_web_hits 0.25\n");
    let left_out = "ikada_log_to_metrics_uncounted_total{metric=\"shop_web_hits\",reason=\"value\"} 2\n";
    assert!(all_shown(&[&*gauge]).contains(left_out));
}

#[test]
fn a_histogram_counts_numbers_under_bounds() {
    let histogram = metric(&[
        ("metric_mode", "histogram"),
        ("value_field", "ms"),
        ("bucket", "2"),
        ("bucket", "0.5"),
        ("bucket", "2"),
        ("label_field", "app"),
    ]);
    run_json(&*histogram, &[r#"{"app":"a","ms":0.5}"#, r#"{"app":"a","ms":2}"#, r#"{"app":"a","ms":9}"#]);
    let text = shown(&*histogram);
    let samples: Vec<_> =
        text.lines().skip(2).map(|line| line.trim_start_matches("log_metric_histogram_hits")).collect();
    assert_eq!(
        samples,
        [
            "_bucket{le=\"0.5\",app=\"a\"} 1",
            "_bucket{le=\"2.0\",app=\"a\"} 2",
            "_bucket{le=\"+Inf\",app=\"a\"} 3",
            "_sum{app=\"a\"} 11.5",
            "_count{app=\"a\"} 3",
        ]
    );
}

#[test]
fn a_histogram_without_bounds_has_the_usual_ones() {
    let histogram = metric(&[("metric_mode", "histogram"), ("value_field", "ms")]);
    run_json(&*histogram, &[r#"{"ms":0.3}"#]);
    let text = shown(&*histogram);
    assert_eq!(text.matches("_bucket{").count(), 12);
    assert!(text.contains("_bucket{le=\"0.25\"} 0\n") && text.contains("_bucket{le=\"0.5\"} 1\n"));
    assert!(text.contains("_bucket{le=\"10.0\"} 1\n"));
}

#[test]
fn rules_say_which_records_count_and_none_is_dropped() {
    let counter = metric(&[("exclude", "path ^/health"), ("regex", "level ^(error|warn)$")]);
    let records = [
        r#"{"path":"/health","level":"error"}"#,
        r#"{"path":"/","level":"error"}"#,
        r#"{"path":"/","level":"info"}"#,
        r#"{"level":"warn"}"#,
    ];
    assert_eq!(run_json(&*counter, &records).len(), 4);
    assert!(shown(&*counter).ends_with("hits 2\n"));
}

#[test]
fn records_are_dropped_on_demand_counted_or_not() {
    let counter = metric(&[("discard_logs", "true"), ("regex", "level error")]);
    let out = run(&*counter, &"app".into(), &[encode(r#"{"level":"error"}"#), encode(r#"{"level":"info"}"#)]);
    assert!(out.is_empty());
    assert!(shown(&*counter).ends_with("hits 1\n"));
}

#[test]
fn two_filters_may_fill_one_metric() {
    let (one, two) = (metric(&[("label_field", "a")]), metric(&[("label_field", "a")]));
    run_json(&*one, &[r#"{"a":"x"}"#]);
    run_json(&*two, &[r#"{"a":"x"}"#, r#"{"a":"y"}"#]);
    let text = all_shown(&[&*one, &*two]);
    assert_eq!(text.matches("# TYPE log_metric_counter_hits ").count(), 1);
    assert!(text.contains("hits{a=\"x\"} 2\n") && text.contains("hits{a=\"y\"} 1\n"), "{text}");
}

#[test]
fn names_become_those_that_a_scraper_takes() {
    let built = build(
        "log_to_metrics",
        &[("metric_name", "hits-total"), ("metric_description", "d"), ("label_field", "$m['x']")],
    );
    assert_eq!(
        built.findings,
        [
            "x.conf:4:17: warning[adjusted-value]: `$m['x']` is no name of a label, so it is called `m_x` \
             (help: give it one: `add_label m_x $m['x']`)",
            "x.conf:2:17: warning[adjusted-value]: `hits-total` is no name of a metric, so it counts as `hits_total` \
             (help: names are made of letters, digits and `_`)",
        ]
    );
    let counter = built.filter.unwrap();
    run_json(&*counter, &[r#"{"m":{"x":1}}"#]);
    assert!(shown(&*counter).ends_with("log_metric_counter_hits_total{m_x=\"1\"} 1\n"));
}

#[test]
fn what_cannot_work_is_told_at_its_place() {
    let with = |key, value| findings(&[("metric_description", "d"), (key, value)]);
    assert!(findings(&[("metric_name", "x")]).contains("error[missing-option]"));
    assert!(with("metric_mode", "summary").contains("error"));
    assert!(with("metric_mode", "gauge").contains("a gauge or histogram needs `value_field`"));
    assert!(with("kubernetes_mode", "true").contains("error[unsupported-option]"));
    assert!(with("add_label", "status").contains("needs a name and a field"));
    assert!(with("regex", "log (").contains("error[bad-regex]"));
    assert!(with("value_field", "ms").contains("warning[no-effect]"));
    assert!(with("bucket", "1").contains("warning[no-effect]"));
    let twice = [("metric_description", "d"), ("label_field", "a"), ("add_label", "a $b")];
    assert!(findings(&twice).contains("only one label `a`"));
    let unreachable = [("metric_description", "d"), ("regex", "a x"), ("regex", "b y")];
    assert!(findings(&unreachable).contains("put a filter `grep` before this one"));
    let many: Vec<_> = (0..129).map(|n| format!("l{n} $a")).collect();
    let mut many: Vec<_> = many.iter().map(|label| ("add_label", &**label)).collect();
    many.push(("metric_description", "d"));
    assert!(findings(&many).contains("at most 128 labels"));
}

#[test]
fn a_configuration_of_fluent_bit_is_taken_as_it_is() {
    let built = build(
        "log_to_metrics",
        &[
            ("Tag", "metrics"),
            ("Metric_Mode", "COUNTER"),
            ("metric_name", "count_all"),
            ("metric_description", "All"),
            ("kubernetes_mode", "off"),
            ("emitter_name", "e"),
            ("emitter_mem_buf_limit", "10M"),
            ("flush_interval_sec", "5"),
            ("flush_interval_nsec", "0"),
            ("discard_logs", "false"),
        ],
    );
    assert!(built.filter.is_some(), "{:?}", built.findings);
    assert!(built.findings.iter().all(|finding| !finding.contains("error[")), "{:?}", built.findings);
}
