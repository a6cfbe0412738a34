//! The dotted name entries arrive under.

use std::fmt;
use std::sync::Arc;

/// The dotted name entries arrive under.
///
/// Cheap to clone. Tags are bytes: nothing in the Forward protocol promises UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<[u8]>);

impl Tag {
    /// A tag of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The tag's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The `n`-th part between dots, counted from 0. Without a dot, part 0 is the whole tag.
    #[must_use]
    pub fn part(&self, n: usize) -> Option<&[u8]> {
        self.0.split(|byte| *byte == b'.').nth(n)
    }
}

impl From<&str> for Tag {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}
