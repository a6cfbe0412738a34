//! Buffers that wait for their next use.

use std::sync::{Mutex, PoisonError};

/// So many sets wait at most: as many as calls may run side by side.
const MOST: usize = 16;

/// Sets of buffers, each lent to one call at a time.
#[derive(Debug)]
#[allow(clippy::vec_box, reason = "a pointer moves where a set of buffers would be copied")]
pub(super) struct Spare<T>(Mutex<Vec<Box<T>>>);

impl<T: Default> Spare<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(super) fn take(&self) -> Box<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn put(&self, buffers: Box<T>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST {
            waiting.push(buffers);
        }
    }
}
