//! What is written in a section of the `forward` output, and what it comes to.

use std::path::PathBuf;
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{
    Choice, HostPort, OptionValue, Options, PropertyBag, Secret, Spanned, TlsOptions, ValueError,
};
use ikada_plugin::registry::BuildContext;
use ikada_record::accessor::Template;

use super::batch::NewTag;
use super::encode::{OptionMap, Shape};
use super::node::{Address, Encryption, Identity, Node};
use super::send::Target;
use super::upstream;
use crate::Compression;

/// How long an answer may take where `net.io_timeout` says nothing: what fluentd allows (`ack_response_timeout`). A router answers when
/// its own destinations have taken the records, which may be minutes later.
const ANSWER_TIME: Duration = Duration::from_secs(190);

/// How long a frame may take to be written where `net.io_timeout` says nothing.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// Sends records to another router in the Forward protocol: Fluentd, Fluent Bit, Ikada.
#[derive(Debug, Options)]
#[options(output = "forward")]
pub struct ForwardOutOptions {
    /// Server; 127.0.0.1 and 24224 when nothing is given.
    #[option(flatten)]
    pub server: HostPort,
    /// Socket file of the server, in place of host and port.
    #[option(example = "/var/run/fluent.sock")]
    pub unix_path: Option<Spanned<PathBuf>>,
    /// Several servers that take turns: a file with a section `[UPSTREAM]` and a `[NODE]` for each, or the name of a group that stands
    /// in the configuration itself, under `upstream_servers` in YAML.
    #[option(example = "/fluent-bit/etc/upstream.conf")]
    pub upstream: Option<Spanned<String>>,
    /// Tag that records go under, in place of their own; references as `$app['name']` are filled in from each record.
    #[option(example = "aggregated")]
    pub tag: Option<Spanned<String>>,
    /// Writes times as whole seconds, as servers of before 2017 need them.
    #[option(default = "off")]
    pub time_as_integer: bool,
    /// Puts the map of options behind the entries: their number, and what `add_option` says.
    #[option(default = "off")]
    pub send_options: bool,
    /// Waits for the server to say that it has taken the records.
    ///
    /// Without it, records count as delivered when the system has taken them, and a server that dies loses what it had not read. With
    /// it, a server that says nothing within `net.io_timeout` (190 s when that is not given) is asked again.
    #[option(default = "off")]
    pub require_ack_response: bool,
    /// How entries are compressed.
    #[option(default = "text")]
    pub compress: Spanned<Compress>,
    /// Sends the metadata of records, an empty map too. Strict servers take no entries with metadata: turn it off for them.
    #[option(default = "on")]
    pub retain_metadata_in_forward_mode: bool,
    /// Key that this side shares with the server.
    #[option(example = "a-long-random-text")]
    pub shared_key: Option<Secret>,
    /// Greets the server with an empty key.
    #[option(default = "off")]
    pub empty_shared_key: bool,
    /// Name by which this side goes in the handshake.
    #[option(default = "localhost")]
    pub self_hostname: String,
    /// User that the server knows.
    #[option(example = "router")]
    pub username: Option<Spanned<String>>,
    /// Password of the user.
    #[option(example = "hunter2")]
    pub password: Option<Secret>,
    /// Has no effect: it is about metrics and traces, and only logs are sent.
    #[option(no_effect)]
    pub fluentd_compat: Option<bool>,
    /// A pair for the map of options, with a blank between key and value. May be given many times.
    #[option(example = "region tokyo")]
    pub add_option: Vec<Spanned<ExtraOption>>,
    /// How connections are encrypted.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// How entries are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Compress {
    /// Not at all.
    Text,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// A pair for the map of options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraOption {
    key: String,
    value: String,
}

impl OptionValue for ExtraOption {
    const KIND: &'static str = "key and value";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let pair = text.split_once([' ', '\t']).map(|(key, value)| (key, unquoted(value.trim())));
        match pair {
            Some((key, value)) if !value.is_empty() => Ok(Self { key: key.into(), value: value.into() }),
            _ => Err(ValueError::new("is a key without a value").help("type `add_option region tokyo`")),
        }
    }
}

/// A text without the quotes that keep its blanks together.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// What the options come to.
pub(super) struct Settled {
    pub(super) tag: NewTag,
    pub(super) shape: Shape,
    pub(super) target: Target,
}

/// How one server is reached, as the section of the output or a node's own says it.
pub(super) struct Server<'o> {
    pub(super) address: Address,
    pub(super) tls: &'o TlsOptions,
    pub(super) key: Option<&'o Secret>,
    pub(super) empty_key: bool,
    pub(super) hostname: &'o str,
    pub(super) user: Option<&'o str>,
    pub(super) password: Option<&'o Secret>,
}

impl Server<'_> {
    /// The server. Nothing is connected; the TLS files are read.
    pub(super) fn node(&self, cx: &BuildContext) -> Result<Node, String> {
        let connect_timeout = cx.net.as_ref().map_or(Duration::from_secs(10), |net| net.connect_timeout.0);
        let connect_timeout =
            if connect_timeout.is_zero() { Duration::from_secs(3600) } else { connect_timeout };
        Ok(Node::new(self.address.clone(), self.encryption(cx)?, self.identity()?, connect_timeout))
    }

    fn encryption(&self, cx: &BuildContext) -> Result<Option<Encryption>, String> {
        if !self.tls.tls {
            return Ok(None);
        }
        if matches!(self.address, Address::Unix(_)) {
            return Err("a unix socket is not encrypted: remove `tls`".to_owned());
        }
        if cx.dry_run {
            return ikada_tls::check(self.tls).map(|()| None).map_err(|error| chain(&error));
        }
        let config = ikada_tls::client_config(self.tls).map_err(|error| chain(&error))?;
        let name = ikada_tls::server_name(self.tls).map_err(|error| chain(&error))?;
        Ok(Some(Encryption { config: config.into(), name }))
    }

    fn identity(&self) -> Result<Option<Identity>, String> {
        let key = match (self.key, self.empty_key) {
            (Some(key), _) => Some(key.clone()),
            (None, true) => None,
            (None, false) if self.user.is_some() => {
                return Err("`username` needs a `shared_key`, or `empty_shared_key on`".to_owned());
            }
            (None, false) => return Ok(None),
        };
        Ok(Some(Identity {
            hostname: self.hostname.to_owned(),
            key,
            user: self.user.unwrap_or_default().to_owned(),
            password: self.password.cloned(),
        }))
    }
}

impl ForwardOutOptions {
    /// Checks the options against each other.
    pub(super) fn settle(
        self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<Settled> {
        let errors = diags.counts().errors;
        let tag = self.new_tag(diags);
        let compression = self.compression(&tag, diags);
        let nodes = self.nodes(bag, cx, diags);
        if diags.counts().errors > errors {
            return None;
        }
        let shape = match (self.time_as_integer, self.retain_metadata_in_forward_mode) {
            (true, _) => Shape::Seconds,
            (false, true) => Shape::WithMetadata,
            (false, false) => Shape::Plain,
        };
        let extra = self.add_option.into_iter().map(|pair| (pair.value.key, pair.value.value)).collect();
        let options = OptionMap { always: self.send_options, asks: self.require_ack_response, extra };
        let io = cx.net.as_ref().map(|net| net.io_timeout.0).filter(|time| !time.is_zero());
        let (write_time, answer_time) = (io.unwrap_or(WRITE_TIME), io.unwrap_or(ANSWER_TIME));
        let target = Target::new(nodes?, options, compression, write_time, answer_time);
        Some(Settled { tag, shape, target })
    }

    fn new_tag(&self, diags: &mut Diagnostics) -> NewTag {
        let Some(tag) = &self.tag else { return NewTag::Same };
        match Template::new(&tag.value) {
            Ok(template) => match template.as_text() {
                Some(text) => NewTag::Fixed(text.as_bytes().to_vec()),
                None if template.is_of_tag() => NewTag::FromTag(template),
                None => NewTag::FromRecord(template),
            },
            Err(error) => {
                diags.push(bad(tag.span, error.message));
                NewTag::Same
            }
        }
    }

    fn compression(&self, tag: &NewTag, diags: &mut Diagnostics) -> Option<Compression> {
        let compression = match self.compress.value {
            Compress::Text => return None,
            Compress::Gzip => Compression::Gzip,
            Compress::Zstd => Compression::Zstd,
        };
        let other = match tag {
            _ if self.time_as_integer => "`time_as_integer`",
            NewTag::FromRecord(_) => "a `tag` made of each record",
            NewTag::Same | NewTag::Fixed(_) | NewTag::FromTag(_) => return Some(compression),
        };
        let message = format!("`compress` and {other} exclude each other");
        diags.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(self.compress.span));
        None
    }

    fn nodes(&self, bag: &PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Vec<Node>> {
        if let Some(group) = &self.upstream {
            self.tell_what_upstream_hides(diags);
            return upstream::nodes(group, cx, diags);
        }
        let address = match &self.unix_path {
            Some(path) => Address::Unix(path.value.clone()),
            None => Address::Tcp(
                self.server.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
                self.server.port.unwrap_or(24224),
            ),
        };
        let server = Server {
            address,
            tls: &self.tls,
            key: self.shared_key.as_ref(),
            empty_key: self.empty_shared_key,
            hostname: &self.self_hostname,
            user: self.username.as_ref().map(|user| user.value.as_str()),
            password: self.password.as_ref(),
        };
        match server.node(cx) {
            Ok(node) => Some(vec![node]),
            Err(message) => {
                diags.push(bad(self.place(bag), message));
                None
            }
        }
    }

    fn tell_what_upstream_hides(&self, diags: &mut Diagnostics) {
        if let Some(path) = &self.unix_path {
            let message = "`unix_path` has no effect beside `upstream`";
            diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(path.span));
        }
    }

    /// Where a section says how a server is reached.
    fn place(&self, bag: &PropertyBag) -> Span {
        let names =
            ["tls.ca_file", "tls.ca_path", "tls.crt_file", "tls.key_file", "tls.vhost", "tls", "username"];
        let found = names.iter().find_map(|name| bag.peek(name)).map(|property| property.value.span);
        found.or(self.username.as_ref().map(|user| user.span)).unwrap_or(bag.header())
    }
}

pub(super) fn bad(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(codes::BAD_VALUE, message.into()).at(span)
}

/// An error with all its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_sound() {
        ikada_options::check_set::<ForwardOutOptions>();
    }

    #[test]
    fn an_option_of_ones_own_is_a_pair() {
        let read = |text| ExtraOption::parse_value(text).ok().map(|pair| (pair.key, pair.value));
        assert_eq!(read("region tokyo east"), Some(("region".into(), "tokyo east".into())));
        assert_eq!(read("region"), None);
    }
}
