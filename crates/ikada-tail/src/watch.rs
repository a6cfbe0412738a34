//! What wakes the owner: changes in folders, room for another parcel, the stop.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::{self, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{ModifyKind, RemoveKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::disk;
use crate::identity::Stat;

/// Paths that are kept between two looks; with more, everything is looked at.
const MOST_TOUCHED: usize = 4096;

/// What has happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Files that were written to.
    pub(crate) touched: HashSet<PathBuf>,
    /// Names came or went.
    pub(crate) names: bool,
    /// Folders, or files, that were removed or renamed: a watch of such a folder has ended, or looks elsewhere.
    pub(crate) gone: HashSet<PathBuf>,
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
            EventKind::Remove(RemoveKind::File) => self.change(|state| state.news.names = true),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => self.change(|state| {
                state.news.names = true;
                if state.news.gone.len() < MOST_TOUCHED {
                    state.news.gone.extend(event.paths);
                } else {
                    state.news.all = true;
                }
            }),
            _ => self.change(|state| state.news.names = true),
        }
    }
}

/// Watches folders.
pub(crate) struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// Which folder each was when its watch began.
    watched: HashMap<PathBuf, Option<Stat>>,
    /// Why not every folder is watched.
    pub(crate) gap: Option<String>,
}

impl Folders {
    /// Watches nothing yet; nothing at all if the system is not to be asked.
    pub(crate) fn new(signals: &Arc<Signals>, is_told: bool) -> Self {
        let mut folders = Self { watcher: None, watched: HashMap::new(), gap: None };
        if is_told {
            let signals = signals.clone();
            match notify::recommended_watcher(move |event| signals.heard(event)) {
                Ok(watcher) => folders.watcher = Some(watcher),
                Err(error) => folders.gap = Some(format!("the system does not tell of changes: {error}")),
            }
        }
        folders
    }

    /// Watches these folders, and no others. Returns whether a watch began: what came before it was not told.
    pub(crate) fn watch(&mut self, wanted: impl IntoIterator<Item = PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        // What happens in them is told with whole paths.
        let whole = |folder: PathBuf| path::absolute(&folder).unwrap_or(folder);
        let wanted: HashSet<PathBuf> = wanted.into_iter().map(whole).collect();
        let mut has_begun = false;
        for old in self.watched.keys().filter(|old| !wanted.contains(*old)) {
            drop(watcher.unwatch(old));
        }
        self.watched.retain(|old, _| wanted.contains(old));
        for folder in wanted {
            if disk::is_remote(&folder) {
                self.gap = Some(format!("{} lies on a network file system", folder.display()));
            }
            let now = disk::stat(&folder).ok();
            match self.watched.get(&folder) {
                Some(then) if is_same(then.as_ref(), now.as_ref()) => continue,
                // Another folder under this name: the watch looks at the old one.
                Some(_) => drop(watcher.unwatch(&folder)),
                None => {}
            }
            self.watched.remove(&folder);
            if add(watcher, &folder, &mut self.gap) {
                self.watched.insert(folder, now);
                has_begun = true;
            }
        }
        has_begun
    }

    /// These were removed or renamed: whoever among them was watched has to be watched anew.
    pub(crate) fn lost<'p>(&mut self, gone: impl IntoIterator<Item = &'p PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in gone {
            if self.watched.remove(folder).is_some() {
                drop(watcher.unwatch(folder));
            }
        }
    }

    /// Whether a watched folder is not the one that is there now under its name.
    pub(crate) fn is_outdated(&self) -> bool {
        self.watched.iter().any(|(folder, then)| !is_same(then.as_ref(), disk::stat(folder).ok().as_ref()))
    }

    /// Ends all watches.
    pub(crate) fn forget(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            for (folder, _) in self.watched.drain() {
                drop(watcher.unwatch(&folder));
            }
        }
    }
}

/// Whether both are the same folder: an inode may be used again, a birth is not.
fn is_same(then: Option<&Stat>, now: Option<&Stat>) -> bool {
    match (then, now) {
        (Some(then), Some(now)) => then.id == now.id && then.born == now.born,
        (None, None) => true,
        _ => false,
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    /// Waits for news; a minute without any is too long.
    fn told(signals: &Signals, of: impl Fn(&News) -> bool) -> News {
        let start = Instant::now();
        loop {
            let news = signals.wait(Duration::from_secs(1));
            if of(&news) {
                return news;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "nothing was told");
        }
    }

    #[test]
    fn a_folder_that_is_made_again_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        let signals = Arc::new(Signals::default());
        let mut folders = Folders::new(&signals, true);
        for _ in 0..20 {
            fs::create_dir(&folder).unwrap();
            folders.watch([dir.path().to_owned(), folder.clone()]);
            fs::remove_dir(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
            // As its owner does: it hears of the end, and looks again.
            let news = told(&signals, |news| news.gone.contains(&folder));
            folders.lost(&news.gone);
            assert!(folders.watch([dir.path().to_owned(), folder.clone()]), "a watch began");
            fs::write(folder.join("a.log"), "one\n").unwrap();
            told(&signals, |news| news.touched.contains(&folder.join("a.log")));
            fs::remove_dir_all(&folder).unwrap();
            let news = told(&signals, |news| news.gone.contains(&folder));
            folders.lost(&news.gone);
        }
    }

    #[test]
    fn a_folder_in_the_place_of_a_renamed_one_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("up/logs");
        fs::create_dir_all(&folder).unwrap();
        let signals = Arc::new(Signals::default());
        let mut folders = Folders::new(&signals, true);
        assert!(folders.watch([folder.clone()]));
        assert!(!folders.watch([folder.clone()]) && !folders.is_outdated());
        // Nothing is told of what happens above a watched folder.
        fs::rename(dir.path().join("up"), dir.path().join("old")).unwrap();
        fs::create_dir_all(&folder).unwrap();
        assert!(folders.is_outdated());
        assert!(folders.watch([folder.clone()]));
        fs::write(folder.join("a.log"), "one\n").unwrap();
        told(&signals, |news| news.touched.contains(&folder.join("a.log")));
    }
}
