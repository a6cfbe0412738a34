//! The options of `kinesis_streams`, and of `kinesis`.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, Options, PropertyBag, Seconds};
use ikada_plugin::registry::BuildContext;

use crate::records::{
    Compression, Dice, GoLineOptions, GoManner, Joining, Keys, Kpl, LineOptions, Settled, check_stream_name,
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
    /// What is sent of a record, and where.
    #[option(flatten)]
    pub lines: LineOptions,
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
    /// Joins records as the Kinesis Producer Library does; its consumers take them apart by themselves.
    #[option(default = "off")]
    pub aggregation: bool,
    /// Compresses each record by itself, before records are joined.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<GoCompression>,
    /// Has no effect: as many calls go at once as the stream takes, and none is given up for it.
    #[option(no_effect)]
    pub experimental_concurrency: Option<u16>,
    /// Has no effect: records are sent again until `Retry_Limit`.
    #[option(no_effect)]
    pub experimental_concurrency_retries: Option<u16>,
    /// Time to wait for an answer; 0 leaves it at a minute.
    #[option(default = "0", example = "30")]
    pub http_request_timeout: Seconds,
    /// What is sent of a record, and where.
    #[option(flatten)]
    pub lines: GoLineOptions,
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

impl From<GoCompression> for Compression {
    fn from(choice: GoCompression) -> Self {
        match choice {
            GoCompression::None => Self::None,
            GoCompression::Zlib => Self::Zlib,
            GoCompression::Gzip => Self::Gzip,
        }
    }
}

impl KinesisOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_name(&self.stream, diags);
        let keys = keys(self.partition_key.as_ref(), Dice::with_prefix());
        let settled = self.lines.settle(self.stream.value, keys, bag, cx, diags)?;
        (diags.counts().errors == errors).then_some(settled)
    }
}

impl GoKinesisOptions {
    /// The same for the other family.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_name(&self.stream, diags);
        self.check_partition_key(diags);
        let compression = Spanned::new(self.compression.value.into(), self.compression.span);
        let manner = GoManner {
            newline: self.append_newline,
            compressor: Compression::compressor(&compression, diags),
            joining: if self.aggregation { Joining::Kpl(Kpl::default()) } else { Joining::Off },
            keys: keys(self.partition_key.as_ref(), Dice::new()),
            answer: Some(self.http_request_timeout.0).filter(|time| !time.is_zero()),
        };
        let settled = self.lines.settle(self.stream.value, manner, bag, cx, diags)?;
        (diags.counts().errors == errors).then_some(settled)
    }

    /// `log` is no key: it is as long as the line, and differs with every one.
    fn check_partition_key(&self, diags: &mut Diagnostics) {
        let Some(key) = self.partition_key.as_ref().filter(|key| key.value == "log") else { return };
        let found =
            Diagnostic::error(codes::BAD_VALUE, "`partition_key`: the line itself is no key").at(key.span);
        diags.push(found.help("remove it: each record then has a key of its own"));
    }
}

fn check_name(name: &Spanned<String>, diags: &mut Diagnostics) {
    check_stream_name("stream", "data stream", name, LONGEST_NAME, diags);
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
