//! What is written in a section of the `http` output, and what it comes to.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use ikada_connect::Scope;
use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{
    Choice, OptionValue, Options, PropertyBag, Seconds, Secret, Spanned, TlsOptions, ValueError,
};
use ikada_plugin::registry::BuildContext;
use ikada_record::accessor::Accessor;
use ikada_record::json::DateKey;
use ikada_tls::{check, client_config, server_name};

use super::client::Client;
use super::gelf::GelfKeys;
use super::proxy::Proxy;
use super::send::Target;
use super::sign::{Signer, SignerSettings};
use crate::text::{chain, date_key};
use crate::unsupported::refuse;

/// Sends records to an HTTP endpoint.
#[derive(Debug, Options)]
#[options(output = "http")]
pub struct HttpOptions {
    /// Name or address of the server.
    #[option(default = "127.0.0.1", example = "logs.example.com")]
    pub host: Spanned<String>,
    /// Port of the server. Without it 80, or 443 with `tls on`, where Fluent Bit stays with 80.
    #[option(example = "8080")]
    pub port: Option<u16>,
    /// Has no effect: all addresses of a name are tried.
    #[option(no_effect)]
    pub ipv6: Option<bool>,
    /// Path that records are sent to, with a query if there is one.
    #[option(default = "/", example = "/v1/input?source=ecs")]
    pub uri: Spanned<String>,
    /// Method of the requests.
    #[option(default = "post")]
    pub http_method: Method,
    /// How records are written.
    #[option(default = "json")]
    pub format: Spanned<HttpFormat>,
    /// Key under which the time stands in the JSON formats; `false` leaves the time out.
    #[option(default = "date")]
    pub json_date_key: String,
    /// How the time is written in the JSON formats: `double`, `iso8601`, `java_sql_timestamp`, `epoch` or `epoch_ms`.
    #[option(default = "double")]
    pub json_date_format: Spanned<String>,
    /// Header of every request: a name, a blank and the value. It takes the place of one that is set by itself, as `Content-Type`.
    #[option(example = "X-Team payments")]
    pub header: Vec<Spanned<Header>>,
    /// Name of a header that carries the tag. Records of different tags then go in different requests.
    #[option(example = "X-Tag")]
    pub header_tag: Option<Spanned<String>>,
    /// User of basic authentication.
    #[option(example = "router")]
    pub http_user: Option<String>,
    /// Password of basic authentication.
    #[option(example = "hunter2")]
    pub http_passwd: Option<Spanned<Secret>>,
    /// How bodies are compressed.
    #[option(example = "gzip")]
    pub compress: Option<Spanned<Compression>>,
    /// Says in log lines what the server answered to a request that failed.
    ///
    /// Fluent Bit logs the answer to every request.
    #[option(default = "on")]
    pub log_response_payload: bool,
    /// Has no effect: a header that is given twice is sent twice.
    #[option(no_effect)]
    pub allow_duplicated_headers: Option<bool>,
    /// Time to wait for an answer; 0 waits for ever.
    #[option(name = "http.response_timeout", default = "60")]
    pub response_timeout: Seconds,
    /// Time that may pass between two pieces of an answer; 0 bounds the whole answer only.
    #[option(name = "http.read_idle_timeout", default = "0")]
    pub read_idle_timeout: Seconds,
    /// Key of the text that is a request's body; each record is then a request of its own.
    #[option(example = "$payload")]
    pub body_key: Option<Spanned<String>>,
    /// Key of a map whose pairs are further headers of that request.
    #[option(example = "$headers")]
    pub headers_key: Option<Spanned<String>>,
    /// Which fields are GELF's own, for `format gelf`.
    #[option(flatten)]
    pub gelf: GelfKeys,
    /// Signs requests for AWS (Signature Version 4).
    #[option(default = "off")]
    pub aws_auth: Spanned<bool>,
    /// Service that the requests are for, as `aps` or `es`.
    #[option(example = "es")]
    pub aws_service: Option<String>,
    /// Region that the requests are for.
    #[option(example = "ap-northeast-1")]
    pub aws_region: Option<String>,
    /// Endpoint of the service that gives a role's credentials.
    #[option(example = "sts.ap-northeast-1.amazonaws.com")]
    pub aws_sts_endpoint: Option<String>,
    /// Role to assume.
    #[option(example = "arn:aws:iam::123456789012:role/logs")]
    pub aws_role_arn: Option<String>,
    /// External id that the role asks for.
    #[option(example = "partner-7")]
    pub aws_external_id: Option<String>,
    /// Profile of the shared configuration files.
    #[option(example = "logs")]
    pub aws_profile: Option<String>,
    /// Proxy that connections go through: `http://host:port`, with `user:password@` before the host if it asks for them. Over TLS it is
    /// asked for a tunnel.
    #[option(example = "http://proxy.example.com:3128")]
    pub proxy: Option<Spanned<Proxy>>,
    /// How connections are encrypted.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// Method of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Method {
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum HttpFormat {
    /// One JSON array for each request.
    Json,
    /// A JSON object a line.
    JsonLines,
    /// JSON objects back to back.
    JsonStream,
    /// The entries as they are, back to back.
    Msgpack,
    /// A GELF object a line.
    Gelf,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Snappy, in its raw form.
    Snappy,
}

impl HttpFormat {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::JsonStream | Self::Gelf => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Msgpack => "application/msgpack",
        }
    }
}

/// A header of every request. Its value is never shown: tokens stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

/// Headers that say how a request is framed and sent.
pub(super) const OURS: [HeaderName; 4] = [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];

impl OptionValue for Header {
    const KIND: &'static str = "header";
    const IS_SECRET: bool = true;

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Self::parse_with_warnings(text, &mut Vec::new())
    }

    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        let Some((name, value)) = text.split_once([' ', '\t']) else {
            return Err(ValueError::new("is a name without a value").help("type `header X-Team payments`"));
        };
        // Quotes around a name without blanks do not count in Fluent Bit; those of the value do.
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ValueError::new("does not start with a header's name")
                .help("type the name without a colon: `header X-Team payments`")
        })?;
        if name == CONNECTION {
            warnings
                .push(ValueError::new("is left out: the router says itself how long a connection is kept"));
        } else if OURS.contains(&name) {
            return Err(ValueError::new("is a header that the router sets itself").help("remove it"));
        }
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| ValueError::new("has a value with bytes that no header may have"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

/// How each record is a request of its own.
pub(super) struct Each {
    pub(super) body: Accessor,
    pub(super) headers: Option<Accessor>,
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) format: HttpFormat,
    pub(super) gelf: GelfKeys,
    pub(super) each: Option<Each>,
    pub(super) date: Option<DateKey>,
    pub(super) target: Arc<Target>,
}

/// Refuses what Fluent Bit's `http` has and this one has not.
pub(super) fn refuse_unsupported(bag: &mut PropertyBag, diagnostics: &mut Diagnostics) {
    const OAUTH2: [&str; 17] = [
        "oauth2.enable",
        "oauth2.token_url",
        "oauth2.client_id",
        "oauth2.client_secret",
        "oauth2.scope",
        "oauth2.audience",
        "oauth2.resource",
        "oauth2.auth_method",
        "oauth2.refresh_skew_seconds",
        "oauth2.timeout",
        "oauth2.connect_timeout",
        "oauth2.user_agent",
        "oauth2.jwt_key_file",
        "oauth2.jwt_cert_file",
        "oauth2.jwt_aud",
        "oauth2.jwt_header",
        "oauth2.jwt_ttl_seconds",
    ];
    refuse(bag, &OAUTH2, "use `header Authorization Bearer ${TOKEN}` with a token that lasts", diagnostics);
}

impl HttpOptions {
    /// Checks the options against each other. Nothing is connected; the TLS files are read.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diagnostics: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diagnostics.counts().errors;
        let date = date_key(&self.json_date_key, &self.json_date_format, diagnostics);
        let url = self.url(diagnostics);
        let headers = self.headers(diagnostics);
        let tag_header = self.tag_header(diagnostics);
        let client = self.client(bag, cx, diagnostics);
        let each = self.each(diagnostics);
        let signer = self.signer(cx, diagnostics);
        if diagnostics.counts().errors > errors {
            return None;
        }
        let target = Target {
            client: client?,
            url: url?,
            method: match self.http_method {
                Method::Post => http::Method::POST,
                Method::Put => http::Method::PUT,
            },
            headers,
            tag_header,
            compression: self.compress.map_or(Compression::None, |compress| compress.value),
            patience: patience(self.response_timeout.0, cx),
            idle: Some(self.read_idle_timeout.0).filter(|time| !time.is_zero()),
            signer,
            tells_answers: self.log_response_payload,
            clock: cx.service.clock.clone(),
        };
        Some(Settled { format: self.format.value, gelf: self.gelf, each, date, target: Arc::new(target) })
    }

    /// How each record is a request, where `body_key` says so.
    fn each(&self, diagnostics: &mut Diagnostics) -> Option<Each> {
        let Some(body) = &self.body_key else {
            if let Some(headers) = &self.headers_key {
                let message = "`headers_key` has no effect without `body_key`";
                diagnostics.push(Diagnostic::warning(codes::NO_EFFECT, message).at(headers.span));
            }
            return None;
        };
        let body = accessor(body, diagnostics)?;
        let headers = match &self.headers_key {
            Some(headers) => Some(accessor(headers, diagnostics)?),
            None => None,
        };
        Some(Each { body, headers })
    }

    /// What signs requests, where they are to be signed. A finding if what that needs is missing.
    fn signer(&self, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Signer> {
        if !self.aws_auth.value {
            return None;
        }
        let mut missing = |name: &str, example: &str| {
            let message = format!("`aws_auth` needs `{name}`");
            let finding = Diagnostic::error(codes::MISSING_OPTION, message).at(self.aws_auth.span);
            diagnostics.push(finding.help(format!("add a line `{name} {example}`")));
        };
        if self.aws_service.is_none() {
            missing("aws_service", "es");
        }
        if self.aws_region.is_none() {
            missing("aws_region", "ap-northeast-1");
        }
        let settings = SignerSettings {
            scope: Scope { region: self.aws_region.clone()?, service: self.aws_service.clone()? },
            profile: self.aws_profile.clone(),
            role: self.aws_role_arn.clone(),
            external_id: self.aws_external_id.clone(),
            sts_endpoint: self.aws_sts_endpoint.clone(),
        };
        Some(Signer::new(settings, cx.service.clock.clone()))
    }

    fn url(&self, diagnostics: &mut Diagnostics) -> Option<Uri> {
        let host = &self.host;
        let bare = host.value.trim_start_matches('[').trim_end_matches(']');
        let name = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        let port = self.port.unwrap_or(if self.tls.tls { 443 } else { 80 });
        let authority = format!("{name}:{port}").parse::<Authority>().ok();
        // `user@host` is an authority, too, but no host.
        let Some(authority) = authority.filter(|authority| authority.host() == name) else {
            let help = "type the name alone; `port`, `uri` and `tls on` say the rest";
            diagnostics.push(bad(host.span, format!("`{}` is no host", host.value)).help(help));
            return None;
        };
        let slash = if self.uri.value.starts_with('/') { "" } else { "/" };
        let Ok(path) = format!("{slash}{}", self.uri.value).parse::<PathAndQuery>() else {
            let message = format!("`{}` is no path", self.uri.value);
            diagnostics.push(bad(self.uri.span, message).help("blanks and the like are written as `%20`"));
            return None;
        };
        let scheme = if self.tls.tls { Scheme::HTTPS } else { Scheme::HTTP };
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
    }

    /// The headers of every request: ours, and the user's in their place or beside them.
    fn headers(&self, diagnostics: &mut Diagnostics) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.body_key.is_none() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.format.value.content_type()));
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("ikada/", env!("CARGO_PKG_VERSION"))));
        headers.extend(self.basic(diagnostics).map(|value| (AUTHORIZATION, value)));
        // A tunnel is asked for by another request, which says it by itself.
        let proxy =
            self.proxy.as_ref().filter(|_| !self.tls.tls).and_then(|proxy| proxy.value.authorization());
        headers.extend(proxy.cloned().map(|value| (PROXY_AUTHORIZATION, value)));
        let written = || self.header.iter().map(|header| &header.value).filter(|h| h.name != CONNECTION);
        for header in written() {
            headers.remove(&header.name);
        }
        for Header { name, value } in written() {
            headers.append(name.clone(), value.clone());
        }
        headers
    }

    /// The value of `Authorization` for a user and a password (RFC 7617).
    fn basic(&self, diagnostics: &mut Diagnostics) -> Option<HeaderValue> {
        let password = self.http_passwd.as_ref().map_or("", |password| password.value.reveal());
        let Some(user) = &self.http_user else {
            if let Some(password) = &self.http_passwd {
                let message = "`http_passwd` has no effect without `http_user`";
                diagnostics.push(Diagnostic::warning(codes::NO_EFFECT, message).at(password.span));
            }
            return None;
        };
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn tag_header(&self, diagnostics: &mut Diagnostics) -> Option<HeaderName> {
        let name = self.header_tag.as_ref()?;
        match HeaderName::from_bytes(name.value.as_bytes()) {
            Ok(header) if !OURS.contains(&header) => Some(header),
            _ => {
                let message = format!("`{}` is no header to carry a tag", name.value);
                diagnostics.push(bad(name.span, message).help("type a name like `X-Tag`"));
                None
            }
        }
    }

    fn client(&self, bag: &PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Client> {
        let limit = cx.net.as_ref().map_or(Duration::from_secs(10), |net| net.connect_timeout.0);
        let proxy = self.proxy.as_ref().map(|proxy| proxy.value.clone());
        if !self.tls.tls {
            return Some(Client::plain(proxy, limit));
        }
        let made = match cx.dry_run {
            true => check(&self.tls).map(|()| Client::plain(proxy, limit)),
            false => client_config(&self.tls)
                .and_then(|config| Ok(Client::encrypted(config, server_name(&self.tls)?, proxy, limit))),
        };
        match made {
            Ok(client) => Some(client),
            Err(error) => {
                diagnostics.push(bad(tls_span(bag), chain(&error)));
                None
            }
        }
    }
}

/// A reference into records; what starts without `$` is a key as it is spelled.
fn accessor(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Accessor> {
    if !text.value.starts_with('$') {
        return Some(Accessor::exact(&text.value));
    }
    Accessor::new(&text.value).inspect_err(|error| diagnostics.push(bad(text.span, &error.message))).ok()
}

fn bad(span: Span, message: impl Display) -> Diagnostic {
    Diagnostic::error(codes::BAD_VALUE, message.to_string()).at(span)
}

/// Where TLS is set up in a section.
fn tls_span(bag: &PropertyBag) -> Span {
    let files =
        ["tls.ca_file", "tls.ca_path", "tls.crt_file", "tls.key_file", "tls.vhost", "tls.min_version", "tls"];
    files.iter().find_map(|name| bag.peek(name)).map_or(bag.header(), |property| property.value.span)
}

/// How long an answer may take: the shorter of the two times that say so.
fn patience(response: Duration, cx: &BuildContext) -> Option<Duration> {
    let io = cx.net.as_ref().map_or(Duration::ZERO, |net| net.io_timeout.0);
    [response, io].into_iter().filter(|time| !time.is_zero()).min()
}
