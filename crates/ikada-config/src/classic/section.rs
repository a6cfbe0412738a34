//! What a line does: headers, commands and properties, each with the findings that it deserves.

use ikada_diag::{Diagnostic, Severity, codes};
use ikada_options::{Property, nearest};

use super::indent::IndentError;
use super::line::{Body, Line, Piece, body_of, line_of, trailing_comment};
use super::{LONGEST_LINE, LineAt, Loader, names};
use crate::document::{Format, Section, SectionKind};

impl Loader<'_> {
    pub(super) fn take_line(&mut self, at: LineAt<'_>) {
        if at.line.len() > LONGEST_LINE {
            let message = format!("the line has more than {LONGEST_LINE} bytes");
            self.diags.push(Diagnostic::error(codes::LINE_TOO_LONG, message).at(at.whole()));
            return;
        }
        match line_of(at.line) {
            Line::Nothing => {}
            Line::Remark { indent } => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.indent.see_remark(indent.text);
                }
            }
            Line::Command { word, rest } => self.command(at, word, rest),
            Line::Header { name, after } => self.header(at, name, after),
            Line::OpenHeader => {
                let help = format!("type `{}]`", at.line.trim_end());
                self.push(
                    Diagnostic::error(codes::BAD_HEADER, "a section header without `]`")
                        .at(at.whole())
                        .help(help),
                );
                self.open_section(at, Piece { text: at.line.get(1..).unwrap_or(""), start: 1 }.trimmed());
            }
            Line::Body { indent, text } => self.body(at, indent, text),
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diags.push(diagnostic);
    }

    // Headers.

    fn header(&mut self, at: LineAt<'_>, name: Piece<'_>, after: Piece<'_>) {
        let after = after.trimmed();
        if !after.text.is_empty() && !after.text.starts_with('#') {
            let message = format!("the text behind `[{}]` is ignored", name.text);
            let help = "put it on a line of its own";
            self.push(Diagnostic::warning(codes::TEXT_AFTER_HEADER, message).at(at.span(after)).help(help));
        }
        if name.text.is_empty() {
            let help = "type a name: `[INPUT]`, `[FILTER]`, `[OUTPUT]` or `[SERVICE]`";
            self.push(
                Diagnostic::error(codes::BAD_HEADER, "a section header without a name")
                    .at(at.whole())
                    .help(help),
            );
        } else if names::kind_of(name.text) == SectionKind::Unknown {
            self.report_unknown(at, name);
        }
        self.open_section(at, name);
    }

    fn report_unknown(&mut self, at: LineAt<'_>, name: Piece<'_>) {
        let trimmed = name.trimmed();
        let span = at.span(name);
        if trimmed.text != name.text && names::kind_of(trimmed.text) != SectionKind::Unknown {
            let message =
                format!("`[{}]` has blanks in its brackets, so it is ignored with all its keys", name.text);
            let help = format!("type `[{}]`", trimmed.text);
            return self.push(Diagnostic::warning(codes::BLANK_IN_HEADER, message).at(span).help(help));
        }
        let message = format!("no section is named `[{}]`; it is ignored with all its keys", name.text);
        let help = names::meant(trimmed.text).map(|meant| format!("did you mean `[{meant}]`?"));
        self.push(Diagnostic::warning(codes::UNKNOWN_SECTION, message).at(span).maybe_help(help));
    }

    fn open_section(&mut self, at: LineAt<'_>, name: Piece<'_>) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.section = Some(self.sections.len());
        let header = at.source.span(at.start + name.start - 1, at.start + name.end() + 1);
        let header = header.part(0, at.start + at.line.len() - header.start as usize);
        self.sections.push(Section::new(
            names::kind_of(name.text),
            Format::Classic,
            at.spanned(name),
            header,
        ));
        self.filled.push(false);
    }

    // Commands.

    fn command(&mut self, at: LineAt<'_>, word: Piece<'_>, rest: Option<Piece<'_>>) {
        let trimmed = rest.map(Piece::trimmed).filter(|rest| !rest.text.is_empty());
        match (word.text.to_ascii_lowercase().as_str(), trimmed) {
            ("include", Some(path)) => self.include(path.text, at.span(path)),
            ("include", None) => {
                let message = "`@INCLUDE` names no file";
                let help = "type `@INCLUDE path/to/file.conf`";
                self.push(Diagnostic::error(codes::MISSING_INCLUDE, message).at(at.whole()).help(help));
            }
            ("set", Some(setting)) => self.set(at, setting),
            ("set", None) => {
                let help = "type `@SET name=value`";
                self.push(Diagnostic::error(codes::BAD_SET, "`@SET` sets nothing").at(at.whole()).help(help));
            }
            _ => self.unknown_command(at, word, rest.is_some()),
        }
    }

    /// Fluent Bit refuses an unknown command without anything behind it, and ignores others.
    fn unknown_command(&mut self, at: LineAt<'_>, word: Piece<'_>, has_rest: bool) {
        let severity = if has_rest { Severity::Warning } else { Severity::Error };
        let message = format!("`@{}` is no command; the line is ignored", word.text);
        let help = match nearest(word.text, ["INCLUDE", "SET"]).first() {
            Some(near) => format!("did you mean `@{near}`?"),
            None => "the commands are `@INCLUDE` and `@SET`".to_owned(),
        };
        self.push(Diagnostic::new(severity, codes::UNKNOWN_COMMAND, message).at(at.span(word)).help(help));
    }

    /// Takes `name=value`. Blanks at the equals sign are part of name and value, as in Fluent Bit.
    fn set(&mut self, at: LineAt<'_>, setting: Piece<'_>) {
        let Some((name, value)) = setting.text.split_once('=') else {
            let message = format!("`@SET {}` has no value", setting.text);
            let help = format!("type `@SET {}=value`", setting.text);
            return self.push(Diagnostic::warning(codes::BAD_SET, message).at(at.span(setting)).help(help));
        };
        let place = Piece { text: name, start: setting.start };
        if name.trim_end() != name || value.trim_start() != value {
            let message = format!("the blanks at `=` belong to the name `{name}` and the value `{value}`");
            let help = format!("type `@SET {}={}`", name.trim_end(), value.trim_start());
            self.push(Diagnostic::warning(codes::BLANK_IN_SET, message).at(at.span(setting)).help(help));
        }
        self.settings.push((at.spanned(place), value.to_owned()));
    }

    // Properties.

    fn body(&mut self, at: LineAt<'_>, indent: Piece<'_>, text: Piece<'_>) {
        let body = body_of(text);
        if let Body::Header { name } = body
            && names::kind_of(name.text) != SectionKind::Unknown
        {
            return self.indented_header(at, name);
        }
        self.check_indent(at, indent, text);
        let Some(frame) = self.frames.last_mut() else { return };
        let Some(section) = frame.section else {
            let reported = std::mem::replace(&mut frame.orphan_reported, true);
            if !reported {
                self.orphan(at, text);
            }
            return;
        };
        if let Some(filled) = self.filled.get_mut(section) {
            *filled = true;
        }
        match body {
            Body::Property { key, value, tab } => self.property(at, section, key, value, tab),
            Body::KeyOnly(key) | Body::Header { name: key } => self.key_only(at, key),
            Body::EmptyValue(key) => self.empty_value(at, key),
            Body::Include => self.indented_include(at, section, text),
        }
    }

    fn check_indent(&mut self, at: LineAt<'_>, indent: Piece<'_>, text: Piece<'_>) {
        let Some(frame) = self.frames.last_mut() else { return };
        let Err(error) = frame.indent.see_key(indent.text) else { return };
        let expected = frame.indent.expected().map(str::to_owned);
        let key = text.text.split(super::line::is_blank).next().unwrap_or_default();
        let told = match expected.as_deref() {
            Some(expected) => {
                format!("start the line with {}, as the first key of this file", words_for(expected))
            }
            None => format!("start the line with blanks: `    {key} …`"),
        };
        let message = match error {
            IndentError::Missing => format!("`{key}` is not indented"),
            IndentError::TooLow => format!("`{key}` is indented less than the first key of the file"),
            IndentError::TooHigh => format!("`{key}` is indented more than the first key of the file"),
            IndentError::Mixed => {
                let message = format!("`{key}` is indented with other blanks than the first key of the file");
                let span = at.span(indent);
                return self.push(Diagnostic::error(codes::MIXED_INDENTATION, message).at(span).help(told));
            }
        };
        let span =
            if indent.text.is_empty() { at.span(Piece { text: key, start: 0 }) } else { at.span(indent) };
        self.push(Diagnostic::error(codes::BAD_INDENTATION, message).at(span).help(told));
    }

    fn orphan(&mut self, at: LineAt<'_>, text: Piece<'_>) {
        let included = self.frames.len() > 1;
        let key = text.text.split(super::line::is_blank).next().unwrap_or_default();
        let message = format!("`{key}` stands before the first section");
        let help = match included {
            false => "put a header before it: `[SERVICE]`, `[INPUT]`, `[FILTER]` or `[OUTPUT]`",
            true => {
                "start the file with a header: an included file does not continue the section that includes it"
            }
        };
        self.push(Diagnostic::error(codes::KEY_BEFORE_SECTION, message).at(at.span(text)).help(help));
    }

    fn indented_header(&mut self, at: LineAt<'_>, name: Piece<'_>) {
        let message = format!("`[{}]` is indented, which makes it no header", name.text);
        let help = "start it in the first column";
        self.push(Diagnostic::error(codes::INDENTED_HEADER, message).at(at.span(name)).help(help));
        self.open_section(at, name);
    }

    /// Fluent Bit takes it for a property: ignored in `[SERVICE]`, refused by a plugin.
    fn indented_include(&mut self, at: LineAt<'_>, section: usize, text: Piece<'_>) {
        let kind = self.sections.get(section).map(|section| section.kind);
        let severity = match kind.and_then(SectionKind::plugin) {
            Some(_) => Severity::Error,
            None => Severity::Warning,
        };
        let message = "an `@INCLUDE` that is indented includes nothing";
        let help = format!("start it in the first column: `{}`", text.trimmed().text);
        self.push(Diagnostic::new(severity, codes::INDENTED_INCLUDE, message).at(at.span(text)).help(help));
    }

    fn key_only(&mut self, at: LineAt<'_>, key: Piece<'_>) {
        let message = format!("`{}` has no value", key.text);
        let help = match key.text.split_once([':', '=']) {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => format!("type `{name} {value}`"),
            _ => format!("type `{} value`, or remove the line", key.text.trim_end_matches([':', '='])),
        };
        self.push(Diagnostic::error(codes::MISSING_VALUE, message).at(at.span(key)).help(help));
    }

    fn empty_value(&mut self, at: LineAt<'_>, key: Piece<'_>) {
        let message = format!("`{}` has an empty value", key.text);
        let help = format!(
            "remove the line or give it a value; in a task definition that is the log option `{}`",
            key.text
        );
        self.push(Diagnostic::error(codes::EMPTY_VALUE, message).at(at.whole()).help(help));
    }

    fn property(&mut self, at: LineAt<'_>, section: usize, key: Piece<'_>, value: Piece<'_>, tab: bool) {
        if tab {
            let message = format!("a tab stands between `{}` and its value", key.text);
            let help = format!("type a blank, as Fluent Bit demands: `{} …`", key.text);
            self.push(Diagnostic::warning(codes::TAB_SEPARATOR, message).at(at.span(key)).help(help));
        }
        if let Some(start) = trailing_comment(value.text) {
            let comment = Piece { text: &value.text[start..], start: value.start + start };
            let number = value.text[..start].trim_end();
            let message = match !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            {
                true => format!(
                    "this is left out if `{}` takes a number, and part of the value if it takes text",
                    key.text
                ),
                false => format!("this is part of the value of `{}`, not a comment", key.text),
            };
            let help = "a comment needs a line of its own";
            self.push(Diagnostic::warning(codes::TRAILING_COMMENT, message).at(at.span(comment)).help(help));
        }
        if let Some(meant) = value.text.strip_prefix("= ").or_else(|| value.text.strip_prefix(": ")) {
            let message = format!("the value of `{}` starts with `{}`", key.text, &value.text[..1]);
            let help = format!("type `{} {}`", key.text, meant.trim_start());
            self.push(Diagnostic::warning(codes::KEY_PUNCTUATION, message).at(at.span(value)).help(help));
        }
        let Some(key) = self.without_punctuation(at, section, key) else { return };
        let property = Property::new(at.spanned(key), at.spanned(value));
        if let Some(section) = self.sections.get_mut(section) {
            section.properties.push(property);
        }
    }

    /// `Name: tail` comes from other formats. A plugin refuses such a key in Fluent Bit, and `[SERVICE]` ignores it;
    /// here too, but the key without its punctuation is looked at further.
    fn without_punctuation<'p>(
        &mut self,
        at: LineAt<'_>,
        section: usize,
        key: Piece<'p>,
    ) -> Option<Piece<'p>> {
        let name = key.text.trim_end_matches([':', '=']);
        if name.len() == key.text.len() || name.is_empty() {
            return Some(key);
        }
        let kind = self.sections.get(section).map(|section| section.kind);
        let of_plugin = kind.and_then(SectionKind::plugin).is_some();
        let severity = if of_plugin { Severity::Error } else { Severity::Warning };
        let end = &key.text[name.len()..];
        let message = match of_plugin {
            true => format!("the key `{name}` is written with `{end}`"),
            false => format!("the key `{name}` is written with `{end}`, so the line is ignored"),
        };
        let help = format!("type `{name}` and a blank");
        self.push(Diagnostic::new(severity, codes::KEY_PUNCTUATION, message).at(at.span(key)).help(help));
        of_plugin.then_some(Piece { text: name, start: key.start })
    }
}

/// Returns an indentation in words.
fn words_for(indent: &str) -> String {
    let count = indent.chars().count();
    let s = if count == 1 { "" } else { "s" };
    if indent.chars().all(|c| c == ' ') {
        return format!("{count} blank{s}");
    }
    if indent.chars().all(|c| c == '\t') {
        return format!("{count} tab{s}");
    }
    "the same blanks and tabs".to_owned()
}
