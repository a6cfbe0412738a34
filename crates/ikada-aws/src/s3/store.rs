//! What an upload asks of S3, apart from how it is asked.

use bytes::Bytes;
use ikada_plugin::{BoxFuture, Outcome};
use ikada_record::DropReason;

use crate::client::{Failure, FailureKind, NEEDS_A_PERSON};

/// The answer to one call.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// A part that S3 has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenPart {
    /// From 1 on.
    pub(crate) number: i32,
    /// What S3 calls it.
    pub(crate) etag: String,
    /// Its checksum, where one was asked for.
    pub(crate) checksum: Option<String>,
}

/// What became of an object that was to be written where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there.
    Written,
    /// Something else is, or the same.
    Exists,
}

/// An object in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) size: u64,
    /// The MD5 of its bytes in hexadecimal digits, where S3 tells.
    pub(crate) md5: Option<String>,
    /// What S3 calls its bytes, without the quotes.
    pub(crate) etag: Option<String>,
}

/// One bucket, with everything the options say of its objects.
///
/// Each call is one attempt. All of them may be dropped at any await; whether S3 did what it was asked is then unknown.
pub(crate) trait ObjectStore: Send + Sync {
    /// Writes a whole object.
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, ()>;

    /// Writes a whole object if there is none of this name.
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, Put>;

    /// Starts an upload in parts and returns its identifier.
    fn create<'a>(&'a self, key: &'a str) -> Answer<'a, String>;

    /// Uploads one part; the same number again overwrites it.
    fn put_part<'a>(&'a self, key: &'a str, id: &'a str, number: i32, body: Bytes) -> Answer<'a, TakenPart>;

    /// Makes the object of its parts.
    fn complete<'a>(&'a self, key: &'a str, id: &'a str, parts: &'a [TakenPart]) -> Answer<'a, ()>;

    /// Lets an upload's parts go.
    fn abort<'a>(&'a self, key: &'a str, id: &'a str) -> Answer<'a, ()>;

    /// The identifiers of all unfinished uploads of an object.
    fn uploads_of<'a>(&'a self, key: &'a str) -> Answer<'a, Vec<String>>;

    /// What S3 says of an object; `None` when there is none.
    fn look<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Found>>;
}

/// Codes that stand for the object itself: no person and no time makes S3 take it.
const NEVER: [&str; 6] =
    ["EntityTooLarge", "KeyTooLongError", "InvalidURI", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"];

/// Codes of what may go well the next time: bytes that were damaged on the way, and two calls for the same object.
const AGAIN: [&str; 5] = [
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "ConditionalRequestConflict",
    "OperationAborted",
];

/// Codes of one upload or one call, which others do not meet.
const OF_AN_UPLOAD: [&str; 3] = ["NoSuchUpload", "PreconditionFailed", "NotImplemented"];

/// Says what a failure means for an object.
///
/// Most of what S3 calls invalid comes from the configuration (a storage class, an ACL the bucket does not allow, the wrong region): a person
/// can make it right on the other side, so the object is kept and tried again at long intervals.
pub(crate) fn outcome_of(failure: Failure) -> Outcome {
    let code = failure.cause.code.as_deref().unwrap_or_default();
    if NEVER.contains(&code) {
        return Outcome::Rejected { reason: DropReason::Rejected, cause: failure.cause };
    }
    if AGAIN.contains(&code) {
        return Outcome::Retry { after: failure.after, cause: failure.cause };
    }
    if needs_a_person(&failure) {
        return Outcome::Retry { after: failure.after.or(Some(NEEDS_A_PERSON)), cause: failure.cause };
    }
    failure.outcome()
}

/// Whether an object waits until someone makes something right on the other side.
pub(super) fn needs_a_person(failure: &Failure) -> bool {
    let code = failure.cause.code.as_deref().unwrap_or_default();
    let is_redirect = failure.cause.status.is_some_and(|status| (300..400).contains(&status));
    let is_ours = NEVER.contains(&code) || AGAIN.contains(&code) || OF_AN_UPLOAD.contains(&code);
    !is_ours && (is_redirect || failure.kind == FailureKind::Invalid || failure.needs_a_person())
}

#[cfg(test)]
mod tests {
    use ikada_plugin::SendError;

    use super::*;

    fn outcome(kind: FailureKind, code: &str, status: u16) -> Outcome {
        let cause = SendError { code: Some(code.into()), status: Some(status), message: String::new() };
        outcome_of(Failure { kind, cause, ..Failure::transient("") })
    }

    #[test]
    fn what_a_person_can_make_right_is_tried_again_at_long_intervals() {
        for (kind, code, status) in [
            (FailureKind::Denied, "AccessDenied", 403),
            (FailureKind::Missing, "NoSuchBucket", 404),
            (FailureKind::Invalid, "InvalidStorageClass", 400),
            (FailureKind::Invalid, "AuthorizationHeaderMalformed", 400),
            (FailureKind::Transient, "PermanentRedirect", 301),
        ] {
            let outcome = outcome(kind, code, status);
            assert!(
                matches!(outcome, Outcome::Retry { after: Some(NEEDS_A_PERSON), .. }),
                "{code}: {outcome:?}"
            );
        }
    }

    #[test]
    fn what_time_makes_right_is_tried_again_soon() {
        for (kind, code, status) in [
            (FailureKind::Throttled, "SlowDown", 503),
            (FailureKind::Transient, "InternalError", 500),
            (FailureKind::Transient, "RequestTimeout", 400),
            (FailureKind::Invalid, "BadDigest", 400),
            (FailureKind::Invalid, "ConditionalRequestConflict", 409),
        ] {
            let outcome = outcome(kind, code, status);
            assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{code}: {outcome:?}");
        }
    }

    #[test]
    fn an_object_that_can_never_be_is_given_up() {
        for code in NEVER {
            assert!(matches!(outcome(FailureKind::Invalid, code, 400), Outcome::Rejected { .. }), "{code}");
        }
    }
}
