//! What to say of a plugin that is not in the registry: it does not exist, or it is of another kind, or only Fluent Bit has it.

use ikada_config::{Format, Instance, Processor};
use ikada_diag::{Diagnostic, codes};
use ikada_options::{
    Advice, PluginKind, advice_on_plugin, is_known_plugin, kinds_of_plugin, nearest, nearest_plugins,
    quoted_list,
};
use ikada_plugin::registry::{Plugin, Registry};

/// Answers for an instance whose plugin is not there.
pub(crate) fn plugin(instance: &Instance, registry: &Registry) -> Diagnostic {
    let (kind, name) = (instance.kind, instance.plugin.value.as_str());
    let there = names_of(kind, registry);
    if let Some(Advice::Instead(what) | Advice::Idle(what)) = advice_on_plugin(kind, name) {
        return unsupported(instance, what.to_owned());
    }
    if is_known_plugin(kind, name) {
        return unsupported(instance, format!("there are {}", quoted_list(&there, "and")));
    }
    if let Some(other) = other_kind(kind, name, registry) {
        return misplaced(instance, other);
    }
    let near = nearest(name, there.iter().copied());
    let help = match (near.is_empty(), nearest_plugins(kind, name).first()) {
        (false, _) => format!("did you mean {}?", quoted_list(&near, "or")),
        (true, Some(near)) => format!("did you mean `{near}`? Fluent Bit has it, Ikada does not"),
        (true, None) => format!("there are {}", quoted_list(&there, "and")),
    };
    Diagnostic::error(codes::UNKNOWN_PLUGIN, format!("no plugin is named `{name}`"))
        .at(instance.plugin.span)
        .help(help)
}

/// Answers for a processor that is not there.
pub(crate) fn processor(processor: &Processor, registry: &Registry) -> Diagnostic {
    let name = processor.plugin.value.as_str();
    let advice =
        advice_on_plugin(PluginKind::Processor, name).or_else(|| advice_on_plugin(PluginKind::Filter, name));
    let is_known = is_known_plugin(PluginKind::Processor, name) || is_known_plugin(PluginKind::Filter, name);
    let there = names_of(PluginKind::Filter, registry);
    if let Some(Advice::Instead(what) | Advice::Idle(what)) = advice.filter(|_| is_known) {
        let message = format!("Fluent Bit has `{name}`, Ikada does not have it");
        return Diagnostic::error(codes::UNSUPPORTED_PLUGIN, message).at(processor.plugin.span).help(what);
    }
    let near = nearest(name, there.iter().copied());
    let help = match near.is_empty() {
        false => format!("did you mean {}?", quoted_list(&near, "or")),
        true => format!("there are {}", quoted_list(&there, "and")),
    };
    let (code, message) = match is_known {
        true => (codes::UNSUPPORTED_PLUGIN, format!("Fluent Bit has `{name}`, Ikada does not have it")),
        false => (codes::UNKNOWN_PLUGIN, format!("no processor is named `{name}`")),
    };
    Diagnostic::error(code, message).at(processor.plugin.span).help(help)
}

fn unsupported(instance: &Instance, help: String) -> Diagnostic {
    let message = format!("Fluent Bit has `{}`, Ikada does not have it", instance.plugin.value);
    Diagnostic::error(codes::UNSUPPORTED_PLUGIN, message).at(instance.plugin.span).help(help)
}

/// Returns the kind that a plugin of this name is of instead.
fn other_kind(kind: PluginKind, name: &str, registry: &Registry) -> Option<PluginKind> {
    let kinds = [PluginKind::Input, PluginKind::Filter, PluginKind::Output];
    let is_there = |other: &PluginKind| names_of(*other, registry).contains(&name);
    let others = kinds.into_iter().filter(|other| *other != kind);
    others.clone().find(is_there).or_else(|| kinds_of_plugin(name).into_iter().find(|other| *other != kind))
}

fn misplaced(instance: &Instance, other: PluginKind) -> Diagnostic {
    let (word, name) = (other.word(), &instance.plugin.value);
    let article = if word.starts_with(['i', 'o']) { "an" } else { "a" };
    let message = format!("`{name}` is {article} {word}, and stands where {}s do", instance.kind.word());
    let help = match (instance.format, other) {
        (_, PluginKind::Processor) => {
            "put it into the `processors` of an input or output, in YAML".to_owned()
        }
        (Format::Classic, _) => format!("start its section with `[{}]`", word.to_uppercase()),
        (Format::Yaml, _) => format!("put it below `{word}s:`"),
    };
    Diagnostic::error(codes::UNKNOWN_PLUGIN, message).at(instance.plugin.span).help(help)
}

/// Returns the names of what is there, those for compatibility included.
fn names_of(kind: PluginKind, registry: &Registry) -> Vec<&'static str> {
    fn all<P: ?Sized>(list: &[Plugin<P>]) -> Vec<&'static str> {
        list.iter()
            .flat_map(|plugin| std::iter::once(plugin.name).chain(plugin.aliases.iter().copied()))
            .collect()
    }
    match kind {
        PluginKind::Input => all(&registry.inputs),
        PluginKind::Filter => all(&registry.filters),
        PluginKind::Output => all(&registry.outputs),
        _ => Vec::new(),
    }
}
