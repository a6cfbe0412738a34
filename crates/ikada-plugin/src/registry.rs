//! Plugins by name.

use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{NetOptions, OptionSet, PropertyBag};
use ikada_parse::Parsers;

use crate::{Filter, Input, InstanceId, Output, Service};

/// What a plugin is told when it is built from its options.
#[derive(Clone)]
pub struct BuildContext {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// What `[SERVICE]` says.
    pub service: Arc<Service>,
    /// For an input: the tag the configuration gives it, if any.
    pub tag: Option<String>,
    /// For an input: `Mem_Buf_Limit` in bytes.
    pub mem_buf_limit: Option<u64>,
    /// For an output: how connections are made.
    pub net: Option<NetOptions>,
    /// The parsers that options may name: those of the configuration and those built in.
    pub parsers: Arc<Parsers>,
    /// Parses and checks only: nothing may be opened, connected or spawned.
    pub dry_run: bool,
}

/// Reads a plugin's own options from the bag, reports what is wrong with them, and builds it if nothing is.
pub type Build<P> = fn(&mut PropertyBag, &BuildContext, &mut Diagnostics) -> Option<Box<P>>;

/// One plugin as it is known by name.
#[derive(Clone, Copy)]
pub struct Plugin<P: ?Sized> {
    /// The name in the configuration.
    pub name: &'static str,
    /// Other names for the same thing.
    pub aliases: &'static [&'static str],
    /// Its options, besides those all plugins of its kind have.
    pub options: fn() -> OptionSet,
    /// How to build it.
    pub build: Build<P>,
}

/// An input known by name.
pub type InputPlugin = Plugin<dyn Input>;
/// A filter known by name.
pub type FilterPlugin = Plugin<dyn Filter>;
/// An output known by name.
pub type OutputPlugin = Plugin<dyn Output>;

/// All plugins of a program.
#[derive(Default)]
pub struct Registry {
    /// Inputs, in the order they are listed to people.
    pub inputs: Vec<InputPlugin>,
    /// Filters.
    pub filters: Vec<FilterPlugin>,
    /// Outputs.
    pub outputs: Vec<OutputPlugin>,
}

/// Finds a plugin by its name or another name for it. `name` is lower case.
#[must_use]
pub fn find<'a, P: ?Sized>(list: &'a [Plugin<P>], name: &str) -> Option<&'a Plugin<P>> {
    list.iter().find(|plugin| plugin.name == name || plugin.aliases.contains(&name))
}
