//! From positions in characters, which the YAML parser counts in, to bytes, which spans count in.

/// How many characters lie between two known offsets.
const STEP: usize = 128;

/// Where the characters of a text are.
pub(super) struct Positions<'t> {
    text: &'t str,
    /// The offset of every [`STEP`]th character; empty when each character is one byte.
    known: Vec<u32>,
}

impl<'t> Positions<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let known = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().step_by(STEP).map(|(at, _)| at as u32).collect(),
        };
        Positions { text, known }
    }

    /// Returns the offset of a character; behind the last one, that of the end.
    pub(super) fn byte_of(&self, character: usize) -> usize {
        if self.known.is_empty() {
            return character.min(self.text.len());
        }
        let Some(start) = self.known.get(character / STEP) else { return self.text.len() };
        let rest = &self.text[*start as usize..];
        rest.char_indices().nth(character % STEP).map_or(self.text.len(), |(at, _)| *start as usize + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_found_in_any_text() {
        for text in ["", "plain", "é", "筏aé", &"x筏".repeat(500), &"é".repeat(128), &"é".repeat(129)] {
            let positions = Positions::new(text);
            for (number, (at, _)) in text.char_indices().enumerate() {
                assert_eq!(positions.byte_of(number), at);
            }
            let count = text.chars().count();
            assert_eq!(positions.byte_of(count), text.len());
            assert_eq!(positions.byte_of(count + 1000), text.len());
        }
    }
}
