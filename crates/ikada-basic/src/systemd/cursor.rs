//! The database that remembers a position: Fluent Bit's own table, so that either program goes on where the other stopped.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};

/// The table as Fluent Bit makes it (reference, inputs §4.6).
const TABLE: &str = "CREATE TABLE IF NOT EXISTS in_systemd_cursor (cursor TEXT NOT NULL, updated INTEGER)";

/// An open database. Calls block: they belong on a thread that may.
#[derive(Debug, Clone)]
pub(super) struct Database(Arc<Mutex<Connection>>);

impl Database {
    pub(super) fn open(path: &Path, syncs_fully: bool) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "synchronous", if syncs_fully { "FULL" } else { "NORMAL" })?;
        connection.execute(TABLE, [])?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// The position that was written last.
    pub(super) fn read(&self) -> rusqlite::Result<Option<String>> {
        let select = "SELECT cursor FROM in_systemd_cursor ORDER BY rowid DESC LIMIT 1";
        self.with(|connection| connection.query_row(select, [], |row| row.get(0)).optional())
    }

    /// Writes a position, in place of the one before.
    pub(super) fn write(&self, cursor: &str, now: i64) -> rusqlite::Result<()> {
        self.with(|connection| {
            let changed = connection
                .execute("UPDATE in_systemd_cursor SET cursor = ?1, updated = ?2", (cursor, now))?;
            if changed == 0 {
                connection.execute("INSERT INTO in_systemd_cursor VALUES (?1, ?2)", (cursor, now))?;
            }
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.db");
        let database = Database::open(&path, true).unwrap();
        assert_eq!(database.read().unwrap(), None);
        database.write("a", 1).unwrap();
        database.write("b", 2).unwrap();
        drop(database);
        let database = Database::open(&path, false).unwrap();
        assert_eq!(database.read().unwrap().as_deref(), Some("b"));
    }
}
