//! A record under edit: its top-level fields, split once, changed by a chain of filters, written once.

use ikada_msgpack::{MapView, View, str_bytes, write};
use smallvec::SmallVec;

/// Encoded bytes of a key or a value: borrowed from the chunk or the filter, or made on the way.
#[derive(Debug, Clone)]
pub enum Piece<'a> {
    /// Bytes that live elsewhere.
    Ref(&'a [u8]),
    /// Bytes made for this record, best in a buffer of [`Fields::buffer`].
    Own(Vec<u8>),
}

impl Piece<'_> {
    /// The encoded bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Ref(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }
}

/// One top-level key with its value.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// The encoded key.
    pub key: Piece<'a>,
    /// The encoded value.
    pub value: Piece<'a>,
}

impl Field<'_> {
    /// The key's text, `None` if the key is no string.
    #[must_use]
    #[inline]
    pub fn name(&self) -> Option<&[u8]> {
        str_bytes(self.key.bytes())
    }
}

/// The top-level fields of a record, in order, duplicates and all.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    list: SmallVec<[Field<'a>; 16]>,
    changed: bool,
    /// Whether [`Piece::Own`] may stand in the list.
    made: bool,
    /// Buffers of earlier records, empty and with room.
    spare: Vec<Vec<u8>>,
}

/// Buffers that are kept for the next record; a filter makes one or two values.
const SPARE: usize = 32;

/// Room of a kept buffer: a record that made a large value must not hold it for ever.
const SPARE_ROOM: usize = 64 * 1024;

impl<'a> Fields<'a> {
    /// Splits a record.
    #[must_use]
    pub fn split(record: MapView<'a>) -> Self {
        let mut fields = Self::default();
        fields.refill(record);
        fields
    }

    /// Splits another record into the room this one used.
    pub fn refill(&mut self, record: MapView<'a>) {
        if self.made {
            self.take_back();
        }
        self.list.clear();
        self.changed = false;
        self.list.extend(
            record.raw().map(|(key, value)| Field { key: Piece::Ref(key), value: Piece::Ref(value) }),
        );
    }

    /// Keeps the room of what was made for the last record.
    fn take_back(&mut self) {
        self.list.iter_mut().for_each(|field| keep_made(&mut self.spare, field));
        self.made = false;
    }

    /// An empty buffer for a key or value to be made, with the room of an earlier one: records that are made alike cost no
    /// allocation. What is not put into a field goes back with [`Fields::recycle`].
    #[must_use]
    #[inline]
    pub fn buffer(&mut self) -> Vec<u8> {
        self.made = true;
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back whose content is needed no more.
    #[inline]
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        keep_room(&mut self.spare, buffer);
    }

    /// The fields in order.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[Field<'a>] {
        &self.list
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether anything differs from the record that was split.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The value under a string key; of several, the last.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<View<'_>> {
        let field = self.list.iter().rev().find(|field| field.name() == Some(name))?;
        View::parse(field.value.bytes()).ok().map(|(view, _)| view)
    }

    /// Adds a field at the end.
    #[inline]
    pub fn push(&mut self, key: Piece<'a>, value: Piece<'a>) {
        self.changed = true;
        self.list.push(Field { key, value });
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Field<'a>) -> bool) {
        let before = self.list.len();
        self.list.retain(|field| {
            let stays = keep(field);
            if !stays && self.made {
                keep_made(&mut self.spare, field);
            }
            stays
        });
        self.changed |= self.list.len() != before;
    }

    /// The fields, free to be changed in any way.
    pub fn edit(&mut self) -> &mut SmallVec<[Field<'a>; 16]> {
        self.changed = true;
        &mut self.list
    }

    /// Writes the fields as one map.
    pub fn write(&self, buf: &mut Vec<u8>) {
        write::map_header(buf, self.list.len());
        for field in &self.list {
            buf.extend_from_slice(field.key.bytes());
            buf.extend_from_slice(field.value.bytes());
        }
    }
}

/// Keeps the room of what a field was made of.
fn keep_made(spare: &mut Vec<Vec<u8>>, field: &mut Field<'_>) {
    for piece in [&mut field.key, &mut field.value] {
        if let Piece::Own(made) = piece {
            keep_room(spare, std::mem::take(made));
        }
    }
}

/// Keeps a buffer's room, within bounds.
fn keep_room(spare: &mut Vec<Vec<u8>>, mut buffer: Vec<u8>) {
    if spare.len() < SPARE && buffer.capacity() <= SPARE_ROOM {
        buffer.clear();
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_at;

    #[test]
    fn an_untouched_record_is_written_as_it_was() {
        let record = b"\x82\xa1a\x01\xa1b\x91\xc0";
        let fields = Fields::split(record_at(record));
        let mut out = Vec::new();
        fields.write(&mut out);
        assert_eq!(out, record);
        assert!(!fields.is_changed());
    }

    #[test]
    fn the_room_of_a_made_value_serves_the_next_record() {
        let mut fields = Fields::split(record_at(b"\x80"));
        let mut made = fields.buffer();
        made.extend_from_slice(b"\xa5hello");
        let place = made.as_ptr();
        fields.push(Piece::Ref(b"\xa1a"), Piece::Own(made));
        assert_eq!(fields.get(b"a"), Some(View::Str(b"hello")));
        fields.refill(record_at(b"\x80"));
        let again = fields.buffer();
        assert!(again.is_empty() && again.as_ptr() == place);
    }

    #[test]
    fn the_last_of_duplicate_keys_is_seen() {
        let mut fields = Fields::split(record_at(b"\x81\xa1a\x01"));
        fields.push(Piece::Ref(b"\xa1a"), Piece::Own(vec![2]));
        assert_eq!(fields.get(b"a"), Some(View::Uint(2)));
        assert!(fields.is_changed());
    }
}
