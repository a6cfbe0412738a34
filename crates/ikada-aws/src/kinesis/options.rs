//! The options of `kinesis_streams`, and of `kinesis`.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, CommaList, NetOptions, Options, PropertyBag, Seconds};
use ikada_record::json::JsonStyle;

use crate::client::{AwsOptions, Destination};
use crate::records::{
    Compression, Content, Dice, GoFormat, Joining, Keys, Kpl, LineEncoder, Oversize, Recipe,
    check_stream_name, content, go_content,
};

/// Longest name of a data stream.
const LONGEST_NAME: usize = 128;

/// Sends records to an Amazon Kinesis data stream, each as a line of JSON.
#[derive(Debug, Clone, Options)]
#[options(output = "kinesis_streams")]
pub struct KinesisOptions {
    /// Name of the data stream.
    #[option(required, example = "web-logs")]
    pub stream: Spanned<String>,
    /// Field whose text is the partition key, which decides on the shard; `->` leads into maps. Without it, or where it is
    /// missing, each record has a key of its own. Fluent Bit has this option under the name `kinesis` only.
    #[option(example = "kubernetes->pod_name")]
    pub partition_key: Option<Spanned<String>>,
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
    /// Joins lines into records of up to 1 MiB, which saves the 1,000 records a second that a shard takes. All of a joined record
    /// goes under the key of its first line.
    #[option(default = "off")]
    pub simple_aggregation: bool,
    /// Compresses each record by itself.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<Compression>,
    /// What becomes of a record longer than 1 MiB: it is cut, goes in parts, or is dropped. Fluent Bit drops it.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Port of the endpoint, where `endpoint` does not hold one.
    #[option(example = "443")]
    pub port: Option<Spanned<u16>>,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// Sends records to an Amazon Kinesis data stream as the plugin of this name does: as JSON with its keys sorted.
#[derive(Debug, Clone, Options)]
#[options(output = "kinesis")]
pub struct GoKinesisOptions {
    /// Name of the data stream.
    #[option(required, example = "web-logs")]
    pub stream: Spanned<String>,
    /// Field whose text is the partition key, which decides on the shard; `->` leads into maps. Without it, or where it is
    /// missing, each record has a key of its own.
    #[option(example = "container_id")]
    pub partition_key: Option<Spanned<String>>,
    /// Ends each record with a newline.
    #[option(default = "off")]
    pub append_newline: bool,
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
    /// Joins records as the Kinesis Producer Library does; its consumers take them apart by themselves.
    #[option(default = "off")]
    pub aggregation: bool,
    /// Compresses each record by itself, before records are joined.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<GoCompression>,
    /// What becomes of a record longer than 1 MiB: it is cut, goes in parts, or is dropped.
    #[option(default = "truncate", example = "split")]
    pub oversize: Oversize,
    /// Has no effect: as many calls go at once as the stream takes, and none is given up for it.
    #[option(no_effect)]
    pub experimental_concurrency: Option<u16>,
    /// Has no effect: records are sent again until `Retry_Limit`.
    #[option(no_effect)]
    pub experimental_concurrency_retries: Option<u16>,
    /// Time to wait for an answer; 0 leaves it at a minute.
    #[option(default = "0", example = "30")]
    pub http_request_timeout: Seconds,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum GoCompression {
    /// Not at all.
    None,
    /// zlib.
    Zlib,
    /// gzip.
    Gzip,
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) stream: String,
    pub(super) recipe: Recipe,
    pub(super) destination: Destination,
}

impl KinesisOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        style: JsonStyle,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_stream_name("stream", "data stream", &self.stream, LONGEST_NAME, diags);
        let (log_key, time_key) = (self.log_key.as_ref(), self.time_key.as_ref());
        let content = content(log_key, time_key, &self.time_key_format, bag, diags);
        let compressor = Compression::compressor(&self.compression, diags);
        let destination = self.aws.destination(self.port.as_ref(), bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let dice = Dice::with_prefix();
        let recipe = Recipe {
            encoder: LineEncoder::new(content?, style),
            compressor,
            joining: if self.simple_aggregation { Joining::Lines } else { Joining::Off },
            keys: keys(self.partition_key.as_ref(), dice),
            oversize: self.oversize,
        };
        Some(Settled { stream: self.stream.value, recipe, destination: destination? })
    }
}

impl GoKinesisOptions {
    /// The same for the other family.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_stream_name("stream", "data stream", &self.stream, LONGEST_NAME, diags);
        self.check_partition_key(diags);
        let format = GoFormat {
            data_keys: self.data_keys.as_ref(),
            log_key: self.log_key.as_ref(),
            replace_dots: self.replace_dots.as_ref(),
            time_key: self.time_key.as_ref(),
            time_key_format: &self.time_key_format,
        };
        let content = go_content(format, bag, diags);
        let compression = match self.compression.value {
            GoCompression::None => Compression::None,
            GoCompression::Zlib => Compression::Zlib,
            GoCompression::Gzip => Compression::Gzip,
        };
        let compressor = Compression::compressor(&Spanned::new(compression, self.compression.span), diags);
        let answer = Some(self.http_request_timeout.0).filter(|time| !time.is_zero());
        let destination = self.aws.destination_as(None, answer, None, bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let mut content = content?;
        content.newline = self.append_newline;
        let recipe = Recipe {
            encoder: LineEncoder::new(Content::Go(content), JsonStyle::default()),
            compressor,
            joining: if self.aggregation { Joining::Kpl(Kpl::default()) } else { Joining::Off },
            keys: keys(self.partition_key.as_ref(), Dice::new()),
            oversize: self.oversize,
        };
        Some(Settled { stream: self.stream.value, recipe, destination: destination? })
    }

    /// `log` is no key: it is as long as the line, and differs with every one.
    fn check_partition_key(&self, diags: &mut Diagnostics) {
        let Some(key) = self.partition_key.as_ref().filter(|key| key.value == "log") else { return };
        let found =
            Diagnostic::error(codes::BAD_VALUE, "`partition_key`: the line itself is no key").at(key.span);
        diags.push(found.help("remove it: each record then has a key of its own"));
    }
}

fn keys(partition_key: Option<&Spanned<String>>, dice: Dice) -> Keys {
    match partition_key {
        Some(path) => Keys::field(&path.value, dice),
        None => Keys::Random(dice),
    }
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_sets_are_sound() {
        check_set::<KinesisOptions>();
        check_set::<GoKinesisOptions>();
    }
}
