//! An object under construction: lines in, parts out.

use std::sync::Arc;

use bytes::Bytes;
use ikada_plugin::{Batch, Part, add_part};
use ikada_record::Share;
use tokio::time::Instant;

use super::compress::{Method, Stream};
use super::upload::{LastDelivery, PartDelivery, Upload};

/// Bytes of lines that wait uncompressed until a compressor is worth its memory. Among a thousand tags most objects
/// never get that far before they are due.
const WORTH_A_STREAM: usize = 256 * 1024;

/// Most parts of an object (Amazon S3, "Multipart upload limits"); the last one is kept for the end.
const MAX_PARTS: i32 = 9_999;

/// An object under construction.
pub(crate) struct Object {
    /// Batches of an object go one after another in this lane.
    lane: u64,
    /// When its first line came.
    pub(crate) opened: Instant,
    pub(crate) upload: Arc<Upload>,
    /// The key of the group it belongs to.
    pub(crate) group: Box<[u8]>,
    method: Method,
    /// Lines that wait for the stream to be started.
    waiting: Vec<u8>,
    stream: Option<Stream>,
    /// Bytes that no part has taken along yet.
    body: Vec<u8>,
    /// Bytes in parts.
    in_parts: u64,
    parts: i32,
    shares: Vec<Part>,
}

impl Object {
    /// An object without lines.
    pub(crate) fn new(lane: u64, opened: Instant, upload: Arc<Upload>, group: &[u8], method: Method) -> Self {
        Self {
            lane,
            opened,
            upload,
            group: group.into(),
            method,
            waiting: Vec::new(),
            stream: None,
            body: Vec::new(),
            in_parts: 0,
            parts: 0,
            shares: Vec::new(),
        }
    }

    /// Adds lines that stand for `entries` entries of a share.
    pub(crate) fn add(&mut self, lines: &[u8], share: &Arc<Share>, entries: u32) {
        add_part(&mut self.shares, share, entries);
        if self.method == Method::None {
            self.body.extend_from_slice(lines);
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.write(lines, &mut self.body);
            return;
        }
        self.waiting.extend_from_slice(lines);
        if self.waiting.len() >= WORTH_A_STREAM {
            self.start_stream();
        }
    }

    fn start_stream(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(mut stream) = self.method.start() else { return };
        stream.write(&waiting, &mut self.body);
        self.stream = Some(stream);
    }

    /// Bytes to upload so far. What the compressor still holds back is not among them.
    pub(crate) fn size(&self) -> u64 {
        self.in_parts + self.body.len() as u64
    }

    /// Bytes that no part has taken along yet.
    pub(crate) fn unsent(&self) -> usize {
        self.body.len()
    }

    /// Whether no further part may be cut off before the last one.
    pub(crate) fn is_out_of_parts(&self) -> bool {
        self.parts >= MAX_PARTS
    }

    /// Memory in bytes that the object takes.
    pub(crate) fn memory(&self) -> usize {
        let stream = if self.stream.is_some() { self.method.memory() } else { 0 };
        let shares = self.shares.capacity() * size_of::<Part>();
        self.waiting.capacity() + self.body.capacity() + stream + shares + size_of::<Self>()
    }

    /// Takes what there is as a part that is not the last.
    pub(crate) fn cut_part(&mut self) -> Batch {
        let next = Vec::with_capacity(self.body.capacity());
        let body = Bytes::from(std::mem::replace(&mut self.body, next));
        self.parts += 1;
        self.in_parts += body.len() as u64;
        let bytes = body.len();
        let delivery = PartDelivery::new(self.upload.clone(), self.parts, body);
        Batch::new(Some(self.lane), Vec::new(), bytes, Box::new(delivery))
    }

    /// Ends the object: its last part, or the whole of it.
    pub(crate) fn finish(mut self) -> Batch {
        if self.stream.is_none() && self.method != Method::None {
            self.start_stream();
        }
        if let Some(stream) = self.stream.take() {
            stream.finish(&mut self.body);
        }
        let body = Bytes::from(self.body);
        let bytes = body.len();
        let size = self.in_parts + bytes as u64;
        let delivery = LastDelivery::new(self.upload, body, size, self.parts);
        Batch::new(Some(self.lane), self.shares, bytes, Box::new(delivery))
    }
}
