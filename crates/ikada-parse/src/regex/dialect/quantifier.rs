//! How often.

use super::RegexError;
use super::cursor::Cursor;

/// The most an interval may ask for (Onigmo's own bound).
const MOST: u32 = 100_000;

/// A quantifier as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantifier {
    pub min: u32,
    /// `None`: as often as it goes.
    pub max: Option<u32>,
    pub greed: Greed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

impl Quantifier {
    /// Reads a quantifier, if one stands here. A brace that opens no interval is a character.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Self>, RegexError> {
        let (min, max) = match cursor.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return Self::interval(cursor),
            _ => return Ok(None),
        };
        cursor.next();
        let greed = match cursor {
            _ if cursor.eat("?") => Greed::Lazy,
            _ if cursor.eat("+") => Greed::Possessive,
            _ => Greed::Greedy,
        };
        Ok(Some(Self { min, max, greed }))
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`. Behind an interval, `+` is a quantifier of its own, and behind `{n}` so is `?`.
    fn interval(cursor: &mut Cursor<'_>) -> Result<Option<Self>, RegexError> {
        let start = cursor.at();
        cursor.eat("{");
        let low = cursor.digits(10, 9);
        let comma = cursor.eat(",");
        let high = if comma { cursor.digits(10, 9) } else { low };
        if !cursor.eat("}") || (low.is_empty() && high.is_empty()) {
            cursor.go_back_to(start);
            return Ok(None);
        }
        let number = |digits: &str| digits.parse::<u32>().ok();
        let (min, max) = (number(low).unwrap_or(0), number(high));
        if min > MOST || max.is_some_and(|max| max > MOST) {
            return Err(cursor.error("too big number in repeat range"));
        }
        if max.is_some_and(|max| max < min) {
            return Err(cursor.error("upper is smaller than lower in repeat range"));
        }
        let greed = if comma && cursor.eat("?") { Greed::Lazy } else { Greed::Greedy };
        Ok(Some(Self { min, max, greed }))
    }

    /// The quantifier in the engines' syntax, without possession.
    pub(super) fn text(self) -> String {
        let mut text = match (self.min, self.max) {
            (0, None) => "*".to_owned(),
            (1, None) => "+".to_owned(),
            (0, Some(1)) => "?".to_owned(),
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        if self.greed == Greed::Lazy {
            text.push('?');
        }
        text
    }
}
