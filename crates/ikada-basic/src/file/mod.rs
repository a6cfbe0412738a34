//! Appends records to files.
//!
//! A file that cannot be opened or written is a destination that is down: the text waits and is tried again, where
//! Fluent Bit drops the chunk (reference, outputs §7.3). A write that was cut short goes on where it stopped.
//!
//! In reading order: `names` (which file), `format` (what is written), `append` (how).

mod append;
mod format;
mod names;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{ByteSize, OptionValue, Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, InstanceId, Output, Routed};
use ikada_record::{DropReason, Entry, Tag, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use crate::text::TextBatch;
use append::{Append, How, Rotation};
use format::{Writer, pieces};
use names::{NameOptions, Names, Place};

pub use format::{Delimiter, FileFormat};
pub use names::Otherwise;

/// Appends records to files.
#[derive(Debug, Options)]
#[options(output = "file")]
pub struct FileOptions {
    /// Directory of the files; the working directory when it is not given. References as `$app['name']` are filled in from each record.
    #[option(example = "/var/log/ikada")]
    pub path: Option<Spanned<String>>,
    /// Name of the file; the tag when it is not given. References are filled in from each record.
    #[option(example = "app.log")]
    pub file: Option<Spanned<String>>,
    /// Fills parts of the record's time (UTC) into `path` and `file`: `%Y-%m-%d`.
    #[option(default = "off")]
    pub enable_strftime: bool,
    /// Files that references may name; 0 is no bound.
    #[option(default = "1024")]
    pub max_dynamic_files: usize,
    /// What to do with a record that lacks what its file is named after.
    #[option(default = "error")]
    pub on_missing_field: Otherwise,
    /// What to do with a record that would be one file too many.
    #[option(default = "error")]
    pub on_limit_reached: Otherwise,
    /// Directory of the fallback file.
    #[option(example = "/var/log/ikada")]
    pub fallback_path: Option<String>,
    /// File for records whose own cannot be named.
    #[option(example = "other.log")]
    pub fallback_file: Option<String>,
    /// Makes directories that do not exist.
    #[option(default = "off")]
    pub mkdir: bool,
    /// How records are written.
    #[option(default = "out_file")]
    pub format: FileFormat,
    /// What stands between fields in csv and ltsv.
    #[option(example = "tab")]
    pub delimiter: Option<Delimiter>,
    /// What stands between label and value in ltsv: `tab`, `space`, `comma`, or the text itself.
    #[option(example = ":")]
    pub label_delimiter: Option<String>,
    /// Begins a csv file with the names of its columns, made of its first record.
    #[option(default = "off")]
    pub csv_column_names: bool,
    /// Text of a line in the format `template`; `{key}` stands for a field, `{time}` for the time.
    #[option(default = "{time} {message}")]
    pub template: String,
    /// Renames a file when it is full.
    #[option(default = "off")]
    pub rotate: bool,
    /// Size at which a file is full.
    #[option(default = "100M")]
    pub rotate_max_size: ByteSize,
    /// Full files that are kept.
    #[option(default = "7")]
    pub rotate_max_files: usize,
    /// Compresses full files with gzip.
    #[option(default = "on")]
    pub rotate_gzip: bool,
}

struct FileOutput {
    id: Arc<InstanceId>,
    names: Names,
    how: How,
    names_columns: bool,
    writer: Writer,
    open: BTreeMap<PathBuf, Open>,
}

/// What goes into one file.
#[derive(Default)]
struct Open {
    header: Vec<u8>,
    batch: TextBatch,
}

/// What a delimiter's name stands for; any other text stands for itself.
fn label_delimiter(written: Option<String>) -> String {
    let Some(text) = written else { return ":".to_owned() };
    match Delimiter::parse_value(&text) {
        Ok(named) => char::from(named.byte()).to_string(),
        Err(_) => text,
    }
}

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    let options = FileOptions::parse(bag, diagnostics)?;
    let delimiter = match options.delimiter {
        Some(named) => named.byte(),
        None if options.format == FileFormat::Ltsv => b'\t',
        None => b',',
    };
    let names = Names::new(
        &NameOptions {
            path: options.path.as_ref(),
            file: options.file.as_ref(),
            strftime: options.enable_strftime,
            fallback_path: options.fallback_path.as_deref(),
            fallback_file: options.fallback_file.as_deref(),
            on_missing: options.on_missing_field,
            on_limit: options.on_limit_reached,
            limit: options.max_dynamic_files,
        },
        diagnostics,
    )?;
    let rotation = options.rotate.then_some(Rotation {
        size: options.rotate_max_size.0.max(1),
        keep: options.rotate_max_files,
        gzip: options.rotate_gzip,
    });
    let writer = Writer {
        format: options.format,
        delimiter,
        label_delimiter: label_delimiter(options.label_delimiter),
        template: pieces(&options.template),
        style: cx.service.json,
    };
    Some(Box::new(FileOutput {
        id: cx.id.clone(),
        names,
        how: How { mkdir: options.mkdir, is_lines: options.format != FileFormat::Msgpack, rotation },
        names_columns: options.csv_column_names && options.format == FileFormat::Csv,
        writer,
        open: BTreeMap::new(),
    }))
}

impl FileOutput {
    /// Writes entries that have files of their own.
    fn push_each(&mut self, routed: &Routed) {
        let mut refused: Option<&str> = None;
        for entry in routed.chunk.entries() {
            match self.names.of_entry(routed.chunk.tag(), &entry) {
                Place::File(path) => {
                    let open = self.open.entry(path).or_default();
                    write(&self.writer, self.names_columns, open, routed, &entry);
                    open.batch.add_entries(routed, 1);
                }
                Place::Nowhere(why) => {
                    routed.share.drop_entries(1, DropReason::Rejected);
                    refused = refused.or(why);
                }
            }
        }
        if let Some(why) = refused {
            warn!(instance = %self.id, "records were dropped: {why}");
        }
    }
}

fn write(writer: &Writer, names_columns: bool, open: &mut Open, routed: &Routed, entry: &Entry<'_>) {
    if names_columns && open.header.is_empty() && !entry.record().is_empty() {
        open.header = writer.column_names(entry);
    }
    writer.write(&mut open.batch.text, routed.chunk.tag(), entry);
}

impl Output for FileOutput {
    fn names(&self, tag: &Tag, _: Timestamp) -> Vec<(&'static str, String)> {
        vec![("file", self.names.shown(tag).display().to_string())]
    }

    fn push(&mut self, routed: Routed, _: Instant) {
        if self.names.differ() {
            self.push_each(&routed);
            return;
        }
        let open = self.open.entry(self.names.of_tag(routed.chunk.tag())).or_default();
        for entry in routed.chunk.entries() {
            write(&self.writer, self.names_columns, open, &routed, &entry);
        }
        open.batch.add(&routed);
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        let how = self.how;
        let (path, batch) = self.open.iter_mut().find_map(|(path, open)| {
            let (target, header) = (path.clone(), &mut open.header);
            let made = open.batch.take(now, Some(lane(path)), |text| {
                Box::new(Append::new(target, how, std::mem::take(header), text))
            })?;
            Some((path.clone(), made))
        })?;
        self.open.remove(&path);
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.batch.due()).min()
    }

    fn close_all(&mut self) {
        self.open.values_mut().for_each(|open| open.batch.close());
    }

    fn held(&self) -> usize {
        self.open.values().map(|open| open.batch.held()).sum()
    }
}

/// One lane a file: appends must not overtake each other.
fn lane(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
