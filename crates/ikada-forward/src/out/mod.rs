//! The output: entries to other routers, in frames.
//!
//! Entries of one tag gather until a frame is full or due. The frame's shape follows the options (reference, outputs §7.4):
//!
//! | options | frame |
//! |---|---|
//! | none | `[tag, [[[EventTime, {}], record], …]]` |
//! | `retain_metadata_in_forward_mode off` | `[tag, [[EventTime, record], …]]` |
//! | `time_as_integer on` | `[tag, [[seconds, record], …]]` |
//! | `compress` | `[tag, bin of the compressed entries, {"size", "compressed", "fluent_signal"}]` |
//! | `tag` with references into the record | `[tag, EventTime, record, {"fluent_signal": 0}]` for each entry |
//!
//! `send_options`, `require_ack_response` and `add_option` put a map `{"chunk", "size", "fluent_signal", …}` behind the first three.
//!
//! **When entries count as delivered.** With `require_ack_response`, when the server has answered with the frame's token; without it, when the kernel has
//! taken the bytes. A frame keeps its token however often it is sent. Without answers the frames of a tag go one after another; with
//! answers several are under way at once.
//!
//! **Several servers** (`upstream`) take turns. One that cannot be reached is left alone for a while, and the next one is asked at once.
//!
//! In reading order: `options`, `upstream` (the file with several servers), `encode` and `batch` (no I/O), `node` (a server and its connections),
//! `send` (one attempt).

mod batch;
mod encode;
mod node;
mod options;
mod send;
mod upstream;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

pub use options::{Compress, ExtraOption, ForwardOutOptions};

/// The outputs of this crate.
#[must_use]
pub fn outputs() -> Vec<OutputPlugin> {
    vec![OutputPlugin { name: "forward", aliases: &[], options: ForwardOutOptions::set, build }]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let options = ForwardOutOptions::parse(bag, diags)?;
    let settled = options.settle(bag, cx, diags)?;
    Some(Box::new(batch::ForwardOut::new(settled)))
}
