//! Text → one reference. The rules are in the module above.

use super::{Accessor, AccessorError, Caution, Root, Step};

/// Reads a whole option value as one accessor.
pub(super) fn accessor(text: &str) -> Result<Accessor, AccessorError> {
    let start = usize::from(text.starts_with('$'));
    if let Some(message) = means_no_key(&text[start..]) {
        let caution = Caution { message, help: Some(as_exact(&text[start..])), at: 0 };
        return Ok(Accessor {
            text: text.into(),
            root: Root::Nowhere,
            path: [].into(),
            cautions: [caution].into(),
        });
    }
    let end = reference_end(text, start);
    let mut parser = Parser::new(text, start, end);
    let (root, path) = parser.reference()?;
    if end < text.len() {
        let message = format!("only `{}` is looked at", &text[..end]);
        parser.cautions.push(Caution { message, help: Some(as_exact(&text[start..])), at: end });
    }
    Ok(Accessor { text: text.into(), root, path, cautions: parser.cautions.into() })
}

/// Reads the reference whose `$` stands right before `start`, and says where it ends.
pub(super) fn reference(text: &str, start: usize) -> Result<(Accessor, usize), AccessorError> {
    let end = reference_end(text, start);
    let mut parser = Parser::new(text, start, end);
    let (root, path) = parser.reference()?;
    let own = &text[start - 1..end];
    Ok((Accessor { text: own.into(), root, path, cautions: parser.cautions.into() }, end))
}

/// Where a reference cannot go on: at a blank, `.`, `,` or `"` outside quotes.
fn reference_end(text: &str, start: usize) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b'\'' => quoted = !quoted,
            b'.' | b',' | b'"' | b' ' | b'\t' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn means_no_key(name: &str) -> Option<String> {
    if name.starts_with("TAG") {
        return Some("a name that starts with `TAG` means the tag, so this never finds a value".into());
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a name that starts with a digit means a capture, so this never finds a value".into());
    }
    None
}

fn as_exact(name: &str) -> String {
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    format!("write `$['{}']` for the key of that name", name.replace('\'', "''"))
}

struct Parser<'t> {
    text: &'t str,
    start: usize,
    at: usize,
    end: usize,
    cautions: Vec<Caution>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, start: usize, end: usize) -> Self {
        Self { text, start, at: start, end, cautions: Vec::new() }
    }

    fn reference(&mut self) -> Result<(Root, Box<[Step]>), AccessorError> {
        let root = self.root()?;
        let mut path = Vec::new();
        while let Some(c) = self.peek() {
            if c != '[' {
                return Err(self.error(format!("`{c}` cannot follow a reference")));
            }
            path.push(self.step()?);
        }
        Ok((Root::Key(root), path.into()))
    }

    /// A name, or Ikada's `['any key']`.
    fn root(&mut self) -> Result<Box<[u8]>, AccessorError> {
        match self.peek() {
            Some('[') => match self.step()? {
                Step::Key(key) => Ok(key),
                Step::Index(_) => Err(self.error("a record has keys, not positions: write `$['key']`")),
            },
            Some(c) if c.is_ascii_alphabetic() || c == '_' => Ok(self.name().as_bytes().into()),
            Some(c) => Err(self.error(format!("a key cannot start with `{c}`"))),
            None if self.cautions.is_empty() => Err(self.error("a key is missing")),
            None => Err(self.error("a plain name is made of ASCII letters, digits, `_`, `-` and `/`")),
        }
    }

    fn name(&mut self) -> &'t str {
        let rest = &self.text[self.at..self.end];
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_-/".contains(b)).count();
        self.at += len;
        &rest[..len]
    }

    /// `['key']` or `[3]`, standing at its opening bracket.
    fn step(&mut self) -> Result<Step, AccessorError> {
        self.at += 1;
        let step = match self.peek() {
            Some('\'') => Step::Key(self.quoted()?),
            Some(c) if c.is_ascii_digit() => Step::Index(self.index()?),
            _ => return Err(self.error("brackets hold a key in single quotes or a position")),
        };
        if self.peek() != Some(']') {
            return Err(self.error("a closing bracket is missing"));
        }
        self.at += 1;
        Ok(step)
    }

    /// `'key'`, in which `''` is a quote.
    fn quoted(&mut self) -> Result<Box<[u8]>, AccessorError> {
        let mut key = Vec::new();
        let mut rest = &self.text.as_bytes()[self.at + 1..self.end];
        while let Some(len) = rest.iter().position(|byte| *byte == b'\'') {
            key.extend_from_slice(&rest[..len]);
            rest = &rest[len + 1..];
            if rest.first() != Some(&b'\'') {
                self.at = self.end - rest.len();
                return Ok(key.into());
            }
            key.push(b'\'');
            rest = &rest[1..];
        }
        Err(self.error("a closing quote is missing"))
    }

    fn index(&mut self) -> Result<usize, AccessorError> {
        let rest = &self.text[self.at..self.end];
        let digits = &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()];
        let index = digits.parse().map_err(|_| self.error("the position is too large"))?;
        self.at += digits.len();
        Ok(index)
    }

    /// The next character that means something; others are skipped, with a caution.
    fn peek(&mut self) -> Option<char> {
        while self.at < self.end {
            let c = self.text[self.at..self.end].chars().next()?;
            if c.is_ascii_alphanumeric() || "_'[]$;".contains(c) {
                return Some(c);
            }
            self.cautions.push(Caution {
                message: format!("`{c}` cannot stand in a plain name and is skipped"),
                help: Some(as_exact(&self.text[self.start..self.end])),
                at: self.at,
            });
            self.at += c.len_utf8();
        }
        None
    }

    fn error(&self, message: impl Into<String>) -> AccessorError {
        AccessorError { message: message.into(), at: self.at.min(self.end) }
    }
}
