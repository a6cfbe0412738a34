//! Buffers for parts, used again and again: a part is 5 MiB or more, and giving each its own memory costs more than filling it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// Buffers that are kept while nobody uses them: one that is filled and one that is on its way.
const KEPT: usize = 2;

/// Buffers of one size.
#[derive(Debug)]
pub(crate) struct Pool {
    capacity: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// Buffers of at least so many bytes.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, free: Mutex::default() })
    }

    /// Bytes that every buffer has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// An empty buffer.
    pub(crate) fn get(&self) -> Vec<u8> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Vec::with_capacity(self.capacity))
    }

    /// What is in the buffer; the buffer comes back when nobody needs it any more.
    pub(crate) fn freeze(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, pool: Arc::downgrade(self) })
    }

    fn put_back(&self, mut buffer: Vec<u8>) {
        let is_ours = (self.capacity..=2 * self.capacity).contains(&buffer.capacity());
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if is_ours && free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}

struct Lent {
    buffer: Vec<u8>,
    pool: Weak<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.put_back(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_user_is_gone() {
        let pool = Pool::new(1000);
        let mut buffer = pool.get();
        buffer.extend_from_slice(b"part");
        let place = buffer.as_ptr();
        let bytes = pool.freeze(buffer);
        let user = bytes.slice(1..);
        drop(bytes);
        let other = pool.get();
        assert_ne!(other.as_ptr(), place, "it is still used");
        assert_eq!(&user[..], b"art");
        drop(user);
        let again = pool.get();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }
}
