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
//! Reading order: [`grep`], [`record_modifier`], [`stdout`].
//!
//! ```
//! let names: Vec<_> = ikada_filters::filters().iter().map(|plugin| plugin.name).collect();
//! assert_eq!(names, ["grep", "record_modifier", "stdout"]);
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

use ikada_plugin::registry::FilterPlugin;

pub mod grep;
pub mod record_modifier;
mod rule;
pub mod stdout;

/// Every filter, in the order they are listed to people.
#[must_use]
pub fn filters() -> Vec<FilterPlugin> {
    vec![grep::plugin(), record_modifier::plugin(), stdout::plugin()]
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
