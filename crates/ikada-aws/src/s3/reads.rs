//! Bodies that are read from the disk for being sent: so many bytes of them are in memory at once, whatever waits and is under way.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pool::Pool;

/// What a permit stands for, in bytes: the largest body is 50 GB, and a semaphore counts to 2^32.
const UNIT: u64 = 64 * 1024;

/// Bodies smaller than this have memory of their own.
const WORTH_A_BUFFER: u64 = 512 * 1024;

/// The memory for what is read.
pub(crate) struct Reads {
    room: Arc<Semaphore>,
    most: u32,
    pool: Arc<Pool>,
}

/// A body, and the room it takes for as long as it is there.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Room for a body that is about to be read.
pub(crate) struct Room {
    pub(crate) buffer: Vec<u8>,
    pool: Option<Arc<Pool>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reads {
    /// Room for `most` bytes, and buffers for the most common bodies.
    pub(crate) fn new(most: u64, pool: Arc<Pool>) -> Self {
        let most = units(most);
        Self { room: Arc::new(Semaphore::new(most as usize)), most, pool }
    }

    /// Waits until there is room for so many bytes. What is larger than all of it gets all of it.
    pub(crate) async fn room(&self, bytes: u64) -> Room {
        let permit = self.room.clone().acquire_many_owned(units(bytes).min(self.most)).await.ok();
        let is_common = (WORTH_A_BUFFER..=self.pool.capacity() as u64).contains(&bytes);
        let pool = is_common.then(|| self.pool.clone());
        let buffer = pool.as_ref().map_or_else(Vec::new, |pool| pool.get());
        Room { buffer, pool, permit }
    }
}

impl Room {
    /// What is in the buffer now.
    pub(crate) fn freeze(self) -> Body {
        let bytes = match self.pool {
            Some(pool) => pool.freeze(self.buffer),
            None => Bytes::from(self.buffer),
        };
        Body { bytes, _room: self.permit }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX >> 4)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_read_waits_for_what_is_being_sent() {
        let reads = Reads::new(2 << 20, Pool::new(1 << 20));
        let bodies: Vec<Body> = (0..2).map(|_| poll(pin!(reads.room(1 << 20))).unwrap().freeze()).collect();
        let mut third = pin!(reads.room(1));
        assert!(poll(third.as_mut()).is_none());
        drop(bodies);
        assert!(poll(third.as_mut()).is_some());
    }

    #[test]
    fn a_body_larger_than_all_the_room_goes_alone() {
        let reads = Reads::new(1 << 20, Pool::new(1 << 20));
        let large = poll(pin!(reads.room(1 << 40))).unwrap();
        assert!(poll(pin!(reads.room(1))).is_none());
        drop(large);
        assert!(poll(pin!(reads.room(1))).is_some());
    }
}
