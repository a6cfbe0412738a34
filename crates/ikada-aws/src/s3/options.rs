//! The options of `s3`, and what they come to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{ByteSize, Choice, Options, PropertyBag, Seconds, Secret};
use ikada_plugin::registry::BuildContext;
use ikada_record::json::{DateFormat, DateKey};

use super::batcher::{Rules, S3Output};
use super::compress::Method;
use super::encode::Encoder;
use super::key::KeyFormat;
use super::sdk::{ObjectHead, S3Bucket};
use crate::client::AwsOptions;

/// Smallest part that S3 takes, the last one of an object excepted (Amazon S3, "Multipart upload limits").
const MIN_PART: u64 = 5 * 1024 * 1024;
/// Below this size objects are uploaded whole (reference, S3 options).
const MIN_MULTIPART: u64 = 10 * 1024 * 1024;
/// Most objects that are open at once.
const MAX_OPEN: usize = 1_000;
/// Memory that open objects may take, unless one alone may take more.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// Gathers records into objects in an Amazon S3 bucket.
#[derive(Debug, Options)]
#[options(output = "s3")]
pub struct S3Options {
    /// Bucket that receives the objects.
    #[option(required, example = "audit-logs-prod")]
    pub bucket: Spanned<String>,
    /// Names of the objects: text, `$TAG`, `$TAG[0]` to `$TAG[9]`, `$UUID`, `$INDEX`, and time items like `%Y/%m/%d` for the time
    /// of the object's first record, in UTC. Objects of different tags are one if the format does not tell them apart.
    ///
    /// Fluent Bit reads time items inside tags as well; here a tag is put in as it is. Names with neither `$UUID` nor
    /// `static_file_path` get a part that nothing else has, before the extension, so that no object overwrites
    /// another; Fluent Bit puts it behind the extension, and not into the names of large objects. `$INDEX` counts from 0 in
    /// each run and therefore does not do away with that part.
    #[option(
        default = "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S",
        example = "/logs/$TAG[1]/%Y/%m/%d/%H-$UUID.gz"
    )]
    pub s3_key_format: Spanned<String>,
    /// Characters that part a tag into `$TAG[0]`, `$TAG[1]` and so on.
    #[option(default = ".", example = ".-")]
    pub s3_key_format_tag_delimiters: String,
    /// Names objects by the format alone: objects of the same name overwrite each other.
    #[option(default = "off")]
    pub static_file_path: bool,
    /// Size, as uploaded, at which an object is complete: 1M to 50G, to 1G with `use_put_object`.
    #[option(default = "100M")]
    pub total_file_size: Spanned<ByteSize>,
    /// Size, as uploaded, of the parts of a large object: at least 5,242,880 bytes. Memory holds one part of each open object.
    ///
    /// Sizes are decimal, so `5M` is less than S3 takes. Fluent Bit does not start with it; here it is made large
    /// enough.
    #[option(default = "5242880")]
    pub upload_chunk_size: Spanned<ByteSize>,
    /// Age at which an object is complete, however small.
    #[option(default = "10m")]
    pub upload_timeout: Seconds,
    /// Uploads every object whole, not in parts. It is held in memory until then.
    #[option(default = "off")]
    pub use_put_object: bool,
    /// How objects are compressed. The name gets no extension by itself: write it in `s3_key_format`.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<Compression>,
    /// The objects' `Content-Type`.
    #[option(example = "application/x-ndjson")]
    pub content_type: Option<String>,
    /// What an object holds.
    #[option(default = "json_lines")]
    pub format: Spanned<Format>,
    /// Field that carries the record's time, before all others; `off` writes none.
    #[option(default = "date", example = "@timestamp")]
    pub json_date_key: String,
    /// How that time is written: `iso8601`, `double`, `java_sql_timestamp`, `epoch` or `epoch_ms`.
    #[option(default = "iso8601")]
    pub json_date_format: Spanned<String>,
    /// Writes the value of this field only: text as it is, anything else as JSON. Records without it are dropped and counted.
    #[option(example = "log")]
    pub log_key: Option<String>,
    /// Canned ACL of the objects.
    #[option(example = "bucket-owner-full-control")]
    pub canned_acl: Option<String>,
    /// Storage class of the objects.
    #[option(example = "STANDARD_IA")]
    pub storage_class: Option<String>,
    /// Sends `Content-MD5` with objects and parts, which buckets with Object Lock ask for.
    #[option(default = "off")]
    pub send_content_md5: bool,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
    /// Has no effect yet: an open object is held in memory, and what is not uploaded in time at a stop is reported as unsent.
    #[option(no_effect)]
    pub store_dir: Option<PathBuf>,
    /// Has no effect yet: objects are held in memory, within bounds of their own.
    #[option(no_effect)]
    pub store_dir_limit_size: Option<ByteSize>,
    /// Has no effect: records keep their order inside an object, and objects do not wait for each other.
    #[option(no_effect)]
    pub preserve_data_ordering: Option<bool>,
    /// Has no effect: an object that is given up after `retry_limit` is counted as dropped.
    #[option(no_effect)]
    pub retry_exhausted_action: Option<String>,
    /// Has no effect: an object that is given up after `retry_limit` is counted as dropped.
    #[option(no_effect)]
    pub quarantine_dir_limit_size: Option<ByteSize>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub blob_database_file: Option<PathBuf>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub part_size: Option<ByteSize>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub file_delivery_attempt_limit: Option<u64>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub part_delivery_attempt_limit: Option<u64>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub upload_parts_timeout: Option<Seconds>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub upload_part_freshness_limit: Option<Seconds>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub authorization_endpoint_url: Option<String>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub authorization_endpoint_username: Option<String>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub authorization_endpoint_password: Option<Secret>,
    /// Has no effect: files as such are not uploaded.
    #[option(no_effect)]
    pub authorization_endpoint_bearer_token: Option<Secret>,
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip; the whole object is one stream.
    Gzip,
    /// Zstandard; the whole object is one frame.
    Zstd,
    /// Not supported yet.
    Snappy,
    /// Not supported yet.
    Parquet,
    /// Not supported yet.
    Arrow,
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Format {
    /// One JSON object per line.
    JsonLines,
    /// The same as `json_lines`.
    Json,
    /// Not supported yet.
    OtlpJson,
    /// Not supported yet.
    Parquet,
    /// Not supported yet.
    Arrow,
}

impl S3Options {
    /// Checks the options against each other and makes the output they ask for.
    pub(crate) fn build(
        mut self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<S3Output> {
        let rules = self.rules(diags);
        let encoder = self.encoder(cx, diags);
        self.default_region();
        let destination = self.aws.destination(None, bag, cx.net.as_ref(), diags);
        if self.bucket.value.contains(['/', ' ']) {
            let message = format!("`{}` is no bucket name", self.bucket.value);
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, message)
                    .at(self.bucket.span)
                    .help("type the name alone; folders belong to `s3_key_format`"),
            );
            return None;
        }
        let (rules, encoder, destination) = (rules?, encoder?, destination?);
        let head = ObjectHead {
            content_type: self.content_type,
            content_encoding: rules.method.content_encoding(),
            canned_acl: self.canned_acl,
            storage_class: self.storage_class,
            content_md5: self.send_content_md5,
        };
        let store = S3Bucket::new(destination, self.bucket.value, head);
        Some(S3Output::new(rules, encoder, Arc::new(store)))
    }

    /// Stand-ins do not care for the region, and Fluent Bit never asks for one here.
    fn default_region(&mut self) {
        let is_known =
            ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().any(|name| std::env::var_os(name).is_some());
        if let (None, Some(endpoint), false) = (&self.aws.region, &self.aws.endpoint, is_known) {
            self.aws.region = Some(Spanned::new("us-east-1".to_owned(), endpoint.span));
        }
    }

    fn rules(&self, diags: &mut Diagnostics) -> Option<Rules> {
        let keys = self.keys(diags);
        let method = self.method(diags);
        let total_size = self.total_size(diags);
        let part_size = self.part_size(diags);
        let (keys, method, total_size, part_size) = (keys?, method?, total_size?, part_size?);

        let goes_up_whole = self.use_put_object || total_size < MIN_MULTIPART;
        let part_size = (!goes_up_whole).then_some(part_size as usize);
        let in_memory = part_size.unwrap_or(total_size as usize);
        Some(Rules {
            keys,
            method,
            total_size,
            part_size,
            timeout: self.upload_timeout.0.max(Duration::from_secs(1)),
            max_open: MAX_OPEN,
            max_held: MAX_HELD.max(2 * in_memory),
        })
    }

    fn keys(&self, diags: &mut Diagnostics) -> Option<KeyFormat> {
        let format = &self.s3_key_format;
        match KeyFormat::parse(&format.value, &self.s3_key_format_tag_delimiters, self.static_file_path) {
            Ok(keys) => Some(keys),
            Err(error) => {
                let message = format!("`s3_key_format`: `{}` {error}", format.value);
                let help = match format.value.trim_start_matches('/') {
                    "" => "type `/logs/$TAG/%Y/%m/%d/$UUID`".to_owned(),
                    named => format!("type `/{named}`"),
                };
                diags.push(Diagnostic::error(codes::BAD_TEMPLATE, message).at(format.span).help(help));
                None
            }
        }
    }

    fn method(&self, diags: &mut Diagnostics) -> Option<Method> {
        match self.compression.value {
            Compression::None => Some(Method::None),
            Compression::Gzip => Some(Method::GZIP),
            Compression::Zstd => Some(Method::ZSTD),
            other => {
                let message = format!("`compression {}` is not supported", other.name());
                diags.push(
                    Diagnostic::error(codes::UNSUPPORTED_OPTION, message)
                        .at(self.compression.span)
                        .help("type `gzip`, `zstd` or `none`"),
                );
                None
            }
        }
    }

    fn total_size(&self, diags: &mut Diagnostics) -> Option<u64> {
        let (smallest, largest) =
            (1_000_000, if self.use_put_object { 1_000_000_000 } else { 50_000_000_000 });
        in_range("total_file_size", &self.total_file_size, smallest, largest, diags)
    }

    fn part_size(&self, diags: &mut Diagnostics) -> Option<u64> {
        let written = &self.upload_chunk_size;
        if written.value.0 < MIN_PART {
            let message = format!("`upload_chunk_size` is {MIN_PART}, the least that S3 takes");
            diags.push(Diagnostic::note(codes::ADJUSTED_VALUE, message).at(written.span));
            return Some(MIN_PART);
        }
        let is_packed = self.compression.value != Compression::None;
        let largest = if is_packed { 5_000_000_000 } else { 50_000_000 };
        in_range("upload_chunk_size", written, MIN_PART, largest, diags)
    }

    fn encoder(&self, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Encoder> {
        match self.format.value {
            Format::JsonLines => {}
            Format::Json => {
                let message = "`format json` writes one object per line, as `json_lines` does";
                diags.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(self.format.span));
            }
            other => {
                let message = format!("`format {}` is not supported", other.name());
                diags.push(
                    Diagnostic::error(codes::UNSUPPORTED_OPTION, message)
                        .at(self.format.span)
                        .help("type `json_lines`"),
                );
                return None;
            }
        }
        Some(Encoder::new(self.date_key(diags)?, self.log_key.as_deref(), cx.service.json))
    }

    fn date_key(&self, diags: &mut Diagnostics) -> Option<Option<DateKey>> {
        let written = &self.json_date_format;
        let Ok(format) = written.value.parse::<DateFormat>() else {
            let message = format!("`json_date_format`: `{}` is no date format", written.value);
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, message)
                    .at(written.span)
                    .help("type `iso8601`, `double`, `java_sql_timestamp`, `epoch` or `epoch_ms`"),
            );
            return None;
        };
        let key = &self.json_date_key;
        let is_off = ["false", "off", "no"].iter().any(|word| key.eq_ignore_ascii_case(word));
        Some((!is_off).then(|| DateKey::new(key, format)))
    }
}

fn in_range(
    name: &str,
    written: &Spanned<ByteSize>,
    smallest: u64,
    largest: u64,
    diags: &mut Diagnostics,
) -> Option<u64> {
    let size = written.value.0;
    if (smallest..=largest).contains(&size) {
        return Some(size);
    }
    let (low, high) = (ByteSize(smallest), ByteSize(largest));
    diags.push(
        Diagnostic::error(codes::BAD_VALUE, format!("`{name}` is out of its range"))
            .at(written.span)
            .help(format!("type a size from `{low}` to `{high}`")),
    );
    None
}

#[cfg(test)]
mod tests {
    use ikada_options::check_set;

    use super::*;

    #[test]
    fn the_set_is_sound() {
        check_set::<S3Options>();
    }
}
