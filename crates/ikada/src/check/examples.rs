//! What objects in S3 will be called: three keys for each output, for now, an hour later and a day later.

use chrono::{DateTime, TimeDelta, Utc};
use ikada_config::Loaded;
use ikada_diag::Diagnostics;
use ikada_engine::OutputSlot;

use crate::checks::Takes;
use crate::checks::tags_of_input;
use crate::explain::names::{TASK_ID, names};

/// One line for each output `s3`.
pub(super) fn keys(loaded: &Loaded, built: &[OutputSlot], now: DateTime<Utc>) -> Vec<String> {
    let config = ikada_config::build_pipeline(&loaded.document, &mut Diagnostics::new());
    let tags: Vec<String> = config.inputs.iter().map(tags_of_input).collect();
    let line = |output: &ikada_config::Instance| {
        let takes = Takes::of(output);
        let tag = tags.iter().find(|tag| takes.some_of(tag)).map_or("app", String::as_str);
        let tag = concrete(tag, takes.pattern.as_deref().unwrap_or("*"));
        let times = [now, now + TimeDelta::hours(1), now + TimeDelta::days(1)];
        let keys: Vec<String> = times
            .iter()
            .flat_map(|time| names(built, output, &tag, *time))
            .filter(|(word, _)| *word == "key")
            .map(|(_, key)| format!("`{key}`"))
            .collect();
        (!keys.is_empty())
            .then(|| format!("output {}: objects are called like {}", output.name(), keys.join(", ")))
    };
    config.outputs.iter().filter(|output| output.plugin.value == "s3").filter_map(line).collect()
}

/// A tag that fits both patterns, as far as that is easily said.
fn concrete(tag: &str, pattern: &str) -> String {
    let narrower = match (tag.contains('*'), pattern.contains('*')) {
        (false, _) => tag,
        (true, false) => pattern,
        (true, true) if pattern.trim_matches('*').is_empty() => tag,
        (true, true) => pattern,
    };
    match narrower {
        "*" | "" => "app".to_owned(),
        "*-firelens-*" => format!("app-firelens-{TASK_ID}"),
        text => match text.strip_suffix("-firelens*").or_else(|| text.strip_suffix("-firelens-*")) {
            Some(name) => format!("{}-firelens-{TASK_ID}", name.replace('*', "app")),
            None => text.replace('*', "app"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::assemble;
    use crate::plugins::registry;

    #[test]
    fn three_keys_are_shown_for_each_output() {
        let text = "[INPUT]\n    Name forward\n    Unix_Path /var/run/fluent.sock\n[OUTPUT]\n    Name s3\n    Match web-firelens*\n    bucket b\n    s3_key_format /$TAG[0]/%Y/%m/%d/%H/$UUID.gz\n";
        let loaded = ikada_config::from_text("a.conf", text);
        let built = assemble(&mut loaded.clone(), &registry(), true).pipeline.outputs;
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let tag = format!("web-firelens-{TASK_ID}");
        assert_eq!(
            keys(&loaded, &built, now),
            [format!(
                "output s3.0: objects are called like `{tag}/2023/11/14/22/ABCDEFGH.gz`, `{tag}/2023/11/14/23/ABCDEFGH.gz`, `{tag}/2023/11/15/22/ABCDEFGH.gz`"
            )]
        );
        assert_eq!(concrete("*", "*"), "app");
        assert_eq!(concrete("tail.*", "*"), "tail.app");
        assert_eq!(concrete("*", "db.x"), "db.x");
    }
}
