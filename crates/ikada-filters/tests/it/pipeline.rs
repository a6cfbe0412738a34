//! A chain of filters as the engine runs it, in slow motion: filter after filter, chunk after chunk.

use std::collections::VecDeque;

use ikada_plugin::{Effects, EntryContext, Filter, Held, Verdict};
use ikada_record::{Fields, Receipt, Tag, Timestamp, record_at};
use ikada_route::Pattern;

/// A filter and the tags it takes.
pub(crate) struct Link {
    pub(crate) pattern: Pattern,
    pub(crate) filter: Box<dyn Filter>,
}

/// One entry of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) time: Timestamp,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// A chunk on its way, with the filter that re-tagged it, and how often that has happened.
struct Passing {
    tag: Tag,
    records: Vec<Record>,
    by: Option<usize>,
    times: u32,
}

/// More often than this a record is not re-tagged.
const MOST: u32 = 8;

/// Sends records as one chunk through the filters and returns what comes out, under which tags.
pub(crate) fn pass(chain: &[Link], tag: &Tag, records: Vec<Record>) -> Vec<(Tag, Record)> {
    let mut out = Vec::new();
    let mut passing = VecDeque::from([Passing { tag: tag.clone(), records, by: None, times: 0 }]);
    while let Some(mut chunk) = passing.pop_front() {
        for (number, link) in chain.iter().enumerate() {
            if chunk.by != Some(number)
                && link.pattern.matches(chunk.tag.as_bytes())
                && !chunk.records.is_empty()
            {
                passing.extend(step(number, &*link.filter, &mut chunk));
            }
        }
        out.extend(chunk.records.into_iter().map(|record| (chunk.tag.clone(), record)));
    }
    out
}

/// Sends a chunk through one filter, and returns what it re-tagged.
fn step(number: usize, filter: &dyn Filter, chunk: &mut Passing) -> Vec<Passing> {
    let came = std::mem::take(&mut chunk.records);
    let mut effects = Effects::new(Held::nothing(), chunk.times < MOST);
    effects.turn_of(number);
    let mut emptied = false;
    for (record, position) in came.iter().zip(0..) {
        let mut cx = EntryContext {
            tag: &chunk.tag,
            time: record.time,
            metadata: record.metadata.as_deref(),
            position,
            effects: &mut effects,
        };
        let mut fields = Fields::split(record_at(&record.body));
        let verdict = filter.filter(&mut cx, &mut fields);
        let emitted = effects.take_emitted().into_iter();
        chunk.records.extend(emitted.map(|new| {
            let metadata = (!new.metadata.is_empty()).then_some(new.metadata);
            Record { time: new.time, metadata, body: new.record }
        }));
        let time = effects.take_time().unwrap_or(record.time);
        let metadata = effects.take_metadata().or_else(|| record.metadata.clone());
        match verdict {
            Verdict::Keep => {
                let mut body = Vec::new();
                fields.write(&mut body);
                chunk.records.push(Record { time, metadata, body });
            }
            Verdict::Empty => emptied = true,
            Verdict::Drop | Verdict::Hold => {}
        }
    }
    filter.end_of_chunk();
    if emptied && chunk.records.is_empty() {
        chunk.records = came;
    }
    let retagged = effects.take_retagged().into_iter().map(|(by, builder)| {
        let new = builder.finish(Receipt::unwatched());
        let records = new.entries().map(|entry| Record {
            time: entry.time(),
            metadata: entry.metadata().map(<[u8]>::to_vec),
            body: entry.record_bytes().to_vec(),
        });
        Passing { tag: new.tag().clone(), records: records.collect(), by: Some(by), times: chunk.times + 1 }
    });
    retagged.collect()
}
