//! Requests signed for AWS (Signature Version 4), for services that take records over HTTP.
//!
//! Credentials come from where every AWS program looks for them; with `aws_role_arn` a role is assumed with them. They are asked for at the first
//! request, and again some minutes before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use http::Request;
use ikada_plugin::{Clock, SendError};
use tokio::sync::Mutex;

/// How long before they expire credentials are asked for anew.
const EARLY: Duration = Duration::from_secs(300);

/// How long credentials are used that do not say when they expire.
const UNDATED: Duration = Duration::from_secs(600);

/// What the options say.
#[derive(Debug, Clone)]
pub(super) struct SignerSettings {
    pub(super) service: String,
    pub(super) region: String,
    pub(super) profile: Option<String>,
    pub(super) role: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) sts_endpoint: Option<String>,
}

/// Signs requests.
pub(super) struct Signer {
    settings: SignerSettings,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    provider: Option<SharedCredentialsProvider>,
    /// The credentials at hand, and until when they are used.
    kept: Option<(Credentials, SystemTime)>,
}

impl Signer {
    pub(super) fn new(settings: SignerSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, state: Mutex::default() }
    }

    /// Signs a request with these bytes for a body.
    pub(super) async fn sign<B>(&self, request: &mut Request<B>, body: &[u8]) -> Result<(), SendError> {
        let credentials = self.credentials().await?;
        self.sign_with(request, body, credentials)
            .map_err(|error| SendError::new(format!("signing: {error}")))
    }

    /// Asks for other credentials next time: these were not taken.
    pub(super) async fn forget(&self) {
        self.state.lock().await.kept = None;
    }

    fn sign_with<B>(
        &self,
        request: &mut Request<B>,
        body: &[u8],
        credentials: Credentials,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.settings.region)
            .name(&self.settings.service)
            .time(self.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(body),
        )?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    fn now(&self) -> SystemTime {
        let now = self.clock.now();
        UNIX_EPOCH + Duration::new(u64::try_from(now.secs()).unwrap_or(0), now.nanos())
    }

    async fn credentials(&self) -> Result<Credentials, SendError> {
        let mut state = self.state.lock().await;
        if let Some((kept, until)) = &state.kept
            && self.now() < *until
        {
            return Ok(kept.clone());
        }
        let provider = match &state.provider {
            Some(provider) => provider.clone(),
            None => {
                let provider = self.provider().await?;
                state.provider = Some(provider.clone());
                provider
            }
        };
        let asked = provider.provide_credentials().await;
        let credentials = asked
            .map_err(|error| SendError::new(format!("no AWS credentials: {}", crate::text::chain(&error))))?;
        let until = credentials.expiry().map_or(self.now() + UNDATED, |expiry| expiry - EARLY);
        state.kept = Some((credentials.clone(), until));
        Ok(credentials)
    }

    async fn provider(&self) -> Result<SharedCredentialsProvider, SendError> {
        let settings = &self.settings;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(settings.region.clone()));
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let base = config.credentials_provider().ok_or_else(|| SendError::new("no AWS credentials"))?;
        match &settings.role {
            None => Ok(base),
            Some(role) => Ok(SharedCredentialsProvider::new(self.assume(role, &config, base).await)),
        }
    }

    async fn assume(
        &self,
        role: &str,
        config: &SdkConfig,
        base: SharedCredentialsProvider,
    ) -> AssumeRoleProvider {
        let mut config = config.clone().into_builder();
        if let Some(endpoint) = &self.settings.sts_endpoint {
            let scheme = if endpoint.contains("://") { "" } else { "https://" };
            config = config.endpoint_url(format!("{scheme}{endpoint}"));
        }
        let mut builder = AssumeRoleProvider::builder(role)
            .session_name("ikada")
            .region(Region::new(self.settings.region.clone()))
            .configure(&config.build());
        if let Some(id) = &self.settings.external_id {
            builder = builder.external_id(id);
        }
        builder.build_from_provider(base).await
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ikada_record::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::new(self.0, 0)
        }
    }

    /// The case `post-x-www-form-urlencoded` of AWS's own test suite for Signature Version 4.
    #[test]
    fn a_request_is_signed_as_aws_s_own_suite_has_it() {
        let settings = SignerSettings {
            service: "service".into(),
            region: "us-east-1".into(),
            profile: None,
            role: None,
            external_id: None,
            sts_endpoint: None,
        };
        let signer = Signer::new(settings, Arc::new(At(1_440_938_160)));
        let mut request = Request::post("https://example.amazonaws.com/").body(()).unwrap();
        request
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        signer.sign_with(&mut request, b"Param1=value1", credentials).unwrap();
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }
}
