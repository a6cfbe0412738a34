//! Which group and stream an entry goes to.

use ikada_msgpack::MapView;
use ikada_record::Tag;
use ikada_record::accessor::{Accessor, Part, Template};

/// Longest name of a group or stream, in characters (CreateLogGroup, CreateLogStream).
const LONGEST: usize = 512;

/// How a stream is named without a template.
#[derive(Debug, Clone)]
pub(super) enum PlainStream {
    /// Always this.
    Literal(String),
    /// This, and the tag behind it.
    Prefix(String),
}

/// Which group and stream an entry goes to.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) group: String,
    pub(super) stream: PlainStream,
    pub(super) group_template: Option<Template>,
    pub(super) stream_template: Option<Template>,
}

impl Names {
    /// Whether entries of one tag may go to different streams.
    pub(super) fn differ_by_record(&self) -> bool {
        let templates = [&self.group_template, &self.stream_template];
        templates
            .into_iter()
            .flatten()
            .any(|template| template.parts().iter().any(|part| matches!(part, Part::Field(_))))
    }

    /// Writes both names as the service takes them, a NUL between them. Where a template's reference finds nothing, or a template
    /// makes no text, the plain name stands in; the reference is returned.
    pub(super) fn write(&self, out: &mut Vec<u8>, tag: &Tag, record: MapView<'_>) -> Option<&Accessor> {
        out.clear();
        let mut missing = None;
        if !by_template(&self.group_template, out, tag, record, &mut missing, write_group) {
            write_group(out, self.group.as_bytes());
        }
        out.push(0);
        if by_template(&self.stream_template, out, tag, record, &mut missing, write_stream) {
            return missing;
        }
        match &self.stream {
            PlainStream::Literal(name) => write_stream(out, name.as_bytes()),
            PlainStream::Prefix(prefix) => {
                let mut name = Vec::with_capacity(prefix.len() + tag.as_bytes().len());
                name.extend_from_slice(prefix.as_bytes());
                name.extend_from_slice(tag.as_bytes());
                write_stream(out, &name);
            }
        }
        missing
    }
}

/// Writes the name a template makes; `false` if it makes none.
fn by_template<'t>(
    template: &'t Option<Template>,
    out: &mut Vec<u8>,
    tag: &Tag,
    record: MapView<'_>,
    missing: &mut Option<&'t Accessor>,
    write: fn(&mut Vec<u8>, &[u8]),
) -> bool {
    let Some(template) = template else { return false };
    let start = out.len();
    if let Err(error) = template.render(out, tag, record) {
        *missing = Some(error.reference);
        out.truncate(start);
        return false;
    }
    if out.len() == start {
        return false;
    }
    // Written behind the raw text first: what is allowed may be longer or shorter than what was asked for.
    let raw = out.split_off(start);
    write(out, &raw);
    true
}

/// Writes a group's name: what is not allowed in one becomes a dot, and what is too long is cut.
pub(super) fn write_group(out: &mut Vec<u8>, name: &[u8]) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.#".contains(&byte);
    out.extend(name.iter().take(LONGEST).map(|byte| if allowed(*byte) { *byte } else { b'.' }));
}

/// Writes a stream's name as UTF-8: `:` and `*` become dots, what is too long is cut, and what is empty becomes `_`.
pub(super) fn write_stream(out: &mut Vec<u8>, name: &[u8]) {
    if name.is_empty() {
        out.push(b'_');
        return;
    }
    let mut left = LONGEST;
    for chunk in name.utf8_chunks() {
        let broken = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        for c in chunk.valid().chars().chain(broken.chars()).take(left) {
            left -= 1;
            let c = if matches!(c, ':' | '*') { '.' } else { c };
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::record_at;

    use super::*;

    fn names(group: Option<&str>, stream: Option<&str>) -> Names {
        Names {
            group: "plain".to_owned(),
            stream: PlainStream::Prefix("pre-".to_owned()),
            group_template: group.map(|text| Template::new(text).unwrap()),
            stream_template: stream.map(|text| Template::new(text).unwrap()),
        }
    }

    fn written(names: &Names, tag: &str, record: &[u8]) -> (String, Option<String>) {
        let mut out = b"left over".to_vec();
        let missing = names.write(&mut out, &Tag::from(tag), record_at(record)).map(ToString::to_string);
        (String::from_utf8(out).unwrap().replace('\0', "|"), missing)
    }

    #[test]
    fn a_prefix_takes_the_tag_behind_it() {
        assert_eq!(written(&names(None, None), "app.web", b"\x80"), ("plain|pre-app.web".to_owned(), None));
        assert!(!names(None, None).differ_by_record());
    }

    #[test]
    fn templates_win_over_plain_names() {
        let names = names(Some("x/$TAG[1]"), Some("$k"));
        assert_eq!(written(&names, "a.b", b"\x81\xa1k\xa1v"), ("x/b|v".to_owned(), None));
        assert!(names.differ_by_record());
    }

    #[test]
    fn a_reference_that_finds_nothing_falls_back_for_its_name_only() {
        let names = names(Some("g.$TAG"), Some("$k"));
        assert_eq!(written(&names, "a", b"\x80"), ("g.a|pre-a".to_owned(), Some("$k".to_owned())));
    }

    #[test]
    fn names_are_what_the_service_takes() {
        let stream = |name: &[u8]| {
            let mut out = Vec::new();
            write_stream(&mut out, name);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(stream("a:b*c 日本".as_bytes()), "a.b.c 日本");
        assert_eq!(stream(b"a\xff"), "a\u{fffd}");
        assert_eq!(stream(b""), "_");
        assert_eq!(stream("é".repeat(600).as_bytes()).chars().count(), 512);
        let mut out = Vec::new();
        write_group(&mut out, "/ecs/a b:#é".as_bytes());
        assert_eq!(out, b"/ecs/a.b.#..");
    }
}
