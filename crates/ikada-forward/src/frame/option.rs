//! The option map at a frame's end.

use ikada_msgpack::{MapView, View, str_bytes};

use super::{FrameError, is_map};

/// How packed entries are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, of one or more members back to back.
    Gzip,
    /// zstd, of one or more frames back to back.
    Zstd,
}

impl Compression {
    /// The name in the option `compressed`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Tells the compression by the payload's first bytes; the declared name only says that there must be one.
    ///
    /// No entry starts like either (both would be a small integer), so looking is always safe (reference, cases
    /// `fwd-gzip-undeclared`, `fwd-zstd-declared-gzip`).
    pub(super) fn of(payload: &[u8], declared: Option<&[u8]>) -> Result<Option<Self>, FrameError> {
        if payload.starts_with(&[0x1f, 0x8b]) {
            return Ok(Some(Self::Gzip));
        }
        if payload.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Ok(Some(Self::Zstd));
        }
        match declared {
            Some(b"gzip") => Err(FrameError::NotCompressed { declared: "gzip" }),
            Some(b"zstd") => Err(FrameError::NotCompressed { declared: "zstd" }),
            _ => Ok(None),
        }
    }
}

/// What the option asks for. Keys that are not here mean nothing to the router.
#[derive(Debug)]
pub(super) struct FrameOption<'a> {
    /// `chunk`.
    pub(super) token: Option<&'a [u8]>,
    /// `compressed`.
    pub(super) compressed: Option<&'a [u8]>,
    /// `metadata`, if it is a map.
    pub(super) metadata: Option<&'a [u8]>,
    /// Whether `fluent_signal` is absent or 0.
    pub(super) signal_is_logs: bool,
}

impl Default for FrameOption<'_> {
    fn default() -> Self {
        Self { token: None, compressed: None, metadata: None, signal_is_logs: true }
    }
}

impl<'a> FrameOption<'a> {
    /// Reads one whole value. Old clients send nil for "no options".
    #[inline]
    pub(super) fn read(raw: &'a [u8]) -> Result<Self, FrameError> {
        match raw {
            [0xc0 | 0x80] => Ok(Self::default()),
            [byte, ..] if is_map(*byte) => Self::read_map(MapView::known(raw)),
            _ => Err(FrameError::Option),
        }
    }

    fn read_map(map: MapView<'a>) -> Result<Self, FrameError> {
        let mut option = Self::default();
        for (key, value) in map.raw() {
            match str_bytes(key) {
                Some(b"chunk") => option.token = Some(str_bytes(value).ok_or(FrameError::Chunk)?),
                Some(b"compressed") => option.compressed = str_bytes(value),
                Some(b"metadata") if value.first().is_some_and(|byte| is_map(*byte)) => {
                    option.metadata = Some(value);
                }
                Some(b"fluent_signal") => {
                    option.signal_is_logs = matches!(View::parse(value), Ok((View::Uint(0), _)));
                }
                _ => {}
            }
        }
        Ok(option)
    }
}
