//! An AWS error answer, before it takes the shape of its service.

use std::borrow::Cow;

/// Why a call failed, in the service's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        ApiError { status, code: code.into(), message: message.into() }
    }

    /// A JSON service's complaint about the request: always status 400.
    pub(crate) fn client(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(400, code, message)
    }

    /// The body is not JSON or a member has the wrong type.
    pub(crate) fn serialization() -> Self {
        ApiError::client("SerializationException", "")
    }
}
