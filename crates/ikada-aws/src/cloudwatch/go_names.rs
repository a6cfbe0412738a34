//! Names as the plugin `cloudwatch` makes them: `$(…)` in the names of group and stream.
//!
//! | reference | text |
//! |---|---|
//! | `$(tag)`, `$(tag[2])` | the tag, or one of its at most ten parts between dots; the tenth holds the rest |
//! | `$(uuid)` | a text that differs with every start of the output |
//! | `$(ecs_task_id)`, `$(ecs_cluster)`, `$(ecs_task_arn)` | what ECS says of the task |
//! | `$(key)`, `$(key['a']['b'])` | the text under this key |
//!
//! What ECS says is not known at once: a mark stands for it until a call is made ([`Task::fill_in`]).

use std::time::{SystemTime, UNIX_EPOCH};

use ikada_msgpack::{MapView, View};
use ikada_record::Tag;
use tokio::sync::OnceCell;

use crate::client::Failure;
use crate::fetch::TaskMetadata;

/// Parts of a tag.
const PARTS: usize = 10;

/// A name with references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GoTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Tag,
    TagPart(usize),
    Ecs(Ecs),
    Key { shown: String, path: Vec<Vec<u8>> },
}

/// What ECS knows of a task. Its number is the mark that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ecs {
    TaskId = 1,
    Cluster = 2,
    TaskArn = 3,
}

/// Whether a byte is the mark of something that is still to be filled in.
pub(super) fn is_mark(byte: u8) -> bool {
    (Ecs::TaskId as u8..=Ecs::TaskArn as u8).contains(&byte)
}

/// A reference that found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotThere<'t>(pub(super) &'t str);

impl GoTemplate {
    /// Reads a name.
    ///
    /// # Errors
    /// A reference that does not end, or that is none.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            push_text(&mut pieces, &rest[..at]);
            let inner = &rest[at + 2..];
            let Some(end) = inner.find(')') else {
                return Err(format!("`{}` has no closing bracket", &rest[at..]));
            };
            match &inner[..end] {
                "uuid" => push_text(&mut pieces, &unique()),
                reference => pieces.push(piece(reference)?),
            }
            rest = &inner[end + 1..];
        }
        push_text(&mut pieces, rest);
        Ok(Self(pieces))
    }

    /// Whether entries of one tag may have different names.
    pub(super) fn differs_by_record(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Key { .. }))
    }

    /// Whether it holds something that only ECS knows.
    pub(super) fn asks_ecs(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Ecs(_)))
    }

    /// The name with what the tag says filled in; references to records and to ECS stay.
    pub(super) fn shown(&self, tag: &Tag) -> String {
        let mut name = String::new();
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        for piece in &self.0 {
            match piece {
                Piece::Text(bytes) => name.push_str(&text(bytes)),
                Piece::Tag => name.push_str(&text(tag.as_bytes())),
                Piece::TagPart(n) => {
                    let part = tag.as_bytes().splitn(PARTS, |byte| *byte == b'.').nth(*n);
                    name.push_str(&part.map_or_else(|| TAG_PARTS[*n].to_owned(), text));
                }
                Piece::Ecs(Ecs::TaskId) => name.push_str("$(ecs_task_id)"),
                Piece::Ecs(Ecs::Cluster) => name.push_str("$(ecs_cluster)"),
                Piece::Ecs(Ecs::TaskArn) => name.push_str("$(ecs_task_arn)"),
                Piece::Key { shown, .. } => name.push_str(shown),
            }
        }
        name
    }

    /// Appends the name, with marks for what ECS knows.
    ///
    /// # Errors
    /// The first reference that finds nothing, or no text.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        tag: &Tag,
        record: MapView<'_>,
    ) -> Result<(), NotThere<'_>> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Tag => push_field(out, tag.as_bytes()),
                Piece::TagPart(n) => {
                    let part = tag.as_bytes().splitn(PARTS, |byte| *byte == b'.').nth(*n);
                    push_field(out, part.ok_or(NotThere(TAG_PARTS[*n]))?);
                }
                Piece::Ecs(ecs) => out.push(*ecs as u8),
                Piece::Key { shown, path } => push_field(out, find(path, record).ok_or(NotThere(shown))?),
            }
        }
        Ok(())
    }
}

const TAG_PARTS: [&str; PARTS] = [
    "$(tag[0])",
    "$(tag[1])",
    "$(tag[2])",
    "$(tag[3])",
    "$(tag[4])",
    "$(tag[5])",
    "$(tag[6])",
    "$(tag[7])",
    "$(tag[8])",
    "$(tag[9])",
];

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.extend_from_slice(text.as_bytes()),
        _ => pieces.push(Piece::Text(text.as_bytes().to_vec())),
    }
}

/// What records and tags hold must not be taken for a mark.
fn push_field(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| if is_mark(*byte) || *byte == 0 { b'.' } else { *byte }));
}

fn piece(reference: &str) -> Result<Piece, String> {
    let wrong = || format!("`$({reference})` is no reference");
    let (name, mut rest) = reference.split_at(reference.find('[').unwrap_or(reference.len()));
    if name == "tag" {
        return match rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            None if rest.is_empty() => Ok(Piece::Tag),
            Some(digit) => match digit.parse::<usize>() {
                Ok(n) if n < PARTS && digit.len() == 1 => Ok(Piece::TagPart(n)),
                _ => Err(format!("`$({reference})`: a tag has the parts 0 to 9")),
            },
            None => Err(wrong()),
        };
    }
    match reference {
        "ecs_task_id" => return Ok(Piece::Ecs(Ecs::TaskId)),
        "ecs_cluster" => return Ok(Piece::Ecs(Ecs::Cluster)),
        "ecs_task_arn" => return Ok(Piece::Ecs(Ecs::TaskArn)),
        "" => return Err(wrong()),
        _ => {}
    }
    let mut path = vec![name.as_bytes().to_vec()];
    while !rest.is_empty() {
        let inner = rest.strip_prefix("['").ok_or_else(wrong)?;
        let (key, after) = inner.split_once("']").ok_or_else(wrong)?;
        path.push(key.as_bytes().to_vec());
        rest = after;
    }
    Ok(Piece::Key { shown: format!("$({reference})"), path })
}

fn find<'a>(path: &[Vec<u8>], record: MapView<'a>) -> Option<&'a [u8]> {
    let (last, way) = path.split_last()?;
    let mut map = record;
    for key in way {
        map = map.get(key)?.as_map()?;
    }
    match map.get(last)? {
        View::Str(text) | View::Bin(text) => Some(text),
        _ => None,
    }
}

/// 27 letters and digits that sort by time, of the form of a KSUID: 32 bits of seconds since May 2014, 128 bits of chance.
fn unique() -> String {
    const EPOCH: u64 = 1_400_000_000;
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&(seconds.saturating_sub(EPOCH) as u32).to_be_bytes());
    bytes[4..].copy_from_slice(&rand::random::<u128>().to_be_bytes());
    let mut text = [b'0'; 27];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0;
        for byte in &mut bytes {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The task the program runs in.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// Where ECS tells of it; none outside of ECS.
    uri: Option<String>,
    known: OnceCell<TaskMetadata>,
}

impl Task {
    /// The task that the environment tells of.
    pub(super) fn of_process() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|uri| !uri.is_empty());
        let uri = set("ECS_CONTAINER_METADATA_URI_V4").or_else(|| set("ECS_CONTAINER_METADATA_URI"));
        Self { uri, known: OnceCell::new() }
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.uri.is_some()
    }

    /// Replaces the marks in a name.
    ///
    /// # Errors
    /// ECS does not say now what they stand for.
    pub(super) async fn fill_in(&self, name: &str) -> Result<String, Failure> {
        let uri = self.uri.as_deref().unwrap_or_default();
        let unknown = |error| Failure::transient(format!("ECS does not say which task this is: {error}"));
        let task = self.known.get_or_try_init(|| TaskMetadata::fetch(uri)).await.map_err(unknown)?;
        Ok(fill_in(name, task))
    }
}

fn fill_in(name: &str, task: &TaskMetadata) -> String {
    let mut filled = String::with_capacity(name.len() + task.task_arn.len());
    for c in name.chars() {
        match c {
            '\u{1}' => filled.push_str(&task.task_id),
            '\u{2}' => filled.push_str(&task.cluster),
            '\u{3}' => filled.push_str(&task.task_arn),
            c => filled.push(c),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use ikada_record::record_at;
    use serde_json::json;

    use super::*;

    fn written(template: &str, tag: &str, record: &serde_json::Value) -> Result<String, String> {
        let template = GoTemplate::new(template)?;
        let record = rmp_serde::to_vec(record).unwrap();
        let mut out = Vec::new();
        match template.write(&mut out, &Tag::from(tag), record_at(&record)) {
            Ok(()) => Ok(String::from_utf8(out).unwrap()),
            Err(NotThere(reference)) => Err(reference.to_owned()),
        }
    }

    #[test]
    fn references_are_filled_in() {
        let record = json!({"k": "v", "m": {"a": {"b": "deep"}}, "n": 5});
        let cases = [
            ("plain", Ok("plain")),
            ("/x/$(tag)-$(tag[0])/$(k)", Ok("/x/a.b-a/v")),
            ("$(m['a']['b']).log", Ok("deep.log")),
            ("$(tag[5])", Err("$(tag[5])")),
            ("$(n)", Err("$(n)")),
            ("$(m)", Err("$(m)")),
            ("$(gone['x'])", Err("$(gone['x'])")),
            ("$($", Err("`$($` has no closing bracket")),
            ("$()", Err("`$()` is no reference")),
            ("$(tag[12])", Err("`$(tag[12])`: a tag has the parts 0 to 9")),
            ("$(a[b])", Err("`$(a[b])` is no reference")),
        ];
        for (template, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(written(template, "a.b", &record), expected, "{template}");
        }
        assert_eq!(written("$(tag[9])", "a.b.c.d.e.f.g.h.i.j.k", &record).unwrap(), "j.k");
    }

    #[test]
    fn what_ecs_knows_is_filled_in_later_and_cannot_be_forged() {
        let name = written("$(ecs_cluster)/$(ecs_task_id)/$(k)", "t", &json!({"k": "a\u{1}b"})).unwrap();
        assert_eq!(name, "\u{2}/\u{1}/a.b");
        let task =
            TaskMetadata { cluster: "c".to_owned(), task_id: "id".to_owned(), ..TaskMetadata::default() };
        assert_eq!(fill_in(&name, &task), "c/id/a.b");
    }

    #[test]
    fn a_unique_text_has_27_letters_and_digits() {
        let (one, other) = (unique(), unique());
        assert!(
            one != other && one.len() == 27 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{one}"
        );
        let same = |text: &str| GoTemplate::new(text).unwrap().0 == GoTemplate::new(text).unwrap().0;
        assert!(!same("$(uuid)") && same("$(tag)"));
    }
}
