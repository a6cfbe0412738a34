//! Objects written, read and deleted whole.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::list::http_date;
use super::{Bucket, S3, Stored, Target, body};
use crate::call::{Call, Reply, Taken};
use crate::error::ApiError;
use crate::lock::locked;
use crate::shared::Shared;

/// Longest key in bytes of UTF-8.
const MAX_KEY: usize = 1024;

pub(super) fn put(s3: &S3, shared: &Shared, target: &Target, call: &mut Call) -> Result<Reply, ApiError> {
    check_key(&target.key)?;
    let bucket = s3.bucket(&target.bucket)?;
    check_preconditions(&locked(&bucket), &target.key, call)?;
    let headers = body::kept_headers(call);
    let content = Bytes::from(body::take(call)?);
    let etag = body::etag(shared, &content);
    let size = content.len() as u64;
    let stored = Stored::new(shared, content, etag.clone(), headers);
    let mut bucket = locked(&bucket);
    // Looked at again: another writer may have come first while this body was scanned.
    check_preconditions(&bucket, &target.key, call)?;
    bucket.write(shared, &target.key, stored);
    let taken = Taken { records: 1, bytes: size, refused: 0 };
    Ok(Reply::empty(200).with("etag", format!("\"{etag}\"")).taking(taken))
}

pub(super) fn check_key(key: &str) -> Result<(), ApiError> {
    if key.len() <= MAX_KEY {
        return Ok(());
    }
    Err(ApiError::new(400, "KeyTooLongError", "Your key is too long"))
}

/// `If-None-Match: *` and `If-Match: <etag>` of conditional writes.
pub(super) fn check_preconditions(bucket: &Bucket, key: &str, call: &Call) -> Result<(), ApiError> {
    let present = bucket.objects.get(key);
    let failed = || {
        ApiError::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
    };
    if call.header("if-none-match") == Some("*") && present.is_some() {
        return Err(failed());
    }
    let Some(wanted) = call.header("if-match") else { return Ok(()) };
    let etag = present.map(|object| object.etag.as_str());
    if wanted == "*" && etag.is_some() || etag == Some(wanted.trim_matches('"')) {
        Ok(())
    } else {
        Err(failed())
    }
}

/// `GetObject`, and `HeadObject` whose body the server leaves away.
pub(super) fn get(s3: &S3, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    let bucket = locked(&bucket);
    let object = bucket.objects.get(&target.key).ok_or_else(no_such_key)?;
    let content = object.content();
    let mut reply = match call.header("range").map(|range| parse_range(range, content.len())) {
        None => Reply { status: 200, body: content, ..Reply::default() },
        Some(Some(range)) => partial(&content, range),
        Some(None) => {
            let text = "The requested range is not satisfiable";
            return Err(ApiError::new(416, "InvalidRange", text));
        }
    };
    reply.headers.push(("etag", format!("\"{}\"", object.etag)));
    reply.headers.push(("last-modified", http_date(object.modified_ms)));
    reply.headers.extend(shown_headers(&object.headers));
    Ok(reply.with("accept-ranges", "bytes"))
}

impl Stored {
    /// The content; blank of the right length if it was only counted.
    fn content(&self) -> Bytes {
        self.bytes.clone().unwrap_or_else(|| Bytes::from(vec![0; self.size as usize]))
    }
}

fn shown_headers(headers: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    const SHOWN: [&str; 8] = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "expires",
        "x-amz-storage-class",
        "x-amz-server-side-encryption",
    ];
    SHOWN.iter().filter_map(|name| Some((*name, headers.get(*name)?.clone()))).collect()
}

fn partial(content: &Bytes, range: Range<usize>) -> Reply {
    let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, content.len());
    Reply { status: 206, body: content.slice(range), ..Reply::default() }.with("content-range", shown)
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n`, cut to the object.
fn parse_range(range: &str, length: usize) -> Option<Range<usize>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.parse::<usize>().ok(), to.parse::<usize>().ok()) {
        (Some(from), Some(to)) => from..to.saturating_add(1).min(length),
        (Some(from), None) => from..length,
        (None, Some(last)) => length.saturating_sub(last)..length,
        (None, None) => return None,
    };
    (range.start < range.end).then_some(range)
}

fn no_such_key() -> ApiError {
    ApiError::new(404, "NoSuchKey", "The specified key does not exist.")
}

pub(super) fn delete(s3: &S3, shared: &Shared, target: &Target) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    locked(&bucket).remove(shared, &target.key);
    Ok(Reply::empty(204))
}

pub(super) fn delete_many(s3: &S3, shared: &Shared, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    let mut bucket = locked(&bucket);
    let text = String::from_utf8_lossy(&call.body);
    let mut answer = String::from("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for key in super::multipart::elements(&text, "Key") {
        bucket.remove(shared, &super::multipart::xml_unescape(key));
        answer.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
    }
    answer.push_str("</DeleteResult>");
    Ok(Reply::xml(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object() {
        assert_eq!(parse_range("bytes=2-4", 10), Some(2..5));
        assert_eq!(parse_range("bytes=8-", 10), Some(8..10));
        assert_eq!(parse_range("bytes=-3", 10), Some(7..10));
        assert_eq!(parse_range("bytes=5-99", 10), Some(5..10));
        assert_eq!(parse_range("bytes=10-", 10), None);
        assert_eq!(parse_range("lines=1-2", 10), None);
    }
}
