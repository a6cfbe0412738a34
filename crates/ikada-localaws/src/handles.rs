//! What a test holds in its hands to look at one service, or to make trouble.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::counters::RequestRecord;
use crate::faults::{Fault, FaultId, FaultReport};
use crate::gate::Down;
use crate::logs::LogGroup;
use crate::quota::Quota;
use crate::s3::{Object, OpenUpload};
use crate::service::Service;
use crate::shared::Shared;

/// The log groups of a [`LocalAws`](crate::LocalAws).
#[derive(Debug, Clone)]
pub struct CloudWatch {
    pub(crate) shared: Arc<Shared>,
}

impl CloudWatch {
    /// The events of a stream, with their times in milliseconds, in the order in which they were taken.
    #[must_use]
    pub fn events(&self, group: &str, stream: &str) -> Vec<(i64, String)> {
        self.shared.logs.events(group, stream)
    }

    /// All groups and how they were made.
    #[must_use]
    pub fn groups(&self) -> BTreeMap<String, LogGroup> {
        self.shared.logs.groups()
    }

    /// Makes a group; says whether it is new.
    pub fn create_log_group(&self, group: &str) -> bool {
        self.shared.logs.create_group(group, self.shared.now_ms())
    }

    /// Makes a stream, and its group if need be; says whether the stream is new.
    pub fn create_log_stream(&self, group: &str, stream: &str) -> bool {
        self.shared.logs.create_stream(group, stream, self.shared.now_ms())
    }

    /// Removes a group with all it holds; says whether it was there.
    pub fn delete_log_group(&self, group: &str) -> bool {
        self.shared.logs.delete_group(group)
    }

    /// Removes a stream with all it holds; says whether it was there.
    pub fn delete_log_stream(&self, group: &str, stream: &str) -> bool {
        self.shared.logs.delete_stream(group, stream)
    }

    /// Sets after how many days a group's events expire; says whether the group is there.
    pub fn set_retention(&self, group: &str, days: Option<i64>) -> bool {
        self.shared.logs.set_retention(group, days)
    }
}

/// The delivery streams of a [`LocalAws`](crate::LocalAws).
#[derive(Debug, Clone)]
pub struct Firehose {
    pub(crate) shared: Arc<Shared>,
}

impl Firehose {
    /// The records of a stream, decoded from base64, in the order in which they were taken.
    #[must_use]
    pub fn records(&self, stream: &str) -> Vec<Vec<u8>> {
        self.shared.firehose.records(stream)
    }

    /// Names of all streams.
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        self.shared.firehose.names()
    }

    /// Makes a stream; says whether it is new.
    pub fn create_delivery_stream(&self, stream: &str) -> bool {
        self.shared.firehose.create(stream)
    }

    /// Removes a stream with all it holds; says whether it was there.
    pub fn delete_delivery_stream(&self, stream: &str) -> bool {
        self.shared.firehose.delete(stream)
    }
}

/// The data streams of a [`LocalAws`](crate::LocalAws).
#[derive(Debug, Clone)]
pub struct Kinesis {
    pub(crate) shared: Arc<Shared>,
}

impl Kinesis {
    /// The records of a stream, decoded from base64, in the order in which they were taken.
    #[must_use]
    pub fn records(&self, stream: &str) -> Vec<Vec<u8>> {
        self.shared.kinesis.records(stream)
    }

    /// The partition keys of those records.
    #[must_use]
    pub fn partition_keys(&self, stream: &str) -> Vec<String> {
        self.shared.kinesis.partition_keys(stream)
    }

    /// Names of all streams.
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        self.shared.kinesis.names()
    }

    /// Makes a stream; says whether it is new.
    pub fn create_stream(&self, stream: &str) -> bool {
        self.shared.kinesis.create(stream)
    }

    /// Removes a stream with all it holds; says whether it was there.
    pub fn delete_stream(&self, stream: &str) -> bool {
        self.shared.kinesis.delete(stream)
    }
}

/// The buckets of a [`LocalAws`](crate::LocalAws).
#[derive(Debug, Clone)]
pub struct S3Buckets {
    pub(crate) shared: Arc<Shared>,
}

impl S3Buckets {
    /// The objects of a bucket by key.
    #[must_use]
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        self.shared.s3.objects(bucket)
    }

    /// Multipart uploads that are neither completed nor aborted.
    #[must_use]
    pub fn open_uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        self.shared.s3.open_uploads(bucket)
    }

    /// Names of all buckets.
    #[must_use]
    pub fn buckets(&self) -> Vec<String> {
        self.shared.s3.names()
    }

    /// Makes a bucket; says whether it is new.
    pub fn create_bucket(&self, bucket: &str) -> bool {
        self.shared.s3.create(bucket)
    }
}

/// The credentials that a [`LocalAws`](crate::LocalAws) gives out.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(crate) shared: Arc<Shared>,
}

impl Credentials {
    /// How many sets were given out, by STS and by the metadata endpoints.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.shared.issuer.count()
    }

    /// Sets how long credentials live that are given out from now on.
    pub fn set_lifetime(&self, lifetime: std::time::Duration) {
        self.shared.issuer.set_lifetime(lifetime);
    }

    /// Makes everything given out so far expire now.
    pub fn expire_all(&self) {
        self.shared.issuer.expire_all();
    }
}

/// The faults of a [`LocalAws`](crate::LocalAws).
#[derive(Debug, Clone)]
pub struct Faults {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ports: usize,
}

impl Faults {
    /// Adds a fault.
    pub fn add(&self, fault: Fault) -> FaultId {
        self.shared.faults.add(fault)
    }

    /// Removes a fault; says whether it was there.
    pub fn remove(&self, id: FaultId) -> bool {
        self.shared.faults.remove(id)
    }

    /// Removes all faults and quotas; being down stays.
    pub fn clear(&self) {
        self.shared.faults.clear();
    }

    /// Adds a rate limit.
    pub fn quota(&self, quota: Quota) {
        self.shared.faults.add_quota(quota);
    }

    /// The faults that are set, and what they did.
    #[must_use]
    pub fn report(&self) -> Vec<FaultReport> {
        self.shared.faults.report()
    }

    /// Takes all services down; returns when that is so.
    pub fn down(&self, how: Down) {
        self.shared.gate.set(Some(how));
        let ports = if how == Down::Refuse { 0 } else { self.ports };
        self.shared.gate.wait_listening(ports);
    }

    /// Brings the services up again, on the same ports; returns when that is so.
    pub fn up(&self) {
        self.shared.gate.set(None);
        self.shared.gate.wait_listening(self.ports);
    }

    /// Puts the server's clock ahead (or back) of the machine's.
    pub fn shift_clock(&self, milliseconds: i64) {
        self.shared.shift_clock(milliseconds);
    }
}

/// Requests in the order in which their answers were decided.
pub(crate) fn requests_of(shared: &Shared, service: Option<Service>) -> Vec<RequestRecord> {
    let mut requests = shared.counters.requests();
    requests.retain(|request| service.is_none() || request.service == service);
    requests
}
