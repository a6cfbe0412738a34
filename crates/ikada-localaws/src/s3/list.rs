//! Listings: buckets, objects, uploads, parts.

use chrono::{DateTime, SecondsFormat};

use super::multipart::no_such_upload;
use super::{S3, Target};
use crate::call::{Call, Reply, xml_escape};
use crate::error::ApiError;
use crate::lock::locked;
use crate::shared::Shared;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
/// Most entries on a page.
const PAGE: usize = 1000;

pub(super) fn buckets(names: &[String], shared: &Shared) -> Reply {
    let date = iso_date(shared.now_ms());
    let list: String = names
        .iter()
        .map(|name| format!("<Bucket><Name>{name}</Name><CreationDate>{date}</CreationDate></Bucket>"))
        .collect();
    Reply::xml(format!(
        "{HEAD}<ListAllMyBucketsResult {NAMESPACE}><Owner><ID>local</ID></Owner><Buckets>{list}</Buckets>\
         </ListAllMyBucketsResult>"
    ))
}

pub(super) fn objects(s3: &S3, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    let bucket = locked(&bucket);
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|delimiter| !delimiter.is_empty());
    let after = ["continuation-token", "start-after", "marker"].iter().find_map(|name| call.query(name));
    let limit = call.query("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let encoder = Encoder::of(call);
    let mut listing = Listing::default();
    for (key, object) in &bucket.objects {
        if !key.starts_with(&prefix) || after.as_ref().is_some_and(|after| key <= after) {
            continue;
        }
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let group = delimiter.as_deref().and_then(|d| Some(prefix.len() + rest.find(d)? + d.len()));
        let group = group.and_then(|end| key.get(..end));
        if group.is_some() && group == listing.last_group.as_deref() {
            listing.last_key = key.clone();
            continue;
        }
        if listing.count == limit {
            listing.is_truncated = true;
            break;
        }
        listing.count += 1;
        listing.last_key = key.clone();
        match group {
            Some(group) => listing.add_group(group, &encoder),
            None => listing.contents.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                encoder.encode(key),
                iso_date(object.modified_ms),
                object.etag,
                object.size
            )),
        }
    }
    Ok(Reply::xml(listing.finish(target, &prefix, limit, &encoder)))
}

#[derive(Debug, Default)]
struct Listing {
    contents: String,
    groups: String,
    last_group: Option<String>,
    last_key: String,
    count: usize,
    is_truncated: bool,
}

impl Listing {
    fn add_group(&mut self, group: &str, encoder: &Encoder) {
        let shown = encoder.encode(group);
        self.groups.push_str(&format!("<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"));
        self.last_group = Some(group.to_owned());
    }

    fn finish(&self, target: &Target, prefix: &str, limit: usize, encoder: &Encoder) -> String {
        let next = match (self.is_truncated, target.operation) {
            (false, _) => String::new(),
            (true, "ListObjects") => format!("<NextMarker>{}</NextMarker>", encoder.encode(&self.last_key)),
            (true, _) => {
                format!("<NextContinuationToken>{}</NextContinuationToken>", xml_escape(&self.last_key))
            }
        };
        format!(
            "{HEAD}<ListBucketResult {NAMESPACE}><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount>\
             <MaxKeys>{limit}</MaxKeys><IsTruncated>{}</IsTruncated>{}{next}{}{}</ListBucketResult>",
            target.bucket,
            encoder.encode(prefix),
            self.count,
            self.is_truncated,
            encoder.mark(),
            self.contents,
            self.groups
        )
    }
}

/// Writes keys as `encoding-type` asks.
#[derive(Debug)]
struct Encoder {
    is_url: bool,
}

impl Encoder {
    fn of(call: &Call) -> Self {
        Encoder { is_url: call.query("encoding-type").as_deref() == Some("url") }
    }

    /// Tells the client how keys are written.
    fn mark(&self) -> &'static str {
        if self.is_url { "<EncodingType>url</EncodingType>" } else { "" }
    }

    fn encode(&self, key: &str) -> String {
        if !self.is_url {
            return xml_escape(key);
        }
        let mut out = String::with_capacity(key.len());
        for byte in key.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    out.push(byte as char)
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    }
}

pub(super) fn uploads(s3: &S3, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    let bucket = locked(&bucket);
    let prefix = call.query("prefix").unwrap_or_default();
    let encoder = Encoder::of(call);
    let mut list: Vec<_> =
        bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix)).collect();
    list.sort_by(|a, b| (&a.1.key, a.1.started_ms, a.0).cmp(&(&b.1.key, b.1.started_ms, b.0)));
    let list: String = list
        .iter()
        .map(|(id, upload)| {
            format!(
                "<Upload><Key>{}</Key><UploadId>{id}</UploadId><StorageClass>STANDARD</StorageClass>\
                 <Initiated>{}</Initiated></Upload>",
                encoder.encode(&upload.key),
                iso_date(upload.started_ms)
            )
        })
        .collect();
    Ok(Reply::xml(format!(
        "{HEAD}<ListMultipartUploadsResult {NAMESPACE}><Bucket>{}</Bucket><Prefix>{}</Prefix>\
         <MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated>{}{list}</ListMultipartUploadsResult>",
        target.bucket,
        encoder.encode(&prefix),
        encoder.mark()
    )))
}

pub(super) fn parts(s3: &S3, target: &Target, call: &Call) -> Result<Reply, ApiError> {
    let bucket = s3.bucket(&target.bucket)?;
    let bucket = locked(&bucket);
    let id = call.query("uploadId").unwrap_or_default();
    let upload = bucket.uploads.get(&id).filter(|upload| upload.key == target.key);
    let upload = upload.ok_or_else(no_such_upload)?;
    let after = call.query("part-number-marker").and_then(|number| number.parse().ok()).unwrap_or(0);
    let limit = call.query("max-parts").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let page: Vec<_> = upload.parts.range(after + 1..).take(limit + 1).collect();
    let is_truncated = page.len() > limit;
    let shown = page.get(..page.len().min(limit)).unwrap_or_default();
    let next = shown.last().map_or(after, |(number, _)| **number);
    let list: String = shown
        .iter()
        .map(|(number, part)| {
            format!(
                "<Part><PartNumber>{number}</PartNumber><LastModified>{}</LastModified>\
                 <ETag>&quot;{}&quot;</ETag><Size>{}</Size></Part>",
                iso_date(part.modified_ms),
                part.etag,
                part.size
            )
        })
        .collect();
    Ok(Reply::xml(format!(
        "{HEAD}<ListPartsResult {NAMESPACE}><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>\
         <PartNumberMarker>{after}</PartNumberMarker><NextPartNumberMarker>{next}</NextPartNumberMarker>\
         <MaxParts>{limit}</MaxParts><IsTruncated>{is_truncated}</IsTruncated>{list}</ListPartsResult>",
        target.bucket,
        xml_escape(&target.key)
    )))
}

pub(crate) fn iso_date(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(crate) fn http_date(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
