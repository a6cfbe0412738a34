//! What stands between inputs and outputs.

use ikada_record::{Fields, Tag, Timestamp};

/// What a filter says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, changed or not.
    Keep,
    /// It ends here.
    Drop,
    /// The filter would leave it without a single key. It ends here if another record of the chunk survives this filter;
    /// if none does, the whole chunk passes this filter unchanged, so the fields must be left as they came (Fluent Bit's `record_modifier`: cases
    /// `rm-remove-all-one`, `multi-rm-some-empty`).
    Empty,
}

/// What a filter may know about the record besides its fields.
#[derive(Debug, Clone, Copy)]
pub struct EntryContext<'a> {
    /// The tag.
    pub tag: &'a Tag,
    /// The entry's time.
    pub time: Timestamp,
    /// The encoded metadata map, if there is one.
    pub metadata: Option<&'a [u8]>,
    /// How many records of this chunk have come to this filter before.
    pub position: u32,
}

/// Changes or drops records, one by one.
///
/// A chain of filters is fused: the record is split once into [`Fields`], every filter of the chain edits those, and
/// only a changed record is written again. One filter serves all inputs at once, so its state is shared.
pub trait Filter: Send + Sync {
    /// Looks at one record and edits it. No record is shown twice.
    fn filter<'a>(&'a self, cx: &EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict;

    /// Called when all records of a chunk have passed.
    fn end_of_chunk(&self) {}
}
