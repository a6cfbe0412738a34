//! How a local AWS is set up when it starts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`LocalAws`](crate::LocalAws); the default suits a test.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port for plain HTTP; 0 takes any free one, `None` offers no plain HTTP.
    pub http_port: Option<u16>,
    /// Port for HTTPS; 0 takes any free one, `None` offers no HTTPS.
    pub https_port: Option<u16>,
    /// A further plain port that serves `/_localaws/…` even while the services are down.
    pub admin_port: Option<u16>,
    /// File to which the certificate that clients must trust is written.
    pub ca_file: Option<PathBuf>,
    /// Host names the certificate is good for, besides `localhost`, `*.s3.localhost` and the loopback
    /// addresses.
    pub host_names: Vec<String>,
    /// Threads of the server's own runtime.
    pub threads: usize,
    /// What is kept of delivered content.
    pub keep: Keep,
    /// Most bytes of content (and of captured requests) that are kept; beyond it they are only counted.
    pub keep_limit: u64,
    /// Keeps the head and body of every request, within `keep_limit`.
    pub capture: bool,
    /// Looks for `seq=<client>:<number>` marks in everything delivered.
    pub sequences: bool,
    /// Which resources come into being when they are first written to.
    pub auto_create: AutoCreate,
    /// Seed of every random decision: faults and identifiers.
    pub seed: u64,
    /// Refuses requests without a well-formed SigV4 `Authorization`, with the wrong service in its scope, or whose
    /// date is more than `max_skew` off.
    pub require_auth: bool,
    /// How far a request's date may be from the server's clock. S3: 15 minutes; the others: 5.
    pub max_skew: Duration,
    /// Checks `x-amz-content-sha256` against the body. Off by default: it costs 0.5 CPU seconds per GB.
    pub verify_payload_hash: bool,
    /// Rejects log events that are too old, too new or expired, as CloudWatch does by the wall clock.
    pub check_event_age: bool,
    /// `CreateLogStream` calls per second for the whole account; AWS: 50.
    pub create_log_stream_rate: Option<f64>,
    /// Gives S3 objects their MD5 as ETag, as AWS does; otherwise a cheaper value of the same shape.
    pub md5_etags: bool,
    /// Answers a repeated `CompleteMultipartUpload` as the first time; otherwise with `NoSuchUpload`.
    pub complete_is_idempotent: bool,
    /// Most shards' worth of records that a Kinesis stream takes: each 1,000 records/s and 1 MB/s. `None`: no limit.
    pub kinesis_shards: Option<u32>,
    /// Closes a connection on which nothing happened for this long; AWS: some 60 seconds, S3 less.
    pub idle_timeout: Option<Duration>,
    /// What the task metadata endpoint tells.
    pub task: TaskIdentity,
    /// How long credentials from `/creds` and STS live.
    pub credentials_lifetime: Duration,
    /// The `Authorization` that `/creds` asks for, if any.
    pub credentials_token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: Some(0),
            https_port: None,
            admin_port: None,
            ca_file: None,
            host_names: Vec::new(),
            threads: 2,
            keep: Keep::All,
            keep_limit: 1 << 30,
            capture: false,
            sequences: true,
            auto_create: AutoCreate::default(),
            seed: 1,
            require_auth: true,
            max_skew: Duration::from_secs(15 * 60),
            verify_payload_hash: false,
            check_event_age: true,
            create_log_stream_rate: Some(50.0),
            md5_etags: true,
            complete_is_idempotent: true,
            kinesis_shards: None,
            idle_timeout: None,
            task: TaskIdentity::default(),
            credentials_lifetime: Duration::from_secs(6 * 3600),
            credentials_token: None,
        }
    }
}

impl Config {
    /// Settings for a benchmark: nothing is kept, and nothing is computed that only a test would look at.
    #[must_use]
    pub fn for_benchmark() -> Self {
        Config { keep: Keep::None, md5_etags: false, create_log_stream_rate: None, ..Config::default() }
    }

    /// Adds HTTPS on any free port.
    #[must_use]
    pub fn with_https(mut self) -> Self {
        self.https_port = Some(0);
        self
    }

    /// Creates nothing by itself: every stream and bucket has to be made first.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.auto_create = AutoCreate::none();
        self
    }
}

/// What is kept of delivered content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Everything, within [`Config::keep_limit`].
    All,
    /// Only counts and sequence numbers.
    None,
}

/// Which resources come into being when they are first written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoCreate {
    /// Log groups and log streams. Off by default: making them is what an output has to get right.
    pub log_streams: bool,
    /// Firehose delivery streams.
    pub delivery_streams: bool,
    /// Kinesis data streams.
    pub data_streams: bool,
    /// S3 buckets.
    pub buckets: bool,
}

impl Default for AutoCreate {
    fn default() -> Self {
        AutoCreate { log_streams: false, delivery_streams: true, data_streams: true, buckets: true }
    }
}

impl AutoCreate {
    /// Nothing is created by itself.
    #[must_use]
    pub fn none() -> Self {
        AutoCreate { log_streams: false, delivery_streams: false, data_streams: false, buckets: false }
    }

    /// Everything is.
    #[must_use]
    pub fn all() -> Self {
        AutoCreate { log_streams: true, delivery_streams: true, data_streams: true, buckets: true }
    }
}

/// The ECS task that the metadata endpoint describes.
#[derive(Debug, Clone)]
pub struct TaskIdentity {
    /// AWS region.
    pub region: String,
    /// Account number.
    pub account: String,
    /// Cluster name.
    pub cluster: String,
    /// Task identifier, 32 hexadecimal digits.
    pub task_id: String,
    /// Task definition family.
    pub family: String,
    /// Task definition revision.
    pub revision: String,
    /// Name of the container that asks.
    pub container: String,
    /// `FARGATE` or `EC2`.
    pub launch_type: String,
}

impl Default for TaskIdentity {
    fn default() -> Self {
        TaskIdentity {
            region: "ap-northeast-1".into(),
            account: "123456789012".into(),
            cluster: "local".into(),
            task_id: "0123456789abcdef0123456789abcdef".into(),
            family: "web".into(),
            revision: "1".into(),
            container: "log_router".into(),
            launch_type: "FARGATE".into(),
        }
    }
}
