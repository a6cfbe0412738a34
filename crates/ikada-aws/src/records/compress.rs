//! Records compressed one by one, each a whole gzip member, zlib stream, zstd frame or snappy block.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// How records are compressed. What it takes is kept from record to record.
pub(crate) enum Compressor {
    /// gzip.
    Gzip(Compress),
    /// zlib.
    Zlib(Compress),
    /// zstd.
    Zstd(zstd::bulk::Compressor<'static>),
    /// Snappy's raw block format, as Fluent Bit writes it.
    Snappy(Box<snap::raw::Encoder>),
}

/// Magic, deflate, no flags, no time, no hint of effort, no system (RFC 1952, 2.3).
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Level 6 is what everyone expects of gzip, but records are small and many: 3 costs half and gives nearly as much.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

/// By how much data of this length may grow when it is compressed with deflate or zstd.
const fn margin(len: usize) -> usize {
    len / 128
}

/// The same for snappy: 32 bytes and a sixth, by its own promise.
const fn snappy_margin(len: usize) -> usize {
    len / 7 + 32
}

impl Compressor {
    pub(crate) fn gzip() -> Self {
        Self::Gzip(Compress::new(Compression::new(GZIP_LEVEL), false))
    }

    pub(crate) fn zlib() -> Self {
        Self::Zlib(Compress::new(Compression::new(GZIP_LEVEL), true))
    }

    pub(crate) fn snappy() -> Self {
        Self::Snappy(Box::new(snap::raw::Encoder::new()))
    }

    /// # Errors
    /// There is no memory for it.
    pub(crate) fn zstd() -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self::Zstd)
    }

    /// How long data may be that surely fits into `limit` bytes when it is compressed.
    pub(crate) fn sure(&self, limit: usize) -> usize {
        limit
            - match self {
                Self::Snappy(_) => snappy_margin(limit),
                _ => margin(limit),
            }
    }

    /// Puts the compressed form of `plain` into `out`, in place of what was there.
    ///
    /// # Errors
    /// The compressor is broken; there is no input that it does not take.
    pub(crate) fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        out.clear();
        match self {
            Self::Gzip(deflate) => gzip(deflate, plain, out),
            Self::Zlib(zlib) => run(zlib, plain, out),
            Self::Snappy(snappy) => {
                out.resize(snap::raw::max_compress_len(plain.len()), 0);
                let len = snappy.compress(plain, out).map_err(std::io::Error::other)?;
                out.truncate(len);
                Ok(())
            }
            Self::Zstd(zstd) => {
                out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, out).map(drop)
            }
        }
    }
}

fn gzip(deflate: &mut Compress, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(&GZIP_HEAD);
    run(deflate, plain, out)?;
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
}

fn run(deflate: &mut Compress, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    deflate.reset();
    loop {
        let used = deflate.total_in() as usize;
        out.reserve((plain.len() - used) / 2 + 256);
        let status = deflate
            .compress_vec(&plain[used..], out, FlushCompress::Finish)
            .map_err(std::io::Error::other)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn each_record_can_be_read_alone() {
        let mut gzip = Compressor::gzip();
        let mut zstd = Compressor::zstd().unwrap();
        let mut out = Vec::new();
        for plain in [b"hello\n".to_vec(), vec![b'x'; 300_000], noise(100_000)] {
            gzip.compress(&plain, &mut out).unwrap();
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut read).unwrap();
            assert!(read == plain);
            zstd.compress(&plain, &mut out).unwrap();
            assert!(zstd::bulk::decompress(&out, 1_000_000).unwrap() == plain);
            Compressor::zlib().compress(&plain, &mut out).unwrap();
            read.clear();
            flate2::read::ZlibDecoder::new(&out[..]).read_to_end(&mut read).unwrap();
            assert!(read == plain);
            Compressor::snappy().compress(&plain, &mut out).unwrap();
            assert!(snap::raw::Decoder::new().decompress_vec(&out).unwrap() == plain);
        }
    }

    #[test]
    fn what_cannot_be_compressed_grows_by_little() {
        let limit = 1_024_000;
        let plain = noise(limit - margin(limit));
        let mut out = Vec::new();
        let all = [Compressor::gzip(), Compressor::zlib(), Compressor::zstd().unwrap()];
        for mut compressor in all {
            compressor.compress(&plain, &mut out).unwrap();
            assert!(out.len() <= limit, "{}", out.len());
        }
        Compressor::snappy().compress(&noise(limit - snappy_margin(limit)), &mut out).unwrap();
        assert!(out.len() <= limit, "{}", out.len());
    }
}
