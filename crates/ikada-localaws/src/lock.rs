//! A lock that outlives a panic of whoever held it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, poisoned or not: counters and maps stay usable after a panic elsewhere.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
