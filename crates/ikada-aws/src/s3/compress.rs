//! Compression of one object as a single stream, however many parts it goes up in.
//!
//! Concatenated streams can be decoded by most readers but not by all, and compress worse; one stream over all parts is
//! what a file written by hand would be. Snappy is the framed format, which may be cut anywhere and which `snzip` and the
//! libraries of Java and Python read; its raw format cannot be read at all once parts are joined.
//!
//! A stream that was flushed can be ended without its compressor, from the checksum and length of what went in: what a
//! crash leaves of it on disk is still a whole object.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress, Status};
use snap::write::FrameEncoder;
use zstd::stream::raw::{Encoder as Zstd, InBuffer, Operation, OutBuffer};

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    None,
    /// gzip at this level, 1 to 9.
    Gzip(u32),
    /// Zstandard at this level.
    Zstd(i32),
    /// Snappy's framed format.
    Snappy,
    /// Not a stream of lines but columns made of them at the end: Parquet.
    Parquet,
}

impl Method {
    /// gzip at the level that costs least for what it saves. Measured with `examples/s3_speed.rs`.
    pub const GZIP: Self = Self::Gzip(GZIP_LEVEL);
    /// Zstandard at the level that costs least for what it saves. Measured with `examples/s3_speed.rs`.
    pub const ZSTD: Self = Self::Zstd(ZSTD_LEVEL);

    /// The value of `Content-Encoding`, which snappy has none of (IANA, "HTTP Content Coding Registry").
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Snappy | Self::Parquet => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Zstd(_) => Some("zstd"),
        }
    }

    /// The value of `Content-Type` for a file of this kind; `None` where that depends on what is inside.
    #[must_use]
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip(_) => Some("application/gzip"),
            Self::Zstd(_) => Some("application/zstd"),
            Self::Snappy => Some("application/x-snappy-framed"),
            // IANA, "Media Types".
            Self::Parquet => Some("application/vnd.apache.parquet"),
        }
    }

    /// The ends of names that tell readers of this method.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Gzip(_) => &[".gz", ".gzip"],
            Self::Zstd(_) => &[".zst", ".zstd"],
            Self::Snappy => &[".sz", ".snappy"],
            Self::Parquet => &[".parquet"],
        }
    }

    /// Whether an object is its lines until it is complete, and only then what is uploaded.
    #[must_use]
    pub fn is_columnar(self) -> bool {
        self == Self::Parquet
    }

    /// Memory in bytes that a stream of this method takes besides its output.
    #[must_use]
    pub fn memory(self) -> usize {
        match self {
            Self::None | Self::Parquet => 0,
            // Window, hash chains and pending output of deflate with a window of 32 KiB.
            Self::Gzip(_) => 320 * 1024,
            // Window and tables at the level above.
            Self::Zstd(_) => 1536 * 1024,
            // One block, its compressed form, and the table of matches.
            Self::Snappy => 192 * 1024,
        }
    }

    /// Starts a stream; `None` where there is nothing to do.
    #[must_use]
    pub fn start(self) -> Option<Stream> {
        match self {
            Self::None | Self::Parquet => None,
            Self::Gzip(level) => {
                Some(Stream::Gzip(Box::new(Compress::new_gzip(Compression::new(level), WINDOW_BITS))))
            }
            Self::Zstd(level) => Some(Stream::Zstd(Zstd::new(level).expect("the level is one of zstd's"))),
            Self::Snappy => Some(Stream::Snappy(Box::new(FrameEncoder::new(Vec::new())))),
        }
    }

    /// Appends the end of a stream that was flushed, from the CRC-32 and the length of all that went into it.
    ///
    /// gzip: an empty last block, checksum and length modulo 2^32 (RFC 1951, 3.2.6; RFC 1952, 2.3.1). Zstandard: an empty last
    /// block without a checksum (RFC 8878, 3.1.1.2). The others need none.
    pub(crate) fn write_end(self, crc: u32, len: u64, out: &mut Vec<u8>) {
        match self {
            Self::None | Self::Snappy | Self::Parquet => {}
            Self::Gzip(_) => {
                out.extend_from_slice(&[0x03, 0x00]);
                out.extend_from_slice(&crc.to_le_bytes());
                out.extend_from_slice(&(len as u32).to_le_bytes());
            }
            Self::Zstd(_) => out.extend_from_slice(&[0x01, 0x00, 0x00]),
        }
    }
}

/// Levels chosen by measuring; see the module `s3` for the figures.
const GZIP_LEVEL: u32 = 2;
const ZSTD_LEVEL: i32 = 1;

/// A window of 32 KiB, the largest that deflate has.
const WINDOW_BITS: u8 = 15;

/// Room that is made in the output before compressing into it.
const ROOM: usize = 32 * 1024;

/// A stream under way.
pub enum Stream {
    /// gzip.
    Gzip(Box<Compress>),
    /// Zstandard.
    Zstd(Zstd<'static>),
    /// Snappy's framed format.
    Snappy(Box<FrameEncoder<Vec<u8>>>),
}

impl Stream {
    /// Compresses `input` and appends what is ready to `out`. Some of it may come only later.
    pub fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Gzip(gzip) => deflate(gzip, input, out, FlushCompress::None),
            Self::Zstd(zstd) => {
                let mut input = InBuffer::around(input);
                while input.pos() < input.src.len() {
                    with_room(out, |room| zstd.run(&mut input, room));
                }
            }
            Self::Snappy(snappy) => {
                snappy.write_all(input).expect("memory takes any bytes");
                out.append(snappy.get_mut());
            }
        }
    }

    /// Appends all that is still held, so that `out` can be read up to here. Costs a few bytes each time.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Gzip(gzip) => deflate(gzip, &[], out, FlushCompress::Sync),
            Self::Zstd(zstd) => while with_room(out, |room| zstd.flush(room)) > 0 {},
            Self::Snappy(snappy) => {
                snappy.flush().expect("memory takes any bytes");
                out.append(snappy.get_mut());
            }
        }
    }

    /// Appends all that is still held and the stream's end.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        match &mut self {
            Self::Gzip(gzip) => deflate(gzip, &[], out, FlushCompress::Finish),
            Self::Zstd(zstd) => while with_room(out, |room| zstd.finish(room, true)) > 0 {},
            Self::Snappy(_) => self.flush(out),
        }
    }
}

fn deflate(gzip: &mut Compress, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
    loop {
        out.reserve(ROOM);
        let before = gzip.total_in();
        let status = gzip.compress_vec(input, out, flush).expect("deflate takes any bytes");
        input = &input[(gzip.total_in() - before) as usize..];
        let has_room = out.len() < out.capacity();
        let is_done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => input.is_empty() && has_room,
        };
        if is_done {
            return;
        }
    }
}

fn with_room(
    out: &mut Vec<u8>,
    run: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> usize {
    out.reserve(ROOM);
    let at = out.len();
    let mut room = OutBuffer::around_pos(out, at);
    run(&mut room).expect("zstd takes any bytes")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn unpack(method: Method, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // Not the decoders for many members and frames: the object must be one stream.
        let mut reader: Box<dyn Read + '_> = match method {
            Method::None | Method::Parquet => Box::new(data),
            Method::Gzip(_) => Box::new(flate2::read::GzDecoder::new(data)),
            Method::Zstd(_) => Box::new(zstd::stream::read::Decoder::new(data).unwrap().single_frame()),
            Method::Snappy => Box::new(snap::read::FrameDecoder::new(data)),
        };
        reader.read_to_end(&mut out).unwrap();
        out
    }

    fn pack(method: Method, pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = method.start().unwrap();
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for piece in pieces {
            stream.write(piece, &mut parts);
            whole.append(&mut parts);
        }
        stream.finish(&mut whole);
        whole
    }

    proptest! {
        #[test]
        fn a_stream_written_in_pieces_decodes_to_their_sum(pieces in prop::collection::vec(prop::collection::vec(0u8..32, 0..5000), 0..8)) {
            for method in [Method::GZIP, Method::ZSTD, Method::Gzip(9), Method::Zstd(3), Method::Snappy] {
                let packed = pack(method, &pieces);
                prop_assert_eq!(unpack(method, &packed), pieces.concat());
            }
        }

        #[test]
        fn a_stream_that_lost_its_compressor_can_be_ended(pieces in prop::collection::vec(prop::collection::vec(0u8..32, 1..5000), 1..8)) {
            for method in [Method::GZIP, Method::ZSTD, Method::Gzip(9), Method::Zstd(3), Method::Snappy] {
                let (mut stream, mut packed) = (method.start().unwrap(), Vec::new());
                for piece in &pieces {
                    stream.write(piece, &mut packed);
                    stream.flush(&mut packed);
                }
                drop(stream);
                let plain = pieces.concat();
                let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &plain) as u32;
                method.write_end(crc, plain.len() as u64, &mut packed);
                prop_assert_eq!(unpack(method, &packed), plain);
            }
        }
    }

    #[test]
    fn bytes_that_do_not_compress_survive() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(3_000_000)
        .collect();
        for method in [Method::GZIP, Method::ZSTD, Method::Snappy] {
            assert_eq!(unpack(method, &pack(method, std::slice::from_ref(&noise))), noise);
        }
    }
}
