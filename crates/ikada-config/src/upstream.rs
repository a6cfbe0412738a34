//! Groups of servers that an output takes in turn: `[UPSTREAM]` with `[NODE]`s, or `upstream_servers` in YAML.
//!
//! An output names the file that holds its group (`Upstream servers.conf`). In Ikada it may also name the group itself,
//! wherever that stands.

use ikada_diag::{Diagnostic, Diagnostics, Severity, Span, Spanned, codes};
use ikada_options::PropertyBag;

use crate::document::{Document, Format, Section, SectionKind};

/// A group of servers.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name.
    pub name: Spanned<String>,
    /// The file that it stands in, as an output's `Upstream` names it, if one does.
    pub file: Option<String>,
    /// Its servers in file order.
    pub nodes: Vec<Node>,
    /// Where it starts.
    pub header: Span,
}

/// One server of a group.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, for logs.
    pub name: Spanned<String>,
    /// Where it listens.
    pub host: Spanned<String>,
    /// Its port.
    pub port: Spanned<u16>,
    /// What else is written for it: `tls*`, `shared_key` and other options of the output, for the output to take.
    pub bag: PropertyBag,
}

/// Reads all groups of a document: each `[UPSTREAM]` with the `[NODE]`s behind it.
pub(crate) fn upstreams_of(document: &Document, diags: &mut Diagnostics) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = Vec::new();
    // How many `[NODE]`s each has, those with a mistake among them.
    let mut sections: Vec<usize> = Vec::new();
    let mut is_open = false;
    for section in document.sections() {
        match section.kind {
            SectionKind::Upstream => {
                is_open = true;
                let name = section.get("name").filter(|name| !name.value.is_empty());
                if name.is_none() && section.format == Format::Classic {
                    let diagnostic =
                        Diagnostic::error(codes::MISSING_NAME, "this group of servers has no `Name`");
                    diags.push(diagnostic.at(section.header).help("give it one: `Name servers`"));
                }
                sections.push(0);
                upstreams.push(Upstream {
                    name: name.cloned().unwrap_or_else(|| Spanned::new(String::new(), section.header)),
                    file: section.file.clone(),
                    nodes: Vec::new(),
                    header: section.header,
                });
            }
            SectionKind::Node => match upstreams.last_mut().filter(|_| is_open) {
                Some(upstream) => {
                    upstream.nodes.extend(node_of(section, diags));
                    sections.last_mut().into_iter().for_each(|count| *count += 1);
                }
                None => {
                    let diagnostic =
                        Diagnostic::error(codes::UNSUPPORTED_SECTION, "this server belongs to no group");
                    diags.push(
                        diagnostic.at(section.header).help("write an `[UPSTREAM]` with a `Name` before it"),
                    );
                }
            },
            _ => is_open = false,
        }
    }
    for (upstream, _) in upstreams.iter().zip(&sections).filter(|(_, sections)| **sections == 0) {
        let message = format!("the group `{}` has no servers", upstream.name.value);
        let help = "write a `[NODE]` with `Name`, `Host` and `Port` behind it";
        // Where no output names it, it is only idle, as in Fluent Bit.
        let severity = if upstream.file.is_some() { Severity::Error } else { Severity::Warning };
        diags.push(Diagnostic::new(severity, codes::MISSING_OPTION, message).at(upstream.header).help(help));
    }
    upstreams
}

fn node_of(section: &Section, diags: &mut Diagnostics) -> Option<Node> {
    let mut bag = PropertyBag::new("node", section.header, section.properties.clone());
    let mut take = |key: &str, example: &str| {
        let found = bag.take_all(&[key]).pop().map(|(_, property)| property.value);
        let found = found.filter(|value| !value.value.is_empty());
        // YAML has said already that a name is missing.
        if found.is_none() && !(section.format == Format::Yaml && key == "Name") {
            let message = format!("this server has no `{key}`");
            let written = match section.format {
                Format::Classic => example.to_owned(),
                Format::Yaml => example.to_lowercase().replacen(' ', ": ", 1),
            };
            let help = format!("write `{written}`");
            diags.push(Diagnostic::error(codes::MISSING_OPTION, message).at(section.header).help(help));
        }
        found
    };
    let (name, host, port) =
        (take("Name", "Name node-1"), take("Host", "Host 10.0.0.1"), take("Port", "Port 24224"));
    let (name, host, written) = (name?, host?, port?);
    let Some(port) = written.value.trim().parse().ok().filter(|port| *port > 0) else {
        let message = format!("`{}` is no port", written.value);
        let help = "write a number from 1 to 65535: `Port 24224`";
        diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(written.span).help(help));
        return None;
    };
    let rest = bag.leftover().cloned().collect();
    let bag = PropertyBag::new(format!("node {}", name.value), section.header, rest);
    Some(Node { name, host, port: Spanned::new(port, written.span), bag })
}
