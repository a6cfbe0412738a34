//! Sections, records and batches for the tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ikada_filters::filters;
use ikada_options::{Diagnostics, FilterCommon, Options, Property, PropertyBag, Sources, Spanned};
use ikada_parse::Parsers;
use ikada_parse::json::transcode_one;
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{Effects, EntryContext, Filter, InstanceId, Kind, Service, Variables, Verdict};
use ikada_record::json::{JsonStyle, write_record};
use ikada_record::{Fields, Tag, Timestamp, record_at};

/// A filter built from a section, and what was found in it, one line per finding.
pub(crate) struct Built {
    pub(crate) filter: Option<Box<dyn Filter>>,
    pub(crate) findings: Vec<String>,
}

/// A section as the loader hands it over.
fn section(name: &str, properties: &[(&str, &str)]) -> (PropertyBag, Sources) {
    let mut text = String::from("[FILTER]\n");
    let mut places = Vec::new();
    for (key, value) in properties {
        text.push_str("    ");
        let key_at = text.len();
        text.push_str(key);
        text.push(' ');
        places.push((key_at, text.len(), text.len() + value.len()));
        text.push_str(value);
        text.push('\n');
    }
    let mut sources = Sources::default();
    let file = sources.add("x.conf", text);
    let properties = properties.iter().zip(places).map(|((key, value), (start, middle, end))| {
        Property::new(
            Spanned::new((*key).to_owned(), file.span(start, start + key.len())),
            Spanned::new((*value).to_owned(), file.span(middle, end)),
        )
    });
    (PropertyBag::new(format!("filter {name}"), file.span(0, 8), properties.collect()), sources)
}

/// The options of a section in which nothing is wrong.
pub(crate) fn options<O: Options>(name: &str, properties: &[(&str, &str)]) -> O {
    O::parse(&mut section(name, properties).0, &mut Diagnostics::new()).unwrap()
}

/// Builds a filter from the properties of its section, as the engine does.
pub(crate) fn build(name: &str, properties: &[(&str, &str)]) -> Built {
    build_with(name, properties, Arc::default())
}

/// Builds a filter beside the parsers of a configuration.
pub(crate) fn build_with(name: &str, properties: &[(&str, &str)], parsers: Arc<Parsers>) -> Built {
    build_in(name, properties, &BuildContext { parsers, ..context(name) })
}

/// Builds a filter in its surroundings.
pub(crate) fn build_in(name: &str, properties: &[(&str, &str)], cx: &BuildContext) -> Built {
    let (mut bag, sources) = section(name, properties);
    let mut found = Diagnostics::new();
    let list = filters();
    let plugin = find(&list, name).unwrap();
    FilterCommon::parse(&mut bag, &mut found);
    let filter = (plugin.build)(&mut bag, cx, &mut found);
    bag.finish(&[&(plugin.options)(), &FilterCommon::set()], &mut found);
    assert!(filter.is_some() || found.has_errors(), "a filter that is not built has a reason");
    Built { filter, findings: found.lines(&sources).collect() }
}

/// The parsers that a text in the classic format defines.
pub(crate) fn parsers_of(text: &str) -> Arc<Parsers> {
    let mut sources = Sources::default();
    let file = sources.add("parsers.conf", text);
    let mut parsers = Parsers::new();
    let mut found = Diagnostics::new();
    let starts: Vec<usize> = text.match_indices("[PARSER]").map(|(at, _)| at).collect();
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(text.len());
        let spanned = |part: &str| {
            let at = part.as_ptr() as usize - text.as_ptr() as usize;
            Spanned::new(part.to_owned(), file.span(at, at + part.len()))
        };
        let lines = text[*start..end].lines().skip(1).filter_map(|line| line.trim().split_once(' '));
        let properties = lines.map(|(key, value)| Property::new(spanned(key), spanned(value.trim())));
        let bag = PropertyBag::new("parser", file.span(*start, start + 8), properties.collect());
        parsers.define(bag, &mut found);
    }
    assert!(found.is_empty(), "{:?}", found.lines(&sources).collect::<Vec<_>>());
    Arc::new(parsers)
}

/// Nothing around a filter.
pub(crate) fn context(name: &str) -> BuildContext {
    let id = InstanceId { kind: Kind::Filter, plugin: name.into(), name: format!("{name}.0"), alias: None };
    BuildContext {
        id: Arc::new(id),
        service: Arc::new(Service {
            variables: Variables([("HOSTNAME".to_owned(), "vm".to_owned())].into()),
            ..Service::default()
        }),
        tag: None,
        mem_buf_limit: None,
        net: None,
        parsers: Default::default(),
        dry_run: false,
    }
}

/// A filter that must build without a finding.
pub(crate) fn filter(name: &str, properties: &[(&str, &str)]) -> Box<dyn Filter> {
    let built = build(name, properties);
    assert_eq!(built.findings, Vec::<String>::new());
    built.filter.unwrap()
}

/// JSON → an encoded record.
pub(crate) fn encode(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    transcode_one(json.as_bytes(), &mut out).unwrap();
    out
}

/// An encoded record → JSON; of duplicate keys the last one stays.
pub(crate) fn decode(record: &[u8]) -> String {
    let mut out = Vec::new();
    write_record(&mut out, record, JsonStyle { escape_unicode: false });
    String::from_utf8(out).unwrap()
}

/// The time of every entry in the tests.
pub(crate) fn time() -> Timestamp {
    Timestamp::new(1_700_000_000, 123_456_789)
}

/// Sends records through one filter as one chunk, with the engine's rule for records that lose all keys.
pub(crate) fn run(filter: &dyn Filter, tag: &Tag, records: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut kept = Vec::new();
    let mut emptied = false;
    for (record, position) in records.iter().zip(0..) {
        let mut effects = Effects::default();
        let mut cx = EntryContext { tag, time: time(), metadata: None, position, effects: &mut effects };
        let mut fields = Fields::split(record_at(record));
        match filter.filter(&mut cx, &mut fields) {
            Verdict::Keep => {
                let mut out = Vec::new();
                fields.write(&mut out);
                kept.push(out);
            }
            Verdict::Drop | Verdict::Hold => {}
            Verdict::Empty => emptied = true,
        }
    }
    filter.end_of_chunk();
    if emptied && kept.is_empty() { records.to_vec() } else { kept }
}

/// Sends JSON records through one filter and returns them as JSON.
pub(crate) fn run_json(filter: &dyn Filter, records: &[&str]) -> Vec<String> {
    let records: Vec<_> = records.iter().map(|record| encode(record)).collect();
    run(filter, &Tag::from("app.log"), &records).iter().map(|record| decode(record)).collect()
}

/// A writer whose text can be read by its clones.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
