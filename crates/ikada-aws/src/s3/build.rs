//! What the options of `s3` come to.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, ServerSideEncryption};
use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{ByteSize, Choice, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_record::json::{DateFormat, DateKey};
use tracing::{info, warn};

use super::batcher::{Rules, S3Output};
use super::columns::{self, Pages, Schema, Shape};
use super::compress::Method;
use super::encode::Encoder;
use super::key::{KeyFormat, KeyRules};
use super::names::source_of;
use super::options::{Checksum, Compression, Encryption, Exhausted, Format, ObjectHeaders, S3Options};
use super::sdk::{ObjectHead, S3Bucket, url_encoded};
use super::spool::{Found, Spool, SpoolRules};
use super::zone::Zone;
use crate::client::RegionName;

/// Smallest part that S3 takes, the last one of an object excepted (Amazon S3, "Multipart upload limits").
const MIN_PART: u64 = 5 * 1024 * 1024;
/// Below this size objects are uploaded whole (reference, S3 options).
const MIN_MULTIPART: u64 = 10 * 1024 * 1024;
/// Most objects that are open at once.
const MAX_OPEN: usize = 1_000;
/// Memory that open objects may take, unless one alone may take more.
const MAX_HELD: usize = 64 * 1024 * 1024;
/// Most bytes of lines that columns are made of: they are in memory at once.
const MAX_COLUMNS: u64 = 64 * 1024 * 1024;
/// Most tags of an object (Amazon S3, "Categorizing your storage using tags").
const MAX_TAGS: usize = 10;

impl S3Options {
    /// Checks the options against each other and makes the output they ask for.
    pub(crate) fn build(
        mut self,
        bag: &PropertyBag,
        cx: &BuildContext,
        diags: &mut Diagnostics,
    ) -> Option<S3Output> {
        // What is wrong elsewhere in the configuration is no reason not to build.
        let wrong_before = diags.counts().errors;
        let zone = self.zone(diags);
        let method = self.method(diags);
        let shape = self.shape(method, diags);
        let total_size = self.total_size(diags);
        let part_size = self.part_size(diags);
        let encoder = self.encoder(cx, diags);
        let tags = self.tags(diags);
        self.check_encryption(diags);
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
        let (zone, method, total_size, part_size, shape) = (zone?, method?, total_size?, part_size?, shape?);
        let (encoder, tags, destination) = (encoder?, tags?, destination?);
        // Read once before anything is opened, for what is wrong with it.
        self.keys(zone, false, diags)?;
        if diags.counts().errors > wrong_before {
            return None;
        }
        let spool = if cx.dry_run { None } else { self.spool(cx) };
        let keeps_index = spool.is_some() || cx.dry_run && self.store_dir.is_some();
        let keys = self.keys(zone, keeps_index, diags)?;
        let head = self.head(method, &keys, tags);
        let rules = Rules {
            columns: shape,
            source: source(cx.id.shown()),
            ..self.rules(keys, method, total_size, part_size)
        };
        let store = S3Bucket::new(destination, self.bucket.value, head);
        Some(S3Output::new(rules, encoder, Arc::new(store), spool))
    }

    fn head(&self, method: Method, keys: &KeyFormat, tags: Option<String>) -> ObjectHead {
        let by_name = self.object_headers == ObjectHeaders::ByName;
        let is_named = method.extensions().iter().any(|end| keys.extension().ends_with(end));
        let text = if self.log_key.is_some() { "text/plain" } else { "application/x-ndjson" };
        // Whoever unpacks by the encoding finds the text; who unpacks by the name finds a file of its type.
        // A type that is written down is that of the text.
        let (content_encoding, fitting_type) = match method.content_encoding() {
            Some(encoding) if !is_named || self.content_type.is_some() => (Some(encoding), text),
            _ => (None, method.content_type().unwrap_or(text)),
        };
        ObjectHead {
            content_type: self.content_type.clone().or_else(|| by_name.then(|| fitting_type.to_owned())),
            content_encoding: if by_name { content_encoding } else { method.content_encoding() },
            encryption: self.sse.as_ref().map(|sse| match sse.value {
                Encryption::Aes256 => ServerSideEncryption::Aes256,
                Encryption::Kms => ServerSideEncryption::AwsKms,
                Encryption::KmsDsse => ServerSideEncryption::AwsKmsDsse,
            }),
            kms_key: self.sse_kms_key_id.as_ref().map(|key| key.value.clone()),
            tags,
            checksum: self.checksum_algorithm.map(|sum| match sum {
                Checksum::Crc32 => ChecksumAlgorithm::Crc32,
                Checksum::Crc32c => ChecksumAlgorithm::Crc32C,
                Checksum::Crc64nvme => ChecksumAlgorithm::Crc64Nvme,
                Checksum::Sha1 => ChecksumAlgorithm::Sha1,
                Checksum::Sha256 => ChecksumAlgorithm::Sha256,
            }),
            canned_acl: self.canned_acl.clone(),
            storage_class: self.storage_class.clone(),
            content_md5: self.send_content_md5,
        }
    }

    /// Opens the folder of objects under way. One that cannot be used is said to be, and done without.
    fn spool(&self, cx: &BuildContext) -> Option<(Arc<Spool>, Vec<Found>)> {
        let dir = &self.store_dir.as_ref()?.value;
        let rules = SpoolRules {
            limit: Some(self.store_dir_limit_size.0).filter(|limit| *limit > 0),
            keeps_exhausted: self.retry_exhausted_action == Exhausted::Quarantine,
            quarantine_limit: Some(self.quarantine_dir_limit_size.0).filter(|limit| *limit > 0),
        };
        match Spool::open(&dir.join(&self.bucket.value), cx.id.shown(), rules) {
            Ok((spool, found)) => {
                if !found.is_empty() {
                    info!(instance = %cx.id, objects = found.len(), "objects of an earlier run are completed first");
                }
                Some((spool, found))
            }
            Err(failed) => {
                let cause = &failed.source;
                warn!(
                    instance = %cx.id,
                    "`store_dir` cannot be used ({failed}: {cause}): objects are held in memory, and what is not uploaded \
                     when the process ends is lost"
                );
                None
            }
        }
    }

    /// Stand-ins do not care for the region, and Fluent Bit never asks for one here.
    fn default_region(&mut self) {
        let is_known =
            ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().any(|name| std::env::var_os(name).is_some());
        if let (None, Some(endpoint), false) = (&self.aws.region, &self.aws.endpoint, is_known) {
            self.aws.region = Some(Spanned::new(RegionName::usual(), endpoint.span));
        }
    }

    fn rules(&self, keys: KeyFormat, method: Method, total_size: u64, part_size: u64) -> Rules {
        let total_size = if method.is_columnar() { total_size.min(MAX_COLUMNS) } else { total_size };
        let goes_up_whole = self.use_put_object || total_size < MIN_MULTIPART || method.is_columnar();
        let part_size = (!goes_up_whole).then_some(part_size as usize);
        let in_memory = part_size.unwrap_or(total_size as usize);
        Rules {
            source: 0,
            columns: Shape::default(),
            bucket: self.bucket.value.clone(),
            keys,
            method,
            total_size,
            part_size,
            timeout: self.upload_timeout.0.max(Duration::from_secs(1)),
            max_open: MAX_OPEN,
            max_held: MAX_HELD.max(2 * in_memory),
            in_order: self.preserve_data_ordering,
        }
    }

    fn zone(&self, diags: &mut Diagnostics) -> Option<Zone> {
        let written = &self.s3_key_format_time_zone;
        if let Ok(zone) = written.value.parse() {
            return Some(zone);
        }
        let message = format!("`s3_key_format_time_zone`: `{}` is no time zone", written.value);
        diags.push(
            Diagnostic::error(codes::BAD_VALUE, message)
                .at(written.span)
                .help("type `UTC`, `local`, or a distance like `+09:00`"),
        );
        None
    }

    /// The tags as S3 reads them.
    fn tags(&self, diags: &mut Diagnostics) -> Option<Option<String>> {
        let Some(written) = &self.tags else { return Some(None) };
        let pairs: Option<Vec<(&str, &str)>> = written.value.iter().map(|tag| tag.split_once('=')).collect();
        let Some(pairs) = pairs.filter(|pairs| !pairs.is_empty() && pairs.len() <= MAX_TAGS) else {
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, "`tags` are one to ten of the form `name=value`")
                    .at(written.span)
                    .help("type `team=web, retention=short`"),
            );
            return None;
        };
        let encoded = |text: &str| url_encoded(text.trim()).replace('/', "%2F");
        let pairs: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        Some(Some(pairs.join("&")))
    }

    fn check_encryption(&self, diags: &mut Diagnostics) {
        let uses_kms = self.sse.as_ref().is_some_and(|sse| sse.value != Encryption::Aes256);
        if let (Some(key), false) = (&self.sse_kms_key_id, uses_kms) {
            let message = "`sse_kms_key_id` needs `sse aws:kms`";
            diags.push(
                Diagnostic::error(codes::CONFLICTING_OPTIONS, message)
                    .at(key.span)
                    .help("add a line `sse aws:kms`"),
            );
        }
    }

    fn keys(&self, zone: Zone, keeps_index: bool, diags: &mut Diagnostics) -> Option<KeyFormat> {
        let format = &self.s3_key_format;
        let rules = KeyRules {
            delimiters: &self.s3_key_format_tag_delimiters,
            is_static: self.static_file_path,
            keeps_index,
            zone,
        };
        match KeyFormat::parse(&format.value, rules) {
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

    /// Columns are made of whole records.
    fn columns(&self, diags: &mut Diagnostics) -> Option<Method> {
        let is_format = self.format.value == Format::Parquet;
        let asked = if is_format { "format parquet" } else { "compression parquet" };
        let span = if is_format { self.format.span } else { self.compression.span };
        let Some(key) = &self.log_key else { return Some(Method::Parquet) };
        let message = format!("`{asked}` needs whole records");
        let found = Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(span);
        diags.push(found.help(format!("remove the line `log_key {key}`")));
        None
    }

    /// What files of columns are like.
    fn shape(&self, method: Option<Method>, diags: &mut Diagnostics) -> Option<Shape> {
        let pages = match self.compression.value {
            Compression::Gzip => Pages::Gzip,
            Compression::Zstd => Pages::Zstd,
            _ => Pages::Snappy,
        };
        let Some(written) = &self.parquet_schema else { return Some(Shape { pages, schema: None }) };
        if method.is_some_and(|method| !method.is_columnar()) {
            let message = "`parquet_schema` has no effect without `format parquet`";
            diags.push(Diagnostic::warning(codes::NO_EFFECT, message).at(written.span));
        }
        match Schema::new(&written.value) {
            Ok(schema) => Some(Shape { pages, schema: Some(Arc::new(schema)) }),
            Err(problem) => {
                let message = format!("`parquet_schema`: {problem}");
                let found = Diagnostic::error(codes::BAD_VALUE, message).at(written.span);
                diags.push(found.help("type `date timestamp, log string, status bigint`"));
                None
            }
        }
    }

    fn method(&self, diags: &mut Diagnostics) -> Option<Method> {
        if self.format.value == Format::Parquet && columns::IS_BUILT_IN {
            return self.columns(diags);
        }
        match self.compression.value {
            Compression::None => Some(Method::None),
            Compression::Gzip => Some(Method::GZIP),
            Compression::Zstd => Some(Method::ZSTD),
            Compression::Snappy => Some(Method::Snappy),
            Compression::Parquet if columns::IS_BUILT_IN => self.columns(diags),
            other => {
                let message = format!("`compression {}` is not supported", other.name());
                diags.push(
                    Diagnostic::error(codes::UNSUPPORTED_OPTION, message)
                        .at(self.compression.span)
                        .help("type `gzip`, `zstd`, `snappy` or `none`"),
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
            Format::Parquet if columns::IS_BUILT_IN => {}
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

/// What tells this output from every other: its own name, the container's, and the machine's, as far as they are known.
fn source(output: &str) -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let container = std::env::var("ECS_CONTAINER_METADATA_URI_V4").unwrap_or_default();
    let host = read("/proc/sys/kernel/hostname");
    source_of(&[output, &container, &host, &read("/etc/machine-id")].join("\n"))
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
