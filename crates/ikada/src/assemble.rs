//! From a configuration to a pipeline that the engine can run.
//!
//! Every instance is built, whatever was found before: one load reports everything that is wrong.

use std::collections::HashMap;
use std::sync::Arc;

use ikada_config::{Instance, Loaded, Processor, ServiceOptions};
use ikada_diag::{Diagnostic, Diagnostics, Span, Spanned, codes};
use ikada_engine::{Again, FilterSlot, InputSlot, OutputSlot, Pipeline};
use ikada_options::{FilterCommon, InputCommon, LogLevel, OptionSet, Options, OutputCommon, PropertyBag};
use ikada_parse::Parsers;
use ikada_plugin::registry::{Build, BuildContext, Plugin, Registry, find};
use ikada_plugin::{Filter, Input, InstanceId, Kind, RetryLimit, Service};
use ikada_record::Ledger;
use ikada_record::json::JsonStyle;
use ikada_route::{Matcher, Pattern, TagRegex};

use crate::{checks, holding, idle, parsers, unknown};

mod parts;

/// A pipeline, and the log levels that single instances ask for.
pub struct Assembled {
    /// What the engine runs. Incomplete if there were errors.
    pub pipeline: Pipeline,
    /// Log levels by shown name.
    pub levels: HashMap<String, LogLevel>,
    /// The `[SERVICE]` section.
    pub service: ServiceOptions,
}

/// Builds every plugin of a loaded configuration. Findings are added to `loaded`.
pub fn assemble(loaded: &mut Loaded, registry: &Registry, dry_run: bool) -> Assembled {
    let config = ikada_config::build_pipeline(&loaded.document, &mut loaded.diagnostics);
    idle::tell_of_service(&config.service, &mut loaded.diagnostics);
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_named = std::env::var_os("HOSTNAME").is_some();
    let service = Arc::new(Service {
        flush: config.service.flush.0,
        json: JsonStyle { escape_unicode: config.service.json_escape_unicode.unwrap_or(true) },
        config_dir: loaded.main_dir().to_path_buf(),
        variables: parts::variables(loaded.variables(), &hostname, is_named),
        hostname,
        groups: parts::groups(&config),
        input_memory: Arc::new(holding::input_memory(&config.service)),
        ..Service::default()
    });
    checks::look_over(&config, &mut loaded.diagnostics);
    let streams = parts::streams(&config, &mut loaded.diagnostics);
    let limits = {
        let is_set = |key: &str| loaded.document.sets_service(key);
        holding::limits(&config.service, is_set, config.outputs.len())
    };
    let storage = holding::storage(&config.service);
    let dead_letters = holding::dead_letters(&config.service, &mut loaded.diagnostics);
    let far_letters = holding::far_letters(&config.service, &service.hostname, &mut loaded.diagnostics);
    let parsers = Arc::new(parsers::parsers_of(&config.parsers, &mut loaded.diagnostics));
    let mut work = Work {
        found: &mut loaded.diagnostics,
        registry,
        service: service.clone(),
        settings: &config.service,
        parsers,
        levels: HashMap::new(),
        dry_run,
    };
    let inputs = config.inputs.into_iter().filter_map(|instance| work.input(instance)).collect();
    let filters =
        config.filters.into_iter().filter_map(|instance| work.filter(instance)).chain(streams).collect();
    let outputs = config.outputs.into_iter().filter_map(|instance| work.output(instance)).collect();
    let levels = work.levels;
    Assembled {
        pipeline: Pipeline { service, limits, storage, dead_letters, far_letters, inputs, filters, outputs },
        levels,
        service: config.service,
    }
}

struct Work<'w> {
    found: &'w mut Diagnostics,
    registry: &'w Registry,
    service: Arc<Service>,
    settings: &'w ServiceOptions,
    parsers: Arc<Parsers>,
    levels: HashMap<String, LogLevel>,
    dry_run: bool,
}

impl Work<'_> {
    fn input(&mut self, mut instance: Instance) -> Option<InputSlot> {
        let id = identify(Kind::Input, &instance);
        let plugin = self.plugin(&instance, &self.registry.inputs)?;
        let common = InputCommon::parse(&mut instance.bag, self.found);
        let mut cx = self.context(&id);
        if let Some(common) = &common {
            idle::tell_of_input(common, self.found);
            self.level(&id, common.log_level);
            cx.tag = common.tag.as_ref().map(|tag| tag.value.clone());
            cx.mem_buf_limit =
                common.mem_buf_limit.as_ref().map(|limit| limit.value.0).filter(|limit| *limit > 0);
        }
        let processors = self.processors(instance.processors);
        let again = again(plugin.build, &instance.bag, &cx);
        let input = self.build(plugin, &mut instance.bag, &cx, &InputCommon::set())?;
        let mem_buf_limit = cx.mem_buf_limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (durable, overflow) = holding::of_input(&common?, self.settings, self.found);
        let metrics = Arc::default();
        Some(InputSlot { id, input, again, metrics, mem_buf_limit, durable, overflow, processors })
    }

    fn filter(&mut self, mut instance: Instance) -> Option<FilterSlot> {
        let id = identify(Kind::Filter, &instance);
        let plugin = self.plugin(&instance, &self.registry.filters)?;
        let common = FilterCommon::parse(&mut instance.bag, self.found);
        let cx = self.context(&id);
        let filter = self.build(plugin, &mut instance.bag, &cx, &FilterCommon::set())?;
        let common = common?;
        self.level(&id, common.log_level);
        let matcher = self.matcher(common.match_pattern.as_ref(), common.match_regex.as_ref())?;
        common.active.0.then(|| FilterSlot { id, matcher, filter, metrics: Arc::default() })
    }

    fn output(&mut self, mut instance: Instance) -> Option<OutputSlot> {
        let id = identify(Kind::Output, &instance);
        let plugin = self.plugin(&instance, &self.registry.outputs)?;
        let common = OutputCommon::parse(&mut instance.bag, self.found);
        let mut cx = self.context(&id);
        cx.net = common.as_ref().map(|common| common.net.clone());
        let processors = self.processors(instance.processors);
        let output = self.build(plugin, &mut instance.bag, &cx, &OutputCommon::set())?;
        let common = common?;
        self.level(&id, common.log_level);
        let matcher = self.matcher(common.match_pattern.as_ref(), common.match_regex.as_ref())?;
        let retry = match common.retry_limit.as_ref().map(|limit| limit.value) {
            None | Some(ikada_options::RetryLimit::Unlimited) => RetryLimit::Unlimited,
            Some(ikada_options::RetryLimit::Limit(times)) => RetryLimit::Times(times),
            Some(ikada_options::RetryLimit::Never) => RetryLimit::Times(0),
        };
        let ledger = Arc::new(Ledger::default());
        Some(OutputSlot {
            id,
            matcher,
            output,
            metrics: Arc::default(),
            ledger,
            retry,
            disk_limit: common.storage_total_limit_size.as_ref().and_then(|limit| limit.value.0),
            processors,
        })
    }

    fn context(&self, id: &Arc<InstanceId>) -> BuildContext {
        BuildContext {
            id: id.clone(),
            service: self.service.clone(),
            tag: None,
            mem_buf_limit: None,
            net: None,
            parsers: self.parsers.clone(),
            dry_run: self.dry_run,
        }
    }

    fn level(&mut self, id: &InstanceId, level: Option<LogLevel>) {
        if let Some(level) = level {
            self.levels.insert(id.shown().to_owned(), level);
        }
    }

    fn build<P: ?Sized>(
        &mut self,
        plugin: &Plugin<P>,
        bag: &mut PropertyBag,
        cx: &BuildContext,
        common: &OptionSet,
    ) -> Option<Box<P>> {
        let built = (plugin.build)(bag, cx, self.found);
        if cx.id.kind != Kind::Filter {
            idle::take_of_connections(bag, self.found);
        }
        bag.finish(&[&(plugin.options)(), common], self.found);
        built
    }

    fn plugin<'r, P: ?Sized>(
        &mut self,
        instance: &Instance,
        known: &'r [Plugin<P>],
    ) -> Option<&'r Plugin<P>> {
        if let Some(plugin) = find(known, &instance.plugin.value) {
            return Some(plugin);
        }
        self.found.push(unknown::plugin(instance, self.registry));
        None
    }

    /// Which tags an instance takes; `None` with a finding if its expression is none.
    fn matcher(
        &mut self,
        pattern: Option<&Spanned<String>>,
        regex: Option<&Spanned<String>>,
    ) -> Option<Matcher> {
        let pattern = pattern.map(|pattern| Pattern::new(&pattern.value));
        let regex = match regex.map(|regex| (regex.span, TagRegex::new(&regex.value))) {
            None => None,
            Some((_, Ok(regex))) => Some(regex),
            Some((span, Err(error))) => {
                self.found.push(bad_regex(span, &error));
                return None;
            }
        };
        Some(Matcher { pattern, regex })
    }
}

/// Builds the same input once more; what was to be said of its options was said the first time.
fn again(build: Build<dyn Input>, bag: &PropertyBag, cx: &BuildContext) -> Option<Again> {
    let (bag, cx) = (bag.clone(), cx.clone());
    Some(Box::new(move || build(&mut bag.clone(), &cx, &mut Diagnostics::default())))
}

fn bad_regex(span: Span, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error(codes::BAD_REGEX, format!("not a regular expression: {error}")).at(span).help(
        "`Match` takes patterns with `*`; here parentheses, brackets and the like have their meaning in Ruby",
    )
}

fn identify(kind: Kind, instance: &Instance) -> Arc<InstanceId> {
    Arc::new(InstanceId {
        kind,
        plugin: instance.plugin.value.clone(),
        name: instance.id.clone(),
        alias: instance.alias.as_ref().map(|alias| alias.value.clone()),
    })
}
