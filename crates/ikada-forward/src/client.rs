//! The sending side of the protocol: frames, answers, and the handshake. No I/O.
//!
//! ```
//! use ikada_forward::client::{FrameOption, encode_message};
//! use ikada_record::Timestamp;
//!
//! let mut frame = Vec::new();
//! let option = FrameOption { chunk: Some(b"t1"), ..FrameOption::default() };
//! encode_message(&mut frame, b"app.a", Timestamp::new(5, 7), b"\x81\xa3log\xa2hi", &option);
//! assert_eq!(frame[0], 0x94);
//! ```

use std::io::{self, Write};

use flate2::write::GzEncoder;
use ikada_msgpack::{ScanError, View, skip, write};
use ikada_record::{Entry, Timestamp};

use crate::frame::Compression;
use crate::handshake::digest;

/// What a frame asks for. With nothing in it, no option is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameOption<'a> {
    /// Token to be answered with.
    pub chunk: Option<&'a [u8]>,
    /// Number of entries, for the peer's information.
    pub size: Option<u64>,
    /// Encoded metadata map of a message.
    pub metadata: Option<&'a [u8]>,
}

impl FrameOption<'_> {
    fn is_empty(&self) -> bool {
        self.chunk.is_none() && self.size.is_none() && self.metadata.is_none()
    }

    fn encode(&self, buf: &mut Vec<u8>, compression: Option<Compression>) {
        let pairs =
            [self.chunk.is_some(), self.size.is_some(), self.metadata.is_some(), compression.is_some()];
        write::map_header(buf, pairs.iter().filter(|there| **there).count());
        if let Some(chunk) = self.chunk {
            write::str(buf, b"chunk");
            write::str(buf, chunk);
        }
        if let Some(size) = self.size {
            write::str(buf, b"size");
            write::uint(buf, size);
        }
        if let Some(metadata) = self.metadata {
            write::str(buf, b"metadata");
            buf.extend_from_slice(metadata);
        }
        if let Some(compression) = compression {
            write::str(buf, b"compressed");
            write::str(buf, compression.name().as_bytes());
        }
    }
}

/// Writes a Message mode frame: one entry. `record` is an encoded map.
pub fn encode_message(
    buf: &mut Vec<u8>,
    tag: &[u8],
    time: Timestamp,
    record: &[u8],
    option: &FrameOption<'_>,
) {
    write::array_header(buf, if option.is_empty() { 3 } else { 4 });
    write::str(buf, tag);
    time.write(buf);
    buf.extend_from_slice(record);
    if !option.is_empty() {
        option.encode(buf, None);
    }
}

/// Writes a Forward mode frame: an array of entries.
pub fn encode_forward<'a>(
    buf: &mut Vec<u8>,
    tag: &[u8],
    entries: impl ExactSizeIterator<Item = Entry<'a>>,
    option: &FrameOption<'_>,
) {
    head(buf, tag, option.is_empty());
    write::array_header(buf, entries.len());
    for entry in entries {
        buf.extend_from_slice(entry.as_bytes());
    }
    if !option.is_empty() {
        option.encode(buf, None);
    }
}

/// Writes a PackedForward mode frame: entries back to back, as a chunk holds them.
pub fn encode_packed(buf: &mut Vec<u8>, tag: &[u8], run: &[u8], option: &FrameOption<'_>) {
    head(buf, tag, option.is_empty());
    write::bin(buf, run);
    if !option.is_empty() {
        option.encode(buf, None);
    }
}

/// Writes a CompressedPackedForward mode frame. `level` is that of the compression.
///
/// # Errors
/// The compressor failed, which it does for lack of memory only.
pub fn encode_compressed(
    buf: &mut Vec<u8>,
    tag: &[u8],
    run: &[u8],
    compression: Compression,
    level: u8,
    option: &FrameOption<'_>,
) -> io::Result<()> {
    let packed = compress(run, compression, level)?;
    head(buf, tag, false);
    write::bin(buf, &packed);
    option.encode(buf, Some(compression));
    Ok(())
}

fn head(buf: &mut Vec<u8>, tag: &[u8], bare: bool) {
    write::array_header(buf, if bare { 2 } else { 3 });
    write::str(buf, tag);
}

pub(crate) fn compress(run: &[u8], compression: Compression, level: u8) -> io::Result<Vec<u8>> {
    match compression {
        Compression::Gzip => {
            let level = flate2::Compression::new(u32::from(level.min(9)));
            let mut encoder = GzEncoder::new(Vec::with_capacity(run.len() / 4), level);
            encoder.write_all(run)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::stream::encode_all(run, i32::from(level)),
    }
}

/// Appends an entry to a run, as packed modes carry it.
pub fn push_entry(run: &mut Vec<u8>, time: Timestamp, record: &[u8]) {
    run.push(0x92);
    time.write(run);
    run.extend_from_slice(record);
}

/// One answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The token it answers; `None` for a value that is no answer.
    pub token: Option<&'a [u8]>,
    /// Its length in bytes.
    pub len: usize,
}

/// The answer that `buf` starts with, `None` while it is not all there.
///
/// # Errors
/// The bytes are no MessagePack.
pub fn answer(buf: &[u8]) -> Result<Option<Answer<'_>>, ScanError> {
    let len = match skip(buf) {
        Ok(len) => len,
        Err(ScanError::Truncated) => return Ok(None),
        Err(error) => return Err(error),
    };
    let token = View::parse(&buf[..len])?.0.as_map().and_then(|map| map.get(b"ack")?.as_str());
    Ok(Some(Answer { token, len }))
}

/// Who a client is, for a server that asks.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The client's name.
    pub hostname: &'a str,
    /// The key it shares with the server.
    pub key: &'a str,
    /// A user the server knows, or nothing.
    pub user: &'a str,
    /// The user's password.
    pub password: &'a str,
}

impl Login<'_> {
    /// The PING that answers a HELO; `None` if it is none. `salt` is to be random, a new one each time.
    #[must_use]
    pub fn ping(&self, helo: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
        let (nonce, auth) = read_helo(helo)?;
        let key = digest(&[salt, self.hostname.as_bytes(), nonce, self.key.as_bytes()]);
        let password = match auth {
            [] => String::new(),
            auth => digest(&[auth, self.user.as_bytes(), self.password.as_bytes()]),
        };
        let user = if auth.is_empty() { "" } else { self.user };
        let mut out = Vec::new();
        write::array_header(&mut out, 6);
        for text in
            [b"PING", self.hostname.as_bytes(), salt, key.as_bytes(), user.as_bytes(), password.as_bytes()]
        {
            write::str(&mut out, text);
        }
        Some(out)
    }

    /// Whether a PONG lets the client in and comes from a server that knows the key.
    #[must_use]
    pub fn accepts(&self, helo: &[u8], salt: &[u8], pong: &[u8]) -> bool {
        let check = || {
            let (nonce, _) = read_helo(helo)?;
            let array = View::parse(pong).ok()?.0.as_array()?;
            let welcome = array.get(0)?.as_str()? == b"PONG" && array.get(1)? == View::Bool(true);
            let server = array.get(3)?.as_str()?;
            let expected = digest(&[salt, server, nonce, self.key.as_bytes()]);
            Some(welcome && array.get(4)?.as_str()? == expected.as_bytes())
        };
        check().unwrap_or(false)
    }
}

fn read_helo(helo: &[u8]) -> Option<(&[u8], &[u8])> {
    let array = View::parse(helo).ok()?.0.as_array()?;
    if array.get(0)?.as_str()? != b"HELO" {
        return None;
    }
    let map = array.get(1)?.as_map()?;
    let bytes = |view: View<'_>| matches!(view, View::Str(_) | View::Bin(_));
    let take = |key: &[u8]| map.get(key).filter(|view| bytes(*view));
    let nonce = match take(b"nonce")? {
        View::Str(nonce) | View::Bin(nonce) => nonce,
        _ => return None,
    };
    let auth = match take(b"auth") {
        Some(View::Str(auth) | View::Bin(auth)) => auth,
        _ => &[],
    };
    Some((nonce, auth))
}
