//! Which group and stream an entry goes to.

use ikada_msgpack::MapView;
use ikada_record::accessor::{Part, Template};
use ikada_record::{Tag, record_at};

use super::go_names::{GoTemplate, NotThere, is_mark};

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

/// How a name is made of an entry.
#[derive(Debug)]
pub(super) enum Pattern {
    /// As `cloudwatch_logs` does.
    C(Template),
    /// As `cloudwatch` does.
    Go(GoTemplate),
}

impl Pattern {
    fn differs_by_record(&self) -> bool {
        match self {
            Self::C(template) => template.parts().iter().any(|part| matches!(part, Part::Field(_))),
            Self::Go(template) => template.differs_by_record(),
        }
    }

    /// The name with what the tag says filled in.
    fn shown(&self, tag: &Tag) -> String {
        match self {
            Self::C(template) if self.differs_by_record() => template.to_string(),
            Self::C(template) => written(|out| {
                template.render(out, tag, record_at(&[0x80])).ok();
            }),
            Self::Go(template) => template.shown(tag),
        }
    }

    /// Whether it holds something that only ECS knows.
    pub(super) fn asks_ecs(&self) -> bool {
        matches!(self, Self::Go(template) if template.asks_ecs())
    }
}

/// What a name is of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Group,
    Stream,
}

/// Which group and stream an entry goes to.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) group: String,
    pub(super) stream: PlainStream,
    pub(super) group_template: Option<Pattern>,
    pub(super) stream_template: Option<Pattern>,
    /// There is no task that the names could ask for.
    pub(super) no_task: bool,
}

impl Names {
    /// Whether entries of one tag may go to different streams.
    pub(super) fn differ_by_record(&self) -> bool {
        let templates = [&self.group_template, &self.stream_template];
        templates.into_iter().flatten().any(Pattern::differs_by_record)
    }

    /// Whether names hold something that only ECS knows.
    pub(super) fn ask_ecs(&self) -> bool {
        !self.no_task
            && [&self.group_template, &self.stream_template].into_iter().flatten().any(Pattern::asks_ecs)
    }

    /// Appends both names as the service takes them, a NUL between them. Where a template's reference finds nothing, or a template
    /// makes no text, the plain name stands in; the reference is returned.
    pub(super) fn write(&self, out: &mut Vec<u8>, tag: &Tag, record: MapView<'_>) -> Option<&str> {
        let mut missing = None;
        if !self.by_template(&self.group_template, out, tag, record, &mut missing, Kind::Group) {
            write_group(out, self.group.as_bytes());
        }
        out.push(0);
        if self.by_template(&self.stream_template, out, tag, record, &mut missing, Kind::Stream) {
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

    /// Both names for people. What a record or ECS has to say stays as it is written.
    pub(super) fn shown(&self, tag: &Tag) -> (String, String) {
        let group = match &self.group_template {
            Some(template) => template.shown(tag),
            None => written(|out| write_group(out, self.group.as_bytes())),
        };
        let stream = match (&self.stream_template, &self.stream) {
            (Some(template), _) => template.shown(tag),
            (None, PlainStream::Literal(name)) => written(|out| write_stream(out, name.as_bytes())),
            (None, PlainStream::Prefix(prefix)) => {
                written(|out| write_stream(out, &[prefix.as_bytes(), tag.as_bytes()].concat()))
            }
        };
        (group, stream)
    }

    /// Writes the name a template makes; `false` if it makes none.
    fn by_template<'t>(
        &self,
        template: &'t Option<Pattern>,
        out: &mut Vec<u8>,
        tag: &Tag,
        record: MapView<'_>,
        missing: &mut Option<&'t str>,
        kind: Kind,
    ) -> bool {
        let Some(template) = template else { return false };
        let start = out.len();
        let result = match template {
            Pattern::Go(_) if self.no_task && template.asks_ecs() => Err("ECS_CONTAINER_METADATA_URI"),
            Pattern::C(template) => {
                template.render(out, tag, record).map_err(|error| error.reference.as_str())
            }
            Pattern::Go(template) => {
                template.write(out, tag, record).map_err(|NotThere(reference)| reference)
            }
        };
        if let Err(reference) = result {
            *missing = Some(reference);
            out.truncate(start);
            return false;
        }
        if out.len() == start {
            return false;
        }
        // Written behind the raw text first: what is allowed may be longer or shorter than what was asked for.
        let raw = out.split_off(start);
        match (kind, template) {
            (Kind::Group, Pattern::C(_)) => write_group(out, &raw),
            (Kind::Group, Pattern::Go(_)) => write_go_group(out, &raw),
            (Kind::Stream, _) => write_stream(out, &raw),
        }
        true
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a group's name: what is not allowed in one becomes a dot, and what is too long is cut.
pub(super) fn write_group(out: &mut Vec<u8>, name: &[u8]) {
    write_group_if(out, name, |byte| byte == b'#');
}

/// The same as `cloudwatch` does, which makes a dot of `#` too. Marks stay: what they stand for is filled in, and looked at once more, before
/// a call is made.
pub(super) fn write_go_group(out: &mut Vec<u8>, name: &[u8]) {
    write_group_if(out, name, is_mark);
}

fn write_group_if(out: &mut Vec<u8>, name: &[u8], more: impl Fn(u8) -> bool) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.".contains(&byte) || more(byte);
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
            group_template: group.map(|text| Pattern::C(Template::new(text).unwrap())),
            stream_template: stream.map(|text| Pattern::C(Template::new(text).unwrap())),
            no_task: false,
        }
    }

    fn written(names: &Names, tag: &str, record: &[u8]) -> (String, Option<String>) {
        let mut out = Vec::new();
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
        out.clear();
        write_go_group(&mut out, "/ecs/a b:#é".as_bytes());
        assert_eq!(out, b"/ecs/a.b....");
    }

    #[test]
    fn templates_of_the_go_plugin_fall_back_by_themselves() {
        let go = |text: &str| Some(Pattern::Go(GoTemplate::new(text).unwrap()));
        let mut names = Names {
            group: "default".to_owned(),
            stream: PlainStream::Literal("/default".to_owned()),
            group_template: go("/ecs/$(tag[0])#$(k)"),
            stream_template: go("$(tag):$(ecs_task_id)"),
            no_task: false,
        };
        assert_eq!(written(&names, "a.b", b"\x81\xa1k\xa1v"), ("/ecs/a.v|a.b.\u{1}".to_owned(), None));
        assert_eq!(
            written(&names, "a.b", b"\x80"),
            ("default|a.b.\u{1}".to_owned(), Some("$(k)".to_owned()))
        );
        names.no_task = true;
        assert_eq!(written(&names, "a.b", b"\x81\xa1k\xa1v").0, "/ecs/a.v|/default");
    }
}
