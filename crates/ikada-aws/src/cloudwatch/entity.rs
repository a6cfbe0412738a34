//! What logs are of: the entity of a call, told by fields that Fluent Bit's filter `kubernetes` adds on the nodes.
//!
//! ```text
//! "entity":{"keyAttributes":{"Type":"Service","Name":"cart","Environment":"eks:prod/shop","AwsAccountId":"123456789012"},
//!           "attributes":{"PlatformType":"AWS::EKS","EKS.Cluster":"prod","K8s.Namespace":"shop",…}},
//! ```
//!
//! A call has one entity for all of its events, so records of different ones go in different calls. The service takes no entity without
//! a name and an account: then none is sent. The fields are no part of the message.

use ikada_msgpack::{MapView, View, str_bytes, write};
use ikada_record::Entry;
use ikada_record::json::write_str_escaped;

/// What the names of the fields begin with.
const PREFIX: &[u8] = b"aws_entity";

/// Longest values that the service takes, in characters: of a key attribute, and of any other (PutLogEvents, read 2026-11-22).
const LONGEST_KEY: usize = 256;
const LONGEST: usize = 512;

/// Writes the member `entity` of a call for this record, a comma behind it, or nothing.
pub(super) fn write_entity(out: &mut Vec<u8>, record: MapView<'_>) {
    let pod = record.get(b"kubernetes").and_then(|pod| pod.as_map());
    let of_pod = |key: &str| pod.as_ref().and_then(|pod| text(pod, key));
    let (workload, cluster) = (of_pod("aws_entity_workload"), of_pod("aws_entity_cluster"));
    let (platform, namespace) = (of_pod("aws_entity_platform"), of_pod("namespace_name"));
    let (mut name, mut source) = (of_pod("aws_entity_service_name"), of_pod("aws_entity_name_source"));
    if name.is_none() && source.is_none() && workload.is_some() {
        (name, source) = (workload.clone(), Some("K8sWorkload".to_owned()));
    }
    let (Some(name), Some(account)) = (name, text(&record, "aws_entity_account_id")) else { return };
    let environment = of_pod("aws_entity_environment")
        .or_else(|| Some(format!("{}:{}/{}", platform.as_ref()?, cluster.as_ref()?, namespace.as_ref()?)));
    let (kind, cluster_key) = match platform.as_deref() {
        Some("eks") => (Some("AWS::EKS"), "EKS.Cluster"),
        Some("k8s") => (Some("K8s"), "K8s.Cluster"),
        Some(_) => (None, ""),
        None => (Some("Generic"), ""),
    };
    out.extend_from_slice(b"\"entity\":{\"keyAttributes\":{");
    let keys = [
        ("Type", Some("Service".to_owned())),
        ("Name", Some(name)),
        ("Environment", environment),
        ("AwsAccountId", Some(account)),
    ];
    members(out, &keys, LONGEST_KEY);
    out.extend_from_slice(b"},\"attributes\":{");
    let attributes = [
        ("PlatformType", kind.map(str::to_owned)),
        (cluster_key, cluster.filter(|_| !cluster_key.is_empty())),
        ("K8s.Namespace", namespace),
        ("K8s.Node", of_pod("host")),
        ("K8s.Workload", workload),
        ("EC2.InstanceId", text(&record, "aws_entity_ec2_instance_id")),
        ("AWS.ServiceNameSource", source),
    ];
    members(out, &attributes, LONGEST);
    out.extend_from_slice(b"}},");
}

/// Text under a key, if it is not empty.
fn text(map: &MapView<'_>, key: &str) -> Option<String> {
    match map.get(key.as_bytes()) {
        Some(View::Str(text)) if !text.is_empty() => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn members(out: &mut Vec<u8>, members: &[(&str, Option<String>)], longest: usize) {
    let mut is_first = true;
    for (key, value) in members {
        let Some(value) = value else { continue };
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        out.extend_from_slice(format!("\"{key}\":\"").as_bytes());
        let value: String = value.chars().take(longest).collect();
        write_str_escaped(out, value.as_bytes());
        out.push(b'"');
    }
}

/// The entry without the fields that tell an entity, written into `scratch`; `None` if it has none.
pub(super) fn without_fields<'s>(entry: &Entry<'_>, scratch: &'s mut Vec<u8>) -> Option<Entry<'s>> {
    let record = entry.record();
    let is_pod = |key: &[u8]| str_bytes(key) == Some(b"kubernetes".as_slice());
    let pod = record.raw().find(|(key, _)| is_pod(key)).map(|(_, value)| MapView::known(value));
    let has_any = |map: &MapView<'_>| map.raw().any(|(key, _)| is_field(key));
    if !has_any(&record) && !pod.as_ref().is_some_and(has_any) {
        return None;
    }
    scratch.clear();
    scratch.extend_from_slice(entry.head_bytes());
    write::map_header(scratch, record.raw().filter(|(key, _)| !is_field(key)).count());
    for (key, value) in record.raw().filter(|(key, _)| !is_field(key)) {
        scratch.extend_from_slice(key);
        match View::parse(value) {
            Ok((View::Map(pod), _)) if is_pod(key) => {
                write::map_header(scratch, pod.raw().filter(|(key, _)| !is_field(key)).count());
                for (key, value) in pod.raw().filter(|(key, _)| !is_field(key)) {
                    scratch.extend_from_slice(key);
                    scratch.extend_from_slice(value);
                }
            }
            _ => scratch.extend_from_slice(value),
        }
    }
    Entry::scan(scratch).ok().map(|(entry, _)| entry)
}

fn is_field(key: &[u8]) -> bool {
    str_bytes(key).is_some_and(|key| key.len() > PREFIX.len() && key.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp, record_at};
    use serde_json::{Value, json};

    use super::*;

    fn entity(record: &Value) -> String {
        let bytes = rmp_serde::to_vec(record).unwrap();
        let mut out = Vec::new();
        write_entity(&mut out, record_at(&bytes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_service_on_eks_is_told_with_all_that_is_known() {
        let record = json!({
            "log": "x", "aws_entity_account_id": "123456789012", "aws_entity_ec2_instance_id": "i-1",
            "kubernetes": {
                "aws_entity_service_name": "ca\"rt", "aws_entity_environment": "prod", "namespace_name": "shop", "host": "n1",
                "aws_entity_cluster": "c", "aws_entity_workload": "w", "aws_entity_name_source": "s", "aws_entity_platform": "eks"
            }
        });
        assert_eq!(
            entity(&record),
            r#""entity":{"keyAttributes":{"Type":"Service","Name":"ca\"rt","Environment":"prod","AwsAccountId":"123456789012"},"attributes":{"PlatformType":"AWS::EKS","EKS.Cluster":"c","K8s.Namespace":"shop","K8s.Node":"n1","K8s.Workload":"w","EC2.InstanceId":"i-1","AWS.ServiceNameSource":"s"}},"#
        );
    }

    #[test]
    fn a_workload_stands_in_for_a_name_and_the_cluster_for_an_environment() {
        let record = json!({
            "aws_entity_account_id": "1",
            "kubernetes": {"aws_entity_workload": "w", "aws_entity_platform": "k8s", "aws_entity_cluster": "c", "namespace_name": "n"}
        });
        assert_eq!(
            entity(&record),
            r#""entity":{"keyAttributes":{"Type":"Service","Name":"w","Environment":"k8s:c/n","AwsAccountId":"1"},"attributes":{"PlatformType":"K8s","K8s.Cluster":"c","K8s.Namespace":"n","K8s.Workload":"w","AWS.ServiceNameSource":"K8sWorkload"}},"#
        );
    }

    #[test]
    fn without_a_name_or_an_account_there_is_no_entity() {
        assert_eq!(entity(&json!({"kubernetes": {"aws_entity_service_name": "s"}})), "");
        assert_eq!(entity(&json!({"aws_entity_account_id": "1", "kubernetes": {"host": "h"}})), "");
    }

    #[test]
    fn its_fields_are_taken_out_of_the_record() {
        let cleaned = |record: &Value| {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            builder.push_record(Timestamp::new(1, 0), &rmp_serde::to_vec(record).unwrap());
            let chunk = builder.finish(Receipt::unwatched());
            let mut scratch = Vec::new();
            let entry = without_fields(&chunk.entries().next().unwrap(), &mut scratch)?;
            Some(rmp_serde::from_slice::<Value>(entry.record_bytes()).unwrap())
        };
        let record = json!({"a": 1, "aws_entity_account_id": "1", "kubernetes": {"aws_entity_cluster": "c", "host": "h"}, "aws_entity": 2});
        assert_eq!(cleaned(&record), Some(json!({"a": 1, "kubernetes": {"host": "h"}, "aws_entity": 2})));
        assert_eq!(cleaned(&json!({"a": 1, "kubernetes": {"host": "h"}})), None);
    }
}
