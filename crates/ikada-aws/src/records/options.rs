//! What the options of the four outputs come to that they have in common.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, CommaList, PropertyBag};
use ikada_record::accessor::Accessor;

use super::compress::Compressor;
use super::encode::{Content, GoContent, TimeKey};
use super::time::{Dialect, TimeFormat};
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

/// What the C family sends.
pub(crate) fn content(
    log_key: Option<&Spanned<String>>,
    time_key: Option<&Spanned<String>>,
    format: &Spanned<String>,
    bag: &PropertyBag,
    diags: &mut Diagnostics,
) -> Option<Content> {
    let time = time_format(format, Dialect::C, diags)?;
    note_idle_format(time_key, bag, diags);
    match (log_key, time_key) {
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

/// What the Go family sends, newlines left to the caller.
pub(crate) fn go_content(
    options: GoFormat<'_>,
    bag: &PropertyBag,
    diags: &mut Diagnostics,
) -> Option<GoContent> {
    let time = time_format(options.time_key_format, Dialect::Go, diags)?;
    note_idle_format(options.time_key, bag, diags);
    if let (Some(log), Some(keys)) = (options.log_key, options.data_keys)
        && !keys.value.0.contains(&log.value)
    {
        let message = format!("`data_keys` leaves out `{}`, which is all that is sent", log.value);
        let found = Diagnostic::warning(codes::CONFLICTING_OPTIONS, message).at(keys.span);
        diags.push(found.help("remove `data_keys`: `log_key` alone is enough"));
    }
    Some(GoContent {
        data_keys: options.data_keys.map(|keys| keys.value.0.clone()).filter(|keys| !keys.is_empty()),
        json: GoJson { replace_dots: options.replace_dots.map(|dot| dot.value.clone()) },
        time: options.time_key.map(|key| (key.value.clone(), time)),
        log_key: options.log_key.map(|key| key.value.clone()),
        ..GoContent::default()
    })
}

/// The options of the Go family that say what is sent.
pub(crate) struct GoFormat<'a> {
    pub(crate) data_keys: Option<&'a Spanned<CommaList>>,
    pub(crate) log_key: Option<&'a Spanned<String>>,
    pub(crate) replace_dots: Option<&'a Spanned<String>>,
    pub(crate) time_key: Option<&'a Spanned<String>>,
    pub(crate) time_key_format: &'a Spanned<String>,
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
