//! Records compressed one by one, each a whole gzip member or zstd frame.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// How records are compressed. What it takes is kept from record to record.
pub(super) enum Compressor {
    /// gzip.
    Gzip(Compress),
    /// zstd.
    Zstd(zstd::bulk::Compressor<'static>),
}

/// Magic, deflate, no flags, no time, no hint of effort, no system (RFC 1952, 2.3).
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Level 6 is what everyone expects of gzip, but records are small and many: 3 costs half and gives nearly as much.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

impl Compressor {
    pub(super) fn gzip() -> Self {
        Self::Gzip(Compress::new(Compression::new(GZIP_LEVEL), false))
    }

    /// # Errors
    /// There is no memory for it.
    pub(super) fn zstd() -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self::Zstd)
    }

    /// Puts the compressed form of `plain` into `out`, in place of what was there.
    ///
    /// # Errors
    /// The compressor is broken; there is no input that it does not take.
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        out.clear();
        match self {
            Self::Gzip(deflate) => gzip(deflate, plain, out),
            Self::Zstd(zstd) => {
                out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, out).map(drop)
            }
        }
    }
}

fn gzip(deflate: &mut Compress, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(&GZIP_HEAD);
    deflate.reset();
    loop {
        let used = deflate.total_in() as usize;
        out.reserve((plain.len() - used) / 2 + 256);
        let status = deflate
            .compress_vec(&plain[used..], out, FlushCompress::Finish)
            .map_err(std::io::Error::other)?;
        if status == Status::StreamEnd {
            break;
        }
    }
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
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
        }
    }

    #[test]
    fn what_cannot_be_compressed_grows_by_little() {
        let plain = noise(super::super::batcher::MAX_PLAIN);
        let mut out = Vec::new();
        for mut compressor in [Compressor::gzip(), Compressor::zstd().unwrap()] {
            compressor.compress(&plain, &mut out).unwrap();
            assert!(out.len() <= super::super::records::MAX_RECORD, "{}", out.len());
        }
    }
}
