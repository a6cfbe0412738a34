//! The options of `kinesis_firehose`, and of `firehose`.

use ikada_diag::{Diagnostics, Spanned};
use ikada_options::{CommaList, NetOptions, Options, PropertyBag};

use crate::client::{AwsOptions, Destination};
use crate::records::{
    Compression, Content, GoFormat, Joining, Keys, LineEncoder, Oversize, Recipe, check_stream_name, content,
    go_content,
};
use ikada_record::json::JsonStyle;

/// Longest name of a delivery stream.
const LONGEST_NAME: usize = 64;

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
    /// What becomes of a record longer than 1,000 KiB: it is cut, goes in parts, or is dropped. Fluent Bit drops it.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Port of the endpoint, where `endpoint` does not hold one.
    #[option(example = "443")]
    pub port: Option<Spanned<u16>>,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// Sends records to an Amazon Data Firehose delivery stream as the plugin of this name does: as a line of JSON with its keys sorted.
#[derive(Debug, Clone, Options)]
#[options(output = "firehose")]
pub struct GoFirehoseOptions {
    /// Name of the delivery stream.
    #[option(required, example = "web-logs")]
    pub delivery_stream: Spanned<String>,
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
    /// Joins lines into records as long as the service takes, which it bills by 5 KB each.
    #[option(default = "off")]
    pub simple_aggregation: bool,
    /// What becomes of a record longer than 1,000 KiB: it is cut, goes in parts, or is dropped.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) delivery_stream: String,
    pub(super) recipe: Recipe,
    pub(super) destination: Destination,
}

impl FirehoseOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        style: JsonStyle,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_stream_name("delivery_stream", "delivery stream", &self.delivery_stream, LONGEST_NAME, diags);
        let (log_key, time_key) = (self.log_key.as_ref(), self.time_key.as_ref());
        let content = content(log_key, time_key, &self.time_key_format, bag, diags);
        let compressor = Compression::compressor(&self.compression, diags);
        let destination = self.aws.destination(self.port.as_ref(), bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let recipe = Recipe {
            encoder: LineEncoder::new(content?, style),
            compressor,
            joining: joining(self.simple_aggregation),
            keys: Keys::None,
            oversize: self.oversize,
        };
        Some(Settled { delivery_stream: self.delivery_stream.value, recipe, destination: destination? })
    }
}

impl GoFirehoseOptions {
    /// The same for the other family.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_stream_name("delivery_stream", "delivery stream", &self.delivery_stream, LONGEST_NAME, diags);
        let format = GoFormat {
            data_keys: self.data_keys.as_ref(),
            log_key: self.log_key.as_ref(),
            replace_dots: self.replace_dots.as_ref(),
            time_key: self.time_key.as_ref(),
            time_key_format: &self.time_key_format,
        };
        let content = go_content(format, bag, diags);
        let destination = self.aws.destination(None, bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let mut content = content?;
        content.newline = true;
        let recipe = Recipe {
            encoder: LineEncoder::new(Content::Go(content), JsonStyle::default()),
            compressor: None,
            joining: joining(self.simple_aggregation),
            keys: Keys::None,
            oversize: self.oversize,
        };
        Some(Settled { delivery_stream: self.delivery_stream.value, recipe, destination: destination? })
    }
}

fn joining(is_on: bool) -> Joining {
    if is_on { Joining::Lines } else { Joining::Off }
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_sets_are_sound() {
        check_set::<FirehoseOptions>();
        check_set::<GoFirehoseOptions>();
    }
}
