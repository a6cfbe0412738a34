//! TLS of inputs that listen.

use std::sync::Arc;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{PropertyBag, TlsOptions};
use rustls::ServerConfig;

use crate::text::chain;

/// What listeners need, `Some(None)` without TLS; `None` with a finding if the options cannot be followed.
pub(crate) fn settle(
    options: &TlsOptions,
    asks_clients: bool,
    bag: &PropertyBag,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Arc<ServerConfig>>> {
    if !options.tls {
        return Some(None);
    }
    match ikada_tls::server_config(options, asks_clients) {
        Ok(config) => Some(Some(Arc::new(config))),
        Err(error) => {
            let names = ["tls.crt_file", "tls.key_file", "tls.ca_file", "tls"];
            let place = names.iter().find_map(|name| bag.peek(name)).map(|property| property.value.span);
            let finding = Diagnostic::error(codes::BAD_VALUE, chain(&error));
            diagnostics.push(finding.at(place.unwrap_or(bag.header())));
            None
        }
    }
}
