//! Lines in one form, whatever the order of the keys in their maps.

use crate::generate::LINES;

/// The line with the keys of every map sorted; as it is if it cannot be read.
pub(crate) fn canonical(line: &str) -> String {
    let mut reader = Reader(line);
    match reader.value() {
        Some(value) if reader.0.is_empty() => value,
        _ => line.to_owned(),
    }
}

/// What is left to read.
struct Reader<'l>(&'l str);

impl Reader<'_> {
    fn takes(&mut self, start: &str) -> bool {
        let rest = self.0.strip_prefix(start);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn value(&mut self) -> Option<String> {
        if self.takes("{") {
            let mut pairs = self.items("}", |reader| {
                let key = reader.value()?;
                reader.takes("=>").then_some(())?;
                Some(format!("{key}=>{}", reader.value()?))
            })?;
            pairs.sort();
            return Some(format!("{{{}}}", pairs.join(", ")));
        }
        if self.takes("[") {
            return Some(format!("[{}]", self.items("]", Self::value)?.join(", ")));
        }
        let end = match self.0.starts_with('"') {
            true => self.end_of_text()?,
            // Something always is: what is read as nothing would be read for ever.
            false => self.0.find([',', '}', ']', '=']).filter(|end| *end > 0)?,
        };
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(value.to_owned())
    }

    fn items(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Option<String>) -> Option<Vec<String>> {
        let mut items = Vec::new();
        while !self.takes(end) {
            items.push(item(self)?);
            self.takes(", ");
        }
        Some(items)
    }

    /// Quotes inside are written as they are: a text ends where something can follow it, unless it is one of those that hold such places.
    fn end_of_text(&self) -> Option<usize> {
        let text = &self.0[1..];
        let known =
            LINES.iter().filter(|known| text.strip_prefix(**known).is_some_and(|rest| rest.starts_with('"')));
        if let Some(known) = known.max_by_key(|known| known.len()) {
            return Some(known.len() + 2);
        }
        let ends = |at: &usize| ["=>", ", ", "}", "]"].iter().any(|next| text[at + 1..].starts_with(next));
        text.match_indices('"').map(|(at, _)| at).find(ends).map(|at| at + 2)
    }
}

#[test]
fn what_cannot_be_read_stays_as_it_is() {
    for line in ["{,}", "[=", "{\"a\"=>}", "", "[1.5, {}] x"] {
        assert_eq!(canonical(line), line);
    }
}

#[test]
fn the_order_of_keys_does_not_count() {
    let line = r#"[[1.5, {}], {"b"=>{"y"=>1, "x"=>[true, nil]}, "a"=>"say "q"", "t"=>"{"time":"2024-01-02T03:04:05.678Z"}"}]"#;
    let sorted = r#"[[1.5, {}], {"a"=>"say "q"", "b"=>{"x"=>[true, nil], "y"=>1}, "t"=>"{"time":"2024-01-02T03:04:05.678Z"}"}]"#;
    assert_eq!(canonical(line), sorted);
}
