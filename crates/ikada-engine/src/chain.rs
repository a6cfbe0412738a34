//! A chain of filters, fused: one pass over a chunk, one split per record, one write per changed record.

use std::sync::Arc;

use ikada_plugin::{EntryContext, Filter, FilterMetrics, Verdict};
use ikada_record::{Chunk, ChunkBuilder, Fields};

/// One filter of a chain.
pub(crate) struct Link<'f> {
    pub(crate) filter: &'f dyn Filter,
    pub(crate) metrics: &'f Arc<FilterMetrics>,
}

/// What came out of a chain.
pub(crate) enum Filtered {
    /// Every record passed unchanged: the chunk as it was.
    Same,
    /// What is left, and how many records were dropped. The chunk may be empty.
    Changed(ChunkBuilder, u32),
}

#[derive(Clone, Copy, Default)]
struct Count {
    came: u32,
    bytes: u64,
    dropped: u32,
    dropped_bytes: u64,
    emptied: u32,
    /// This filter would have left no record of the chunk with a key: it is passed over.
    off: bool,
}

/// Sends every record of a chunk through the filters, in order.
pub(crate) fn run(chunk: &Chunk, links: &[Link<'_>]) -> Filtered {
    let mut counts = vec![Count::default(); links.len()];
    let filtered = loop {
        let filtered = pass(chunk, links, &mut counts);
        let Some(all_gone) =
            counts.iter().position(|count| !count.off && count.came > 0 && count.emptied == count.came)
        else {
            break filtered;
        };
        for count in &mut counts {
            *count = Count { off: count.off, ..Count::default() };
        }
        counts[all_gone].off = true;
    };
    for (link, count) in links.iter().zip(&counts) {
        link.filter.end_of_chunk();
        link.metrics.records.add(u64::from(count.came));
        link.metrics.bytes.add(count.bytes);
        link.metrics.drop_records.add(u64::from(count.dropped));
        link.metrics.drop_bytes.add(count.dropped_bytes);
    }
    filtered
}

fn pass(chunk: &Chunk, links: &[Link<'_>], counts: &mut [Count]) -> Filtered {
    let mut out: Option<ChunkBuilder> = None;
    let mut fields = Fields::default();
    let mut dropped = 0;
    let mut same = 0;
    for entry in chunk.entries() {
        fields.refill(entry.record());
        let size = entry.as_bytes().len() as u64;
        let mut keep = true;
        for (link, count) in links.iter().zip(counts.iter_mut()) {
            let cx = EntryContext {
                tag: chunk.tag(),
                time: entry.time(),
                metadata: entry.metadata(),
                position: count.came,
            };
            count.came += 1;
            count.bytes += size;
            if count.off {
                continue;
            }
            let verdict = link.filter.filter(&cx, &mut fields);
            if verdict == Verdict::Keep {
                continue;
            }
            count.emptied += u32::from(verdict == Verdict::Empty);
            count.dropped += 1;
            count.dropped_bytes += size;
            keep = false;
            break;
        }
        if keep && !fields.is_changed() && out.is_none() {
            same += 1;
            continue;
        }
        let out = out.get_or_insert_with(|| leading(chunk, same));
        if !keep {
            dropped += 1;
        } else if fields.is_changed() {
            out.push_with(entry.time(), |buf| {
                buf.extend_from_slice(entry.head_bytes());
                fields.write(buf);
            });
        } else {
            out.push_entry(&entry);
        }
    }
    out.map_or(Filtered::Same, |builder| Filtered::Changed(builder, dropped))
}

/// A builder with the first `count` entries of a chunk, which passed unchanged.
fn leading(chunk: &Chunk, count: usize) -> ChunkBuilder {
    let mut builder = ChunkBuilder::with_capacity(chunk.tag().clone(), chunk.size() + chunk.size() / 4);
    for entry in chunk.entries().take(count) {
        builder.push_entry(&entry);
    }
    builder
}

#[cfg(test)]
mod tests {
    use ikada_record::{Piece, Receipt, Tag, Timestamp};

    use super::*;

    /// Drops records whose `n` is even, or empties them all.
    struct Even(Verdict);
    impl Filter for Even {
        fn filter<'a>(&'a self, _: &EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            match fields.get(b"n") {
                Some(ikada_msgpack_view::View::Uint(n)) if n % 2 == 0 => self.0,
                _ => Verdict::Keep,
            }
        }
    }

    struct Mark;
    impl Filter for Mark {
        fn filter<'a>(&'a self, _: &EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            fields.push(Piece::Ref(b"\xa1m"), Piece::Ref(b"\xc3"));
            Verdict::Keep
        }
    }

    use ikada_msgpack as ikada_msgpack_view;

    fn numbers(range: std::ops::Range<u8>) -> Chunk {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        for n in range {
            builder.push_record(Timestamp::new(i64::from(n), 0), &[0x81, 0xa1, b'n', n]);
        }
        builder.finish(Receipt::unwatched())
    }

    fn link<'f>(filter: &'f dyn Filter, metrics: &'f Arc<FilterMetrics>) -> Link<'f> {
        Link { filter, metrics }
    }

    #[test]
    fn an_untouched_chunk_is_not_written_again() {
        let metrics = Arc::new(FilterMetrics::default());
        let odd = Even(Verdict::Drop);
        let chunk = numbers(1..2);
        assert!(matches!(run(&chunk, &[link(&odd, &metrics)]), Filtered::Same));
        assert_eq!(metrics.records.get(), 1);
    }

    #[test]
    fn what_one_filter_drops_the_next_never_sees() {
        let (first, second) = (Arc::new(FilterMetrics::default()), Arc::new(FilterMetrics::default()));
        let (even, mark) = (Even(Verdict::Drop), Mark);
        let chunk = numbers(1..11);
        let Filtered::Changed(out, dropped) = run(&chunk, &[link(&even, &first), link(&mark, &second)])
        else {
            panic!("five are even")
        };
        assert_eq!((out.len(), dropped), (5, 5));
        assert_eq!((first.drop_records.get(), second.records.get()), (5, 5));
        let out = out.finish(Receipt::unwatched());
        assert!(out.entries().all(|entry| entry.record().len() == 2));
    }

    #[test]
    fn a_filter_that_would_empty_the_whole_chunk_is_passed_over() {
        let metrics = Arc::new(FilterMetrics::default());
        let empties = Even(Verdict::Empty);
        let all_even = {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            for n in [2, 4] {
                builder.push_record(Timestamp::new(1, 0), &[0x81, 0xa1, b'n', n]);
            }
            builder.finish(Receipt::unwatched())
        };
        assert!(matches!(run(&all_even, &[link(&empties, &metrics)]), Filtered::Same));
        let Filtered::Changed(out, dropped) = run(&numbers(1..4), &[link(&empties, &metrics)]) else {
            panic!("one of three goes")
        };
        assert_eq!((out.len(), dropped), (2, 1));
    }
}
