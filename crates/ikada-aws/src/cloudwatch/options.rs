//! The options of `cloudwatch_logs`.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Choice, NetOptions, Options, PropertyBag};
use ikada_record::accessor::Template;

use super::names::{Names, PlainStream, write_group, write_stream};
use crate::client::{AwsOptions, Destination};

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
    /// Namespace of metrics made of the inputs `cpu` and `mem`, which are not here.
    #[option(example = "fluent-bit-metrics")]
    pub metric_namespace: Option<Spanned<String>>,
    /// Dimensions of metrics made of the inputs `cpu` and `mem`, which are not here.
    #[option(example = "host,region")]
    pub metric_dimensions: Option<Spanned<String>>,
    /// Adds Kubernetes entity fields to the requests; not supported.
    #[option(example = "off")]
    pub add_entity: Option<Spanned<bool>>,
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

/// What the options come to.
pub(super) struct Settled {
    pub(super) names: Names,
    pub(super) destination: Destination,
    pub(super) creation: Creation,
    pub(super) log_key: Option<String>,
    pub(super) log_format: Option<String>,
    pub(super) extra_user_agent: Option<String>,
}

/// What is created, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Creation {
    /// Groups, too.
    pub(super) group: bool,
    pub(super) retention_days: Option<u16>,
    pub(super) class: Option<GroupClass>,
}

impl CloudWatchOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        self.refuse_unsupported(diags);
        let names = self.names(bag, diags);
        let creation = self.creation(diags);
        let log_format = self.log_format(diags);
        let destination = self.aws.destination(self.port.as_ref(), bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        Some(Settled {
            names: names?,
            destination: destination?,
            creation,
            log_key: self.log_key.map(|key| key.value),
            log_format,
            extra_user_agent: self.extra_user_agent.map(|text| text.value),
        })
    }

    fn refuse_unsupported(&self, diags: &mut Diagnostics) {
        let metrics =
            [("metric_namespace", &self.metric_namespace), ("metric_dimensions", &self.metric_dimensions)];
        for (name, option) in metrics {
            let Some(option) = option else { continue };
            let message = format!("`{name}` is not supported: there are no inputs `cpu` and `mem`");
            diags.push(
                Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(option.span).help("remove it"),
            );
        }
        if let Some(option) = self.add_entity.as_ref().filter(|option| option.value) {
            let message = "`add_entity` is not supported";
            diags.push(
                Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(option.span).help("remove it"),
            );
        }
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
        if self.auto_create_group && days.value != 0 && !RETENTION_DAYS.contains(&days.value) {
            let longer = RETENTION_DAYS.iter().find(|known| **known > days.value);
            let near = longer.or(RETENTION_DAYS.last()).copied().unwrap_or_default();
            let message =
                format!("`log_retention_days`: CloudWatch Logs does not keep events for {} days", days.value);
            let found = Diagnostic::error(codes::BAD_VALUE, message).at(days.span);
            diags.push(found.help(format!("type `{near}`")));
        }
        let retention = (days.value != 0).then_some((days.span, "log_retention_days"));
        let class = self.log_group_class.as_ref().map(|class| (class.span, "log_group_class"));
        for (span, name) in [retention, class].into_iter().flatten().filter(|_| !self.auto_create_group) {
            let message = format!("`{name}` has no effect without `auto_create_group`");
            diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(span));
        }
        Creation {
            group: self.auto_create_group,
            retention_days: Some(days.value).filter(|days| *days != 0),
            class: self.log_group_class.as_ref().map(|class| class.value),
        }
    }

    fn log_format(&self, diags: &mut Diagnostics) -> Option<String> {
        let format = self.log_format.as_ref()?;
        if http::HeaderValue::from_str(&format.value).is_err() {
            let message = "`log_format`: no header can hold this";
            diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(format.span));
        }
        Some(format.value.clone())
    }
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
fn template(name: &str, text: &Option<Spanned<String>>, diags: &mut Diagnostics) -> Option<Option<Template>> {
    let Some(text) = text else { return Some(None) };
    match Template::new(&text.value) {
        Ok(template) => {
            for caution in template.cautions() {
                let message = format!("`{name}`: {}", caution.message);
                let found = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(text.span);
                diags.push(found.maybe_help(caution.help.clone()));
            }
            Some(Some(template))
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
}
