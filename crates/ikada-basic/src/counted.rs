//! Messages that are preceded by their length: `5 hello` (RFC 6587, section 3.4.1).

/// Digits that a length may have.
const DIGITS: usize = 9;

/// Why the next message cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CountedError {
    #[error("a message does not begin with its length (is it `format newline`?)")]
    NoLength,
    #[error("a message is longer than `buffer_max_size`")]
    TooLong,
}

/// Bytes that have come and are not yet a message.
#[derive(Debug)]
pub(crate) struct Counted {
    buf: Vec<u8>,
    at: usize,
    limit: usize,
}

impl Counted {
    /// A stream of messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { buf: Vec::new(), at: 0, limit }
    }

    /// Lets go of room that what has begun does not need. Returns what it takes.
    pub(crate) fn tidy(&mut self) -> usize {
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.shrink_to(2 * self.buf.len());
        self.buf.capacity()
    }

    /// Adds bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next message. `ended` says that no bytes will come any more: what there is of the last one then counts.
    pub(crate) fn next(&mut self, ended: bool) -> Result<Option<&[u8]>, CountedError> {
        // Some senders put line ends between messages all the same.
        while self.buf.get(self.at).is_some_and(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            self.at += 1;
        }
        let rest = &self.buf[self.at..];
        let Some(blank) = rest.iter().position(|byte| !byte.is_ascii_digit()) else {
            return if rest.len() > DIGITS { Err(CountedError::NoLength) } else { Ok(None) };
        };
        let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(length) = length.filter(|_| rest[blank] == b' ' && blank <= DIGITS) else {
            return Err(CountedError::NoLength);
        };
        if length > self.limit {
            return Err(CountedError::TooLong);
        }
        let start = self.at + blank + 1;
        let end = match start + length {
            end if end <= self.buf.len() => end,
            _ if ended => self.buf.len(),
            _ => return Ok(None),
        };
        self.at = end;
        Ok(Some(&self.buf[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(limit: usize, pieces: &[&str]) -> (Vec<String>, Option<CountedError>) {
        let (mut counted, mut all) = (Counted::new(limit), Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            counted.feed(piece.as_bytes());
            loop {
                match counted.next(n + 1 == pieces.len()) {
                    Ok(Some(message)) => all.push(String::from_utf8(message.to_vec()).unwrap()),
                    Ok(None) => break,
                    Err(error) => return (all, Some(error)),
                }
            }
        }
        (all, None)
    }

    #[test]
    fn a_message_has_the_length_that_stands_before_it() {
        let words = |list: &[&str]| (list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), None);
        assert_eq!(
            all(100, &["5 hello3 a\nb", "1", "0 ", "0123456789\n2 xy"]),
            words(&["hello", "a\nb", "0123456789", "xy"])
        );
        assert_eq!(all(100, &["5 hel", ""]), words(&["hel"]));
        assert_eq!(all(100, &["0 2 ab"]), words(&["", "ab"]));
    }

    #[test]
    fn what_has_no_length_or_too_much_of_it_ends_the_stream() {
        assert_eq!(all(100, &["2 ab<34>1"]), (vec!["ab".to_owned()], Some(CountedError::NoLength)));
        assert_eq!(all(100, &["101 a"]), (vec![], Some(CountedError::TooLong)));
        assert_eq!(all(100, &["99999999999999999999"]), (vec![], Some(CountedError::NoLength)));
    }
}
