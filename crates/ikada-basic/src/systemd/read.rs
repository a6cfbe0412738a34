//! The process that reads the journal, and the loop around it.

use std::process::Stdio;
use std::sync::Arc;

use ikada_plugin::{Dispatch, Gatherer, InputContext, OnFull};
use ikada_record::Receipt;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cursor::Database;
use super::entry::{JournalEntry, Naming, read};
use super::options::Settled;
use super::rounds::Rounds;
use crate::complaints::Complaints;
use crate::lines::Lines;
use crate::net::Adder;

/// Bytes that are read at once.
const READ: usize = 64 * 1024;

/// Bytes a line may have: an entry of the journal is bounded by 768 MB only, but nobody logs that.
const LONGEST: usize = 64_000_000;

/// How long to wait before `journalctl` is started again after it has ended.
const AGAIN: Duration = Duration::from_secs(1);

/// How long what was handed over is waited for at a stop. The engine's own grace ends earlier, if it is shorter.
const LAST_ROUNDS: Duration = Duration::from_secs(60);

/// Reads the journal.
pub(super) struct Reader {
    settled: Settled,
    database: Option<Database>,
    rounds: Arc<Rounds>,
    /// The last entry that was read.
    cursor: Option<String>,
    /// Whether entries were read since the last round.
    is_fresh: bool,
    complaints: Complaints,
}

impl Reader {
    pub(super) fn new(settled: Settled, database: Option<Database>) -> Self {
        Self {
            settled,
            database,
            rounds: Arc::default(),
            cursor: None,
            is_fresh: false,
            complaints: Complaints::default(),
        }
    }

    pub(super) async fn run(mut self, cx: &InputContext) {
        self.cursor = self.stored(cx).await;
        let no_more = CancellationToken::new();
        let committing =
            tokio::spawn(commit(self.rounds.clone(), self.database.clone(), cx.clone(), no_more.clone()));
        while !cx.stop.is_cancelled() {
            match self.spawn() {
                Ok((child, stdout)) => self.follow(cx, child, stdout).await,
                Err(error) => {
                    let program = self.settled.program.display().to_string();
                    self.complaints.say(cx, &program, &format!("cannot be started: {error}"));
                }
            }
            cx.stop.run_until_cancelled(sleep(AGAIN)).await;
        }
        no_more.cancel();
        // It ends by itself when everything is settled.
        timeout(LAST_ROUNDS, committing).await.ok();
    }

    /// The position of an earlier run.
    async fn stored(&self, cx: &InputContext) -> Option<String> {
        let database = self.database.clone()?;
        match tokio::task::spawn_blocking(move || database.read()).await {
            Ok(Ok(cursor)) => cursor,
            Ok(Err(error)) => {
                warn!(instance = %cx.id, "the position cannot be read, so the journal is read anew: {error}");
                None
            }
            Err(_) => None,
        }
    }

    fn spawn(&self) -> std::io::Result<(Child, ChildStdout)> {
        let mut command = Command::new(&self.settled.program);
        command.args(["--output=json", "--all", "--follow", "--quiet", "--no-pager"]);
        match &self.cursor {
            Some(cursor) => command.arg("--lines=all").arg(format!("--after-cursor={cursor}")),
            None if self.settled.from_tail => command.arg("--lines=0"),
            None => command.arg("--lines=all"),
        };
        command.args(&self.settled.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("it has no output"))?;
        Ok((child, stdout))
    }

    /// Takes entries until the process ends or the input stops.
    async fn follow(&mut self, cx: &InputContext, mut child: Child, mut stdout: ChildStdout) {
        let mut gatherer = Gatherer::new(cx.flush);
        let mut lines = Lines::new(b"\n".to_vec(), LONGEST);
        let mut buf = vec![0; READ];
        let mut entries = 0;
        loop {
            let due = gatherer.due();
            let len = tokio::select! {
                biased;
                () = cx.stop.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.end_round(cx, &mut gatherer).await;
                    entries = 0;
                    continue;
                }
                read = stdout.read(&mut buf) => read.unwrap_or(0),
            };
            lines.feed(&buf[..len]);
            entries += self.take_lines(cx, &mut lines, &mut gatherer);
            if entries >= self.settled.max_entries || gatherer.size() >= 4 * 256 * 1024 {
                self.end_round(cx, &mut gatherer).await;
                entries = 0;
            }
            if len == 0 || lines.is_too_long() {
                break;
            }
        }
        self.end_round(cx, &mut gatherer).await;
        if cx.stop.is_cancelled() {
            return;
        }
        match child.try_wait() {
            Ok(Some(status)) => self.complaints.say(cx, "journalctl", &format!("ended with {status}")),
            _ => self.complaints.say(cx, "journalctl", "its output ended"),
        }
        info!(instance = %cx.id, "journalctl is started again");
    }

    fn take_lines(&mut self, cx: &InputContext, lines: &mut Lines, gatherer: &mut Gatherer) -> usize {
        let naming = Naming {
            lowercase: self.settled.lowercase,
            strips: self.settled.strips,
            max_fields: self.settled.max_fields,
        };
        let mut adder = Adder::new(cx, gatherer);
        let mut taken = 0;
        // The last line is whole or not there: a process that was killed may leave half of one, which is read again.
        while let Some(line) = lines.next(false) {
            if line.is_empty() {
                continue;
            }
            match read(line, naming) {
                Some(JournalEntry { cursor, time, unit, record }) => {
                    let tag = tag(self.settled.tag.as_deref().unwrap_or(&cx.id.name), unit.as_deref());
                    adder.add(&tag, time.unwrap_or(adder.clock), &record);
                    self.cursor = Some(cursor);
                    self.is_fresh = true;
                    taken += 1;
                }
                None => self.complaints.say(cx, "journalctl", "a line is no entry"),
            }
        }
        taken
    }

    /// Hands over what was gathered, as one round.
    async fn end_round(&mut self, cx: &InputContext, gatherer: &mut Gatherer) {
        let due = gatherer.due().unwrap_or_else(Instant::now);
        let chunks = gatherer.take_all();
        let Some(cursor) = self.cursor.clone().filter(|_| std::mem::take(&mut self.is_fresh)) else { return };
        let receipt = match &self.database {
            Some(_) => self.rounds.begin(cursor, cx.tally.clone()),
            None => Receipt::unwatched(),
        };
        for builder in chunks {
            let chunk = builder.finish(receipt.clone());
            // The journal keeps what is not read.
            cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full: OnFull::Wait }).await;
        }
    }
}

/// The tag of an entry: `*` stands for its unit.
fn tag(pattern: &str, unit: Option<&[u8]>) -> Vec<u8> {
    match pattern.split_once('*') {
        None => pattern.as_bytes().to_vec(),
        Some((before, behind)) => [before.as_bytes(), unit.unwrap_or(b"unknown"), behind.as_bytes()].concat(),
    }
}

/// Writes cursors as rounds settle, until there are no more rounds and everything is settled.
async fn commit(
    rounds: Arc<Rounds>,
    database: Option<Database>,
    cx: InputContext,
    no_more: CancellationToken,
) {
    loop {
        if let (Some(cursor), Some(database)) = (rounds.take_ready(), database.clone()) {
            let now = cx.service.clock.now().secs();
            let written = tokio::task::spawn_blocking(move || database.write(&cursor, now)).await;
            if let Ok(Err(error)) = written {
                warn!(instance = %cx.id, "the position cannot be written: {error}");
            }
        }
        // Asked in this order: no round begins after the first answer is yes.
        if no_more.is_cancelled() && rounds.is_done() {
            return;
        }
        tokio::select! {
            () = rounds.changed() => {}
            () = no_more.cancelled(), if !no_more.is_cancelled() => {}
        }
    }
}
