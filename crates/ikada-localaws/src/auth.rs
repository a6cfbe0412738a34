//! Looks at a request's SigV4 signature: its shape, scope, date and credentials.
//!
//! The signature itself is not computed again, since any pair of fake keys is welcome; what a signer gets wrong in
//! practice (a missing header, a wrong service, a clock that is off, expired credentials) is found all the same.

use chrono::NaiveDateTime;
use sha2::{Digest, Sha256};

use crate::call::{Call, query_value};
use crate::error::ApiError;
use crate::s3::hex;
use crate::service::{Dialect, Service, Trouble};
use crate::shared::Shared;

/// The parts of a signature that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    access_key: String,
    scope_date: String,
    service: String,
    signed_headers: String,
    signature: String,
}

/// The service that a request is signed for, from its head alone.
pub(crate) fn scope_service(headers: &http::HeaderMap, query: &str) -> Option<String> {
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credential = match header {
        Some(header) => field(header.strip_prefix("AWS4-HMAC-SHA256")?, "Credential")?.to_owned(),
        None => query_value(query, "X-Amz-Credential")?,
    };
    credential.split('/').nth(3).map(str::to_owned)
}

/// Checks a request's signature.
pub(crate) fn check(shared: &Shared, service: Service, call: &Call) -> Result<(), ApiError> {
    let signature = match call.header("authorization") {
        Some(header) => parse_header(header).ok_or_else(|| service.words(Trouble::BadAuth))?,
        None => presigned(service, call).ok_or_else(|| service.words(Trouble::NoAuth))?,
    };
    check_shape(service, call, &signature)?;
    check_date(shared, service, call, &signature)?;
    if shared.issuer.is_expired(&signature.access_key, shared.now_ms()) {
        return Err(service.words(Trouble::ExpiredToken));
    }
    if shared.config.verify_payload_hash { check_payload(service, call) } else { Ok(()) }
}

fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = header.split(',').map(str::trim);
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

fn parse_header(header: &str) -> Option<Signature> {
    let fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    Signature::from_parts(
        field(fields, "Credential")?,
        field(fields, "SignedHeaders")?,
        field(fields, "Signature")?,
    )
}

fn presigned(service: Service, call: &Call) -> Option<Signature> {
    if service != Service::S3 {
        return None;
    }
    Signature::from_parts(
        &call.query("X-Amz-Credential")?,
        &call.query("X-Amz-SignedHeaders")?,
        &call.query("X-Amz-Signature")?,
    )
}

impl Signature {
    fn from_parts(credential: &str, signed_headers: &str, signature: &str) -> Option<Self> {
        let mut scope = credential.split('/');
        let (access_key, date, region) = (scope.next()?, scope.next()?, scope.next()?);
        let (service, end) = (scope.next()?, scope.next()?);
        let is_whole = end == "aws4_request" && !access_key.is_empty() && !region.is_empty();
        (is_whole && scope.next().is_none()).then(|| Signature {
            access_key: access_key.to_owned(),
            scope_date: date.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.to_ascii_lowercase(),
            signature: signature.to_owned(),
        })
    }

    fn signs(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|name| name == header)
    }
}

fn check_shape(service: Service, call: &Call, signature: &Signature) -> Result<(), ApiError> {
    let is_hex =
        signature.signature.len() == 64 && signature.signature.bytes().all(|b| b.is_ascii_hexdigit());
    let must_sign = ["host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    let is_signed = |name: &&str| signature.signs(name) || (*name != "host" && call.header(name).is_none());
    if !is_hex || !must_sign.iter().all(is_signed) {
        return Err(service.words(Trouble::BadAuth));
    }
    if signature.service != service.signing_name() {
        let text = format!("Credential should be scoped to correct service: '{}'.", service.signing_name());
        return Err(bad_signature(service, text));
    }
    Ok(())
}

fn bad_signature(service: Service, text: String) -> ApiError {
    match service.dialect() {
        Dialect::S3 => ApiError::new(400, "AuthorizationHeaderMalformed", text),
        Dialect::Query => ApiError::new(403, "SignatureDoesNotMatch", text),
        Dialect::Json | Dialect::Metadata => ApiError::new(400, "InvalidSignatureException", text),
    }
}

fn check_date(shared: &Shared, service: Service, call: &Call, signature: &Signature) -> Result<(), ApiError> {
    let query_date = call.query("X-Amz-Date");
    let date = call.header("x-amz-date").or(query_date.as_deref());
    let parsed = date.and_then(|date| NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").ok());
    let (Some(date), Some(parsed)) = (date, parsed) else { return Err(service.words(Trouble::BadAuth)) };
    if !date.starts_with(&signature.scope_date) {
        let text =
            format!("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {date}");
        return Err(bad_signature(service, text));
    }
    let presigned_for =
        call.query("X-Amz-Expires").and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or(0);
    let off = shared.now_ms() - parsed.and_utc().timestamp_millis();
    let most = shared.config.max_skew.as_millis() as i64;
    if off < -most || off > most + presigned_for * 1000 {
        return Err(service.words(Trouble::Skewed));
    }
    Ok(())
}

fn check_payload(service: Service, call: &Call) -> Result<(), ApiError> {
    let Some(wanted) = call.header("x-amz-content-sha256") else { return Ok(()) };
    let is_hash = wanted.len() == 64 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash || wanted.eq_ignore_ascii_case(&hex(&Sha256::digest(&call.body))) {
        return Ok(());
    }
    let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(match service.dialect() {
        Dialect::S3 => ApiError::new(400, "XAmzContentSHA256Mismatch", text),
        _ => bad_signature(service, text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SIGNED: &str = "host;x-amz-date;x-amz-target";

    fn code(authorization: Option<String>, date: &str, service: Service) -> Option<String> {
        let mut request = http::Request::builder().method("POST").uri("/").header("host", "localhost");
        request = request.header("x-amz-date", date).header("x-amz-target", "Logs_20140328.PutLogEvents");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let call = Call { head: request.body(()).unwrap().into_parts().0, body: Vec::new() };
        check(&Shared::new(Config::default()), service, &call).err().map(|error| error.code.into_owned())
    }

    fn now(shift_minutes: i64) -> String {
        let time = chrono::Utc::now() + chrono::Duration::minutes(shift_minutes);
        time.format("%Y%m%dT%H%M%SZ").to_string()
    }

    fn header(date: &str, service: &str, signed: &str) -> Option<String> {
        let (day, signature) = (&date[..8], "0".repeat(64));
        Some(format!(
            "AWS4-HMAC-SHA256 Credential=AKID/{day}/eu-west-1/{service}/aws4_request, SignedHeaders={signed}, \
             Signature={signature}"
        ))
    }

    #[test]
    fn a_signature_of_good_shape_passes() {
        let date = now(0);
        assert_eq!(code(header(&date, "logs", SIGNED), &date, Service::Logs), None);
    }

    #[test]
    fn each_defect_has_its_own_error() {
        let date = now(0);
        let logs = Service::Logs;
        assert_eq!(code(None, &date, logs).as_deref(), Some("MissingAuthenticationTokenException"));
        assert_eq!(
            code(Some("Bearer x".into()), &date, logs).as_deref(),
            Some("IncompleteSignatureException")
        );
        let unsigned = header(&date, "logs", "host;x-amz-date");
        assert_eq!(code(unsigned, &date, logs).as_deref(), Some("IncompleteSignatureException"));
        let other = header(&date, "firehose", SIGNED);
        assert_eq!(code(other, &date, logs).as_deref(), Some("InvalidSignatureException"));
        assert_eq!(code(None, &date, Service::S3).as_deref(), Some("AccessDenied"));
    }

    #[test]
    fn a_clock_that_is_off_is_told_so() {
        for shift in [-20, 20] {
            let date = now(shift);
            let skewed = |name, service| code(header(&date, name, SIGNED), &date, service);
            assert_eq!(skewed("s3", Service::S3).as_deref(), Some("RequestTimeTooSkewed"));
            assert_eq!(skewed("logs", Service::Logs).as_deref(), Some("InvalidSignatureException"));
        }
    }
}
