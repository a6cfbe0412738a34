//! The options of the `forward` input, and what is made of them.

use std::path::PathBuf;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{ByteSize, Octal, Options, PropertyBag, Seconds, Secret, Spanned, TlsOptions};
use ikada_plugin::Input;
use ikada_plugin::registry::{BuildContext, InputPlugin};

use crate::handshake::Guard;
use crate::input::{Forward, MAX_CONNECTIONS, Settings};
use crate::join::JoinRule;
use crate::listen::UnixPath;
use crate::tags::TagRule;

/// Takes records that Docker, Fluentd, Fluent Bit and their client libraries send in the Forward protocol.
///
/// Without `unix_path`, it listens on TCP.
#[derive(Debug, Options)]
#[options(input = "forward")]
pub struct ForwardOptions {
    /// Address to listen on; 0.0.0.0, which is all of them, when neither this nor `unix_path` is given.
    #[option(example = "127.0.0.1")]
    pub listen: Option<String>,
    /// TCP port to listen on; 24224 when it is not given.
    #[option(example = "24224")]
    pub port: Option<Spanned<u16>>,
    /// Socket file to listen on.
    ///
    /// A socket left over from an earlier run is replaced. Anything else in its place is an error and stays as it is. With
    /// `listen` or `port` beside it, both are listened on.
    #[option(example = "/var/run/fluent.sock")]
    pub unix_path: Option<Spanned<PathBuf>>,
    /// Mode of the socket file, in octal; when it is not given, the umask decides.
    #[option(example = "0666")]
    pub unix_perm: Option<Spanned<Octal>>,
    /// Text that is put before the tag of what comes in, without a dot between them. It wins over `tag`.
    #[option(example = "edge.")]
    pub tag_prefix: Option<String>,
    /// Has no effect: buffers grow and shrink by themselves.
    #[option(no_effect)]
    pub buffer_chunk_size: Option<ByteSize>,
    /// Size that one frame may have, compressed or not. A larger one ends its connection.
    #[option(default = "6144000")]
    pub buffer_max_size: Spanned<ByteSize>,
    /// Puts lines together again that Docker has cut into pieces of 16 KB.
    ///
    /// Such pieces have the fields `partial_message`, `partial_id`, `partial_ordinal` and `partial_last`. The whole line has the time and the fields
    /// of its first piece, without these four. Fluent Bit leaves the pieces to its filter `multiline`.
    #[option(default = "on")]
    pub join_partial: bool,
    /// Size that a line may have which is put together. A longer one goes on in its pieces.
    #[option(default = "1M")]
    pub join_partial_limit: ByteSize,
    /// Time to wait for the next piece of a line; after that its pieces go on as they are.
    #[option(default = "5")]
    pub join_partial_timeout: Seconds,
    /// Key that a client must share to be let in. What it sends still travels in the clear.
    #[option(example = "a-long-random-text")]
    pub shared_key: Option<Spanned<Secret>>,
    /// Asks for the handshake with an empty key.
    #[option(default = "off")]
    pub empty_shared_key: bool,
    /// Name by which this side goes in the handshake.
    #[option(default = "localhost")]
    pub self_hostname: String,
    /// User and password, with a blank between them, one of which a client must know beside the key. May be given many times.
    #[option(name = "security.users", example = "ann secret")]
    pub users: Vec<Spanned<Secret>>,
    /// Has no effect: all processors serve all connections.
    #[option(no_effect)]
    pub workers: Option<u32>,
    /// Asks clients for certificates.
    #[option(name = "tls.verify_client_cert", default = "off")]
    pub tls_verify_client_cert: bool,
    /// How connections are encrypted. Not supported yet.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// Frames larger than this are a mistake: offsets in a chunk are 32 bits wide.
const LARGEST: u64 = 1_000_000_000;

/// The inputs of this crate.
#[must_use]
pub fn inputs() -> Vec<InputPlugin> {
    vec![InputPlugin { name: "forward", aliases: &[], options: ForwardOptions::set, build }]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Input>> {
    let tls = bag.peek("tls").map(|property| property.key.span);
    let options = ForwardOptions::parse(bag, diags)?;
    let settings = settings(options, tls, cx.tag.as_deref(), diags)?;
    Some(Box::new(Forward::new(settings)))
}

/// Checks the options against each other.
fn settings(
    options: ForwardOptions,
    tls: Option<ikada_diag::Span>,
    tag: Option<&str>,
    diags: &mut Diagnostics,
) -> Option<Settings> {
    let mut sound = true;
    if options.tls.tls {
        sound = false;
        diags.push(
            Diagnostic::error(codes::UNSUPPORTED_OPTION, "the forward input does not speak TLS yet")
                .at(tls)
                .help("remove `tls`, and let only this host or its network reach the port"),
        );
    }
    let guard = guard(&options, diags);
    let limit = limit(&options.buffer_max_size, diags);
    let join = join(&options);
    if let (Some(mode), None) = (&options.unix_perm, &options.unix_path) {
        diags.push(
            Diagnostic::warning(codes::CONFLICTING_OPTIONS, "`unix_perm` says nothing without `unix_path`")
                .at(mode.span),
        );
    }
    let wants_tcp = options.listen.is_some() || options.port.is_some() || options.unix_path.is_none();
    let tcp = wants_tcp.then(|| {
        let host = options.listen.unwrap_or_else(|| "0.0.0.0".to_owned());
        (host, options.port.map_or(24224, |port| port.value))
    });
    let unix = options
        .unix_path
        .map(|path| UnixPath { path: path.value, mode: options.unix_perm.map(|mode| mode.value.0) });
    let tags = TagRule::new(options.tag_prefix.as_deref(), tag);
    let (guard, limit) = (guard.ok()?, limit?);
    sound.then_some(Settings { tcp, unix, tags, limit, max_connections: MAX_CONNECTIONS, guard, join })
}

fn join(options: &ForwardOptions) -> Option<JoinRule> {
    let limit = options.join_partial_limit.0.min(LARGEST);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    options.join_partial.then_some(JoinRule { limit, patience: options.join_partial_timeout.0 })
}

fn limit(size: &Spanned<ByteSize>, diags: &mut Diagnostics) -> Option<usize> {
    let bytes = size.value.0;
    if !(1..=LARGEST).contains(&bytes) {
        let message = format!("`Buffer_Max_Size` must be from 1 to {} bytes", ByteSize(LARGEST));
        diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(size.span).help("type `6M`"));
        return None;
    }
    usize::try_from(bytes).ok()
}

/// `Err` when a finding was made.
fn guard(options: &ForwardOptions, diags: &mut Diagnostics) -> Result<Option<Guard>, ()> {
    let key = match &options.shared_key {
        Some(key) => Some(key.value.reveal()),
        None => options.empty_shared_key.then_some(""),
    };
    let mut users = Vec::new();
    for user in &options.users {
        match user.value.reveal().split_once(' ') {
            Some((name, password)) => users.push((name, password.trim_start())),
            None => {
                let message = "`Security.Users` needs a user and a password with a blank between them";
                diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(user.span));
                return Err(());
            }
        }
    }
    match (key, options.users.first()) {
        (Some(key), _) => Ok(Some(Guard::new(key, &options.self_hostname, &users))),
        (None, None) => Ok(None),
        (None, Some(user)) => {
            let message = "`Security.Users` needs a `Shared_Key`";
            diags.push(
                Diagnostic::error(codes::CONFLICTING_OPTIONS, message)
                    .at(user.span)
                    .help("add a line `Shared_Key …`, or `Empty_Shared_Key on`"),
            );
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_options::{Property, Sources, check_set};

    use super::*;

    fn built(text: &str, tag: Option<&str>) -> (Option<Settings>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", text);
        let mut properties = Vec::new();
        let mut at = 0;
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap();
            let spanned = |text: &str, at| Spanned::new(text.to_owned(), file.span(at, at + text.len()));
            properties.push(Property::new(spanned(key, at), spanned(value, at + key.len() + 1)));
            at += line.len() + 1;
        }
        let mut bag = PropertyBag::new("input forward", file.span(0, 0), properties);
        let mut diags = Diagnostics::new();
        let tls = bag.peek("tls").map(|property| property.key.span);
        let options = ForwardOptions::parse(&mut bag, &mut diags);
        let settings = options.and_then(|options| settings(options, tls, tag, &mut diags));
        (settings, diags.lines(&sources).collect())
    }

    #[test]
    fn the_set_is_sound() {
        check_set::<ForwardOptions>();
    }

    #[test]
    fn what_the_container_agent_generates_is_understood() {
        let (settings, lines) = built("unix_path /var/run/fluent.sock", None);
        let settings = settings.unwrap();
        let path = UnixPath { path: "/var/run/fluent.sock".into(), mode: None };
        assert_eq!((settings.tcp, settings.unix, lines), (None, Some(path), vec![]));

        let (settings, lines) = built("Listen 127.0.0.1\nPort 24224", None);
        let settings = settings.unwrap();
        assert_eq!((settings.tcp, lines), (Some(("127.0.0.1".to_owned(), 24224)), vec![]));
        assert_eq!((settings.unix, settings.limit, settings.tags), (None, 6_144_000, TagRule::Sent));
    }

    #[test]
    fn nothing_at_all_means_tcp_on_all_addresses() {
        assert_eq!(built("", None).0.unwrap().tcp, Some(("0.0.0.0".to_owned(), 24224)));
    }

    #[test]
    fn a_socket_file_and_a_port_are_both_served() {
        let settings = built("Unix_Path /tmp/s\nPort 1\nUnix_Perm 0666", None).0.unwrap();
        assert_eq!(settings.tcp, Some(("0.0.0.0".to_owned(), 1)));
        assert_eq!(settings.unix.unwrap().mode, Some(0o666));
    }

    #[test]
    fn the_prefix_wins_over_the_tag() {
        assert_eq!(built("", Some("t")).0.unwrap().tags, TagRule::Fixed(b"t".to_vec()));
        assert_eq!(built("Tag_Prefix p.", Some("t")).0.unwrap().tags, TagRule::Prefix(b"p.".to_vec()));
    }

    #[test]
    fn what_cannot_be_served_is_refused_at_its_place() {
        let refused = |text| {
            let (settings, lines) = built(text, None);
            assert!(settings.is_none(), "{text}");
            lines.join("\n")
        };
        assert!(refused("tls on").starts_with("a.conf:1:1: error[unsupported-option]"));
        assert!(refused("Buffer_Max_Size 0").starts_with("a.conf:1:17: error[bad-value]"));
        assert!(refused("Port 1\nSecurity.Users a b").starts_with("a.conf:2:16: error[conflicting-options]"));
        assert!(refused("Shared_Key k\nSecurity.Users a").starts_with("a.conf:2:16: error[bad-value]"));
        assert!(!refused("Shared_Key k\nSecurity.Users hunter2").contains("hunter2"));
    }

    #[test]
    fn what_has_no_effect_is_accepted_with_a_note() {
        let (settings, lines) = built("Workers 4\nBuffer_Chunk_Size 1M", None);
        assert!(settings.is_some());
        assert_eq!(lines.iter().filter(|line| line.contains("note[no-effect]")).count(), 2, "{lines:?}");
    }
}
