//! The filters: what changes or drops records between inputs and outputs.
//!
//! The engine finds them through [`filters`], builds one per section, and calls them from the task of the input whose
//! chunk passes.
//!
//! **How filters fuse.** A record is split once into [`Fields`](ikada_record::Fields); every filter whose `Match` takes the tag edits those
//! fields in turn; only a record that some filter changed is written again. A filter therefore prepares everything when it is built
//! (expressions, accessors, encoded keys and values) and lends it to the fields, so that a record costs no allocation.
//!
//! **How to add a filter.**
//!
//! 1. A module with its `…Options`, derived; the doc comments are the user's text.
//! 2. A struct with what runs, and `build(options, &mut Diagnostics) -> Option<Self>`, which checks what the options mean together.
//! 3. [`Filter`](ikada_plugin::Filter) for it: edit the fields, answer with a [`Verdict`](ikada_plugin::Verdict).
//! 4. `plugin()`, and its line in [`filters`].
//! 5. Its recorded cases pass in `tests/it/replay.rs`, which replays a case as soon as its filter is listed.
//!
//! **What it does not know:** `Match` (the engine does not ask a filter that has nothing to say), chunks, outputs.
//!
//! Reading order: [`grep`], [`modify`], [`record_modifier`], [`nest`], [`rewrite_tag`], and then any of the others.
//!
//! ```
//! let filters = ikada_filters::filters();
//! assert!(filters.iter().any(|plugin| plugin.name == "grep"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

use ikada_plugin::registry::FilterPlugin;

pub mod aws_metadata;
mod beside;
pub mod checklist;
pub mod content_modifier;
pub mod ecs;
mod ecs_agent;
pub mod expect;
pub mod grep;
pub mod log_to_metrics;
#[cfg(feature = "lua")]
pub mod lua;
mod metadata_http;
pub mod modify;
pub mod multiline;
pub mod nest;
pub mod parser;
pub mod record_modifier;
pub mod rewrite_tag;
mod rule;
pub mod stdout;
pub mod sysinfo;
mod text;
pub mod throttle;
pub mod type_converter;

/// Every filter, in the order they are listed to people.
#[must_use]
pub fn filters() -> Vec<FilterPlugin> {
    vec![
        aws_metadata::plugin(),
        checklist::plugin(),
        content_modifier::plugin(),
        ecs::plugin(),
        expect::plugin(),
        grep::plugin(),
        log_to_metrics::plugin(),
        #[cfg(feature = "lua")]
        lua::plugin(),
        modify::plugin(),
        multiline::plugin(),
        nest::plugin(),
        parser::plugin(),
        record_modifier::plugin(),
        rewrite_tag::plugin(),
        stdout::plugin(),
        sysinfo::plugin(),
        throttle::plugin(),
        type_converter::plugin(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_those_of_their_options() {
        let plugins = filters();
        let mut names: Vec<_> = plugins.iter().map(|plugin| plugin.name).collect();
        assert!(plugins.iter().all(|plugin| (plugin.options)().name == plugin.name));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), plugins.len());
    }
}
