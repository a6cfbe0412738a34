//! The options that outputs of records have in common, in each of the two families, and what they come to.

use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, CommaList, Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_record::accessor::Accessor;
use ikada_record::json::JsonStyle;

use super::batcher::{Joining, Recipe};
use super::compress::Compressor;
use super::encode::{Content, GoContent, LineEncoder, TimeKey};
use super::keys::Keys;
use super::stream::Settled;
use super::time::{Dialect, TimeFormat};
use crate::client::AwsOptions;
use crate::gojson::GoJson;

/// What becomes of a record that is longer than the service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum Oversize {
    /// It is cut and ends in `[Truncated...]`.
    Truncate,
    /// It goes as several records, each of which says which part it is.
    Split,
    /// It is dropped and counted as `oversize`.
    Drop,
}

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zlib.
    Zlib,
    /// Zstandard.
    Zstd,
    /// Snappy's raw block format.
    Snappy,
}

impl Compression {
    /// The compressor, `None` for none.
    pub(crate) fn compressor(choice: &Spanned<Self>, diags: &mut Diagnostics) -> Option<Compressor> {
        match choice.value {
            Self::None => None,
            Self::Gzip => Some(Compressor::gzip()),
            Self::Zlib => Some(Compressor::zlib()),
            Self::Snappy => Some(Compressor::snappy()),
            Self::Zstd => match Compressor::zstd() {
                Ok(compressor) => Some(compressor),
                Err(error) => {
                    let message = format!("`compression`: zstd cannot be set up: {error}");
                    diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(choice.span));
                    None
                }
            },
        }
    }
}

/// Checks that a stream can have this name: up to `longest` of `a-zA-Z0-9_.-` (CreateDeliveryStream, CreateStream).
pub(crate) fn check_stream_name(
    option: &str,
    kind: &str,
    name: &Spanned<String>,
    longest: usize,
    diags: &mut Diagnostics,
) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=longest).contains(&name.value.len()) && name.value.bytes().all(allowed) {
        return;
    }
    let message = format!("`{option}`: no {kind} can be named `{}`", name.value);
    let found = Diagnostic::error(codes::BAD_VALUE, message).at(name.span);
    diags.push(found.help(format!("a name is up to {longest} letters, digits, `_`, `.` and `-`")));
}

/// What is sent of a record as `kinesis_firehose` and `kinesis_streams` have it, and where.
#[derive(Debug, Clone, Options)]
#[options(common = "lines")]
pub struct LineOptions {
    /// Sends the value of this key instead of the whole record: text as it is, anything else as JSON. The name must match exactly, and
    /// text is not escaped; Fluent Bit takes every key that this name starts with and clips what is no text.
    #[option(example = "log")]
    pub log_key: Option<Spanned<String>>,
    /// Adds the time of the entry to its record, under this key. A field of that name gives way.
    #[option(example = "time")]
    pub time_key: Option<Spanned<String>>,
    /// Format of that time, in UTC: `strftime`, and `%3N` for milliseconds, `%9N` or `%L` for nanoseconds.
    #[option(default = "%Y-%m-%dT%H:%M:%S", example = "%Y-%m-%dT%H:%M:%S.%3NZ")]
    pub time_key_format: Spanned<String>,
    /// Joins lines into records as long as the service takes. Firehose bills records by 5 KB each; a shard of Kinesis takes 1,000 of
    /// them a second, and all of a joined record goes under the key of its first line. Fluent Bit ends joined records with an empty
    /// line; here every line ends with one newline.
    #[option(default = "off")]
    pub simple_aggregation: bool,
    /// Compresses each record by itself.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<Compression>,
    /// What becomes of a record longer than the service takes (Firehose 1,000 KiB, Kinesis 1 MiB): it is cut, goes in parts, or is
    /// dropped. Fluent Bit drops it.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Port of the endpoint, where `endpoint` does not hold one.
    #[option(example = "443")]
    pub port: Option<Spanned<u16>>,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// What is sent of a record as `firehose` and `kinesis` have it, and where.
#[derive(Debug, Clone, Options)]
#[options(common = "lines of Go")]
pub struct GoLineOptions {
    /// Keys that are kept of a record, with commas between them. The time of `time_key` stays whatever stands here; the plugin
    /// written in Go drops it.
    #[option(example = "log,container_name")]
    pub data_keys: Option<Spanned<CommaList>>,
    /// Sends the value of this key instead of the whole record: text as it is, anything else as JSON.
    #[option(example = "log")]
    pub log_key: Option<Spanned<String>>,
    /// Stands for each dot in the names of keys.
    #[option(example = "_")]
    pub replace_dots: Option<Spanned<String>>,
    /// Adds the time of the entry to its record, under this key. A field of that name gives way.
    #[option(example = "time")]
    pub time_key: Option<Spanned<String>>,
    /// Format of that time, in the machine's zone: `strftime`, and `%L` for milliseconds, `%f` for microseconds.
    #[option(default = "%Y-%m-%dT%H:%M:%S", example = "%Y-%m-%dT%H:%M:%S.%L")]
    pub time_key_format: Spanned<String>,
    /// What becomes of a record longer than the service takes (Firehose 1,000 KiB, Kinesis 1 MiB): it is cut, goes in parts, or is
    /// dropped.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// What `firehose` and `kinesis` say each in their own way.
pub(crate) struct GoManner {
    /// Whether a line ends with a newline.
    pub(crate) newline: bool,
    pub(crate) compressor: Option<Compressor>,
    pub(crate) joining: Joining,
    pub(crate) keys: Keys,
    /// How long an answer may take, where the output has an option of its own for that.
    pub(crate) answer: Option<Duration>,
}

impl LineOptions {
    /// Checks the options against each other.
    pub(crate) fn settle(
        self,
        stream: String,
        keys: Keys,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        let content = self.content(bag, diags);
        let compressor = Compression::compressor(&self.compression, diags);
        let destination = self.aws.destination(self.port.as_ref(), bag, cx.net.as_ref(), diags);
        if diags.counts().errors > errors {
            return None;
        }
        let recipe = Recipe {
            encoder: LineEncoder::new(content?, cx.service.json),
            compressor,
            joining: joined_lines(self.simple_aggregation),
            keys,
            oversize: self.oversize,
        };
        Some(Settled { stream, recipe, destination: destination? })
    }

    fn content(&self, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<Content> {
        let time = time_format(&self.time_key_format, Dialect::C, diags)?;
        note_idle_format(self.time_key.as_ref(), bag, diags);
        match (&self.log_key, &self.time_key) {
            (Some(_), Some(key)) => {
                let message = "`log_key` and `time_key` exclude each other";
                let found = Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(key.span);
                diags.push(found.help("remove one of them"));
                None
            }
            (Some(key), None) => Some(Content::Key(Accessor::exact(&key.value))),
            (None, Some(key)) => Some(Content::Timed(TimeKey::new(&key.value, time))),
            (None, None) => Some(Content::Record),
        }
    }
}

impl GoLineOptions {
    /// Checks the options against each other.
    pub(crate) fn settle(
        self,
        stream: String,
        manner: GoManner,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        let content = self.content(manner.newline, bag, diags);
        let destination = self.aws.destination_as(None, manner.answer, None, bag, cx.net.as_ref(), diags);
        if diags.counts().errors > errors {
            return None;
        }
        let recipe = Recipe {
            encoder: LineEncoder::new(Content::Go(content?), JsonStyle::default()),
            compressor: manner.compressor,
            joining: manner.joining,
            keys: manner.keys,
            oversize: self.oversize,
        };
        Some(Settled { stream, recipe, destination: destination? })
    }

    fn content(&self, newline: bool, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<GoContent> {
        let time = time_format(&self.time_key_format, Dialect::Go, diags)?;
        note_idle_format(self.time_key.as_ref(), bag, diags);
        if let (Some(log), Some(keys)) = (&self.log_key, &self.data_keys)
            && !keys.value.0.contains(&log.value)
        {
            let message = format!("`data_keys` leaves out `{}`, which is all that is sent", log.value);
            let found = Diagnostic::warning(codes::CONFLICTING_OPTIONS, message).at(keys.span);
            diags.push(found.help("remove `data_keys`: `log_key` alone is enough"));
        }
        Some(GoContent {
            data_keys: self
                .data_keys
                .as_ref()
                .map(|keys| keys.value.0.clone())
                .filter(|keys| !keys.is_empty()),
            json: GoJson { replace_dots: self.replace_dots.as_ref().map(|dot| dot.value.clone()) },
            time: self.time_key.as_ref().map(|key| (key.value.clone(), time)),
            log_key: self.log_key.as_ref().map(|key| key.value.clone()),
            newline,
            ..GoContent::default()
        })
    }
}

/// How `simple_aggregation` joins lines.
pub(crate) fn joined_lines(is_on: bool) -> Joining {
    if is_on { Joining::Lines } else { Joining::Off }
}

fn time_format(format: &Spanned<String>, dialect: Dialect, diags: &mut Diagnostics) -> Option<TimeFormat> {
    let time = TimeFormat::new(&format.value, dialect);
    if time.is_none() {
        let message = format!("`time_key_format`: `{}` holds a conversion that is none", format.value);
        diags.push(Diagnostic::error(codes::BAD_TIME_FORMAT, message).at(format.span));
    }
    time
}

fn note_idle_format(time_key: Option<&Spanned<String>>, bag: &PropertyBag, diags: &mut Diagnostics) {
    if time_key.is_none()
        && let Some(written) = bag.peek("time_key_format")
    {
        let message = "`time_key_format` has no effect without `time_key`";
        diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(written.key.span));
    }
}
