//! What Firehose and Kinesis Data Streams share: named streams of records that come in batches as base64.

pub(crate) mod firehose;
pub(crate) mod kinesis;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64_simd::STANDARD;

use crate::call::Taken;
use crate::config::Keep;
use crate::content;
use crate::error::ApiError;
use crate::json::{BadJson, Scanner, Text};
use crate::lock::locked;
use crate::report::{Report, ResourceReport};
use crate::sequence::{Marks, Tracker};
use crate::service::Service;
use crate::shared::Shared;

/// The streams of one service.
#[derive(Debug)]
pub(crate) struct Streams {
    service: Service,
    auto_create: bool,
    streams: Mutex<BTreeMap<String, Arc<Mutex<StreamData>>>>,
}

#[derive(Debug, Default)]
pub(crate) struct StreamData {
    /// All kept records, end to end.
    content: Vec<u8>,
    /// The end of each kept record in `content`.
    ends: Vec<usize>,
    /// Partition keys of the kept records; Kinesis only.
    keys: Vec<String>,
    batches: u64,
    records: u64,
    bytes: u64,
    refused: u64,
    tracker: Tracker,
    shards: Vec<kinesis::Shard>,
}

impl Streams {
    pub(crate) fn new(service: Service, auto_create: bool) -> Self {
        Streams { service, auto_create, streams: Mutex::default() }
    }

    /// Makes a stream; says whether it is new.
    pub(crate) fn create(&self, name: &str) -> bool {
        let mut streams = locked(&self.streams);
        let is_new = !streams.contains_key(name);
        streams.entry(name.to_owned()).or_default();
        is_new
    }

    pub(crate) fn delete(&self, name: &str) -> bool {
        locked(&self.streams).remove(name).is_some()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        locked(&self.streams).keys().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Mutex<StreamData>>> {
        let mut streams = locked(&self.streams);
        if self.auto_create && !streams.contains_key(name) {
            streams.insert(name.to_owned(), Arc::default());
        }
        streams.get(name).cloned()
    }

    /// The kept records of a stream, in the order in which they were taken.
    pub(crate) fn records(&self, name: &str) -> Vec<Vec<u8>> {
        let Some(stream) = locked(&self.streams).get(name).cloned() else { return Vec::new() };
        let data = locked(&stream);
        let mut start = 0;
        let mut records = Vec::with_capacity(data.ends.len());
        for &end in &data.ends {
            records.push(data.content.get(start..end).unwrap_or_default().to_vec());
            start = end;
        }
        records
    }

    /// The partition keys of the kept records.
    pub(crate) fn partition_keys(&self, name: &str) -> Vec<String> {
        let Some(stream) = locked(&self.streams).get(name).cloned() else { return Vec::new() };
        locked(&stream).keys.clone()
    }

    /// Adds every stream to a report.
    pub(crate) fn report(&self, report: &mut Report) {
        let mut all = Tracker::default();
        for (name, stream) in locked(&self.streams).iter() {
            let data = locked(stream);
            report.resources.push(ResourceReport {
                service: self.service,
                resource: name.clone(),
                batches: data.batches,
                records: data.records,
                bytes: data.bytes,
                refused: data.refused,
            });
            report.add_tracker(self.service, name, &data.tracker, &mut all);
        }
        report.add_total(self.service, &all);
    }

    /// Forgets all records; the streams stay.
    pub(crate) fn reset(&self) {
        for stream in locked(&self.streams).values() {
            *locked(stream) = StreamData::default();
        }
    }
}

/// A batch as it stands in a request body.
#[derive(Debug, Default)]
struct Batch<'a> {
    stream: Option<Text<'a>>,
    records: Vec<RawRecord<'a>>,
    /// The first record without `Data`, counted from 1.
    incomplete: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct RawRecord<'a> {
    data: Text<'a>,
    key: Option<Text<'a>>,
}

impl<'a> Batch<'a> {
    fn parse(text: &'a str) -> Result<Self, BadJson> {
        let mut batch = Batch::default();
        let mut scanner = Scanner::new(text);
        scanner.object(|inner, key| {
            match key.raw {
                "DeliveryStreamName" | "StreamName" => batch.stream = inner.optional_string()?,
                "StreamARN" if batch.stream.is_none() => batch.stream = inner.optional_string()?,
                "Records" if !inner.null()? => inner.array(|item| batch.parse_record(item))?,
                "Records" => {}
                _ => inner.skip()?,
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(batch)
    }

    /// One record on its own, as `PutRecord` has it.
    fn parse_single(text: &'a str) -> Result<Self, BadJson> {
        let mut batch = Batch::default();
        let (mut data, mut partition_key) = (None, None);
        let mut scanner = Scanner::new(text);
        scanner.object(|inner, key| {
            match key.raw {
                "DeliveryStreamName" | "StreamName" => batch.stream = inner.optional_string()?,
                "StreamARN" if batch.stream.is_none() => batch.stream = inner.optional_string()?,
                "Record" => batch.parse_record(inner)?,
                "Data" => data = inner.optional_string()?,
                "PartitionKey" => partition_key = inner.optional_string()?,
                _ => inner.skip()?,
            }
            Ok(())
        })?;
        scanner.end()?;
        if let Some(data) = data {
            batch.records.push(RawRecord { data, key: partition_key });
        }
        Ok(batch)
    }

    fn parse_record(&mut self, scanner: &mut Scanner<'a>) -> Result<(), BadJson> {
        let (mut data, mut partition_key) = (None, None);
        scanner.object(|inner, key| {
            match key.raw {
                "Data" => data = inner.optional_string()?,
                "PartitionKey" => partition_key = inner.optional_string()?,
                _ => inner.skip()?,
            }
            Ok(())
        })?;
        match data {
            Some(data) => self.records.push(RawRecord { data, key: partition_key }),
            None => self.incomplete = self.incomplete.or(Some(self.records.len() + 1)),
        }
        Ok(())
    }

    fn stream_name(&self) -> Option<String> {
        let name = self.stream?.to_string();
        Some(name.rsplit_once('/').map_or(name.clone(), |(_, last)| last.to_owned()))
    }
}

/// The resource that a body is about; empty if it cannot be told.
pub(crate) fn resource(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return String::new() };
    let mut name = None;
    // The scan stops at the records: the name stands before them in every known client.
    Scanner::new(text)
        .object(|inner, key| match key.raw {
            "DeliveryStreamName" | "StreamName" | "StreamARN" => {
                name = inner.optional_string()?;
                Err(BadJson { at: 0 })
            }
            "Records" | "Record" => Err(BadJson { at: 0 }),
            _ => inner.skip(),
        })
        .ok();
    Batch { stream: name, ..Batch::default() }.stream_name().unwrap_or_default()
}

/// Decoded records, end to end.
#[derive(Debug, Default)]
struct Decoded {
    content: Vec<u8>,
    ends: Vec<usize>,
}

impl Decoded {
    fn clear(&mut self) {
        self.content.clear();
        self.ends.clear();
    }

    fn push(&mut self, data: Text<'_>) -> Result<usize, ApiError> {
        let start = self.content.len();
        let decoded = if data.raw.len() == data.len {
            STANDARD.decode_append(data.raw, &mut self.content)
        } else {
            STANDARD.decode_append(data.to_string(), &mut self.content)
        };
        decoded.map_err(|_| ApiError::serialization())?;
        self.ends.push(self.content.len());
        Ok(self.content.len() - start)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.content.get(start..end).unwrap_or_default())
    }
}

/// Decodes a batch into memory that is reused, and hands it to `work`.
fn with_decoded<T>(
    batch: &Batch<'_>,
    work: impl FnOnce(&Decoded) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    thread_local! {
        static SCRATCH: RefCell<Decoded> = RefCell::default();
    }
    let mut decoded = SCRATCH.take();
    decoded.clear();
    let pushed = batch.records.iter().try_for_each(|record| decoded.push(record.data).map(|_| ()));
    let result = pushed.and_then(|()| work(&decoded));
    SCRATCH.set(decoded);
    result
}

/// Takes the records that `refused` does not name.
fn store(
    shared: &Shared,
    data: &mut StreamData,
    decoded: &Decoded,
    keys: &[RawRecord<'_>],
    refused: impl Fn(usize) -> bool,
) -> Taken {
    let mut taken = Taken::default();
    let mut marks = Marks::default();
    for (index, record) in decoded.iter().enumerate() {
        if refused(index) {
            taken.refused += 1;
            continue;
        }
        taken.records += 1;
        taken.bytes += record.len() as u64;
        if let Some(finder) = &shared.finder {
            content::scan(finder, record, &mut marks);
        }
        if shared.config.keep == Keep::All && shared.budget.take(record.len() as u64, 1) {
            data.content.extend_from_slice(record);
            data.ends.push(data.content.len());
            data.keys.extend(keys.get(index).and_then(|raw| raw.key).map(|key| key.to_string()));
        }
    }
    data.tracker.apply(&marks);
    data.batches += 1;
    data.records += taken.records;
    data.bytes += taken.bytes;
    data.refused += taken.refused;
    taken
}

/// 1 to `most` of `a-zA-Z0-9_.-`.
fn check_stream_name(name: &str, most: usize, member: &str) -> Result<(), ApiError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !name.is_empty() && name.len() <= most && name.bytes().all(is_good) {
        return Ok(());
    }
    Err(broken_rule(name, member, "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"))
}

/// The services' standard sentence about a member that breaks a rule of their model.
fn broken_rule(value: &str, member: &str, rule: &str) -> ApiError {
    let text = format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
    );
    ApiError::client("ValidationException", text)
}
