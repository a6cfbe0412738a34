//! Counts records, and says on standard output how many there were.

use std::io::Write;
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, Clock, Output, Routed};
use tokio::time::Instant;

use crate::stdout::Print;
use crate::text::TextBatch;

/// Counts records: one line on standard output for each chunk, with its number of records and the sum so far.
#[derive(Debug, Options)]
#[options(output = "counter")]
pub struct CounterOptions {}

struct Counter {
    total: u64,
    clock: Arc<dyn Clock>,
    batch: TextBatch,
}

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    CounterOptions::parse(bag, diagnostics)?;
    Some(Box::new(Counter { total: 0, clock: cx.service.clock.clone(), batch: TextBatch::default() }))
}

impl Output for Counter {
    /// The line is that of Fluent Bit 5 (reference, outputs §7.2).
    fn push(&mut self, routed: Routed, _: Instant) {
        let records = routed.chunk.len();
        self.total += records as u64;
        let now = self.clock.now();
        writeln!(
            self.batch.text,
            "{{\"ts\":{}.{:06},\"serialized_events\":{records},\"log_records\":{records},\"total\":{}}}",
            now.secs(),
            now.nanos() / 1000,
            self.total
        )
        .expect("a buffer in memory takes everything");
        self.batch.add(&routed);
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        self.batch.take(now, Some(0), |text| Box::new(Print { text }))
    }

    fn due(&self) -> Option<Instant> {
        self.batch.due()
    }

    fn close_all(&mut self) {
        self.batch.close();
    }

    fn held(&self) -> usize {
        self.batch.held()
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Share, Tag, Timestamp};

    use super::*;

    #[derive(Debug)]
    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::new(1_795_362_398, 132_544_999)
        }
    }

    #[test]
    fn each_chunk_is_a_line_with_the_sum_so_far() {
        let mut counter = Counter { total: 0, clock: Arc::new(Standing), batch: TextBatch::default() };
        let now = Instant::now();
        for records in [2, 1] {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            (0..records).for_each(|_| builder.push_record(Timestamp::new(1, 0), b"\x80"));
            let chunk = builder.finish(Receipt::unwatched());
            let share = Arc::new(Share::new(Receipt::unwatched(), records, Arc::default()));
            counter.push(Routed { chunk, share: share.clone(), due: now }, now);
            share.deliver(records);
        }
        assert_eq!(
            String::from_utf8(counter.batch.text).unwrap(),
            "{\"ts\":1795362398.132544,\"serialized_events\":2,\"log_records\":2,\"total\":2}\n\
             {\"ts\":1795362398.132544,\"serialized_events\":1,\"log_records\":1,\"total\":3}\n"
        );
    }
}
