//! What is wrong between instances, each of which is right by itself: tags that nothing takes, patterns that nothing fits,
//! records that go round in a circle, servers that are not there.
//!
//! A tag that is not known before records come, as that of a tailed file, is a pattern here; two patterns fit each other when some tag
//! fits both. A finding is made only where no tag at all would do.

mod cycles;
mod paths;
mod routes;
mod tags;

use ikada_config::{Instance, Pipeline};
use ikada_diag::{Diagnostic, Diagnostics, codes};

pub(crate) use paths::unreadable_paths;
pub(crate) use tags::{Takes, tags_of_input};

/// How many instances and rules are compared with each other. Nobody has so many; a hostile file may.
const MOST: usize = 1000;

/// What is said of a filter that counts for a metrics endpoint which is not served.
pub(crate) const UNREAD_METRICS: &str = "nobody can read what this filter counts: the HTTP server is off";

/// Looks at a whole configuration.
pub(crate) fn look_over(config: &Pipeline, found: &mut Diagnostics) {
    let rules: usize = tags::retaggers(config).iter().map(|retagger| retagger.rules.len()).sum();
    let instances = config.inputs.len() + config.filters.len() + config.outputs.len() + config.streams.len();
    if rules + instances > MOST {
        return;
    }
    routes::check(config, found);
    cycles::check(config, found);
    upstreams(config, found);
    unread_metrics(config, found);
}

/// Finds filters that count for a metrics endpoint which is not served.
fn unread_metrics(config: &Pipeline, found: &mut Diagnostics) {
    let counts = |filter: &&Instance| filter.plugin.value == "log_to_metrics";
    for filter in config.filters.iter().filter(counts).filter(|_| !config.service.http_server) {
        let finding = Diagnostic::warning(codes::NO_EFFECT, UNREAD_METRICS).at(filter.plugin.span);
        found.push(finding.help("type `HTTP_Server On` in `[SERVICE]`; /api/v2/metrics/prometheus shows it"));
    }
}

/// Finds outputs whose group of servers is nowhere. A file that cannot be read has its finding already.
fn upstreams(config: &Pipeline, found: &mut Diagnostics) {
    for output in &config.outputs {
        let Some(named) = output.bag.peek("upstream") else { continue };
        let is_told = found.iter().any(|finding| finding.span == Some(named.value.span));
        if named.value.value.is_empty() || config.upstream(&named.value.value).is_some() || is_told {
            continue;
        }
        let message = format!("`{}` holds no group of servers, and none has this name", named.value.value);
        let help =
            "write `[UPSTREAM]` with a `Name`, and a `[NODE]` with `Name`, `Host` and `Port` for each server";
        found.push(Diagnostic::error(codes::UNKNOWN_UPSTREAM, message).at(named.value.span).help(help));
    }
}
