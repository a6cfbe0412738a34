//! Records joined as the Kinesis Producer Library does, and as its consumers take apart by themselves.
//!
//! ```text
//! F3 89 9A C2 │ protobuf: partition keys (field 1, once each), then records (field 3: index of the key, data) │ MD5 of the protobuf
//! ```
//!
//! From the library's published description of its aggregation format. The whole goes to Kinesis under the first of its keys.

use std::collections::HashMap;

use md5::{Digest, Md5};

/// What says that records are joined.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST: usize = 16;
/// Records of this length and more go alone: little is won by joining them (the Go plugin's own bound).
pub(crate) const ALONE: usize = 20 * 1024;

/// Records that will be one.
#[derive(Debug, Default)]
pub(crate) struct Kpl {
    keys: HashMap<Vec<u8>, u64>,
    first: Vec<u8>,
    table: Vec<u8>,
    body: Vec<u8>,
}

impl Kpl {
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The key that all of it goes under.
    pub(crate) fn key(&self) -> &[u8] {
        &self.first
    }

    /// Bytes held.
    pub(crate) fn cost(&self) -> usize {
        // Keys stand in the map as well.
        2 * self.table.len() + self.body.len()
    }

    /// The length of the whole, and of its own key, with another record.
    pub(crate) fn len_with(&self, record: &[u8], key: &[u8]) -> usize {
        let index = self.keys.get(key).copied();
        let grown = record_len(record, index.unwrap_or(self.keys.len() as u64));
        let table = if index.is_none() { field_len(key.len()) } else { 0 };
        let own = if self.first.is_empty() { key.len() } else { self.first.len() };
        MAGIC.len() + self.table.len() + table + self.body.len() + grown + DIGEST + own
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, record: &[u8], key: &[u8]) {
        let index = match self.keys.get(key) {
            Some(index) => *index,
            None => {
                let index = self.keys.len() as u64;
                self.keys.insert(key.to_vec(), index);
                field(&mut self.table, 1, key);
                if index == 0 {
                    self.first = key.to_vec();
                }
                index
            }
        };
        self.body.push(3 << 3 | 2);
        varint(&mut self.body, (1 + varint_len(index) + field_len(record.len())) as u64);
        self.body.push(1 << 3);
        varint(&mut self.body, index);
        field(&mut self.body, 3, record);
    }

    /// Puts the whole into `out`, in place of what was there; nothing is left. Returns its key.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.append(&mut self.table);
        out.extend_from_slice(&self.body);
        self.body.clear();
        self.keys.clear();
        let digest = Md5::digest(&out[MAGIC.len()..]);
        out.extend_from_slice(&digest);
        std::mem::take(&mut self.first)
    }
}

/// A field of bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn record_len(record: &[u8], index: u64) -> usize {
    field_len(1 + varint_len(index) + field_len(record.len()))
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_once_and_records_name_them() {
        let mut kpl = Kpl::default();
        for (record, key) in [("one", "a"), ("two", "bb"), ("three", "a")] {
            let foretold = kpl.len_with(record.as_bytes(), key.as_bytes());
            kpl.add(record.as_bytes(), key.as_bytes());
            assert_eq!(MAGIC.len() + kpl.table.len() + kpl.body.len() + DIGEST + 1, foretold);
        }
        let mut out = b"left over".to_vec();
        assert_eq!(kpl.take(&mut out), b"a");
        let protobuf = b"\x0a\x01a\x0a\x02bb\x1a\x07\x08\x00\x1a\x03one\x1a\x07\x08\x01\x1a\x03two\x1a\x09\x08\x00\x1a\x05three";
        assert_eq!(out[..4], MAGIC);
        assert_eq!(out[4..out.len() - 16], protobuf[..]);
        assert_eq!(out[out.len() - 16..], Md5::digest(protobuf)[..]);
        assert!(kpl.is_empty() && kpl.cost() == 0);
    }

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        for (number, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!((out.len(), varint_len(number)), (len, len), "{number}");
        }
    }
}
