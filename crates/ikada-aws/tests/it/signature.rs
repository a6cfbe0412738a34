//! That a request is signed over the body that is sent: the SDK signs, but the body is ours.

use ikada_localaws::{Config, LocalAws, Service};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::rig::{Rig, in_child, now_ms};

/// HMAC-SHA-256 (RFC 2104) with keys of at most 64 bytes.
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(data).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn field<'a>(authorization: &'a str, name: &str) -> &'a str {
    let rest = authorization.split_once(&format!("{name}=")).unwrap().1;
    rest.split(',').next().unwrap()
}

in_child! {
    fn requests_are_signed_over_the_body_that_is_sent() {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "s");
        let mut logs = Rig::new(&aws, "cloudwatch_logs", "log_group_name g\nlog_stream_name s\nlog_format x\n");
        let mut firehose = Rig::new(&aws, "kinesis_firehose", "delivery_stream ds\n");
        for rig in [&mut logs, &mut firehose] {
            rig.push("app", &[(now_ms(), json!({"log": "x"}))]);
            rig.finish().await;
        }
        for service in [Service::Logs, Service::Firehose] {
            let call = aws.requests(service).remove(0);
            let authorization = call.header("authorization").unwrap();
            let signed = field(authorization, "SignedHeaders");
            assert!(signed.split(';').any(|name| name == "host"), "{signed}");
            let headers: String =
                signed.split(';').map(|name| format!("{name}:{}\n", call.header(name).unwrap().trim())).collect();
            let canonical = format!("POST\n/\n\n{headers}\n{signed}\n{}", hex(&Sha256::digest(&call.body)));
            let scope = field(authorization, "Credential").split_once('/').unwrap().1;
            let date = call.header("x-amz-date").unwrap();
            let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
            let key = scope.split('/').fold(b"AWS4not-a-secret".to_vec(), |key, part| hmac(&key, part.as_bytes()));
            assert_eq!(hex(&hmac(&key, to_sign.as_bytes())), field(authorization, "Signature"));
        }
    }
}
