//! What a record is called where an output takes it: the output itself says so.

use chrono::{DateTime, Utc};
use ikada_config::Instance;
use ikada_engine::OutputSlot;
use ikada_record::{Tag, Timestamp};

/// What stands for the task's id in a tag of FireLens.
pub const TASK_ID: &str = "0123456789abcdef0123456789abcdef";

/// What an output calls what it takes under a tag, as pairs of a word and a name: `log group`, `/ecs/shop`. One that could not be
/// built says nothing.
#[must_use]
pub fn names(
    built: &[OutputSlot],
    output: &Instance,
    tag: &str,
    now: DateTime<Utc>,
) -> Vec<(&'static str, String)> {
    let Some(slot) = built.iter().find(|slot| slot.id.name == output.id) else { return Vec::new() };
    slot.output
        .names(&Tag::new(tag.as_bytes()), Timestamp::new(now.timestamp(), now.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use ikada_config::{build_pipeline, from_text};

    use super::*;
    use crate::assemble::assemble;
    use crate::plugins::registry;

    fn shown(options: &str) -> String {
        let mut loaded =
            from_text("a.conf", format!("[OUTPUT]\n    Match *\n    region eu-west-1\n{options}"));
        let pipeline = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let built = assemble(&mut loaded, &registry(), true).pipeline.outputs;
        let now = DateTime::from_timestamp(1_700_000_000, 5_000_000).unwrap();
        let names = names(&built, &pipeline.outputs[0], "app-firelens-1.x", now);
        names.iter().map(|(word, name)| format!("{word} {name}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_output_has_its_own_words() {
        assert_eq!(
            shown("    Name cloudwatch_logs\n    log_group_name /ecs/shop\n    log_stream_prefix app-\n"),
            "log group /ecs/shop, log stream app-app-firelens-1.x"
        );
        assert_eq!(
            shown(
                "    Name cloudwatch_logs\n    log_group_name a\n    log_group_template /$TAG[1]\n    log_stream_prefix a\n    log_stream_template $name\n"
            ),
            "log group /x, log stream $name"
        );
        assert_eq!(
            shown(
                "    Name cloudwatch\n    log_group_name /ecs/$(tag[1])\n    log_stream_name $(name)-$(ecs_task_id)\n"
            ),
            "log group /ecs/x, log stream $(name)-$(ecs_task_id)"
        );
        assert_eq!(shown("    Name kinesis_firehose\n    delivery_stream audit\n"), "delivery stream audit");
        assert_eq!(shown("    Name kinesis\n    stream audit\n"), "stream audit");
        assert_eq!(
            shown("    Name s3\n    bucket archive\n    s3_key_format /$TAG[1]/%Y/%m/%d/%H-$UUID.gz%\n"),
            "bucket archive, key x/2023/11/14/22-ABCDEFGH.gz%"
        );
        assert_eq!(
            shown("    Name s3\n    bucket archive\n    s3_key_format /%Y/x.log.gz\n    compression gzip\n"),
            "bucket archive, key 2023/x-objectABCDEFGH.log.gz"
        );
        assert_eq!(
            shown("    Name http\n    host h\n    port 8080\n    uri /x\n"),
            "address http://h:8080/x"
        );
        assert_eq!(shown("    Name forward\n    host h\n"), "address h:24224");
        assert_eq!(shown("    Name file\n    path /logs/\n"), "file /logs/app-firelens-1.x");
        assert_eq!(shown("    Name stdout\n"), "");
    }
}
