//! Amazon CloudWatch Logs: records as log events, by both of its names.
//!
//! An entry becomes a message ([`message`], with metrics: [`emf`]; without what tells its entity: [`entity`]) in the text of a request ([`events`]), in the open batch of the group
//! and stream its tag or record names ([`names`], [`go_names`], [`batcher`]). A batch goes out as it lies there ([`sender`]); what the
//! service lacks is created then ([`create`]). `cloudwatch_logs` ([`options`]) and `cloudwatch` ([`go_options`]) differ in their options, in
//! how they spell JSON and in how names are made.
//!
//! | limit of a call | value | from |
//! |---|---|---|
//! | events | 10,000 | PutLogEvents, read 2026-11-22 |
//! | bytes | 1,048,576: messages as UTF-8 and 26 for each | same |
//! | message | 1,048,550: what fills a call alone; longer ones by the option `oversize` | same |
//! | order | by time, less than 24 hours apart | same |
//!
//! | answer | outcome |
//! |---|---|
//! | 200 | delivered; events counted in `rejectedLogEventsInfo` are dropped as `out_of_time`, or sent with another time (`late_events`) |
//! | `ResourceNotFoundException` | stream, and group if allowed, created; the same call again |
//! | network, timeout, throttling, 5xx | retry |
//! | expired token | repeated at once with new credentials, then retry |
//! | access denied, no group | retry at long intervals, with a message that says what to do |
//! | any other 4xx | the call is halved until the bad event stands alone; that one is dropped as `rejected` |

mod batcher;
mod create;
mod emf;
mod entity;
mod events;
mod go_names;
mod go_options;
mod message;
mod names;
mod options;
mod sender;

use std::sync::Arc;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

use batcher::Batcher;
use options::Settled;
use sender::Sender;

pub use crate::records::Oversize;
pub use go_options::GoCloudWatchOptions;
pub use options::{CloudWatchOptions, GroupClass, LateEvents};

/// The outputs as the registry knows them.
pub(crate) fn plugins() -> [OutputPlugin; 2] {
    [
        OutputPlugin { name: "cloudwatch_logs", aliases: &[], options: CloudWatchOptions::set, build },
        OutputPlugin { name: "cloudwatch", aliases: &[], options: GoCloudWatchOptions::set, build: build_go },
    ]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let options = CloudWatchOptions::parse(bag, diags)?;
    Some(make(options.settle(bag, cx.net.as_ref(), cx.service.json, diags)?, cx))
}

fn build_go(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    Some(make(GoCloudWatchOptions::parse(bag, diags)?.settle(bag, cx.net.as_ref(), diags)?, cx))
}

fn make(settled: Settled, cx: &BuildContext) -> Box<dyn Output> {
    let Settled { names, encoder, oversize, add_entity, destination, manner, task } = settled;
    destination.announce(cx);
    let sender = Sender::new(destination, manner, task, cx.service.clock.clone());
    Box::new(Batcher::new(encoder, names, oversize, add_entity, Arc::new(sender)))
}
