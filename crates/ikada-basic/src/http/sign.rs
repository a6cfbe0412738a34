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
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use http::Request;
use ikada_connect::Scope;
use ikada_plugin::{Clock, SendError};
use tokio::sync::Mutex;

/// How long before they expire credentials are asked for anew.
const EARLY: Duration = Duration::from_secs(300);

/// How long credentials are used that do not say when they expire.
const UNDATED: Duration = Duration::from_secs(600);

/// What the options say.
#[derive(Debug, Clone)]
pub(super) struct SignerSettings {
    pub(super) scope: Scope,
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
        ikada_connect::sign(request, body, credentials, &self.settings.scope, self.now())
            .map_err(|error| SendError::new(format!("signing: {error}")))
    }

    /// Asks for other credentials next time: these were not taken.
    pub(super) async fn forget(&self) {
        self.state.lock().await.kept = None;
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
            .region(Region::new(settings.scope.region.clone()));
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
            .region(Region::new(self.settings.scope.region.clone()))
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
