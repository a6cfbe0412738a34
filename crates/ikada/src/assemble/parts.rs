//! Filters that stand in no `[FILTER]` section, processors and stream tasks; and groups of servers.

use ikada_plugin::{GroupServer, ServerGroups, Variables};

use super::*;
use crate::conditional::{Condition, Conditional};
use crate::stream_task;

/// The groups of servers that outputs name.
pub(super) fn groups(config: &ikada_config::Pipeline) -> ServerGroups {
    let named = config.outputs.iter().filter_map(|output| output.bag.peek("upstream"));
    let group = |name: &str| {
        let server = |node: &ikada_config::Node| GroupServer {
            name: node.name.value.clone(),
            host: node.host.value.clone(),
            port: node.port.value,
            bag: node.bag.clone(),
        };
        Some((name.to_owned(), config.upstream(name)?.nodes.iter().map(server).collect()))
    };
    ServerGroups(Arc::new(named.filter_map(|name| group(&name.value.value)).collect()))
}

/// The configuration's own variables, and before them `HOSTNAME` where the environment does not name the host.
pub(super) fn variables(own: &[(String, String)], hostname: &str, is_named: bool) -> Variables {
    let host = (!is_named).then(|| ("HOSTNAME".to_owned(), hostname.to_owned()));
    Variables(host.into_iter().chain(own.iter().cloned()).collect())
}

impl Work<'_> {
    /// Builds the processors of an input or output, in order.
    pub(super) fn processors(&mut self, processors: Vec<Processor>) -> Vec<FilterSlot> {
        processors.into_iter().filter_map(|processor| self.processor(processor)).collect()
    }

    fn processor(&mut self, mut processor: Processor) -> Option<FilterSlot> {
        let Some(plugin) = find(&self.registry.filters, &processor.plugin.value) else {
            self.found.push(unknown::processor(&processor, self.registry));
            return None;
        };
        let condition = processor.condition.as_ref().map(|written| Condition::build(written, self.found));
        let id = Arc::new(InstanceId {
            kind: Kind::Filter,
            plugin: processor.plugin.value.clone(),
            name: processor.id.clone(),
            alias: None,
        });
        let cx = self.context(&id);
        let filter = (plugin.build)(&mut processor.bag, &cx, self.found);
        processor.bag.finish(&[&(plugin.options)()], self.found);
        let filter: Box<dyn Filter> = match condition {
            None => filter?,
            Some(condition) => Box::new(Conditional::new(filter?, condition?)),
        };
        Some(FilterSlot { id, matcher: Matcher::everything(), filter, metrics: Arc::default() })
    }
}

/// Returns the stream tasks of a configuration as filters, which stand behind all others.
pub(super) fn streams(config: &ikada_config::Pipeline, found: &mut Diagnostics) -> Vec<FilterSlot> {
    let tasks = stream_task::tasks_of(config, found).into_iter().enumerate();
    let slots = tasks.map(|(number, (task, matcher, filter))| {
        let id = InstanceId {
            kind: Kind::Filter,
            plugin: "stream_task".to_owned(),
            name: format!("stream_task.{number}"),
            alias: Some(task.name.value),
        };
        FilterSlot { id: Arc::new(id), matcher, filter: Box::new(filter), metrics: Arc::default() }
    });
    slots.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_named_where_the_environment_does_not() {
        let own = [("STAGE".to_owned(), "prod".to_owned())];
        assert_eq!(*variables(&own, "vm", true).0, own);
        let host = ("HOSTNAME".to_owned(), "vm".to_owned());
        assert_eq!(*variables(&own, "vm", false).0, [host, own[0].clone()]);
    }
}
