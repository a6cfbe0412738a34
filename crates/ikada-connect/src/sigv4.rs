//! Signature Version 4.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as instructions};
use aws_sigv4::sign::v4;
use http::Request;

use crate::BoxError;

/// What a signature is good for, apart from its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The region, `eu-central-1`.
    pub region: String,
    /// The service as signatures name it, `firehose`.
    pub service: String,
}

/// Signs a request with these bytes for a body, as of `time`, by headers. Those of its own headers that are text are signed, but for those that
/// proxies may change.
///
/// # Errors
/// The URL has no host.
pub fn sign<B>(
    request: &mut Request<B>,
    body: &[u8],
    credentials: Credentials,
    scope: &Scope,
    time: SystemTime,
) -> Result<(), BoxError> {
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    )?;
    let (instructions, _) = instructions(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The case `post-x-www-form-urlencoded` of AWS's own test suite for Signature Version 4.
    #[test]
    fn a_request_is_signed_as_aws_s_own_suite_has_it() {
        let mut request = Request::post("https://example.amazonaws.com/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(())
            .unwrap();
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let scope = Scope { region: "us-east-1".to_owned(), service: "service".to_owned() };
        let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign(&mut request, b"Param1=value1", credentials, &scope, time).unwrap();
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }
}
