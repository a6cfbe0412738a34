//! Numbers.

use ikada_msgpack::write;

use super::{JsonError, Reader};

/// So many digits always fit 64 bits.
const SAFE_DIGITS: usize = 19;

impl Reader<'_, '_> {
    /// Reads a number whose first byte, a digit or a minus, is next.
    pub(super) fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let negative = self.text[start] == b'-';
        self.at += usize::from(negative);
        let digits = self.at;
        let magnitude = self.integer()?;
        if let Some(b'.' | b'e' | b'E') = self.text.get(self.at) {
            self.fraction()?;
            return self.float(start);
        }
        // A number with more digits than fit is told by its text.
        let magnitude =
            if self.at - digits > SAFE_DIGITS { self.long_integer(digits) } else { Some(magnitude) };
        match magnitude {
            Some(value) if !negative => write::uint(self.out, value),
            Some(value) if value <= i64::MIN.unsigned_abs() => {
                write::int(self.out, value.wrapping_neg() as i64)
            }
            _ => return self.float(start),
        }
        Ok(())
    }

    /// Reads digits. The value is right for up to [`SAFE_DIGITS`] of them.
    fn integer(&mut self) -> Result<u64, JsonError> {
        match self.text.get(self.at) {
            Some(b'0') => {
                self.at += 1;
                match self.text.get(self.at) {
                    Some(b'0'..=b'9') => Err(self.error("a number with a leading zero")),
                    _ => Ok(0),
                }
            }
            Some(b'1'..=b'9') => Ok(self.digits()),
            Some(_) => Err(self.error("expected a digit")),
            None => Err(self.cut_short()),
        }
    }

    fn digits(&mut self) -> u64 {
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.text.get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        value
    }

    fn long_integer(&self, start: usize) -> Option<u64> {
        self.ascii(start).parse().ok()
    }

    /// Reads what may follow an integer: a dot and digits, an exponent.
    fn fraction(&mut self) -> Result<(), JsonError> {
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        match self.text.get(self.at) {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            Some(_) => Err(self.error("expected a digit")),
            None => Err(self.cut_short()),
        }
    }

    fn float(&mut self, start: usize) -> Result<(), JsonError> {
        match self.ascii(start).parse::<f64>() {
            Ok(value) if value.is_finite() => {
                write::float(self.out, value);
                Ok(())
            }
            _ => Err(self.error_at(start, "a number too large for 64 bits")),
        }
    }

    fn ascii(&self, start: usize) -> &str {
        std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default()
    }
}
