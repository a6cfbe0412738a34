//! One replay: samples in at one end of the pipeline, what the outputs would receive out at the other.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ikada_config::{Document, Loaded, Section, SectionKind, build_pipeline};
use ikada_diag::Diagnostics;
use ikada_engine::{Engine, Pipeline};
use ikada_plugin::registry::Registry;
use ikada_plugin::{Batch, BoxFuture, Dispatch, Input, InputContext, InputError, OnFull, Output, Routed};
use ikada_record::json::{JsonStyle, write_record};
use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};
use tokio::time::{Instant, timeout};

use super::samples::Entry;
use crate::assemble::assemble;

/// How long a replay may take: far longer than any does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long filters that hold records back, and outputs, have at the end.
const GRACE: Duration = Duration::from_secs(10);

/// What goes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// Entries, as if the input had made them.
    Entries(Vec<Entry>),
    /// A file for a `tail` input to read.
    File(Vec<u8>),
}

/// A record that reached an output.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Its tag.
    pub tag: String,
    /// Its time.
    pub time: Timestamp,
    /// Itself.
    pub record: serde_json::Value,
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// What each output received, by the name that it is shown under, in file order.
    pub outputs: Vec<(String, Vec<Received>)>,
    /// Records that filters dropped.
    pub filtered: u64,
    /// Records that matched no output.
    pub unmatched: u64,
}

/// Why there was no replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no input of this name.
    #[error("no input is called `{0}`; there are {1}")]
    NoInput(String, String),
    /// There is no input at all.
    #[error("the configuration has no input that samples could come from")]
    NoInputs,
    /// The file for `tail` cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pipeline does not start.
    #[error("the pipeline does not start: {0}")]
    Start(String),
    /// The input did not come to an end.
    #[error("the samples were not through after {} seconds", PATIENCE.as_secs())]
    Endless,
}

/// Sends samples through the pipeline of a sound configuration.
///
/// `from` is the name of an input, the first one that fits where it is `None`; `tag` is what entries without a tag of their own come
/// under.
///
/// # Errors
/// See [`ReplayError`].
pub fn replay(
    loaded: &mut Loaded,
    registry: &Registry,
    from: Option<&str>,
    tag: Option<&str>,
    feed: Feed,
) -> Result<Replay, ReplayError> {
    let name = input_named(loaded, from, matches!(feed, Feed::File(_)))?;
    let file = match &feed {
        Feed::File(bytes) => Some(TailFile::write(bytes)?),
        Feed::Entries(_) => None,
    };
    if let Some(file) = &file {
        tail_of(loaded, &name, file, tag);
    }
    let mut pipeline = assemble(loaded, registry, false).pipeline;
    pipeline.inputs.retain(|slot| slot.id.name == name);
    if pipeline.inputs.is_empty() {
        return Err(ReplayError::NoInputs);
    }
    if let (Feed::Entries(entries), Some(slot)) = (feed, pipeline.inputs.first_mut()) {
        slot.input =
            Box::new(Fed { tag: tag.unwrap_or(super::args::USUAL_TAG).as_bytes().to_vec(), entries });
    }
    pipeline.storage = None;
    pipeline.dead_letters = None;
    pipeline.far_letters = None;
    run(pipeline)
}

/// The name, as `tail.0`, of the input that samples come from.
fn input_named(loaded: &Loaded, from: Option<&str>, is_file: bool) -> Result<String, ReplayError> {
    let inputs = build_pipeline(&loaded.document, &mut Diagnostics::new()).inputs;
    let fits = |plugin: &str| if is_file { plugin == "tail" } else { plugin == "forward" };
    let found = match from {
        Some(name) => inputs.iter().find(|input| input.id == name || input.name() == name),
        None => inputs.iter().find(|input| fits(&input.plugin.value)).or(inputs.first()),
    };
    if let Some(found) = found {
        return Ok(found.id.clone());
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.name()).collect();
    match from {
        Some(from) if !names.is_empty() => Err(ReplayError::NoInput(from.to_owned(), names.join(", "))),
        _ => Err(ReplayError::NoInputs),
    }
}

/// A file that is removed in the end.
struct TailFile(PathBuf);

impl TailFile {
    fn write(bytes: &[u8]) -> Result<Self, ReplayError> {
        let name = format!("ikada-test-{}-{:016x}.log", std::process::id(), rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        match std::fs::write(&path, bytes) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(ReplayError::File { path, source }),
        }
    }
}

impl Drop for TailFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Lets a `tail` input read one file from its start to its end, whatever it is configured to read.
fn tail_of(loaded: &mut Loaded, name: &str, file: &TailFile, tag: Option<&str>) {
    const REPLACED: [&str; 12] = [
        "path",
        "exclude_path",
        "db",
        "db.sync",
        "db.locking",
        "db.journal_mode",
        "db.compare_filename",
        "read_from_head",
        "read_newly_discovered_files_from_head",
        "exit_on_eof",
        "ignore_older",
        "refresh_interval",
    ];
    let inputs = build_pipeline(&loaded.document, &mut Diagnostics::new()).inputs;
    let Some(header) = inputs.iter().find(|input| input.id == name).map(|input| input.header) else { return };
    let path = file.0.display().to_string();
    let mut pairs = vec![("path", path.as_str()), ("read_from_head", "on"), ("exit_on_eof", "on")];
    pairs.extend(tag.map(|tag| ("tag", tag)));
    let own = Section::from_pairs(&mut loaded.sources, "sample", SectionKind::Input, pairs);
    let mut document = Document::new(loaded.document.origin());
    for section in loaded.document.sections() {
        let mut section = section.clone();
        if section.header == header {
            let is_replaced = |name: &str| REPLACED.contains(&name) || tag.is_some() && name == "tag";
            section.properties.retain(|property| !is_replaced(&property.name()));
            section.properties.extend(own.properties.clone());
        }
        document.push_section(section);
    }
    loaded.document = document;
}

fn run(mut pipeline: Pipeline) -> Result<Replay, ReplayError> {
    let mut shelves = Vec::new();
    for slot in &mut pipeline.outputs {
        let shelf = Arc::new(Mutex::new(Vec::new()));
        slot.output = Box::new(Capture(shelf.clone()));
        shelves.push((slot.id.shown().to_owned(), shelf));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| ReplayError::Start(error.to_string()))?;
    let report = runtime.block_on(async {
        let engine = Engine::start(pipeline).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            ReplayError::Start(format!("{error}: {cause}"))
        })?;
        let ended = timeout(PATIENCE, engine.quit().cancelled_owned()).await;
        let report = engine.drain(GRACE).await;
        ended.map(|()| report).map_err(|_| ReplayError::Endless)
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    let report = report?;
    let take = |shelf: Arc<Mutex<Vec<Received>>>| {
        std::mem::take(&mut *shelf.lock().unwrap_or_else(PoisonError::into_inner))
    };
    Ok(Replay {
        outputs: shelves.into_iter().map(|(name, shelf)| (name, take(shelf))).collect(),
        filtered: report.inputs.iter().map(|input| input.filtered).sum(),
        unmatched: report.inputs.iter().map(|input| input.unmatched).sum(),
    })
}

/// An input that hands over what it was given, and then asks the process to stop.
struct Fed {
    tag: Vec<u8>,
    entries: Vec<Entry>,
}

impl Input for Fed {
    fn open<'a>(&'a mut self, _cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async { Ok(()) })
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let now = cx.service.clock.now();
            for run in self.entries.chunk_by(|a, b| a.tag == b.tag) {
                let tag = run[0].tag.as_deref().unwrap_or(&self.tag);
                let mut chunk = ChunkBuilder::new(Tag::new(tag));
                for entry in run {
                    chunk.push_record(entry.time.unwrap_or(now), &entry.record);
                }
                cx.metrics.records.add(chunk.len() as u64);
                let how = Dispatch { due: Instant::now(), on_full: OnFull::Wait };
                cx.router.dispatch(&cx.id, chunk.finish(Receipt::unwatched()), how).await;
            }
            cx.quit.cancel();
            Ok(())
        })
    }
}

/// An output that keeps what it is given.
struct Capture(Arc<Mutex<Vec<Received>>>);

impl Output for Capture {
    fn push(&mut self, routed: Routed, _now: Instant) {
        let tag = routed.chunk.tag().to_string();
        let style = JsonStyle { escape_unicode: false };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in routed.chunk.entries() {
            let mut text = Vec::new();
            write_record(&mut text, entry.record_bytes(), style);
            let record = serde_json::from_slice(&text).unwrap_or_default();
            kept.push(Received { tag: tag.clone(), time: entry.time(), record });
        }
        routed.share.deliver(routed.chunk.len() as u32);
    }

    fn pop(&mut self, _now: Instant) -> Option<Batch> {
        None
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn close_all(&mut self) {}

    fn held(&self) -> usize {
        0
    }
}
