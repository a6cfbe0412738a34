//! What a record is called where an output takes it.

use chrono::{DateTime, Utc};
use ikada_config::Instance;

/// What stands for the task's id in a tag of FireLens.
pub const TASK_ID: &str = "0123456789abcdef0123456789abcdef";

/// What an output calls what it takes under a tag, as pairs of a word and a name: `log group`, `/ecs/shop`.
#[must_use]
pub fn names(output: &Instance, tag: &str, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let text = |key: &str| {
        let property = output.bag.peek(key)?;
        Some(property.value.value.clone()).filter(|text| !text.is_empty())
    };
    let or_none = |key: &str| text(key).unwrap_or_else(|| "(none)".to_owned());
    match output.plugin.value.as_str() {
        "cloudwatch_logs" | "cloudwatch" => {
            let group = text("log_group_template").unwrap_or_else(|| or_none("log_group_name"));
            let stream =
                match (text("log_stream_template"), text("log_stream_name"), text("log_stream_prefix")) {
                    (Some(template), ..) => template,
                    (_, Some(name), _) => name,
                    (_, _, Some(prefix)) => format!("{prefix}{tag}"),
                    _ => "(none)".to_owned(),
                };
            vec![("log group", filled(&group, tag)), ("log stream", filled(&stream, tag))]
        }
        "kinesis_firehose" | "firehose" => vec![("delivery stream", or_none("delivery_stream"))],
        "kinesis_streams" | "kinesis" => vec![("stream", or_none("stream"))],
        "s3" => {
            let format =
                text("s3_key_format").unwrap_or_else(|| "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S".to_owned());
            let signs = text("s3_key_format_tag_delimiters").unwrap_or_else(|| ".".to_owned());
            vec![("bucket", or_none("bucket")), ("key", key(&format, tag, &signs, now))]
        }
        "http" => {
            let host = text("host").unwrap_or_else(|| "127.0.0.1".to_owned());
            let port = text("port").map(|port| format!(":{port}")).unwrap_or_default();
            vec![("address", format!("{host}{port}{}", text("uri").unwrap_or_else(|| "/".to_owned())))]
        }
        "forward" | "tcp" | "es" | "opensearch" | "splunk" | "datadog" | "loki" => {
            let host = text("host").or_else(|| text("upstream")).unwrap_or_else(|| "127.0.0.1".to_owned());
            let port = text("port").map(|port| format!(":{port}")).unwrap_or_default();
            vec![("address", format!("{host}{port}"))]
        }
        "file" => {
            let folder =
                text("path").map(|path| format!("{}/", path.trim_end_matches('/'))).unwrap_or_default();
            vec![("file", format!("{folder}{}", text("file").unwrap_or_else(|| tag.to_owned())))]
        }
        _ => Vec::new(),
    }
}

/// A name with the references to the tag filled in; those to the record stay.
fn filled(template: &str, tag: &str) -> String {
    let mut name = template.replace("$(tag)", tag).replace("${tag}", tag);
    for (number, part) in tag.split('.').enumerate() {
        name = name.replace(&format!("$(tag[{number}])"), part).replace(&format!("$TAG[{number}]"), part);
    }
    name.replace("$TAG", tag)
}

/// An object's key as it would be now.
fn key(format: &str, tag: &str, signs: &str, now: DateTime<Utc>) -> String {
    let mut key = now.format(&checked(format)).to_string();
    for (number, part) in tag.split(|c| signs.contains(c)).enumerate() {
        key = key.replace(&format!("$TAG[{number}]"), part);
    }
    let key = key.replace("$TAG", tag).replace("$UUID", "ABCDEFGH").replace("$INDEX", "0");
    key.trim_start_matches('/').to_owned()
}

/// A format that chrono takes: what it does not know stands for itself.
fn checked(format: &str) -> String {
    let is_known = |item: char| "YymdHMSjbBaAeFTpIsLZzuwUWGgVCDRkl%".contains(item);
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('%', Some(item)) if is_known(item) => {
                letters.next();
                // Milliseconds and the like of Fluent Bit are not chrono's.
                match item {
                    'L' => text.push_str("%3f"),
                    _ => text.extend(['%', item]),
                }
            }
            ('%', _) => text.push_str("%%"),
            (letter, _) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ikada_config::{build_pipeline, from_text};

    use super::*;

    fn shown(options: &str) -> String {
        let mut loaded = from_text("a.conf", format!("[OUTPUT]\n    Match *\n{options}"));
        let pipeline = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let now = DateTime::from_timestamp(1_700_000_000, 5_000_000).unwrap();
        let names = names(&pipeline.outputs[0], "app-firelens-1.x", now);
        names.iter().map(|(word, name)| format!("{word} {name}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_output_has_its_own_words() {
        assert_eq!(
            shown("    Name cloudwatch_logs\n    log_group_name /ecs/shop\n    log_stream_prefix app-\n"),
            "log group /ecs/shop, log stream app-app-firelens-1.x"
        );
        assert_eq!(
            shown("    Name cloudwatch\n    log_group_name /ecs/$(tag[1])\n    log_stream_name $(name)\n"),
            "log group /ecs/x, log stream $(name)"
        );
        assert_eq!(shown("    Name kinesis_firehose\n    delivery_stream audit\n"), "delivery stream audit");
        assert_eq!(
            shown("    Name s3\n    bucket archive\n    s3_key_format /$TAG[1]/%Y/%m/%d/%H_%L-$UUID.gz%\n"),
            "bucket archive, key x/2023/11/14/22_005-ABCDEFGH.gz%"
        );
        assert_eq!(shown("    Name http\n    host h\n    port 8080\n    uri /x\n"), "address h:8080/x");
        assert_eq!(shown("    Name file\n    path /logs/\n"), "file /logs/app-firelens-1.x");
        assert_eq!(shown("    Name stdout\n"), "");
    }
}
