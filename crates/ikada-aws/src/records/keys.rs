//! Partition keys: what decides which shard a record goes to.

use ikada_msgpack::{MapView, View};

/// Longest key, in characters (PutRecords). Held to bytes, as the Go plugin does.
const LONGEST: usize = 256;
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Where keys come from.
#[derive(Debug)]
pub(crate) enum Keys {
    /// The service has none.
    None,
    /// Each record has one of its own, so that they spread over all shards.
    Random(Dice),
    /// The text under this path in the record; a random one where there is none.
    Field(Vec<Vec<u8>>, Dice),
}

impl Keys {
    /// Keys from a field, `->` between the names on the way to it.
    pub(crate) fn field(path: &str, dice: Dice) -> Self {
        Self::Field(path.split("->").map(|name| name.as_bytes().to_vec()).collect(), dice)
    }

    /// Whether any key does for any record.
    pub(crate) fn any_will_do(&self) -> bool {
        !matches!(self, Self::Field(..))
    }

    /// Puts the key of a record into `out`, in place of what was there.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, record: MapView<'_>) {
        out.clear();
        match self {
            Self::None => {}
            Self::Random(dice) => dice.throw(out),
            Self::Field(path, dice) => match find(path, record) {
                Some(text) if !text.is_empty() => shorten(out, text),
                _ => dice.throw(out),
            },
        }
    }
}

fn find<'a>(path: &[Vec<u8>], record: MapView<'a>) -> Option<&'a [u8]> {
    let (last, way) = path.split_last()?;
    let mut map = record;
    for name in way {
        map = map.get(name)?.as_map()?;
    }
    match map.get(last)? {
        View::Str(text) | View::Bin(text) => Some(text),
        _ => None,
    }
}

/// The beginning of a text that a key can be, as UTF-8.
fn shorten(out: &mut Vec<u8>, text: &[u8]) {
    let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]);
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// Makes keys that spread evenly: the service takes their MD5.
#[derive(Debug)]
pub(crate) struct Dice {
    /// What all keys of an output begin with.
    prefix: Vec<u8>,
    state: u64,
}

impl Dice {
    /// Keys as of the C plugin: ten letters that stay, and digits.
    pub(crate) fn with_prefix() -> Self {
        let mut dice = Self::new();
        let mut prefix = Vec::new();
        dice.letters(&mut prefix, 10);
        Self { prefix, ..dice }
    }

    /// Keys as of the Go plugin: eight letters.
    pub(crate) fn new() -> Self {
        Self { prefix: Vec::new(), state: rand::random::<u64>() | 1 }
    }

    fn throw(&mut self, out: &mut Vec<u8>) {
        if self.prefix.is_empty() {
            return self.letters(out, 8);
        }
        out.extend_from_slice(&self.prefix);
        let number = self.next() >> 32;
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn letters(&mut self, out: &mut Vec<u8>, count: usize) {
        let mut number = self.next();
        for _ in 0..count {
            out.push(LETTERS[(number % 62) as usize]);
            number /= 62;
        }
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::record_at;
    use serde_json::json;

    use super::*;

    fn key(keys: &mut Keys, record: &serde_json::Value) -> String {
        let mut out = b"left over".to_vec();
        keys.write(&mut out, record_at(&rmp_serde::to_vec(record).unwrap()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_field_is_the_key_and_chance_stands_in() {
        let mut keys = Keys::field("kubernetes->pod", Dice::new());
        assert_eq!(key(&mut keys, &json!({"kubernetes": {"pod": "p-1"}})), "p-1");
        assert_eq!(key(&mut keys, &json!({"kubernetes": {"pod": "日".repeat(100)}})), "日".repeat(85));
        for record in [
            json!({"kubernetes": {"pod": ""}}),
            json!({"kubernetes": 5}),
            json!({"kubernetes": {"pod": 7}}),
            json!({}),
        ] {
            let key = key(&mut keys, &record);
            assert!(key.len() == 8 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
        }
    }

    #[test]
    fn no_two_records_have_the_same_key_by_chance() {
        let mut keys = Keys::Random(Dice::with_prefix());
        let all: std::collections::HashSet<_> = (0..1_000).map(|_| key(&mut keys, &json!({}))).collect();
        assert_eq!(all.len(), 1_000);
        let prefix = &all.iter().next().unwrap()[..10];
        assert!(all.iter().all(|key| key.starts_with(prefix) && key.len() > 10));
    }
}
