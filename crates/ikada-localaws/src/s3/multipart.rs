//! Multipart uploads, with the part rules of the service.
//!
//! Part numbers run from 1 to 10,000; every part but the last has at least 5 MiB; `CompleteMultipartUpload` lists
//! parts in ascending order, each with the ETag that was answered for it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::objects::{check_key, check_preconditions};
use super::{OpenUpload, S3, Stored, Target, body};
use crate::call::{Call, Reply, Taken, xml_escape};
use crate::config::Keep;
use crate::error::ApiError;
use crate::lock::locked;
use crate::shared::Shared;

/// Smallest part, except the last.
const MIN_PART: u64 = 5 * 1024 * 1024;
/// Highest part number.
const MAX_PARTS: u32 = 10_000;

/// An upload in work.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) started_ms: i64,
    headers: BTreeMap<String, String>,
    pub(super) parts: BTreeMap<u32, Part>,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The content; `None` when nobody will ever look at it.
    bytes: Option<Bytes>,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified_ms: i64,
}

impl Upload {
    pub(super) fn describe(&self, id: &str) -> OpenUpload {
        let parts = self.parts.iter().map(|(number, part)| (*number, part.size)).collect();
        OpenUpload { key: self.key.clone(), upload_id: id.to_owned(), parts }
    }
}

pub(super) fn create(s3: &S3, shared: &Shared, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    check_key(&target.key)?;
    let bucket = s3.bucket(&target.bucket)?;
    let id = shared.next_upload_id();
    let upload = Upload {
        key: target.key.clone(),
        started_ms: shared.now_ms(),
        headers: body::kept_headers(call),
        parts: BTreeMap::new(),
    };
    locked(&bucket).uploads.insert(id.clone(), upload);
    Ok(Reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>{}</Bucket>\
         <Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
        target.bucket,
        xml_escape(&target.key)
    )))
}

pub(super) fn upload_part(
    s3: &S3,
    shared: &Shared,
    target: &Target,
    call: &mut Call,
) -> Result<Reply, ApiError> {
    let number = part_number(call)?;
    let id = call.query("uploadId").unwrap_or_default();
    let bucket = s3.bucket(&target.bucket)?;
    if locked(&bucket).uploads.get(&id).is_none_or(|upload| upload.key != target.key) {
        return Err(no_such_upload());
    }
    let content = body::take(call)?;
    let etag = body::etag(shared, &content);
    let size = content.len() as u64;
    let is_needed = shared.config.keep == Keep::All || shared.finder.is_some();
    let part = Part {
        bytes: is_needed.then(|| Bytes::from(content)),
        size,
        etag: etag.clone(),
        modified_ms: shared.now_ms(),
    };
    let mut bucket = locked(&bucket);
    bucket.uploads.get_mut(&id).ok_or_else(no_such_upload)?.parts.insert(number, part);
    let taken = Taken { records: 1, bytes: size, refused: 0 };
    Ok(Reply::empty(200).with("etag", format!("\"{etag}\"")).taking(taken))
}

fn part_number(call: &Call) -> Result<u32, ApiError> {
    let number = call.query("partNumber").and_then(|number| number.parse().ok());
    number.filter(|number| (1..=MAX_PARTS).contains(number)).ok_or_else(|| {
        let text = "Part number must be an integer between 1 and 10000, inclusive";
        ApiError::new(400, "InvalidArgument", text)
    })
}

pub(super) fn complete(s3: &S3, shared: &Shared, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let id = call.query("uploadId").unwrap_or_default();
    let bucket = s3.bucket(&target.bucket)?;
    let (parts, headers) = {
        let bucket = locked(&bucket);
        if let Some((key, etag)) = bucket.completed.get(&id).filter(|(key, _)| *key == target.key) {
            return again(shared, target, key, etag);
        }
        let upload = bucket.uploads.get(&id).filter(|upload| upload.key == target.key);
        let upload = upload.ok_or_else(no_such_upload)?;
        check_preconditions(&bucket, &target.key, call)?;
        (chosen_parts(upload, &call.body)?, upload.headers.clone())
    };
    let etag = body::joint_etag(parts.iter().map(|part| part.etag.as_str()));
    let stored = join(shared, &parts, etag.clone(), headers);
    let size = stored.size;
    let mut bucket = locked(&bucket);
    check_preconditions(&bucket, &target.key, call)?;
    bucket.uploads.remove(&id).ok_or_else(no_such_upload)?;
    bucket.completed.insert(id, (target.key.clone(), etag.clone()));
    bucket.write(shared, &target.key, stored);
    let taken = Taken { records: 1, bytes: size, refused: 0 };
    Ok(completed(target, &etag).taking(taken))
}

/// A repeated Complete, after an answer that was lost.
fn again(shared: &Shared, target: &Target, key: &str, etag: &str) -> Result<Reply, ApiError> {
    if shared.config.complete_is_idempotent && key == target.key {
        return Ok(completed(target, etag));
    }
    Err(no_such_upload())
}

fn completed(target: &Target, etag: &str) -> Reply {
    let key = xml_escape(&target.key);
    Reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Location>http://{bucket}.s3.amazonaws.com/{key}</Location><Bucket>{bucket}</Bucket><Key>{key}</Key>\
         <ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>",
        bucket = target.bucket,
    ))
}

/// The parts that the request lists, once they keep every rule.
fn chosen_parts(upload: &Upload, body: &[u8]) -> Result<Vec<Part>, ApiError> {
    let malformed = || {
        let text =
            "The XML you provided was not well-formed or did not validate against our published schema";
        ApiError::new(400, "MalformedXML", text)
    };
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    if !text.contains("<CompleteMultipartUpload") || !text.contains("</CompleteMultipartUpload>") {
        return Err(malformed());
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut last = 0;
    for entry in elements(text, "Part") {
        let number = elements(entry, "PartNumber").next().and_then(|number| number.trim().parse().ok());
        let etag = elements(entry, "ETag").next().map(xml_unescape);
        let (Some(number), Some(etag)) = (number, etag) else { return Err(malformed()) };
        if number <= last {
            let text = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(ApiError::new(400, "InvalidPartOrder", text));
        }
        last = number;
        let part = upload.parts.get(&number).filter(|part| part.etag == etag.trim().trim_matches('"'));
        parts.push(part.cloned().ok_or_else(invalid_part)?);
    }
    let Some((_, all_but_last)) = parts.split_last() else { return Err(malformed()) };
    if all_but_last.iter().any(|part| part.size < MIN_PART) {
        let text = "Your proposed upload is smaller than the minimum allowed size";
        return Err(ApiError::new(400, "EntityTooSmall", text));
    }
    Ok(parts)
}

fn join(shared: &Shared, parts: &[Part], etag: String, headers: BTreeMap<String, String>) -> Stored {
    let size = parts.iter().map(|part| part.size).sum();
    let mut content = Vec::with_capacity(size as usize);
    parts.iter().filter_map(|part| part.bytes.as_ref()).for_each(|bytes| content.extend_from_slice(bytes));
    let mut stored = Stored::new(shared, Bytes::from(content), etag, headers);
    stored.size = size;
    stored.parts = parts.len();
    stored
}

pub(super) fn abort(s3: &S3, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let id = call.query("uploadId").unwrap_or_default();
    let bucket = s3.bucket(&target.bucket)?;
    locked(&bucket).uploads.remove(&id).ok_or_else(no_such_upload)?;
    Ok(Reply::empty(204))
}

pub(super) fn no_such_upload() -> ApiError {
    let text = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                aborted or completed.";
    ApiError::new(404, "NoSuchUpload", text)
}

fn invalid_part() -> ApiError {
    let text = "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
                specified entity tag may not match the part's entity tag.";
    ApiError::new(400, "InvalidPart", text)
}

/// The contents of every `<name>…</name>` in `text`, one after another; such elements do not nest here.
pub(super) fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (content, tail) = after.split_once(&close)?;
        rest = tail;
        Some(content)
    })
}

pub(super) fn xml_unescape(text: &str) -> String {
    let plain = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&apos;", "'");
    plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
