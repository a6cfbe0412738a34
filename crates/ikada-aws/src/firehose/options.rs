//! The options of `kinesis_firehose`, and of `firehose`.

use ikada_diag::{Diagnostics, Spanned};
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;

use crate::records::{GoLineOptions, GoManner, Keys, LineOptions, Settled, check_stream_name, joined_lines};

/// Longest name of a delivery stream.
const LONGEST_NAME: usize = 64;

/// Sends records to an Amazon Data Firehose delivery stream, each as a line of JSON.
#[derive(Debug, Clone, Options)]
#[options(output = "kinesis_firehose")]
pub struct FirehoseOptions {
    /// Name of the delivery stream.
    #[option(required, example = "web-logs")]
    pub delivery_stream: Spanned<String>,
    /// What is sent of a record, and where.
    #[option(flatten)]
    pub lines: LineOptions,
}

/// Sends records to an Amazon Data Firehose delivery stream as the plugin of this name does: as a line of JSON with its keys sorted.
#[derive(Debug, Clone, Options)]
#[options(output = "firehose")]
pub struct GoFirehoseOptions {
    /// Name of the delivery stream.
    #[option(required, example = "web-logs")]
    pub delivery_stream: Spanned<String>,
    /// Joins lines into records as long as the service takes, which it bills by 5 KB each.
    #[option(default = "off")]
    pub simple_aggregation: bool,
    /// What is sent of a record, and where.
    #[option(flatten)]
    pub lines: GoLineOptions,
}

impl FirehoseOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_name(&self.delivery_stream, diags);
        let settled = self.lines.settle(self.delivery_stream.value, Keys::None, bag, cx, diags)?;
        (diags.counts().errors == errors).then_some(settled)
    }
}

impl GoFirehoseOptions {
    /// The same for the other family.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        check_name(&self.delivery_stream, diags);
        let manner = GoManner {
            newline: true,
            compressor: None,
            joining: joined_lines(self.simple_aggregation),
            keys: Keys::None,
            answer: None,
        };
        let settled = self.lines.settle(self.delivery_stream.value, manner, bag, cx, diags)?;
        (diags.counts().errors == errors).then_some(settled)
    }
}

fn check_name(name: &Spanned<String>, diags: &mut Diagnostics) {
    check_stream_name("delivery_stream", "delivery stream", name, LONGEST_NAME, diags);
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
