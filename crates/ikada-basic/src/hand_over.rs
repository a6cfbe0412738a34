//! How inputs that gather entries hand them over.

use ikada_plugin::{Dispatch, Gatherer, InputContext, OnFull};
use ikada_record::Receipt;
use tokio::time::Instant;

/// Hands over chunks that are full. Outputs may wait for more until the flush that the gatherer waits for.
pub(crate) async fn full(cx: &InputContext, gatherer: &mut Gatherer, on_full: OnFull) {
    let due = gatherer.due().unwrap_or_else(Instant::now);
    while let Some(builder) = gatherer.pop_full() {
        let chunk = builder.finish(Receipt::unwatched());
        cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full }).await;
    }
}

/// Hands over everything, for outputs to send it at once: the flush has come, or nothing more will.
pub(crate) async fn all(cx: &InputContext, gatherer: &mut Gatherer, on_full: OnFull) {
    let due = Instant::now();
    for builder in gatherer.take_all() {
        let chunk = builder.finish(Receipt::unwatched());
        cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full }).await;
    }
}

/// Hands over everything, for outputs to send it with what else comes until the flush.
pub(crate) async fn at_flush(cx: &InputContext, gatherer: &mut Gatherer, on_full: OnFull) {
    let due = gatherer.due().unwrap_or_else(Instant::now);
    for builder in gatherer.take_all() {
        let chunk = builder.finish(Receipt::unwatched());
        cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full }).await;
    }
}
