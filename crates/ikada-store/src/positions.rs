//! Positions in files, in Fluent Bit's own database.
//!
//! The table `in_tail_files` is Fluent Bit's to the letter (reference, inputs §3.8), so that either program goes on where the other one stopped.
//! What more is needed to know a file again lies in a second table, which Fluent Bit neither reads nor touches:
//!
//! ```sql
//! CREATE TABLE ikada_tail_files (  -- version 1
//!   id INTEGER PRIMARY KEY,        -- of the row in in_tail_files
//!   inode INTEGER,                 -- the same as there: a row that Fluent Bit made anew under an old id is told by it
//!   input TEXT,                    -- the instance that reads the file
//!   device INTEGER,
//!   head INTEGER, head_size INTEGER,  -- XXH3 of the first bytes, and how many they are
//!   origin TEXT,                   -- the name under which it was found at first
//!   mtime INTEGER,                 -- nanoseconds, when the position was stored
//!   unpacked INTEGER,              -- for .gz files: the position in the text
//!   seen INTEGER,                  -- unix time at which the file was last known to exist
//!   text_marker INTEGER, text_marker_size INTEGER  -- for .gz files: as offset_marker, in the text
//! );
//! CREATE TABLE ikada_tail_past (   -- version 1: contents that were read and whose files are gone
//!   id INTEGER PRIMARY KEY,
//!   input TEXT,
//!   origin TEXT,
//!   head INTEGER, head_size INTEGER,
//!   offset INTEGER,                -- bytes of text that need not be read again
//!   marker INTEGER, marker_size INTEGER,
//!   mtime INTEGER,                 -- of the file, nanoseconds
//!   seen INTEGER                   -- unix time at which it was gone
//! );
//! ```
//!
//! By the third one a content is recognised that comes back in another file: packed, or as a copy.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

/// How long another program may hold the database before a change is given up.
const BUSY: Duration = Duration::from_secs(5);

const CREATE: &str = "CREATE TABLE IF NOT EXISTS in_tail_files (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  offset INTEGER,
  inode INTEGER,
  created INTEGER,
  rotated INTEGER DEFAULT 0,
  offset_marker INTEGER DEFAULT 0,
  offset_marker_size INTEGER DEFAULT 0
)";

const CREATE_MORE: &str = "CREATE TABLE IF NOT EXISTS ikada_tail_files (
  id INTEGER PRIMARY KEY,
  inode INTEGER,
  input TEXT,
  device INTEGER,
  head INTEGER,
  head_size INTEGER,
  origin TEXT,
  mtime INTEGER,
  unpacked INTEGER,
  seen INTEGER,
  text_marker INTEGER DEFAULT 0,
  text_marker_size INTEGER DEFAULT 0
)";

const CREATE_PAST: &str = "CREATE TABLE IF NOT EXISTS ikada_tail_past (
  id INTEGER PRIMARY KEY,
  input TEXT,
  origin TEXT,
  head INTEGER,
  head_size INTEGER,
  offset INTEGER,
  marker INTEGER,
  marker_size INTEGER,
  mtime INTEGER,
  seen INTEGER
)";

/// Past contents that are kept of each origin.
const MOST_PAST: i64 = 64;

/// Seconds that a past content is kept: as long as a rotation may take to pack it.
const KEEP_PAST: i64 = 30 * 86_400;

/// `DB.sync`, `DB.locking` and `DB.journal_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// SQLite's `synchronous`: 0 off, 1 normal, 2 full, 3 extra.
    pub synchronous: u8,
    /// Whether no other program may look into the database.
    pub exclusive: bool,
    /// SQLite's `journal_mode`.
    pub journal: Journal,
}

impl Default for Settings {
    fn default() -> Self {
        Self { synchronous: 1, exclusive: false, journal: Journal::Wal }
    }
}

/// How SQLite makes a transaction whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// A journal file that is removed after each transaction.
    Delete,
    /// A journal file that is cut to nothing.
    Truncate,
    /// A journal file whose header is cleared.
    Persist,
    /// A journal in memory: a crash may destroy the database.
    Memory,
    /// A log that is written ahead.
    Wal,
    /// None: a crash may destroy the database.
    Off,
}

impl Journal {
    fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::Persist => "PERSIST",
            Self::Memory => "MEMORY",
            Self::Wal => "WAL",
            Self::Off => "OFF",
        }
    }
}

/// What is stored of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its name, as bytes of the file system.
    pub name: Vec<u8>,
    /// Bytes of the file that need not be read again.
    pub offset: u64,
    /// Its inode.
    pub inode: u64,
    /// Whether it has lost the name under which it was found.
    pub rotated: bool,
    /// XXH3 of the bytes just before the offset, as a signed number.
    pub marker: i64,
    /// How many bytes that are; 0 if nothing is known.
    pub marker_size: u8,
    /// What only this program knows; `None` in rows of Fluent Bit.
    pub more: Option<More>,
}

/// What only this program knows of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    /// The instance that reads it; filled in when it is stored.
    pub input: String,
    /// Its device.
    pub device: u64,
    /// XXH3 of its first bytes, as a signed number.
    pub head: i64,
    /// How many bytes that are; 0 if nothing is known.
    pub head_size: u16,
    /// The name under which it was found at first.
    pub origin: Vec<u8>,
    /// Its time of modification in nanoseconds.
    pub mtime: i64,
    /// For compressed files: bytes of its text that need not be read again.
    pub unpacked: Option<u64>,
    /// XXH3 of the text just before those bytes' end, as a signed number.
    pub text_marker: i64,
    /// How many bytes that are; 0 if nothing is known.
    pub text_marker_size: u8,
    /// Unix time at which the file was last known to exist.
    pub seen: i64,
}

/// Content that was read and whose file is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The name under which it was found at first, as bytes of the file system.
    pub origin: Vec<u8>,
    /// XXH3 of its first bytes, as a signed number.
    pub head: i64,
    /// How many bytes that are.
    pub head_size: u16,
    /// Bytes of its text that need not be read again.
    pub offset: u64,
    /// XXH3 of the bytes just before the offset, as a signed number.
    pub marker: i64,
    /// How many bytes that are; 0 if nothing is known.
    pub marker_size: u8,
    /// Its file's time of modification in nanoseconds.
    pub mtime: i64,
}

/// A row of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number: the newest of an inode counts.
    pub id: i64,
    /// Unix time at which it was made.
    pub created: i64,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// A change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores a checkpoint, in the row given or in a new one.
    Save {
        /// The row, if there is one.
        id: Option<i64>,
        /// What to store.
        checkpoint: Checkpoint,
        /// The instance that reads the file.
        input: String,
        /// Unix time.
        now: i64,
    },
    /// Removes a row, and remembers what it held.
    Forget {
        /// Which, if there is one.
        id: Option<i64>,
        /// What it held, if that may come back.
        past: Option<Past>,
        /// The instance that read it.
        input: String,
        /// Unix time.
        now: i64,
    },
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PositionsError {
    /// It cannot be opened, or is none.
    #[error("the position database cannot be opened")]
    Open(#[source] rusqlite::Error),
    /// A pragma was refused.
    #[error("the position database does not take {0}")]
    Setting(&'static str, #[source] rusqlite::Error),
    /// It cannot be read.
    #[error("the position database cannot be read")]
    Read(#[source] rusqlite::Error),
    /// It cannot be written; nothing of the change is stored.
    #[error("the position database cannot be written")]
    Write(#[source] rusqlite::Error),
}

/// An open position database.
#[derive(Debug)]
pub struct Positions {
    db: Connection,
}

impl Positions {
    /// Opens a database, Fluent Bit's or one of this program, or makes one.
    ///
    /// # Errors
    /// The folder is missing, or the file is no SQLite database.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, PositionsError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(PositionsError::Open)?;
        db.busy_timeout(BUSY).map_err(PositionsError::Open)?;
        // Fluent Bit's order (reference, inputs §3.8).
        db.pragma_update(None, "synchronous", settings.synchronous)
            .map_err(|error| PositionsError::Setting("`DB.sync`", error))?;
        if settings.exclusive {
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")
                .map_err(|error| PositionsError::Setting("`DB.locking`", error))?;
        }
        db.pragma_update(None, "journal_mode", settings.journal.name())
            .map_err(|error| PositionsError::Setting("`DB.journal_mode`", error))?;
        let positions = Self { db };
        positions.migrate().map_err(PositionsError::Open)?;
        Ok(positions)
    }

    fn migrate(&self) -> rusqlite::Result<()> {
        self.db.execute(CREATE, [])?;
        self.add_columns("in_tail_files", ["offset_marker", "offset_marker_size"])?;
        self.db.execute(CREATE_MORE, [])?;
        self.add_columns("ikada_tail_files", ["text_marker", "text_marker_size"])?;
        self.db.execute(CREATE_PAST, [])?;
        // Rows that Fluent Bit has removed, or made anew under an old number.
        self.db.execute(
            "DELETE FROM ikada_tail_files WHERE NOT EXISTS (SELECT 1 FROM in_tail_files AS f
             WHERE f.id = ikada_tail_files.id AND f.inode = ikada_tail_files.inode)",
            [],
        )?;
        Ok(())
    }

    fn add_columns(&self, table: &str, columns: [&str; 2]) -> rusqlite::Result<()> {
        for column in columns {
            if !self.has_column(table, column)? {
                self.db.execute(&format!("ALTER TABLE {table} ADD COLUMN {column} INTEGER DEFAULT 0"), [])?;
            }
        }
        Ok(())
    }

    fn has_column(&self, table: &str, column: &str) -> rusqlite::Result<bool> {
        self.db
            .query_row("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", params![table, column], |_| {
                Ok(())
            })
            .optional()
            .map(|found| found.is_some())
    }

    /// All rows, the newest first: of several with one inode, the first counts.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn all(&self) -> Result<Vec<Stored>, PositionsError> {
        let read = || -> rusqlite::Result<Vec<Stored>> {
            let mut query = self.db.prepare_cached(
                "SELECT f.id, f.name, f.offset, f.inode, f.created, f.rotated, f.offset_marker, f.offset_marker_size,
                 m.input, m.device, m.head, m.head_size, m.origin, m.mtime, m.unpacked, m.seen,
                 m.text_marker, m.text_marker_size
                 FROM in_tail_files AS f LEFT JOIN ikada_tail_files AS m ON m.id = f.id AND m.inode = f.inode
                 ORDER BY f.id DESC",
            )?;
            query.query_map([], stored)?.collect()
        };
        read().map_err(PositionsError::Read)
    }

    /// Contents of an instance whose files are gone, the oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn past(&self, input: &str) -> Result<Vec<Past>, PositionsError> {
        let read = || -> rusqlite::Result<Vec<Past>> {
            let mut query = self.db.prepare_cached(
                "SELECT origin, head, head_size, offset, marker, marker_size, mtime
                 FROM ikada_tail_past WHERE input = ?1 ORDER BY id",
            )?;
            query.query_map(params![input], past)?.collect()
        };
        read().map_err(PositionsError::Read)
    }

    /// Makes changes, all or none, and returns the row of each: `None` for a row that was removed.
    ///
    /// # Errors
    /// The database cannot be written; nothing is changed.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<Vec<Option<i64>>, PositionsError> {
        let write = |db: &mut Connection| {
            let change = db.transaction()?;
            let ids: rusqlite::Result<Vec<_>> =
                changes.into_iter().map(|one| apply_one(&change, one)).collect();
            change.commit()?;
            ids
        };
        write(&mut self.db).map_err(PositionsError::Write)
    }
}

fn apply_one(db: &Transaction<'_>, change: Change) -> rusqlite::Result<Option<i64>> {
    match change {
        Change::Forget { id, past, input, now } => {
            if let Some(past) = past {
                save_past(db, &past, &input, now)?;
            }
            db.prepare_cached("DELETE FROM in_tail_files WHERE id = ?1")?.execute(params![id])?;
            db.prepare_cached("DELETE FROM ikada_tail_files WHERE id = ?1")?.execute(params![id])?;
            Ok(None)
        }
        Change::Save { id, checkpoint, input, now } => {
            let id = save(db, id, &checkpoint, now)?;
            if let Some(more) = &checkpoint.more {
                save_more(db, id, &checkpoint, more, &input, now)?;
            }
            Ok(Some(id))
        }
    }
}

/// Updates the row, or makes one if there is none, or if somebody has removed it.
fn save(db: &Transaction<'_>, id: Option<i64>, checkpoint: &Checkpoint, now: i64) -> rusqlite::Result<i64> {
    let name = String::from_utf8_lossy(&checkpoint.name);
    let (offset, inode) = (checkpoint.offset as i64, checkpoint.inode as i64);
    let rotated = i64::from(checkpoint.rotated);
    let marker_size = i64::from(checkpoint.marker_size);
    if let Some(id) = id {
        let updated = db
            .prepare_cached(
                "UPDATE in_tail_files SET name = ?2, offset = ?3, inode = ?4, rotated = ?5,
                 offset_marker = ?6, offset_marker_size = ?7 WHERE id = ?1",
            )?
            .execute(params![id, name, offset, inode, rotated, checkpoint.marker, marker_size])?;
        if updated == 1 {
            return Ok(id);
        }
    }
    db.prepare_cached(
        "INSERT INTO in_tail_files (name, offset, inode, created, rotated, offset_marker, offset_marker_size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![name, offset, inode, now, rotated, checkpoint.marker, marker_size])?;
    Ok(db.last_insert_rowid())
}

fn save_more(
    db: &Transaction<'_>,
    id: i64,
    checkpoint: &Checkpoint,
    more: &More,
    input: &str,
    now: i64,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO ikada_tail_files
         (id, inode, input, device, head, head_size, origin, mtime, unpacked, seen, text_marker, text_marker_size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        id,
        checkpoint.inode as i64,
        input,
        more.device as i64,
        more.head,
        more.head_size,
        more.origin,
        more.mtime,
        more.unpacked.map(|at| at as i64),
        now,
        more.text_marker,
        more.text_marker_size
    ])?;
    Ok(())
}

/// Remembers a content, and lets go of those that are too old or too many.
fn save_past(db: &Transaction<'_>, past: &Past, input: &str, now: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO ikada_tail_past (input, origin, head, head_size, offset, marker, marker_size, mtime, seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        input,
        past.origin,
        past.head,
        past.head_size,
        past.offset as i64,
        past.marker,
        past.marker_size,
        past.mtime,
        now
    ])?;
    db.prepare_cached(
        "DELETE FROM ikada_tail_past WHERE seen < ?3 OR input = ?1 AND origin = ?2 AND id NOT IN
         (SELECT id FROM ikada_tail_past WHERE input = ?1 AND origin = ?2 ORDER BY id DESC LIMIT ?4)",
    )?
    .execute(params![input, past.origin, now - KEEP_PAST, MOST_PAST])?;
    Ok(())
}

fn past(row: &Row<'_>) -> rusqlite::Result<Past> {
    let number = |at: usize| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
    Ok(Past {
        origin: row.get_ref(0)?.as_bytes_or_null().ok().flatten().unwrap_or_default().to_vec(),
        head: number(1)?,
        head_size: u16::try_from(number(2)?).unwrap_or_default(),
        offset: number(3)?.max(0) as u64,
        marker: number(4)?,
        marker_size: u8::try_from(number(5)?).unwrap_or_default(),
        mtime: number(6)?,
    })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let number = |at: usize| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
    let bytes = |at: usize| -> rusqlite::Result<Vec<u8>> {
        let value = row.get_ref(at)?;
        Ok(value.as_bytes_or_null().ok().flatten().unwrap_or_default().to_vec())
    };
    let more = match row.get::<_, Option<String>>(8)? {
        None => None,
        Some(input) => Some(More {
            input,
            device: number(9)? as u64,
            head: number(10)?,
            head_size: u16::try_from(number(11)?).unwrap_or_default(),
            origin: bytes(12)?,
            mtime: number(13)?,
            unpacked: row.get::<_, Option<i64>>(14)?.map(|at| at as u64),
            seen: number(15)?,
            text_marker: number(16)?,
            text_marker_size: u8::try_from(number(17)?).unwrap_or_default(),
        }),
    };
    let checkpoint = Checkpoint {
        name: bytes(1)?,
        offset: number(2)?.max(0) as u64,
        inode: number(3)? as u64,
        rotated: number(5)? != 0,
        marker: number(6)?,
        marker_size: u8::try_from(number(7)?).unwrap_or_default(),
        more,
    };
    Ok(Stored { id: row.get(0)?, created: number(4)?, checkpoint })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tail.db");
        (dir, path)
    }

    fn checkpoint(inode: u64, offset: u64) -> Checkpoint {
        let more = More { input: "tail.0".into(), device: 3, origin: b"/a".to_vec(), ..More::default() };
        Checkpoint { name: b"/a".to_vec(), inode, offset, more: Some(more), ..Checkpoint::default() }
    }

    fn save(id: Option<i64>, checkpoint: Checkpoint) -> Change {
        Change::Save { id, checkpoint, input: "tail.0".into(), now: 77 }
    }

    fn forget(id: i64, past: Option<Past>) -> Change {
        Change::Forget { id: Some(id), past, input: "tail.0".into(), now: 77 }
    }

    #[test]
    fn what_a_removed_row_held_is_remembered_up_to_a_limit() {
        let (_dir, path) = place();
        let mut positions = Positions::open(&path, &Settings::default()).unwrap();
        let held = |n: u64| Past { origin: b"/a\xff".to_vec(), offset: n, head_size: 256, ..Past::default() };
        for n in 0..70 {
            positions.apply(vec![save(None, checkpoint(n, n))]).unwrap();
            let row = positions.all().unwrap()[0].id;
            positions.apply(vec![forget(row, Some(held(n)))]).unwrap();
        }
        drop(positions);
        let positions = Positions::open(&path, &Settings::default()).unwrap();
        assert!(positions.all().unwrap().is_empty());
        assert_eq!(positions.past("tail.0").unwrap(), (6..70).map(held).collect::<Vec<_>>());
        assert_eq!(positions.past("tail.1").unwrap(), []);
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let (_dir, path) = place();
        let mut positions = Positions::open(&path, &Settings::default()).unwrap();
        let mut one = checkpoint(u64::MAX - 3, 10);
        one.marker = -71_276_765_683_462_781;
        one.marker_size = 6;
        one.more.as_mut().unwrap().unpacked = Some(99);
        let ids = positions.apply(vec![save(None, one.clone()), save(None, checkpoint(8, 1))]).unwrap();
        assert_eq!(ids, [Some(1), Some(2)]);
        drop(positions);
        let rows = Positions::open(&path, &Settings::default()).unwrap().all().unwrap();
        one.more.as_mut().unwrap().seen = 77;
        assert_eq!(rows[1], Stored { id: 1, created: 77, checkpoint: one });
        assert_eq!(rows[0].checkpoint.inode, 8);
    }

    #[test]
    fn a_row_that_somebody_removed_is_made_again() {
        let (_dir, path) = place();
        let mut positions = Positions::open(&path, &Settings::default()).unwrap();
        positions.apply(vec![save(None, checkpoint(8, 1))]).unwrap();
        positions.db.execute("DELETE FROM in_tail_files", []).unwrap();
        assert_eq!(positions.apply(vec![save(Some(1), checkpoint(8, 5))]).unwrap(), [Some(1)]);
        assert_eq!(positions.all().unwrap()[0].checkpoint.offset, 5);
        assert_eq!(positions.apply(vec![forget(1, None)]).unwrap(), [None]);
        assert!(positions.all().unwrap().is_empty());
    }

    #[test]
    fn an_old_table_gets_the_columns_it_lacks() {
        let (_dir, path) = place();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE in_tail_files (id INTEGER PRIMARY KEY, name TEXT NOT NULL, offset INTEGER, inode INTEGER,
             created INTEGER, rotated INTEGER DEFAULT 0);
             INSERT INTO in_tail_files (name, offset, inode, created) VALUES ('/var/log/a.log', 12, 34, 56);",
        )
        .unwrap();
        drop(old);
        let rows = Positions::open(&path, &Settings::default()).unwrap().all().unwrap();
        let expected =
            Checkpoint { name: b"/var/log/a.log".to_vec(), offset: 12, inode: 34, ..Checkpoint::default() };
        assert_eq!(rows, [Stored { id: 1, created: 56, checkpoint: expected }]);
    }

    #[test]
    fn a_number_that_fluent_bit_used_again_does_not_bring_back_what_was_known() {
        let (_dir, path) = place();
        let mut positions = Positions::open(&path, &Settings::default()).unwrap();
        positions.apply(vec![save(None, checkpoint(8, 1))]).unwrap();
        positions.db.execute("UPDATE in_tail_files SET inode = 9", []).unwrap();
        drop(positions);
        let rows = Positions::open(&path, &Settings::default()).unwrap().all().unwrap();
        assert_eq!((rows[0].checkpoint.inode, rows[0].checkpoint.more.clone()), (9, None));
    }

    #[test]
    fn every_journal_mode_and_lock_is_taken() {
        for journal in [
            Journal::Delete,
            Journal::Truncate,
            Journal::Persist,
            Journal::Memory,
            Journal::Wal,
            Journal::Off,
        ] {
            let (_dir, path) = place();
            let settings = Settings { synchronous: 2, exclusive: true, journal };
            let mut positions = Positions::open(&path, &settings).unwrap();
            positions.apply(vec![save(None, checkpoint(8, 1))]).unwrap();
            assert_eq!(positions.all().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_missing_folder_and_a_file_that_is_no_database_are_errors() {
        let (dir, path) = place();
        assert!(Positions::open(&dir.path().join("no/such/tail.db"), &Settings::default()).is_err());
        std::fs::write(&path, "plain text, and enough of it to be looked at as a header of a database")
            .unwrap();
        let error = Positions::open(&path, &Settings::default()).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
