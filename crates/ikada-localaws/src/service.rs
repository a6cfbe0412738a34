//! The services that are stood in for, and how each one words a failure.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// A service of the local AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// CloudWatch Logs. A resource is `group:stream`, or `group` for calls that name no stream.
    Logs,
    /// Amazon Data Firehose. A resource is a delivery stream.
    Firehose,
    /// Kinesis Data Streams. A resource is a data stream.
    Kinesis,
    /// S3. A resource is a bucket.
    S3,
    /// Security Token Service. A resource is a role ARN.
    Sts,
    /// ECS task metadata and credentials, EC2 instance metadata. A resource is a path.
    Metadata,
}

/// The shape in which a service writes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// AWS JSON 1.1.
    Json,
    /// S3's XML.
    S3,
    /// The query protocol's XML.
    Query,
    /// Plain JSON of the metadata endpoints.
    Metadata,
}

/// Failures that every service knows, each by its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Internal,
    Unavailable,
    Throttled,
    ExpiredToken,
    AccessDenied,
    UnknownKey,
    NoAuth,
    BadAuth,
    Skewed,
}

impl Service {
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Service::Logs | Service::Firehose | Service::Kinesis => Dialect::Json,
            Service::S3 => Dialect::S3,
            Service::Sts => Dialect::Query,
            Service::Metadata => Dialect::Metadata,
        }
    }

    /// The service's name in a SigV4 credential scope.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Service::Logs => "logs",
            Service::Firehose => "firehose",
            Service::Kinesis => "kinesis",
            Service::S3 => "s3",
            Service::Sts => "sts",
            Service::Metadata => "",
        }
    }

    /// The service's own words for `trouble`.
    pub(crate) fn words(self, trouble: Trouble) -> ApiError {
        let (status, code, message) = match self.dialect() {
            Dialect::Json => self.json_words(trouble),
            Dialect::S3 => s3_words(trouble),
            Dialect::Query => query_words(trouble),
            Dialect::Metadata => metadata_words(trouble),
        };
        ApiError::new(status, code, message)
    }

    fn json_words(self, trouble: Trouble) -> (u16, &'static str, &'static str) {
        match (trouble, self) {
            (Trouble::Internal, Service::Kinesis) => (500, "InternalFailure", "Internal Failure"),
            (Trouble::Internal, _) => (500, "InternalFailure", ""),
            (Trouble::Unavailable, Service::Firehose) => (503, "ServiceUnavailableException", "Slow down."),
            (Trouble::Unavailable, _) => {
                (503, "ServiceUnavailableException", "The service is currently unavailable.")
            }
            (Trouble::Throttled, Service::Kinesis) => (
                400,
                "ProvisionedThroughputExceededException",
                "Rate exceeded for shard shardId-000000000000.",
            ),
            (Trouble::Throttled, _) => (400, "ThrottlingException", "Rate exceeded"),
            (Trouble::ExpiredToken, _) => {
                (400, "ExpiredTokenException", "The security token included in the request is expired")
            }
            (Trouble::AccessDenied, _) => {
                (400, "AccessDeniedException", "User is not authorized to perform this action")
            }
            (Trouble::UnknownKey, _) => {
                (400, "UnrecognizedClientException", "The security token included in the request is invalid.")
            }
            (Trouble::NoAuth, _) => {
                (400, "MissingAuthenticationTokenException", "Missing Authentication Token")
            }
            (Trouble::BadAuth, _) => {
                (400, "IncompleteSignatureException", "Authorization header is not a complete signature")
            }
            (Trouble::Skewed, _) => (400, "InvalidSignatureException", "Signature expired"),
        }
    }
}

fn s3_words(trouble: Trouble) -> (u16, &'static str, &'static str) {
    match trouble {
        Trouble::Internal => (500, "InternalError", "We encountered an internal error. Please try again."),
        Trouble::Unavailable => (503, "ServiceUnavailable", "Service is unable to handle request."),
        Trouble::Throttled => (503, "SlowDown", "Please reduce your request rate."),
        Trouble::ExpiredToken => (400, "ExpiredToken", "The provided token has expired."),
        Trouble::AccessDenied | Trouble::NoAuth => (403, "AccessDenied", "Access Denied"),
        Trouble::UnknownKey => {
            (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        }
        Trouble::BadAuth => (400, "AuthorizationHeaderMalformed", "The authorization header is malformed."),
        Trouble::Skewed => (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
    }
}

fn query_words(trouble: Trouble) -> (u16, &'static str, &'static str) {
    match trouble {
        Trouble::Internal => (500, "InternalFailure", "Internal failure"),
        Trouble::Unavailable => (503, "ServiceUnavailable", "Service is unavailable"),
        Trouble::Throttled => (400, "Throttling", "Rate exceeded"),
        Trouble::ExpiredToken => {
            (403, "ExpiredToken", "The security token included in the request is expired")
        }
        Trouble::AccessDenied => (403, "AccessDenied", "User is not authorized to perform this action"),
        Trouble::UnknownKey => {
            (403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        }
        Trouble::NoAuth => (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
        Trouble::BadAuth => (400, "IncompleteSignature", "Authorization header is not a complete signature"),
        Trouble::Skewed => (403, "SignatureDoesNotMatch", "Signature expired"),
    }
}

fn metadata_words(trouble: Trouble) -> (u16, &'static str, &'static str) {
    match trouble {
        Trouble::Throttled => (429, "Throttled", "request throttled"),
        Trouble::Unavailable => (503, "Unavailable", "service unavailable"),
        Trouble::Internal => (500, "InternalServerError", "internal server error"),
        _ => (403, "AccessDenied", "access denied"),
    }
}
