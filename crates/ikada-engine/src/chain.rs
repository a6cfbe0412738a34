//! A chain of filters, fused: one pass over a chunk, one split per record, one write per changed record.

use std::sync::Arc;

use ikada_plugin::{EntryContext, Filter, FilterMetrics, Verdict};
use ikada_record::{Chunk, ChunkBuilder, Entry, Fields, Receipt};

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

/// What one filter saw of a chunk.
#[derive(Default)]
struct Count {
    came: u32,
    bytes: u64,
    dropped: u32,
    dropped_bytes: u64,
    /// The records that this filter would have left without a key, as they came to it.
    emptied: Option<ChunkBuilder>,
}

impl Count {
    /// Whether this filter would have left no record of the chunk with a key.
    fn emptied_all(&self) -> bool {
        self.emptied.as_ref().is_some_and(|builder| builder.len() == self.came as usize)
    }
}

/// Sends every record of a chunk through the filters, in order. No filter sees a record twice.
pub(crate) fn run(chunk: &Chunk, links: &[Link<'_>]) -> Filtered {
    let mut counts: Vec<_> = links.iter().map(|_| Count::default()).collect();
    let filtered = pass(chunk, links, &mut counts);
    let passed_over = counts.iter().position(Count::emptied_all);
    if let Some(count) = passed_over.map(|at| &mut counts[at]) {
        (count.dropped, count.dropped_bytes) = (0, 0);
    }
    // Nothing came to the filters behind one that is passed over: their turn is in the run that follows.
    let seen = passed_over.map_or(links.len(), |at| at + 1);
    for (link, count) in links.iter().zip(&counts).take(seen) {
        link.filter.end_of_chunk();
        link.metrics.records.add(u64::from(count.came));
        link.metrics.bytes.add(count.bytes);
        link.metrics.drop_records.add(u64::from(count.dropped));
        link.metrics.drop_bytes.add(count.dropped_bytes);
    }
    match passed_over.and_then(|at| counts[at].emptied.take()) {
        Some(rest) => go_on(chunk, rest, &links[seen..]),
        None => filtered,
    }
}

/// Sends what came to a filter that is passed over through the filters behind it.
fn go_on(chunk: &Chunk, rest: ChunkBuilder, links: &[Link<'_>]) -> Filtered {
    let before = (chunk.len() - rest.len()) as u32;
    let rest = rest.finish(Receipt::unwatched());
    match run(&rest, links) {
        Filtered::Changed(builder, dropped) => Filtered::Changed(builder, before + dropped),
        Filtered::Same if rest.data() == chunk.data() => Filtered::Same,
        Filtered::Same => Filtered::Changed(leading(&rest, rest.len()), before),
    }
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
            let verdict = link.filter.filter(&cx, &mut fields);
            if verdict == Verdict::Keep {
                continue;
            }
            if verdict == Verdict::Empty {
                let emptied = count.emptied.get_or_insert_with(|| ChunkBuilder::new(chunk.tag().clone()));
                push(emptied, &entry, &fields);
            }
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
        if keep {
            push(out, &entry, &fields);
        } else {
            dropped += 1;
        }
    }
    out.map_or(Filtered::Same, |builder| Filtered::Changed(builder, dropped))
}

/// Adds an entry with its record as it is now.
fn push(out: &mut ChunkBuilder, entry: &Entry<'_>, fields: &Fields<'_>) {
    if !fields.is_changed() {
        return out.push_entry(entry);
    }
    out.push_with(entry.time(), |buf| {
        buf.extend_from_slice(entry.head_bytes());
        fields.write(buf);
    });
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
    use ikada_record::{Piece, Tag, Timestamp};

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

    struct Odd;
    impl Filter for Odd {
        fn filter<'a>(&'a self, _: &EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            match fields.get(b"n") {
                Some(ikada_msgpack_view::View::Uint(n)) if n % 2 == 1 => Verdict::Drop,
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

    /// Remembers what it saw: positions, and how many chunks ended.
    #[derive(Default)]
    struct Spy {
        seen: std::sync::Mutex<Vec<(u32, usize)>>,
        chunks: std::sync::atomic::AtomicU32,
    }
    impl Filter for Spy {
        fn filter<'a>(&'a self, cx: &EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            self.seen.lock().unwrap().push((cx.position, fields.len()));
            Verdict::Keep
        }
        fn end_of_chunk(&self) {
            self.chunks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn no_filter_sees_a_record_twice_when_a_later_one_is_passed_over() {
        let metrics: [_; 5] = std::array::from_fn(|_| Arc::new(FilterMetrics::default()));
        let (first, last, empties) = (Spy::default(), Spy::default(), Even(Verdict::Empty));
        let odd = Odd;
        let links = [
            link(&odd, &metrics[0]),
            link(&first, &metrics[1]),
            link(&Mark, &metrics[2]),
            link(&empties, &metrics[3]),
            link(&last, &metrics[4]),
        ];
        let Filtered::Changed(out, dropped) = run(&numbers(1..7), &links) else { panic!("odd ones go") };
        assert_eq!((out.len(), dropped), (3, 3));
        assert_eq!(*first.seen.lock().unwrap(), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(*last.seen.lock().unwrap(), [(0, 2), (1, 2), (2, 2)]);
        for spy in [&first, &last] {
            assert_eq!(spy.chunks.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
        let counted = metrics.each_ref().map(|m| (m.records.get(), m.drop_records.get()));
        assert_eq!(counted, [(6, 3), (3, 0), (3, 0), (3, 0), (3, 0)]);
    }
}
