//! A file with several servers: one section `[UPSTREAM]`, and a `[NODE]` for each server.

use std::path::{Path, PathBuf};

use ikada_config::{DiskFiles, ProcessEnv, SectionKind, load};
use ikada_diag::{Diagnostics, Spanned};
use ikada_options::{Options, PropertyBag, Secret, TlsOptions};
use ikada_plugin::registry::BuildContext;

use super::node::{Address, Node};
use super::options::{Server, bad};

/// One server of an upstream file.
#[derive(Debug, Options)]
#[options(common = "node")]
struct NodeOptions {
    /// Name of the server, for people.
    #[option(example = "node-1")]
    name: Option<String>,
    /// Name or address of the server.
    #[option(required, example = "10.0.0.1")]
    host: String,
    /// Port of the server.
    #[option(required, example = "24224")]
    port: u16,
    /// Key that this side shares with the server.
    #[option(example = "a-long-random-text")]
    shared_key: Option<Secret>,
    /// Greets the server with an empty key.
    #[option(default = "off")]
    empty_shared_key: bool,
    /// Name by which this side goes in the handshake.
    #[option(default = "localhost")]
    self_hostname: String,
    /// User that the server knows.
    #[option(example = "router")]
    username: Option<String>,
    /// Password of the user.
    #[option(example = "hunter2")]
    password: Option<Secret>,
    /// How connections are encrypted.
    #[option(flatten)]
    tls: TlsOptions,
}

/// The servers that a file names. What is wrong with it is found at the option that names it, with the place in the file in its text.
pub(super) fn nodes(file: &Spanned<PathBuf>, cx: &BuildContext, diags: &mut Diagnostics) -> Vec<Node> {
    let mut loaded = load(&file.value, &DiskFiles, &ProcessEnv, Path::new("."));
    let mut found = std::mem::take(&mut loaded.diagnostics);
    let mut nodes = Vec::new();
    for section in loaded.document.of_kind(SectionKind::Node) {
        let mut bag = PropertyBag::new("node", section.header, section.properties.clone());
        let options = NodeOptions::parse(&mut bag, &mut found);
        bag.finish(&[&NodeOptions::set()], &mut found);
        let Some(options) = options else { continue };
        match options.server().node(cx) {
            Ok(node) => nodes.push(node),
            Err(message) => {
                let name = options.name.as_deref().unwrap_or(&options.host);
                found.push(bad(section.header, format!("node `{name}`: {message}")));
            }
        }
    }
    let lines: Vec<String> = found.lines(&loaded.sources).collect();
    if found.counts().errors > 0 {
        diags.push(bad(file.span, format!("the upstream file is not sound: {}", lines.join("; "))));
    } else if nodes.is_empty() {
        let message = format!("`{}` names no server", file.value.display());
        diags.push(bad(file.span, message).help("write a section `[NODE]` with `host` and `port` for each"));
    }
    nodes
}

impl NodeOptions {
    fn server(&self) -> Server<'_> {
        Server {
            address: Address::Tcp(self.host.clone(), self.port),
            tls: &self.tls,
            key: self.shared_key.as_ref(),
            empty_key: self.empty_shared_key,
            hostname: &self.self_hostname,
            user: self.username.as_deref(),
            password: self.password.as_ref(),
        }
    }
}
