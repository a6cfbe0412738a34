//! The options of `kinesis_firehose`.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, NetOptions, Options, PropertyBag};
use ikada_record::accessor::Accessor;

use super::compress::Compressor;
use super::encode::{Content, TimeKey};
use super::time::TimeFormat;
use crate::client::{AwsOptions, Destination};

/// Sends records to an Amazon Data Firehose delivery stream, each as a line of JSON.
#[derive(Debug, Clone, Options)]
#[options(output = "kinesis_firehose")]
pub struct FirehoseOptions {
    /// Name of the delivery stream.
    #[option(required, example = "web-logs")]
    pub delivery_stream: Spanned<String>,
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
    /// Joins lines into records as long as the service takes, which it bills by 5 KB each. Fluent Bit ends those
    /// with an empty line; here every line ends with one newline.
    #[option(default = "off")]
    pub simple_aggregation: bool,
    /// Compresses each record by itself.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<Compression>,
    /// Port of the endpoint, where `endpoint` does not hold one.
    #[option(example = "443")]
    pub port: Option<Spanned<u16>>,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Snappy; not supported.
    Snappy,
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) delivery_stream: String,
    pub(super) content: Content,
    pub(super) aggregate: bool,
    pub(super) compressor: Option<Compressor>,
    pub(super) destination: Destination,
}

impl FirehoseOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        self.check_name(diags);
        let content = self.content(bag, diags);
        let compressor = self.compressor(diags);
        let destination = self.aws.destination(self.port.as_ref(), bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        Some(Settled {
            delivery_stream: self.delivery_stream.value,
            content: content?,
            aggregate: self.simple_aggregation,
            compressor,
            destination: destination?,
        })
    }

    /// CreateDeliveryStream: 1 to 64 of `a-zA-Z0-9_.-`.
    fn check_name(&self, diags: &mut Diagnostics) {
        let name = &self.delivery_stream;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=64).contains(&name.value.len()) && name.value.bytes().all(allowed) {
            return;
        }
        let message = format!("`delivery_stream`: no delivery stream can be named `{}`", name.value);
        let found = Diagnostic::error(codes::BAD_VALUE, message).at(name.span);
        diags.push(found.help("a name is up to 64 letters, digits, `_`, `.` and `-`"));
    }

    fn content(&self, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<Content> {
        let format = &self.time_key_format;
        let Some(time) = TimeFormat::new(&format.value) else {
            let message = format!("`time_key_format`: `{}` holds a conversion that is none", format.value);
            diags.push(Diagnostic::error(codes::BAD_TIME_FORMAT, message).at(format.span));
            return None;
        };
        if self.time_key.is_none()
            && let Some(written) = bag.peek("time_key_format")
        {
            let message = "`time_key_format` has no effect without `time_key`";
            diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(written.key.span));
        }
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

    fn compressor(&self, diags: &mut Diagnostics) -> Option<Compressor> {
        match self.compression.value {
            Compression::None => None,
            Compression::Gzip => Some(Compressor::gzip()),
            Compression::Zstd => match Compressor::zstd() {
                Ok(compressor) => Some(compressor),
                Err(error) => {
                    let message = format!("`compression`: zstd cannot be set up: {error}");
                    diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(self.compression.span));
                    None
                }
            },
            Compression::Snappy => {
                let message = "`compression`: `snappy` is not supported";
                let found = Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(self.compression.span);
                diags.push(found.help("type `gzip` or `zstd`"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_set_is_sound() {
        check_set::<FirehoseOptions>();
    }
}
