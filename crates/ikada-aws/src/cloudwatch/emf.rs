//! Records as metrics: CloudWatch's Embedded Metric Format.
//!
//! ```text
//! {"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["a","b"]],"Metrics":[{"Name":"x","Unit":"None"}]}]},"x":5,…}
//! ```
//!
//! Every number at the top of a record is a metric, of the unit that Fluent Bit gives those of its inputs `cpu` and `mem`. A record
//! without one, or that has an `_aws` of its own, is left as it is.

use ikada_msgpack::{View, str_bytes};
use ikada_record::Entry;
use ikada_record::json::{JsonStyle, write_record, write_str_escaped};

/// Most metrics in one record (EMF specification, read 2026-11-22).
const MOST: usize = 100;
/// Most names in one set of dimensions (same).
pub(super) const MOST_DIMENSIONS: usize = 30;

/// What all records of an output have in common.
#[derive(Debug)]
pub(super) struct Emf {
    /// From behind the timestamp up to the metrics.
    middle: Vec<u8>,
}

impl Emf {
    /// `dimensions` are sets of names.
    pub(super) fn new(namespace: &str, dimensions: &[Vec<String>]) -> Self {
        let mut middle = b",\"CloudWatchMetrics\":[{\"Namespace\":\"".to_vec();
        write_str_escaped(&mut middle, namespace.as_bytes());
        middle.extend_from_slice(b"\",\"Dimensions\":[");
        for (at, set) in dimensions.iter().enumerate() {
            middle.extend_from_slice(if at > 0 { b",[" } else { b"[" });
            for (at, name) in set.iter().enumerate() {
                middle.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
                write_str_escaped(&mut middle, name.as_bytes());
                middle.push(b'"');
            }
            middle.push(b']');
        }
        middle.extend_from_slice(b"],\"Metrics\":[");
        Self { middle }
    }

    /// Appends the record of an entry; `false`, and nothing, if there is no metric in it.
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>, style: JsonStyle) -> bool {
        let start = out.len();
        out.extend_from_slice(b"{\"_aws\":{\"Timestamp\":");
        out.extend_from_slice(itoa::Buffer::new().format(entry.time().millis()).as_bytes());
        out.extend_from_slice(&self.middle);
        let mut count = 0;
        for (key, value) in entry.record().raw() {
            let Some(name) = str_bytes(key) else { continue };
            if name == b"_aws" {
                count = 0;
                break;
            }
            let number = matches!(View::parse(value), Ok((View::Int(_) | View::Uint(_) | View::Float(_), _)));
            if !number || count == MOST {
                continue;
            }
            out.extend_from_slice(if count > 0 { b",{\"Name\":\"" } else { b"{\"Name\":\"" });
            write_str_escaped(out, name);
            out.extend_from_slice(b"\",\"Unit\":\"");
            out.extend_from_slice(unit(name));
            out.extend_from_slice(b"\"}");
            count += 1;
        }
        if count == 0 {
            out.truncate(start);
            return false;
        }
        out.extend_from_slice(b"]}]},");
        let record = out.len();
        write_record(out, entry.record_bytes(), style);
        // Its opening brace stands at the start already.
        out.remove(record);
        true
    }
}

fn unit(name: &[u8]) -> &'static [u8] {
    let starts = |prefix: &str| name.starts_with(prefix.as_bytes());
    match () {
        () if starts("cpu") || starts("user_p") || starts("system_p") => b"Percent",
        () if starts("Mem.") || starts("Swap.") => b"Bytes",
        () => b"None",
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};
    use serde_json::json;

    use super::*;

    fn written(record: &serde_json::Value) -> Option<String> {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1, 5_000_000), &rmp_serde::to_vec(record).unwrap());
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        let emf = Emf::new("my \"ns\"", &[vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
        emf.write(&mut out, &chunk.entries().next().unwrap(), JsonStyle::default())
            .then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_are_metrics() {
        assert_eq!(
            written(&json!({"a": "x", "cpu_p": 1.5, "n": 2})).unwrap(),
            "{\"_aws\":{\"Timestamp\":1005,\"CloudWatchMetrics\":[{\"Namespace\":\"my \\\"ns\\\"\",\"Dimensions\":[[\"a\",\"b\"],[\"c\"]],\
             \"Metrics\":[{\"Name\":\"cpu_p\",\"Unit\":\"Percent\"},{\"Name\":\"n\",\"Unit\":\"None\"}]}]},\"a\":\"x\",\"cpu_p\":1.5,\"n\":2}"
        );
        let all: serde_json::Map<_, _> = (0..150).map(|n| (format!("m{n}"), json!(n))).collect();
        let text = written(&all.into()).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), MOST);
    }

    #[test]
    fn a_record_without_numbers_or_with_its_own_metrics_is_left_alone() {
        assert_eq!(written(&json!({"a": "x", "b": null})), None);
        assert_eq!(written(&json!({"n": 1, "_aws": {}})), None);
        assert_eq!(written(&json!({})), None);
    }
}
