//! Who the requests are signed as.

use ikada_localaws::{Config, LocalAws, Service};
use ikada_plugin::Outcome;
use serde_json::json;

use crate::rig::{Rig, in_child, is_child, now_ms, run_in_child};

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
fn the_role_of_a_pod_on_fargate_is_taken_on_first() {
    let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    let url = aws.http_url();
    run_in_child(
        concat!(module_path!(), "::the_role_of_a_pod_on_fargate_is_taken_on_first"),
        &[
            ("EKS_POD_EXECUTION_ROLE", "arn:aws:iam::123456789012:role/pod"),
            ("AWS_ENDPOINT_URL_STS", &url),
            ("IKADA_TEST_ENDPOINT", &url),
        ],
        async {
            let endpoint = std::env::var("IKADA_TEST_ENDPOINT").unwrap();
            let own = "role_arn arn:aws:iam::123456789012:role/own\n";
            for role in ["", own] {
                let mut rig = Rig::at(&endpoint, "cloudwatch_logs", &format!("{OPTIONS}{role}"));
                send_one(&mut rig).await;
                assert_eq!(rig.retries, [], "{role}");
            }
        },
    );
    if !is_child() {
        let asked: Vec<String> = aws
            .requests(Service::Sts)
            .iter()
            .map(|call| String::from_utf8_lossy(&call.body).into_owned())
            .collect();
        let roles: Vec<bool> = asked.iter().map(|body| body.contains("role%2Fpod")).collect();
        assert_eq!(roles.first(), Some(&true), "{asked:?}");
        assert!(roles.contains(&false), "{asked:?}");
        let signed = aws.requests(Service::Logs);
        assert!(signed.iter().all(|call| !call.header("authorization").unwrap().contains("AKIDEXAMPLE")));
    }
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

/// A proxy that brings everything to one address, whoever it is for; it tells what the requests to it begin with.
fn proxy(to: std::net::SocketAddr) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::sync_channel(100);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(client.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let mut head = line.clone();
                while !head.ends_with("\r\n\r\n") {
                    reader.read_line(&mut head).unwrap();
                }
                tell.send(head.clone()).unwrap();
                let mut server = TcpStream::connect(to).unwrap();
                let mut client_out = client.try_clone().unwrap();
                match line.starts_with("CONNECT") {
                    true => client_out.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(),
                    false => server.write_all(head.as_bytes()).unwrap(),
                }
                let mut server_in = server.try_clone().unwrap();
                let back = std::thread::spawn(move || {
                    std::io::copy(&mut server_in, &mut client_out).ok();
                    client_out.shutdown(Shutdown::Both).ok();
                });
                std::io::copy(&mut reader, &mut server).ok();
                server.shutdown(Shutdown::Both).ok();
                back.join().unwrap();
            });
        }
    });
    (port, told)
}

#[test]
fn requests_go_through_the_proxy_that_the_environment_names() {
    let aws = LocalAws::start(Config::default().with_https()).unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    let (plain, plain_told) = proxy(aws.http_addr());
    let (tls, tls_told) = proxy(([127, 0, 0, 1], aws.https_port()).into());
    let (plain, tls) = (format!("http://me:pw@127.0.0.1:{plain}"), format!("http://127.0.0.1:{tls}"));
    run_in_child(
        concat!(module_path!(), "::requests_go_through_the_proxy_that_the_environment_names"),
        &[("http_proxy", &plain), ("HTTPS_PROXY", &tls), ("NO_PROXY", "elsewhere.example")],
        async {
            for (endpoint, tls) in
                [("http://logs.example.test", ""), ("https://logs.example.test", "tls.verify off\n")]
            {
                let mut rig = Rig::at(endpoint, "cloudwatch_logs", &format!("{OPTIONS}{tls}"));
                send_one(&mut rig).await;
                assert_eq!(rig.retries, [], "{endpoint}");
            }
        },
    );
    if !is_child() {
        let head = plain_told.recv().unwrap();
        assert!(head.starts_with("POST http://logs.example.test/ HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic bwu6chc="), "{head}");
        assert!(tls_told.recv().unwrap().starts_with("CONNECT logs.example.test:443 "));
        assert_eq!(aws.cloudwatch().events("g", "s").len(), 2);
    }
}

#[test]
fn the_region_comes_from_ecs_where_nothing_else_says_one() {
    let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    let url = aws.http_url();
    let metadata = format!("{url}/v4/abc");
    run_in_child(
        concat!(module_path!(), "::the_region_comes_from_ecs_where_nothing_else_says_one"),
        &[("ECS_CONTAINER_METADATA_URI_V4", &metadata), ("AWS_REGION", ""), ("IKADA_TEST_ENDPOINT", &url)],
        async {
            let mut rig = Rig::at(&std::env::var("IKADA_TEST_ENDPOINT").unwrap(), "cloudwatch_logs", OPTIONS);
            send_one(&mut rig).await;
            assert_eq!(rig.retries, []);
        },
    );
    if !is_child() {
        let calls = aws.requests(Service::Logs);
        assert!(calls[0].header("authorization").unwrap().contains("/ap-northeast-1/logs/aws4_request"));
    }
}

in_child! {
    fn a_certificate_for_another_host_is_taken_only_when_told_so() {
        let directory = std::env::temp_dir().join(format!("ikada-host-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let ca = directory.join("ca.pem");
        let aws = LocalAws::start(Config { ca_file: Some(ca.clone()), ..Config::default().with_https() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "s");
        let options = format!("{OPTIONS}tls.ca_file {}\ntls.vhost elsewhere.example\n", ca.display());
        let mut rig = Rig::at(&aws.https_url(), "cloudwatch_logs", &format!("{options}tls.verify_hostname off\n"));
        send_one(&mut rig).await;
        assert_eq!(rig.retries, []);
        let mut rig = Rig::at(&aws.https_url(), "cloudwatch_logs", &options);
        rig.push("app", &[(now_ms(), json!({"log": "x"}))]);
        let Outcome::Retry { cause, .. } = rig.attempt_once().await else { panic!() };
        assert!(cause.message.contains("certificate"), "{cause}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
