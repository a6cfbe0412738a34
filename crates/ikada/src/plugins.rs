//! The plugins of this program. What Fluent Bit has beside them is known by name: see [`ikada_options::is_known_plugin`].

use ikada_plugin::registry::Registry;

/// All plugins that are built in.
#[must_use]
pub fn registry() -> Registry {
    let mut inputs = ikada_forward::inputs();
    inputs.extend(ikada_basic::inputs());
    inputs.extend(ikada_tail::inputs());
    let mut outputs = ikada_aws::outputs();
    outputs.extend(ikada_basic::outputs());
    outputs.extend(ikada_forward::outputs());
    let mut registry = Registry { inputs, filters: ikada_filters::filters(), outputs };
    registry.inputs.sort_by_key(|plugin| plugin.name);
    registry.filters.sort_by_key(|plugin| plugin.name);
    registry.outputs.sort_by_key(|plugin| plugin.name);
    registry
}
