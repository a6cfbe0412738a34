//! What every connection works with.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::counters::{Budget, Counters};
use crate::credentials::Issuer;
use crate::faults::{FaultEngine, mix};
use crate::gate::Gate;
use crate::logs::Logs;
use crate::records::Streams;
use crate::report::Report;
use crate::s3::S3;
use crate::sequence::MarkFinder;
use crate::service::Service;
use crate::spelling::Spelling;

/// The state of a running local AWS.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    pub(crate) faults: FaultEngine,
    pub(crate) counters: Counters,
    pub(crate) budget: Budget,
    pub(crate) finder: Option<MarkFinder>,
    pub(crate) logs: Logs,
    pub(crate) firehose: Streams,
    pub(crate) kinesis: Streams,
    pub(crate) s3: S3,
    pub(crate) issuer: Issuer,
    pub(crate) spelling: Spelling,
    clock_shift_ms: AtomicI64,
    numbers: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let auto = config.auto_create;
        Shared {
            gate: Gate::default(),
            faults: FaultEngine::new(config.seed),
            counters: Counters::default(),
            budget: Budget::new(config.keep_limit),
            finder: config.sequences.then(MarkFinder::default),
            logs: Logs::new(config.create_log_stream_rate),
            firehose: Streams::new(Service::Firehose, auto.delivery_streams),
            kinesis: Streams::new(Service::Kinesis, auto.data_streams),
            s3: S3::new(auto.buckets),
            issuer: Issuer::new(config.credentials_lifetime),
            spelling: Spelling::default(),
            clock_shift_ms: AtomicI64::new(0),
            numbers: AtomicU64::new(1),
            config,
        }
    }

    /// Milliseconds since 1970 by the server's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64 + self.clock_shift()
    }

    /// How far the server's clock has been put ahead, in milliseconds.
    pub(crate) fn clock_shift(&self) -> i64 {
        self.clock_shift_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn shift_clock(&self, ms: i64) {
        self.clock_shift_ms.store(ms, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A number in the form of a Kinesis sequence number: 56 digits, growing.
    pub(crate) fn next_number(&self) -> String {
        format!("4959{:052}", self.count())
    }

    /// An opaque token.
    pub(crate) fn next_token(&self) -> String {
        format!("{:056}", self.count())
    }

    /// A request identifier in the form of a UUID.
    pub(crate) fn next_request_id(&self) -> String {
        let count = self.count();
        let random = mix(self.config.seed ^ count);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{count:012x}",
            random >> 32,
            (random >> 16) & 0xffff,
            (random >> 4) & 0xfff,
            random & 0xfff
        )
    }

    /// An identifier of a multipart upload.
    pub(crate) fn next_upload_id(&self) -> String {
        let count = self.count();
        format!("upload-{count:x}-{:016x}", mix(self.config.seed ^ count))
    }

    pub(crate) fn report(&self) -> Report {
        let mut report = Report {
            operations: self.counters.operations(),
            faults: self.faults.report(),
            connections: self.counters.connections.load(Ordering::Relaxed),
            kept_bytes: self.budget.used(),
            not_kept: self.budget.missed(),
            ..Report::default()
        };
        self.logs.report(&mut report);
        self.firehose.report(&mut report);
        self.kinesis.report(&mut report);
        self.s3.report(&mut report);
        report.sort();
        report
    }

    /// Forgets all counts and content; resources, faults and the clock stay as they are.
    pub(crate) fn reset(&self) {
        self.counters.reset();
        self.logs.reset();
        self.firehose.reset();
        self.kinesis.reset();
        self.s3.reset();
        self.budget.reset();
    }
}
