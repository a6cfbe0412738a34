//! JSON with places.

use super::{DEEPEST, Node, TreeError, Value};

/// Reads one JSON value.
///
/// # Errors
/// The text is no JSON.
pub fn read_json(text: &str) -> Result<Node, TreeError> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let node = reader.value()?;
    reader.blanks();
    match reader.at == text.len() {
        true => Ok(node),
        false => Err(reader.error("text stands behind the end")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn error(&self, message: &str) -> TreeError {
        TreeError { at: self.at.min(self.text.len()), message: message.to_owned() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Node, TreeError> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.nested(Self::map),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string(),
            Some(_) => self.word(),
            None => Err(self.error("a value is missing")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, TreeError>) -> Result<Node, TreeError> {
        if self.depth == DEEPEST {
            return Err(self.error("too many brackets stand in each other"));
        }
        let start = self.at;
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(Node { span: start..self.at, value })
    }

    /// Whether another part comes before `close`; `first` is so for the first one.
    fn goes_on(&mut self, close: u8, first: bool) -> Result<bool, TreeError> {
        self.blanks();
        match self.peek() {
            Some(byte) if byte == close && first => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.error("a `,` or the closing bracket is missing")),
        }
    }

    fn list(&mut self) -> Result<Value, TreeError> {
        let mut items = Vec::new();
        while self.goes_on(b']', items.is_empty())? {
            items.push(self.value()?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self) -> Result<Value, TreeError> {
        let mut pairs = Vec::new();
        while self.goes_on(b'}', pairs.is_empty())? {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key in double quotes is missing"));
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.error("a `:` is missing behind the key"));
            }
            self.at += 1;
            pairs.push((key, self.value()?));
        }
        Ok(Value::Map(pairs))
    }

    fn string(&mut self) -> Result<Node, TreeError> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(self.error("the text in quotes does not end")),
            }
        }
        let quoted = self.text.get(self.at..=end).unwrap_or_default();
        let text = serde_json::from_str(quoted);
        let text = text.map_err(|_| self.error("the text in quotes is not as JSON wants it"))?;
        self.at = end + 1;
        Ok(Node { span: start..end, value: Value::Text(text) })
    }

    fn word(&mut self) -> Result<Node, TreeError> {
        let rest = &self.text[self.at..];
        let length =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        let word = &rest[..length];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => Value::Number(word.to_owned()),
            _ => return Err(self.error("this is no value")),
        };
        let start = self.at;
        self.at += length;
        Ok(Node { span: start..self.at, value })
    }
}
