//! What a local AWS has seen, as plain data that travels as JSON too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::faults::FaultReport;
use crate::sequence::{ClientTrack, Tracker};
use crate::service::Service;

/// Everything that was counted since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Calls by service and operation.
    pub operations: Vec<OperationReport>,
    /// Deliveries by destination.
    pub resources: Vec<ResourceReport>,
    /// Numbered records by destination and client.
    pub sequences: Vec<SequenceReport>,
    /// Numbered records by service and client, all destinations taken together; `resource` is empty.
    pub clients: Vec<SequenceReport>,
    /// Faults that are set, and what they did.
    pub faults: Vec<FaultReport>,
    /// Connections accepted.
    pub connections: u64,
    /// Bytes of content held.
    pub kept_bytes: u64,
    /// Records or objects that were counted but not kept because the limit was reached.
    pub not_kept: u64,
}

/// Calls of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationReport {
    /// The service.
    pub service: Option<Service>,
    /// The operation, like `PutLogEvents`.
    pub operation: String,
    /// Requests whose head arrived.
    pub requests: u64,
    /// Requests answered with success.
    pub succeeded: u64,
    /// Requests answered with an error, by the error's name.
    pub errors: BTreeMap<String, u64>,
    /// Requests whose connection was cut.
    pub cut: u64,
    /// Records (events, objects, parts) taken.
    pub records: u64,
    /// Their bytes, as the service counts them.
    pub record_bytes: u64,
    /// Records refused one by one, in a call that succeeded.
    pub refused_records: u64,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// The longest request body.
    pub largest_body: u64,
    /// Most requests that were in work at the same time.
    pub most_in_flight: u64,
}

/// What one destination took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// The service.
    pub service: Service,
    /// The destination (see [`Service`]).
    pub resource: String,
    /// Calls that delivered to it; for S3: objects it holds.
    pub batches: u64,
    /// Records taken; for S3: objects written.
    pub records: u64,
    /// Their bytes: message text, decoded records, object bodies.
    pub bytes: u64,
    /// Records refused one by one.
    pub refused: u64,
}

/// The numbered records of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceReport {
    /// The service.
    pub service: Service,
    /// The destination (see [`Service`]); empty when all are taken together.
    pub resource: String,
    /// The client named in the marks.
    pub client: String,
    /// Different numbers seen.
    pub distinct: u64,
    /// Times a number came again.
    pub duplicated: u64,
    /// Numbers that came for the first time after a higher one of the same destination.
    pub out_of_order: u64,
    /// Lowest number seen.
    pub first: u64,
    /// Highest number seen.
    pub last: u64,
    /// Ranges in between that never came, both ends included; the first 64.
    pub gaps: Vec<(u64, u64)>,
}

impl SequenceReport {
    /// How many of `expected` different numbers never came.
    #[must_use]
    pub fn lost(&self, expected: u64) -> u64 {
        expected.saturating_sub(self.distinct)
    }

    /// Says whether this number came; with more than 64 gaps, whether it may have.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        let in_gap = self.gaps.iter().any(|(first, last)| (*first..=*last).contains(&number));
        (self.first..=self.last).contains(&number) && !in_gap
    }

    /// Says whether exactly `expected` numbers came, each once.
    #[must_use]
    pub fn is_exactly_once(&self, expected: u64) -> bool {
        self.distinct == expected && self.duplicated == 0
    }
}

impl Report {
    /// The calls of one operation; all zero if there was none.
    #[must_use]
    pub fn operation(&self, service: Service, operation: &str) -> OperationReport {
        let wanted =
            |report: &&OperationReport| report.service == Some(service) && report.operation == operation;
        self.operations.iter().find(wanted).cloned().unwrap_or_default()
    }

    /// What one destination took, if it exists.
    #[must_use]
    pub fn resource(&self, service: Service, resource: &str) -> Option<&ResourceReport> {
        self.resources.iter().find(|report| report.service == service && report.resource == resource)
    }

    /// The numbers of one client at one destination.
    #[must_use]
    pub fn sequence(&self, service: Service, resource: &str, client: &str) -> Option<&SequenceReport> {
        let wanted = |report: &&SequenceReport| {
            report.service == service && report.resource == resource && report.client == client
        };
        self.sequences.iter().find(wanted)
    }

    /// The numbers of one client at all destinations of a service.
    #[must_use]
    pub fn client(&self, service: Service, client: &str) -> Option<&SequenceReport> {
        self.clients.iter().find(|report| report.service == service && report.client == client)
    }

    /// Records taken by a service.
    #[must_use]
    pub fn records(&self, service: Service) -> u64 {
        self.resources.iter().filter(|report| report.service == service).map(|report| report.records).sum()
    }

    /// All requests to a service.
    #[must_use]
    pub fn requests(&self, service: Service) -> u64 {
        let of_service = |report: &&OperationReport| report.service == Some(service);
        self.operations.iter().filter(of_service).map(|report| report.requests).sum()
    }

    /// Adds one destination's numbers, and to `all` for the service's total.
    pub(crate) fn add_tracker(
        &mut self,
        service: Service,
        resource: &str,
        tracker: &Tracker,
        all: &mut Tracker,
    ) {
        let reports =
            tracker.clients().map(|(client, track)| sequence_report(service, resource, client, track));
        self.sequences.extend(reports);
        all.absorb(tracker);
    }

    /// Adds the numbers of a service as a whole, and puts everything in a steady order.
    pub(crate) fn add_total(&mut self, service: Service, all: &Tracker) {
        let reports = all.clients().map(|(client, track)| sequence_report(service, "", client, track));
        self.clients.extend(reports);
    }

    pub(crate) fn sort(&mut self) {
        let by = |report: &SequenceReport| (report.service, report.resource.clone(), report.client.clone());
        self.sequences.sort_by_key(by);
        self.clients.sort_by_key(by);
        self.resources.sort_by_key(|report| (report.service, report.resource.clone()));
    }
}

fn sequence_report(service: Service, resource: &str, client: &str, track: &ClientTrack) -> SequenceReport {
    SequenceReport {
        service,
        resource: resource.to_owned(),
        client: client.to_owned(),
        distinct: track.distinct,
        duplicated: track.duplicated,
        out_of_order: track.out_of_order,
        first: track.first().unwrap_or(0),
        last: track.end.saturating_sub(1),
        gaps: track.gaps(),
    }
}
