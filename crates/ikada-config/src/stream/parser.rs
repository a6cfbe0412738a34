//! From tokens to a statement, by descent: one function for each rule of the grammar.

use ikada_diag::codes;

use super::lexer::{At, Token, tokens};
use super::{Comparison, Condition, FieldPath, Literal, Operand, Selected, SelectedKey, Source};

/// How deep parentheses and `NOT` may stand in each other.
const DEEPEST: usize = 64;

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) stream: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) keys: Vec<SelectedKey>,
    pub(crate) from: Source,
    pub(crate) condition: Option<Condition>,
}

/// Why a text is no statement, with byte offsets in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

type Parsed<T> = Result<T, ParseError>;

/// Reads a statement. A `;` at its end may be left out, which Fluent Bit does not allow.
pub(crate) fn parse(text: &str) -> Parsed<Statement> {
    let tokens = tokens(text).map_err(|unreadable| ParseError {
        code: codes::BAD_STREAM_TASK,
        message: unreadable.message,
        help: unreadable.help.to_owned(),
        start: unreadable.start,
        end: unreadable.start + 1,
    })?;
    let mut parser = Parser { tokens, next: 0, length: text.len() };
    let statement = parser.statement()?;
    parser.skip_mark(";");
    match parser.peek() {
        None => Ok(statement),
        Some(_) => Err(parser.unsupported_or("the statement ends here", "remove the rest")),
    }
}

struct Parser {
    tokens: Vec<At>,
    next: usize,
    length: usize,
}

impl Parser {
    fn statement(&mut self) -> Parsed<Statement> {
        if self.skip_word("create") {
            self.expect_word("stream", "write `CREATE STREAM name AS SELECT …`")?;
            let stream = self.name("a stream has a name: `CREATE STREAM errors AS SELECT …`")?;
            let tag = if self.skip_word("with") { self.properties()? } else { None };
            self.expect_word("as", "write `AS SELECT …`")?;
            return self.select(Some(stream), tag);
        }
        self.select(None, None)
    }

    /// `(tag='x', routable='true')`: gives the tag.
    fn properties(&mut self) -> Parsed<Option<String>> {
        let mut tag = None;
        self.expect_mark("(", "write `WITH (tag='errors')`")?;
        loop {
            let (at, key) = (self.next, self.name("write `WITH (tag='errors')`")?);
            self.expect_mark("=", "write `tag='errors'`")?;
            let value = self.text("write the value in single quotes: `tag='errors'`")?;
            match key.to_ascii_lowercase().as_str() {
                "tag" => tag = Some(value),
                "routable" => {}
                _ => {
                    return Err(self.error_at(
                        at,
                        format!("`{key}` is no property of a stream"),
                        "it has `tag`",
                    ));
                }
            }
            if !self.skip_mark(",") {
                break;
            }
        }
        self.expect_mark(")", "close it with `)`")?;
        Ok(tag)
    }

    fn select(&mut self, stream: Option<String>, tag: Option<String>) -> Parsed<Statement> {
        if !self.skip_word("select") {
            let help = "write `CREATE STREAM name WITH (tag='x') AS SELECT * FROM TAG:'app.*';`";
            return Err(self.unsupported_or("a stream task starts with `CREATE STREAM` or `SELECT`", help));
        }
        let mut keys = vec![self.key()?];
        while self.skip_mark(",") {
            keys.push(self.key()?);
        }
        self.expect_word("from", "say whose records it reads: `FROM TAG:'app.*'`")?;
        let from = self.source()?;
        let condition = if self.skip_word("where") { Some(self.condition(0)?) } else { None };
        Ok(Statement { stream, tag, keys, from, condition })
    }

    fn key(&mut self) -> Parsed<SelectedKey> {
        if self.skip_mark("*") {
            return Ok(SelectedKey { value: Selected::All, alias: None });
        }
        if self.is_word_ahead("from") {
            return Err(self.error_here("no key is selected", "write `*` or names of fields"));
        }
        let (at, name) = (self.next, self.name("write `*` or names of fields, with a `,` between them")?);
        let value = match self.skip_mark("(") {
            true => self.function(at, &name)?,
            false => Selected::Field(self.path(name)?),
        };
        let alias = match self.skip_word("as") {
            true => Some(self.name("write a name behind `AS`")?),
            false => None,
        };
        Ok(SelectedKey { value, alias })
    }

    /// Reads what stands behind the name of a function and its `(`.
    fn function(&mut self, at: usize, name: &str) -> Parsed<Selected> {
        let value = match name.to_ascii_lowercase().as_str() {
            "now" => Selected::Now,
            "unix_timestamp" => Selected::UnixTimestamp,
            "record_tag" => Selected::RecordTag,
            "record_time" => Selected::RecordTime,
            "sum" | "avg" | "count" | "min" | "max" | "timeseries_forecast" => {
                let message =
                    format!("`{name}` is not supported: a stream task picks records and does not count");
                let mut error = self.error_at(at, message, "a filter `log_to_metrics` counts and sums");
                error.code = codes::UNSUPPORTED_OPTION;
                return Err(error);
            }
            _ => {
                let help = "there are `NOW()`, `UNIX_TIMESTAMP()`, `RECORD_TAG()` and `RECORD_TIME()`";
                return Err(self.error_at(at, format!("no function is named `{name}`"), help));
            }
        };
        self.expect_mark(")", "close it with `)`")?;
        Ok(value)
    }

    fn source(&mut self) -> Parsed<Source> {
        let help = "write `FROM TAG:'app.*'` or `FROM STREAM:name`";
        let is_tag = self.skip_word("tag");
        if !is_tag && !self.skip_word("stream") {
            return Err(self.error_here("a task reads from a tag or a stream", help));
        }
        self.expect_mark(":", help)?;
        match is_tag {
            true => self.text("write the tag in single quotes: `FROM TAG:'app.*'`").map(Source::Tag),
            false => self.name("write the name of a stream: `FROM STREAM:errors`").map(Source::Stream),
        }
    }

    fn condition(&mut self, depth: usize) -> Parsed<Condition> {
        let mut left = self.conjunction(depth)?;
        while self.skip_word("or") {
            left = Condition::Or(Box::new(left), Box::new(self.conjunction(depth)?));
        }
        Ok(left)
    }

    fn conjunction(&mut self, depth: usize) -> Parsed<Condition> {
        let mut left = self.term(depth)?;
        while self.skip_word("and") {
            left = Condition::And(Box::new(left), Box::new(self.term(depth)?));
        }
        Ok(left)
    }

    fn term(&mut self, depth: usize) -> Parsed<Condition> {
        if depth > DEEPEST {
            return Err(self.error_here("the condition is nested too deep", "make several tasks of it"));
        }
        if self.skip_word("not") {
            return Ok(Condition::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.skip_mark("(") {
            let inner = self.condition(depth + 1)?;
            self.expect_mark(")", "close it with `)`")?;
            return Ok(inner);
        }
        if self.skip_mark("@") {
            return self.record_function();
        }
        let name = self.name("compare a field with a value: `level = 'error'`")?;
        let path = self.path(name)?;
        if self.skip_word("is") {
            let is_negated = self.skip_word("not");
            self.expect_word("null", "write `IS NULL` or `IS NOT NULL`")?;
            let is_null = Condition::IsNull(path);
            return Ok(if is_negated { Condition::Not(Box::new(is_null)) } else { is_null });
        }
        self.comparison(Operand::Field(path))
    }

    /// `@record.contains(key)` and `@record.time()`.
    fn record_function(&mut self) -> Parsed<Condition> {
        let help = "there are `@record.contains(key)` and `@record.time()`";
        let (at, name) = (self.next, self.name(help)?);
        self.expect_mark("(", help)?;
        match name.to_ascii_lowercase().as_str() {
            "record.contains" => {
                let key = self.name("name a field: `@record.contains(level)`")?;
                let path = self.path(key)?;
                self.expect_mark(")", "close it with `)`")?;
                Ok(Condition::Contains(path))
            }
            "record.time" => {
                self.expect_mark(")", "close it with `)`")?;
                self.comparison(Operand::Time)
            }
            _ => Err(self.error_at(at, format!("no function is named `@{name}`"), help)),
        }
    }

    fn comparison(&mut self, left: Operand) -> Parsed<Condition> {
        let comparisons = [
            ("=", Comparison::Equal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if self.skip_mark("!=") || self.skip_mark("<>") {
            let right = self.literal()?;
            return Ok(Condition::Not(Box::new(Condition::Compare(left, Comparison::Equal, right))));
        }
        for (mark, comparison) in comparisons {
            if self.skip_mark(mark) {
                return Ok(Condition::Compare(left, comparison, self.literal()?));
            }
        }
        match left {
            Operand::Field(path) => Ok(Condition::IsTrue(path)),
            Operand::Time => {
                Err(self.error_here("the time is compared with nothing", "write `> 1700000000`"))
            }
        }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let literal = match self.peek() {
            Some(Token::Integer(number)) => Literal::Integer(*number),
            Some(Token::Float(number)) => Literal::Float(*number),
            Some(Token::Text(text)) => Literal::Text(text.clone()),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            _ => {
                let help = "write a number, `true`, `false`, or a text in single quotes";
                return Err(self.error_here("there is no value to compare with", help));
            }
        };
        self.next += 1;
        Ok(literal)
    }

    /// Reads the `['…']` behind a field's name.
    fn path(&mut self, first: String) -> Parsed<FieldPath> {
        let mut parts = vec![first];
        while self.skip_mark("[") {
            parts.push(self.text("write the name in single quotes: `key['sub']`")?);
            self.expect_mark("]", "close it with `]`")?;
        }
        Ok(FieldPath(parts))
    }

    // Single tokens.

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|at| &at.token)
    }

    fn is_word_ahead(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word_ahead(word);
        self.next += usize::from(is_there);
        is_there
    }

    fn skip_mark(&mut self, mark: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Mark(found)) if *found == mark);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect_word(&mut self, word: &str, help: &str) -> Parsed<()> {
        match self.skip_word(word) {
            true => Ok(()),
            false => Err(self.unsupported_or(&format!("`{}` is missing here", word.to_uppercase()), help)),
        }
    }

    fn expect_mark(&mut self, mark: &str, help: &str) -> Parsed<()> {
        match self.skip_mark(mark) {
            true => Ok(()),
            false => Err(self.error_here(format!("`{mark}` is missing here"), help)),
        }
    }

    fn name(&mut self, help: &str) -> Parsed<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.error_here("a name is missing here", help));
        };
        let word = word.clone();
        self.next += 1;
        Ok(word)
    }

    fn text(&mut self, help: &str) -> Parsed<String> {
        let Some(Token::Text(text)) = self.peek() else {
            return Err(self.error_here("a text is missing here", help));
        };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    // Errors.

    fn error_here(&self, message: impl Into<String>, help: &str) -> ParseError {
        self.error_at(self.next, message, help)
    }

    fn error_at(&self, token: usize, message: impl Into<String>, help: &str) -> ParseError {
        let last = self.length.saturating_sub(1);
        let (start, end) = self.tokens.get(token).map_or((last, self.length), |at| (at.start, at.end));
        ParseError {
            code: codes::BAD_STREAM_TASK,
            message: message.into(),
            help: help.to_owned(),
            start,
            end,
        }
    }

    /// Answers for words of Fluent Bit's grammar that gather records over time.
    fn unsupported_or(&self, message: &str, help: &str) -> ParseError {
        let gathers = ["window", "group", "limit", "snapshot", "flush"];
        let Some(word) = gathers.iter().find(|word| self.is_word_ahead(word)) else {
            return self.error_here(message, help);
        };
        let message =
            format!("`{}` is not supported: a stream task picks records one by one", word.to_uppercase());
        let mut error = self.error_here(message, "a filter `log_to_metrics` counts and sums");
        error.code = codes::UNSUPPORTED_OPTION;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldPath {
        FieldPath(vec![name.to_owned()])
    }

    #[test]
    fn the_shape_that_people_use_is_read() {
        let statement = parse("CREATE STREAM x WITH (tag='y') AS SELECT * FROM TAG:'app.*';").unwrap();
        assert_eq!((statement.stream.as_deref(), statement.tag.as_deref()), (Some("x"), Some("y")));
        assert_eq!(statement.keys, [SelectedKey { value: Selected::All, alias: None }]);
        assert_eq!((statement.from, statement.condition), (Source::Tag("app.*".into()), None));
        let statement = parse("select a, b['c']['d'] as e, record_tag() from stream:x").unwrap();
        let nested = FieldPath(["b", "c", "d"].map(str::to_owned).to_vec());
        assert_eq!(statement.keys[0].value, Selected::Field(field("a")));
        assert_eq!(
            statement.keys[1],
            SelectedKey { value: Selected::Field(nested), alias: Some("e".into()) }
        );
        assert_eq!(statement.keys[2].value, Selected::RecordTag);
        assert_eq!(statement.from, Source::Stream("x".into()));
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        let condition =
            |text: &str| parse(&format!("SELECT * FROM TAG:'*' WHERE {text};")).unwrap().condition.unwrap();
        let equal = |name, value| Condition::Compare(Operand::Field(field(name)), Comparison::Equal, value);
        let (a, b) = (equal("a", Literal::Integer(1)), equal("b", Literal::Text("it's".into())));
        let not_a = Condition::Not(Box::new(a.clone()));
        let both = Condition::And(Box::new(not_a.clone()), Box::new(b));
        let has_c = Condition::Contains(field("c"));
        let expected = Condition::Or(Box::new(both), Box::new(has_c));
        assert_eq!(condition("NOT a = 1 AND b = 'it''s' OR @record.contains(c)"), expected);
        assert_eq!(condition("a != 1"), not_a);
        assert_eq!(condition("(a = 1)"), a);
        assert_eq!(condition("a IS NOT NULL"), Condition::Not(Box::new(Condition::IsNull(field("a")))));
        let later = Condition::Compare(Operand::Time, Comparison::GreaterOrEqual, Literal::Float(1.5));
        assert_eq!(condition("@record.time() >= 1.5"), later);
    }

    #[test]
    fn a_mistake_has_its_place_and_what_to_type() {
        let rows = [
            ("SELECT a FROM TAG:app", 18, "a text is missing here"),
            ("SELECT a FROM app", 14, "a task reads from a tag or a stream"),
            ("SELECT FROM TAG:'a'", 7, "no key is selected"),
            ("CREATE STREAM AS SELECT * FROM TAG:'a'", 17, "`AS` is missing here"),
            ("SELECT * FROM TAG:'a' WHERE x = \"y\"", 32, "a text stands in single quotes"),
            ("SELECT * FROM TAG:'a' WHERE x >", 30, "there is no value to compare with"),
            ("SELECT * FROM TAG:'a", 18, "the text is not closed"),
            ("SELECT COUNT(*) FROM TAG:'a'", 7, "`COUNT` is not supported"),
            ("SELECT * FROM TAG:'a' WINDOW TUMBLING (5 SECOND)", 22, "`WINDOW` is not supported"),
            ("DELETE", 0, "a stream task starts with `CREATE STREAM` or `SELECT`"),
            ("", 0, "a stream task starts with"),
        ];
        for (text, start, message) in rows {
            let error = parse(text).unwrap_err();
            assert!(error.message.starts_with(message) && error.start == start, "{text}: {error:?}");
            assert!(!error.help.is_empty());
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let text = format!("SELECT * FROM TAG:'a' WHERE {}x", "NOT ".repeat(100_000));
        assert!(parse(&text).is_err());
    }
}
