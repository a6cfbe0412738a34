//! Options of everything that talks over a network.

use std::path::PathBuf;

use crate::field::OptionValue;
use crate::{CommaList, Options, Seconds, Secret, ValueError};

/// How connections are made.
#[derive(Debug, Clone, Options)]
#[options(common = "net")]
pub struct NetOptions {
    /// Time to wait for a connection.
    #[option(name = "net.connect_timeout", default = "10")]
    pub connect_timeout: Seconds,
    /// Time to wait for the peer to read or answer; 0 waits for ever.
    #[option(name = "net.io_timeout", default = "0")]
    pub io_timeout: Seconds,
    /// Has no effect: a connection that times out is always logged.
    #[option(name = "net.connect_timeout_log_error", no_effect)]
    pub connect_timeout_log_error: Option<bool>,
    /// Has no effect: connections are kept and reused by themselves.
    #[option(name = "net.keepalive", no_effect)]
    pub keepalive: Option<bool>,
    /// Has no effect: idle connections are closed by themselves.
    #[option(name = "net.keepalive_idle_timeout", no_effect)]
    pub keepalive_idle_timeout: Option<Seconds>,
    /// Has no effect: a connection is used as long as it works.
    #[option(name = "net.keepalive_max_recycle", no_effect)]
    pub keepalive_max_recycle: Option<u64>,
    /// Has no effect: connections are bounded by themselves.
    #[option(name = "net.max_worker_connections", no_effect)]
    pub max_worker_connections: Option<u64>,
    /// Has no effect: the system chooses the address that connections come from.
    #[option(name = "net.source_address", no_effect)]
    pub source_address: Option<String>,
    /// Has no effect: the system resolves names.
    #[option(name = "net.dns.mode", no_effect)]
    pub dns_mode: Option<String>,
    /// Has no effect: the system resolves names.
    #[option(name = "net.dns.resolver", no_effect)]
    pub dns_resolver: Option<String>,
    /// Has no effect: all addresses of a name are tried.
    #[option(name = "net.dns.prefer_ipv4", no_effect)]
    pub dns_prefer_ipv4: Option<bool>,
    /// Has no effect: all addresses of a name are tried.
    #[option(name = "net.dns.prefer_ipv6", no_effect)]
    pub dns_prefer_ipv6: Option<bool>,
    /// Has no effect: the system watches over connections.
    #[option(name = "net.tcp_keepalive", no_effect)]
    pub tcp_keepalive: Option<bool>,
    /// Has no effect: the system watches over connections.
    #[option(name = "net.tcp_keepalive_time", no_effect)]
    pub tcp_keepalive_time: Option<u64>,
    /// Has no effect: the system watches over connections.
    #[option(name = "net.tcp_keepalive_interval", no_effect)]
    pub tcp_keepalive_interval: Option<u64>,
    /// Has no effect: the system watches over connections.
    #[option(name = "net.tcp_keepalive_probes", no_effect)]
    pub tcp_keepalive_probes: Option<u64>,
    /// Has no effect: proxies are set by the environment alone.
    #[option(name = "net.proxy_env_ignore", no_effect)]
    pub proxy_env_ignore: Option<bool>,
    /// Has no effect: ports are not shared between listeners.
    #[option(name = "net.share_port", no_effect)]
    pub share_port: Option<bool>,
    /// Has no effect: the system bounds waiting connections.
    #[option(name = "net.backlog", no_effect)]
    pub backlog: Option<u64>,
    /// Has no effect: time to wait for a client is bounded by itself.
    #[option(name = "net.accept_timeout", no_effect)]
    pub accept_timeout: Option<Seconds>,
    /// Has no effect: a client that times out is always logged.
    #[option(name = "net.accept_timeout_log_error", no_effect)]
    pub accept_timeout_log_error: Option<bool>,
}

/// How connections are encrypted.
#[derive(Debug, Clone, Options)]
#[options(common = "tls")]
pub struct TlsOptions {
    /// Encrypts connections.
    #[option(default = "off")]
    pub tls: bool,
    /// Checks the peer's certificate. Off is for tests: anybody can then read what is sent.
    #[option(name = "tls.verify", default = "on")]
    pub verify: bool,
    /// Checks that the certificate is for the host, where it is checked at all. Off takes that of any host from an authority that is trusted,
    /// which is what Fluent Bit does unless it is told otherwise.
    #[option(name = "tls.verify_hostname", default = "on")]
    pub verify_hostname: bool,
    /// Has no effect: what goes wrong with a handshake is always logged.
    #[option(name = "tls.debug", no_effect)]
    pub debug: Option<u32>,
    /// Name to ask for in the handshake, where it is not the host.
    #[option(name = "tls.vhost", example = "logs.example.com")]
    pub vhost: Option<String>,
    /// File with the certificates to trust.
    #[option(name = "tls.ca_file", example = "/etc/ssl/ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// Directory with the certificates to trust.
    #[option(name = "tls.ca_path", example = "/etc/ssl/certs")]
    pub ca_path: Option<PathBuf>,
    /// File with the certificate to show.
    #[option(name = "tls.crt_file", example = "/etc/ikada/client.pem")]
    pub crt_file: Option<PathBuf>,
    /// File with the key of the certificate to show.
    #[option(name = "tls.key_file", example = "/etc/ikada/client.key")]
    pub key_file: Option<PathBuf>,
    /// Password of the key file.
    #[option(name = "tls.key_passwd")]
    pub key_passwd: Option<Secret>,
    /// Lowest version to speak.
    #[option(name = "tls.min_version", example = "TLSv1.2")]
    pub min_version: Option<TlsVersion>,
    /// Highest version to speak.
    #[option(name = "tls.max_version", example = "TLSv1.3")]
    pub max_version: Option<TlsVersion>,
    /// Has no effect: only strong ciphers are spoken.
    #[option(name = "tls.ciphers", no_effect)]
    pub ciphers: Option<CommaList>,
}

/// A version of TLS that is spoken here: 1.2 or 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl OptionValue for TlsVersion {
    const KIND: &'static str = "TLS version";

    /// Older versions, which nothing here speaks, mean 1.2.
    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        let number = text.to_ascii_lowercase();
        let number = number.strip_prefix("tls").unwrap_or(&number).trim_start_matches(['v', ' ']);
        match number {
            "1.2" => Ok(TlsVersion::V1_2),
            "1.3" => Ok(TlsVersion::V1_3),
            "1.1" | "1.0" | "1" => {
                warnings.push(
                    ValueError::new("is too old to be spoken and means `TLSv1.2`").help("type `TLSv1.2`"),
                );
                Ok(TlsVersion::V1_2)
            }
            _ => Err(ValueError::new("is not a version of TLS").help("type `TLSv1.2` or `TLSv1.3`")),
        }
    }

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Self::parse_with_warnings(text, &mut Vec::new())
    }
}

/// The peer of an output.
#[derive(Debug, Clone, Options)]
#[options(common = "host")]
pub struct HostPort {
    /// Name or address of the peer.
    #[option(example = "logs.example.com")]
    pub host: Option<String>,
    /// Port of the peer.
    #[option(example = "24224")]
    pub port: Option<u16>,
    /// Has no effect: all addresses of a name are tried.
    #[option(no_effect)]
    pub ipv6: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_set;

    #[test]
    fn the_sets_are_sound() {
        check_set::<NetOptions>();
        check_set::<TlsOptions>();
        check_set::<HostPort>();
    }

    #[test]
    fn old_versions_of_tls_mean_the_oldest_that_is_spoken() {
        let mut warnings = Vec::new();
        assert_eq!(TlsVersion::parse_with_warnings("TLSv1.3", &mut warnings), Ok(TlsVersion::V1_3));
        assert!(warnings.is_empty());
        assert_eq!(TlsVersion::parse_with_warnings("TLSv1.1", &mut warnings), Ok(TlsVersion::V1_2));
        assert_eq!(warnings.len(), 1);
        assert!(TlsVersion::parse_value("SSLv3").is_err());
    }
}
