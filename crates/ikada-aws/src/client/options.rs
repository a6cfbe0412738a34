//! The options every AWS output has, and what they come to.

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{NetOptions, Options, PropertyBag, Seconds, TlsOptions};
use ikada_plugin::registry::BuildContext;
use ikada_tls::TlsSettings;

use super::credentials::chain;
use super::endpoint::endpoint_url;
use super::region::RegionName;
use super::session::{Role, Session, SessionSettings};

/// How long a connection may take when `net.connect_timeout` does not say.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take when `net.io_timeout` does not say: a full batch over a slow line, and then some.
const ANSWER: Duration = Duration::from_secs(60);

/// Region, identity and endpoint: the same for every AWS output.
#[derive(Debug, Clone, Options)]
#[options(common = "aws")]
pub struct AwsOptions {
    /// Region of the destination. Without it, `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile and the instance's metadata are
    /// asked in this order; Fluent Bit does not look there.
    #[option(example = "eu-central-1")]
    pub region: Option<Spanned<RegionName>>,
    /// Host of the service, for VPC endpoints and stand-ins: `host`, `host:port`, or a URL of scheme, host and port.
    /// Without `http://` in front it is spoken to over TLS.
    #[option(example = "https://vpce-0123.logs.eu-central-1.vpce.amazonaws.com")]
    pub endpoint: Option<Spanned<String>>,
    /// ARN of a role to take on before anything is sent; on EKS with Fargate (`EKS_POD_EXECUTION_ROLE`) that one is taken on first.
    #[option(example = "arn:aws:iam::123456789012:role/logs-writer")]
    pub role_arn: Option<Spanned<String>>,
    /// External id that the role's trust policy asks for.
    #[option(example = "tenant-7")]
    pub external_id: Option<Spanned<String>>,
    /// Host of STS, where roles are taken on.
    #[option(example = "https://sts.eu-central-1.amazonaws.com")]
    pub sts_endpoint: Option<Spanned<String>>,
    /// Profile in the shared AWS configuration and credentials files.
    #[option(example = "production")]
    pub profile: Option<Spanned<String>>,
    /// Has no effect: failed requests are retried, whatever failed.
    #[option(no_effect)]
    pub auto_retry_requests: Option<bool>,
    /// How TLS connections are made.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// Where an output sends, and as whom.
#[derive(Debug, Clone)]
pub struct Destination {
    /// As whom.
    pub session: Arc<Session>,
    /// Where, as a URL, if not where AWS has the service.
    pub endpoint: Option<String>,
}

impl Destination {
    /// Tells the destination from others with the same name: where it is, as far as the options say.
    pub(crate) fn place(&self) -> String {
        let region = self.session.settings().region.as_deref().unwrap_or_default();
        format!("{region}/{}", self.endpoint.as_deref().unwrap_or_default())
    }

    /// Says at start who the output's requests will be signed as.
    pub(crate) fn announce(&self, cx: &BuildContext) {
        if !cx.dry_run {
            self.session.settings().announce(cx.id.shown());
        }
    }
}

impl AwsOptions {
    /// Checks the options and finds the session they ask for. `port` is the output's own option of that name, `net` what all
    /// outputs have.
    ///
    /// Nothing is connected and nothing but the TLS files is opened.
    pub fn destination(
        &self,
        port: Option<&Spanned<u16>>,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Destination> {
        self.destination_as(None, None, port, bag, net, diags)
    }

    /// The same, with a place that credentials are got from instead of all others, and a limit of the output's own for the time an answer
    /// may take.
    pub fn destination_as(
        &self,
        credentials: Option<&Spanned<String>>,
        answer: Option<Duration>,
        port: Option<&Spanned<u16>>,
        bag: &PropertyBag,
        net: Option<&NetOptions>,
        diags: &mut Diagnostics,
    ) -> Option<Destination> {
        let endpoint = self.endpoint_url(port, diags);
        let role = self.role(diags);
        let tls = self.tls(bag, diags);
        let credentials_url = credentials_url(credentials, diags);
        let settings = SessionSettings {
            credentials_url: credentials_url?,
            region: self.region.as_ref().map(|region| region.value.as_str().to_owned()),
            profile: self.profile.as_ref().map(|profile| profile.value.clone()),
            role: role?,
            tls: tls?,
            connect_timeout: given(net.map(|net| net.connect_timeout)).unwrap_or(CONNECT),
            answer_timeout: answer.or(given(net.map(|net| net.io_timeout))).unwrap_or(ANSWER),
        };
        Some(Destination { endpoint: endpoint?, session: Session::shared(settings) })
    }

    fn endpoint_url(&self, port: Option<&Spanned<u16>>, diags: &mut Diagnostics) -> Option<Option<String>> {
        let Some(endpoint) = &self.endpoint else {
            if let Some(port) = port.filter(|port| port.value != 443) {
                diags.push(
                    Diagnostic::error(codes::CONFLICTING_OPTIONS, "`port` needs `endpoint`")
                        .at(port.span)
                        .help("AWS listens at port 443; write the host as `endpoint` too"),
                );
                return None;
            }
            return Some(None);
        };
        url("endpoint", endpoint, port.map(|port| port.value), diags).map(Some)
    }

    fn role(&self, diags: &mut Diagnostics) -> Option<Option<Role>> {
        let Some(arn) = &self.role_arn else {
            for (name, option) in [("external_id", &self.external_id), ("sts_endpoint", &self.sts_endpoint)] {
                let Some(option) = option else { continue };
                let message = format!("`{name}` has no effect without `role_arn`");
                diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(option.span));
            }
            return Some(None);
        };
        let sts_endpoint = match &self.sts_endpoint {
            Some(endpoint) => Some(url("sts_endpoint", endpoint, None, diags)?),
            None => None,
        };
        let external_id = self.external_id.as_ref().map(|id| id.value.clone());
        Some(Some(Role { arn: arn.value.clone(), external_id, sts_endpoint }))
    }

    fn tls(&self, bag: &PropertyBag, diags: &mut Diagnostics) -> Option<TlsSettings> {
        let settings = TlsSettings::new(&self.tls);
        let Err(error) = settings.check() else { return Some(settings) };
        let at =
            ["tls.ca_file", "tls.ca_path", "tls.crt_file", "tls.key_file", "tls.vhost", "tls.min_version"]
                .iter()
                .find_map(|name| bag.peek(name))
                .map_or(bag.header(), |property| property.value.span);
        diags.push(Diagnostic::error(codes::BAD_VALUE, chain(&error)).at(at));
        None
    }
}

/// The URL of a place that gives credentials; `None` if it is none.
fn credentials_url(text: Option<&Spanned<String>>, diags: &mut Diagnostics) -> Option<Option<String>> {
    let Some(text) = text else { return Some(None) };
    let is_url = text.value.parse::<http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    });
    if is_url {
        return Some(Some(text.value.clone()));
    }
    let message = format!("`credentials_endpoint`: `{}` is no URL", text.value);
    let found = Diagnostic::error(codes::BAD_VALUE, message).at(text.span);
    diags.push(found.help("type the whole of it, as `http://169.254.170.2/creds`"));
    None
}

fn url(name: &str, text: &Spanned<String>, port: Option<u16>, diags: &mut Diagnostics) -> Option<String> {
    match endpoint_url(&text.value, port) {
        Ok(url) => Some(url),
        Err(error) => {
            let message = format!("`{name}`: `{}` {error}", text.value);
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, message)
                    .at(text.span)
                    .help("type `host`, `host:port` or `http://host:port`"),
            );
            None
        }
    }
}

/// A time that is set: 0 is none.
fn given(time: Option<Seconds>) -> Option<Duration> {
    time.map(|Seconds(time)| time).filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_set_is_sound() {
        check_set::<AwsOptions>();
    }
}
