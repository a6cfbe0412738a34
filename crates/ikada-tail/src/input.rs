//! The input: builds it, starts its thread, dispatches its parcels.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Options, PropertyBag, Spanned};
use ikada_parse::regex::Regex;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Dispatch, Input, InputContext, InputError, OnFull};
use ikada_record::{Receipt, Settlement};
use ikada_store::positions::{Journal, Positions, Settings as DbSettings};
use tokio::sync::{Notify, mpsc};
use tracing::error;

use crate::commit::{Commits, Committer};
use crate::join::Making;
use crate::options::{JournalMode, Sync, TailOptions};
use crate::owner::Owner;
use crate::parcels::{Parcel, settle};
use crate::pattern::PathPattern;
use crate::record::RecordRule;
use crate::settings::{LONGEST, Settings};
use crate::tag::TagRule;
use crate::tailer::Tailer;
use crate::watch::Signals;

/// Parcels between the thread and the dispatch: one under way, one ready.
const PARCELS: usize = 2;

struct Tail {
    settings: Option<Settings>,
    db: Option<(PathBuf, DbSettings)>,
    opened: Option<Opened>,
}

/// What the start has made: the files are known, nothing is read yet.
struct Opened {
    owner: Owner,
    guard: Guard,
    commits: Commits,
    parcels: mpsc::Receiver<Parcel>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = TailOptions::parse(bag, diagnostics)?;
    let numbered = numbered_parsers(bag);
    let settings = settings(&options, &numbered, cx, diagnostics)?;
    let db = options.db.as_ref().map(|path| (path.value.clone(), db_settings(&options)));
    Some(Box::new(Tail { settings: Some(settings), db, opened: None }))
}

/// `Parser_1`, `Parser_2` and so on, in the order in which they are written.
fn numbered_parsers(bag: &mut PropertyBag) -> Vec<Spanned<String>> {
    let mut names: Vec<String> = Vec::new();
    for property in bag.properties() {
        let name = property.name();
        let number = name.strip_prefix("parser_").and_then(|number| number.parse::<u32>().ok());
        if number.is_some() && !names.contains(&name) {
            names.push(name);
        }
    }
    let taken = names.into_iter().flat_map(|name| bag.take_all(&[&name]));
    taken.map(|(_, property)| property.value).collect()
}

/// How lines become records; `None` with a finding if that cannot be.
fn making(
    options: &TailOptions,
    numbered: &[Spanned<String>],
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Making> {
    let parsers = &cx.parsers;
    let find = |name: &Option<Spanned<String>>, diagnostics: &mut Diagnostics| match name {
        None => Some(None),
        Some(name) => parsers.find(name, diagnostics).map(Some),
    };
    let ignored = |why: &str, diagnostics: &mut Diagnostics| {
        if let Some(parser) = &options.parser {
            let message = format!("`Parser` has no effect beside `{why}`");
            diagnostics.push(Diagnostic::warning(codes::CONFLICTING_OPTIONS, message).at(parser.span));
        }
    };
    let lists = options.multiline_parser.iter().flat_map(|list| {
        list.value.iter().map(|name| Spanned::new(name.clone(), list.span)).collect::<Vec<_>>()
    });
    let names: Vec<_> = lists.collect();
    if !names.is_empty() {
        ignored("multiline.parser", diagnostics);
        let found: Vec<_> =
            names.iter().map(|name| parsers.find_multiline_of_file(name, diagnostics)).collect();
        let all: Option<Vec<_>> = found.into_iter().collect();
        return all.map(|all| Making::Joined(all.into()));
    }
    if options.docker_mode {
        let parser = find(&options.parser, diagnostics)?;
        let first = find(&options.docker_mode_parser, diagnostics)?;
        return Some(Making::Docker { parser, first, wait: options.docker_mode_flush.0 });
    }
    if options.multiline {
        ignored("Multiline On", diagnostics);
        let first = find(&options.parser_firstline, diagnostics)?;
        let more: Vec<_> = numbered.iter().map(|name| parsers.find(name, diagnostics)).collect();
        let more: Option<Vec<_>> = more.into_iter().collect();
        let Some(first) = first else {
            let message = "`Multiline On` needs `Parser_Firstline`";
            let help = "name the parser that takes the first line of a record, or use `multiline.parser`";
            diagnostics
                .push(Diagnostic::error(codes::MISSING_OPTION, message).at(options.path.span).help(help));
            return None;
        };
        return Some(Making::Old { first, more: more?, wait: options.multiline_flush.0 });
    }
    Some(find(&options.parser, diagnostics)?.map_or(Making::Plain, Making::Parsed))
}

fn settings(
    options: &TailOptions,
    numbered: &[Spanned<String>],
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    let mut is_sound = true;
    let template = cx.tag.clone().unwrap_or_else(|| cx.id.name.clone());
    let regex = options.tag_regex.as_ref().and_then(|regex| match Regex::new(&regex.value) {
        Ok(compiled) => Some(compiled),
        Err(error) => {
            let message = format!("not a regular expression: {error}");
            diagnostics.push(Diagnostic::error(codes::BAD_REGEX, message).at(regex.span));
            is_sound = false;
            None
        }
    });
    if let (Some(charset), Some(_)) = (&options.generic_encoding, options.unicode_encoding) {
        is_sound = false;
        let message = "a file is in one encoding: there are `generic.encoding` and `unicode.encoding`";
        let help = "remove one of them";
        diagnostics.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(charset.span).help(help));
    }
    let making = making(options, numbered, cx, diagnostics)?;
    if !is_sound {
        return None;
    }
    let records = RecordRule::new(
        &options.key,
        options.path_key.as_deref(),
        options.offset_key.as_deref(),
        options.skip_empty_lines,
    );
    let size = options.buffer_max_size.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
    let age = options.ignore_older.0;
    let turn = options.static_batch_size.0.min(options.event_batch_size.0).max(1);
    let check = options.progress_check_interval.0
        + Duration::from_nanos(u64::from(options.progress_check_interval_nsec));
    Some(Settings {
        patterns: options.path.value.iter().map(|text| PathPattern::new(text)).collect(),
        excludes: options.exclude_path.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
        tags: TagRule::new(template, regex),
        records,
        making,
        from_head: options.read_from_head,
        new_from_head: options.read_newly_discovered_files_from_head,
        ignore_older: (!age.is_zero()).then_some(age),
        ignore_active_older: options.ignore_active_older_files,
        skips_long: options.skip_long_lines && !options.truncate_long_lines,
        longest: size.map_or(LONGEST, |size| size.clamp(16, MOST_LINE) - 2),
        cut: size.map_or(LONGEST, |size| size.clamp(16, MOST_LINE) - 1),
        turn: usize::try_from(turn).unwrap_or(usize::MAX),
        refresh: options.refresh_interval.0.max(Duration::from_millis(100)),
        rotate_wait: options.rotate_wait.0,
        watch_links: options.watcher_interval.0.max(Duration::from_millis(100)),
        check: check.max(Duration::from_millis(100)),
        exit_on_eof: options.exit_on_eof,
        is_told: options.inotify_watcher,
        compare_name: options.db_compare_filename,
        encoding: options.unicode_encoding,
        charset: options.generic_encoding.as_ref().map(|charset| charset.value),
    })
}

/// Longest line that can be asked for: a chunk must stay far below 4 GiB.
const MOST_LINE: usize = 256_000_000;

fn db_settings(options: &TailOptions) -> DbSettings {
    DbSettings {
        synchronous: match options.db_sync {
            Sync::Off => 0,
            Sync::Normal => 1,
            Sync::Full => 2,
            Sync::Extra => 3,
        },
        exclusive: options.db_locking,
        journal: match options.db_journal_mode {
            JournalMode::Wal => Journal::Wal,
            JournalMode::Delete => Journal::Delete,
            JournalMode::Truncate => Journal::Truncate,
            JournalMode::Persist => Journal::Persist,
            JournalMode::Memory => Journal::Memory,
            JournalMode::Off => Journal::Off,
        },
    }
}

impl Input for Tail {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let Some(settings) = self.settings.take() else { return Ok(()) };
            let (db, cx) = (self.db.clone(), cx.clone());
            let doing = match &db {
                Some((path, _)) => format!("could not open the position database {}", path.display()),
                None => "could not look for files".to_owned(),
            };
            let opened = tokio::task::spawn_blocking(move || start(settings, db, &cx)).await;
            let opened = opened.unwrap_or_else(|failed| Err(std::io::Error::other(failed)));
            self.opened = Some(opened.map_err(|source| InputError::Io { doing, source })?);
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            if let Some(opened) = self.opened.take() {
                run(opened, cx).await;
            }
            Ok(())
        })
    }
}

/// Opens the database and looks for files, so that whatever comes from now on is new.
fn start(
    settings: Settings,
    db: Option<(PathBuf, DbSettings)>,
    cx: &InputContext,
) -> std::io::Result<Opened> {
    let input = cx.id.shown().to_owned();
    let (committer, rows, past) = match db {
        None => (Committer::default(), Vec::new(), Vec::new()),
        Some((path, settings)) => {
            let db = Positions::open(&path, &settings).map_err(std::io::Error::other)?;
            let rows = db.all().map_err(std::io::Error::other)?;
            let past = db.past(&input).map_err(std::io::Error::other)?;
            (Committer::start(db, input.clone())?, rows, past)
        }
    };
    let signals = Arc::new(Signals::default());
    for _ in 0..PARCELS {
        signals.room();
    }
    let commits = committer.commits();
    let (metrics, clock) = (cx.metrics.clone(), cx.service.clock.clone());
    let memory = cx.service.input_memory.share();
    let tailer = Tailer::new(input, settings, cx.flush, commits.clone(), metrics, clock, memory);
    let (sender, parcels) = mpsc::channel(PARCELS);
    let mut owner = Owner::new(tailer, signals.clone(), sender);
    owner.begin(rows, past);
    Ok(Opened { owner, guard: Guard { signals, committer }, commits, parcels })
}

/// Receipts that have not come back.
#[derive(Debug, Default)]
struct Out {
    count: AtomicU64,
    none: Notify,
}

impl Out {
    fn back(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none.notify_one();
        }
    }

    async fn wait_for_all(&self) {
        while self.count.load(Ordering::Acquire) > 0 {
            self.none.notified().await;
        }
    }
}

/// Stops the thread, and stores what is settled, whatever ends the task.
struct Guard {
    signals: Arc<Signals>,
    committer: Committer,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.signals.stop();
        self.committer.finish();
    }
}

async fn run(opened: Opened, cx: InputContext) {
    let Opened { owner, mut guard, commits, mut parcels } = opened;
    let signals = guard.signals.clone();
    let thread = tokio::task::spawn_blocking(move || owner.run());
    let out = Arc::new(Out::default());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            () = cx.stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                signals.stop();
            }
            parcel = parcels.recv() => {
                let Some(parcel) = parcel else { break };
                dispatch(&cx, parcel, &out, &commits).await;
                signals.room();
            }
        }
    }
    match thread.await {
        Ok(true) => cx.quit.cancel(),
        Ok(false) => {}
        Err(failed) => {
            error!(instance = %cx.id, "following files ended in a bug: {failed}");
            cx.quit.cancel();
        }
    }
    // Positions move with receipts, and receipts come back while the outputs drain.
    out.wait_for_all().await;
    let finished = tokio::task::spawn_blocking(move || guard.committer.finish());
    if finished.await.is_err() {
        error!(instance = %cx.id, "storing positions ended in a bug");
    }
}

async fn dispatch(cx: &InputContext, parcel: Parcel, out: &Arc<Out>, commits: &Commits) {
    out.count.fetch_add(1, Ordering::AcqRel);
    let (out, commits, pieces) = (out.clone(), commits.clone(), parcel.pieces);
    let receipt = Receipt::new(Some(cx.tally.clone()), move |settlement: Settlement| {
        settle(&pieces, settlement, &commits);
        out.back();
    });
    let chunk = parcel.builder.finish(receipt);
    let how = Dispatch { due: parcel.due, on_full: OnFull::Wait };
    cx.router.dispatch(&cx.id, chunk, how).await;
}
