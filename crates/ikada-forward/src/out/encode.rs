//! Entries and options as bytes. No I/O.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ikada_msgpack::write;
use ikada_record::Entry;

use crate::Compression;

/// How an entry stands in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[[EventTime, metadata], record]`.
    WithMetadata,
    /// `[EventTime, record]`.
    Plain,
    /// `[seconds, record]`.
    Seconds,
}

impl Shape {
    pub(super) fn write(self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        match self {
            Self::WithMetadata => {
                out.extend_from_slice(&[0x92, 0x92]);
                entry.time().write(out);
                out.extend_from_slice(entry.metadata().unwrap_or(b"\x80"));
            }
            Self::Plain => {
                out.push(0x92);
                entry.time().write(out);
            }
            Self::Seconds => {
                out.push(0x92);
                write::uint(out, u64::try_from(entry.time().secs()).unwrap_or(0));
            }
        }
        out.extend_from_slice(entry.record_bytes());
    }
}

/// What stands in the option map besides what the frame itself says.
#[derive(Debug, Clone, Default)]
pub(super) struct OptionMap {
    /// Whether frames that need none have an option map all the same.
    pub(super) always: bool,
    /// Whether answers are asked for.
    pub(super) asks: bool,
    /// The user's own pairs.
    pub(super) extra: Vec<(String, String)>,
}

/// What one frame says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Says<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) size: Option<u64>,
    pub(super) compression: Option<Compression>,
    pub(super) metadata: Option<&'a [u8]>,
}

impl OptionMap {
    /// Whether a run of entries is followed by an option map.
    pub(super) fn is_written(&self) -> bool {
        self.always || self.asks || !self.extra.is_empty()
    }

    /// Writes the map, with its keys in Fluent Bit's order.
    pub(super) fn write(&self, out: &mut Vec<u8>, says: Says<'_>) {
        let there =
            [says.token.is_some(), says.size.is_some(), says.compression.is_some(), says.metadata.is_some()];
        let pairs = there.iter().filter(|there| **there).count() + 1 + self.extra.len();
        write::map_header(out, pairs);
        if let Some(token) = says.token {
            write::str(out, b"chunk");
            write::str(out, token.as_bytes());
        }
        if let Some(size) = says.size {
            write::str(out, b"size");
            write::uint(out, size);
        }
        if let Some(compression) = says.compression {
            write::str(out, b"compressed");
            write::str(out, compression.name().as_bytes());
        }
        write::str(out, b"fluent_signal");
        write::uint(out, 0);
        if let Some(metadata) = says.metadata {
            write::str(out, b"metadata");
            out.extend_from_slice(metadata);
        }
        for (key, value) in &self.extra {
            write::str(out, key.as_bytes());
            write::str(out, value.as_bytes());
        }
    }
}

/// Tokens of one batch: 16 bytes in base64, as Fluent Bit's are, but random, so that two frames with the same content are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens([u8; 12]);

impl Tokens {
    pub(super) fn new() -> Self {
        Self(rand::random())
    }

    /// The token of the `n`-th frame.
    pub(super) fn get(self, n: u32) -> String {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&self.0);
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        STANDARD.encode(bytes)
    }
}
