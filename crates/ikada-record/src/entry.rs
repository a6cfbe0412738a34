//! One entry: a time, optional metadata, a record.

use ikada_msgpack::{MapView, ScanError, View, skip};

use crate::Timestamp;

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not MessagePack, or cut short.
    #[error("the entry is not whole MessagePack")]
    Scan(#[from] ScanError),
    /// Not `[time, record]` nor `[[time, metadata], record]`.
    #[error("an entry must be an array of a time and a record")]
    Shape,
    /// The time is none the protocol allows.
    #[error("the entry's time is neither a number from 0 on nor an EventTime")]
    Time,
    /// The record is not a map.
    #[error("the entry's record is not a map")]
    Record,
}

/// One entry, borrowed from a chunk: `[time, record]` or `[[time, metadata], record]`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    raw: &'a [u8],
    time: Timestamp,
    record_at: usize,
    /// Range of the metadata map inside `raw`; empty when there is none.
    metadata: (usize, usize),
}

impl<'a> Entry<'a> {
    /// Checks the entry at the start of `buf`, record and all, and says how long it is.
    ///
    /// # Errors
    /// The bytes are not an entry.
    pub fn scan(buf: &'a [u8]) -> Result<(Self, usize), EntryError> {
        let head = Self::head(buf)?;
        let record = buf.get(head.record_at..).ok_or(ScanError::Truncated)?;
        let first = *record.first().ok_or(ScanError::Truncated)?;
        if !matches!(first, 0x80..=0x8f | 0xde | 0xdf) {
            return Err(EntryError::Record);
        }
        let len = head.record_at + skip(record)?;
        Ok((Self { raw: &buf[..len], ..head }, len))
    }

    /// Splits bytes that [`Entry::scan`] has accepted before.
    #[inline]
    pub(crate) fn known(raw: &'a [u8]) -> Option<Self> {
        if let [0x92, 0xd7, 0x00, a, b, c, d, e, f, g, h, ..] = *raw {
            let time =
                Timestamp::new(i64::from(u32::from_be_bytes([a, b, c, d])), u32::from_be_bytes([e, f, g, h]));
            return Some(Self { raw, time, record_at: 11, metadata: (0, 0) });
        }
        Self::head(raw).ok()
    }

    fn head(raw: &'a [u8]) -> Result<Self, EntryError> {
        let outer = pair(raw)?.ok_or(EntryError::Shape)?;
        let Some(inner) = pair(&raw[outer..])? else {
            let (view, len) = View::parse(&raw[outer..])?;
            let time = Timestamp::from_view(&view).ok_or(EntryError::Time)?;
            return Ok(Self { raw, time, record_at: outer + len, metadata: (0, 0) });
        };
        let (view, time_len) = View::parse(&raw[outer + inner..])?;
        let time = Timestamp::from_view(&view).ok_or(EntryError::Time)?;
        let at = outer + inner + time_len;
        let (metadata, len) = View::parse(raw.get(at..).ok_or(ScanError::Truncated)?)?;
        if metadata.as_map().is_none() {
            return Err(EntryError::Shape);
        }
        Ok(Self { raw, time, record_at: at + len, metadata: (at, at + len) })
    }

    /// Writes what stands before the record of an entry with this time and, if there is some, this encoded metadata map.
    pub fn write_head(buf: &mut Vec<u8>, time: Timestamp, metadata: Option<&[u8]>) {
        let Some(metadata) = metadata else {
            buf.push(0x92);
            return time.write(buf);
        };
        buf.extend_from_slice(&[0x92, 0x92]);
        time.write(buf);
        buf.extend_from_slice(metadata);
    }

    /// The encoded entry.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// The entry's time.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The encoded metadata map, if the entry has one.
    #[must_use]
    pub fn metadata(&self) -> Option<&'a [u8]> {
        let (start, end) = self.metadata;
        (end > start).then(|| &self.raw[start..end])
    }

    /// The encoded record.
    #[must_use]
    #[inline]
    pub fn record_bytes(&self) -> &'a [u8] {
        &self.raw[self.record_at..]
    }

    /// What stands before the record: array header, time and metadata.
    #[must_use]
    pub fn head_bytes(&self) -> &'a [u8] {
        &self.raw[..self.record_at]
    }

    /// The record, split at its top level only.
    #[must_use]
    pub fn record(&self) -> MapView<'a> {
        record_at(self.record_bytes())
    }
}

/// Length of the header of an array of two, which MessagePack may write in three ways; `None` for anything else.
fn pair(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
    const FORMS: [&[u8]; 3] = [&[0x92], &[0xdc, 0, 2], &[0xdd, 0, 0, 0, 2]];
    if let Some(form) = FORMS.iter().find(|form| bytes.starts_with(form)) {
        return Ok(Some(form.len()));
    }
    if FORMS.iter().any(|form| form.starts_with(bytes)) { Err(ScanError::Truncated) } else { Ok(None) }
}

/// The record in these bytes, which [`Entry::scan`] has accepted before. An empty one for anything else.
#[must_use]
pub fn record_at(bytes: &[u8]) -> MapView<'_> {
    MapView::known(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_form_of_the_protocol_is_read() {
        let cases: [(&[u8], Timestamp); 4] = [
            (b"\x92\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x80", Timestamp::new(5, 7)),
            (b"\x92\xc7\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07\x80", Timestamp::new(5, 7)),
            (b"\x92\xce\x00\x00\x00\x05\x80", Timestamp::new(5, 0)),
            (b"\x92\xcb\x40\x14\x00\x00\x00\x00\x00\x00\x80", Timestamp::new(5, 0)),
        ];
        for (bytes, time) in cases {
            let (entry, len) = Entry::scan(bytes).unwrap();
            assert_eq!((entry.time(), len), (time, bytes.len()));
            assert_eq!(Entry::known(bytes).unwrap().time(), time);
            assert_eq!(entry.metadata(), None);
        }
    }

    #[test]
    fn metadata_stands_between_time_and_record() {
        let bytes = b"\x92\x92\x05\x81\xa1k\xa1v\x81\xa3log\xa1m";
        let (entry, _) = Entry::scan(bytes).unwrap();
        assert_eq!(entry.metadata(), Some(&b"\x81\xa1k\xa1v"[..]));
        assert_eq!(entry.record().get(b"log").unwrap().as_str(), Some(&b"m"[..]));
    }

    #[test]
    fn an_array_of_two_may_be_written_in_three_ways() {
        let forms: [&[u8]; 3] = [b"\x92", b"\xdc\0\x02", b"\xdd\0\0\0\x02"];
        for outer in forms {
            let bytes = [outer, b"\x05\x81\xa1k\xa1v"].concat();
            let (entry, len) = Entry::scan(&bytes).unwrap();
            assert_eq!((entry.time(), len), (Timestamp::new(5, 0), bytes.len()));
            for inner in forms {
                let bytes = [outer, inner, b"\x05\x81\xa1m\x01\x81\xa1k\xa1v"].concat();
                let (entry, len) = Entry::scan(&bytes).unwrap();
                assert_eq!((entry.time(), len), (Timestamp::new(5, 0), bytes.len()));
                assert_eq!(Entry::known(&bytes).unwrap().metadata(), Some(&b"\x81\xa1m\x01"[..]));
                assert_eq!(entry.record_bytes(), b"\x81\xa1k\xa1v");
                for end in 0..bytes.len() {
                    let cut = Entry::scan(&bytes[..end]).unwrap_err();
                    assert!(matches!(cut, EntryError::Scan(ScanError::Truncated)), "{end}: {cut:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_entry_is_told_apart() {
        assert_eq!(Entry::scan(b"\x93\x05\x80\x80").unwrap_err(), EntryError::Shape);
        assert_eq!(Entry::scan(b"\x92\xff\x80").unwrap_err(), EntryError::Time);
        assert_eq!(
            Entry::scan(b"\x92\xd7\x00\x00\x00\x00\x01\xee\x6b\x28\x00\x80").unwrap_err(),
            EntryError::Time
        );
        assert_eq!(Entry::scan(b"\x92\x05\xa1x").unwrap_err(), EntryError::Record);
        assert_eq!(Entry::scan(b"\x92\x05\x81\xa1x").unwrap_err(), EntryError::Scan(ScanError::Truncated));
    }
}
