//! What stands in brackets.

use std::fmt::Write as _;

use super::charset;
use super::cursor::{Cursor, error_at};
use super::escape::char_escape;
use super::{RegexError, Sets};

/// How deep brackets may stand in brackets.
const DEPTH_LIMIT: usize = 20;

/// A bracket expression in the engines' syntax.
#[derive(Debug)]
pub(super) struct Class {
    pub text: String,
    /// It may match characters it does not name.
    pub takes_any: bool,
}

/// One item of a bracket.
enum Item {
    Char(char),
    Set(String),
}

/// Reads a bracket expression; the cursor stands behind its `[`.
pub(super) fn parse(cursor: &mut Cursor<'_>, sets: Sets) -> Result<Class, RegexError> {
    let mut class = Class { text: String::new(), takes_any: false };
    Reader { cursor, sets, class: &mut class }.bracket(0)?;
    Ok(class)
}

/// Writes a character so that both engines take it for itself, in brackets and out of them.
pub(super) fn push_literal(out: &mut String, c: char) {
    match c {
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#' | '&'
        | '-' | '~' => {
            out.push('\\');
            out.push(c);
        }
        // Writing to a string cannot fail.
        c if c.is_control() => write!(out, r"\x{{{:X}}}", u32::from(c)).unwrap_or_default(),
        c => out.push(c),
    }
}

struct Reader<'a, 'p> {
    cursor: &'a mut Cursor<'p>,
    sets: Sets,
    class: &'a mut Class,
}

impl Reader<'_, '_> {
    fn bracket(&mut self, depth: usize) -> Result<(), RegexError> {
        let opened = self.cursor.at().saturating_sub(1);
        if depth > DEPTH_LIMIT {
            return Err(error_at(opened, "brackets are nested too deep"));
        }
        self.class.text.push('[');
        if self.cursor.eat("^") {
            self.class.text.push('^');
            self.class.takes_any = true;
        }
        if self.cursor.rest().starts_with(']') && !self.cursor.rest()[1..].contains(']') {
            return Err(error_at(opened, "empty char-class"));
        }
        let mut first = true;
        loop {
            let at = self.cursor.at();
            match self.cursor.next() {
                None => return Err(error_at(opened, "premature end of char-class")),
                Some(']') if !first => break,
                Some('[') => self.inner_bracket(depth)?,
                Some('&') if self.cursor.eat("&") => self.class.text.push_str("&&"),
                Some(c) => {
                    let item = self.item(c)?;
                    self.item_or_range(item, at)?;
                }
            }
            first = false;
        }
        self.class.text.push(']');
        Ok(())
    }

    /// A POSIX bracket such as `[:alpha:]`, or a set in the set.
    fn inner_bracket(&mut self, depth: usize) -> Result<(), RegexError> {
        let behind = self.cursor.at();
        if self.cursor.eat(":") {
            let negated = self.cursor.eat("^");
            let name = self.cursor.rest().split_once(":]").map(|(name, _)| name);
            let set = name.and_then(|name| charset::posix(name, negated, self.sets));
            match (name, set) {
                (Some(name), Some(set)) => {
                    self.cursor.go_back_to(self.cursor.at() + name.len() + 2);
                    self.class.takes_any |= set.takes_any;
                    self.class.text.push_str(&set.item());
                    return Ok(());
                }
                (Some(name), None) if could_be_posix(name) => {
                    return Err(error_at(behind - 1, format!("there is no character class `[:{name}:]`")));
                }
                _ => {}
            }
            self.cursor.go_back_to(behind);
        }
        self.bracket(depth + 1)
    }

    /// Reads one item that began with `c`.
    fn item(&mut self, c: char) -> Result<Item, RegexError> {
        if c != '\\' {
            return Ok(Item::Char(c));
        }
        let at = self.cursor.at();
        let Some(letter) = self.cursor.next() else {
            return Err(self.cursor.error("end pattern at escape"));
        };
        if let Some(set) = charset::shorthand(letter, self.sets) {
            self.class.takes_any |= set.takes_any;
            return Ok(Item::Set(set.item()));
        }
        if matches!(letter, 'p' | 'P') && self.cursor.eat("{") {
            let name = self.cursor.until('}').unwrap_or_default();
            let set = charset::property(name, letter == 'P')
                .ok_or_else(|| error_at(at, format!("invalid character property name {{{name}}}")))?;
            self.class.takes_any |= set.takes_any;
            return Ok(Item::Set(set.item()));
        }
        if matches!(letter, 'R' | 'X') {
            return Err(error_at(at, format!("\\{letter} has no place in a char-class")));
        }
        if letter == 'b' {
            return Ok(Item::Char('\u{8}'));
        }
        let octal = letter.is_digit(8);
        if octal {
            self.cursor.go_back_to(at);
            let digits = self.cursor.digits(8, 3);
            let code = u32::from_str_radix(digits, 8).ok().filter(|code| *code < 0x80);
            let c = code.and_then(char::from_u32);
            return c.map(Item::Char).ok_or_else(|| error_at(at, "too big number"));
        }
        Ok(Item::Char(char_escape(self.cursor, letter)?.unwrap_or(letter)))
    }

    /// Writes an item, or the range that begins with it.
    fn item_or_range(&mut self, item: Item, at: usize) -> Result<(), RegexError> {
        let low = match item {
            Item::Set(set) => {
                self.class.text.push_str(&set);
                return Ok(());
            }
            Item::Char(low) => low,
        };
        let rest = self.cursor.rest();
        let is_range = rest.starts_with('-') && !rest.starts_with("-]") && !rest.starts_with("-[");
        if !is_range {
            self.char(low);
            return Ok(());
        }
        self.cursor.eat("-");
        // `[a-&&b]`: the operator wins over the range.
        if self.cursor.rest().starts_with("&&") {
            self.char(low);
            self.char('-');
            return Ok(());
        }
        let Some(c) = self.cursor.next() else {
            return Err(self.cursor.error("premature end of char-class"));
        };
        match self.item(c)? {
            Item::Set(set) => {
                self.char(low);
                self.char('-');
                self.class.text.push_str(&set);
            }
            Item::Char(high) if high < low => return Err(error_at(at, "empty range in char class")),
            Item::Char(high) => self.range(low, high),
        }
        Ok(())
    }

    fn char(&mut self, c: char) {
        self.class.takes_any |= c == char::REPLACEMENT_CHARACTER;
        push_literal(&mut self.class.text, c);
    }

    fn range(&mut self, low: char, high: char) {
        self.class.takes_any |= (low..=high).contains(&char::REPLACEMENT_CHARACTER);
        push_literal(&mut self.class.text, low);
        self.class.text.push('-');
        push_literal(&mut self.class.text, high);
    }
}

/// Ruby takes what is longer for a set in the set.
fn could_be_posix(name: &str) -> bool {
    name.chars().count() <= 20 && !name.contains([':', ']'])
}
