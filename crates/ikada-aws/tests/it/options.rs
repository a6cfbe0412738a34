//! What is said about options.

use crate::rig::build;

fn found(plugin: &str, options: &str) -> Vec<String> {
    build(plugin, options).1
}

fn only(plugin: &str, options: &str) -> String {
    let found = found(plugin, options);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn everything_that_the_reference_lists_is_known() {
    let logs = "region eu-central-1\nlog_group_name g\nlog_stream_prefix p\nlog_group_template $TAG\nlog_stream_template $k\n\
        auto_create_group on\nlog_retention_days 7\nlog_group_class STANDARD\nlog_key log\nlog_format json/emf\n\
        endpoint logs.example.com\nport 443\nrole_arn arn:aws:iam::1:role/r\nsts_endpoint sts.example.com\nexternal_id x\n\
        profile p\nextra_user_agent x\nadd_entity on\ntls on\ntls.verify off\n";
    assert_eq!(found("cloudwatch_logs", logs), Vec::<String>::new());
    let firehose = "region eu-central-1\ndelivery_stream s\nlog_key log\nsimple_aggregation on\ncompression gzip\n\
        endpoint https://firehose.example.com\nport 443\nrole_arn arn:aws:iam::1:role/r\nsts_endpoint sts.example.com\n\
        external_id x\nprofile p\n";
    assert_eq!(found("kinesis_firehose", firehose), Vec::<String>::new());
    let kinesis = "region eu-central-1\nstream s\nlog_key log\nsimple_aggregation on\ncompression snappy\n\
        endpoint kinesis.example.com\nport 443\nrole_arn arn:aws:iam::1:role/r\nsts_endpoint sts.example.com\n\
        external_id x\nprofile p\npartition_key k\noversize split\n";
    assert_eq!(found("kinesis_streams", kinesis), Vec::<String>::new());
    let go = "region eu-central-1\ndata_keys a,b\nlog_key a\nreplace_dots _\ntime_key t\ntime_key_format %L\n\
        endpoint https://aws.example.com\nrole_arn arn:aws:iam::1:role/r\nsts_endpoint sts.example.com\n";
    assert_eq!(
        found("firehose", &format!("{go}delivery_stream s\nsimple_aggregation true\n")),
        Vec::<String>::new()
    );
    let kinesis = "stream s\npartition_key k\nappend_newline true\naggregation true\ncompression zlib\nhttp_request_timeout 30\n";
    assert_eq!(found("kinesis", &format!("{go}{kinesis}")), Vec::<String>::new());
    assert_eq!(
        found("kinesis", "stream s\nexperimental_concurrency 4\nexperimental_concurrency_retries 4\n").len(),
        2
    );
    let logs = "region eu-central-1\nlog_group_name /x/$(tag[0])\nlog_stream_name $(ecs_task_id)\nauto_create_group true\nauto_create_stream true\n\
        default_log_group_name d\ndefault_log_stream_name e\nnew_log_group_tags a=b\nlog_retention_days 7\nlog_key log\n\
        log_format json/emf\nendpoint https://logs.example.com\nrole_arn arn:aws:iam::1:role/r\nsts_endpoint sts.example.com\n\
        external_id x\ncredentials_endpoint http://127.0.0.1/creds\nextra_user_agent x\nlate_events now\noversize truncate\n";
    assert_eq!(found("cloudwatch", logs), Vec::<String>::new());
    let noted = "aws.conf:3:1: note[no-effect]: `auto_retry_requests` has no effect here \
        (help: failed requests are retried, whatever failed)";
    assert_eq!(only("kinesis_firehose", "delivery_stream s\ntime_key t\nauto_retry_requests on\n"), noted);
}

#[test]
fn options_that_do_not_fit_together_are_found_out() {
    let cases = [
        ("cloudwatch", "log_group_name $(k\nlog_stream_name s\n", "has no closing bracket"),
        ("cloudwatch", "log_group_name g\nlog_stream_name s\ncredentials_endpoint x y\n", "is no URL"),
        ("kinesis", "stream s\npartition_key log\n", "the line itself is no key"),
        ("kinesis_streams", "stream a b\n", "no data stream can be named `a b`"),
        ("cloudwatch_logs", "log_group_name g\n", "needs `log_stream_name` or `log_stream_prefix`"),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nlog_stream_prefix p\n",
            "exclude each other",
        ),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nauto_create_group on\nlog_retention_days 10\n",
            "type `14`",
        ),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nlog_retention_days 7\n",
            "no effect without `auto_create_group`",
        ),
        ("cloudwatch_logs", "log_group_name a:b\nlog_stream_name s\n", "it is sent as `a.b`"),
        ("cloudwatch_logs", "log_group_name $(tag)\nlog_stream_name s\n", "type `log_group_template $TAG`"),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nlog_stream_template x-$svc-$TAG\n",
            "bad-template",
        ),
        ("cloudwatch_logs", "log_group_name g\nlog_stream_name s\nport 8443\n", "`port` needs `endpoint`"),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nendpoint ftp://x\n",
            "neither `http://` nor `https://`",
        ),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\ntls.ca_file /nowhere.pem\n",
            "`/nowhere.pem` holds no certificate",
        ),
        (
            "cloudwatch_logs",
            "log_group_name g\nlog_stream_name s\nexternal_id x\n",
            "no effect without `role_arn`",
        ),
        ("kinesis_firehose", "delivery_stream s\nlog_key a\ntime_key b\n", "exclude each other"),
        (
            "kinesis_firehose",
            "delivery_stream s\ntime_key b\ntime_key_format %Q\n",
            "holds a conversion that is none",
        ),
        ("kinesis_firehose", "delivery_stream no such\n", "no delivery stream can be named `no such`"),
        ("kinesis_firehose", "delivery_stream s\ntime_key_format %S\n", "no effect without `time_key`"),
        (
            "kinesis_streams",
            "stream s\nregion \"us-east-1\"\n",
            "2:8: error[bad-value]: `region`: `\"us-east-1\"` cannot be a region: those have letters, digits and hyphens only (help: type `us-east-1`)",
        ),
        (
            "cloudwatch",
            "log_group_name g\nlog_stream_name s\nregion <region>\n",
            "error[bad-value]: `region`",
        ),
        (
            "firehose",
            "delivery_stream s\nregion us-east-1a\n",
            "2:8: warning[adjusted-value]: `region`: `us-east-1a` is an availability zone, not a region (help: type `us-east-1`)",
        ),
    ];
    for (plugin, options, said) in cases {
        let line = only(plugin, options);
        assert!(line.contains(said), "{line}");
    }
}
