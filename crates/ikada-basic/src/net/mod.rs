//! What inputs with sockets have in common: listening, serving connections and datagrams, and ending in order.
//!
//! A [`Protocol`] makes entries of bytes; [`stream`] serves it over connections (TCP, TLS, unix), [`datagram`] over UDP and unix datagrams.

pub(crate) mod datagram;
pub(crate) mod stream;
pub(crate) mod unix_file;

use ikada_msgpack::{MapView, write};
use ikada_plugin::{Gatherer, InputContext};
use ikada_record::Timestamp;
use tokio::time::Instant;

/// Makes entries of bytes.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// What one connection, or one datagram, keeps between two reads.
    type Stream: Send;

    /// A connection that has just begun.
    fn begin(&self) -> Self::Stream;

    /// Takes what the bytes complete; no bytes are the end. `false` when the connection has to be closed.
    fn take(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut Self::Stream,
        bytes: &[u8],
        gatherer: &mut Gatherer,
    ) -> bool;

    /// Lets go of what a connection does not need until bytes come. Returns the memory that its beginning of a message or line takes.
    fn tidy(&self, stream: &mut Self::Stream) -> usize;
}

/// Adds entries to a gatherer and counts them, once for all when it goes.
pub(crate) struct Adder<'a> {
    cx: &'a InputContext,
    gatherer: &'a mut Gatherer,
    now: Instant,
    /// The time of entries that bring none.
    pub(crate) clock: Timestamp,
    records: u64,
    bytes: u64,
}

impl<'a> Adder<'a> {
    pub(crate) fn new(cx: &'a InputContext, gatherer: &'a mut Gatherer) -> Self {
        let clock = cx.service.clock.now();
        Self { cx, gatherer, now: Instant::now(), clock, records: 0, bytes: 0 }
    }

    pub(crate) fn add(&mut self, tag: &[u8], time: Timestamp, record: &[u8]) {
        let builder = self.gatherer.builder(tag, self.now);
        let before = builder.size();
        builder.push_record(time, record);
        self.records += 1;
        self.bytes += (builder.size() - before) as u64;
    }
}

impl Drop for Adder<'_> {
    fn drop(&mut self) {
        self.cx.metrics.records.add(self.records);
        self.cx.metrics.bytes.add(self.bytes);
    }
}

/// Writes an encoded map again with more pairs behind its own. `pairs` writes exactly `more` of them.
pub(crate) fn extend_map(out: &mut Vec<u8>, map: &[u8], more: usize, pairs: impl FnOnce(&mut Vec<u8>)) {
    let map = MapView::known(map);
    write::map_header(out, map.len() + more);
    out.extend_from_slice(map.body());
    pairs(out);
}
