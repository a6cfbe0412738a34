//! The same records through Fluent Bit's `s3` and through the one here, with many sets of options: the same objects are in the buckets.
//!
//! What differs on purpose is left out of the comparison: where the part that keeps names apart stands, and headers that no option asks for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ikada_localaws::{LocalAws, Service};
use serde_json::json;

use crate::rig::{Rig, in_child, local_aws};

const TAGS: [&str; 3] = ["app.web", "a.b.c.d.e.f.g.h.i.j.k", "..x..y."];

/// The options of each bucket. Every name holds the tag: here, objects of several tags are one where it does not.
const SETS: [&str; 14] = [
    "s3_key_format /$TAG/%Y/%m/%d/%H/%M/%S\n",
    "s3_key_format /$TAG[0]/$TAG[1]-$TAG[9]/%j_%e%%.log\njson_date_format epoch\n",
    "s3_key_format /$TAG[1]$TAG[0]/$TAG/%s/$UUID.gz\ncompression gzip\njson_date_format double\n",
    "s3_key_format /x/$TAG\ns3_key_format_tag_delimiters .-\nstatic_file_path on\njson_date_key @timestamp\n",
    "s3_key_format /y/$TAG/%F/%T\ncompression zstd\njson_date_format epoch_ms\ncanned_acl bucket-owner-full-control\n",
    "s3_key_format /$TAG\njson_date_key off\nstorage_class STANDARD_IA\n",
    "s3_key_format /$TAG\njson_date_key ts\njson_date_format java_sql_timestamp\nsend_content_md5 on\n",
    "s3_key_format /$TAG\nlog_key log\ncontent_type text/plain\n",
    "s3_key_format /$TAG\nlog_key n\n",
    "s3_key_format /$TAG\nlog_key m\n",
    "s3_key_format /$TAG\njson_date_key n\n",
    "s3_key_format /$TAG[2]/%b-%a/$TAG\ncompression none\njson_date_format iso8601\n",
    "s3_key_format /%%Y/$TAG/%H%M\ncontent_type application/x-ndjson\ncompression gzip\n",
    "s3_key_format /$TAG/$TAG\nformat json\n",
];

fn options(set: usize) -> String {
    format!("bucket set{set}\nuse_put_object on\nupload_timeout 4s\n{}", SETS[set])
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What an object is, as far as it is to be the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Same {
    text: String,
    content_type: Option<String>,
    parts: usize,
}

fn unpacked(bytes: &[u8]) -> String {
    let reader: Box<dyn Read + '_> = match bytes {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(bytes).unwrap()),
        _ => Box::new(bytes),
    };
    let mut text = String::new();
    reader.take(1 << 20).read_to_string(&mut text).unwrap();
    text
}

/// A name without the part that keeps it apart.
fn plain(key: &str, is_random: bool) -> String {
    if is_random {
        let (start, _) = key.rsplit_once('/').unwrap();
        return start.to_owned();
    }
    match key.split_once("-object") {
        Some((start, rest)) => format!("{start}{}", &rest[8..]),
        None => key.to_owned(),
    }
}

fn objects(aws: &LocalAws, set: usize) -> BTreeMap<String, Same> {
    let asks_for_type = SETS[set].contains("content_type");
    let objects = aws.s3().objects(&format!("set{set}")).into_iter().map(|(key, object)| {
        let content_type = object.content_type.clone().filter(|_| asks_for_type);
        let text = unpacked(object.bytes.as_ref().unwrap());
        (plain(&key, SETS[set].contains("$UUID")), Same { text, content_type, parts: object.parts })
    });
    objects.collect()
}

/// Fluent Bit with a forward input and an output for each set of options.
fn fluent_bit(binary: &str, dir: &std::path::Path, aws: &LocalAws, port: u16) -> Running {
    let mut text = format!("[SERVICE]\n    flush 1\n[INPUT]\n    name forward\n    port {port}\n");
    for set in 0..SETS.len() {
        let url = aws.http_url();
        text.push_str(&format!("[OUTPUT]\n    name s3\n    match *\n    region r\n    endpoint {url}\n"));
        text.push_str(&format!("    store_dir {}/{set}\n", dir.display()));
        options(set).lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    let config = dir.join("fluent-bit.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(binary);
    command.arg("-c").arg(config).env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "-");
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn records() -> Vec<serde_json::Value> {
    vec![
        json!({"log": "hello \"日本\" \\ \t/ <&> é 😀", "n": 1, "f": 1.5, "a.b": {"c.d": [1, null, true]}}),
        json!({"log": {"a": 1, "b": "q\"q"}, "n": "text"}),
        json!({"log": 12345, "lo": "x", "m": {"deep": [{}]}}),
        json!({"log": true, "date": "own", "ts": "own"}),
        json!({"log": "", "f": [0.1, 1e300, -0.0, 1e20, 100.0, 1e-7], "i": [u64::MAX, i64::MIN]}),
        json!({"log": null, "日本": "キー", "": "no name"}),
    ]
}

#[test]
fn sets_of_options_mean_the_same_objects_as_to_fluent_bit() {
    let Ok(binary) = std::env::var("FLUENT_BIT_BIN") else {
        return eprintln!("skipped: FLUENT_BIT_BIN is not set");
    };
    in_child("differential::sets_of_options_mean_the_same_objects_as_to_fluent_bit", async {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, ours) = (local_aws(), local_aws());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let running = fluent_bit(&binary, dir.path(), &theirs, port);
        let mut socket = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(socket) => break socket,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        for tag in TAGS {
            let entries: Vec<_> = records().into_iter().map(|record| (1_700_000_000, record)).collect();
            socket.write_all(&rmp_serde::to_vec(&(tag, entries)).unwrap()).unwrap();
        }
        // The names are those of normal uploads: at a stop Fluent Bit makes them of another time.
        let all = (SETS.len() * TAGS.len()) as u64;
        let are_there =
            |report: &ikada_localaws::Report| report.operation(Service::S3, "PutObject").requests >= all;
        theirs.wait_until(Duration::from_secs(60), are_there).unwrap_or_else(|report| panic!("{report:?}"));
        drop(running);
        for (set, shown) in SETS.iter().enumerate() {
            let mut rig = Rig::new(&ours, &options(set));
            for tag in TAGS {
                rig.push_records(tag, &records());
            }
            rig.finish().await;
            assert_eq!(objects(&ours, set), objects(&theirs, set), "{shown}");
        }
    });
}
