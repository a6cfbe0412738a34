//! One line parted into its members, which stay as they are written.

use memchr::{memchr2, memchr3};

/// Hands the names (between their quotes) and values of an object on one line over. `false`, possibly after some of them, when the line is
/// none. Knows what `ikada_record::json` writes: no blanks between tokens.
pub(super) fn members<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], &'a [u8])) -> bool {
    let Some(mut rest) = line.strip_prefix(b"{") else { return false };
    if rest == b"}" {
        return true;
    }
    loop {
        let Some(name) = string(rest) else { return false };
        let Some(after) = rest[name.len() + 2..].strip_prefix(b":") else { return false };
        let Some(value) = value(after) else { return false };
        take(name, value);
        match after[value.len()..].split_first() {
            Some((b',', more)) => rest = more,
            Some((b'}', [])) => return true,
            _ => return false,
        }
    }
}

/// What stands between the quotes of the string that a text begins with.
fn string(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', inner.get(at..)?)?;
        match inner[at] {
            b'"' => return Some(&inner[..at]),
            _ => at += 2,
        }
    }
}

/// The value that a text begins with.
fn value(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'"' => Some(&text[..string(text)?.len() + 2]),
        b'{' | b'[' => nested(text),
        _ => {
            let len = memchr3(b',', b'}', b']', text)?;
            (len > 0).then(|| &text[..len])
        }
    }
}

fn nested(text: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string(&text[at..])?.len() + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn parted(line: &str) -> Option<Vec<(String, String)>> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        members(line.as_bytes(), |name, value| all.push((text(name), text(value)))).then_some(all)
    }

    #[test]
    fn members_stay_as_they_are_written() {
        let line = r#"{"a\"b":"x,}","n":-1.5e3,"m":{"k":["]",{}]},"e":[],"l":null}"#;
        let expected = [
            (r#"a\"b"#, r#""x,}""#),
            ("n", "-1.5e3"),
            ("m", r#"{"k":["]",{}]}"#),
            ("e", "[]"),
            ("l", "null"),
        ];
        let parted = parted(line).unwrap();
        assert!(
            parted.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected),
            "{parted:?}"
        );
    }

    #[test]
    fn what_is_no_object_is_said_to_be_none() {
        for line in [
            "",
            "{",
            "x",
            "[1]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":1}}"#,
            r#"{"a":"x}"#,
            r#"{"a":[1}"#,
            r#"{"a\"#,
        ] {
            assert_eq!(parted(line), None, "{line}");
        }
        assert_eq!(parted("{}"), Some(Vec::new()));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| json!(f64::from(number) / 4.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
            let map = prop::collection::vec((any::<String>(), inner), 0..5);
            prop_oneof![list, map.prop_map(|pairs| Value::Object(pairs.into_iter().collect()))]
        })
    }

    proptest! {
        #[test]
        fn all_of_an_object_is_in_its_members(pairs in prop::collection::vec((any::<String>(), values()), 0..6)) {
            let map: Map<String, Value> = pairs.into_iter().collect();
            let parted = parted(&serde_json::to_string(&map).unwrap()).unwrap();
            let again: Map<String, Value> = parted.into_iter().map(|(name, value)| {
                (serde_json::from_str(&format!("\"{name}\"")).unwrap(), serde_json::from_str(&value).unwrap())
            }).collect();
            prop_assert_eq!(again, map);
        }

        #[test]
        fn any_bytes_are_parted_without_a_panic(line in prop::collection::vec(prop::sample::select(b"{}[]\",:\\a1".to_vec()), 0..40)) {
            members(&line, |_, _| {});
        }
    }
}
