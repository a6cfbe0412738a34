//! A chain of filters, fused: one pass over a chunk, one split per record, one write per changed record.

use std::borrow::Cow;
use std::sync::Arc;

use ikada_plugin::{Effects, Emitted, EntryContext, Filter, FilterMetrics, Held, Verdict};
use ikada_record::{Chunk, ChunkBuilder, Entry, Fields, Receipt, Tag, Timestamp, record_at};

/// One filter of a chain.
pub(crate) struct Link<'f> {
    pub(crate) filter: &'f dyn Filter,
    pub(crate) metrics: &'f Arc<FilterMetrics>,
    /// The filter's number, told again with what it re-tagged.
    pub(crate) number: usize,
}

/// On which terms a chunk passes.
#[derive(Clone)]
pub(crate) struct Terms {
    /// The chunk's claim, for filters that hold entries back.
    pub(crate) origin: Held,
    /// Whether it may still be re-tagged.
    pub(crate) may_retag: bool,
}

/// What came out of a chain.
pub(crate) struct Passed {
    pub(crate) kept: Kept,
    /// Records that filters dropped, or hold back.
    pub(crate) gone: u32,
    /// Records that filters added, under the same tag or another one.
    pub(crate) added: u32,
    /// Entries under new tags, each with the number of the filter that re-tagged it.
    pub(crate) retagged: Vec<(usize, ChunkBuilder)>,
    /// Entries of other tags that a filter held back until now, each with the number of the filter that did.
    pub(crate) strays: Vec<(usize, Emitted)>,
    /// Receipts of other chunks whose entries were held back and are part of this one now.
    pub(crate) receipts: Vec<Receipt>,
    /// Records that were not re-tagged because they had been too often.
    pub(crate) refused: u32,
}

impl Passed {
    /// Nothing yet.
    pub(crate) fn nothing(tag: Tag) -> Self {
        Self {
            kept: Kept::Changed(ChunkBuilder::new(tag)),
            gone: 0,
            added: 0,
            retagged: Vec::new(),
            strays: Vec::new(),
            receipts: Vec::new(),
            refused: 0,
        }
    }

    /// What came out of a chain for `chunk`, behind what came before.
    pub(crate) fn add(&mut self, chunk: &Chunk, passed: Self) {
        let Kept::Changed(builder) = &mut self.kept else { return };
        match passed.kept {
            Kept::Same => chunk.entries().for_each(|entry| builder.push_entry(&entry)),
            Kept::Changed(other) => {
                let other = other.finish(Receipt::unwatched());
                other.entries().for_each(|entry| builder.push_entry(&entry));
            }
        }
        self.gone += passed.gone;
        self.added += passed.added;
        self.retagged.extend(passed.retagged);
        self.strays.extend(passed.strays);
        self.receipts.extend(passed.receipts);
        self.refused += passed.refused;
    }
}

/// The entries that go on under the chunk's own tag.
pub(crate) enum Kept {
    /// Every record passed unchanged: the chunk as it was.
    Same,
    /// What is left. It may be empty.
    Changed(ChunkBuilder),
}

/// What one filter saw of a chunk.
#[derive(Default)]
struct Count {
    came: u32,
    bytes: u64,
    dropped: u32,
    dropped_bytes: u64,
    added: u32,
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
pub(crate) fn run(chunk: &Chunk, links: &[Link<'_>], terms: Terms) -> Passed {
    let mut effects = Effects::new(terms.origin, terms.may_retag);
    let mut passed = run_with(chunk, links, &mut effects);
    passed.retagged = effects.take_retagged();
    passed.added += passed.retagged.iter().map(|(_, builder)| builder.len() as u32).sum::<u32>();
    passed.refused = effects.refused();
    passed
}

fn run_with(chunk: &Chunk, links: &[Link<'_>], effects: &mut Effects) -> Passed {
    let mut pass = Pass {
        chunk,
        links,
        counts: links.iter().map(|_| Count::default()).collect(),
        effects,
        out: None,
        same: 0,
        gone: 0,
        added: 0,
        strays: Vec::new(),
        receipts: Vec::new(),
    };
    pass.all();
    let Pass { mut counts, effects, out, gone, added, strays, receipts, .. } = pass;
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
        link.metrics.add_records.add(u64::from(count.added));
    }
    let kept = out.map_or(Kept::Same, Kept::Changed);
    let passed = Passed { kept, gone, added, strays, receipts, retagged: Vec::new(), refused: 0 };
    match passed_over.and_then(|at| counts[at].emptied.take()) {
        Some(rest) => go_on(chunk, rest, &links[seen..], effects, passed),
        None => passed,
    }
}

/// Sends what came to a filter that is passed over through the filters behind it.
fn go_on(
    chunk: &Chunk,
    mut rest: ChunkBuilder,
    links: &[Link<'_>],
    effects: &mut Effects,
    before: Passed,
) -> Passed {
    let emptied = rest.len() as u32;
    rest.mark_batch();
    let rest = rest.finish(Receipt::unwatched());
    let mut passed = run_with(&rest, links, effects);
    passed.gone += before.gone - emptied;
    passed.added += before.added;
    passed.strays.splice(..0, before.strays);
    passed.receipts.extend(before.receipts);
    if matches!(passed.kept, Kept::Same) && rest.data() != chunk.data() {
        passed.kept = Kept::Changed(leading(&rest, rest.len()));
    }
    passed
}

/// A pass over a chunk.
struct Pass<'p> {
    chunk: &'p Chunk,
    links: &'p [Link<'p>],
    counts: Vec<Count>,
    effects: &'p mut Effects,
    out: Option<ChunkBuilder>,
    /// Entries from the chunk's start that passed unchanged.
    same: usize,
    gone: u32,
    added: u32,
    strays: Vec<(usize, Emitted)>,
    receipts: Vec<Receipt>,
}

/// An entry on its way through the filters, beside its fields.
struct Head<'e> {
    time: Timestamp,
    metadata: Option<Cow<'e, [u8]>>,
    size: u64,
    /// Time or metadata are not those it came with.
    is_changed: bool,
}

impl<'p> Pass<'p> {
    fn all(&mut self) {
        let chunk = self.chunk;
        let mut fields = Fields::default();
        for entry in chunk.entries() {
            fields.refill(entry.record());
            let size = entry.as_bytes().len() as u64;
            let metadata = entry.metadata().map(Cow::Borrowed);
            let mut head = Head { time: entry.time(), metadata, size, is_changed: false };
            let keep = self.walk(0, &mut head, &mut fields);
            if keep && !head.is_changed && !fields.is_changed() && self.out.is_none() {
                self.same += 1;
                continue;
            }
            self.gone += u32::from(!keep);
            let out = self.out();
            match (keep, head.is_changed) {
                (false, _) => {}
                (true, false) => push(out, &entry, &fields),
                (true, true) => push_under(out, &head, &fields),
            }
        }
    }

    /// What is kept, written anew from here on.
    fn out(&mut self) -> &mut ChunkBuilder {
        self.out.get_or_insert_with(|| leading(self.chunk, self.same))
    }

    /// Sends an entry through the filters from the one at `from` on. Whether it is kept.
    fn walk<'f>(&mut self, from: usize, head: &mut Head<'_>, fields: &mut Fields<'f>) -> bool
    where
        'p: 'f,
    {
        let (chunk, links) = (self.chunk, self.links);
        for (at, link) in links.iter().enumerate().skip(from) {
            let count = &mut self.counts[at];
            self.effects.turn_of(link.number);
            let mut cx = EntryContext {
                tag: chunk.tag(),
                time: head.time,
                metadata: head.metadata.as_deref(),
                position: count.came,
                effects: self.effects,
            };
            count.came += 1;
            count.bytes += head.size;
            let verdict = link.filter.filter(&mut cx, fields);
            if let Some(time) = self.effects.take_time() {
                head.is_changed |= head.time != time;
                head.time = time;
            }
            if let Some(metadata) = self.effects.take_metadata() {
                head.is_changed = true;
                head.metadata = Some(Cow::Owned(metadata));
            }
            if self.effects.has_emitted() {
                self.emitted(at);
            }
            let count = &mut self.counts[at];
            match verdict {
                Verdict::Keep => continue,
                // It came by itself: all of its batch would be left without a key.
                Verdict::Empty if !chunk.is_batch() => continue,
                Verdict::Empty => {
                    let emptied = count.emptied.get_or_insert_with(|| ChunkBuilder::new(chunk.tag().clone()));
                    push_under(emptied, head, fields);
                }
                Verdict::Drop | Verdict::Hold => {}
            }
            count.dropped += 1;
            count.dropped_bytes += head.size;
            return false;
        }
        true
    }

    /// Sends what the filter at `at` emitted through the filters behind it.
    fn emitted(&mut self, at: usize) {
        let list = self.effects.take_emitted();
        self.counts[at].added += list.len() as u32;
        self.added += list.len() as u32;
        for emitted in list {
            if emitted.tag != *self.chunk.tag() {
                self.strays.push((self.links[at].number, emitted));
                continue;
            }
            self.receipts.extend(emitted.held.iter().map(|held| held.receipt().clone()));
            let metadata = (!emitted.metadata.is_empty()).then_some(Cow::Borrowed(&emitted.metadata[..]));
            let size = emitted.record.len() as u64;
            let mut head = Head { time: emitted.time, metadata, size, is_changed: true };
            let mut fields = Fields::split(record_at(&emitted.record));
            match self.walk(at + 1, &mut head, &mut fields) {
                true => push_under(self.out(), &head, &fields),
                false => self.gone += 1,
            }
        }
    }
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

/// Adds an entry whose head is written anew.
fn push_under(out: &mut ChunkBuilder, head: &Head<'_>, fields: &Fields<'_>) {
    out.push_with(head.time, |buf| {
        Entry::write_head(buf, head.time, head.metadata.as_deref());
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
    use ikada_record::Piece;

    use super::*;

    /// Drops records whose `n` is even, or empties them all.
    struct Even(Verdict);
    impl Filter for Even {
        fn filter<'a>(&'a self, _: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            match fields.get(b"n") {
                Some(ikada_msgpack_view::View::Uint(n)) if n % 2 == 0 => self.0,
                _ => Verdict::Keep,
            }
        }
    }

    struct Odd;
    impl Filter for Odd {
        fn filter<'a>(&'a self, _: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            match fields.get(b"n") {
                Some(ikada_msgpack_view::View::Uint(n)) if n % 2 == 1 => Verdict::Drop,
                _ => Verdict::Keep,
            }
        }
    }

    struct Mark;
    impl Filter for Mark {
        fn filter<'a>(&'a self, _: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
            fields.push(Piece::Ref(b"\xa1m"), Piece::Ref(b"\xc3"));
            Verdict::Keep
        }
    }

    use ikada_msgpack as ikada_msgpack_view;

    fn numbers(range: std::ops::Range<u8>) -> Chunk {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.mark_batch();
        for n in range {
            builder.push_record(Timestamp::new(i64::from(n), 0), &[0x81, 0xa1, b'n', n]);
        }
        builder.finish(Receipt::unwatched())
    }

    fn link<'f>(filter: &'f dyn Filter, metrics: &'f Arc<FilterMetrics>) -> Link<'f> {
        Link { filter, metrics, number: 0 }
    }

    /// What is kept, and how many are gone.
    enum Filtered {
        Same,
        Changed(ChunkBuilder, u32),
    }

    fn run(chunk: &Chunk, links: &[Link<'_>]) -> Filtered {
        let passed = super::run(chunk, links, Terms { origin: Held::nothing(), may_retag: true });
        match passed.kept {
            Kept::Same => Filtered::Same,
            Kept::Changed(builder) => Filtered::Changed(builder, passed.gone),
        }
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
            builder.mark_batch();
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

    #[test]
    fn records_that_came_by_themselves_are_not_emptied_whatever_they_were_gathered_with() {
        let metrics = Arc::new(FilterMetrics::default());
        let mut gathered = ChunkBuilder::new(Tag::from("t"));
        numbers(1..4).entries().for_each(|entry| gathered.push_entry(&entry));
        let gathered = gathered.finish(Receipt::unwatched());
        let empties = Even(Verdict::Empty);
        assert!(matches!(run(&gathered, &[link(&empties, &metrics)]), Filtered::Same));
        assert_eq!((metrics.records.get(), metrics.drop_records.get()), (3, 0));
    }

    /// Remembers what it saw: positions, and how many chunks ended.
    #[derive(Default)]
    struct Spy {
        seen: std::sync::Mutex<Vec<(u32, usize)>>,
        chunks: std::sync::atomic::AtomicU32,
    }
    impl Filter for Spy {
        fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
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
