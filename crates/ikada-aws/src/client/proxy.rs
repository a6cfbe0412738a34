//! The proxies that the environment names.
//!
//! `HTTPS_PROXY` is for what is spoken to over TLS, `HTTP_PROXY` for the rest, and for all where there is no other, as in Fluent Bit;
//! `NO_PROXY` names what is reached without one. All three may be in small letters. What a machine asks about itself, and itself, is
//! never asked through a proxy.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use ikada_connect::{Hop, Proxies as _};

/// Loopback, and the addresses of metadata services.
const OWN: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// Which proxy is for what.
#[derive(Clone)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// What the environment says.
    pub(super) fn of_process() -> Self {
        Self::new(|name| std::env::var(name).or_else(|_| std::env::var(name.to_ascii_lowercase())).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let http = given("HTTP_PROXY").unwrap_or_default();
        let https = given("HTTPS_PROXY").unwrap_or_else(|| http.clone());
        let no = given("NO_PROXY").unwrap_or_default();
        let builder = Matcher::builder().http(http).https(https).no(format!("{OWN},{no}"));
        Self(Arc::new(builder.build()))
    }

    /// The header that a request that is not tunnelled needs for its proxy.
    pub(super) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        if target.scheme_str() == Some("https") {
            return None;
        }
        self.find(target)?.authorization
    }
}

impl ikada_connect::Proxies for Proxies {
    fn find(&self, target: &Uri) -> Option<Hop> {
        let proxy = self.0.intercept(target)?;
        Some(Hop { uri: proxy.uri().clone(), authorization: proxy.basic_auth().cloned() })
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Their addresses may hold passwords.
        f.write_str("Proxies")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], target: &str) -> Option<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Proxies::new(variable).find(&target.parse().unwrap());
        found.map(|proxy| proxy.uri.to_string())
    }

    #[test]
    fn each_target_has_its_proxy() {
        let both = [
            ("HTTP_PROXY", "http://plain:1"),
            ("HTTPS_PROXY", "http://tls:2"),
            ("NO_PROXY", "inside.example,10.0.0.0/8"),
        ];
        let one = [("HTTP_PROXY", "http://plain:1")];
        let cases = [
            (&both[..], "https://logs.example.com", Some("http://tls:2/")),
            (&both[..], "http://logs.example.com", Some("http://plain:1/")),
            (&both[..], "https://x.inside.example", None),
            (&both[..], "https://10.1.2.3", None),
            (&one[..], "https://logs.example.com", Some("http://plain:1/")),
            (&one[..], "http://169.254.170.2/creds", None),
            (&one[..], "http://[fd00:ec2::254]/latest", None),
            (&one[..], "http://127.0.0.1:9000", None),
            (&[][..], "https://logs.example.com", None),
        ];
        for (variables, target, expected) in cases {
            assert_eq!(proxy(variables, target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_password_goes_only_where_the_proxy_reads_the_request() {
        let proxies = Proxies::new(|name| (name == "HTTP_PROXY").then(|| "http://me:pw@proxy:1".to_owned()));
        assert!(proxies.authorization(&"http://a.example".parse().unwrap()).is_some());
        assert!(proxies.authorization(&"https://a.example".parse().unwrap()).is_none());
    }
}
