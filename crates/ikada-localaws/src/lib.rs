//! A local stand-in for the AWS services that Ikada writes to.
//!
//! Tests, benchmarks and the demo start one, inside their own process with [`LocalAws::start`] or as the program
//! `localaws`, and point Ikada's endpoints at it. It answers on loopback for CloudWatch Logs, Firehose, Kinesis
//! Data Streams, S3, STS, and the ECS and EC2 metadata endpoints, all on one port for plain HTTP and one for HTTPS,
//! told apart by `X-Amz-Target`, the service in the SigV4 scope, and the path.
//!
//! It does not know Ikada: no crate of the workspace but this one is used here, and nothing here may end up in the
//! `ikada` program. It does not verify signatures (any fake key is welcome), does not speak CBOR or HTTP/2, and
//! forgets everything when it stops.
//!
//! # Which rules are enforced, and from where
//!
//! The services' API references, as read in November 2026:
//!
//! | call | rule | answer when broken |
//! |---|---|---|
//! | `PutLogEvents` | 1 to 10,000 events; Σ(UTF-8 length + 26) ≤ 1,048,576; one event no more than that; in order of time; span under 24 h | `InvalidParameterException` |
//! | | events over 2 h ahead, over 14 days old, or older than the retention | 200 with `rejectedLogEventsInfo`; the rest is stored |
//! | | group and stream exist | `ResourceNotFoundException` |
//! | | body is JSON, members have their types | `SerializationException` |
//! | `CreateLogGroup`, `CreateLogStream` | names; not there yet; 50 streams a second | `InvalidParameterException`, `ResourceAlreadyExistsException`, `ThrottlingException` |
//! | `PutRetentionPolicy` | one of the 22 numbers of days | `InvalidParameterException` |
//! | `PutRecordBatch` | 1 to 500 records; 1,024,000 bytes each, 4 MiB together, before base64; the stream exists | `ValidationException`, `InvalidArgumentException`, `ResourceNotFoundException` |
//! | `PutRecords` | 1 to 500 records; 1 MiB each, 10 MiB together, with keys of 1 to 256 characters; shard rates if set | the same; `ProvisionedThroughputExceededException` record by record |
//! | S3 | bucket names; keys ≤ 1,024 bytes; parts 1 to 10,000 of ≥ 5 MiB except the last, listed in order with their ETags; `Content-MD5` and `x-amz-checksum-*` as sent; `If-None-Match`, `If-Match` | S3's XML errors |
//! | all | shape, scope and date of the SigV4 header; issued credentials not expired | each service's own |
//!
//! # Numbered records
//!
//! A record that carries `seq=<client>:<number>` is tracked: see [`SequenceReport`]. The marks are found inside
//! messages, base64 data, and objects, compressed with gzip or zstd or not at all.
//!
//! # Example
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use ikada_localaws::{Config, LocalAws, Service};
//!
//! let aws = LocalAws::start(Config { require_auth: false, ..Config::default() })?;
//! let mut socket = std::net::TcpStream::connect(aws.http_addr())?;
//! let body = r#"{"DeliveryStreamName":"web","Records":[{"Data":"c2VxPWE6MQ=="}]}"#;
//! write!(
//!     socket,
//!     "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
//!      x-amz-target: Firehose_20150804.PutRecordBatch\r\ncontent-length: {}\r\n\r\n{body}",
//!     body.len()
//! )?;
//! let mut answer = String::new();
//! socket.read_to_string(&mut answer)?;
//! assert!(answer.contains(r#""FailedPutCount":0"#));
//! assert_eq!(aws.firehose().records("web"), [b"seq=a:1"]);
//! assert_eq!(aws.report().client(Service::Firehose, "a").map(|numbers| numbers.distinct), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading order: [`LocalAws`], [`Config`], [`Report`], [`Faults`], then the modules `server` (ports and
//! connections), `dispatch` (the way of one request), `logs`, `records`, `s3`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod auth;
mod block;
mod call;
mod config;
mod content;
mod counters;
mod credentials;
mod dispatch;
mod error;
mod faults;
mod gate;
mod handles;
mod json;
mod lock;
mod logs;
mod metadata;
mod quota;
mod records;
mod report;
mod s3;
mod sequence;
mod server;
mod service;
mod shared;
mod spelling;
mod sts;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use config::{AutoCreate, Config, Keep, TaskIdentity};
pub use counters::RequestRecord;
pub use faults::{CutPoint, Fault, FaultId, FaultKind, FaultReport, PartialCode, When};
pub use gate::Down;
pub use handles::{CloudWatch, Credentials, Faults, Firehose, Kinesis, S3Buckets};
pub use logs::LogGroup;
pub use quota::Quota;
pub use report::{OperationReport, Report, ResourceReport, SequenceReport};
pub use s3::{Object, OpenUpload};
pub use service::Service;

use server::Server;
use shared::Shared;

/// Why a local AWS did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port could not be opened.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The runtime could not be built.
    #[error("cannot start threads")]
    Runtime(#[source] std::io::Error),
    /// The certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// The certificate's key has no form that TLS takes.
    #[error("cannot use the certificate's key")]
    Key,
    /// The certificate could not be used.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The certificate could not be written.
    #[error("cannot write {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A running local AWS; it stops when it is dropped.
///
/// It runs on threads of its own, so it serves tests with and without a runtime alike.
pub struct LocalAws {
    server: Server,
    shared: Arc<Shared>,
}

impl LocalAws {
    /// Starts the services; they answer when this returns.
    ///
    /// # Errors
    ///
    /// When a port is taken, or the certificate cannot be made or written.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(config));
        Ok(LocalAws { server: Server::start(&shared)?, shared })
    }

    /// Address of plain HTTP; port 0 if there is none.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.server.http.unwrap_or(NOWHERE)
    }

    /// Port of plain HTTP; 0 if there is none.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_addr().port()
    }

    /// `http://127.0.0.1:<port>`, for all services.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_addr())
    }

    /// Port of HTTPS; 0 if there is none.
    #[must_use]
    pub fn https_port(&self) -> u16 {
        self.server.https.unwrap_or(NOWHERE).port()
    }

    /// `https://localhost:<port>`, for all services.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https_port())
    }

    /// Port that serves only `/_localaws/…`; 0 if there is none.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.server.admin.unwrap_or(NOWHERE).port()
    }

    /// The certificate that clients of HTTPS must trust, as PEM; empty without HTTPS.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.server.ca_pem.as_deref().unwrap_or("")
    }

    /// Makes trouble, and ends it.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults { shared: self.shared.clone(), ports: self.server.ports }
    }

    /// The log groups.
    #[must_use]
    pub fn cloudwatch(&self) -> CloudWatch {
        CloudWatch { shared: self.shared.clone() }
    }

    /// The delivery streams.
    #[must_use]
    pub fn firehose(&self) -> Firehose {
        Firehose { shared: self.shared.clone() }
    }

    /// The data streams.
    #[must_use]
    pub fn kinesis(&self) -> Kinesis {
        Kinesis { shared: self.shared.clone() }
    }

    /// The buckets.
    #[must_use]
    pub fn s3(&self) -> S3Buckets {
        S3Buckets { shared: self.shared.clone() }
    }

    /// The credentials given out.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials { shared: self.shared.clone() }
    }

    /// Everything counted since the start or the last reset.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// The requests to one service, in the order in which their answers were decided; the last 100,000 of all.
    #[must_use]
    pub fn requests(&self, service: Service) -> Vec<RequestRecord> {
        handles::requests_of(&self.shared, Some(service))
    }

    /// Forgets all counts and content; resources, faults and the clock stay as they are.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Looks at the report again and again until `is_so` holds, for at most `patience`; returns the last report.
    ///
    /// # Errors
    ///
    /// The last report, when `is_so` never held.
    pub fn wait_until(
        &self,
        patience: Duration,
        is_so: impl Fn(&Report) -> bool,
    ) -> Result<Report, Box<Report>> {
        let mut left = patience;
        loop {
            let report = self.report();
            if is_so(&report) {
                return Ok(report);
            }
            if left.is_zero() {
                return Err(Box::new(report));
            }
            std::thread::sleep(LOOK_AGAIN);
            left = left.saturating_sub(LOOK_AGAIN);
        }
    }
}

/// How often [`LocalAws::wait_until`] looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Stands for a port that was not asked for.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
