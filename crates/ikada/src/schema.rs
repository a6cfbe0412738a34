//! `ikada schema`: a JSON Schema of configurations in YAML, for editors and CI.
//!
//! It grows from the options that every plugin declares, in the shape that Fluent Bit gives YAML. An option may be written in
//! `snake_case`, in `camelCase` or as in the classic format; all three are in it. A value is text, a number or a boolean, as YAML has
//! it, or a list of those where an option may stand several times; what is no value of its type is refused where a pattern can say so.

use ikada_config::ServiceOptions;
use ikada_options::{FilterCommon, InputCommon, OptionSet, OptionSpec, Options, OutputCommon};
use ikada_plugin::registry::{Plugin, Registry};
use serde_json::{Map, Value, json};

/// The schema, as text.
#[must_use]
pub fn text(registry: &Registry) -> String {
    format!("{:#}\n", schema(registry))
}

/// The schema.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let inputs = plugins(&registry.inputs, "input", &InputCommon::set());
    let filters = plugins(&registry.filters, "filter", &FilterCommon::set());
    let outputs = plugins(&registry.outputs, "output", &OutputCommon::set());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ikada",
        "description": "A configuration of Ikada, in the shape that Fluent Bit gives YAML.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "service": service(),
            "env": { "$ref": "#/$defs/env" },
            "includes": { "type": ["array", "null"], "items": { "type": "string", "minLength": 1 } },
            "pipeline": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "inputs": list(inputs),
                    "filters": list(filters),
                    "outputs": list(outputs),
                },
            },
            "parsers": named_list(),
            "multiline_parsers": named_list(),
            "stream_processor": list(json!({
                "type": "object",
                "required": ["name", "exec"],
                "properties": { "name": { "type": "string" }, "exec": { "type": "string" } },
                "additionalProperties": false,
            })),
            "upstream_servers": list(json!({
                "type": "object",
                "required": ["name", "nodes"],
                "properties": { "name": { "type": "string" }, "nodes": list(json!({
                    "type": "object",
                    "required": ["name", "host", "port"],
                    "additionalProperties": { "$ref": "#/$defs/value" },
                })) },
            })),
            "plugins": { "type": ["array", "null"], "items": { "type": "string" } },
        },
        "$defs": definitions(registry),
    })
}

fn definitions(registry: &Registry) -> Value {
    let filters: Vec<&str> = registry.filters.iter().map(|plugin| plugin.name).collect();
    json!({
        "input": common(&InputCommon::set()),
        "filter": common(&FilterCommon::set()),
        "output": common(&OutputCommon::set()),
        "value": { "type": ["string", "number", "boolean"] },
        "values": { "anyOf": [
            { "$ref": "#/$defs/value" },
            { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/value" } },
        ] },
        "env": { "anyOf": [
            { "type": ["object", "null"], "additionalProperties": { "$ref": "#/$defs/value" } },
            { "type": "array", "items": { "$ref": "#/$defs/variable" } },
        ] },
        "variable": {
            "type": "object",
            "required": ["name"],
            "anyOf": [{ "required": ["value"] }, { "required": ["uri"] }],
            "additionalProperties": false,
            "properties": {
                "name": { "type": "string", "minLength": 1 },
                "value": { "$ref": "#/$defs/value" },
                "uri": { "type": "string", "pattern": "^file://" },
            },
        },
        "named": {
            "type": "object",
            "required": ["name"],
            "properties": { "rules": list(json!({
                "type": "object",
                "required": ["state", "regex", "next_state"],
                "properties": { "state": {}, "regex": {}, "next_state": {} },
                "additionalProperties": false,
            })) },
            "additionalProperties": { "$ref": "#/$defs/values" },
        },
        "processors": {
            "type": "object",
            "additionalProperties": false,
            "properties": { "logs": list(json!({
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": { "enum": filters },
                    "condition": { "$ref": "#/$defs/condition" },
                },
                "additionalProperties": { "$ref": "#/$defs/values" },
            })), "metrics": {}, "traces": {} },
        },
        "condition": {
            "type": "object",
            "required": ["rules"],
            "additionalProperties": false,
            "properties": {
                "op": { "enum": ["and", "or"] },
                "rules": { "type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["field", "op", "value"],
                    "additionalProperties": false,
                    "properties": {
                        "field": { "type": "string", "pattern": "^\\$" },
                        "op": { "enum": ["eq", "neq", "gt", "lt", "gte", "lte", "regex", "not_regex", "in", "not_in"] },
                        "value": { "$ref": "#/$defs/values" },
                        "context": { "enum": ["body", "metadata"] },
                    },
                } },
            },
        },
    })
}

fn list(item: Value) -> Value {
    json!({ "type": ["array", "null"], "items": item })
}

fn named_list() -> Value {
    list(json!({ "$ref": "#/$defs/named" }))
}

fn service() -> Value {
    let mut properties = Map::new();
    for spec in &ServiceOptions::set().specs {
        // A key that a classic file may repeat stands once in YAML: Fluent Bit refuses a list here.
        add(&mut properties, &OptionSpec { repeatable: false, ..*spec });
    }
    // Unknown keys are ignored with a warning by the loader; an editor may as well say so at once.
    json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false })
}

/// One of the plugins of a kind: its name decides which options there are.
fn plugins<P: ?Sized>(list: &[Plugin<P>], kind: &str, common: &OptionSet) -> Value {
    let mut names: Vec<&str> = Vec::new();
    let mut branches = Vec::new();
    for plugin in list {
        let known: Vec<&str> = std::iter::once(plugin.name).chain(plugin.aliases.iter().copied()).collect();
        let condition = json!({ "properties": { "name": { "enum": known } }, "required": ["name"] });
        branches.push(json!({ "if": condition, "then": options_of(&(plugin.options)(), kind, common) }));
        names.extend(known);
    }
    let listed = quoted(&names);
    json!({
        "type": "object",
        "description": format!("One of {listed}."),
        "anyOf": [{ "required": ["name"] }, { "required": ["Name"] }],
        "properties": { "name": { "enum": names } },
        "allOf": branches,
    })
}

fn quoted(names: &[&str]) -> String {
    ikada_options::quoted_list(names, "and")
}

fn options_of(own: &OptionSet, kind: &str, common: &OptionSet) -> Value {
    let mut properties = Map::new();
    properties.insert("name".to_owned(), json!({}));
    let mut required: Vec<Value> = own.specs.iter().filter(|spec| spec.required).map(any_spelling).collect();
    required.extend(matching(common));
    for spec in &own.specs {
        add(&mut properties, spec);
    }
    for spec in &common.specs {
        for name in spec.names().flat_map(|name| [name.to_owned(), camel(name)]) {
            let reference = json!({ "$ref": format!("#/$defs/{kind}/{}", spec.name) });
            properties.entry(name).or_insert(reference);
        }
    }
    let mut patterns = classic();
    if kind != "filter" {
        properties.insert("processors".to_owned(), json!({ "$ref": "#/$defs/processors" }));
        // What Fluent Bit has for every connection is taken by each plugin, in silence or with a note.
        for name in ["host", "port", "ipv6", "listen"] {
            properties.entry(name).or_insert_with(|| json!({ "$ref": "#/$defs/value" }));
        }
        patterns["^(tls|tls\\..*|net\\..*)$"] = json!({ "$ref": "#/$defs/value" });
    }
    let mut whole =
        json!({ "properties": properties, "patternProperties": patterns, "additionalProperties": false });
    if !required.is_empty() {
        whole["allOf"] = Value::Array(required);
    }
    whole
}

/// The options that all plugins of a kind have, for references.
fn common(set: &OptionSet) -> Value {
    set.specs.iter().map(|spec| (spec.name.to_owned(), value_of(spec))).collect::<Map<_, _>>().into()
}

/// Keys that start with a capital are options as the classic format spells them; their letters' case does not count.
fn classic() -> Value {
    json!({ "^[A-Z]": { "$ref": "#/$defs/values" } })
}

/// Says that one of an option's spellings stands there.
fn any_spelling(spec: &OptionSpec) -> Value {
    let spellings: Vec<Value> = spec
        .names()
        .flat_map(|name| [name.to_owned(), camel(name), capital(name)])
        .map(|name| json!({ "required": [name] }))
        .collect();
    json!({ "anyOf": spellings })
}

/// Says that a filter or an output names tags, by a pattern or by a regular expression.
fn matching(common: &OptionSet) -> Option<Value> {
    let ways: Vec<Value> = common
        .specs
        .iter()
        .filter(|spec| ["match", "match_regex"].contains(&spec.name))
        .map(any_spelling)
        .collect();
    (!ways.is_empty()).then(|| json!({ "anyOf": ways }))
}

/// Adds an option with its text, and its other spellings without.
fn add(properties: &mut Map<String, Value>, spec: &OptionSpec) {
    let value = value_of(spec);
    for name in spec.names().flat_map(|name| [name.to_owned(), camel(name)]) {
        properties.entry(name).or_insert_with(|| typed(spec));
    }
    properties.insert(spec.name.to_owned(), value);
}

/// What values an option takes.
fn typed(spec: &OptionSpec) -> Value {
    let one = match (spec.kind, spec.choices) {
        ("boolean", _) => json!({ "enum": booleans() }),
        ("number", _) => json!({ "type": ["integer", "string"], "pattern": "^(\\$|-?[0-9])" }),
        ("size", _) => json!({ "type": ["number", "string"], "pattern": SIZE }),
        _ => json!({ "$ref": "#/$defs/value" }),
    };
    match (spec.repeatable, spec.kind) {
        (true, "boolean" | "number" | "size") => {
            json!({ "anyOf": [one.clone(), { "type": "array", "minItems": 1, "items": one }] })
        }
        (true, _) => json!({ "$ref": "#/$defs/values" }),
        (false, _) => one,
    }
}

/// What values an option takes, with its text.
fn value_of(spec: &OptionSpec) -> Value {
    let mut value = typed(spec);
    value["description"] = json!(spec.doc.trim());
    if let Some(default) = spec.default {
        value["default"] = json!(default);
    }
    if !spec.choices.is_empty() {
        let words: Vec<&str> = spec.choices.iter().map(|(word, _)| *word).collect();
        value["examples"] = json!(words);
    }
    value
}

/// A size, or a text that starts with a variable.
const SIZE: &str = "^(\\$|[0-9.]+ ?[kKmMgG]?[bB]?$|[0-9.]+ *#|[fF]alse$|[oO]ff$)";

fn booleans() -> Vec<Value> {
    let words = ["true", "false", "on", "off", "yes", "no"];
    let spelled = words.iter().flat_map(|word| [(*word).to_owned(), capital(word), word.to_uppercase()]);
    let mut all: Vec<Value> = spelled.map(Value::from).collect();
    all.extend([json!(true), json!(false)]);
    all
}

/// `log_group_name` as `logGroupName`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' => raise = true,
            letter if raise => {
                out.extend(letter.to_uppercase());
                raise = false;
            }
            letter => out.push(letter),
        }
    }
    out
}

/// `log_group_name` as `Log_group_name`.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
