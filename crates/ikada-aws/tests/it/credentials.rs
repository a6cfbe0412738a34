//! Who the requests are signed as.

use ikada_localaws::{Config, LocalAws, Service};
use ikada_plugin::Outcome;
use serde_json::json;

use crate::rig::{Rig, in_child, now_ms, run_in_child};

fn aws() -> LocalAws {
    let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    aws
}

const OPTIONS: &str = "log_group_name g\nlog_stream_name s\n";

async fn send_one(rig: &mut Rig) {
    rig.push("app", &[(now_ms(), json!({"log": "x"}))]);
    rig.finish().await;
}

in_child! {
    fn a_role_is_taken_on_with_its_external_id_encoded() {
        let aws = aws();
        let url = aws.http_url();
        let options = format!("{OPTIONS}role_arn arn:aws:iam::123456789012:role/r\nexternal_id a b+c\nsts_endpoint {url}\n");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &options);
        for _ in 0..3 {
            send_one(&mut rig).await;
        }
        let calls = aws.requests(Service::Sts);
        assert_eq!(calls.len(), 1, "the credentials are kept");
        let asked = String::from_utf8_lossy(&calls[0].body).into_owned();
        assert!(asked.contains("ExternalId=a%20b%2Bc") || asked.contains("ExternalId=a+b%2Bc"), "{asked}");
        assert!(!aws.requests(Service::Logs)[0].header("authorization").unwrap().contains("AKIDEXAMPLE"));
        assert_eq!((rig.retries.len(), rig.ledger.delivered()), (0, 3));
    }

    fn credentials_that_the_service_calls_expired_are_renewed_and_the_call_repeated() {
        let aws = aws();
        let url = aws.http_url();
        let options = format!("{OPTIONS}role_arn arn:aws:iam::123456789012:role/r\nsts_endpoint {url}\n");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &options);
        send_one(&mut rig).await;
        aws.credentials().expire_all();
        // Renewing again so soon is refused at first: nothing new would come of it.
        while rig.ledger.delivered() < 2 {
            rig.push("app", &[(now_ms(), json!({"log": "y"}))]);
            for mut batch in rig.close() {
                let outcome = batch.delivery.attempt().await;
                let delivered = matches!(outcome, Outcome::Delivered);
                for part in &batch.parts {
                    match delivered {
                        true => part.share.deliver(part.entries),
                        false => part.share.drop_entries(part.entries, ikada_record::DropReason::RetryLimit),
                    }
                }
                if !delivered {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
        assert_eq!(aws.requests(Service::Sts).len(), 2);
    }

    fn outputs_of_one_identity_share_its_connections() {
        let aws = aws();
        for _ in 0..3 {
            let mut rig = Rig::new(&aws, "cloudwatch_logs", OPTIONS);
            send_one(&mut rig).await;
        }
        let mut one = Rig::new(&aws, "cloudwatch_logs", OPTIONS);
        let mut two = Rig::new(&aws, "kinesis_firehose", "delivery_stream ds\n");
        let before = aws.report().connections;
        for _ in 0..5 {
            send_one(&mut one).await;
            send_one(&mut two).await;
        }
        assert_eq!(aws.report().connections, before + 1);
    }

    fn tls_trusts_the_authority_that_is_named_and_no_other() {
        let directory = std::env::temp_dir().join(format!("ikada-ca-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let ca = directory.join("ca.pem");
        let aws = LocalAws::start(Config { ca_file: Some(ca.clone()), ..Config::default().with_https() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "s");
        let url = aws.https_url();
        let bare = url.strip_prefix("https://").unwrap();
        for (endpoint, tls) in [(&*url, format!("tls.ca_file {}\n", ca.display())), (bare, "tls.verify off\n".to_owned())] {
            let mut rig = Rig::at(endpoint, "cloudwatch_logs", &format!("{OPTIONS}{tls}"));
            send_one(&mut rig).await;
            assert_eq!(rig.retries, [], "{endpoint} {tls}");
        }
        let mut rig = Rig::at(&url, "cloudwatch_logs", OPTIONS);
        rig.push("app", &[(now_ms(), json!({"log": "x"}))]);
        let Outcome::Retry { cause, .. } = rig.attempt_once().await else { panic!() };
        assert!(cause.message.contains("certificate"), "{cause}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn container_credentials_near_their_end_are_renewed_without_a_failed_request() {
    // The stand-in lives in the outer process, so that its address can be put into the environment of the inner one.
    let aws = LocalAws::start(Config {
        credentials_lifetime: std::time::Duration::from_secs(63),
        credentials_token: Some("a-token".to_owned()),
        ..Config::default()
    })
    .unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    let url = aws.http_url();
    let credentials = format!("{url}/creds");
    run_in_child(
        concat!(
            module_path!(),
            "::container_credentials_near_their_end_are_renewed_without_a_failed_request"
        ),
        &[
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &credentials),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-token"),
            ("IKADA_TEST_ENDPOINT", &url),
        ],
        async {
            let endpoint = std::env::var("IKADA_TEST_ENDPOINT").unwrap();
            let mut rig = Rig::at(&endpoint, "cloudwatch_logs", OPTIONS);
            for _ in 0..3 {
                send_one(&mut rig).await;
            }
            assert_eq!(rig.retries, []);
        },
    );
}

#[test]
fn without_credentials_records_wait_and_the_message_says_why() {
    run_in_child(
        concat!(module_path!(), "::without_credentials_records_wait_and_the_message_says_why"),
        &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("HOME", "/nonexistent")],
        async {
            let aws = aws();
            let mut rig = Rig::new(&aws, "cloudwatch_logs", OPTIONS);
            rig.push("app", &[(now_ms(), json!({"log": "x"}))]);
            let Outcome::Retry { cause, .. } = rig.attempt_once().await else { panic!() };
            assert!(cause.message.starts_with("no credentials: "), "{cause}");
        },
    );
}
