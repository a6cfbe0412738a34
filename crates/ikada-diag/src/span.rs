//! Byte ranges in sources, and values that remember theirs.

use std::ops::Deref;

/// One text among the [`Sources`](crate::Sources) of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub(crate) u32);

impl SourceId {
    /// Returns the span of the bytes `start..end` of this source.
    ///
    /// Offsets beyond 4 GiB are cut to the last one that can be said; an end before the start becomes the start.
    pub fn span(self, start: usize, end: usize) -> Span {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Span { source: self, start, end: end.max(start) }
    }

    /// Returns the place of this source among the sources, in the order in which they were added.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes in one source: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text that the range lies in.
    pub source: SourceId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// Returns the smallest span that covers both; `self` when they lie in different sources.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Returns the part `start..end` of this span, both counted from its start and never reaching past its end.
    pub fn part(self, start: usize, end: usize) -> Span {
        let at = |offset: usize| {
            self.start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)).min(self.end)
        };
        Span { source: self.source, start: at(start), end: at(end).max(at(start)) }
    }

    /// Returns the number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Says whether the span covers no byte: a place between two.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A value and the place where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Returns `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Spanned { value, span }
    }

    /// Returns what `change` makes of the value, at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }

    /// Returns a reference to the value, at the same place.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned { value: &self.value, span: self.span }
    }

    /// Returns the value without its place.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_never_reaches_past_its_span() {
        let span = SourceId(0).span(10, 20);
        assert_eq!(span.part(2, 5), SourceId(0).span(12, 15));
        assert_eq!(span.part(8, 50), SourceId(0).span(18, 20));
        assert_eq!(span.part(50, 60), SourceId(0).span(20, 20));
        assert_eq!(span.part(5, 2), SourceId(0).span(15, 15));
    }

    #[test]
    fn two_spans_of_one_source_join() {
        let (a, b) = (SourceId(1).span(3, 5), SourceId(1).span(9, 12));
        assert_eq!(a.to(b), SourceId(1).span(3, 12));
        assert_eq!(a.to(SourceId(2).span(9, 12)), a);
    }

    #[test]
    fn a_spanned_value_reads_like_the_value() {
        let name = Spanned::new(String::from("tail"), SourceId(0).span(0, 4));
        assert!(name.starts_with("ta"));
        assert_eq!(name.as_ref().map(|text| text.len()).value, 4);
    }
}
