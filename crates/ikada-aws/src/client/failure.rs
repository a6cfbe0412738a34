//! What a failed call means: try again, give up on the bytes, or get help from a person.
//!
//! Classes rather than codes: the services share most names, and a code nobody knows still has an HTTP status.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ikada_plugin::{Outcome, SendError};
use ikada_record::DropReason;

use super::credentials::chain;

/// Wait before a call is repeated that only a person can make succeed: a policy or a destination is missing.
pub const NEEDS_A_PERSON: Duration = Duration::from_secs(30);

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The network, a timeout, a broken answer, a 5xx: the same again soon.
    Transient,
    /// Too many calls: the same again, later.
    Throttled,
    /// The credentials have ended: renew them and repeat.
    Expired,
    /// No credentials, unknown ones, or ones that may not do this.
    Denied,
    /// The destination does not exist.
    Missing,
    /// The request itself is wrong; the same bytes will never be taken.
    Invalid,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// `Retry-After`, where the service sent one.
    pub after: Option<Duration>,
    /// The service's words.
    pub cause: SendError,
    /// Credentials were refused as unknown rather than as not allowed: newer ones may do.
    pub stale_identity: bool,
}

impl Failure {
    /// A failure of our own side, to be tried again.
    #[must_use]
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            after: None,
            cause: SendError::new(message),
            stale_identity: false,
        }
    }

    /// The same failure, to be tried again soon.
    #[must_use]
    pub fn as_transient(mut self) -> Self {
        self.kind = FailureKind::Transient;
        self
    }

    /// Whether only a person can end it: a policy or a destination is missing.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        matches!(self.kind, FailureKind::Denied | FailureKind::Missing)
    }

    /// Whether the service used this name for it.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.cause.code.as_deref() == Some(code)
    }

    /// Adds what a person can do about it to the message of a failure only a person can end.
    #[must_use]
    pub fn hint(mut self, hint: impl FnOnce() -> String) -> Self {
        if self.needs_a_person() {
            self.cause.message = format!("{}; {}", self.cause.message, hint());
        }
        self
    }

    /// The failure of a call as the answer for a whole batch.
    pub fn outcome(self) -> Outcome {
        let Self { kind, after, cause, .. } = self;
        match kind {
            FailureKind::Transient | FailureKind::Throttled | FailureKind::Expired => {
                Outcome::Retry { after, cause }
            }
            FailureKind::Denied | FailureKind::Missing => {
                Outcome::Retry { after: after.or(Some(NEEDS_A_PERSON)), cause }
            }
            FailureKind::Invalid => Outcome::Rejected { reason: DropReason::Rejected, cause },
        }
    }
}

/// Says what a failed call means.
pub fn classify<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let raw = context.raw();
            let error = context.err();
            let code = error.code().map(bare_code);
            let status = raw.status().as_u16();
            let message = error.message().map_or_else(|| said(raw, status), str::to_owned);
            Failure {
                kind: kind_of(code, status),
                after: retry_after(raw),
                stale_identity: code.is_some_and(is_identity),
                cause: SendError { code: code.map(str::to_owned), status: Some(status), message },
            }
        }
        SdkError::ResponseError(context) => {
            let status = Some(context.raw().status().as_u16());
            let cause = SendError { code: None, status, message: chain(error) };
            Failure { kind: FailureKind::Transient, after: None, cause, stale_identity: false }
        }
        _ => {
            let missing = credentials_error(error);
            let (kind, message) = missing.unwrap_or_else(|| (FailureKind::Transient, chain(error)));
            Failure { kind, after: None, cause: SendError::new(message), stale_identity: false }
        }
    }
}

/// Codes may come as `prefix#Name` or `Name:http://…`.
fn bare_code(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.split(':').next().unwrap_or(code)
}

fn kind_of(code: Option<&str>, status: u16) -> FailureKind {
    let code = code.unwrap_or_default();
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            return FailureKind::Expired;
        }
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "PriorRequestNotComplete"
        | "SlowDown" => return FailureKind::Throttled,
        "RequestTimeout"
        | "RequestTimeoutException"
        | "OperationAbortedException"
        | "OperationAborted"
        | "InvalidSequenceTokenException"
        | "RequestTimeTooSkewed"
        | "ServiceUnavailableException"
        | "ServiceUnavailable"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalError" => return FailureKind::Transient,
        "ResourceNotFoundException" | "NoSuchBucket" => return FailureKind::Missing,
        _ => {}
    }
    if is_identity(code) || is_denial(code) {
        return FailureKind::Denied;
    }
    match status {
        429 => FailureKind::Throttled,
        401 | 403 => FailureKind::Denied,
        404 => FailureKind::Missing,
        // Requests that timed out or came too early; and what a proxy or balancer answers in their stead.
        408 | 409 | 425 => FailureKind::Transient,
        400..=499 => FailureKind::Invalid,
        _ => FailureKind::Transient,
    }
}

/// Names that say the credentials themselves are not known.
fn is_identity(code: &str) -> bool {
    matches!(
        code,
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "AuthFailure"
    )
}

fn is_denial(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "NotAuthorized"
            | "OptInRequired"
            | "UnauthorizedOperation"
    ) || code.contains("KMS")
}

/// What stands in an answer that is not of the service's own shape: a proxy's page, a balancer's.
fn said(raw: &HttpResponse, status: u16) -> String {
    const SHOWN: usize = 200;
    let body = raw.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.trim() {
        "" => format!("HTTP status {status}"),
        text => format!("HTTP status {status}: {text}"),
    }
}

/// `Retry-After` in seconds; S3 and proxies send it.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    const LONGEST: u64 = 300;
    let seconds: u64 = raw.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

/// The reason there are no credentials, if that is why the call failed. Only a person can help where nobody gives any, or where a
/// role may not be taken on; a place that gives them and is out of reach will be back.
fn credentials_error(error: &(dyn Error + 'static)) -> Option<(FailureKind, String)> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<CredentialsError>() {
            let text = chain(found);
            let is_denied = matches!(found, CredentialsError::CredentialsNotLoaded(_))
                || matches!(found, CredentialsError::InvalidConfiguration(_))
                || text.contains("AccessDenied");
            let kind = if is_denied { FailureKind::Denied } else { FailureKind::Transient };
            return Some((kind, format!("no credentials: {text}")));
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_before_statuses() {
        let cases = [
            (Some("ThrottlingException"), 400, FailureKind::Throttled),
            (Some("SlowDown"), 503, FailureKind::Throttled),
            (Some("ExpiredTokenException"), 400, FailureKind::Expired),
            (Some("UnrecognizedClientException"), 400, FailureKind::Denied),
            (Some("AccessDeniedException"), 400, FailureKind::Denied),
            (Some("InvalidKMSResourceException"), 400, FailureKind::Denied),
            (Some("ResourceNotFoundException"), 400, FailureKind::Missing),
            (Some("OperationAbortedException"), 400, FailureKind::Transient),
            (Some("InvalidParameterException"), 400, FailureKind::Invalid),
            (Some("SerializationException"), 400, FailureKind::Invalid),
            (Some("Unheard"), 500, FailureKind::Transient),
            (Some("Unheard"), 403, FailureKind::Denied),
            (None, 413, FailureKind::Invalid),
            (None, 429, FailureKind::Throttled),
            (None, 502, FailureKind::Transient),
        ];
        for (code, status, kind) in cases {
            assert_eq!(kind_of(code, status), kind, "{code:?} {status}");
        }
    }

    #[test]
    fn a_code_is_freed_of_what_is_put_around_it() {
        assert_eq!(bare_code("com.amazonaws.logs#ThrottlingException"), "ThrottlingException");
        assert_eq!(bare_code("ThrottlingException:http://internal/"), "ThrottlingException");
    }

    #[test]
    fn only_what_is_wrong_for_good_is_rejected() {
        let failure = |kind| Failure { kind, ..Failure::transient("x") };
        assert!(matches!(failure(FailureKind::Invalid).outcome(), Outcome::Rejected { .. }));
        assert!(matches!(failure(FailureKind::Denied).outcome(), Outcome::Retry { after: Some(_), .. }));
        assert!(matches!(failure(FailureKind::Throttled).outcome(), Outcome::Retry { after: None, .. }));
    }
}
