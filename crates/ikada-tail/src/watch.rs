//! What wakes the owner: changes in folders, room for another parcel, the stop.

use std::collections::HashSet;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::disk;

/// Paths that are kept between two looks; with more, everything is looked at.
const MOST_TOUCHED: usize = 4096;

/// What has happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Files that were written to.
    pub(crate) touched: HashSet<PathBuf>,
    /// Names came or went.
    pub(crate) names: bool,
    /// More than can be told one by one.
    pub(crate) all: bool,
    pub(crate) is_stopped: bool,
}

#[derive(Debug, Default)]
struct State {
    news: News,
    room: usize,
    is_woken: bool,
}

/// Shared by the owner's thread and those that wake it.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    state: Mutex<State>,
    wake: Condvar,
}

impl Signals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.is_woken = true;
        self.wake.notify_one();
    }

    /// There is room for another parcel.
    pub(crate) fn room(&self) {
        self.change(|state| state.room += 1);
    }

    pub(crate) fn stop(&self) {
        self.change(|state| state.news.is_stopped = true);
    }

    /// Takes room for a parcel.
    pub(crate) fn take_room(&self) -> bool {
        let mut state = self.state();
        let has_room = state.room > 0;
        state.room = state.room.saturating_sub(1);
        has_room
    }

    pub(crate) fn has_room(&self) -> bool {
        self.state().room > 0
    }

    /// Waits until something happens, or for this long. Returns what has happened.
    pub(crate) fn wait(&self, time: Duration) -> News {
        let mut state = self.state();
        if !time.is_zero() && !state.is_woken {
            state = self
                .wake
                .wait_timeout_while(state, time, |state| !state.is_woken)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.is_woken = false;
        let is_stopped = state.news.is_stopped;
        let news = mem::take(&mut state.news);
        state.news.is_stopped = is_stopped;
        News { is_stopped, ..news }
    }

    /// Waits until there is room or the stop. Nothing else ends this wait.
    fn heard(&self, event: notify::Result<notify::Event>) {
        let Ok(event) = event else {
            return self.change(|state| state.news.all = true);
        };
        if event.need_rescan() {
            return self.change(|state| state.news.all = true);
        }
        match event.kind {
            EventKind::Access(_) => {}
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => self.change(|state| {
                if state.news.touched.len() >= MOST_TOUCHED {
                    state.news.all = true;
                } else {
                    state.news.touched.extend(event.paths);
                }
            }),
            _ => self.change(|state| state.news.names = true),
        }
    }
}

/// Watches folders.
pub(crate) struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// Why not every folder is watched.
    pub(crate) gap: Option<String>,
}

impl Folders {
    /// Watches nothing yet; nothing at all if the system is not to be asked.
    pub(crate) fn new(signals: &Arc<Signals>, is_told: bool) -> Self {
        let mut folders = Self { watcher: None, watched: HashSet::new(), gap: None };
        if is_told {
            let signals = signals.clone();
            match notify::recommended_watcher(move |event| signals.heard(event)) {
                Ok(watcher) => folders.watcher = Some(watcher),
                Err(error) => folders.gap = Some(format!("the system does not tell of changes: {error}")),
            }
        }
        folders
    }

    /// Watches these folders, and no others.
    pub(crate) fn watch(&mut self, wanted: impl IntoIterator<Item = PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: HashSet<PathBuf> = wanted.into_iter().collect();
        for old in self.watched.difference(&wanted) {
            drop(watcher.unwatch(old));
        }
        let mut watched = HashSet::with_capacity(wanted.len());
        for folder in wanted {
            if disk::is_remote(&folder) {
                self.gap = Some(format!("{} lies on a network file system", folder.display()));
            }
            if self.watched.contains(&folder) || add(watcher, &folder, &mut self.gap) {
                watched.insert(folder);
            }
        }
        self.watched = watched;
    }

    /// A folder may have been removed and made anew: its watch is gone with it.
    pub(crate) fn forget(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            for folder in self.watched.drain() {
                drop(watcher.unwatch(&folder));
            }
        }
    }
}

fn add(watcher: &mut RecommendedWatcher, folder: &Path, gap: &mut Option<String>) -> bool {
    match watcher.watch(folder, RecursiveMode::NonRecursive) {
        Ok(()) => true,
        Err(error) => {
            if folder.exists() {
                *gap = Some(format!("{} cannot be watched: {error}", folder.display()));
            }
            false
        }
    }
}
