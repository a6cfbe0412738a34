//! Columns as a configuration gives them, in place of those that an object's lines have.

use std::str::FromStr;

use super::REST;

/// Columns of their own.
pub(super) const MOST_COLUMNS: usize = 1_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but nulls.
    Unknown,
    Bool,
    Int,
    Float,
    Text,
    /// Microseconds since 1970, in UTC. Only a configuration says that a column is of this kind.
    Time,
}

/// Types by the names that Athena and Hive have for them, and some that people type.
const TYPES: [(&str, Kind); 9] = [
    ("string", Kind::Text),
    ("boolean", Kind::Bool),
    ("bigint", Kind::Int),
    ("double", Kind::Float),
    ("timestamp", Kind::Time),
    ("text", Kind::Text),
    ("bool", Kind::Bool),
    ("int64", Kind::Int),
    ("float64", Kind::Float),
];

/// Columns in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema(pub(super) Vec<(String, Kind)>);

impl Schema {
    /// Reads columns, each a name and a type.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(crate) fn new(columns: &[String]) -> Result<Self, String> {
        let mut all: Vec<(String, Kind)> = Vec::new();
        for column in columns {
            let (name, kind) = column.rsplit_once(char::is_whitespace).ok_or_else(|| no_type(column))?;
            let name = name.trim_end();
            let kind = kind.parse().map_err(|()| format!("`{kind}` is no type of a column"))?;
            if name == REST || all.iter().any(|(known, _)| known == name) {
                return Err(format!("there is a column `{name}` already"));
            }
            all.push((name.to_owned(), kind));
        }
        match all.len() {
            0 => Err("there is no column".to_owned()),
            1..=MOST_COLUMNS => Ok(Self(all)),
            _ => Err(format!("a file has at most {MOST_COLUMNS} columns")),
        }
    }
}

fn no_type(column: &str) -> String {
    format!("column `{column}` has no type")
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, kind)| *kind).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_names_with_types() {
        let read = |text: &str| {
            let columns: Vec<String> = text.split(',').map(|column| column.trim().to_owned()).collect();
            Schema::new(&columns).map(|schema| schema.0)
        };
        let all = read("date timestamp, the log  string, n BIGINT").unwrap();
        let named: Vec<(&str, Kind)> = all.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(named, [("date", Kind::Time), ("the log", Kind::Text), ("n", Kind::Int)]);
        for (text, problem) in [
            ("a", "column `a` has no type"),
            ("a int", "`int` is no type of a column"),
            ("a string, a bigint", "there is a column `a` already"),
            ("_rest string", "there is a column `_rest` already"),
        ] {
            assert_eq!(read(text).unwrap_err(), problem);
        }
        assert!(Schema::new(&[]).is_err());
    }
}
