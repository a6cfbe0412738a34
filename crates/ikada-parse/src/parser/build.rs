//! From options to a parser; every mistake is found here.

use ikada_diag::codes;
use ikada_msgpack::write;
use ikada_options::{Diagnostic, Diagnostics, InOrder, Span, Spanned, quoted_list};

use super::decode::{Action, Decoder, Decoders, Rule, Target};
use super::fields::Role;
use super::options::{Format, ParserOptions};
use super::spare::Spare;
use super::time_field::TimeField;
use super::types::{FieldType, Types};
use super::{Group, Parser, Reader};
use crate::regex::{Regex, RegexError};
use crate::time::{FormatError, TimeFormat, TimeRules, Zone, parse_offset};

/// Where the time is when `Time_Key` does not say.
const TIME_KEY: &str = "time";

impl Parser {
    /// Builds a parser. Every mistake in its options is reported; `None` if one of them is an error.
    pub fn build(options: &ParserOptions, found: &mut Diagnostics) -> Option<Self> {
        let mut build = Build { options, found };
        let types = build.types();
        let time = build.time();
        let decoders = build.decoders();
        let reader = build.reader();
        let (time, decoders) = (time?, decoders?);
        let mut parser = Self {
            name: options.name.value.as_str().into(),
            reader: reader?,
            time,
            types,
            decoders,
            spare: Spare::new(),
            unmatched: 0.into(),
        };
        parser.assign_roles();
        Some(parser)
    }

    /// Tries further formats where the time does not fit its own.
    pub(crate) fn also_read_times(&mut self, formats: &[&str]) {
        if let Some(time) = &mut self.time {
            let formats = formats.iter().filter_map(|format| TimeFormat::new(format).ok());
            time.also = formats.map(|format| TimeRules::new(format, Zone::UTC, true)).collect();
        }
    }

    fn assign_roles(&mut self) {
        let Reader::Regex { groups, .. } = &mut self.reader else { return };
        for group in groups.iter_mut() {
            let name = ikada_msgpack::str_bytes(&group.key).unwrap_or_default();
            let is_time = self.time.as_ref().is_some_and(|time| time.is_named(name));
            group.role = Role { is_time, kind: self.types.of(name) };
        }
    }
}

struct Build<'b> {
    options: &'b ParserOptions,
    found: &'b mut Diagnostics,
}

impl Build<'_> {
    fn reader(&mut self) -> Option<Reader> {
        let options = self.options;
        match options.format {
            Format::Json => Some(Reader::Json),
            Format::Ltsv => Some(Reader::Ltsv),
            Format::Logfmt => Some(Reader::Logfmt { no_bare_keys: options.logfmt_no_bare_keys }),
            Format::Regex => self.regex(),
        }
    }

    fn regex(&mut self) -> Option<Reader> {
        let Some(text) = &self.options.regex else {
            let message = format!("parser `{}` needs the option `regex`", self.options.name.value);
            let help = "add a line `Regex ^(?<message>.*)$`";
            self.found.push(
                Diagnostic::error(codes::MISSING_OPTION, message).at(self.options.name.span).help(help),
            );
            return None;
        };
        let regex = match Regex::new(&text.value) {
            Ok(regex) => regex,
            Err(error) => {
                self.found.push(bad_regex(text, &error));
                return None;
            }
        };
        let mut names: Vec<_> = regex.names().collect();
        // Groups of one name stand together, where the first of them does.
        names.sort_by_cached_key(|(name, _)| regex.names().position(|(other, _)| other == *name));
        let groups: Vec<_> = names.into_iter().map(|(name, number)| group(name, number)).collect();
        if groups.is_empty() {
            let message = "the expression has no named group, so no line ever fits";
            let help = "name what becomes a field: `(?<message>.*)`";
            self.found.push(Diagnostic::warning(codes::BAD_REGEX, message).at(text.span).help(help));
        }
        Some(Reader::Regex { regex, groups: groups.into(), skip_empty: self.options.skip_empty_values })
    }

    /// `None` if there was an error, `Some(None)` if no time is to be looked for.
    fn time(&mut self) -> Option<Option<TimeField>> {
        let zone = self.zone();
        let Some(text) = &self.options.time_format else {
            if let Some(key) = &self.options.time_key {
                let message = "`Time_Key` has no effect without a `Time_Format`";
                self.found.push(Diagnostic::note(codes::NO_EFFECT, message).at(key.span));
            }
            return zone.map(|_| None);
        };
        let format = match TimeFormat::new(&text.value) {
            Ok(format) => format,
            Err(error) => {
                self.found.push(bad_time_format(text, &error));
                return None;
            }
        };
        let key = self.options.time_key.as_ref().map_or(TIME_KEY, |key| &key.value);
        Some(Some(TimeField {
            parser: self.options.name.value.as_str().into(),
            key: key.as_bytes().into(),
            rules: TimeRules::new(format, zone?, self.options.time_strict),
            keep: self.options.time_keep,
            also: Box::default(),
            misses: 0.into(),
        }))
    }

    fn zone(&mut self) -> Option<Zone> {
        let options = self.options;
        if let Some(name) = &options.time_zone {
            return self.named_zone(name);
        }
        if options.time_system_timezone.value {
            return Some(Zone::System);
        }
        let Some(text) = &options.time_offset else { return Some(Zone::UTC) };
        let offset = parse_offset(&text.value);
        if offset.is_none() {
            let message = format!("`Time_Offset`: `{}` is not an offset from UTC", text.value);
            let help = "type it as `+0900` or `-03:30`";
            self.found.push(Diagnostic::error(codes::BAD_VALUE, message).at(text.span).help(help));
        }
        offset.map(Zone::Fixed)
    }

    fn named_zone(&mut self, name: &Spanned<String>) -> Option<Zone> {
        if self.options.time_offset.is_some() || self.options.time_system_timezone.value {
            let message = "`Time_Zone` cannot stand beside `Time_Offset` or `Time_System_Timezone`";
            self.found.push(
                Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(name.span).help("keep one of them"),
            );
            return None;
        }
        if ["UTC", "GMT", "Etc/UTC", "Etc/GMT", "Zulu"].contains(&name.value.as_str()) {
            return Some(Zone::UTC);
        }
        let message = format!("`Time_Zone`: `{}` is not supported, zones have no names here", name.value);
        let help =
            "type its offset, `Time_Offset +0900`; or set `TZ` for the process and `Time_System_Timezone on`";
        self.found.push(Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(name.span).help(help));
        None
    }

    fn types(&mut self) -> Types {
        let Some(list) = &self.options.types else { return Types::default() };
        if self.options.format == Format::Json {
            let message = "`Types` has no effect with `Format json`: JSON has its own";
            self.found.push(Diagnostic::note(codes::NO_EFFECT, message).at(list.span));
            return Types::default();
        }
        let types = list.value.iter().filter_map(|word| self.field_type(word, list.span));
        Types(types.collect())
    }

    /// What Fluent Bit does not know, it leaves as text (cases `rx-types-unknown`, `rx-types-comma`); so it is no error.
    fn field_type(&mut self, word: &str, span: Span) -> Option<(Box<[u8]>, FieldType)> {
        let mut say = |message: String, help: &str| {
            self.found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span).help(help));
        };
        let Some((name, kind)) = word.split_once(':') else {
            say(format!("`Types`: `{word}` names no type and is ignored"), "type `name:integer`");
            return None;
        };
        let Some(known) = FieldType::named(kind) else {
            let help = "type integer, float, bool, hex or string, and a blank before the next field";
            say(format!("`Types`: `{kind}` is no type, so `{name}` stays text"), help);
            return None;
        };
        Some((name.as_bytes().into(), known))
    }

    fn decoders(&mut self) -> Option<Decoders> {
        let appending = self.options.decode_field.iter().map(|text| (text, Target::Record));
        let replacing = self.options.decode_field_as.iter().map(|text| (text, Target::Field));
        let mut all: Vec<_> = appending.chain(replacing).collect();
        all.sort_by_key(|(text, _)| text.order);
        let mut decoders = Decoders::default();
        let mut sound = true;
        for (text, target) in all {
            match self.rule(text, target) {
                Some((field, rule)) => decoders.add(field.as_bytes(), rule),
                None => sound = false,
            }
        }
        sound.then_some(decoders)
    }

    fn rule<'t>(&mut self, text: &'t InOrder<String>, target: Target) -> Option<(&'t str, Rule)> {
        let key = if target == Target::Record { "Decode_Field" } else { "Decode_Field_As" };
        let mut words = text.value.split_ascii_whitespace();
        let (Some(name), Some(field)) = (words.next(), words.next()) else {
            let message = format!("`{key}` needs a decoder and a field");
            let help = format!("type `{key} json log`");
            self.found.push(Diagnostic::error(codes::BAD_VALUE, message).at(text.span).help(help));
            return None;
        };
        let known = Decoder::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, decoder)) = known else {
            let names = Decoder::NAMES.map(|(name, _)| name);
            let message = format!("`{key}`: no decoder is named `{name}`");
            let help = format!("there are {}", quoted_list(&names, "and"));
            self.found.push(Diagnostic::error(codes::BAD_VALUE, message).at(text.span).help(help));
            return None;
        };
        if target == Target::Record && *decoder != Decoder::Json {
            let message = format!("`Decode_Field {name}` changes nothing: it finds no keys to append");
            let help = format!("type `Decode_Field_As {}`", text.value);
            self.found.push(Diagnostic::warning(codes::NO_EFFECT, message).at(text.span).help(help));
        }
        let action = self.action(words.next(), key, text.span);
        Some((field, Rule { decoder: *decoder, target, action }))
    }

    /// An unknown word means nothing to Fluent Bit (case `dec-unknown-action`).
    fn action(&mut self, word: Option<&str>, key: &str, span: Span) -> Action {
        match word {
            None => Action::Never,
            Some(word) if word.eq_ignore_ascii_case("try_next") => Action::AfterFailure,
            Some(word) if word.eq_ignore_ascii_case("do_next") => Action::Always,
            Some(word) => {
                let message = format!("`{key}`: `{word}` is ignored");
                let help = "the third word is `try_next` or `do_next`; a field's name has no blanks";
                self.found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span).help(help));
                Action::Never
            }
        }
    }
}

fn group(name: &str, number: usize) -> Group {
    let mut key = Vec::new();
    write::str(&mut key, name.as_bytes());
    Group { number, key: key.into(), role: Role { is_time: false, kind: FieldType::Text } }
}

/// The place of a mistake within a value; the whole value where variables were replaced in it.
fn place(value: &Spanned<String>, position: usize) -> Span {
    if value.span.len() == value.value.len() && position < value.value.len() {
        return value.span.part(position, value.value.len());
    }
    value.span
}

pub(crate) fn bad_regex(text: &Spanned<String>, error: &RegexError) -> Diagnostic {
    let help = text.value.contains("(?P<").then(|| "Ruby writes a named group `(?<name>…)`".to_owned());
    Diagnostic::error(codes::BAD_REGEX, format!("not a regular expression: {}", error.message))
        .at(place(text, error.position))
        .maybe_help(help)
}

fn bad_time_format(text: &Spanned<String>, error: &FormatError) -> Diagnostic {
    Diagnostic::error(codes::BAD_TIME_FORMAT, format!("not a time format: {}", error.message))
        .at(place(text, error.position))
        .maybe_help(error.help.map(str::to_owned))
}
