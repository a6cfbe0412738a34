//! One identity towards AWS, shared by all outputs that speak with it.
//!
//! A [`Session`] is cheap to make at start; region, credentials and connections come into being at the first call,
//! in async code, so that nothing waits for a metadata service while the router starts.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::ReconnectMode;
use ikada_tls::TlsSettings;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::credentials::{KeptCredentials, chain};
use super::draft::{Draft, Pen};
use super::failure::{Failure, FailureKind, classify};
use super::http::IkadaHttp;
use super::url_credentials::UrlCredentials;
use crate::fetch::TaskMetadata;

/// Calls that fail for so long on the way to a service, and none that comes through, have their client renewed.
const STUCK: Duration = Duration::from_secs(60);

/// What sets one identity and its connections apart from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionSettings {
    /// The region; found out from the environment, the profile or the instance where it is not given.
    pub region: Option<String>,
    /// The profile in the shared files.
    pub profile: Option<String>,
    /// A URL that gives credentials, in place of the chain of providers.
    pub credentials_url: Option<String>,
    /// A role to take on over what the chain gives.
    pub role: Option<Role>,
    /// Who is trusted.
    pub tls: TlsSettings,
    /// For a connection, TLS handshake included.
    pub connect_timeout: Duration,
    /// From the start of a request to the head of its answer.
    pub answer_timeout: Duration,
}

impl SessionSettings {
    /// Says who requests will be signed as, by what the options and the environment show. Nothing is asked for yet.
    pub(crate) fn announce(&self, output: &str) {
        let region = self.region.as_deref().unwrap_or("to be found out");
        let credentials = match &self.credentials_url {
            Some(_) => "credentials_endpoint",
            None => chain_start(self.profile.as_deref()),
        };
        match self.role.as_ref().map(|role| role.arn.clone()).or_else(pod_role) {
            Some(role) => tracing::info!(output, credentials, role, region, "requests will be signed"),
            None => tracing::info!(output, credentials, region, "requests will be signed"),
        }
    }
}

/// Where the chain of providers will find credentials: the first of them that has what it needs.
fn chain_start(profile: Option<&str>) -> &'static str {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let file = |variable: &str, name: &str| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws").join(name));
        path.or(home).is_some_and(|path| path.is_file())
    };
    match () {
        () if set("AWS_ACCESS_KEY_ID") && set("AWS_SECRET_ACCESS_KEY") => "environment",
        () if profile.is_some() => "profile",
        () if file("AWS_CONFIG_FILE", "config") || file("AWS_SHARED_CREDENTIALS_FILE", "credentials") => {
            "profile"
        }
        () if set("AWS_WEB_IDENTITY_TOKEN_FILE") => "web identity",
        () if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") => {
            "container"
        }
        () => "instance metadata",
    }
}

/// The role that EKS says pods on Fargate act in: it is taken on with what the chain gives, below a role of the output's own.
fn pod_role() -> Option<String> {
    std::env::var("EKS_POD_EXECUTION_ROLE").ok().filter(|role| !role.is_empty())
}

/// A role that is taken on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// Where STS is, as a URL.
    pub sts_endpoint: Option<String>,
}

/// One identity towards AWS: HTTP client, region, credentials.
pub struct Session {
    settings: SessionSettings,
    /// The identity the role is taken on with.
    base: Option<Arc<Session>>,
    ready: OnceCell<Ready>,
    /// When calls began to fail on the way, if none has come through since.
    stuck_since: Mutex<Option<Instant>>,
}

struct Ready {
    http: IkadaHttp,
    config: SdkConfig,
    credentials: KeptCredentials,
}

static SESSIONS: LazyLock<Mutex<HashMap<SessionSettings, Weak<Session>>>> = LazyLock::new(Mutex::default);

impl Session {
    /// The session with these settings: the same one for all who ask while anyone holds it.
    #[must_use]
    pub fn shared(settings: SessionSettings) -> Arc<Self> {
        // The identity below a role is looked up first: the lock is not taken twice.
        let base =
            settings.role.is_some().then(|| Self::shared(SessionSettings { role: None, ..settings.clone() }));
        let mut all = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.strong_count() > 0);
        if let Some(session) = all.get(&settings).and_then(Weak::upgrade) {
            return session;
        }
        let session = Arc::new(Self {
            settings: settings.clone(),
            base,
            ready: OnceCell::new(),
            stuck_since: Mutex::default(),
        });
        all.insert(settings, Arc::downgrade(&session));
        session
    }

    /// The SDK's configuration for this identity: retries off (the engine retries), no endpoint set.
    ///
    /// # Errors
    /// TLS cannot be set up, or no region is known.
    ///
    /// # Cancel safety
    /// Cancel safe: the next caller starts over.
    pub async fn sdk_config(&self) -> Result<&SdkConfig, Failure> {
        Ok(&self.ready().await?.config)
    }

    /// What sets it apart from others.
    #[must_use]
    pub fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    /// The number of the credentials in use now, to be given to [`Session::renew`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.ready.get().map_or(0, |ready| ready.credentials.generation())
    }

    /// Has the SDK draft a request: `drafting` makes a call with a client that sends nothing.
    ///
    /// # Errors
    /// The SDK did not come as far as to send it: there are no credentials.
    pub(crate) async fn draft<T, E, C>(&self, drafting: impl FnOnce(Pen) -> C) -> Result<Draft, Failure>
    where
        C: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let ready = self.ready().await?;
        let pen = Pen::default();
        let drafted = drafting(pen.clone()).await;
        let limit = self.settings.connect_timeout + self.settings.answer_timeout;
        match (Draft::new(&pen, &ready.http, &ready.credentials, limit), drafted) {
            (Some(draft), _) => Ok(draft),
            (None, Err(error)) => Err(classify(&error)),
            (None, Ok(_)) => Err(Failure::transient("the SDK has drafted no request")),
        }
    }

    /// Makes a call, and makes it once more if its credentials had ended and there are others now, or if the
    /// machine's clock was found to be off.
    ///
    /// # Errors
    /// The call failed.
    pub async fn call<T, E, C>(&self, call: impl Fn() -> C) -> Result<T, Failure>
    where
        C: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (used, started) = (self.generation(), Instant::now());
        let skew = self.skew();
        let mut result = call().await.map_err(|error| classify(&error));
        // Each of the SDK's clients learns from a refusal of its own how far the clock is off.
        let learns = |failure: &Failure| self.skew() != skew || (skew != 0 && failure.stale_identity);
        if let Err(failure) = &result
            && (learns(failure) || self.renew(failure, used).await)
        {
            result = call().await.map_err(|error| classify(&error));
        }
        self.watch(result.as_ref().err(), started);
        result
    }

    fn skew(&self) -> i64 {
        self.ready.get().map_or(0, |ready| ready.http.skew().millis())
    }

    /// Renews the client when nothing has come through for [`STUCK`] while calls were made: a name may lead elsewhere by now, a
    /// connection may have died without a word.
    fn watch(&self, failure: Option<&Failure>, started: Instant) {
        let mut since = self.stuck_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failure) = failure.filter(|failure| failure.kind == FailureKind::Transient) else {
            *since = None;
            return;
        };
        let began = *since.get_or_insert(started);
        let (Some(ready), true) = (self.ready.get(), began.elapsed() >= STUCK) else { return };
        *since = Some(Instant::now());
        let (seconds, error) = (began.elapsed().as_secs(), &failure.cause);
        match ready.http.renew() {
            Ok(()) => {
                tracing::warn!(seconds, %error, "nothing has come through; all connections to AWS are made anew")
            }
            Err(failed) => tracing::error!(error = %chain(&failed), "connections to AWS cannot be made anew"),
        }
    }

    /// Decides whether a call that failed is worth repeating at once with other credentials, and renews them for it.
    pub async fn renew(&self, failure: &Failure, used: u64) -> bool {
        let Some(ready) = self.ready.get() else { return false };
        // The first call of all brings the first credentials.
        let used = used.max(1);
        match failure.kind {
            FailureKind::Expired => {
                // Even the same credentials are worth one more call: the clock may have been put right since.
                ready.credentials.renew(used).await;
                true
            }
            FailureKind::Denied if failure.stale_identity => ready.credentials.renew(used).await,
            _ => false,
        }
    }

    async fn ready(&self) -> Result<&Ready, Failure> {
        self.ready.get_or_try_init(|| self.prepare()).await
    }

    async fn prepare(&self) -> Result<Ready, Failure> {
        let settings = &self.settings;
        let Some((base, role)) = self.base.as_ref().zip(settings.role.as_ref()) else {
            return self.prepare_base().await;
        };
        let base = Box::pin(base.ready()).await?;
        let sts = base.config.to_builder().endpoint_url_option(role.sts_endpoint.clone()).build();
        let mut builder = AssumeRoleProvider::builder(&role.arn).session_name(session_name()).configure(&sts);
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        let provider = builder.build_from_provider(base.credentials.clone()).await;
        let credentials = KeptCredentials::new(SharedCredentialsProvider::new(provider));
        let http = base.http.clone();
        let config = with_credentials(&base.config, &credentials);
        tracing::info!(role = %role.arn, region = %shown_region(&config), "requests to AWS are signed with an assumed role");
        Ok(Ready { http, config, credentials })
    }

    async fn prepare_base(&self) -> Result<Ready, Failure> {
        let settings = &self.settings;
        let http = IkadaHttp::new(&settings.tls, settings.connect_timeout)
            .map_err(|error| Failure::transient(chain(&error)))?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.answer_timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            // A server that answers with an error is still at the other end.
            .retry_config(RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections))
            .timeout_config(timeouts)
            // Its floor is one byte a second over five seconds; a busy machine must not fail that way.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The credentials are kept by `KeptCredentials`.
            .identity_cache(IdentityCache::no_cache());
        if let Ok(name) = AppName::new("ikada") {
            loader = loader.app_name(name);
        }
        if let Some(region) = settings.region.clone().or(region_of_task(settings).await) {
            loader = loader.region(Region::new(region));
        }
        if let Some(url) = &settings.credentials_url {
            loader = loader.credentials_provider(UrlCredentials { http: http.clone(), url: url.clone() });
        }
        if let Some(profile) = settings.profile.clone().or_else(default_profile) {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(Failure {
                kind: FailureKind::Missing,
                ..Failure::transient("no region is known: write `region`, or set AWS_REGION")
            });
        }
        let Some(source) = config.credentials_provider() else {
            return Err(Failure::transient("no provider of credentials"));
        };
        let source = match pod_role().filter(|_| settings.credentials_url.is_none()) {
            Some(arn) => {
                let role = AssumeRoleProvider::builder(arn).session_name(session_name()).configure(&config);
                SharedCredentialsProvider::new(role.build_from_provider(source).await)
            }
            None => source,
        };
        let credentials = KeptCredentials::new(source);
        let config = with_credentials(&config, &credentials);
        Ok(Ready { http, config, credentials })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn with_credentials(config: &SdkConfig, credentials: &KeptCredentials) -> SdkConfig {
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials.clone())).build()
}

fn shown_region(config: &SdkConfig) -> &str {
    config.region().map_or("none", AsRef::as_ref)
}

/// The region that ECS says the task is in, where nothing nearer says one: the SDK itself would only ask the instance.
async fn region_of_task(settings: &SessionSettings) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let nearer = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    if settings.region.is_some()
        || settings.profile.is_some()
        || nearer.into_iter().any(|name| set(name).is_some())
    {
        return None;
    }
    let uri = set("ECS_CONTAINER_METADATA_URI_V4")?;
    match TaskMetadata::fetch(&uri).await {
        Ok(task) => Some(task.region),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "ECS does not say which region this is");
            None
        }
    }
}

/// Fluent Bit reads `AWS_DEFAULT_PROFILE` where the SDKs read `AWS_PROFILE` only.
fn default_profile() -> Option<String> {
    match std::env::var_os("AWS_PROFILE") {
        Some(_) => None,
        None => std::env::var("AWS_DEFAULT_PROFILE").ok().filter(|name| !name.is_empty()),
    }
}

/// A name that tells this router's sessions apart in the account's trail.
fn session_name() -> String {
    format!("ikada-{:016x}", rand::random::<u64>())
}

/// Sets an endpoint or leaves what the environment says.
trait EndpointOption {
    fn endpoint_url_option(self, url: Option<String>) -> Self;
}

impl EndpointOption for aws_types::sdk_config::Builder {
    fn endpoint_url_option(self, url: Option<String>) -> Self {
        match url {
            Some(url) => self.endpoint_url(url),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_without_success_renews_the_client() {
        let session = Session::shared(SessionSettings {
            region: Some("eu-central-1".to_owned()),
            profile: None,
            credentials_url: None,
            role: None,
            tls: TlsSettings::default(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(1),
        });
        session.sdk_config().await.unwrap();
        let since = || *session.stuck_since.lock().unwrap();
        let (start, lost) = (Instant::now(), Failure::transient("connection reset"));
        session.watch(Some(&lost), start);
        tokio::time::advance(STUCK / 2).await;
        session.watch(Some(&lost), Instant::now());
        assert_eq!(since(), Some(start), "half a minute is no reason");
        tokio::time::advance(STUCK / 2).await;
        session.watch(Some(&lost), Instant::now());
        assert_eq!(since(), Some(Instant::now()), "the client was renewed, and gets its minute");
        let denied = Failure { kind: FailureKind::Denied, ..Failure::transient("no") };
        session.watch(Some(&denied), Instant::now());
        assert_eq!(since(), None, "an answer is an answer");
    }
}
