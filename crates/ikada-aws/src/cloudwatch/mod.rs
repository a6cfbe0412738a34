//! Amazon CloudWatch Logs: records as log events.
//!
//! An entry becomes a message ([`message`]) in the text of a request ([`events`]), in the open batch of the group and stream its tag
//! or record names ([`names`], [`batcher`]). A batch goes out as it lies there ([`sender`]); what the service lacks is
//! created then ([`create`]).
//!
//! | limit of a call | value | from |
//! |---|---|---|
//! | events | 10,000 | PutLogEvents, read 2026-11-22 |
//! | bytes | 1,048,576: messages as UTF-8 and 26 for each | same |
//! | message | 1,048,550: what fills a call alone; longer ones are cut and end in `[Truncated...]` | same |
//! | order | by time, less than 24 hours apart | same |
//!
//! | answer | outcome |
//! |---|---|
//! | 200 | delivered; events counted in `rejectedLogEventsInfo` are dropped as `out_of_time` |
//! | `ResourceNotFoundException` | stream, and group if allowed, created; the same call again |
//! | network, timeout, throttling, 5xx | retry |
//! | expired token | repeated at once with new credentials, then retry |
//! | access denied, no group | retry at long intervals, with a message that says what to do |
//! | any other 4xx | the call is halved until the bad event stands alone; that one is dropped as `rejected` |

mod batcher;
mod create;
mod events;
mod message;
mod names;
mod options;
mod sender;

use std::sync::Arc;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

use batcher::Batcher;
use message::MessageEncoder;
use sender::Sender;

pub use options::{CloudWatchOptions, GroupClass};

/// The output as the registry knows it.
pub(crate) fn plugin() -> OutputPlugin {
    OutputPlugin { name: "cloudwatch_logs", aliases: &[], options: CloudWatchOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = CloudWatchOptions::parse(bag, diags)?.settle(bag, cx.net.as_ref(), diags)?;
    let encoder = MessageEncoder::new(settled.log_key.as_deref(), cx.service.json);
    let sender =
        Sender::new(settled.destination, settled.creation, settled.log_format, settled.extra_user_agent);
    Some(Box::new(Batcher::new(encoder, settled.names, Arc::new(sender))))
}
