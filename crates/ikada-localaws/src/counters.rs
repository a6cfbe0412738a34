//! Counts calls, keeps a log of them, and limits what is held in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{Call, Reply};
use crate::lock::locked;
use crate::report::OperationReport;
use crate::service::Service;

/// Most requests that the request log names.
const MAX_LOG: usize = 100_000;

/// One request as the request log has it.
#[derive(Debug, Clone, Default)]
pub struct RequestRecord {
    /// The service.
    pub service: Option<Service>,
    /// The operation, like `PutLogEvents`.
    pub operation: String,
    /// The resource (see [`Service`]).
    pub resource: String,
    /// Status of the answer; 0 if the connection was cut instead.
    pub status: u16,
    /// Name of the error, if it was one.
    pub error: Option<String>,
    /// Records taken.
    pub records: u64,
    /// Length of the request body.
    pub body_bytes: u64,
    /// Milliseconds since 1970 at which the body had arrived.
    pub at_ms: i64,
    /// HTTP method, with [`Config::capture`](crate::Config::capture).
    pub method: String,
    /// Path and query, with capture.
    pub target: String,
    /// Headers in order, with capture.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, with capture.
    pub body: Vec<u8>,
}

impl RequestRecord {
    /// The value of a header, with [`Config::capture`](crate::Config::capture).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Copies the request's head and body into the record.
    pub(crate) fn capture(&mut self, call: &Call) {
        self.method = call.head.method.to_string();
        self.target = call.head.uri.to_string();
        let owned = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.as_bytes().to_vec())
        };
        self.headers = call.head.headers.iter().map(owned).collect();
        self.body = call.body.clone();
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ending<'a> {
    Answered(&'a Reply),
    /// Cut; the reply tells what had been taken.
    Cut(Option<&'a Reply>),
}

/// Counters of every operation, and the request log.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: Mutex<BTreeMap<(Service, String), Operation>>,
    log: Mutex<VecDeque<RequestRecord>>,
    pub(crate) connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Operation {
    report: OperationReport,
    in_flight: u64,
}

impl Counters {
    /// Notes that a request's head has arrived.
    pub(crate) fn begin(&self, service: Service, operation: &str) {
        let mut operations = locked(&self.operations);
        let entry = entry(&mut operations, service, operation);
        entry.report.requests += 1;
        entry.in_flight += 1;
        entry.report.most_in_flight = entry.report.most_in_flight.max(entry.in_flight);
    }

    /// Notes how it ended.
    pub(crate) fn end(&self, service: Service, operation: &str, body_bytes: u64, ending: Ending<'_>) {
        let mut operations = locked(&self.operations);
        let entry = entry(&mut operations, service, operation);
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let report = &mut entry.report;
        report.body_bytes += body_bytes;
        report.largest_body = report.largest_body.max(body_bytes);
        let reply = match ending {
            Ending::Cut(reply) => {
                report.cut += 1;
                reply
            }
            Ending::Answered(reply) => {
                match &reply.error {
                    Some(code) => *report.errors.entry(code.clone()).or_default() += 1,
                    None => report.succeeded += 1,
                }
                Some(reply)
            }
        };
        let Some(reply) = reply else { return };
        report.records += reply.taken.records;
        report.record_bytes += reply.taken.bytes;
        report.refused_records += reply.taken.refused;
    }

    pub(crate) fn log(&self, record: RequestRecord) {
        let mut log = locked(&self.log);
        if log.len() == MAX_LOG {
            log.pop_front();
        }
        log.push_back(record);
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        locked(&self.log).iter().cloned().collect()
    }

    pub(crate) fn operations(&self) -> Vec<OperationReport> {
        locked(&self.operations).values().map(|operation| operation.report.clone()).collect()
    }

    /// Forgets all counts; calls in work stay known as such.
    pub(crate) fn reset(&self) {
        for ((service, name), operation) in locked(&self.operations).iter_mut() {
            operation.report = OperationReport {
                service: Some(*service),
                operation: name.clone(),
                ..OperationReport::default()
            };
        }
        locked(&self.log).clear();
        self.connections.store(0, Ordering::Relaxed);
    }
}

fn entry<'a>(
    operations: &'a mut BTreeMap<(Service, String), Operation>,
    service: Service,
    name: &str,
) -> &'a mut Operation {
    operations.entry((service, name.to_owned())).or_insert_with(|| Operation {
        report: OperationReport {
            service: Some(service),
            operation: name.to_owned(),
            ..OperationReport::default()
        },
        in_flight: 0,
    })
}

/// Limits the bytes of content held.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
    missed: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Budget { limit, used: AtomicU64::new(0), missed: AtomicU64::new(0) }
    }

    /// Takes room for `bytes` if there is some; counts `items` as missed if not.
    pub(crate) fn take(&self, bytes: u64, items: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if !taken && self.limit > 0 {
            self.missed.fetch_add(items, Ordering::Relaxed);
        }
        taken
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.used.store(0, Ordering::Relaxed);
        self.missed.store(0, Ordering::Relaxed);
    }
}
