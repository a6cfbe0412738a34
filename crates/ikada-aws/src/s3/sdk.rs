//! The bucket as the SDK reaches it.

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ObjectCannedAcl, StorageClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::sync::OnceCell;

use super::store::{Answer, ObjectStore, TakenPart};
use crate::client::{Destination, Failure, FailureKind};

/// Bodies beyond this many bytes are given more time than the session's.
const LARGE: usize = 16 * 1024 * 1024;
/// The slowest line, in bytes per second, over which a large body still arrives.
const SLOWEST: u64 = 512 * 1024;

/// What the options say of every object.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectHead {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<&'static str>,
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
    /// TLS already keeps bodies whole and secret; hashing them once more is for plain HTTP.
    over_tls: bool,
}

impl S3Bucket {
    /// A bucket nobody has spoken to yet.
    pub(crate) fn new(destination: Destination, name: String, head: ObjectHead) -> Self {
        let over_tls = destination.endpoint.as_deref().is_none_or(|url| url.starts_with("https://"));
        Self { destination, name, head, client: OnceCell::new(), over_tls }
    }

    async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let shared = self.destination.session.sdk_config().await?;
        let mut builder = Builder::from(shared)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
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

    /// Adds what a person can do.
    fn explain(&self, failure: Failure) -> Failure {
        let is_denied = failure.kind == FailureKind::Denied;
        let mut failure = failure.hint(|| match is_denied {
            true => format!("the role needs s3:PutObject on arn:aws:s3:::{}/*", self.name),
            false => format!("`bucket {}` names none that exists", self.name),
        });
        if failure.cause.status.is_some_and(|status| (300..400).contains(&status)) {
            failure.cause.message.push_str("; `region` must be the bucket's");
        }
        failure
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

    async fn put_object(&self, key: &str, body: Bytes) -> Result<(), Failure> {
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
                .set_content_md5(md5.clone())
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
        self.call(send).await.map(drop)
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
                .send()
                .await
        };
        let answer = self.call(send).await?;
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
                .set_content_md5(md5.clone())
                .body(ByteStream::from(body.clone()))
                .customize();
            let request = if self.over_tls { request.disable_payload_signing() } else { request };
            match more_time(body.len()) {
                Some(time) => request.config_override(time).send().await,
                None => request.send().await,
            }
        };
        let answer = self.call(send).await?;
        let etag = answer.e_tag.ok_or_else(|| Failure::transient("the answer to UploadPart has no ETag"))?;
        Ok(TakenPart { number, etag })
    }

    async fn complete_upload(&self, key: &str, id: &str, parts: &[TakenPart]) -> Result<(), Failure> {
        let part =
            |part: &TakenPart| CompletedPart::builder().part_number(part.number).e_tag(&part.etag).build();
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
        let send = async |client: Client| {
            let request = client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(id);
            request.multipart_upload(parts.clone()).send().await
        };
        self.call(send).await.map(drop)
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

    async fn head_object(&self, key: &str) -> Result<Option<u64>, Failure> {
        let send = async |client: Client| client.head_object().bucket(&self.name).key(key).send().await;
        match self.call(send).await {
            Ok(answer) => Ok(answer.content_length.and_then(|length| u64::try_from(length).ok())),
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
        Box::pin(self.put_object(key, body))
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

    fn size_of<'a>(&'a self, key: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(self.head_object(key))
    }
}
