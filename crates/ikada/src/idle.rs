//! Options that are understood but change nothing: those that Fluent Bit takes for every instance, and those that
//! are not there yet although their absence would be noticed.

use ikada_config::ServiceOptions;
use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{InputCommon, Options, PropertyBag, TlsOptions};

/// What Fluent Bit takes for every input and output, whether it talks over a network or not (reference,
/// configuration §4.2), beside those of TLS.
const OF_CONNECTIONS: [&str; 4] = ["listen", "host", "port", "ipv6"];

/// Takes what a plugin has left of the options that Fluent Bit has for every input and output, with a note for each.
pub(crate) fn take_of_connections(bag: &mut PropertyBag, found: &mut Diagnostics) {
    let names: Vec<String> = bag.leftover().map(ikada_options::Property::name).collect();
    let idle = names.iter().map(String::as_str).filter(|name| is_of_connections(name)).collect::<Vec<_>>();
    let section = bag.section().to_owned();
    for (_, property) in bag.take_all(&idle) {
        let message = format!("`{}` has no effect here", property.key.value);
        let help = format!("{section} does not ask for it");
        found.push(Diagnostic::note(codes::NO_EFFECT, message).at(property.key.span).help(help));
    }
}

fn is_of_connections(name: &str) -> bool {
    OF_CONNECTIONS.contains(&name) || TlsOptions::set().find(name).is_some()
}

/// Says what of an input's common options is not there yet.
pub(crate) fn tell_of_input(common: &InputCommon, found: &mut Diagnostics) {
    if !common.routable.value {
        let message = "`Routable off` is not supported";
        let help = "remove the input, or send its records to an output `null`";
        found.push(Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(common.routable.span).help(help));
    }
}

/// Says what of `[SERVICE]` is not there yet.
pub(crate) fn tell_of_service(service: &ServiceOptions, found: &mut Diagnostics) {
    if service.daemon.value {
        let message = "the process stays in the foreground";
        found.push(warning(service.daemon.span, message).help("start it from a service manager"));
    }
    if service.hot_reload.value {
        let message = "the configuration cannot be read anew yet";
        found.push(warning(service.hot_reload.span, message).help("restart the process to change it"));
    }
    for file in &service.plugins_file {
        let message = "shared objects are not loaded";
        found.push(warning(file.span, message).help("what the AWS image's shared objects do is built in"));
    }
}

fn warning(span: Span, message: &str) -> Diagnostic {
    Diagnostic::warning(codes::NO_EFFECT, message).at(span)
}
