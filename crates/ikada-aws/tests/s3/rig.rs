//! An `s3` output built from the text of its options, and an engine as small as can be.

use std::process::Command;
use std::sync::Arc;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_localaws::{Config, LocalAws};
use ikada_msgpack::write;
use ikada_options::{Property, PropertyBag};
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{Batch, InstanceId, Kind, Outcome, Output, Routed, Service};
use ikada_record::{ChunkBuilder, Ledger, Receipt, Share, Tag, Timestamp};
use tokio::time::Instant;

/// Attempts after which a test is lost.
const ATTEMPTS: usize = 20;

/// Runs a test in a process of its own that has credentials, and nothing else that AWS clients look at.
pub(crate) fn in_child(test: &str, body: impl Future<Output = ()>) {
    const MARK: &str = "IKADA_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let status = command
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its own process");
}

pub(crate) fn local_aws() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

/// Lines of `len` bytes and a number.
pub(crate) fn lines(count: usize, len: usize) -> Vec<String> {
    (0..count).map(|at| format!("{at} {}", "x".repeat(len))).collect()
}

/// Lines that compress badly.
pub(crate) fn noise(count: usize, len: usize) -> Vec<String> {
    let mut state = 1u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 58) as u8)
    };
    (0..count).map(|_| (0..len).map(|_| letter()).collect()).collect()
}

pub(crate) struct Rig {
    output: Box<dyn Output>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) retries: usize,
}

impl Rig {
    pub(crate) fn new(aws: &LocalAws, options: &str) -> Self {
        Self::at(&aws.http_url(), options)
    }

    pub(crate) fn at(endpoint: &str, options: &str) -> Self {
        let output = build(&format!("endpoint {endpoint}\n{options}")).unwrap();
        Self { output, ledger: Arc::default(), retries: 0 }
    }

    /// Hands the lines over in chunks as inputs make them.
    pub(crate) fn push(&mut self, tag: &str, lines: &[String]) {
        for some in lines.chunks(250) {
            let mut builder = ChunkBuilder::new(Tag::from(tag));
            for line in some {
                let mut record = Vec::with_capacity(line.len() + 16);
                write::map_header(&mut record, 1);
                write::str(&mut record, b"log");
                write::str(&mut record, line.as_bytes());
                builder.push_record(Timestamp::new(1_700_000_000, 0), &record);
            }
            self.push_chunk(builder);
        }
    }

    /// Hands records over as one chunk.
    pub(crate) fn push_records(&mut self, tag: &str, records: &[serde_json::Value]) {
        let mut builder = ChunkBuilder::new(Tag::from(tag));
        for record in records {
            builder.push_record(Timestamp::new(1_700_000_000, 0), &rmp_serde::to_vec(record).unwrap());
        }
        self.push_chunk(builder);
    }

    fn push_chunk(&mut self, builder: ChunkBuilder) {
        let chunk = builder.finish(Receipt::unwatched());
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        let now = Instant::now();
        self.output.push(Routed { chunk, share: Arc::new(share), due: now }, now);
    }

    /// All batches.
    pub(crate) fn close(&mut self) -> Vec<Batch> {
        self.output.close_all();
        std::iter::from_fn(|| self.output.pop(Instant::now())).collect()
    }

    /// Delivers everything, one batch after another.
    pub(crate) async fn finish(&mut self) {
        for mut batch in self.close() {
            let mut left = ATTEMPTS;
            loop {
                match batch.delivery.attempt().await {
                    Outcome::Delivered => break,
                    Outcome::Retry { .. } if left > 0 => left -= 1,
                    other => panic!("{other:?}"),
                }
                self.retries += 1;
            }
            batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
        }
        assert_eq!((self.output.held(), self.ledger.held()), (0, 0));
    }
}

/// The output of these options, one a line; or everything that is wrong with them.
pub(crate) fn build(options: &str) -> Result<Box<dyn Output>, Vec<String>> {
    let mut sources = Sources::default();
    let file = sources.add("s3.conf", options);
    let mut properties = Vec::new();
    let mut at = 0;
    for line in options.split_inclusive('\n') {
        let text = line.trim_end();
        let (key, value) = text.split_once(' ').unwrap();
        let spanned = |start: usize, text: &str| {
            Spanned::new(text.to_owned(), file.span(at + start, at + start + text.len()))
        };
        properties.push(Property::new(spanned(0, key), spanned(key.len() + 1, value)));
        at += line.len();
    }
    let mut bag = PropertyBag::new("output s3", file.span(0, 0), properties);
    let id = InstanceId { kind: Kind::Output, plugin: "s3".into(), name: "s3.0".into(), alias: None };
    let cx = BuildContext {
        id: Arc::new(id),
        service: Arc::new(Service::default()),
        tag: None,
        mem_buf_limit: None,
        net: None,
        parsers: Default::default(),
        dry_run: false,
    };
    let mut diags = Diagnostics::new();
    let outputs = ikada_aws::outputs();
    let plugin = find(&outputs, "s3").unwrap();
    let output = (plugin.build)(&mut bag, &cx, &mut diags);
    bag.finish(&[&(plugin.options)()], &mut diags);
    let found: Vec<String> = diags.lines(&sources).collect();
    match output {
        Some(output) if !diags.has_errors() => Ok(output),
        _ => Err(found),
    }
}
