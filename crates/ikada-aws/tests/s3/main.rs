//! The `s3` output against a local AWS: what is on the wire, and what is left after trouble.

#![allow(clippy::unwrap_used, missing_docs)]

mod differential;
mod options;
mod rig;

use std::io::Read;

use ikada_localaws::{Config, CutPoint, Fault, FaultKind, LocalAws, Service, When};
use ikada_plugin::Outcome;

use rig::{Rig, in_child, lines, local_aws};

/// Bytes of lines that make an object of two whole parts and a tail of about 2 MB.
const TWO_PARTS_AND_A_TAIL: usize = 12_600_000;

fn object(aws: &LocalAws) -> (String, Vec<u8>) {
    let objects = aws.s3().objects("logs");
    assert_eq!(objects.len(), 1, "{:?}", objects.keys());
    let (key, object) = objects.into_iter().next().unwrap();
    (key, object.bytes.unwrap().to_vec())
}

fn requests(aws: &LocalAws, operation: &str) -> usize {
    aws.report().operation(Service::S3, operation).requests as usize
}

fn assert_holds(body: &[u8], lines: &[String]) {
    let text = std::str::from_utf8(body).unwrap();
    assert_eq!(text.lines().count(), lines.len());
    assert!(text.lines().eq(lines.iter().map(String::as_str)));
}

#[test]
fn three_answers_of_503_make_one_object() {
    in_child("three_answers_of_503_make_one_object", async {
        let aws = local_aws();
        aws.faults().add(Fault::new(FaultKind::Throttle).on(Service::S3, "PutObject").when(When::First(3)));
        let mut rig = Rig::new(&aws, "bucket logs\nlog_key log\n");
        let lines = lines(100, 100);
        rig.push("app", &lines);
        rig.finish().await;
        assert_eq!(requests(&aws, "PutObject"), 4);
        assert_eq!(rig.retries, 3);
        let (key, body) = object(&aws);
        assert!(key.starts_with("fluent-bit-logs/app/2023/11/14/22/13/20-object"), "{key}");
        assert_holds(&body, &lines);
        assert_eq!(rig.ledger.delivered(), 100);
    });
}

#[test]
fn the_tail_at_a_stop_is_the_last_part_of_one_object() {
    in_child("the_tail_at_a_stop_is_the_last_part_of_one_object", async {
        let aws = local_aws();
        let mut rig = Rig::new(&aws, "bucket logs\nlog_key log\nupload_chunk_size 5M\n");
        let lines = lines(TWO_PARTS_AND_A_TAIL / 1_000, 1_000);
        rig.push("app", &lines);
        rig.finish().await;
        assert_eq!(requests(&aws, "CreateMultipartUpload"), 1);
        assert_eq!(requests(&aws, "UploadPart"), 3);
        assert_eq!(requests(&aws, "CompleteMultipartUpload"), 1);
        assert_eq!(requests(&aws, "PutObject"), 0);
        assert!(aws.s3().open_uploads("logs").is_empty());
        assert_holds(&object(&aws).1, &lines);
    });
}

#[test]
fn an_error_in_an_answer_of_200_is_an_error() {
    in_child("an_error_in_an_answer_of_200_is_an_error", async {
        let aws = local_aws();
        let fault = Fault::new(FaultKind::ErrorInOk).on(Service::S3, "CompleteMultipartUpload");
        aws.faults().add(fault.when(When::First(2)));
        let mut rig = Rig::new(&aws, "bucket logs\nlog_key log\n");
        let lines = lines(TWO_PARTS_AND_A_TAIL / 1_000, 1_000);
        rig.push("app", &lines);
        rig.finish().await;
        assert_eq!(requests(&aws, "CompleteMultipartUpload"), 3);
        assert_eq!(requests(&aws, "UploadPart"), 3, "parts that were taken are not sent again");
        assert_holds(&object(&aws).1, &lines);
    });
}

#[test]
fn names_with_blanks_and_japanese_arrive_as_they_are() {
    in_child("names_with_blanks_and_japanese_arrive_as_they_are", async {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        let mut rig =
            Rig::new(&aws, "bucket logs\nlog_key log\ns3_key_format /my logs/$TAG/a+b=c%25/$UUID.log\n");
        rig.push("アプリ 1/%Y", &lines(1, 10));
        rig.finish().await;
        let (key, _) = object(&aws);
        let prefix = "my logs/アプリ 1/%Y/a+b=c%25/";
        assert!(key.starts_with(prefix), "{key}");
        let request = &aws.requests(Service::S3)[0];
        assert!(
            request.target.starts_with("/logs/my%20logs/%E3%82%A2%E3%83%97%E3%83%AA%201/%25Y/"),
            "{}",
            request.target
        );
    });
}

#[test]
fn a_connection_may_be_cut_at_any_point_of_any_call() {
    in_child("a_connection_may_be_cut_at_any_point_of_any_call", async {
        let lines = lines(TWO_PARTS_AND_A_TAIL / 1_000, 1_000);
        for at in [CutPoint::BeforeBody, CutPoint::AfterBody, CutPoint::AfterTaking, CutPoint::MidAnswer] {
            let aws = local_aws();
            for operation in ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"] {
                let fault = Fault::new(FaultKind::Cut { at }).on(Service::S3, operation);
                aws.faults().add(fault.when(When::First(1)));
            }
            let mut rig = Rig::new(&aws, "bucket logs\nlog_key log\n");
            rig.push("app", &lines);
            rig.finish().await;
            assert_holds(&object(&aws).1, &lines);
            assert_eq!(rig.ledger.delivered(), lines.len() as u64, "{at:?}");

            aws.reset();
            rig.push("app", &lines[..10]);
            rig.finish().await;
            assert_holds(&object(&aws).1, &lines[..10]);
        }
    });
}

#[test]
fn an_upload_that_was_completed_in_silence_is_found_complete() {
    in_child("an_upload_that_was_completed_in_silence_is_found_complete", async {
        let aws = LocalAws::start(Config { complete_is_idempotent: false, ..Config::default() }).unwrap();
        let cut = FaultKind::Cut { at: CutPoint::AfterTaking };
        aws.faults().add(Fault::new(cut).on(Service::S3, "CompleteMultipartUpload").when(When::First(1)));
        let mut rig = Rig::new(&aws, "bucket logs\nlog_key log\n");
        let lines = lines(TWO_PARTS_AND_A_TAIL / 1_000, 1_000);
        rig.push("app", &lines);
        rig.finish().await;
        assert_eq!(
            requests(&aws, "HeadObject"),
            2,
            "whether the name is free, and whether the object is there"
        );
        assert_holds(&object(&aws).1, &lines);
        assert_eq!(rig.ledger.delivered(), lines.len() as u64);
    });
}

#[test]
fn what_the_options_say_stands_in_the_request() {
    in_child("what_the_options_say_stands_in_the_request", async {
        let aws = LocalAws::start(Config { capture: true, verify_payload_hash: true, ..Config::default() })
            .unwrap();
        let options = "bucket logs\nuse_put_object on\ncompression GZIP\ncontent_type application/x-ndjson\n\
             canned_acl bucket-owner-full-control\nstorage_class STANDARD_IA\nsend_content_md5 on\n\
             object_headers fluent_bit\ns3_key_format /p/$TAG[0]/$TAG[1]/y=%Y/m=%m/d=%d/%H%M%S-$UUID.log.gz\n";
        let mut rig = Rig::new(&aws, options);
        rig.push("app.web", &lines(3, 10));
        rig.finish().await;
        let request = &aws.requests(Service::S3)[0];
        assert_eq!(request.method, "PUT");
        assert!(
            request.target.starts_with("/logs/p/app/web/y%3D2023/m%3D11/d%3D14/221320-"),
            "{}",
            request.target
        );
        for (name, value) in [
            ("content-type", "application/x-ndjson"),
            ("content-encoding", "gzip"),
            ("x-amz-acl", "bucket-owner-full-control"),
            ("x-amz-storage-class", "STANDARD_IA"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(request.header("content-md5").map(str::len), Some(24));
        assert_eq!(request.header("x-amz-content-sha256").map(str::len), Some(64), "a plain body is hashed");
        for name in ["x-amz-checksum-crc32", "x-amz-trailer", "x-amz-decoded-content-length"] {
            assert_eq!(request.header(name), None, "{name}");
        }
        let mut text = String::new();
        flate2::read::GzDecoder::new(&object(&aws).1[..]).read_to_string(&mut text).unwrap();
        assert!(text.starts_with(r#"{"date":"2023-11-14T22:13:20.000000Z","log":"0 xxxxxxxxxx"}"#), "{text}");
    });
}

#[test]
fn what_the_options_do_not_say_does_not() {
    in_child("what_the_options_do_not_say_does_not", async {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        let mut rig = Rig::new(&aws, "bucket logs\n");
        rig.push("app", &lines(3, 10));
        rig.finish().await;
        let request = &aws.requests(Service::S3)[0];
        for name in ["content-encoding", "x-amz-acl", "x-amz-storage-class", "x-amz-tagging", "content-md5"] {
            assert_eq!(request.header(name), None, "{name}");
        }
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));

        let mut rig = Rig::new(&aws, "bucket logs\nobject_headers fluent_bit\n");
        rig.push("app", &lines(3, 10));
        rig.finish().await;
        assert_eq!(aws.requests(Service::S3)[1].header("content-type"), None);
    });
}

#[test]
fn a_compressed_object_says_what_it_is_by_its_type_or_what_is_in_it_by_its_encoding() {
    in_child("a_compressed_object_says_what_it_is_by_its_type_or_what_is_in_it_by_its_encoding", async {
        let cases = [
            ("compression gzip\ns3_key_format /x.log.gz\n", "application/gzip", None),
            ("compression gzip\ns3_key_format /x.log\n", "application/x-ndjson", Some("gzip")),
            ("compression zstd\ns3_key_format /$TAG/x.zst\n", "application/zstd", None),
            ("compression zstd\nlog_key log\n", "text/plain", Some("zstd")),
            ("compression snappy\n", "application/x-snappy-framed", None),
            ("compression gzip\ncontent_type a/b\ns3_key_format /x.gz\n", "a/b", Some("gzip")),
        ];
        for (options, content_type, encoding) in cases {
            let aws = local_aws();
            let mut rig = Rig::new(&aws, &format!("bucket logs\n{options}"));
            rig.push("app", &lines(3, 10));
            rig.finish().await;
            let object = aws.s3().objects("logs").into_values().next().unwrap();
            assert_eq!(object.content_type.as_deref(), Some(content_type), "{options}");
            assert_eq!(object.content_encoding.as_deref(), encoding, "{options}");
        }
    });
}

#[test]
fn keys_tags_and_checksums_stand_where_s3_looks_for_them() {
    in_child("keys_tags_and_checksums_stand_where_s3_looks_for_them", async {
        let options = "bucket logs\nlog_key log\nsse aws:kms\nsse_kms_key_id alias/logs\n\
             tags team=web app, path=/a\nchecksum_algorithm sha256\n";
        for (count, calls) in
            [(10, vec!["PutObject"]), (TWO_PARTS_AND_A_TAIL / 1_000, vec!["CreateMultipartUpload"])]
        {
            let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
            let mut rig = Rig::new(&aws, options);
            let lines = lines(count, 1_000);
            rig.push("app", &lines);
            rig.finish().await;
            assert_holds(&object(&aws).1, &lines);
            let requests = aws.requests(Service::S3);
            let request =
                requests.iter().find(|request| calls.contains(&request.operation.as_str())).unwrap();
            for (name, value) in [
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "alias/logs"),
                ("x-amz-tagging", "team=web%20app&path=%2Fa"),
            ] {
                assert_eq!(request.header(name), Some(value), "{name}");
            }
            let bodies = requests
                .iter()
                .filter(|request| ["PutObject", "UploadPart"].contains(&request.operation.as_str()));
            for request in bodies {
                assert_eq!(
                    request.header("x-amz-checksum-sha256").map(str::len),
                    Some(44),
                    "{:?}",
                    request.headers
                );
            }
        }
    });
}

#[test]
fn over_tls_bodies_are_not_hashed_once_more() {
    in_child("over_tls_bodies_are_not_hashed_once_more", async {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }.with_https()).unwrap();
        let mut rig = Rig::at(&aws.https_url(), "bucket logs\ntls.verify off\n");
        rig.push("app", &lines(3, 10));
        rig.finish().await;
        let request = &aws.requests(Service::S3)[0];
        assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert_eq!(aws.s3().objects("logs").len(), 1);
    });
}

#[test]
fn a_large_object_is_compressed_as_one() {
    in_child("a_large_object_is_compressed_as_one", async {
        for (method, len) in [("gzip", 30_000_000), ("zstd", 30_000_000)] {
            let aws = local_aws();
            let mut rig = Rig::new(&aws, &format!("bucket logs\nlog_key log\ncompression {method}\n"));
            let lines = rig::noise(len / 1_000, 1_000);
            rig.push("app", &lines);
            rig.finish().await;
            assert!(requests(&aws, "UploadPart") > 1, "{method}");
            let body = object(&aws).1;
            let mut text = Vec::new();
            let mut reader: Box<dyn Read> = match method {
                "gzip" => Box::new(flate2::read::GzDecoder::new(&body[..])),
                _ => Box::new(zstd::stream::read::Decoder::new(&body[..]).unwrap().single_frame()),
            };
            reader.read_to_end(&mut text).unwrap();
            assert_holds(&text, &lines);
        }
    });
}

#[cfg(feature = "parquet")]
#[test]
fn columns_are_made_of_an_object_when_it_is_sent() {
    in_child("columns_are_made_of_an_object_when_it_is_sent", async {
        for options in ["compression parquet\n", "format parquet\ns3_key_format /$TAG/$UUID.parquet\n"] {
            let aws = local_aws();
            aws.faults()
                .add(Fault::new(FaultKind::Throttle).on(Service::S3, "PutObject").when(When::First(1)));
            let mut rig = Rig::new(&aws, &format!("bucket logs\n{options}"));
            rig.push("app", &lines(1_000, 100));
            rig.finish().await;
            let object = aws.s3().objects("logs").into_values().next().unwrap();
            assert_eq!(object.content_type.as_deref(), Some("application/vnd.apache.parquet"));
            let body = object.bytes.unwrap();
            assert!(body.starts_with(b"PAR1") && body.ends_with(b"PAR1"));
            assert_eq!(rig.ledger.delivered(), 1_000);
        }
    });
}

#[test]
fn an_expired_token_costs_no_retry() {
    in_child("an_expired_token_costs_no_retry", async {
        let aws = local_aws();
        aws.faults().add(Fault::new(FaultKind::ExpiredToken).service(Service::S3).when(When::First(1)));
        let mut rig = Rig::new(&aws, "bucket logs\n");
        rig.push("app", &lines(3, 10));
        rig.finish().await;
        assert_eq!(rig.retries, 0);
        assert_eq!(aws.s3().objects("logs").len(), 1);
    });
}

#[test]
fn a_missing_right_or_bucket_is_named_and_waited_for() {
    in_child("a_missing_right_or_bucket_is_named_and_waited_for", async {
        let aws = LocalAws::start(Config::default().strict()).unwrap();
        let mut rig = Rig::new(&aws, "bucket logs\n");
        rig.push("app", &lines(3, 10));
        let mut batch = rig.close().pop().unwrap();
        let Outcome::Retry { after: Some(_), cause } = batch.delivery.attempt().await else { panic!() };
        assert_eq!((cause.code.as_deref(), cause.status), (Some("NoSuchBucket"), Some(404)));
        assert!(cause.message.contains("create bucket `logs`"), "{cause}");

        aws.s3().create_bucket("logs");
        let denied = aws.faults().add(Fault::new(FaultKind::AccessDenied).service(Service::S3));
        let Outcome::Retry { after: Some(_), cause } = batch.delivery.attempt().await else { panic!() };
        assert!(cause.message.contains("allow `s3:PutObject` on `arn:aws:s3:::logs/*`"), "{cause}");

        aws.faults().remove(denied);
        assert!(matches!(batch.delivery.attempt().await, Outcome::Delivered));
    });
}

#[test]
fn a_bucket_that_fails_half_the_time_gets_every_line_once() {
    in_child("a_bucket_that_fails_half_the_time_gets_every_line_once", async {
        let aws = local_aws();
        for kind in [
            FaultKind::Throttle,
            FaultKind::InternalError,
            FaultKind::ExpiredToken,
            FaultKind::Cut { at: CutPoint::AfterBody },
            FaultKind::Cut { at: CutPoint::AfterTaking },
        ] {
            aws.faults().add(Fault::new(kind).service(Service::S3).when(When::Probability(0.13)));
        }
        let mut rig =
            Rig::new(&aws, "bucket logs\nlog_key log\ns3_key_format /$TAG/%Y.log\ntotal_file_size 20M\n");
        let lines = lines(90_000, 1_000);
        for (at, some) in lines.chunks(3_000).enumerate() {
            rig.push(["one", "two", "three"][at % 3], some);
        }
        rig.finish().await;
        assert!(rig.retries > 0);
        let mut arrived: Vec<u64> = Vec::new();
        for object in aws.s3().objects("logs").into_values() {
            let text = String::from_utf8(object.bytes.unwrap().to_vec()).unwrap();
            arrived.extend(text.lines().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()));
        }
        arrived.sort_unstable();
        assert!(arrived.iter().copied().eq(0..lines.len() as u64), "{} lines", arrived.len());
        assert_eq!(rig.ledger.delivered(), lines.len() as u64);
    });
}
