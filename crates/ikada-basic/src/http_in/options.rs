//! What is written in a section of the `http` input, and what it comes to.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{ByteSize, OptionValue, Options, PropertyBag, Spanned, TlsOptions, ValueError};
use ikada_plugin::registry::BuildContext;
use ikada_record::accessor::Accessor;
use rustls::ServerConfig;

use super::server::Server;
use crate::complaints::Complaints;
use crate::server_tls;
use crate::tcp::bare;
use crate::unsupported::refuse;

/// Takes records over HTTP/1.1 and HTTP/2: JSON, lines of JSON, and forms.
///
/// The path is the tag: `/app.log/x-y` is `app.log_x_y`, `/` the input's own.
#[derive(Debug, Options)]
#[options(input = "http")]
pub struct HttpInOptions {
    /// Address to listen on.
    #[option(default = "0.0.0.0")]
    pub listen: String,
    /// Port to listen on.
    #[option(default = "9880")]
    pub port: u16,
    /// Key whose value is the tag of a record, in place of the path.
    #[option(example = "$app['name']")]
    pub tag_key: Option<Spanned<String>>,
    /// Largest body, packed or unpacked.
    #[option(default = "4M")]
    pub buffer_max_size: ByteSize,
    /// Has no effect: buffers grow and shrink by themselves.
    #[option(no_effect)]
    pub buffer_chunk_size: Option<ByteSize>,
    /// Speaks HTTP/2 with clients that begin with it.
    #[option(default = "on")]
    pub http2: bool,
    /// Status of the answer to a request that was taken: 200, 201 or 204.
    #[option(default = "201")]
    pub successful_response_code: Spanned<u16>,
    /// Header of the answer to a request that was taken: a name, a blank and the value. May be given many times.
    #[option(example = "X-Taken yes")]
    pub success_header: Vec<SuccessHeader>,
    /// Adds the client's address: the first of `X-Forwarded-For`, or that of the connection.
    ///
    /// Fluent Bit adds nothing where there is no `X-Forwarded-For`.
    #[option(default = "off")]
    pub add_remote_addr: bool,
    /// Key under which the client's address is added.
    #[option(default = "REMOTE_ADDR")]
    pub remote_addr_key: String,
    /// Answers `GET /health` with 200.
    #[option(default = "off")]
    pub enable_health_endpoint: bool,
    /// Has no effect: connections are tasks of their own.
    #[option(no_effect)]
    pub workers: Option<u32>,
    /// Asks clients for certificates.
    #[option(name = "tls.verify_client_cert", default = "off")]
    pub tls_verify_client_cert: bool,
    /// How connections are encrypted.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// A header of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessHeader {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl OptionValue for SuccessHeader {
    const KIND: &'static str = "header";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let parts = text.split_once([' ', '\t']).and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        match parts {
            Some((name, value)) => Ok(Self { name, value }),
            None => Err(ValueError::new("is not a header's name, a blank and its value")
                .help("type `success_header X-Taken yes`")),
        }
    }
}

/// Where the input listens.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Refuses what Fluent Bit's `http` has and this one has not.
pub(super) fn refuse_unsupported(bag: &mut PropertyBag, diagnostics: &mut Diagnostics) {
    const OAUTH2: [&str; 6] = [
        "oauth2.validate",
        "oauth2.issuer",
        "oauth2.jwks_url",
        "oauth2.allowed_audience",
        "oauth2.allowed_clients",
        "oauth2.jwks_refresh_interval",
    ];
    refuse(bag, &OAUTH2, "remove it, or let a proxy in front check tokens", diagnostics);
}

impl HttpInOptions {
    /// Checks the options against each other.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Place, Server)> {
        let tls = server_tls::settle(&self.tls, self.tls_verify_client_cert, bag, diagnostics);
        let tls = tls.map(|tls| tls.map(|config| with_protocols(config, self.http2)));
        let tag_key = tag_key(self.tag_key.as_ref(), diagnostics);
        let status = match self.successful_response_code.value {
            200 => StatusCode::OK,
            201 => StatusCode::CREATED,
            204 => StatusCode::NO_CONTENT,
            _ => {
                let message = "`successful_response_code` is 200, 201 or 204";
                let finding = Diagnostic::error(codes::BAD_VALUE, message);
                diagnostics.push(finding.at(self.successful_response_code.span));
                return None;
            }
        };
        let server = Server {
            tag: cx.tag.clone(),
            tag_key: tag_key?,
            limit: usize::try_from(self.buffer_max_size.0).unwrap_or(usize::MAX),
            speaks_http2: self.http2,
            status,
            headers: self.success_header,
            address_key: self.add_remote_addr.then_some(self.remote_addr_key),
            is_asked_for_health: self.enable_health_endpoint,
            complaints: Complaints::default(),
        };
        Some((Place { host: bare(&self.listen), port: self.port, tls: tls? }, server))
    }
}

/// `Some(None)` where no key is given; `None` with a finding for one that is none.
fn tag_key(key: Option<&Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<Option<Accessor>> {
    let Some(key) = key else { return Some(None) };
    // A bare name is a key as it is spelled, whatever characters it has.
    if !key.value.starts_with('$') {
        return Some(Some(Accessor::exact(&key.value)));
    }
    match Accessor::new(&key.value) {
        Ok(accessor) => Some(Some(accessor)),
        Err(error) => {
            diagnostics.push(Diagnostic::error(codes::BAD_VALUE, error.message).at(key.span));
            None
        }
    }
}

/// Offers HTTP/2 in the handshake of TLS, so that clients take it.
fn with_protocols(config: Arc<ServerConfig>, http2: bool) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    let names: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}
