//! Requests whose body is rendered by us.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;

/// Puts `body` in place of what the SDK has serialised, before the request is signed.
///
/// The SDK then does the rest as ever: endpoint, signature over this body, transport, answer.
pub(crate) fn replace_body(request: &mut HttpRequest, body: &Bytes) {
    let len = body.len().to_string();
    *request.body_mut() = SdkBody::from(body.clone());
    request.headers_mut().insert(CONTENT_LENGTH.as_str(), len);
}
