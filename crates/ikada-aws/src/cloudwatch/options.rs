//! The options of `cloudwatch_logs`, and what those of both names come to.

use std::collections::HashMap;

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, NetOptions, Options, PropertyBag};
use ikada_record::accessor::Template;
use ikada_record::json::JsonStyle;

use super::emf::{Emf, MOST_DIMENSIONS};
use super::go_names::Task;
use super::message::MessageEncoder;
use super::names::{Names, Pattern, PlainStream, write_group, write_stream};
use super::sender::Manner;
use crate::client::{AwsOptions, Destination};
pub(super) use crate::records::Oversize;

/// Days for which PutRetentionPolicy keeps events (its model, read 2026-11-22).
const RETENTION_DAYS: [u16; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Sends records to Amazon CloudWatch Logs, into groups and streams that it creates when they are missing.
#[derive(Debug, Clone, Options)]
#[options(output = "cloudwatch_logs")]
pub struct CloudWatchOptions {
    /// Log group. Characters that no group can have become dots.
    #[option(required, example = "/ecs/web")]
    pub log_group_name: Spanned<String>,
    /// Log stream. Either this or `log_stream_prefix` is needed.
    #[option(example = "web")]
    pub log_stream_name: Option<Spanned<String>>,
    /// What the log stream's name starts with; the tag follows. `:` and `*` become dots, where Fluent Bit sends names
    /// that the service refuses.
    #[option(example = "web-")]
    pub log_stream_prefix: Option<Spanned<String>>,
    /// Log group with references to the record and the tag. Where a reference finds nothing, `log_group_name` is used.
    #[option(example = "/ecs/$TAG[1]")]
    pub log_group_template: Option<Spanned<String>>,
    /// Log stream with references to the record and the tag. Where a reference finds nothing, the plain name is used.
    #[option(example = "$kubernetes['pod_name']")]
    pub log_stream_template: Option<Spanned<String>>,
    /// Creates a log group that is missing. Streams are always created.
    #[option(default = "off")]
    pub auto_create_group: bool,
    /// Days for which a log group that is created here keeps events; 0 keeps them for ever.
    #[option(default = "0", example = "30")]
    pub log_retention_days: Spanned<u16>,
    /// Class of a log group that is created here.
    #[option(example = "INFREQUENT_ACCESS")]
    pub log_group_class: Option<Spanned<GroupClass>>,
    /// Sends the value of this key instead of the whole record: text as it is, anything else as JSON. The name must match exactly;
    /// Fluent Bit takes every key that this name starts with.
    #[option(example = "log")]
    pub log_key: Option<Spanned<String>>,
    /// Format that the events are announced to be in, as `json/emf` for metrics in log events.
    #[option(example = "json/emf")]
    pub log_format: Option<Spanned<String>>,
    /// Port of the endpoint, where `endpoint` does not hold one.
    #[option(example = "443")]
    pub port: Option<Spanned<u16>>,
    /// Text added to the name the requests carry in their `User-Agent` header.
    #[option(example = "team-a")]
    pub extra_user_agent: Option<Spanned<String>>,
    /// What becomes of events that the service turns away because they are too old or too new: `now` sends them once more with
    /// the time of now; `dead_letter` and `drop` count them as dropped (`out_of_time`), and `dead_letter` sets them aside where dead letters
    /// are kept.
    /// Fluent Bit loses them without a word.
    #[option(default = "dead_letter", example = "now")]
    pub late_events: LateEvents,
    /// What becomes of a message longer than the service takes (1,048,550 bytes): it goes in parts, is cut, or is dropped. Fluent
    /// Bit cuts or drops it.
    #[option(default = "split", example = "truncate")]
    pub oversize: Oversize,
    /// Tags of a log group that is created here, as `key=value` with commas between them. Fluent Bit has this option under the name
    /// `cloudwatch` only.
    #[option(example = "team=web,stage=prod")]
    pub new_log_group_tags: Option<Spanned<String>>,
    /// Namespace of metrics. With it, or with `metric_dimensions`, every number in a record is a metric (Embedded Metric Format). Fluent
    /// Bit makes metrics of its inputs `cpu` and `mem` only.
    #[option(example = "fluent-bit-metrics")]
    pub metric_namespace: Option<Spanned<String>>,
    /// Dimensions of metrics: names with commas between them, sets of them with semicolons between.
    #[option(example = "host,region;host")]
    pub metric_dimensions: Option<Spanned<String>>,
    /// Tells the service what the logs are of, by the fields `aws_entity_…` that Fluent Bit's filter `kubernetes` adds on the nodes. They
    /// are no part of the messages then.
    #[option(default = "off")]
    pub add_entity: bool,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

/// Classes of log groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum GroupClass {
    /// With every feature.
    #[choice("STANDARD")]
    Standard,
    /// Half the price to take in, without live tail, metrics and alarms.
    #[choice("INFREQUENT_ACCESS")]
    InfrequentAccess,
}

/// What becomes of events that are too old or too new for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum LateEvents {
    /// They are sent once more, with the time of now.
    Now,
    /// They are counted as dropped, and set aside where dead letters are kept.
    DeadLetter,
    /// They are counted as dropped.
    Drop,
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) names: Names,
    pub(super) encoder: MessageEncoder,
    pub(super) oversize: Oversize,
    pub(super) add_entity: bool,
    pub(super) destination: Destination,
    pub(super) manner: Manner,
    pub(super) task: Task,
}

/// What is created, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Creation {
    /// Streams.
    pub(super) stream: bool,
    /// Groups, too.
    pub(super) group: bool,
    pub(super) retention_days: Option<u16>,
    /// Groups that are there already get the retention too, as the Go plugin does.
    pub(super) retain_existing: bool,
    pub(super) class: Option<GroupClass>,
    pub(super) tags: HashMap<String, String>,
}

impl Creation {
    pub(super) fn retains_existing(&self) -> bool {
        self.retain_existing && self.retention_days.is_some()
    }
}

impl CloudWatchOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        style: JsonStyle,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        let names = self.names(bag, diags);
        let creation = self.creation(diags);
        let emf = self.emf(diags);
        let mut log_format = header(self.log_format.as_ref(), diags);
        if emf.is_some() && log_format.is_none() {
            log_format = Some("json/emf".to_owned());
        }
        let destination = self.aws.destination(self.port.as_ref(), bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let log_key = self.log_key.as_ref().map(|key| key.value.as_str());
        Some(Settled {
            names: names?,
            encoder: MessageEncoder::new(log_key, style, emf),
            oversize: self.oversize,
            add_entity: self.add_entity,
            destination: destination?,
            manner: Manner {
                creation,
                late: self.late_events,
                log_format,
                extra_user_agent: self.extra_user_agent.map(|text| text.value),
            },
            task: Task::default(),
        })
    }

    fn emf(&self, diags: &mut Diagnostics) -> Option<Emf> {
        if self.metric_namespace.is_none() && self.metric_dimensions.is_none() {
            return None;
        }
        let text = self.metric_dimensions.as_ref().map_or("", |sets| sets.value.as_str());
        let names = |set: &str| -> Vec<String> {
            set.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let sets: Vec<_> = text.split(';').map(names).filter(|set| !set.is_empty()).collect();
        if let Some(written) = self.metric_dimensions.as_ref()
            && sets.iter().any(|set| set.len() > MOST_DIMENSIONS)
        {
            let message = format!("`metric_dimensions`: a metric has at most {MOST_DIMENSIONS} dimensions");
            diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(written.span));
        }
        let namespace =
            self.metric_namespace.as_ref().map_or("fluent-bit-metrics", |name| name.value.as_str());
        Some(Emf::new(namespace, &sets))
    }

    fn names(&self, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<Names> {
        let stream = match (&self.log_stream_name, &self.log_stream_prefix) {
            (Some(name), None) => {
                self.plain("log_stream_name", name, write_stream, diags);
                Some(PlainStream::Literal(name.value.clone()))
            }
            (None, Some(prefix)) => Some(PlainStream::Prefix(prefix.value.clone())),
            (Some(name), Some(_)) => {
                let message = "`log_stream_name` and `log_stream_prefix` exclude each other";
                let found = Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(name.span);
                diags.push(found.help("remove one of them"));
                None
            }
            (None, None) => {
                let message = format!("{} needs `log_stream_name` or `log_stream_prefix`", bag.section());
                let found = Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header());
                diags.push(found.help("add a line `log_stream_prefix web-`"));
                None
            }
        };
        self.plain("log_group_name", &self.log_group_name, write_group, diags);
        let group_template = template("log_group_template", &self.log_group_template, diags);
        let stream_template = template("log_stream_template", &self.log_stream_template, diags);
        Some(Names {
            group: self.log_group_name.value.clone(),
            stream: stream?,
            group_template: group_template?,
            stream_template: stream_template?,
            no_task: true,
        })
    }

    /// Tells when a name is not sent as it is written.
    fn plain(
        &self,
        option: &str,
        name: &Spanned<String>,
        write: fn(&mut Vec<u8>, &[u8]),
        diags: &mut Diagnostics,
    ) {
        if name.value.contains("$(") {
            let message = format!("`{option}`: `$(…)` is no template here and is not filled in");
            let help =
                format!("type `{} {}`", option.replace("_name", "_template"), as_template(&name.value));
            diags.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(name.span).help(help));
            return;
        }
        let mut sent = Vec::new();
        write(&mut sent, name.value.as_bytes());
        if sent != name.value.as_bytes() {
            let sent = String::from_utf8_lossy(&sent);
            let message =
                format!("`{option}`: no such name can have `{}`; it is sent as `{sent}`", name.value);
            diags.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(name.span));
        }
    }

    fn creation(&self, diags: &mut Diagnostics) -> Creation {
        let days = &self.log_retention_days;
        if self.auto_create_group {
            check_days(days, diags);
        }
        let retention = (days.value != 0).then_some((days.span, "log_retention_days"));
        let class = self.log_group_class.as_ref().map(|class| (class.span, "log_group_class"));
        let tags = self.new_log_group_tags.as_ref().map(|tags| (tags.span, "new_log_group_tags"));
        note_idle([retention, class, tags], self.auto_create_group, diags);
        Creation {
            stream: true,
            group: self.auto_create_group,
            retention_days: Some(days.value).filter(|days| *days != 0),
            retain_existing: false,
            class: self.log_group_class.as_ref().map(|class| class.value),
            tags: tags_of(self.new_log_group_tags.as_ref().map(|tags| tags.value.as_str())),
        }
    }
}

/// Says that PutRetentionPolicy does not take a number of days.
pub(super) fn check_days(days: &Spanned<u16>, diags: &mut Diagnostics) {
    if days.value == 0 || RETENTION_DAYS.contains(&days.value) {
        return;
    }
    let longer = RETENTION_DAYS.iter().find(|known| **known > days.value);
    let near = longer.or(RETENTION_DAYS.last()).copied().unwrap_or_default();
    let message =
        format!("`log_retention_days`: CloudWatch Logs does not keep events for {} days", days.value);
    let found = Diagnostic::error(codes::BAD_VALUE, message).at(days.span);
    diags.push(found.help(format!("type `{near}`")));
}

/// Says which options only count for groups that are created here, where none are.
pub(super) fn note_idle<const N: usize>(
    options: [Option<(ikada_diag::Span, &str)>; N],
    auto_create_group: bool,
    diags: &mut Diagnostics,
) {
    for (span, name) in options.into_iter().flatten().filter(|_| !auto_create_group) {
        let message = format!("`{name}` has no effect without `auto_create_group`");
        diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(span));
    }
}

/// `key=value` with commas between; blanks around them do not count, a key without a name is left out, and the last of equal keys wins.
pub(super) fn tags_of(text: Option<&str>) -> HashMap<String, String> {
    let pair = |tag: &str| {
        let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
        (key.trim().to_owned(), value.trim().to_owned())
    };
    text.unwrap_or_default().split(',').map(pair).filter(|(key, _)| !key.is_empty()).collect()
}

/// The format that events are announced to be in.
pub(super) fn header(format: Option<&Spanned<String>>, diags: &mut Diagnostics) -> Option<String> {
    let format = format?;
    if http::HeaderValue::from_str(&format.value).is_err() {
        let message = "`log_format`: no header can hold this";
        diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(format.span));
    }
    Some(format.value.clone())
}

/// A name with the `$(…)` of the Go plugin as a template of ours; `$TAG`, which holds the task's id, where there is none: a
/// reference ends at a dot only, and no record has a field `ecs_task_id`.
fn as_template(name: &str) -> String {
    let reference_goes_on = name.split(')').skip(1).any(|after| !after.is_empty() && !after.starts_with('.'));
    let text = name.replace("$(tag", "$(TAG").replace("$(", "$").replace(')', "");
    let is_template = Template::new(&text).is_ok_and(|template| template.cautions().next().is_none());
    match is_template && !reference_goes_on && !text.contains("ecs_task_id") {
        true => text,
        false => "$TAG".to_owned(),
    }
}

/// The template, `Some(None)` if none is given, `None` if it is none.
fn template(name: &str, text: &Option<Spanned<String>>, diags: &mut Diagnostics) -> Option<Option<Pattern>> {
    let Some(text) = text else { return Some(None) };
    match Template::new(&text.value) {
        Ok(template) => {
            for caution in template.cautions() {
                let message = format!("`{name}`: {}", caution.message);
                let found = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(text.span);
                diags.push(found.maybe_help(caution.help.clone()));
            }
            Some(Some(Pattern::C(template)))
        }
        Err(error) => {
            diags.push(Diagnostic::error(codes::BAD_TEMPLATE, format!("`{name}`: {error}")).at(text.span));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_set_is_sound() {
        check_set::<CloudWatchOptions>();
    }

    #[test]
    fn a_template_of_the_go_plugin_is_told_as_ours_where_there_is_one() {
        assert_eq!(as_template("/ecs/$(ecs_cluster).$(container_name)"), "/ecs/$ecs_cluster.$container_name");
        assert_eq!(as_template("logs-$(tag[1])"), "logs-$TAG[1]");
        assert_eq!(as_template("/ecs/$(kubernetes['pod_name'])"), "/ecs/$kubernetes['pod_name']");
        for name in ["/ecs/$(ecs_cluster)/application", "$(ecs_task_id)", "$(unclosed['"] {
            assert_eq!(as_template(name), "$TAG", "{name}");
        }
    }

    #[test]
    fn tags_are_trimmed_and_the_last_one_wins() {
        let tags = |text: &str| {
            let mut tags: Vec<_> = tags_of(Some(text)).into_iter().collect();
            tags.sort();
            tags
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags(" a = 1 , b,=x,a=2=3,"), [pair("a", "2=3"), pair("b", "")]);
    }
}
