//! Which columns the lines of an object have.

use std::collections::HashMap;

use super::REST;
use super::schema::{Kind, MOST_COLUMNS, Schema};
use super::split::members;

impl Kind {
    /// The kind of one value as it is written.
    pub(super) fn of(value: &[u8]) -> Self {
        match value {
            [b'n', ..] => Self::Unknown,
            [b't' | b'f', ..] => Self::Bool,
            [b'-' | b'0'..=b'9', ..] if int(value).is_some() => Self::Int,
            [b'-' | b'0'..=b'9', ..] if has_fraction(value) => Self::Float,
            _ => Self::Text,
        }
    }

    /// The kind of both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Unknown, kind) | (kind, Self::Unknown) => kind,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            _ => Self::Text,
        }
    }
}

/// A whole number that a column of them has room for.
pub(super) fn int(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn has_fraction(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The columns of an object.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Names and kinds, in the order in which they came.
    pub(super) all: Vec<(String, Kind)>,
    /// There are values that have no column of their own.
    pub(super) has_rest: bool,
    by_raw_name: HashMap<Vec<u8>, usize>,
    by_name: HashMap<String, usize>,
    /// They were given, and names as written are not known.
    are_given: bool,
}

/// Where the next member of a line is looked for first: records of one kind have the same members in the same order.
#[derive(Debug, Default)]
pub(super) struct Guess {
    /// Names as written, with their columns, in the order of the line before.
    seen: Vec<(Vec<u8>, Option<usize>)>,
    next: usize,
}

impl Guess {
    /// A new line.
    pub(super) fn restart(&mut self) {
        self.next = 0;
    }

    /// The column of a name, from `find` only if it is not the next one of the line before.
    pub(super) fn column(&mut self, name: &[u8], find: impl FnOnce() -> Option<usize>) -> Option<usize> {
        let at = self.next;
        self.next += 1;
        if let Some((seen, column)) = self.seen.get(at)
            && seen == name
        {
            return *column;
        }
        let column = find();
        self.seen.truncate(at);
        self.seen.push((name.to_vec(), column));
        column
    }
}

impl Columns {
    /// The columns of these lines.
    pub(super) fn of(lines: &[u8]) -> Self {
        let mut columns = Self::default();
        let mut guess = Guess::default();
        for line in lines_of(lines) {
            guess.restart();
            let is_whole = members(line, |name, value| {
                let kind = Kind::of(value);
                match guess.column(name, || columns.find_or_add(name)) {
                    Some(at) => columns.all[at].1 = columns.all[at].1.and(kind),
                    None => columns.has_rest = true,
                }
            });
            columns.has_rest |= !is_whole;
        }
        columns.has_rest |= columns.all.is_empty();
        columns
    }

    /// The columns that a configuration gives.
    pub(super) fn given(schema: &Schema) -> Self {
        let names = schema.0.iter().map(|(name, _)| name.clone());
        Self {
            all: schema.0.clone(),
            has_rest: true,
            by_raw_name: HashMap::new(),
            by_name: names.zip(0..).collect(),
            are_given: true,
        }
    }

    /// The column of a name as it is written.
    pub(super) fn find(&self, raw: &[u8]) -> Option<usize> {
        match self.are_given {
            true => self.by_name.get(&unescaped(raw)).copied(),
            false => self.by_raw_name.get(raw).copied(),
        }
    }

    fn find_or_add(&mut self, raw: &[u8]) -> Option<usize> {
        if let Some(at) = self.find(raw) {
            return Some(at);
        }
        let name = match unescaped(raw) {
            name if name.is_empty() => "_".to_owned(),
            name => name,
        };
        if name == REST {
            return None;
        }
        let at = match self.by_name.get(&name) {
            Some(at) => *at,
            None if self.all.len() >= MOST_COLUMNS => return None,
            None => {
                self.all.push((name.clone(), Kind::Unknown));
                self.by_name.insert(name, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        self.by_raw_name.insert(raw.to_vec(), at);
        Some(at)
    }
}

/// The lines, without their ends.
pub(super) fn lines_of(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The text of a string that stood between these quotes.
pub(super) fn unescaped(inner: &[u8]) -> String {
    let plain = || String::from_utf8_lossy(inner).into_owned();
    if !inner.contains(&b'\\') {
        return plain();
    }
    let quoted = [b"\"", inner, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| plain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_all_values_of_a_name() {
        let columns = |lines: &str| {
            Columns::of(lines.as_bytes()).all.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
        };
        assert_eq!(columns("{\"a\":1}\n{\"a\":-2}\n"), [Kind::Int]);
        assert_eq!(columns("{\"a\":1}\n{\"a\":null}\n{\"a\":2.5}\n"), [Kind::Float]);
        assert_eq!(columns("{\"a\":true}\n{\"a\":false}\n"), [Kind::Bool]);
        assert_eq!(columns("{\"a\":true}\n{\"a\":1}\n"), [Kind::Text]);
        assert_eq!(columns("{\"a\":null}\n"), [Kind::Unknown]);
        assert_eq!(
            columns("{\"a\":18446744073709551615}\n"),
            [Kind::Text],
            "no column of whole numbers has room for it"
        );
        assert_eq!(columns("{\"a\":{}}\n{\"b\":[1]}\n"), [Kind::Text, Kind::Text]);
    }

    #[test]
    fn names_are_columns_in_the_order_they_came_however_they_are_escaped() {
        let columns =
            Columns::of(b"{\"b\":1,\"\\u65e5\":2}\n{\"a\":1,\"\xe6\x97\xa5\":2,\"b\":3}\n{\"\":1}\n");
        let names: Vec<&str> = columns.all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "日", "a", "_"]);
        assert!(!columns.has_rest);
    }

    #[test]
    fn names_are_bounded() {
        let line: Vec<String> = (0..2 * MOST_COLUMNS).map(|at| format!("\"k{at}\":{at}")).collect();
        let columns = Columns::of(format!("{{{}}}\n", line.join(",")).as_bytes());
        assert_eq!((columns.all.len(), columns.has_rest), (MOST_COLUMNS, true));
    }
}
