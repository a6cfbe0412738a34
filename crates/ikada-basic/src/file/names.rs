//! Which file an entry goes to.
//!
//! A name may hold references into the record (`$app['name']`) and, with `enable_strftime`, parts of the record's time. What comes out of a record
//! must not climb out of the directory it was meant for: separators and the like in it count as a missing field.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Choice, Spanned};
use ikada_record::accessor::{Part, Template, write_text};
use ikada_record::{Entry, Tag};

/// What to do with a record whose file cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Otherwise {
    /// Counts it as dropped, with a line in the log.
    Error,
    /// Counts it as dropped.
    Drop,
    /// Takes the fallback file.
    Fallback,
}

/// A text of a name: fixed, or made anew for each entry.
#[derive(Debug)]
struct Text {
    template: Template,
    /// Whether literal parts hold parts of the time.
    has_time: bool,
}

/// How files are named.
#[derive(Debug)]
pub(super) struct Names {
    path: Option<Text>,
    /// Without it, the tag.
    file: Option<Text>,
    pub(super) fallback: Option<PathBuf>,
    pub(super) on_missing: Otherwise,
    pub(super) on_limit: Otherwise,
    /// Files that records may name; 0 is no bound.
    limit: usize,
    known: HashSet<PathBuf>,
}

/// What the options say of names.
pub(super) struct NameOptions<'o> {
    pub(super) path: Option<&'o Spanned<String>>,
    pub(super) file: Option<&'o Spanned<String>>,
    pub(super) strftime: bool,
    pub(super) fallback_path: Option<&'o str>,
    pub(super) fallback_file: Option<&'o str>,
    pub(super) on_missing: Otherwise,
    pub(super) on_limit: Otherwise,
    pub(super) limit: usize,
}

/// Where an entry goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    /// Nowhere; the text says why, if that is to be told.
    Nowhere(Option<&'static str>),
}

impl Names {
    /// Checks the options; `None` when a finding was made.
    pub(super) fn new(options: &NameOptions<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let path = text(options.path, options.strftime, diagnostics)?;
        let file = text(options.file, options.strftime, diagnostics)?;
        let fallback =
            options.fallback_file.map(|file| Path::new(options.fallback_path.unwrap_or("")).join(file));
        let names = Self {
            path,
            file,
            fallback,
            on_missing: options.on_missing,
            on_limit: options.on_limit,
            limit: options.limit,
            known: HashSet::new(),
        };
        let wants_fallback = [options.on_missing, options.on_limit].contains(&Otherwise::Fallback);
        if names.fallback.is_none() && wants_fallback {
            let place = options.file.or(options.path).map(|text| text.span);
            let finding = Diagnostic::error(codes::MISSING_OPTION, "`fallback` needs a `fallback_file`");
            diagnostics.push(finding.at(place));
            return None;
        }
        Some(names)
    }

    /// Whether each entry may have a file of its own.
    pub(super) fn differ(&self) -> bool {
        [&self.path, &self.file].into_iter().flatten().any(|text| text.has_time || text.has_fields())
    }

    /// The file of a tag, where names do not differ by entry.
    pub(super) fn of_tag(&self, tag: &Tag) -> PathBuf {
        let fixed =
            |text: &Option<Text>| text.as_ref().and_then(|text| text.template.as_text().map(PathBuf::from));
        let directory = fixed(&self.path).unwrap_or_default();
        directory.join(fixed(&self.file).unwrap_or_else(|| safe_name(tag)))
    }

    /// The file of a tag for people; what depends on an entry is shown as it is written.
    pub(super) fn shown(&self, tag: &Tag) -> PathBuf {
        let written = |text: &Text| PathBuf::from(text.template.to_string());
        let directory = self.path.as_ref().map(written).unwrap_or_default();
        directory.join(self.file.as_ref().map_or_else(|| safe_name(tag), written))
    }

    /// The file of an entry.
    pub(super) fn of_entry(&mut self, tag: &Tag, entry: &Entry<'_>) -> Place {
        let Some(path) = self.named(tag, entry) else {
            return self.otherwise(self.on_missing, "a record lacks what its file is named after");
        };
        if !self.known.contains(&path) {
            if self.limit > 0 && self.known.len() >= self.limit {
                return self.otherwise(self.on_limit, "records name more files than `max_dynamic_files`");
            }
            self.known.insert(path.clone());
        }
        Place::File(path)
    }

    fn named(&self, tag: &Tag, entry: &Entry<'_>) -> Option<PathBuf> {
        let directory = match &self.path {
            None => PathBuf::new(),
            Some(text) => PathBuf::from(text.render(tag, entry, false)?),
        };
        let file = match &self.file {
            None => safe_name(tag),
            Some(text) => PathBuf::from(text.render(tag, entry, true)?),
        };
        Some(directory.join(file))
    }

    fn otherwise(&self, action: Otherwise, why: &'static str) -> Place {
        match (action, &self.fallback) {
            (Otherwise::Fallback, Some(fallback)) => Place::File(fallback.clone()),
            (Otherwise::Drop, _) => Place::Nowhere(None),
            _ => Place::Nowhere(Some(why)),
        }
    }
}

/// `Some(None)` where nothing is given.
fn text(
    text: Option<&Spanned<String>>,
    strftime: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Text>> {
    let Some(text) = text else { return Some(None) };
    let bad = |message: String| Diagnostic::error(codes::BAD_VALUE, message).at(text.span);
    let template = match Template::new(&text.value) {
        Ok(template) => template,
        Err(error) => {
            diagnostics.push(bad(error.message));
            return None;
        }
    };
    let literals = || {
        template.parts().iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None })
    };
    let has_time = strftime && literals().any(|text| text.contains('%'));
    if has_time
        && literals().flat_map(|text| StrftimeItems::new(text)).any(|item| matches!(item, Item::Error))
    {
        diagnostics.push(bad("a `%` stands before what is no part of a time".to_owned()));
        return None;
    }
    Some(Some(Text { template, has_time }))
}

impl Text {
    fn has_fields(&self) -> bool {
        self.template.parts().iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The text for an entry, `None` if the record lacks something or has what may not stand in a name.
    fn render(&self, tag: &Tag, entry: &Entry<'_>, is_file: bool) -> Option<String> {
        let mut out = String::new();
        for part in self.template.parts() {
            let mut value = Vec::new();
            match part {
                Part::Text(text) if self.has_time => write!(out, "{}", time(entry)?.format(text)).ok()?,
                Part::Text(text) => out.push_str(text),
                Part::Tag => value.extend_from_slice(tag.as_bytes()),
                Part::TagPart(n) => value.extend_from_slice(tag.part(*n)?),
                Part::Field(accessor) => write_text(&mut value, accessor.lookup_map_raw(entry.record())?),
                _ => return None,
            }
            if !matches!(part, Part::Text(_)) {
                let value = String::from_utf8(value).ok().filter(|value| is_safe(value, is_file))?;
                out.push_str(&value);
            }
        }
        (!out.is_empty() && out != "." && out != "..").then_some(out)
    }
}

fn time(entry: &Entry<'_>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(entry.time().secs(), entry.time().nanos())
}

/// Whether what came out of a record may stand in a name.
fn is_safe(value: &str, is_file: bool) -> bool {
    let odd = |c: char| {
        c.is_control() || (is_file && matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
    };
    let climbs = value.split(['/', '\\']).any(|part| part == "." || part == "..");
    !value.is_empty() && !value.chars().any(odd) && !climbs && !value.starts_with('/')
}

/// The tag as a relative path that stays below the directory: `.` and `..` parts and odd characters become `_`.
fn safe_name(tag: &Tag) -> PathBuf {
    let text = String::from_utf8_lossy(tag.as_bytes());
    let part = |part: &str| match part {
        "" | "." | ".." => "_".to_owned(),
        part => part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
            .collect(),
    };
    let name: PathBuf = text.split('/').filter(|part| !part.is_empty()).map(part).collect();
    if name.as_os_str().is_empty() { PathBuf::from("_") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_cannot_climb_out_of_the_directory() {
        assert_eq!(safe_name(&Tag::from("../../etc/pass wd")), PathBuf::from("_/_/etc/pass_wd"));
        assert_eq!(safe_name(&Tag::from("/abs")), PathBuf::from("abs"));
        assert_eq!(safe_name(&Tag::from("")), PathBuf::from("_"));
    }

    #[test]
    fn what_comes_out_of_a_record_cannot_either() {
        for (value, is_file, is_fine) in [
            ("web", true, true),
            ("a/b", true, false),
            ("a/b", false, true),
            ("a/../b", false, false),
            ("..", true, false),
            ("/etc", false, false),
            ("a\nb", false, false),
            ("", true, false),
        ] {
            assert_eq!(is_safe(value, is_file), is_fine, "{value:?}");
        }
    }
}
