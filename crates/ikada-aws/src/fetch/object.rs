//! Objects of S3, wherever their bucket is.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, ResponseChecksumValidation};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use ikada_tls::TlsSettings;
use tokio::time::sleep;

use super::ObjectArn;
use crate::client::{Failure, FailureKind, Session, SessionSettings, classify};

/// How often a bucket may point to another region.
const MOST_HOPS: usize = 3;

/// For a connection, TLS handshake included.
const CONNECT: Duration = Duration::from_secs(5);

/// From the start of a request to the end of its answer.
const ANSWER: Duration = Duration::from_secs(20);

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchErrorKind {
    /// There are no credentials at all.
    NoCredentials,
    /// The role may not read the object, or not use the key it is encrypted with.
    Denied,
    /// There is no such bucket.
    NoBucket,
    /// There is no such object in the bucket.
    NoKey,
    /// Anything else: the network, a service that is down.
    Other,
}

/// An object could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}{}", tries(*attempts))]
pub struct FetchError {
    /// What stood in the way.
    pub kind: FetchErrorKind,
    /// AWS's own name for it, where it gave one.
    pub code: Option<String>,
    /// What AWS said, with name and status.
    pub cause: String,
    /// How often it was tried.
    pub attempts: u32,
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}

/// Fetches objects with the task's role.
#[derive(Debug, Clone)]
pub struct ObjectFetcher {
    /// Where the task runs; asked first if it is in the object's partition.
    pub region: Option<String>,
    /// Where S3 is, as a URL, if not where AWS has it. Without it the SDK's own variables count (`AWS_ENDPOINT_URL_S3`).
    pub endpoint: Option<String>,
    /// Pause before the second attempt; it doubles with each.
    pub pause: Duration,
}

impl Default for ObjectFetcher {
    fn default() -> Self {
        Self { region: None, endpoint: None, pause: Duration::from_millis(500) }
    }
}

impl ObjectFetcher {
    /// How often a call is made that fails for a passing reason.
    pub const ATTEMPTS: u32 = 5;

    /// How often one is made that is refused.
    const ATTEMPTS_DENIED: u32 = 2;

    /// Fetches an object.
    ///
    /// # Errors
    /// It cannot be had, after all attempts.
    pub async fn fetch(&self, arn: &ObjectArn) -> Result<Vec<u8>, FetchError> {
        let here = self.region.as_deref().filter(|region| arn.is_reached_from(region));
        let mut region = here.unwrap_or(arn.usual_region()).to_owned();
        let (mut attempts, mut hops) = (0, 0);
        let mut pause = self.pause;
        loop {
            attempts += 1;
            let failed = match self.attempt(arn, &region).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => failed,
            };
            if let Some(other) = failed.region.filter(|other| *other != region)
                && hops < MOST_HOPS
            {
                (region, hops, attempts) = (other, hops + 1, attempts - 1);
                continue;
            }
            let most = match failed.failure.kind {
                FailureKind::Transient | FailureKind::Throttled | FailureKind::Expired => Self::ATTEMPTS,
                FailureKind::Denied if failed.failure.cause.status.is_some() => Self::ATTEMPTS_DENIED,
                _ => 1,
            };
            if attempts >= most {
                return Err(error(&failed.failure, attempts));
            }
            sleep(failed.failure.after.unwrap_or(pause).min(Duration::from_secs(10))).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, arn: &ObjectArn, region: &str) -> Result<Vec<u8>, Attempt> {
        let session = Session::shared(SessionSettings {
            region: Some(region.to_owned()),
            profile: None,
            credentials_url: None,
            role: None,
            tls: TlsSettings::default(),
            connect_timeout: CONNECT,
            answer_timeout: ANSWER,
        });
        let shared = session.sdk_config().await?;
        let mut builder =
            Builder::from(shared).response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(url) = &self.endpoint {
            builder = builder.endpoint_url(url).force_path_style(true);
        }
        let client = Client::from_conf(builder.build());
        let answer = client.get_object().bucket(&arn.bucket).key(&arn.key).send().await;
        let answer =
            answer.map_err(|error| Attempt { region: other_region(&error), failure: classify(&error) })?;
        let body = answer.body.collect().await;
        body.map(|body| body.to_vec()).map_err(|error| Failure::transient(error.to_string()).into())
    }
}

/// An attempt that failed, and the region to try instead, if S3 named one.
struct Attempt {
    region: Option<String>,
    failure: Failure,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { region: None, failure }
    }
}

/// Where S3 says the bucket is: in a header, or in the text of the answer.
fn other_region<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let answer = error.raw_response()?;
    if let Some(region) = answer.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    if answer.status().is_success() {
        return None;
    }
    let text = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let (_, rest) = text.split_once("<Region>")?;
    rest.split_once("</Region>").map(|(region, _)| region.trim().to_owned())
}

fn error(failure: &Failure, attempts: u32) -> FetchError {
    let cause = &failure.cause;
    let kind = match failure.kind {
        FailureKind::Denied if cause.status.is_none() => FetchErrorKind::NoCredentials,
        FailureKind::Denied => FetchErrorKind::Denied,
        FailureKind::Missing if failure.is("NoSuchBucket") => FetchErrorKind::NoBucket,
        FailureKind::Missing => FetchErrorKind::NoKey,
        _ => FetchErrorKind::Other,
    };
    let status = cause.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    let text = match &cause.code {
        Some(code) if cause.message == *code || cause.message.starts_with("HTTP status") => code.clone(),
        Some(code) => format!("{code}: {}", cause.message.trim_end_matches('.')),
        None => cause.message.clone(),
    };
    FetchError { kind, code: cause.code.clone(), cause: format!("{text}{status}"), attempts }
}
