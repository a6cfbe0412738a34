//! Filters `rewrite_tag` that hand records to each other for ever.
//!
//! A record that one of them re-tags passes every filter of its new tag but that one. So a filter whose new tag it takes itself is
//! harmless; two that take each other's are not.

use ikada_config::Pipeline;
use ikada_diag::{Diagnostic, Diagnostics, codes};

use super::tags::{Retagger, retaggers};

pub(super) fn check(config: &Pipeline, found: &mut Diagnostics) {
    let retaggers = retaggers(config);
    let mut told = vec![false; retaggers.len()];
    for start in 0..retaggers.len() {
        let Some(circle) = circle_from(start, &retaggers) else { continue };
        if circle.iter().any(|at| told[*at]) {
            continue;
        }
        circle.iter().for_each(|at| told[*at] = true);
        found.push(finding(&circle, &retaggers));
    }
}

/// Returns the filters on a way from one back to it, that one first.
fn circle_from(start: usize, retaggers: &[Retagger<'_>]) -> Option<Vec<usize>> {
    let mut before: Vec<Option<usize>> = vec![None; retaggers.len()];
    let mut waiting = vec![start];
    while let Some(at) = waiting.pop() {
        for next in
            (0..retaggers.len()).filter(|next| *next != at && hands_to(&retaggers[at], &retaggers[*next]))
        {
            if next == start {
                let mut way = vec![at];
                while let Some(earlier) = way.last().and_then(|last| before[*last]) {
                    way.push(earlier);
                }
                way.reverse();
                return Some(way);
            }
            if before[next].is_none() {
                before[next] = Some(at);
                waiting.push(next);
            }
        }
    }
    None
}

fn hands_to(one: &Retagger<'_>, other: &Retagger<'_>) -> bool {
    one.rules.iter().any(|(tag, _)| other.takes.some_of(tag))
}

fn finding(circle: &[usize], retaggers: &[Retagger<'_>]) -> Diagnostic {
    let (first, second) = (&retaggers[circle[0]], &retaggers[circle[circle.len() - 1]]);
    let span = first.rules.iter().find(|(tag, _)| retaggers[circle[1 % circle.len()]].takes.some_of(tag));
    let span = span.map_or(first.filter.header, |(_, span)| *span);
    let names: Vec<String> = circle.iter().map(|at| format!("`{}`", retaggers[*at].filter.name())).collect();
    let message =
        format!("records go round between {}: each takes what the other re-tags", names.join(" and "));
    let taken = second.takes.pattern.clone().unwrap_or_else(|| "its expression".to_owned());
    let help = format!("give records a tag that `{taken}` does not match, or narrow that `Match`");
    Diagnostic::warning(codes::TAG_CYCLE, message).at(span).help(help)
}
