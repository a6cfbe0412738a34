//! Formats: from text to items.

use std::fmt;

/// Why a text is not a time format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// Where, as a byte offset into the format.
    pub position: usize,
    /// What to type instead.
    pub help: Option<&'static str>,
}

/// A compiled time format.
#[derive(Clone)]
pub struct TimeFormat {
    text: Box<str>,
    items: Box<[Item]>,
    /// Blanks before a text do not count, as in Fluent Bit where the year is not written out as `%Y`, `%y` or `%s`.
    skips_blanks: bool,
}

/// One step of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// This byte.
    Literal(u8),
    /// Blanks, any number of them.
    Blanks,
    /// A number.
    Number(Number),
    /// A name of a month.
    Month,
    /// A name of a weekday, which is not checked against the date.
    Weekday,
    /// AM or PM.
    HalfDay,
    /// Seconds since 1970.
    Epoch,
    /// A fraction of a second.
    Fraction,
    /// An offset, or one of the few names that RFC 822 has.
    Offset,
    /// The name of a zone.
    ZoneName,
    /// `Z` behind the seconds, which says UTC.
    Zulu,
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Century,
    Year,
    YearOfCentury,
    Month,
    Day,
    /// A day that may be padded with a blank.
    PaddedDay,
    DayOfYear,
    Hour,
    PaddedHour,
    Hour12,
    PaddedHour12,
    Minute,
    Second,
    /// Read and ignored: weeks and weekdays, with the largest value.
    Ignored(u16),
}

impl TimeFormat {
    /// Compiles a format.
    ///
    /// # Errors
    ///
    /// When it has a directive that does not exist, or more than one `%L`.
    pub fn new(text: &str) -> Result<Self, FormatError> {
        let mut items = Vec::new();
        compile(text.as_bytes(), 0, &mut items)?;
        mark_zulu(&mut items);
        let skips_blanks = !["%Y", "%y", "%s"].iter().any(|year| text.contains(year));
        Ok(Self { text: text.into(), items: items.into(), skips_blanks })
    }

    /// The format as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether texts of this format name their zone.
    pub(super) fn has_zone(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Offset | Item::ZoneName | Item::Zulu))
    }

    /// Whether it is one of seconds since 1970 and nothing else but a fraction.
    pub(super) fn is_epoch(&self) -> bool {
        matches!(
            &*self.items,
            [Item::Epoch] | [Item::Epoch, Item::Fraction] | [Item::Epoch, Item::Literal(_), Item::Fraction]
        )
    }

    pub(super) fn skips_blanks(&self) -> bool {
        self.skips_blanks
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }
}

impl fmt::Debug for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeFormat").field(&self.text).finish()
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Appends the items of a format that stands at `origin` of the one the user wrote.
fn compile(text: &[u8], origin: usize, items: &mut Vec<Item>) -> Result<(), FormatError> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'%' => at = directive(text, at, origin, items)?,
            b' ' | b'\t'..=b'\r' => items.push(Item::Blanks),
            other => items.push(Item::Literal(other)),
        }
        debug_assert!(at > start, "every step goes on");
    }
    Ok(())
}

/// Reads the directive whose letter is at `at`; returns where it ends.
fn directive(text: &[u8], at: usize, origin: usize, items: &mut Vec<Item>) -> Result<usize, FormatError> {
    let modified = matches!(text.get(at), Some(b'E' | b'O'));
    let letter_at = at + usize::from(modified);
    let error = |message: String, help| FormatError { message, position: origin + at - 1, help };
    let Some(&letter) = text.get(letter_at) else {
        return Err(error("a lone `%` ends the format".to_owned(), Some("type `%%` for a percent sign")));
    };
    if let Some(pattern) = composite(letter) {
        compile(pattern, origin + at, items)?;
        return Ok(letter_at + 1);
    }
    let Some(item) = simple(letter) else {
        let shown = String::from_utf8_lossy(&text[at..=letter_at]).into_owned();
        return Err(error(format!("there is no directive `%{shown}`"), help_for(&text[at..])));
    };
    if item == Item::Fraction && items.contains(&Item::Fraction) {
        return Err(error("`%L` stands more than once".to_owned(), Some("remove all but one")));
    }
    items.push(item);
    Ok(letter_at + 1)
}

/// The directives that stand for others.
fn composite(letter: u8) -> Option<&'static [u8]> {
    Some(match letter {
        b'D' | b'x' => b"%m/%d/%y",
        b'F' => b"%Y-%m-%d",
        b'R' => b"%H:%M",
        b'r' => b"%I:%M:%S %p",
        b'T' | b'X' => b"%H:%M:%S",
        b'c' => b"%a %b %e %H:%M:%S %Y",
        _ => return None,
    })
}

fn simple(letter: u8) -> Option<Item> {
    let number = match letter {
        b'C' => Number::Century,
        b'Y' => Number::Year,
        b'y' => Number::YearOfCentury,
        b'm' => Number::Month,
        b'd' => Number::Day,
        b'e' => Number::PaddedDay,
        b'j' => Number::DayOfYear,
        b'H' => Number::Hour,
        b'k' => Number::PaddedHour,
        b'I' => Number::Hour12,
        b'l' => Number::PaddedHour12,
        b'M' => Number::Minute,
        b'S' => Number::Second,
        b'U' | b'W' | b'V' => Number::Ignored(53),
        b'w' | b'u' => Number::Ignored(7),
        b'g' => Number::Ignored(99),
        b'G' => Number::Ignored(9999),
        b'b' | b'B' | b'h' => return Some(Item::Month),
        b'a' | b'A' => return Some(Item::Weekday),
        b'p' => return Some(Item::HalfDay),
        b's' => return Some(Item::Epoch),
        b'L' => return Some(Item::Fraction),
        b'z' => return Some(Item::Offset),
        b'Z' => return Some(Item::ZoneName),
        b'n' | b't' => return Some(Item::Blanks),
        b'%' => return Some(Item::Literal(b'%')),
        _ => return None,
    };
    Some(Item::Number(number))
}

/// What to type instead of directives that other programs have.
fn help_for(rest: &[u8]) -> Option<&'static str> {
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.get(digits)? {
        b'f' | b'N' | b'i' | b'Q' => Some("type `%L`: it reads a fraction of 1 to 9 digits"),
        b'P' => Some("type `%p`"),
        b'v' => Some("type `%e-%b-%Y`"),
        b'+' => Some("type `%Y-%m-%dT%H:%M:%S%z`"),
        b':' => Some("type `%z`: it reads `+09:00` as well"),
        _ => None,
    }
}

/// A `Z` behind the seconds or their fraction says that the time is UTC.
fn mark_zulu(items: &mut [Item]) {
    for at in 1..items.len() {
        let behind_seconds = matches!(items[at - 1], Item::Number(Number::Second) | Item::Fraction);
        if behind_seconds && items[at] == Item::Literal(b'Z') {
            items[at] = Item::Zulu;
        }
    }
}
