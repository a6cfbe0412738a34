//! Decoders: what opens text that is nested in a field.
//!
//! The rules for one field run in the order of the file. After a success the next one runs only if the rule says `do_next`; after a
//! failure, if it says `try_next` or `do_next`. A rule of `Decode_Field_As` puts what it found in the field's place, one of `Decode_Field`
//! appends the keys it found to the record.

use ikada_msgpack::{MapView, str_bytes, write};

use super::map::MapWriter;
use super::{escape, is_map};
use crate::json;

/// The rules of all fields.
#[derive(Debug, Default)]
pub(super) struct Decoders(Vec<FieldRules>);

#[derive(Debug)]
struct FieldRules {
    field: Box<[u8]>,
    rules: Vec<Rule>,
}

/// One decoder and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) decoder: Decoder,
    pub(super) target: Target,
    pub(super) action: Action,
}

/// How a text is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    Json,
    Escaped,
    EscapedUtf8,
    MysqlQuoted,
}

/// Where the result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Its keys are appended to the record.
    Record,
    /// It takes the field's place.
    Field,
}

/// When the next rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Never,
    AfterFailure,
    Always,
}

/// Buffers of one call.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The field's text as it has become.
    text: Vec<u8>,
    /// What a decoder makes of it.
    made: Vec<u8>,
    /// The object that takes the field's place.
    object: Vec<u8>,
    /// What is only read to see that it is there.
    probe: Vec<u8>,
    /// Pairs to append to the record.
    pairs: Vec<u8>,
    pair_count: u32,
}

/// What a field's value has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Nothing,
    Text,
    Object,
}

impl Decoders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a rule behind those of its field.
    pub(super) fn add(&mut self, field: &[u8], rule: Rule) {
        match self.0.iter_mut().find(|rules| *rules.field == *field) {
            Some(rules) => rules.rules.push(rule),
            None => self.0.push(FieldRules { field: field.into(), rules: vec![rule] }),
        }
    }

    /// Writes a record with its nested texts opened.
    pub(super) fn apply(&self, map: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
        let mut writer = MapWriter::start(out);
        scratch.pairs.clear();
        scratch.pair_count = 0;
        for (key, value) in MapView::known(map).raw() {
            out.extend_from_slice(key);
            match (self.rules_of(key), str_bytes(value)) {
                (Some(rules), Some(text)) => decode(rules, text, value, scratch, out),
                _ => out.extend_from_slice(value),
            }
            writer.add(1);
        }
        out.extend_from_slice(&scratch.pairs);
        writer.add(scratch.pair_count);
        writer.finish(out);
    }

    fn rules_of(&self, key: &[u8]) -> Option<&[Rule]> {
        let name = str_bytes(key)?;
        self.0.iter().find(|rules| *rules.field == *name).map(|rules| &*rules.rules)
    }
}

/// Runs the rules of a field and writes its value.
fn decode(rules: &[Rule], text: &[u8], value: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
    scratch.text.clear();
    scratch.text.extend_from_slice(text);
    let mut became = Became::Nothing;
    let mut appended = false;
    for rule in rules {
        if became == Became::Object || (appended && rule.target == Target::Record) {
            continue;
        }
        let Scratch { text, made, probe, .. } = scratch;
        made.clear();
        let done = rule.decoder.run(text, made, probe);
        match (done, rule.target) {
            (false, _) => {}
            (true, Target::Record) => appended |= scratch.append(rule.decoder),
            (true, Target::Field) if rule.decoder == Decoder::Json => {
                std::mem::swap(&mut scratch.object, &mut scratch.made);
                became = Became::Object;
            }
            (true, Target::Field) => {
                std::mem::swap(&mut scratch.text, &mut scratch.made);
                became = Became::Text;
            }
        }
        let goes_on = match rule.action {
            Action::Never => false,
            Action::AfterFailure => !done,
            Action::Always => true,
        };
        if !goes_on {
            break;
        }
    }
    match became {
        Became::Nothing => out.extend_from_slice(value),
        Became::Text => write::str(out, &scratch.text),
        Became::Object => out.extend_from_slice(&scratch.object),
    }
}

impl Scratch {
    pub(super) fn room(&self) -> usize {
        let buffers = [&self.text, &self.made, &self.object, &self.probe, &self.pairs];
        buffers.iter().map(|buffer| buffer.capacity()).sum()
    }

    /// Takes the pairs of an object that was made.
    fn append(&mut self, decoder: Decoder) -> bool {
        if decoder != Decoder::Json {
            return false;
        }
        let map = MapView::known(&self.made);
        self.pair_count += map.len() as u32;
        self.pairs.extend_from_slice(map.body());
        true
    }
}

impl Decoder {
    pub(super) const NAMES: [(&str, Self); 4] = [
        ("json", Self::Json),
        ("escaped", Self::Escaped),
        ("escaped_utf8", Self::EscapedUtf8),
        ("mysql_quoted", Self::MysqlQuoted),
    ];

    fn run(self, text: &[u8], made: &mut Vec<u8>, probe: &mut Vec<u8>) -> bool {
        match self {
            Self::Json => return object(text, made, probe),
            Self::Escaped => escape::escaped(text, made),
            Self::EscapedUtf8 => escape::escaped_utf8(text, made),
            Self::MysqlQuoted => escape::mysql_quoted(text, made),
        }
        true
    }
}

/// Reads one object, blanks before it, nothing whole behind it (cases `dec-as-json-*`).
fn object(text: &[u8], made: &mut Vec<u8>, probe: &mut Vec<u8>) -> bool {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    let text = &text[blanks..];
    if text.first() != Some(&b'{') {
        return false;
    }
    let Ok(taken) = json::transcode_one(text, made) else { return false };
    probe.clear();
    is_map(made.first().copied()) && json::transcode_one(&text[taken..], probe).is_err()
}
