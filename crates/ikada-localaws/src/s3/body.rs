//! Opens the wrappings of an object's body: `aws-chunked` framing, trailers, checksums, MD5.
//!
//! With `x-amz-content-sha256: STREAMING-…` (and `Content-Encoding: aws-chunked`) the body is
//! `<hex length>[;chunk-signature=…]\r\n<data>\r\n` repeated, ended by a chunk of length 0 and, where announced by
//! `x-amz-trailer`, header lines that carry a checksum.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Digest;

use crate::call::Call;
use crate::error::ApiError;
use crate::shared::Shared;

/// Headers that belong to the transport of a body, not to the object.
const TRANSPORT: [&str; 10] = [
    "content-length",
    "content-md5",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-expected-bucket-owner",
];

/// Takes the body out of the call, unwrapped and checked.
pub(super) fn take(call: &mut Call) -> Result<Vec<u8>, ApiError> {
    if call.header("content-length").is_none() && call.header("x-amz-decoded-content-length").is_none() {
        let text = "You must provide the Content-Length HTTP header.";
        return Err(ApiError::new(411, "MissingContentLength", text));
    }
    let raw = std::mem::take(&mut call.body);
    let (body, trailers) = if is_chunked(call) { unwrap_chunks(call, &raw)? } else { (raw, Vec::new()) };
    check_md5(call, &body)?;
    for (name, wanted) in checksums(call, &trailers) {
        check_one(&name, &wanted, &body)?;
    }
    Ok(body)
}

/// The headers an object keeps.
pub(super) fn kept_headers(call: &Call) -> BTreeMap<String, String> {
    let is_kept = |name: &str| {
        let of_object = name.starts_with("content-") || name.starts_with("x-amz-");
        let is_checksum = name.starts_with("x-amz-checksum-");
        (of_object && !is_checksum && !TRANSPORT.contains(&name))
            || name == "cache-control"
            || name == "expires"
    };
    let mut headers = BTreeMap::new();
    for (name, value) in &call.head.headers {
        if let (true, Ok(value)) = (is_kept(name.as_str()), value.to_str()) {
            headers.insert(name.to_string(), value.to_owned());
        }
    }
    strip_aws_chunked(&mut headers);
    headers
}

fn strip_aws_chunked(headers: &mut BTreeMap<String, String>) {
    let Some(encoding) = headers.remove("content-encoding") else { return };
    let rest: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if !rest.is_empty() {
        headers.insert("content-encoding".into(), rest.join(","));
    }
}

/// The ETag of a body, without quotes.
pub(super) fn etag(shared: &Shared, body: &[u8]) -> String {
    if shared.config.md5_etags {
        return hex(&md5::Md5::digest(body));
    }
    let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, body);
    format!("{sum:016x}{:016x}", body.len())
}

/// The ETag of an object made of parts: MD5 over the parts' MD5s, and their number.
pub(super) fn joint_etag<'a>(etags: impl Iterator<Item = &'a str>) -> String {
    let mut all = md5::Md5::new();
    let mut count = 0;
    for etag in etags {
        let byte = |at: usize| etag.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        all.update((0..etag.len()).step_by(2).filter_map(byte).collect::<Vec<u8>>());
        count += 1;
    }
    format!("{}-{count}", hex(&all.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_chunked(call: &Call) -> bool {
    let streaming = call.header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-"));
    let encoding = call.header("content-encoding").unwrap_or("");
    streaming || encoding.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"))
}

type Trailers = Vec<(String, String)>;

fn unwrap_chunks(call: &Call, raw: &[u8]) -> Result<(Vec<u8>, Trailers), ApiError> {
    let broken = || {
        let text = "The request body terminated unexpectedly or its chunks are not well-formed.";
        ApiError::new(400, "IncompleteBody", text)
    };
    let announced: Option<usize> =
        call.header("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(raw.len()));
    let mut rest = raw;
    loop {
        let (line, after) = split_line(rest).ok_or_else(broken)?;
        let length = line.split(|byte| *byte == b';').next().and_then(parse_hex).ok_or_else(broken)?;
        if length == 0 {
            rest = after;
            break;
        }
        body.extend_from_slice(after.get(..length).ok_or_else(broken)?);
        rest = after.get(length..).and_then(|end| end.strip_prefix(b"\r\n")).ok_or_else(broken)?;
    }
    if announced.is_some_and(|announced| announced != body.len()) {
        return Err(broken());
    }
    Ok((body, parse_trailers(rest)))
}

fn parse_trailers(mut rest: &[u8]) -> Trailers {
    let mut trailers = Vec::new();
    while let Some((line, after)) = split_line(rest) {
        rest = after;
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            continue;
        };
        trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    trailers
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(bytes, b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

fn parse_hex(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

fn check_md5(call: &Call, body: &[u8]) -> Result<(), ApiError> {
    let Some(wanted) = call.header("content-md5") else { return Ok(()) };
    let decoded = STANDARD.decode_to_vec(wanted).ok().filter(|bytes| bytes.len() == 16);
    let Some(wanted) = decoded else {
        return Err(ApiError::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid."));
    };
    if wanted == md5::Md5::digest(body)[..] {
        return Ok(());
    }
    let text = "The Content-MD5 you specified did not match what we received.";
    Err(ApiError::new(400, "BadDigest", text))
}

/// Every checksum that came with the body, in its head or its trailers.
fn checksums(call: &Call, trailers: &Trailers) -> Trailers {
    let in_head = call.head.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-amz-checksum-")?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    let in_trailers = trailers
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("x-amz-checksum-")?.to_owned(), value.clone())));
    in_head.chain(in_trailers).collect()
}

fn check_one(name: &str, wanted: &str, body: &[u8]) -> Result<(), ApiError> {
    let crc = |algorithm| crc_fast::checksum(algorithm, body);
    let actual = match name {
        "crc32" => STANDARD.encode_to_string((crc(CrcAlgorithm::Crc32IsoHdlc) as u32).to_be_bytes()),
        "crc32c" => STANDARD.encode_to_string((crc(CrcAlgorithm::Crc32Iscsi) as u32).to_be_bytes()),
        "crc64nvme" => STANDARD.encode_to_string(crc(CrcAlgorithm::Crc64Nvme).to_be_bytes()),
        "sha1" => STANDARD.encode_to_string(sha1::Sha1::digest(body)),
        "sha256" => STANDARD.encode_to_string(sha2::Sha256::digest(body)),
        _ => return Ok(()),
    };
    if actual == wanted {
        return Ok(());
    }
    let name = name.to_ascii_uppercase();
    let text = format!("The {name} you specified did not match the calculated checksum.");
    Err(ApiError::new(400, "BadDigest", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(headers: &[(&str, &str)], body: &[u8]) -> Call {
        let mut request = http::Request::builder().method("PUT").uri("/bucket/key");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let length = body.len().to_string();
        let head = request.header("content-length", length).body(()).unwrap().into_parts().0;
        Call { head, body: body.to_vec() }
    }

    const STREAMING: (&str, &str) = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");

    #[test]
    fn chunks_are_joined_and_the_trailing_checksum_is_checked() {
        let wrapped =
            b"5\r\nhello\r\n6;chunk-signature=ab\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        assert_eq!(take(&mut call(&[STREAMING], wrapped)).unwrap(), b"hello world");
        let wrong = b"5\r\nhallo\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        assert_eq!(take(&mut call(&[STREAMING], wrong)).unwrap_err().code, "BadDigest");
    }

    #[test]
    fn a_body_that_is_cut_short_is_told_from_a_whole_one() {
        for wrapped in [&b"5\r\nhell"[..], b"5\r\nhello\r\n", b"5\r\nhello", b"x\r\n", b""] {
            assert_eq!(take(&mut call(&[STREAMING], wrapped)).unwrap_err().code, "IncompleteBody");
        }
        let length = ("x-amz-decoded-content-length", "6");
        let wrapped = b"5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(take(&mut call(&[STREAMING, length], wrapped)).unwrap_err().code, "IncompleteBody");
    }

    #[test]
    fn every_checksum_of_the_sdks_is_known() {
        let good = [
            ("x-amz-checksum-crc32", "DUoRhQ=="),
            ("x-amz-checksum-crc32c", "yZRlqg=="),
            ("x-amz-checksum-sha1", "Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
            ("x-amz-checksum-sha256", "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="),
            ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ];
        for header in good {
            assert!(take(&mut call(&[header], b"hello world")).is_ok(), "{header:?}");
            assert_eq!(take(&mut call(&[header], b"hello_world")).unwrap_err().code, "BadDigest");
        }
    }

    #[test]
    fn the_objects_own_headers_stay_and_the_transports_go() {
        let headers = kept_headers(&call(
            &[
                ("content-encoding", "aws-chunked, gzip"),
                ("content-type", "application/x-ndjson"),
                ("x-amz-storage-class", "STANDARD_IA"),
                ("x-amz-date", "20260101T000000Z"),
                ("x-amz-checksum-crc32", "AAAAAA=="),
                ("authorization", "secret"),
            ],
            b"",
        ));
        let kept: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            kept,
            [
                ("content-encoding", "gzip"),
                ("content-type", "application/x-ndjson"),
                ("x-amz-storage-class", "STANDARD_IA"),
            ]
        );
    }
}
