//! Strings.
//!
//! Most have no escape: their end is found eight bytes at a time and they are copied whole. Bytes are not checked for
//! UTF-8; neither a quote nor a backslash can be part of a longer character.

use ikada_msgpack::write;

use super::{JsonError, Reader};

/// Room for the header of a string with escapes, whose length is known afterwards: one of 32 to 255 bytes needs it.
const GUESSED_HEADER: usize = 2;

/// Strings below this length have a header of one byte.
const SHORT: usize = 32;

/// Bytes searched word by word before a vectorised search pays.
const NEAR: usize = 32;

impl Reader<'_, '_> {
    /// Reads a string whose quote is next.
    pub(super) fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let rest = &self.text[self.at..];
        let Some(end) = quote_or_backslash(rest) else {
            return Err(self.cut_short());
        };
        if rest[end] == b'\\' {
            return self.string_with_escapes();
        }
        self.copy(rest, end);
        self.at += end + 1;
        Ok(())
    }

    /// Writes the first `length` bytes as a string.
    #[inline]
    fn copy(&mut self, bytes: &[u8], length: usize) {
        if length < SHORT {
            self.out.push(0xa0 | length as u8);
            self.append(bytes, length);
        } else {
            write::str(self.out, &bytes[..length]);
        }
    }

    /// Appends the first `length` bytes. They are few as a rule, and copying a fixed number of bytes is cheaper than copying
    /// just enough.
    #[inline]
    fn append(&mut self, bytes: &[u8], length: usize) {
        match bytes.first_chunk::<SHORT>() {
            Some(chunk) if length <= SHORT => {
                let end = self.out.len() + length;
                self.out.extend_from_slice(chunk);
                self.out.truncate(end);
            }
            _ => self.out.extend_from_slice(&bytes[..length]),
        }
    }

    fn string_with_escapes(&mut self) -> Result<(), JsonError> {
        let header = self.out.len();
        self.out.extend_from_slice(&[0; GUESSED_HEADER]);
        // Behind the last surrogate that stood alone: a run of them becomes one character.
        let mut loner = None;
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = quote_or_backslash(rest) else {
                return Err(self.cut_short());
            };
            self.append(rest, end);
            self.at += end + 1;
            if rest[end] == b'"' {
                break;
            }
            self.escape(&mut loner)?;
        }
        self.finish_string(header);
        Ok(())
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, loner: &mut Option<usize>) -> Result<(), JsonError> {
        let Some(&letter) = self.text.get(self.at) else {
            return Err(self.cut_short());
        };
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x8,
            b'f' => 0xc,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.unicode(loner);
                return Ok(());
            }
            _ => return Err(self.error_at(self.at - 1, "an escape JSON does not have")),
        };
        self.at += 1;
        self.out.push(byte);
        Ok(())
    }

    /// Reads `uXXXX`, and the other half of a pair.
    fn unicode(&mut self, loner: &mut Option<usize>) {
        let backslash = self.at - 1;
        let Some(unit) = self.unit(backslash) else {
            self.out.extend_from_slice(b"\\u");
            self.at += 1;
            return;
        };
        self.at = backslash + 6;
        let low = || self.unit(self.at).filter(|low| (0xdc00..0xe000).contains(low));
        let code = match unit {
            0xd800..0xdc00 => low().map(|low| 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)),
            _ => Some(unit),
        };
        match code.and_then(char::from_u32) {
            Some(c) => {
                self.at += if unit == code.unwrap_or(unit) { 0 } else { 6 };
                self.push(c);
            }
            None => {
                if *loner != Some(backslash) {
                    self.push(char::REPLACEMENT_CHARACTER);
                }
                *loner = Some(self.at);
            }
        }
    }

    /// The number of a `\uXXXX` at an offset, if one stands there.
    fn unit(&self, at: usize) -> Option<u32> {
        let escape = self.text.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }

    fn push(&mut self, c: char) {
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Gives a string its header, moving it where the guess was wrong.
    fn finish_string(&mut self, header: usize) {
        let body = header + GUESSED_HEADER;
        let length = self.out.len() - body;
        match length {
            0..SHORT => {
                self.out.copy_within(body.., header + 1);
                self.out.truncate(header + 1 + length);
                self.out[header] = 0xa0 | length as u8;
            }
            SHORT..0x100 => {
                self.out[header] = 0xd9;
                self.out[header + 1] = length as u8;
            }
            0x100..0x10000 => {
                self.insert(body, [0]);
                self.out[header] = 0xda;
                self.out[header + 1..header + 3].copy_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                self.insert(body, [0; 3]);
                self.out[header] = 0xdb;
                self.out[header + 1..header + 5].copy_from_slice(&(length as u32).to_be_bytes());
            }
        }
    }
}

/// The place of the first quote or backslash.
#[inline]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let near = &bytes[..bytes.len().min(NEAR)];
    let (words, tail) = near.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ repeated(b'"')) | zero_bytes(word ^ repeated(b'\\'));
        if found != 0 {
            return Some(i * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let searched = near.len() - tail.len();
    memchr::memchr2(b'"', b'\\', &bytes[searched..]).map(|at| searched + at)
}

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Sets the high bit of every zero byte. Bytes above the lowest zero byte may be set wrongly; the lowest is right.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeated(1)) & !word & repeated(0x80)
}
