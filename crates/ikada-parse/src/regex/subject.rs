//! A readable copy of a subject that is not UTF-8.

/// The subject with every stray byte written as U+FFFD, and the way back.
#[derive(Debug)]
pub(super) struct Mended {
    text: String,
    /// Offsets just behind a replacement: (in the copy, in the subject), ascending.
    seams: Vec<(usize, usize)>,
}

impl Mended {
    pub(super) fn new(subject: &[u8]) -> Self {
        let mut text = String::with_capacity(subject.len() + 16);
        let mut seams = Vec::new();
        let mut origin = 0;
        for chunk in subject.utf8_chunks() {
            text.push_str(chunk.valid());
            origin += chunk.valid().len();
            for _ in chunk.invalid() {
                text.push(char::REPLACEMENT_CHARACTER);
                origin += 1;
                seams.push((text.len(), origin));
            }
        }
        Self { text, seams }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Where an offset of the copy lies in the subject. Matches begin and end between characters.
    pub(super) fn origin(&self, at: usize) -> usize {
        let behind = self.seams.partition_point(|&(copy, _)| copy <= at);
        match behind.checked_sub(1).map(|i| self.seams[i]) {
            Some((copy, origin)) => origin + (at - copy),
            None => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stray_byte_becomes_one_character() {
        let mended = Mended::new(b"a\xe3\x81b\xff");
        assert_eq!(mended.text, "a\u{fffd}\u{fffd}b\u{fffd}");
    }

    #[test]
    fn offsets_find_their_way_back() {
        let mended = Mended::new(b"a\xe3\x81b\xff");
        let ends = [(0, 0), (1, 1), (4, 2), (7, 3), (8, 4), (11, 5)];
        for (copy, origin) in ends {
            assert_eq!(mended.origin(copy), origin, "offset {copy}");
        }
    }
}
