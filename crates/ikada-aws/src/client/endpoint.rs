//! Where a service is, when it is not where AWS has it.

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Another scheme than HTTP's.
    #[error("is neither `http://` nor `https://`")]
    Scheme,
    /// Something stands behind host and port.
    #[error("holds more than a host and a port")]
    Extra,
    /// There is no host.
    #[error("holds no host")]
    NoHost,
    /// The port is no number from 1 to 65535.
    #[error("holds a port that is none")]
    Port,
}

/// The URL for `host`, `host:port`, `http://host[:port]` or `https://host[:port]`.
///
/// A bare host is spoken to over TLS, as Fluent Bit does. `port` counts where the text has none.
///
/// # Errors
/// See [`EndpointError`].
pub fn endpoint_url(text: &str, port: Option<u16>) -> Result<String, EndpointError> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        Some(_) => return Err(EndpointError::Scheme),
        None => ("https", text),
    };
    let authority = rest.trim_end_matches('/');
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return Err(EndpointError::Extra);
    }
    // The port of an IPv6 address stands behind its closing bracket.
    let (host, own_port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    let port = match own_port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(EndpointError::Port)?),
        None => port,
    };
    Ok(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_is_spoken_to_over_tls() {
        let cases = [
            ("logs.example.com", None, "https://logs.example.com"),
            ("https://logs.example.com", Some(8443), "https://logs.example.com:8443"),
            ("127.0.0.1:9000", Some(1), "https://127.0.0.1:9000"),
            ("http://127.0.0.1:9000/", None, "http://127.0.0.1:9000"),
            ("HTTP://[::1]:80", None, "http://[::1]:80"),
            ("[::1]", Some(9), "https://[::1]:9"),
        ];
        for (text, port, url) in cases {
            assert_eq!(endpoint_url(text, port).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let cases = [
            ("ftp://x", EndpointError::Scheme),
            ("https://x/path", EndpointError::Extra),
            ("https://", EndpointError::NoHost),
            (":80", EndpointError::NoHost),
            ("x:0", EndpointError::Port),
            ("x:http", EndpointError::Port),
        ];
        for (text, error) in cases {
            assert_eq!(endpoint_url(text, None), Err(error), "{text}");
        }
    }
}
