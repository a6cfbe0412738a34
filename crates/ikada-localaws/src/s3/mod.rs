//! S3: buckets, objects and multipart uploads.
//!
//! [`target`] tells from a request's head which call it is, [`body`] opens the wrappings of its body and checks
//! them, [`objects`] and [`multipart`] do the work, [`list`] lists. This file is what they work on.
//!
//! Marks are counted from the objects as they stand in the end: an object written twice under one key is one
//! object, so a retry that overwrites its own first attempt doubles nothing.

mod body;
mod list;
mod multipart;
mod objects;
mod target;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::call::{Call, Reply};
use crate::config::Keep;
use crate::content;
use crate::error::ApiError;
use crate::lock::locked;
use crate::report::{Report, ResourceReport};
use crate::sequence::{Marks, Tracker};
use crate::service::Service;
use crate::shared::Shared;

pub(crate) use body::hex;
pub(crate) use list::{http_date, iso_date};
pub(crate) use target::Target;

/// All buckets.
#[derive(Debug)]
pub(crate) struct S3 {
    auto_create: bool,
    buckets: Mutex<BTreeMap<String, Arc<Mutex<Bucket>>>>,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, multipart::Upload>,
    /// Uploads that were completed: their key and ETag.
    completed: BTreeMap<String, (String, String)>,
    writes: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Stored {
    bytes: Option<Bytes>,
    size: u64,
    etag: String,
    headers: BTreeMap<String, String>,
    marks: Marks,
    modified_ms: i64,
    parts: usize,
    /// How often this key was written.
    writes: u64,
    /// The bucket's count of writes when this one came.
    order: u64,
}

/// An object as it stands in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Its content; `None` if it was only counted.
    pub bytes: Option<Bytes>,
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag without quotes.
    pub etag: String,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// Every `content-…`, `cache-control`, `expires` and `x-amz-…` header it was written with, except those that
    /// only serve the transport, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Parts it was made of; 0 for a `PutObject`.
    pub parts: usize,
    /// How often this key was written.
    pub writes: u64,
    /// Milliseconds since 1970 of the last write.
    pub modified_ms: i64,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object's key.
    pub key: String,
    /// The upload's identifier.
    pub upload_id: String,
    /// Numbers and sizes of the parts there are.
    pub parts: Vec<(u32, u64)>,
}

impl S3 {
    pub(crate) fn new(auto_create: bool) -> Self {
        S3 { auto_create, buckets: Mutex::default() }
    }

    /// Handles one call.
    pub(crate) fn handle(
        &self,
        shared: &Shared,
        target: &Target,
        call: &mut Call,
    ) -> Result<Reply, ApiError> {
        match target.operation {
            "ListBuckets" => Ok(list::buckets(&self.names(), shared)),
            "CreateBucket" => self.create_called(&target.bucket),
            "PutObject" => objects::put(self, shared, target, call),
            "GetObject" | "HeadObject" => objects::get(self, target, call),
            "DeleteObject" => objects::delete(self, shared, target),
            "DeleteObjects" => objects::delete_many(self, shared, target, call),
            "HeadBucket" => self.bucket(&target.bucket).map(|_| head_bucket(shared)),
            "DeleteBucket" => self.delete_called(&target.bucket),
            "GetBucketLocation" => self.bucket(&target.bucket).map(|_| location(shared)),
            "ListObjects" | "ListObjectsV2" => list::objects(self, target, call),
            "ListMultipartUploads" => list::uploads(self, target, call),
            "ListParts" => list::parts(self, target, call),
            "CreateMultipartUpload" => multipart::create(self, shared, target, call),
            "UploadPart" => multipart::upload_part(self, shared, target, call),
            "CompleteMultipartUpload" => multipart::complete(self, shared, target, call),
            "AbortMultipartUpload" => multipart::abort(self, target, call),
            _ => Err(ApiError::new(501, "NotImplemented", "A header or query is not implemented here.")),
        }
    }

    /// Makes a bucket; says whether it is new.
    pub(crate) fn create(&self, name: &str) -> bool {
        let mut buckets = locked(&self.buckets);
        let is_new = !buckets.contains_key(name);
        buckets.entry(name.to_owned()).or_default();
        is_new
    }

    fn create_called(&self, name: &str) -> Result<Reply, ApiError> {
        check_bucket_name(name)?;
        if !self.create(name) {
            let text = "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(ApiError::new(409, "BucketAlreadyOwnedByYou", text));
        }
        Ok(Reply::empty(200).with("location", format!("/{name}")))
    }

    fn delete_called(&self, name: &str) -> Result<Reply, ApiError> {
        let bucket = self.bucket(name)?;
        if !locked(&bucket).objects.is_empty() {
            let text = "The bucket you tried to delete is not empty";
            return Err(ApiError::new(409, "BucketNotEmpty", text));
        }
        locked(&self.buckets).remove(name);
        Ok(Reply::empty(204))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        locked(&self.buckets).keys().cloned().collect()
    }

    fn bucket(&self, name: &str) -> Result<Arc<Mutex<Bucket>>, ApiError> {
        let mut buckets = locked(&self.buckets);
        if let Some(bucket) = buckets.get(name) {
            return Ok(bucket.clone());
        }
        check_bucket_name(name)?;
        if !self.auto_create {
            return Err(ApiError::new(404, "NoSuchBucket", "The specified bucket does not exist"));
        }
        Ok(buckets.entry(name.to_owned()).or_default().clone())
    }

    pub(crate) fn objects(&self, name: &str) -> BTreeMap<String, Object> {
        let Some(bucket) = locked(&self.buckets).get(name).cloned() else { return BTreeMap::new() };
        let objects = &locked(&bucket).objects;
        objects.iter().map(|(key, stored)| (key.clone(), stored.describe())).collect()
    }

    pub(crate) fn open_uploads(&self, name: &str) -> Vec<OpenUpload> {
        let Some(bucket) = locked(&self.buckets).get(name).cloned() else { return Vec::new() };
        let uploads = &locked(&bucket).uploads;
        uploads.iter().map(|(id, upload)| upload.describe(id)).collect()
    }

    /// Adds every bucket to a report.
    pub(crate) fn report(&self, report: &mut Report) {
        let mut all = Tracker::default();
        for (name, bucket) in locked(&self.buckets).iter() {
            let bucket = locked(bucket);
            report.resources.push(ResourceReport {
                service: Service::S3,
                resource: name.clone(),
                batches: bucket.objects.len() as u64,
                records: bucket.writes,
                bytes: bucket.bytes,
                refused: 0,
            });
            report.add_tracker(Service::S3, name, &bucket.tracker(), &mut all);
        }
        report.add_total(Service::S3, &all);
    }

    /// Forgets all objects and uploads; the buckets stay.
    pub(crate) fn reset(&self) {
        for bucket in locked(&self.buckets).values() {
            *locked(bucket) = Bucket::default();
        }
    }
}

impl Bucket {
    /// The numbers in all objects, in the order in which they were written.
    fn tracker(&self) -> Tracker {
        let mut objects: Vec<&Stored> = self.objects.values().collect();
        objects.sort_by_key(|object| object.order);
        let mut tracker = Tracker::default();
        objects.iter().for_each(|object| tracker.apply(&object.marks));
        tracker
    }

    /// Puts an object under its key, in place of an older one.
    fn write(&mut self, shared: &Shared, key: &str, mut stored: Stored) {
        self.writes += 1;
        self.bytes += stored.size;
        stored.order = self.writes;
        stored.writes = 1;
        if let Some(old) = self.remove(shared, key) {
            stored.writes += old.writes;
        }
        self.objects.insert(key.to_owned(), stored);
    }

    fn remove(&mut self, shared: &Shared, key: &str) -> Option<Stored> {
        let old = self.objects.remove(key)?;
        shared.budget.give_back(old.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64));
        Some(old)
    }
}

impl Stored {
    /// An object with this content, scanned for marks; the content is dropped if it is not to be kept.
    fn new(shared: &Shared, bytes: Bytes, etag: String, headers: BTreeMap<String, String>) -> Self {
        let mut marks = Marks::default();
        if let Some(finder) = &shared.finder {
            content::scan(finder, &bytes, &mut marks);
        }
        let size = bytes.len() as u64;
        let keep = shared.config.keep == Keep::All && shared.budget.take(size, 1);
        let modified_ms = shared.now_ms();
        let bytes = keep.then_some(bytes);
        Stored { bytes, size, etag, headers, marks, modified_ms, ..Stored::default() }
    }

    fn describe(&self) -> Object {
        Object {
            bytes: self.bytes.clone(),
            size: self.size,
            etag: self.etag.clone(),
            content_type: self.headers.get("content-type").cloned(),
            content_encoding: self.headers.get("content-encoding").cloned(),
            headers: self.headers.clone(),
            parts: self.parts,
            writes: self.writes,
            modified_ms: self.modified_ms,
        }
    }
}

/// 3 to 63 of lower-case letters, digits, dots and hyphens, with a letter or digit at both ends.
fn check_bucket_name(name: &str) -> Result<(), ApiError> {
    let is_end = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let ends_well = is_end(name.bytes().next()) && is_end(name.bytes().last());
    if (3..=63).contains(&name.len()) && ends_well && name.bytes().all(is_inner) {
        return Ok(());
    }
    Err(ApiError::new(400, "InvalidBucketName", "The specified bucket is not valid."))
}

fn head_bucket(shared: &Shared) -> Reply {
    Reply::empty(200).with("x-amz-bucket-region", shared.config.task.region.clone())
}

fn location(shared: &Shared) -> Reply {
    let region = &shared.config.task.region;
    Reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{region}</LocationConstraint>"
    ))
}
