//! An output built from the text of its options, and an engine as small as can be.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_localaws::LocalAws;
use ikada_options::{NetOptions, Options, Property, PropertyBag};
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{Batch, InstanceId, Kind, Outcome, Output, Routed, SendError, Service};
use ikada_record::{ChunkBuilder, DropReason, Ledger, Receipt, Share, Tag, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

/// Attempts after which a test is lost.
const ATTEMPTS: usize = 100;

/// Defines tests that run in a process of their own, with credentials and nothing else that AWS clients look at.
macro_rules! in_child {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)+) => {$(
        #[test]
        $(#[$meta])*
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            $crate::rig::run_in_child(path, &[], async $body);
        }
    )+};
}
pub(crate) use in_child;

/// Runs a test, by its path, in a process of its own, with more variables if need be.
pub(crate) fn run_in_child(path: &str, variables: &[(&str, &str)], body: impl Future<Output = ()>) {
    if is_child() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_")
            || text.starts_with("ECS_")
            || text.to_ascii_uppercase().ends_with("_PROXY")
        {
            command.env_remove(name);
        }
    }
    let test = path.split_once("::").unwrap().1;
    let status = command
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its own process");
}

const MARK: &str = "IKADA_TEST_CHILD";

/// Whether this is the process that [`run_in_child`] runs the test in.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Milliseconds since 1970, in the whole second.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs() as i64 * 1000
}

pub(crate) struct Rig {
    output: Box<dyn Output>,
    ready: Vec<Batch>,
    pub(crate) ledger: Arc<Ledger>,
    /// Attempts that left something to send again, and why.
    pub(crate) retries: Vec<(SendError, Option<Duration>)>,
    pub(crate) attempts: usize,
}

impl Rig {
    /// An output of the plugin with these options, one a line, at the local AWS.
    pub(crate) fn new(aws: &LocalAws, plugin: &str, options: &str) -> Self {
        Self::at(&aws.http_url(), plugin, options)
    }

    pub(crate) fn at(endpoint: &str, plugin: &str, options: &str) -> Self {
        Self::with(plugin, &format!("endpoint {endpoint}\n{options}"))
    }

    pub(crate) fn with(plugin: &str, options: &str) -> Self {
        let (output, found) = build(plugin, options);
        let output = output.unwrap_or_else(|| panic!("{found:?}"));
        Self { output, ready: Vec::new(), ledger: Arc::default(), retries: Vec::new(), attempts: 0 }
    }

    /// Hands over one chunk of records with their times in milliseconds.
    pub(crate) fn push(&mut self, tag: &str, entries: &[(i64, Value)]) {
        let mut builder = ChunkBuilder::new(Tag::from(tag));
        for (ms, record) in entries {
            let record = rmp_serde::to_vec(record).unwrap();
            builder.push_record(Timestamp::new(ms / 1000, (ms % 1000) as u32 * 1_000_000), &record);
        }
        let chunk = builder.finish(Receipt::unwatched());
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        share.keep_source(chunk.clone());
        let now = Instant::now();
        self.output.push(Routed { chunk, share: Arc::new(share), due: now + Duration::from_secs(1) }, now);
        self.take_ready();
    }

    fn take_ready(&mut self) {
        for batch in std::iter::from_fn(|| self.output.pop(Instant::now())) {
            assert_eq!(
                batch.origins.len(),
                batch.entries as usize,
                "each entry's place in its chunk is known"
            );
            self.ready.push(batch);
        }
    }

    /// Hands over so many numbered records, in chunks.
    pub(crate) fn push_numbered(&mut self, tag: &str, count: usize) {
        let start = now_ms();
        let entry = |n: usize| (start, serde_json::json!({"log": format!("line seq=t:{n} and more of it")}));
        let all: Vec<_> = (0..count).map(entry).collect();
        all.chunks(700).for_each(|chunk| self.push(tag, chunk));
    }

    /// All batches that there are.
    pub(crate) fn close(&mut self) -> Vec<Batch> {
        self.output.close_all();
        self.take_ready();
        std::mem::take(&mut self.ready)
    }

    /// Delivers everything, one batch after another, trying until everything is settled.
    pub(crate) async fn finish(&mut self) {
        for batch in self.close() {
            self.deliver(batch).await;
        }
        assert_eq!((self.output.held(), self.ledger.held(), self.ledger.abandoned()), (0, 0, 0));
    }

    /// Delivers everything, all batches side by side, each until it is settled.
    pub(crate) async fn finish_together(&mut self) {
        let batches = self.close();
        let retries = side_by_side(batches.into_iter().map(settle)).await;
        self.retries.extend(retries.into_iter().flatten());
        assert_eq!((self.output.held(), self.ledger.held(), self.ledger.abandoned()), (0, 0, 0));
    }

    pub(crate) async fn deliver(&mut self, mut batch: Batch) {
        for _ in 0..ATTEMPTS {
            self.attempts += 1;
            match batch.delivery.attempt().await {
                Outcome::Delivered => {
                    return batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
                }
                Outcome::Rejected { reason, .. } => {
                    let drop = |part: &ikada_plugin::Part| part.share.drop_entries(part.entries, reason);
                    return batch.parts.iter().for_each(drop);
                }
                Outcome::Retry { after, cause } => self.retries.push((cause, after)),
                Outcome::Partial { retry, rejected, reason, cause } => {
                    let mut place = 0;
                    for part in &mut batch.parts {
                        let all = place..place + part.entries;
                        place += part.entries;
                        let left = all.clone().filter(|place| retry.contains(*place)).count() as u32;
                        let dropped = all.filter(|place| rejected.contains(*place)).count() as u32;
                        part.share.deliver(part.entries - left - dropped);
                        part.share.drop_entries(dropped, reason);
                        part.entries = left;
                    }
                    batch.parts.retain(|part| part.entries > 0);
                    if batch.parts.is_empty() {
                        return;
                    }
                    self.retries.push((cause, None));
                }
            }
        }
        panic!("not settled after {ATTEMPTS} attempts: {:?}", self.retries.last());
    }

    /// One attempt at the only batch, which is to fail.
    pub(crate) async fn attempt_once(&mut self) -> Outcome {
        let mut batches = self.close();
        assert_eq!(batches.len(), 1);
        let outcome = batches[0].delivery.attempt().await;
        // Whatever came of it, the books are not this test's matter.
        batches[0]
            .parts
            .iter()
            .for_each(|part| part.share.drop_entries(part.entries, DropReason::RetryLimit));
        outcome
    }
}

/// Attempts at one batch until it is delivered; why attempts failed.
async fn settle(mut batch: Batch) -> Vec<(SendError, Option<Duration>)> {
    let mut retries = Vec::new();
    for _ in 0..ATTEMPTS {
        match batch.delivery.attempt().await {
            Outcome::Delivered => {
                batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
                return retries;
            }
            Outcome::Retry { after, cause } => retries.push((cause, after)),
            other => panic!("{other:?}"),
        }
    }
    panic!("not settled after {ATTEMPTS} attempts: {:?}", retries.last());
}

/// Runs futures side by side on this thread.
async fn side_by_side<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in running.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The output of these options, one a line, and everything there is to say about them.
pub(crate) fn build(plugin: &str, options: &str) -> (Option<Box<dyn Output>>, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.add("aws.conf", options);
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
    let mut bag = PropertyBag::new(format!("output {plugin}"), file.span(0, 0), properties);
    let mut diags = Diagnostics::new();
    let id = InstanceId {
        kind: Kind::Output,
        plugin: plugin.to_owned(),
        name: format!("{plugin}.0"),
        alias: None,
    };
    let cx = BuildContext {
        id: Arc::new(id),
        service: Arc::new(Service::default()),
        tag: None,
        mem_buf_limit: None,
        net: NetOptions::parse(&mut bag, &mut diags),
        parsers: Default::default(),
        dry_run: false,
    };
    let outputs = ikada_aws::outputs();
    let plugin = find(&outputs, plugin).unwrap();
    let output = (plugin.build)(&mut bag, &cx, &mut diags);
    bag.finish(&[&(plugin.options)()], &mut diags);
    let found: Vec<String> = diags.lines(&sources).collect();
    (output.filter(|_| !diags.has_errors()), found)
}
