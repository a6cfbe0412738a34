//! The options of `cloudwatch`.

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{NetOptions, Options, PropertyBag};

use super::go_names::{GoTemplate, Task};
use super::message::MessageEncoder;
use super::names::{Names, Pattern, PlainStream};
use super::options::{Creation, LateEvents, Oversize, Settled, check_days, header, note_idle, tags_of};
use super::sender::Manner;
use crate::client::AwsOptions;

/// Sends records to Amazon CloudWatch Logs as the plugin of this name does: as JSON with its keys sorted, into groups and streams with
/// `$(…)` in their names.
#[derive(Debug, Clone, Options)]
#[options(output = "cloudwatch")]
pub struct GoCloudWatchOptions {
    /// Log group. `$(tag)`, `$(tag[1])`, `$(ecs_task_id)`, `$(ecs_cluster)`, `$(ecs_task_arn)`, `$(uuid)`, `$(key)` and `$(key['a']['b'])` are
    /// filled in; characters that no group can have become dots, and `#` does too.
    #[option(required, example = "/ecs/$(ecs_cluster)/$(container_name)")]
    pub log_group_name: Spanned<String>,
    /// Group for records whose `log_group_name` cannot be filled in.
    #[option(default = "fluentbit-default")]
    pub default_log_group_name: String,
    /// Log stream, with the same references. Either this or `log_stream_prefix` is needed.
    #[option(example = "$(tag[1])/$(ecs_task_id)")]
    pub log_stream_name: Option<Spanned<String>>,
    /// Stream for records whose `log_stream_name` cannot be filled in.
    #[option(default = "/fluentbit-default")]
    pub default_log_stream_name: String,
    /// What the log stream's name starts with; the tag follows.
    #[option(example = "web-")]
    pub log_stream_prefix: Option<Spanned<String>>,
    /// Creates a log group that is missing.
    #[option(default = "off")]
    pub auto_create_group: bool,
    /// Creates a log stream that is missing.
    #[option(default = "on")]
    pub auto_create_stream: bool,
    /// Tags of a log group that is created here, as `key=value` with commas between them.
    #[option(example = "team=web,stage=prod")]
    pub new_log_group_tags: Option<Spanned<String>>,
    /// Days for which log groups keep events, those that are there already too; 0 leaves them as they are.
    #[option(default = "0", example = "30")]
    pub log_retention_days: Spanned<u16>,
    /// Sends the value of this key instead of the whole record: text as it is, anything else as JSON.
    #[option(example = "log")]
    pub log_key: Option<Spanned<String>>,
    /// Format that the events are announced to be in, as `json/emf` for metrics in log events.
    #[option(example = "json/emf")]
    pub log_format: Option<Spanned<String>>,
    /// What becomes of events that the service turns away because they are too old or too new: `now` sends them once more with
    /// the time of now; `dead_letter` and `drop` count them as dropped (`out_of_time`), and `dead_letter` sets them aside where dead letters
    /// are kept.
    #[option(default = "dead_letter", example = "now")]
    pub late_events: LateEvents,
    /// What becomes of a message longer than the service takes (1,048,550 bytes): it goes in parts, is cut, or is dropped. The
    /// plugin written in Go cuts at 262,118 bytes.
    #[option(default = "split", example = "truncate")]
    pub oversize: Oversize,
    /// URL that gives credentials, as that of ECS does, in place of all other places.
    #[option(example = "http://169.254.170.2/v2/credentials/0123")]
    pub credentials_endpoint: Option<Spanned<String>>,
    /// Text added to the name the requests carry in their `User-Agent` header.
    #[option(example = "team-a")]
    pub extra_user_agent: Option<Spanned<String>>,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
}

impl GoCloudWatchOptions {
    /// Checks the options against each other and against the service's rules.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        let task = Task::of_process();
        let names = self.names(!task.is_there(), bag, diags);
        let creation = self.creation(diags);
        let log_format = header(self.log_format.as_ref(), diags);
        let destination =
            self.aws.destination_as(self.credentials_endpoint.as_ref(), None, None, bag, net, diags);
        if diags.counts().errors > errors {
            return None;
        }
        Some(Settled {
            names: names?,
            encoder: MessageEncoder::go(self.log_key.as_ref().map(|key| key.value.as_str())),
            oversize: self.oversize,
            add_entity: false,
            destination: destination?,
            manner: Manner {
                creation,
                late: self.late_events,
                log_format,
                extra_user_agent: self.extra_user_agent.map(|text| text.value),
            },
            task,
        })
    }

    fn names(&self, no_task: bool, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<Names> {
        let (mut group, group_template) =
            named("log_group_name", &self.log_group_name, &self.default_log_group_name, diags)?;
        if group_template.is_none() {
            group = group.replace('#', ".");
        }
        let (stream, stream_template) = match (&self.log_stream_name, &self.log_stream_prefix) {
            (Some(name), None) => {
                let (plain, template) = named("log_stream_name", name, &self.default_log_stream_name, diags)?;
                (PlainStream::Literal(plain), template)
            }
            (None, Some(prefix)) => (PlainStream::Prefix(prefix.value.clone()), None),
            (Some(name), Some(_)) => {
                let message = "`log_stream_name` and `log_stream_prefix` exclude each other";
                let found = Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(name.span);
                diags.push(found.help("remove one of them"));
                return None;
            }
            (None, None) => {
                let message = format!("{} needs `log_stream_name` or `log_stream_prefix`", bag.section());
                let found = Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header());
                diags.push(found.help("add a line `log_stream_prefix web-`"));
                return None;
            }
        };
        Some(Names { group, stream, group_template, stream_template, no_task })
    }

    fn creation(&self, diags: &mut Diagnostics) -> Creation {
        check_days(&self.log_retention_days, diags);
        let days = self.log_retention_days.value;
        let retention = (days != 0).then_some((self.log_retention_days.span, "log_retention_days"));
        let tags = self.new_log_group_tags.as_ref().map(|tags| (tags.span, "new_log_group_tags"));
        note_idle([retention, tags], self.auto_create_group, diags);
        Creation {
            stream: self.auto_create_stream,
            group: self.auto_create_group,
            retention_days: Some(days).filter(|days| *days != 0),
            retain_existing: self.auto_create_group,
            class: None,
            tags: tags_of(self.new_log_group_tags.as_ref().map(|tags| tags.value.as_str())),
        }
    }
}

/// A name as it stands, or the one to fall back to and the template.
fn named(
    option: &str,
    name: &Spanned<String>,
    default: &str,
    diags: &mut Diagnostics,
) -> Option<(String, Option<Pattern>)> {
    if !name.value.contains("$(") {
        return Some((name.value.clone(), None));
    }
    match GoTemplate::new(&name.value) {
        Ok(template) => Some((default.to_owned(), Some(Pattern::Go(template)))),
        Err(error) => {
            let message = format!("`{option}`: {error}");
            diags.push(Diagnostic::error(codes::BAD_TEMPLATE, message).at(name.span));
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
        check_set::<GoCloudWatchOptions>();
    }
}
