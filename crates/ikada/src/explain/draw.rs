//! The map as text and as a graph.

use super::map::{Map, Node, Way};

/// The map for people.
pub(super) fn text(map: &Map) -> String {
    let mut text = String::new();
    for way in &map.ways {
        text.push_str(&way.tag);
        if let Some(by) = &way.given_by {
            text.push_str(&format!(" (given by {by})"));
        }
        text.push('\n');
        lines(&mut text, "from", &way.inputs, "no input gives this tag".to_owned(), way.given_by.is_some());
        lines(&mut text, "filter", &way.filters, "no filter".to_owned(), false);
        lines(
            &mut text,
            "output",
            &way.outputs,
            "no output takes it: its records are dropped".to_owned(),
            false,
        );
        text.push('\n');
    }
    if !map.idle.is_empty() {
        text.push_str("take none of these tags\n");
        lines(&mut text, "", &map.idle, String::new(), false);
        text.push('\n');
    }
    text.pop();
    text
}

fn lines(text: &mut String, word: &str, nodes: &[Node], nothing: String, silent: bool) {
    if nodes.is_empty() && !silent {
        text.push_str(&format!("  {word:<7}{nothing}\n"));
    }
    for node in nodes {
        let about = if node.about.is_empty() { String::new() } else { format!("  {}", node.about) };
        text.push_str(&format!("  {word:<7}{}{about}  [{}]\n", node.name, node.place));
    }
}

/// The steps of a way: what comes before what. The inputs come together in the first filter, the last filter goes to all outputs.
fn edges(way: &Way) -> Vec<(String, String)> {
    let tag = way.tag.clone();
    let mut edges: Vec<(String, String)> = match &way.given_by {
        Some(by) => vec![(by.clone(), tag.clone())],
        None => way.inputs.iter().map(|input| (input.name.clone(), tag.clone())).collect(),
    };
    let mut last = tag;
    for filter in &way.filters {
        edges.push((last, filter.name.clone()));
        last = filter.name.clone();
    }
    for output in &way.outputs {
        edges.push((last.clone(), output.name.clone()));
    }
    if way.outputs.is_empty() {
        edges.push((last, "no output".to_owned()));
    }
    edges
}

/// The nodes of a graph with their shapes: a name, what stands in it, and whether it is a tag.
fn nodes(map: &Map) -> Vec<(String, String, Kind)> {
    let mut all: Vec<(String, String, Kind)> = Vec::new();
    let mut add = |name: &str, about: &str, kind: Kind| {
        if !all.iter().any(|(known, ..)| known == name) {
            let label = if about.is_empty() {
                name.to_owned()
            } else {
                format!("{name}\n{}", about.replace(", ", "\n"))
            };
            all.push((name.to_owned(), label, kind));
        }
    };
    for way in &map.ways {
        way.inputs.iter().for_each(|node| add(&node.name, &node.about, Kind::Input));
        add(&way.tag, "", Kind::Tag);
        way.filters.iter().for_each(|node| add(&node.name, &node.about, Kind::Filter));
        way.outputs.iter().for_each(|node| add(&node.name, &node.about, Kind::Output));
        if way.outputs.is_empty() {
            add("no output", "", Kind::Nothing);
        }
    }
    map.idle.iter().for_each(|node| add(&node.name, &node.about, Kind::Nothing));
    all
}

/// What a node of the graph stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Input,
    Tag,
    Filter,
    Output,
    Nothing,
}

fn all_edges(map: &Map) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for edge in map.ways.iter().flat_map(edges) {
        if !all.contains(&edge) {
            all.push(edge);
        }
    }
    all
}

/// The map for Graphviz.
pub(super) fn dot(map: &Map) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let mut text = "digraph ikada {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
    for (name, label, kind) in nodes(map) {
        let shape = match kind {
            Kind::Input => "cds",
            Kind::Tag => "plaintext",
            Kind::Filter => "box",
            Kind::Output => "folder",
            Kind::Nothing => "octagon",
        };
        text.push_str(&format!("  {} [label={}, shape={shape}];\n", quoted(&name), quoted(&label)));
    }
    for (from, to) in all_edges(map) {
        text.push_str(&format!("  {} -> {};\n", quoted(&from), quoted(&to)));
    }
    text + "}\n"
}

/// The map for Mermaid.
pub(super) fn mermaid(map: &Map) -> String {
    let nodes = nodes(map);
    let id = |name: &str| {
        nodes.iter().position(|(known, ..)| known == name).map_or("x".to_owned(), |at| format!("n{at}"))
    };
    let mut text = "flowchart LR\n".to_owned();
    for (name, label, kind) in &nodes {
        let label = label.replace('"', "#quot;").replace('\n', "<br>");
        let (open, close) = match kind {
            Kind::Input => ("([", "])"),
            Kind::Tag => (">", "]"),
            Kind::Filter => ("[", "]"),
            Kind::Output => ("[(", ")]"),
            Kind::Nothing => ("{{", "}}"),
        };
        text.push_str(&format!("  {}{open}\"{label}\"{close}\n", id(name)));
    }
    for (from, to) in all_edges(map) {
        text.push_str(&format!("  {} --> {}\n", id(&from), id(&to)));
    }
    text
}
