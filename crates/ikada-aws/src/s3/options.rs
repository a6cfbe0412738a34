//! The options of `s3`.

use std::path::PathBuf;

use ikada_diag::Spanned;
use ikada_options::{ByteSize, Choice, CommaList, Options, Seconds, Secret};

use crate::client::AwsOptions;

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
    /// another; Fluent Bit puts it behind the extension, and not into the names of large objects. Where an object goes up in one call from memory
    /// that part, and `$UUID`, is made of its records: sent again after a crash, they are the same object. `$INDEX` counts from 0, over all
    /// runs where there is a `store_dir`, and in each run otherwise; then names get that part too. An object holds records of
    /// one hour (or day) where its name shows an hour (or day).
    #[option(
        default = "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S",
        example = "/logs/$TAG[1]/%Y/%m/%d/%H-$UUID.gz"
    )]
    pub s3_key_format: Spanned<String>,
    /// Characters that part a tag into `$TAG[0]`, `$TAG[1]` and so on.
    #[option(default = ".", example = ".-")]
    pub s3_key_format_tag_delimiters: String,
    /// Whose days and hours the names show: `UTC`, `local` or a distance from UTC.
    #[option(default = "UTC", example = "+09:00")]
    pub s3_key_format_time_zone: Spanned<String>,
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
    /// How objects are compressed, each as one stream. The name gets no extension by itself: write it in `s3_key_format`.
    ///
    /// `snappy` is the framed format (`.sz`); Fluent Bit writes raw blocks, which cannot be read once there is more than one. `parquet` makes
    /// an Apache Parquet file of each object, with a column for each field: see there.
    #[option(default = "none", example = "gzip")]
    pub compression: Spanned<Compression>,
    /// The objects' `Content-Type`. Without it, what `object_headers` says.
    #[option(example = "application/x-ndjson")]
    pub content_type: Option<String>,
    /// What `Content-Type` and `Content-Encoding` say of compressed objects.
    #[option(default = "by_name")]
    pub object_headers: ObjectHeaders,
    /// What an object holds.
    #[option(default = "json_lines")]
    pub format: Spanned<Format>,
    /// The columns of Parquet objects, each a name and a type: `string`, `boolean`, `bigint`, `double` or `timestamp`. Every object then has
    /// these columns and one more, `_rest`, for what has no column or is not of its column's type, as JSON. Without the option columns
    /// follow from each object's records. Numbers and times may be logged as text.
    #[option(example = "date timestamp, log string, status bigint")]
    pub parquet_schema: Option<Spanned<CommaList>>,
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
    /// How S3 is to encrypt the objects; the bucket's default applies without it.
    #[option(alias = "server_side_encryption", example = "aws:kms")]
    pub sse: Option<Spanned<Encryption>>,
    /// The KMS key for `sse aws:kms`.
    #[option(alias = "ssekms_key_id", example = "alias/logs")]
    pub sse_kms_key_id: Option<Spanned<String>>,
    /// Tags of the objects, at most ten. The role then needs `s3:PutObjectTagging`.
    #[option(example = "team=web, retention=short")]
    pub tags: Option<Spanned<CommaList>>,
    /// A checksum for S3 to check bodies against, and to keep.
    #[option(example = "crc32")]
    pub checksum_algorithm: Option<Checksum>,
    /// Sends `Content-MD5` with objects and parts, which buckets with Object Lock ask for.
    #[option(default = "off")]
    pub send_content_md5: bool,
    /// Region, identity and endpoint.
    #[option(flatten)]
    pub aws: AwsOptions,
    /// Folder for objects under way: what is written there survives the end of the process, and even of the machine if the disk does.
    ///
    /// Records count as delivered once they are on this disk, and a later run completes the objects under the same names. Without
    /// the option, or where the folder cannot be written, objects are held in memory and records count as delivered when they
    /// are in the bucket. Fluent Bit always writes to a folder, by default below `/tmp`.
    #[option(example = "/var/lib/ikada/s3")]
    pub store_dir: Option<Spanned<PathBuf>>,
    /// Bytes that objects under way may take in `store_dir`. From there on objects are completed early, and no more records are taken until
    /// there is room. Four fifths of what is free on the disk at the start when it is not given, or 0.
    #[option(default = "0", example = "2G")]
    pub store_dir_limit_size: ByteSize,
    /// Uploads objects of the same kind one after another, so that the newest is also the last one written.
    #[option(default = "on")]
    pub preserve_data_ordering: bool,
    /// What becomes of a stored object that is given up after `retry_limit`: `quarantine` keeps it for the next start, `delete` lets it go.
    #[option(default = "quarantine")]
    pub retry_exhausted_action: Exhausted,
    /// Bytes of objects that are kept after they were given up; above it they are deleted. 0 is no bound.
    #[option(default = "0")]
    pub quarantine_dir_limit_size: ByteSize,
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
    /// Snappy's framed format; the whole object is one stream.
    Snappy,
    /// An Apache Parquet file. Fields whose values are all of one type are columns of that type (BOOLEAN, INT64, DOUBLE); all others are text,
    /// with what is not a string as JSON. `total_file_size` then counts JSON lines, at most 64 MiB of them.
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
    /// An Apache Parquet file, as with `compression parquet`; `compression` then says how its pages are compressed, with Snappy if it does not.
    Parquet,
    /// Not supported yet.
    Arrow,
}

/// What `Content-Type` and `Content-Encoding` say of compressed objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum ObjectHeaders {
    /// A name that tells how the object is compressed (`x.gz`) is a file of that type; without one, or with a `content_type`, which is that of
    /// the text, a browser is told to unpack.
    ByName,
    /// `Content-Encoding` whatever the name, and no `Content-Type` but `content_type`.
    FluentBit,
}

/// How S3 encrypts objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Encryption {
    /// With keys that S3 manages.
    #[choice("aes256")]
    Aes256,
    /// With a key of KMS.
    #[choice("aws:kms", "kms")]
    Kms,
    /// Twice, with a key of KMS.
    #[choice("aws:kms:dsse")]
    KmsDsse,
}

/// A checksum that S3 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Checksum {
    /// CRC-32.
    Crc32,
    /// CRC-32C.
    Crc32c,
    /// CRC-64/NVME.
    Crc64nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What becomes of an object that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Exhausted {
    /// It is kept, and tried again after the next start.
    Quarantine,
    /// It is deleted.
    Delete,
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
