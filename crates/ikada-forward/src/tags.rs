//! Under which tag entries go on.

/// Under which tag entries go on: a prefix wins over a fixed tag, which wins over the tag that was sent (reference, "Tags").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TagRule {
    /// The tag that was sent, an empty one too.
    #[default]
    Sent,
    /// Always this one.
    Fixed(Vec<u8>),
    /// This, and the tag that was sent behind it without a dot.
    Prefix(Vec<u8>),
}

impl TagRule {
    /// The rule of `Tag_Prefix` and `Tag`.
    #[must_use]
    pub fn new(prefix: Option<&str>, tag: Option<&str>) -> Self {
        match (prefix, tag) {
            (Some(prefix), _) => Self::Prefix(prefix.into()),
            (None, Some(tag)) => Self::Fixed(tag.into()),
            (None, None) => Self::Sent,
        }
    }

    /// The tag for entries sent as `sent`. `room` holds it where it has to be put together.
    #[inline]
    pub(crate) fn apply<'a>(&'a self, sent: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Self::Sent => sent,
            Self::Fixed(tag) => tag,
            Self::Prefix(prefix) => {
                room.clear();
                room.extend_from_slice(prefix);
                room.extend_from_slice(sent);
                room
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_wins_over_the_tag_and_the_tag_over_what_was_sent() {
        let tag = |prefix, tag, sent: &str| {
            let mut room = Vec::new();
            String::from_utf8(TagRule::new(prefix, tag).apply(sent.as_bytes(), &mut room).to_vec()).unwrap()
        };
        assert_eq!(tag(None, None, "app.a"), "app.a");
        assert_eq!(tag(Some("pre."), None, "app.a"), "pre.app.a");
        assert_eq!(tag(None, Some("fixed"), "app.a"), "fixed");
        assert_eq!(tag(Some("pre."), Some("fixed"), "app.a"), "pre.app.a");
        assert_eq!(tag(None, None, ""), "");
        assert_eq!(tag(Some("pre."), None, ""), "pre.");
    }
}
