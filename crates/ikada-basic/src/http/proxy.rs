//! The proxy that an output names.

use base64::Engine;
use http::{HeaderValue, Uri};
use ikada_connect::{Hop, Proxies};
use ikada_options::{OptionValue, ValueError};

/// A proxy, spoken to in plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    uri: Uri,
    /// The user and the password that it asks for.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The header by which requests that it reads say who they are from.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl OptionValue for Proxy {
    const KIND: &'static str = "proxy";
    const IS_SECRET: bool = true;

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let help = "type `http://proxy.example.com:3128`";
        let text = text.trim();
        let Some(rest) = text.strip_prefix("http://") else {
            let said = if text.starts_with("https://") { "is spoken to over TLS" } else { "is no URL" };
            return Err(ValueError::new(said).help(help));
        };
        let rest = rest.trim_end_matches('/');
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let uri = format!("http://{place}").parse::<Uri>().ok();
        let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.path() == "/");
        let Some(uri) = uri else { return Err(ValueError::new("names no host").help(help)) };
        let authorization = user.map(|user| {
            let text = base64::engine::general_purpose::STANDARD.encode(user);
            let value = HeaderValue::from_str(&format!("Basic {text}"));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization = authorization.transpose().map_err(|_| ValueError::new("has no usable user"))?;
        Ok(Self { uri, authorization })
    }
}

/// The proxy for every target, if there is one.
#[derive(Clone)]
pub(super) struct Fixed(pub(super) Option<Proxy>);

impl Proxies for Fixed {
    fn find(&self, _target: &Uri) -> Option<Hop> {
        let Proxy { uri, authorization } = self.0.clone()?;
        Some(Hop { uri, authorization })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port_in_plain_http() {
        let proxy = Proxy::parse_value("http://me:p@w@proxy.example:3128/").unwrap();
        assert_eq!(proxy.uri.to_string(), "http://proxy.example:3128/");
        assert_eq!(proxy.authorization().unwrap(), "Basic bWU6cEB3");
        assert!(Proxy::parse_value("http://proxy").is_ok_and(|proxy| proxy.authorization().is_none()));
        for text in ["https://proxy:1", "proxy:3128", "http://", "http://proxy/path"] {
            assert!(Proxy::parse_value(text).is_err(), "{text}");
        }
    }
}
