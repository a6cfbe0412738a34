//! Lists of words.

use std::ops::Deref;

use crate::field::{OptionValue, ValueError};

/// Words with commas between them; blanks around a word and empty words do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CommaList(pub Vec<String>);

/// Words with blanks between them. Double quotes keep blanks inside a word, and `\"` between quotes is a quote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SpaceList(pub Vec<String>);

impl Deref for CommaList {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Deref for SpaceList {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl OptionValue for CommaList {
    const KIND: &'static str = "list with commas";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Ok(CommaList(
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        ))
    }
}

impl OptionValue for SpaceList {
    const KIND: &'static str = "list with blanks";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (word, after) = next_word(rest);
            words.push(word);
            rest = after.trim_start();
        }
        Ok(SpaceList(words))
    }
}

/// Returns the first word of a text that starts with no blank, and what follows it.
fn next_word(text: &str) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"')
        && let Some((word, rest)) = quoted_word(quoted)
    {
        return (word, rest);
    }
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

/// Returns the word up to the closing quote; `None` when there is none.
fn quoted_word(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((word, &text[at + 1..])),
            '\\' if text[at + 1..].starts_with('"') => {
                word.push('"');
                letters.next();
            }
            other => word.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        SpaceList::parse_value(text).unwrap().0
    }

    #[test]
    fn blanks_part_words() {
        assert_eq!(words("  cluster   my-cluster\tx "), ["cluster", "my-cluster", "x"]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words(r#"key "two words" end"#), ["key", "two words", "end"]);
        assert_eq!(words(r#""say \"hi\"" x"#), [r#"say "hi""#, "x"]);
        assert_eq!(words(r#""" x"#), ["", "x"]);
    }

    #[test]
    fn a_quote_that_never_closes_is_a_letter() {
        assert_eq!(words(r#"a "b c"#), ["a", "\"b", "c"]);
        assert_eq!(words(r#"5" pipe"#), ["5\"", "pipe"]);
    }

    #[test]
    fn commas_part_words() {
        let list = CommaList::parse_value(" a, b ,,c d ,").unwrap();
        assert_eq!(*list, ["a", "b", "c d"]);
    }
}
