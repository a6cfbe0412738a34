//! Where the groups of a match lie.

use std::ops::Range;

use super::Regex;

/// Room for the ranges of a match's groups, kept from subject to subject.
///
/// Slot 0 is the whole match.
#[derive(Debug, Default, Clone)]
pub struct Slots {
    ranges: Vec<Option<Range<usize>>>,
    /// Scratch of the `regex` engine, for the engine it was made by.
    pub(super) scratch: Option<(u64, regex::bytes::CaptureLocations)>,
}

impl Slots {
    /// The range of a group within the subject; `None` when the group took no part in the match or does not exist.
    pub fn get(&self, group: usize) -> Option<Range<usize>> {
        self.ranges.get(group)?.clone()
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    pub(super) fn push(&mut self, range: Option<Range<usize>>) {
        self.ranges.push(range);
    }

    pub(super) fn map(&mut self, place: impl Fn(usize) -> usize) {
        for range in self.ranges.iter_mut().flatten() {
            *range = place(range.start)..place(range.end);
        }
    }
}

/// A match and its groups.
#[derive(Debug, Clone)]
pub struct Captures<'r, 's> {
    regex: &'r Regex,
    subject: &'s [u8],
    slots: Slots,
}

impl<'r, 's> Captures<'r, 's> {
    pub(super) fn new(regex: &'r Regex, subject: &'s [u8], slots: Slots) -> Self {
        Self { regex, subject, slots }
    }

    /// The bytes of a group; group 0 is the whole match.
    pub fn get(&self, group: usize) -> Option<&'s [u8]> {
        Some(&self.subject[self.slots.get(group)?])
    }

    /// The bytes of a named group; of several groups with the name, the last that took part.
    pub fn name(&self, name: &str) -> Option<&'s [u8]> {
        let namesakes = self.named().filter(|(other, _)| *other == name);
        namesakes.filter_map(|(_, bytes)| bytes).last()
    }

    /// Every named group in order of appearance in the expression, with its bytes if it took part.
    pub fn named(&self) -> impl Iterator<Item = (&'r str, Option<&'s [u8]>)> {
        self.regex.names().map(|(name, group)| (name, self.get(group)))
    }

    /// The number of groups, not counting the whole match.
    pub fn group_count(&self) -> usize {
        self.regex.group_count()
    }
}
