//! Runs a command again and again, and takes what it writes.

use std::process::Stdio;
use std::sync::Arc;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::write;
use ikada_options::{ByteSize, Options, PropertyBag, Spanned};
use ikada_parse::Parser;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError, OnFull};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tracing::warn;

use crate::complaints::Complaints;
use crate::hand_over;
use crate::net::Adder;
use crate::ticker::Interval;

/// Runs a command again and again, and makes a record of each line that it writes.
#[derive(Debug, Options)]
#[options(input = "exec")]
pub struct ExecOptions {
    /// Command, for `/bin/sh -c`.
    #[option(required, example = "df -h /")]
    pub command: String,
    /// Parser that makes a record of each line. A line that it cannot read is kept under `exec`.
    #[option(example = "json")]
    pub parser: Option<Spanned<String>>,
    /// How often; a run that takes longer is waited for.
    #[option(flatten)]
    pub interval: Interval,
    /// Size of the longest piece of a line; a longer line becomes several records.
    #[option(default = "4096")]
    pub buf_size: ByteSize,
    /// Runs the command once, at the start.
    #[option(default = "off")]
    pub oneshot: bool,
    /// Stops the program when the command has run once.
    #[option(default = "off")]
    pub exit_after_oneshot: bool,
    /// Not supported yet: the program's exit code says how the program ended.
    #[option(default = "off")]
    pub propagate_exit_code: Spanned<bool>,
}

struct Exec {
    tag: Option<String>,
    command: String,
    parser: Option<Arc<Parser>>,
    every: Duration,
    longest: usize,
    once: bool,
    then_quit: bool,
    complaints: Complaints,
}

/// Time that a command has, at a stop, to end and to have its last words read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = ExecOptions::parse(bag, diagnostics)?;
    if options.propagate_exit_code.value {
        let message = "`propagate_exit_code` has no effect: the exit code says how the program itself ended";
        diagnostics.push(
            Diagnostic::warning(codes::NO_EFFECT, message)
                .at(options.propagate_exit_code.span)
                .help("remove it"),
        );
    }
    let parser = match &options.parser {
        None => None,
        Some(name) => Some(cx.parsers.find(name, diagnostics)?),
    };
    let longest = usize::try_from(options.buf_size.0).unwrap_or(usize::MAX).saturating_sub(1).max(1);
    Some(Box::new(Exec {
        tag: cx.tag.clone(),
        command: options.command,
        parser,
        every: options.interval.every(),
        longest,
        once: options.oneshot || options.exit_after_oneshot,
        then_quit: options.exit_after_oneshot,
        complaints: Complaints::default(),
    }))
}

impl Input for Exec {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            self.work(&cx).await;
            Ok(())
        })
    }
}

impl Exec {
    async fn work(&self, cx: &InputContext) {
        let mut gatherer = Gatherer::new(cx.flush);
        if self.once {
            self.run_command(cx, &mut gatherer).await;
            hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
            if self.then_quit {
                cx.quit.cancel();
            }
            cx.stop.cancelled().await;
            return;
        }
        let mut ticks = interval_at(Instant::now() + self.every, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let due = gatherer.due();
            tokio::select! {
                biased;
                () = cx.stop.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
                }
                _ = ticks.tick() => self.run_command(cx, &mut gatherer).await,
            }
        }
        hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
    }

    async fn run_command(&self, cx: &InputContext, gatherer: &mut Gatherer) {
        let spawned = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                warn!(instance = %cx.id, "the command could not be started: {error}");
                return;
            }
        };
        if let Some(stdout) = child.stdout.take() {
            self.read(cx, gatherer, &child, stdout).await;
        }
        match timeout(LAST_WORDS, child.wait()).await {
            Ok(Ok(status)) if !status.success() && !cx.stop.is_cancelled() => {
                self.complaints.say(cx, "command", &format!("it ended with {status}"));
            }
            Ok(_) => {}
            // It closed its output and goes on: it is not waited for.
            Err(_) => end(&child),
        }
    }

    async fn read(&self, cx: &InputContext, gatherer: &mut Gatherer, child: &Child, mut stdout: ChildStdout) {
        let (mut buf, mut held) = (vec![0; 16 * 1024], Vec::new());
        // When reading ends at the latest, once the input stops.
        let mut latest: Option<Instant> = None;
        loop {
            let due = gatherer.due();
            let len = tokio::select! {
                biased;
                () = cx.stop.cancelled(), if latest.is_none() => {
                    end(child);
                    latest = Some(Instant::now() + LAST_WORDS);
                    continue;
                }
                () = sleep_until(latest.unwrap_or_else(Instant::now)), if latest.is_some() => 0,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hand_over::all(cx, gatherer, OnFull::Pace).await;
                    continue;
                }
                read = stdout.read(&mut buf) => read.unwrap_or(0),
            };
            held.extend_from_slice(&buf[..len]);
            self.take_lines(cx, gatherer, &mut held, len == 0);
            hand_over::full(cx, gatherer, OnFull::Pace).await;
            if len == 0 {
                return;
            }
        }
    }

    /// Takes the lines that are there, in pieces where they are too long; `ended` says that no more bytes will come.
    fn take_lines(&self, cx: &InputContext, gatherer: &mut Gatherer, held: &mut Vec<u8>, ended: bool) {
        let mut adder = Adder::new(cx, gatherer);
        let mut rest = &held[..];
        loop {
            let line = rest.iter().take(self.longest + 1).position(|byte| *byte == b'\n');
            let (text, next) = match line {
                Some(end) => (&rest[..end], end + 1),
                None if rest.len() > self.longest => (&rest[..self.longest], self.longest),
                None if ended && !rest.is_empty() => (rest, rest.len()),
                None => break,
            };
            self.add(cx, &mut adder, text);
            rest = &rest[next..];
        }
        let taken = held.len() - rest.len();
        drop(adder);
        held.drain(..taken);
    }

    fn add(&self, cx: &InputContext, adder: &mut Adder<'_>, line: &[u8]) {
        let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
        let mut record = Vec::new();
        let parsed = self.parser.as_ref().map(|parser| parser.parse(line, adder.clock, &mut record));
        if let Some(Ok(time)) = parsed {
            adder.add(tag, time.unwrap_or(adder.clock), &record);
            return;
        }
        write::map_header(&mut record, 1);
        write::str(&mut record, b"exec");
        write::str(&mut record, line);
        adder.add(tag, adder.clock, &record);
    }
}

/// Asks the command and all that it has started to end.
fn end(child: &Child) {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(group) = group {
        // One that has ended already needs no word.
        kill_process_group(group, Signal::TERM).ok();
    }
}
