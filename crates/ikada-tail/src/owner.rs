//! The thread that owns the files of an input.
//!
//! It waits for news, looks, reads while there is room for parcels, and hands them on. Dispatching a parcel may take long; meanwhile it goes on looking, so that
//! files that are rotated away under a dead output are opened before they are gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ikada_store::positions::{Past, Stored};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::followed::Life;
use crate::parcels::Parcel;
use crate::tailer::Tailer;
use crate::watch::{Folders, Signals};

/// Rest between two looks at all names, for folders where names come and go all the time.
const BETWEEN_SCANS: Duration = Duration::from_millis(20);

/// A look at all names may take one part in so many of the time.
const SCAN_SHARE: u32 = 10;

/// Time between two looks at sizes where the system does not tell of changes (reference, inputs §3.1).
const POLL: Duration = Duration::from_millis(250);

/// Time between two looks at names there.
const POLL_NAMES: Duration = Duration::from_secs(1);

/// Longest wait.
const LONG: Duration = Duration::from_secs(3600);

/// The thread's own things.
pub(crate) struct Owner {
    pub(crate) tailer: Tailer,
    pub(crate) signals: Arc<Signals>,
    pub(crate) out: mpsc::Sender<Parcel>,
    folders: Folders,
    /// When names are looked at next, and not before.
    scan_at: Instant,
    scan_from: Instant,
    is_scan_wanted: bool,
    check_at: Instant,
    has_told_gap: bool,
    /// Until when files that are all empty are no reason to end; nothing while there is none.
    may_be_empty_until: Option<Instant>,
}

impl Owner {
    pub(crate) fn new(tailer: Tailer, signals: Arc<Signals>, out: mpsc::Sender<Parcel>) -> Self {
        let folders = Folders::new(&signals, tailer.settings.is_told);
        let now = Instant::now();
        Self {
            tailer,
            signals,
            out,
            folders,
            scan_at: now,
            scan_from: now,
            is_scan_wanted: false,
            check_at: now,
            has_told_gap: false,
            may_be_empty_until: None,
        }
    }

    /// Looks for the first time. What comes later is new.
    pub(crate) fn begin(&mut self, rows: Vec<Stored>, past: Vec<Past>) {
        let folders = self.tailer.start(rows, past);
        if self.has_had_files() {
            self.may_be_empty_until = Some(Instant::now());
        }
        self.is_scan_wanted = true;
        self.watch(folders);
    }

    /// Works until the stop, or until all is read if that ends it. Returns whether it ended by itself.
    pub(crate) fn run(mut self) -> bool {
        let ended = loop {
            let news = self.signals.wait(self.patience());
            if news.is_stopped {
                break false;
            }
            let now = Instant::now();
            self.folders.lost(&news.gone);
            for path in &news.touched {
                self.tailer.touched(path, now);
            }
            self.is_scan_wanted |= news.names || news.all;
            if news.all || now >= self.check_at {
                self.is_scan_wanted |= self.tailer.check_all() | self.folders.is_outdated();
                self.check_at = Instant::now() + self.check_every();
            }
            if now >= self.scan_at || self.is_scan_wanted && now >= self.scan_from {
                self.scan(now);
            }
            self.tailer.retire(now);
            if self.tailer.next_copy().is_some_and(|due| now >= due) {
                self.tailer.settle_copies(now);
            }
            self.tailer.flush_lines(now);
            self.read(now);
            if self.tailer.parcels.due().is_some_and(|due| Instant::now() >= due) {
                self.tailer.parcels.close_all();
            }
            self.hand_over();
            self.tailer.account(now);
            self.tailer.show_counts();
            if self.tailer.settings.exit_on_eof && self.is_all_read(now) {
                break true;
            }
        };
        self.finish();
        ended
    }

    /// Whether there were files, and nothing is left of them. Before the first there is nothing that could end; one that comes
    /// empty has time to be written until the next look.
    fn is_all_read(&mut self, now: Instant) -> bool {
        if !self.has_had_files() || self.tailer.has_ready() || self.is_scan_wanted {
            return false;
        }
        let refresh = self.tailer.settings.refresh;
        let until = *self.may_be_empty_until.get_or_insert_with(|| now + refresh);
        now >= until || self.tailer.files.values().any(|file| file.place.offset > 0)
    }

    fn has_had_files(&self) -> bool {
        self.tailer.counts.opened > 0
    }

    /// Reads while there is room. Looks up now and then.
    fn read(&mut self, now: Instant) {
        while self.signals.has_room() && self.tailer.read_next(now) {
            self.hand_over();
            if self.tailer.parcels.due().is_some_and(|due| Instant::now() >= due) {
                return;
            }
            if Instant::now() >= now + BETWEEN_SCANS {
                return;
            }
        }
    }

    fn hand_over(&mut self) {
        while self.tailer.parcels.has_full() && self.signals.take_room() {
            let Some(parcel) = self.tailer.parcels.pop() else { return };
            // The channel has the room that was taken.
            if self.out.try_send(parcel).is_err() {
                return;
            }
        }
    }

    /// Lets go of everything, with all the time it takes.
    fn finish(&mut self) {
        let ids: Vec<_> = self.tailer.files.keys().copied().collect();
        for id in ids {
            self.tailer.finish_lines(id);
        }
        self.tailer.parcels.close_all();
        while let Some(parcel) = self.tailer.parcels.pop() {
            if self.out.blocking_send(parcel).is_err() {
                return;
            }
        }
    }

    fn scan(&mut self, now: Instant) {
        self.is_scan_wanted = false;
        let folders = self.tailer.scan(now);
        self.watch(folders);
        let after = Instant::now();
        self.scan_from = after + BETWEEN_SCANS.max((after - now) * SCAN_SHARE);
        self.scan_at = after + self.scan_every();
    }

    fn watch(&mut self, mut folders: Vec<PathBuf>) {
        // Where links lead to: what is written there is told of there.
        for file in self.tailer.files.values().filter(|file| file.life == Life::Named) {
            if !self.tailer.has_links {
                break;
            }
            if let Ok(real) = file.name.canonicalize()
                && let Some(folder) = real.parent()
            {
                folders.push(folder.to_owned());
            }
        }
        folders.retain(|folder| folder.exists());
        // What came between the look and the watch was not told.
        self.is_scan_wanted |= self.folders.watch(folders);
        if let Some(gap) = &self.folders.gap
            && !std::mem::replace(&mut self.has_told_gap, true)
        {
            warn!(instance = %self.tailer.input, "{gap}; looking at the files every {} ms instead", POLL.as_millis());
        }
    }

    fn is_polling(&self) -> bool {
        !self.tailer.settings.is_told || self.folders.gap.is_some()
    }

    fn check_every(&self) -> Duration {
        if self.is_polling() { POLL } else { self.tailer.settings.check }
    }

    fn scan_every(&self) -> Duration {
        let settings = &self.tailer.settings;
        let mut every = settings.refresh;
        if self.is_polling() {
            every = every.min(POLL_NAMES);
        }
        if self.tailer.has_links {
            every = every.min(settings.watch_links);
        }
        every.max(BETWEEN_SCANS)
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        if self.tailer.has_ready() && self.signals.has_room() {
            return Duration::ZERO;
        }
        let mut next = now + LONG;
        next = next.min(self.scan_at).min(self.check_at);
        if self.is_scan_wanted {
            next = next.min(self.scan_from);
        }
        let dues = [
            self.tailer.parcels.due(),
            self.tailer.next_retirement(),
            self.tailer.lines_due(),
            self.tailer.next_copy(),
        ];
        for due in dues.into_iter().flatten() {
            next = next.min(due);
        }
        if self.tailer.parcels.has_full() && self.signals.has_room() {
            return Duration::ZERO;
        }
        next.saturating_duration_since(now)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let counts = &self.tailer.counts;
        info!(
            instance = %self.tailer.input, opened = counts.opened, closed = counts.closed, rotated = counts.rotated,
            long_lines = counts.long_lines, unparsed = counts.misfits, "files followed"
        );
        self.folders.forget();
    }
}
