//! The bucket as the SDK reaches it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, EncodingType, ObjectCannedAcl,
    ServerSideEncryption, StorageClass,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::store::{Answer, Found, ObjectStore, Put, TakenPart, needs_a_person};
use super::whole::digest_of;
use crate::client::{Destination, Failure, FailureKind};
use crate::seldom::Seldom;

/// Bodies beyond this many bytes are given more time than the session's.
const LARGE: usize = 16 * 1024 * 1024;
/// The slowest line, in bytes per second, over which a large body still arrives.
const SLOWEST: u64 = 512 * 1024;

/// What the options say of every object.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectHead {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<&'static str>,
    pub(crate) encryption: Option<ServerSideEncryption>,
    /// The key of `aws:kms`.
    pub(crate) kms_key: Option<String>,
    /// As S3 reads them: `a=b&c=d`, encoded as in a query.
    pub(crate) tags: Option<String>,
    /// What S3 is to check bodies against.
    pub(crate) checksum: Option<ChecksumAlgorithm>,
    pub(crate) canned_acl: Option<String>,
    pub(crate) storage_class: Option<String>,
    /// Sends `Content-MD5`.
    pub(crate) content_md5: bool,
}

/// A bucket.
pub(crate) struct S3Bucket {
    destination: Destination,
    name: String,
    head: ObjectHead,
    client: OnceCell<Client>,
    /// Calls may have conditions: S3 knows them, not every stand-in does.
    knows_conditions: AtomicBool,
    /// TLS already keeps bodies whole and secret; hashing them once more is for plain HTTP.
    over_tls: bool,
    held_back: Seldom,
}

impl S3Bucket {
    /// A bucket nobody has spoken to yet.
    pub(crate) fn new(destination: Destination, name: String, head: ObjectHead) -> Self {
        let over_tls = destination.endpoint.as_deref().is_none_or(|url| url.starts_with("https://"));
        Self {
            destination,
            name,
            head,
            client: OnceCell::new(),
            knows_conditions: AtomicBool::new(true),
            over_tls,
            held_back: Seldom::default(),
        }
    }

    async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let shared = self.destination.session.sdk_config().await?;
        let checksums = match self.head.checksum {
            Some(_) => RequestChecksumCalculation::WhenSupported,
            None => RequestChecksumCalculation::WhenRequired,
        };
        let mut builder = Builder::from(shared)
            .request_checksum_calculation(checksums)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(url) = &self.destination.endpoint {
            builder = builder.endpoint_url(url).force_path_style(true);
        }
        Ok(Client::from_conf(builder.build()))
    }

    /// Makes one call, and a second one at once if newer credentials are all it needs.
    async fn call<T, E, F>(&self, send: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let client = self.client().await?;
        let answer = self.destination.session.call(|| send(client.clone())).await;
        answer.map_err(|failure| self.explain(failure))
    }

    /// The same for what every object needs: what holds it up until someone helps is said.
    async fn call_to_write<T, E, F>(&self, send: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.call(send).await.inspect_err(|failure| self.complain(failure))
    }

    fn complain(&self, failure: &Failure) {
        if needs_a_person(failure)
            && let Some(times) = self.held_back.count(1, Instant::now())
        {
            let (bucket, error) = (&self.name, &failure.cause);
            tracing::error!(%bucket, %error, times, "objects are held back");
        }
    }

    /// Adds what a person can do.
    fn explain(&self, failure: Failure) -> Failure {
        let (is_denied, is_upload) = (failure.kind == FailureKind::Denied, failure.is("NoSuchUpload"));
        let mut failure = match is_upload {
            true => failure,
            false => failure.hint(|| match is_denied {
                true => self.rights(),
                false => format!("create bucket `{}`", self.name),
            }),
        };
        if failure.cause.status.is_some_and(|status| (300..400).contains(&status)) {
            failure.cause.message.push_str("; `region` must be the bucket's");
        }
        failure
    }

    /// What a policy has to allow for the objects' heads to be written as the options say.
    fn rights(&self) -> String {
        let asked = [
            ("`s3:PutObject`", true),
            (", `s3:PutObjectAcl`", self.head.canned_acl.is_some()),
            (", `s3:PutObjectTagging`", self.head.tags.is_some()),
        ];
        let rights: String = asked.iter().filter(|(_, asked)| *asked).map(|(right, _)| *right).collect();
        let uses_kms = !matches!(self.head.encryption, None | Some(ServerSideEncryption::Aes256));
        let key = if uses_kms { ", and `kms:GenerateDataKey` and `kms:Decrypt` on the key" } else { "" };
        format!("the policy must allow {rights} on `arn:aws:s3:::{}/*`{key}", self.name)
    }

    fn md5(&self, body: &[u8]) -> Option<String> {
        self.head.content_md5.then(|| STANDARD.encode(Md5::digest(body)))
    }

    fn acl(&self) -> Option<ObjectCannedAcl> {
        self.head.canned_acl.as_deref().map(ObjectCannedAcl::from)
    }

    fn class(&self) -> Option<StorageClass> {
        self.head.storage_class.as_deref().map(StorageClass::from)
    }

    async fn put_new_object(&self, key: &str, body: Bytes) -> Result<Put, Failure> {
        if self.knows_conditions.load(Relaxed) {
            let failure = match self.put_object(key, body.clone(), Some("*")).await {
                Ok(()) => return Ok(Put::Written),
                Err(failure) => failure,
            };
            if failure.cause.status == Some(412) {
                return Ok(Put::Exists);
            }
            if failure.cause.status != Some(501) && !failure.is("NotImplemented") {
                return Err(failure);
            }
            self.knows_conditions.store(false, Relaxed);
        }
        self.put_object(key, body, None).await.map(|()| Put::Written)
    }

    async fn put_object(&self, key: &str, body: Bytes, if_none_match: Option<&str>) -> Result<(), Failure> {
        let md5 = self.md5(&body);
        let send = async |client: Client| {
            let request = client
                .put_object()
                .bucket(&self.name)
                .key(key)
                .set_content_type(self.head.content_type.clone())
                .set_content_encoding(self.head.content_encoding.map(str::to_owned))
                .set_acl(self.acl())
                .set_storage_class(self.class())
                .set_server_side_encryption(self.head.encryption.clone())
                .set_ssekms_key_id(self.head.kms_key.clone())
                .set_tagging(self.head.tags.clone())
                .set_checksum_algorithm(self.head.checksum.clone())
                .set_content_md5(md5.clone())
                .set_if_none_match(if_none_match.map(str::to_owned))
                .body(ByteStream::from(body.clone()))
                .customize();
            let request = if self.over_tls { request.disable_payload_signing() } else { request };
            // Without the option there is no header, as with Fluent Bit; S3 then says `binary/octet-stream`.
            let has_type = self.head.content_type.is_some();
            let request = request.mutate_request(move |request| {
                if !has_type {
                    request.headers_mut().remove("content-type");
                }
            });
            match more_time(body.len()) {
                Some(time) => request.config_override(time).send().await,
                None => request.send().await,
            }
        };
        self.call_to_write(send).await.map(drop)
    }

    async fn create_upload(&self, key: &str) -> Result<String, Failure> {
        let send = async |client: Client| {
            client
                .create_multipart_upload()
                .bucket(&self.name)
                .key(key)
                .set_content_type(self.head.content_type.clone())
                .set_content_encoding(self.head.content_encoding.map(str::to_owned))
                .set_acl(self.acl())
                .set_storage_class(self.class())
                .set_server_side_encryption(self.head.encryption.clone())
                .set_ssekms_key_id(self.head.kms_key.clone())
                .set_tagging(self.head.tags.clone())
                .set_checksum_algorithm(self.head.checksum.clone())
                .send()
                .await
        };
        let answer = self.call_to_write(send).await?;
        answer
            .upload_id
            .ok_or_else(|| Failure::transient("the answer to CreateMultipartUpload names no upload"))
    }

    async fn upload_part(&self, key: &str, id: &str, number: i32, body: Bytes) -> Result<TakenPart, Failure> {
        let md5 = self.md5(&body);
        let send = async |client: Client| {
            let request = client
                .upload_part()
                .bucket(&self.name)
                .key(key)
                .upload_id(id)
                .part_number(number)
                .set_checksum_algorithm(self.head.checksum.clone())
                .set_content_md5(md5.clone())
                .body(ByteStream::from(body.clone()))
                .customize();
            let request = if self.over_tls { request.disable_payload_signing() } else { request };
            match more_time(body.len()) {
                Some(time) => request.config_override(time).send().await,
                None => request.send().await,
            }
        };
        let answer = self.call_to_write(send).await?;
        let etag = answer.e_tag.ok_or_else(|| Failure::transient("the answer to UploadPart has no ETag"))?;
        let sums = [
            answer.checksum_crc32,
            answer.checksum_crc32_c,
            answer.checksum_crc64_nvme,
            answer.checksum_sha1,
            answer.checksum_sha256,
        ];
        let checksum = self.head.checksum.is_some().then(|| sums.into_iter().flatten().next()).flatten();
        Ok(TakenPart { number, etag, checksum })
    }

    fn completed(&self, part: &TakenPart) -> CompletedPart {
        let builder = CompletedPart::builder().part_number(part.number).e_tag(&part.etag);
        let sum = part.checksum.clone();
        let builder = match &self.head.checksum {
            Some(ChecksumAlgorithm::Crc32) => builder.set_checksum_crc32(sum),
            Some(ChecksumAlgorithm::Crc32C) => builder.set_checksum_crc32_c(sum),
            Some(ChecksumAlgorithm::Crc64Nvme) => builder.set_checksum_crc64_nvme(sum),
            Some(ChecksumAlgorithm::Sha1) => builder.set_checksum_sha1(sum),
            Some(ChecksumAlgorithm::Sha256) => builder.set_checksum_sha256(sum),
            _ => builder,
        };
        builder.build()
    }

    async fn complete_upload(&self, key: &str, id: &str, parts: &[TakenPart]) -> Result<(), Failure> {
        let parts = parts.iter().map(|part| self.completed(part)).collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let send = async |client: Client| {
            let request = client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(id);
            request.multipart_upload(parts.clone()).send().await
        };
        self.call_to_write(send).await.map(drop)
    }

    async fn abort_upload(&self, key: &str, id: &str) -> Result<(), Failure> {
        let send = async |client: Client| {
            client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(id).send().await
        };
        match self.call(send).await {
            Err(failure) if !failure.is("NoSuchUpload") => Err(failure),
            _ => Ok(()),
        }
    }

    async fn list_uploads(&self, key: &str) -> Result<Vec<String>, Failure> {
        let send = async |client: Client| {
            let request = client.list_multipart_uploads().bucket(&self.name).prefix(key);
            // Keys may hold what XML cannot.
            request.encoding_type(EncodingType::Url).send().await
        };
        let answer = self.call(send).await?;
        // The prefix is the whole key; what else starts with it is encoded to something longer.
        let encoded = url_encoded(key);
        let uploads = answer.uploads.unwrap_or_default().into_iter();
        let of_key = uploads
            .filter(|upload| upload.key.as_deref().is_some_and(|found| found == encoded || found == key));
        Ok(of_key.filter_map(|upload| upload.upload_id).collect())
    }

    async fn head_object(&self, key: &str) -> Result<Option<Found>, Failure> {
        let send = async |client: Client| client.head_object().bucket(&self.name).key(key).send().await;
        match self.call(send).await {
            Ok(answer) => {
                let size = answer.content_length.and_then(|length| u64::try_from(length).ok());
                // The ETag is the MD5 of what was sent in one call and not encrypted with a key of KMS or the customer's (Amazon S3,
                // "Checking object integrity"); in parts, it has a `-`.
                let is_plain = answer.sse_customer_algorithm.is_none()
                    && matches!(answer.server_side_encryption, None | Some(ServerSideEncryption::Aes256));
                let etag = answer.e_tag.map(|etag| etag.trim_matches('"').to_ascii_lowercase());
                let md5 = etag.clone().filter(|md5| is_plain && digest_of(md5).is_some());
                Ok(size.map(|size| Found { size, md5, etag }))
            }
            Err(failure) if failure.cause.status == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket").field("name", &self.name).field("head", &self.head).finish_non_exhaustive()
    }
}

/// Text as it stands in a query, except that `/` stays: how S3 encodes keys in listings, and takes tags.
pub(super) fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            other => {
                out.push('%');
                for half in [other >> 4, other & 15] {
                    out.push(char::from_digit(u32::from(half), 16).map_or('0', |c| c.to_ascii_uppercase()));
                }
            }
        }
    }
    out
}

/// The time for a large body, where the session's is too short.
fn more_time(len: usize) -> Option<Builder> {
    if len <= LARGE {
        return None;
    }
    let time = Duration::from_secs(60 + len as u64 / SLOWEST);
    Some(
        aws_sdk_s3::config::Config::builder()
            .timeout_config(TimeoutConfig::builder().read_timeout(time).build()),
    )
}

impl ObjectStore for S3Bucket {
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, ()> {
        Box::pin(self.put_object(key, body, None))
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, Put> {
        Box::pin(self.put_new_object(key, body))
    }

    fn create<'a>(&'a self, key: &'a str) -> Answer<'a, String> {
        Box::pin(self.create_upload(key))
    }

    fn put_part<'a>(&'a self, key: &'a str, id: &'a str, number: i32, body: Bytes) -> Answer<'a, TakenPart> {
        Box::pin(self.upload_part(key, id, number, body))
    }

    fn complete<'a>(&'a self, key: &'a str, id: &'a str, parts: &'a [TakenPart]) -> Answer<'a, ()> {
        Box::pin(self.complete_upload(key, id, parts))
    }

    fn abort<'a>(&'a self, key: &'a str, id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.abort_upload(key, id))
    }

    fn uploads_of<'a>(&'a self, key: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(self.list_uploads(key))
    }

    fn look<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Found>> {
        Box::pin(self.head_object(key))
    }
}
