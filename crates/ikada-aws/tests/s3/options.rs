//! What the options may say, and what is said about them.

use crate::rig::build;

fn problems(options: &str) -> Vec<String> {
    match build(options) {
        Ok(_) => Vec::new(),
        Err(found) => found,
    }
}

#[test]
fn a_bucket_is_all_it_needs() {
    assert_eq!(problems("bucket logs\nregion eu-central-1\n"), Vec::<String>::new());
    assert_eq!(
        problems("region eu-central-1\n"),
        [
            "s3.conf:1:1: error[missing-option]: output s3 needs the option `bucket` (help: add a line `bucket audit-logs-prod`)"
        ]
    );
}

#[test]
fn names_are_known_in_any_case_and_all_of_fluent_bit_s_options_are_known() {
    let all = "Bucket logs\nRegion eu-central-1\nS3_Key_Format /x/$TAG\nstore_dir_limit_size 1G\n\
         preserve_data_ordering true\nretry_exhausted_action delete\nquarantine_dir_limit_size 1G\n\
         auto_retry_requests true\nblob_database_file /x\npart_size 25M\nfile_delivery_attempt_limit 1\n\
         part_delivery_attempt_limit 1\nupload_parts_timeout 10m\nupload_part_freshness_limit 6d\n\
         authorization_endpoint_url http://x\nauthorization_endpoint_username u\n\
         authorization_endpoint_password p\nauthorization_endpoint_bearer_token t\nCompression GZIP\n\
         upload_chunk_size 5M\nrole_arn arn:aws:iam::1:role/x\nexternal_id a\nsts_endpoint sts.example.com\n\
         profile p\nformat json\njson_date_key off\njson_date_format EPOCH_MS\nuse_put_object On\n";
    assert_eq!(problems(all), Vec::<String>::new());
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    let cases = [
        (
            "s3_key_format logs/$TAG",
            "s3.conf:3:15: error[bad-template]: `s3_key_format`: `logs/$TAG` does not start with `/` (help: type `/logs/$TAG`)",
        ),
        (
            "compression arrow",
            "s3.conf:3:13: error[unsupported-option]: `compression arrow` is not supported (help: type `gzip`, `zstd`, `snappy` or `none`)",
        ),
        (
            "s3_key_format_time_zone Asia/Tokyo",
            "s3.conf:3:25: error[bad-value]: `s3_key_format_time_zone`: `Asia/Tokyo` is no time zone (help: type `UTC`, `local`, or a distance like `+09:00`)",
        ),
        (
            "tags a=b, c",
            "s3.conf:3:6: error[bad-value]: `tags` are one to ten of the form `name=value` (help: type `team=web, retention=short`)",
        ),
        (
            "sse_kms_key_id alias/x",
            "s3.conf:3:16: error[conflicting-options]: `sse_kms_key_id` needs `sse aws:kms` (help: add a line `sse aws:kms`)",
        ),
        (
            "format otlp_json",
            "s3.conf:3:8: error[unsupported-option]: `format otlp_json` is not supported (help: type `json_lines`)",
        ),
        (
            "total_file_size 500K",
            "s3.conf:3:17: error[bad-value]: `total_file_size` is out of its range (help: type a size from `1M` to `50G`)",
        ),
        (
            "upload_chunk_size 100M",
            "s3.conf:3:19: error[bad-value]: `upload_chunk_size` is out of its range (help: type a size from `5242880` to `50M`)",
        ),
        (
            "json_date_format rfc",
            "s3.conf:3:18: error[bad-value]: `json_date_format`: `rfc` is no date format (help: type `iso8601`, `double`, `java_sql_timestamp`, `epoch` or `epoch_ms`)",
        ),
        (
            "endpoint ftp://x",
            "s3.conf:3:10: error[bad-value]: `endpoint`: `ftp://x` is neither `http://` nor `https://` (help: type `host`, `host:port` or `http://host:port`)",
        ),
        (
            "regoin x",
            "s3.conf:3:1: error[unknown-option]: `regoin` is no option of output s3 (help: did you mean `region`?)",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(problems(&format!("bucket logs\nregion r\n{line}\n")), [expected]);
    }
    #[cfg(feature = "parquet")]
    assert_eq!(
        problems("bucket logs\nregion r\ncompression parquet\nlog_key log\n"),
        [
            "s3.conf:3:13: error[conflicting-options]: `compression parquet` needs whole records (help: remove the line `log_key log`)"
        ]
    );
    #[cfg(feature = "parquet")]
    assert_eq!(
        problems("bucket logs\nregion r\nformat parquet\nparquet_schema a string,b int\n"),
        [
            "s3.conf:4:16: error[bad-value]: `parquet_schema`: `int` is no type of a column (help: type `date timestamp, log string, status bigint`)"
        ]
    );
    assert_eq!(
        problems("bucket logs/app\nregion r\n"),
        [
            "s3.conf:1:8: error[bad-value]: `logs/app` is no bucket name (help: type the name alone; folders belong to `s3_key_format`)"
        ]
    );
}
