//! The output: what it writes, whom it believes, and where it turns when a server is gone.

use std::io::Read;

use ikada_forward::client::Login;
use ikada_forward::{Guard, Settings};
use ikada_msgpack::{View, write};
use ikada_record::{ChunkBuilder, Tag, Timestamp};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::harness::{record, start};
use crate::out_rig::{Rig, Server, output, say, value};

/// `d7 00`, 1700000000 s and 123456717 ns.
const EVENT_TIME: &[u8] = b"\xd7\x00\x65\x53\xf1\x00\x07\x5b\xcc\xcd";

/// What one chunk of these two records looks like on the wire.
async fn captured(options: &str) -> Vec<u8> {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("host 127.0.0.1\nport {}\n{options}", server.port));
    rig.push("app.web", &[record("a"), record("b")]);
    let read = async {
        let mut stream = server.accept().await;
        value(&mut stream).await
    };
    let (words, bytes) = tokio::join!(rig.finish(), read);
    assert_eq!(words, ["delivered"]);
    bytes
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The token of a frame's option.
fn token(frame: &[u8]) -> Vec<u8> {
    let array = View::parse(frame).unwrap().0.as_array().unwrap();
    let option = array.get(array.len() - 1).unwrap().as_map().unwrap();
    option.get(b"chunk").unwrap().as_str().unwrap().to_vec()
}

fn ack(token: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::map_header(&mut out, 1);
    write::str(&mut out, b"ack");
    write::str(&mut out, token);
    out
}

#[tokio::test]
async fn frames_have_the_recorded_shapes() {
    let (a, b) = (record("a"), record("b"));
    let head = b"\xa7app.web\x92";
    let with = |record: &[u8]| joined(&[b"\x92\x92", EVENT_TIME, b"\x80", record]);
    let plain = |record: &[u8]| joined(&[b"\x92", EVENT_TIME, record]);
    let seconds = |record: &[u8]| joined(&[b"\x92\xce\x65\x53\xf1\x00", record]);

    assert_eq!(captured("").await, joined(&[b"\x92", head, &with(&a), &with(&b)]));
    let options = "retain_metadata_in_forward_mode off";
    assert_eq!(captured(options).await, joined(&[b"\x92", head, &plain(&a), &plain(&b)]));
    assert_eq!(captured("time_as_integer on").await, joined(&[b"\x92", head, &seconds(&a), &seconds(&b)]));
    let map = b"\x82\xa4size\x02\xadfluent_signal\x00";
    assert_eq!(captured("send_options on").await, joined(&[b"\x93", head, &with(&a), &with(&b), map]));
    let map = b"\x83\xa4size\x02\xadfluent_signal\x00\xa1k\xa3a b";
    assert_eq!(captured("add_option k a b").await, joined(&[b"\x93", head, &with(&a), &with(&b), map]));
    assert_eq!(captured("add_option k \"a b\"").await, joined(&[b"\x93", head, &with(&a), &with(&b), map]));
    let renamed = captured("tag new\ntime_as_integer on").await;
    assert_eq!(renamed, joined(&[b"\x92\xa3new\x92", &seconds(&a), &seconds(&b)]));
}

#[tokio::test]
async fn entries_are_compressed_into_one_pack() {
    for (name, magic) in [("gzip", &b"\x1f\x8b"[..]), ("zstd", b"\x28\xb5\x2f\xfd")] {
        let frame = captured(&format!("compress {name}")).await;
        let array = View::parse(&frame).unwrap().0.as_array().unwrap();
        let Some(View::Bin(packed)) = array.get(1) else { panic!("a bin") };
        assert!(packed.starts_with(magic));
        let mut run = Vec::new();
        match name {
            "gzip" => flate2::read::GzDecoder::new(packed).read_to_end(&mut run),
            _ => zstd::Decoder::new(packed).unwrap().take(10_000).read_to_end(&mut run),
        }
        .unwrap();
        assert!(run.starts_with(b"\x92\x92\xd7\x00"));
        let option = array.get(2).unwrap().as_map().unwrap();
        let keys: Vec<_> = option.iter().map(|(key, _)| key.as_str().unwrap()).collect();
        assert_eq!(keys, [&b"size"[..], b"compressed", b"fluent_signal"]);
        assert_eq!(option.get(b"compressed"), Some(View::Str(name.as_bytes())));
    }
}

#[tokio::test]
async fn a_tag_made_of_the_tag_is_one_for_all_entries() {
    let (a, b) = (record("a"), record("b"));
    let entry = |record: &[u8]| joined(&[b"\x92\x92", EVENT_TIME, b"\x80", record]);
    let body = joined(&[b"\x92", &entry(&a), &entry(&b)]);
    assert_eq!(captured("tag x.$TAG").await, joined(&[b"\x92\xa9x.app.web", &body]));
    assert_eq!(captured("tag $TAG[0].q").await, joined(&[b"\x92\xa5app.q", &body]));
    assert!(captured("tag $TAG[0].z\ncompress gzip").await.starts_with(b"\x93\xa5app.z"));
}

#[tokio::test]
async fn a_tag_made_of_each_record_makes_a_message_of_each_record() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\ntag x.$log", server.port));
    rig.push("app", &[record("a"), b"\x80".to_vec()]);
    let read = async {
        let mut stream = server.accept().await;
        (value(&mut stream).await, value(&mut stream).await)
    };
    let (words, (first, second)) = tokio::join!(rig.finish(), read);
    assert_eq!(words, ["delivered"]);
    let tail = b"\x81\xadfluent_signal\x00";
    assert_eq!(first, joined(&[b"\x94\xa3x.a", EVENT_TIME, &record("a"), tail]));
    assert_eq!(
        second,
        joined(&[b"\x94\xa3app", EVENT_TIME, b"\x80", tail]),
        "its own tag where the record has no such key"
    );
}

#[tokio::test]
async fn what_goes_out_here_comes_in_there() {
    let running = start(Settings::default(), false).await;
    for options in
        ["", "require_ack_response on", "compress gzip\nrequire_ack_response on", "time_as_integer on"]
    {
        let before = running.router.seen().len();
        let mut rig = Rig::new(format!("unix_path {}\n{options}", running.path.display()).trim_end());
        let mut builder = ChunkBuilder::new(Tag::from("app"));
        for n in 0..3000 {
            builder.push_with_metadata(
                Timestamp::new(7, n),
                b"\x81\xa1m\x01",
                &record(&"x".repeat(n as usize)),
            );
        }
        rig.push_chunk(builder);
        let words = rig.finish().await;
        assert!(words.len() > 3 && words.iter().all(|word| word == "delivered"), "{options}: {words:?}");
        running.router.until_seen(before + 3000).await;
        let seen = running.router.seen().split_off(before);
        let seconds = options.starts_with("time");
        for (n, seen) in seen.iter().enumerate() {
            assert_eq!(seen.record, record(&"x".repeat(n)));
            assert_eq!(seen.time, Timestamp::new(7, if seconds { 0 } else { n as u32 }));
            assert_eq!(seen.metadata.as_deref(), (!seconds).then_some(&b"\x81\xa1m\x01"[..]));
        }
    }
    running.finish().await;
}

#[tokio::test]
async fn a_frame_is_delivered_when_it_is_answered_and_keeps_its_token_until_then() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\nrequire_ack_response on", server.port));
    rig.push("app", &[record("a")]);
    let serve = async {
        let mut stream = server.accept().await;
        let first = token(&value(&mut stream).await);
        drop(stream);
        let mut stream = server.accept().await;
        let second = token(&value(&mut stream).await);
        say(&mut stream, &ack(b"another")).await;
        let mut stream = server.accept().await;
        let third = token(&value(&mut stream).await);
        say(&mut stream, &ack(&third)).await;
        assert_eq!((&first, &second), (&third, &third));
        assert_eq!(first.len(), 24);
    };
    let (words, ()) = tokio::join!(rig.finish(), serve);
    let port = server.port;
    assert_eq!(
        words,
        [
            format!("again: 127.0.0.1:{port}: it closed the connection"),
            format!("again: 127.0.0.1:{port}: it says what is no answer"),
            "delivered".to_owned(),
        ]
    );
}

#[tokio::test]
async fn two_frames_with_the_same_content_have_two_tokens() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\nrequire_ack_response on", server.port));
    let serve = async {
        let mut stream = server.accept().await;
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let token = token(&value(&mut stream).await);
            say(&mut stream, &ack(&token)).await;
            tokens.push(token);
        }
        assert_ne!(tokens[0], tokens[1]);
    };
    let work = async {
        for _ in 0..2 {
            rig.push("app", &[record("a")]);
            assert_eq!(rig.finish().await, ["delivered"]);
        }
    };
    tokio::join!(work, serve);
}

#[tokio::test]
async fn messages_that_were_answered_are_not_sent_again() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\nrequire_ack_response on\ntag x.$log", server.port));
    rig.push("app", &[record("a"), record("b"), record("c")]);
    let serve = async {
        let mut stream = server.accept().await;
        let first = value(&mut stream).await;
        say(&mut stream, &ack(&token(&first))).await;
        let _unanswered = value(&mut stream).await;
        drop(stream);
        let mut stream = server.accept().await;
        for name in [b"\xa3x.b", b"\xa3x.c"] {
            let frame = value(&mut stream).await;
            assert_eq!(&frame[1..5], name);
            say(&mut stream, &ack(&token(&frame))).await;
        }
    };
    let (words, ()) = tokio::join!(rig.finish(), serve);
    assert_eq!(words, ["in part: 2 left", "delivered"]);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_after_the_time_that_is_set() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\nrequire_ack_response on\nnet.io_timeout 1", server.port));
    rig.push("app", &[record("a")]);
    let serve = async {
        let mut silent = server.accept().await;
        value(&mut silent).await;
        let mut stream = server.accept().await;
        let token = token(&value(&mut stream).await);
        say(&mut stream, &ack(&token)).await;
        drop(silent);
    };
    let (words, ()) = tokio::join!(rig.finish(), serve);
    let port = server.port;
    assert_eq!(
        words,
        [format!("again: 127.0.0.1:{port}: no answer came within 1 s"), "delivered".to_owned()]
    );
}

#[tokio::test]
async fn key_user_and_password_are_proved_by_both_sides() {
    let guard = Guard::new("key", "server", &[("ann", "pass word")]);
    let running = start(Settings { guard: Some(guard), ..Settings::default() }, true).await;
    let port = running.address.unwrap().port();
    let login =
        format!("port {port}\nshared_key key\nself_hostname client\nusername ann\npassword pass word");
    let mut rig = Rig::new(&login);
    rig.push("app", &[record("a")]);
    assert_eq!(rig.finish().await, ["delivered"]);
    running.router.until_seen(1).await;

    for (from, to, reason) in
        [("key key", "key other", "shared_key mismatch"), ("pass word", "pass", "username/password mismatch")]
    {
        let mut rig = Rig::new(&login.replace(from, to));
        rig.push("app", &[record("a")]);
        let mut batch = rig.close().remove(0);
        let said = format!("{:?}", batch.delivery.attempt().await);
        assert!(said.contains(&format!("it refused the handshake: {reason}")), "{said}");
        batch.parts[0].share.deliver(1);
    }
    running.finish().await;
}

#[tokio::test]
async fn a_server_that_does_not_know_the_key_gets_nothing() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}\nshared_key key", server.port));
    rig.push("app", &[record("secret")]);
    let mut batch = rig.close().remove(0);
    let serve = async {
        let mut stream = server.accept().await;
        say(&mut stream, b"\x92\xa4HELO\x82\xa5nonce\xa3abc\xa4auth\xa0").await;
        let ping = value(&mut stream).await;
        assert_eq!(View::parse(&ping).unwrap().0.as_array().unwrap().len(), 6);
        say(&mut stream, b"\x95\xa4PONG\xc3\xa0\xa6server\xa4fake").await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    };
    let (outcome, ()) = tokio::join!(batch.delivery.attempt(), serve);
    assert!(format!("{outcome:?}").contains("it does not know the key itself"), "{outcome:?}");
    batch.parts[0].share.deliver(1);
    // For the record: what a right answer is, `Login` knows.
    let login = Login { hostname: "localhost", key: "key", user: "", password: "" };
    assert!(!login.accepts(
        b"\x92\xa4HELO\x82\xa5nonce\xa3abc\xa4auth\xa0",
        b"s",
        b"\x95\xa4PONG\xc3\xa0\xa6server\xa4fake"
    ));
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_nothing() {
    let server = Server::start().await;
    let mut rig = Rig::new(&format!("port {}", server.port));
    for _ in 0..3 {
        rig.push("app", &[record("a")]);
        let read = async {
            let mut stream: TcpStream = server.accept().await;
            value(&mut stream).await;
            stream
        };
        let (words, stream) = tokio::join!(rig.finish(), read);
        assert_eq!(words, ["delivered"]);
        drop(stream);
    }
}

#[tokio::test]
async fn servers_take_turns_and_one_that_is_gone_is_passed_over() {
    let servers = [Server::start().await, Server::start().await];
    let gone = Server::start().await.port;
    let mut rig = Rig::to_group(&[servers[0].port, gone, servers[1].port]);
    let serve = async |server: &Server| {
        let mut stream = server.accept().await;
        for _ in 0..2 {
            value(&mut stream).await;
        }
    };
    let work = async {
        for _ in 0..4 {
            rig.push("app", &[record("a")]);
            assert_eq!(rig.finish().await, ["delivered"]);
        }
    };
    tokio::join!(work, serve(&servers[0]), serve(&servers[1]));
}

#[tokio::test]
async fn connections_are_encrypted_and_the_server_is_checked() {
    let pair = rcgen::generate_simple_self_signed(["logs.test".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, pair.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let server = Server::start().await;
    let options = format!("port {}\ntls on\ntls.ca_file {}\ntls.vhost logs.test", server.port, ca.display());
    let mut rig = Rig::new(&options);
    rig.push("app", &[record("a")]);
    let read = async {
        let mut stream = acceptor.accept(server.accept().await).await.unwrap();
        value(&mut stream).await
    };
    let (words, frame) = tokio::join!(rig.finish(), read);
    assert_eq!(words, ["delivered"]);
    assert!(frame.starts_with(b"\x92\xa3app"));

    let mut rig = Rig::new(&options.replace("logs.test", "other.test"));
    rig.push("app", &[record("a")]);
    let mut batch = rig.close().remove(0);
    let refused = async { acceptor.accept(server.accept().await).await.is_err() };
    let (outcome, refused) = tokio::join!(batch.delivery.attempt(), refused);
    assert!(refused && format!("{outcome:?}").contains("certificate"), "{outcome:?}");
    batch.parts[0].share.deliver(1);
}

#[test]
fn what_cannot_be_followed_is_refused_at_its_place() {
    let refused = |options: &str| {
        let (output, lines) = output(options);
        assert!(output.is_none(), "{options}");
        lines.join("\n")
    };
    assert!(
        refused("compress gzip\ntime_as_integer on").starts_with("a.conf:1:10: error[conflicting-options]")
    );
    assert!(refused("compress gzip\ntag $log").starts_with("a.conf:1:10: error[conflicting-options]"));
    assert!(refused("username ann").contains("`username` needs a `shared_key`"));
    assert!(refused("tls on\ntls.ca_file /no/such").contains("`/no/such` holds no certificate"));
    assert_eq!(refused("upstream nobody"), "", "that is told of the whole configuration");
    assert!(refused("add_option alone").starts_with("a.conf:1:12: error[bad-value]"));
}
