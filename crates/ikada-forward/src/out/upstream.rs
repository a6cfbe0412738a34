//! Several servers that take turns: those of a group that the configuration holds.

use ikada_diag::{Diagnostics, Spanned};
use ikada_options::{Options, Secret, TlsOptions};
use ikada_plugin::GroupServer;
use ikada_plugin::registry::BuildContext;

use super::node::{Address, Node};
use super::options::{Server, bad};

/// What is written for one server beside its place.
#[derive(Debug, Options)]
#[options(common = "node")]
struct NodeOptions {
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

/// The servers of a group, by its name or that of its file. `None` where there is no such group, which the whole configuration's
/// checks tell, or where something is wrong with it.
pub(super) fn nodes(
    group: &Spanned<String>,
    cx: &BuildContext,
    diags: &mut Diagnostics,
) -> Option<Vec<Node>> {
    let servers = cx.service.groups.0.get(&group.value)?;
    let nodes: Vec<_> = servers.iter().filter_map(|server| node(server, cx, diags)).collect();
    (nodes.len() == servers.len() && !nodes.is_empty()).then_some(nodes)
}

fn node(server: &GroupServer, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Node> {
    let mut bag = server.bag.clone();
    let options = NodeOptions::parse(&mut bag, diags);
    bag.finish(&[&NodeOptions::set()], diags);
    let options = options?;
    let how = Server {
        address: Address::Tcp(server.host.clone(), server.port),
        tls: &options.tls,
        key: options.shared_key.as_ref(),
        empty_key: options.empty_shared_key,
        hostname: &options.self_hostname,
        user: options.username.as_deref(),
        password: options.password.as_ref(),
    };
    match how.node(cx) {
        Ok(node) => Some(node),
        Err(message) => {
            diags.push(bad(bag.header(), format!("node `{}`: {message}", server.name)));
            None
        }
    }
}
