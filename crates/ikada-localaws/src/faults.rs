//! Faults on request: what should go wrong, for which calls, and when.
//!
//! A [`Fault`] names a kind of trouble, narrows it to a service, operation or resource, and says when it strikes.
//! Every fault counts the calls it applies to by itself; whether call *n* is struck depends on the seed, the
//! fault's number and *n* alone, so a run can be repeated. Faults are looked at in the order they were added;
//! latencies add up, and the first error, cut or partial failure that strikes is the one that happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::lock::locked;
use crate::quota::{Quota, QuotaRule, over_quota};
use crate::service::{Service, Trouble};

/// One thing that should go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// The service; `None`: any.
    #[serde(default)]
    pub service: Option<Service>,
    /// The operation, like `PutLogEvents`; `None`: any.
    #[serde(default)]
    pub operation: Option<String>,
    /// The resource (see [`Service`]), exact or with a trailing `*`; `None`: any.
    #[serde(default)]
    pub resource: Option<String>,
    /// Which of the matching calls are struck.
    #[serde(default)]
    pub when: When,
}

impl Fault {
    /// A fault that strikes every call.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Fault { kind, service: None, operation: None, resource: None, when: When::Always }
    }

    /// Narrows the fault to one service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Narrows the fault to one operation of one service.
    #[must_use]
    pub fn on(mut self, service: Service, operation: &str) -> Self {
        self.service = Some(service);
        self.operation = Some(operation.into());
        self
    }

    /// Narrows the fault to one resource, or to those that begin with what stands before a trailing `*`.
    #[must_use]
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Says which calls are struck.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The call is handled after a pause of `min_ms` to `max_ms` milliseconds.
    Latency {
        /// Shortest pause.
        min_ms: u64,
        /// Longest pause.
        max_ms: u64,
    },
    /// The call is handled at once and answered after a pause: a client that gives up has delivered.
    LateAnswer {
        /// Shortest pause.
        min_ms: u64,
        /// Longest pause.
        max_ms: u64,
    },
    /// 500 in the service's words; nothing is taken.
    InternalError,
    /// 503 (`ServiceUnavailableException`, S3 `ServiceUnavailable`); nothing is taken.
    Unavailable,
    /// The service's throttling answer (`ThrottlingException`, S3 503 `SlowDown`); nothing is taken.
    Throttle,
    /// The credentials are said to have expired.
    ExpiredToken,
    /// The caller may not do this.
    AccessDenied,
    /// The access key is said to be unknown (`UnrecognizedClientException`, S3 `InvalidAccessKeyId`).
    UnknownKey,
    /// Any other error answer; nothing is taken.
    Error {
        /// HTTP status.
        status: u16,
        /// The error's name.
        code: String,
        /// The error's text.
        #[serde(default)]
        message: String,
    },
    /// Of the records in `PutRecordBatch` or `PutRecords` this share is refused, each drawn by itself.
    Partial {
        /// Share of records refused, 0 to 1.
        fraction: f64,
        /// What the refused records are told.
        #[serde(default)]
        code: PartialCode,
    },
    /// The connection is cut.
    Cut {
        /// At which point.
        at: CutPoint,
    },
    /// Status 200 with an `<Error>` body, as `CompleteMultipartUpload` may answer; nothing is taken.
    ErrorInOk,
}

impl FaultKind {
    /// A fixed pause before the call is handled.
    #[must_use]
    pub fn latency(pause: Duration) -> Self {
        let ms = pause.as_millis() as u64;
        FaultKind::Latency { min_ms: ms, max_ms: ms }
    }
}

/// What a record that was refused alone is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialCode {
    /// `ServiceUnavailableException` (Firehose), `ProvisionedThroughputExceededException` (Kinesis).
    #[default]
    Throttled,
    /// `InternalFailure`.
    InternalFailure,
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutPoint {
    /// After the request's head, before its body is read. With a resource given, only S3 calls know it so early;
    /// calls of the other services are cut after the body.
    BeforeBody,
    /// After the body was read; nothing is taken and nothing answered.
    AfterBody,
    /// After the data was taken, before the answer.
    AfterTaking,
    /// In the middle of the answer; the data was taken.
    MidAnswer,
}

/// Which of the calls that a fault applies to are struck.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// Each with this probability, 0 to 1.
    Probability(f64),
    /// The first so many.
    First(u64),
    /// Every k-th: for 3, the third, sixth, ninth …
    Every(u64),
    /// Only this one, counted from 1.
    Nth(u64),
}

/// Names a fault that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FaultId(pub u64);

/// A fault with what it has done so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its name.
    pub id: FaultId,
    /// The fault itself.
    pub fault: Fault,
    /// Calls it applied to.
    pub matched: u64,
    /// Calls it struck.
    pub struck: u64,
}

/// What is to happen to one call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Default)]
pub(crate) enum Verdict {
    #[default]
    Handle,
    Fail(ApiError),
    Cut(CutPoint),
    Partial(Partial),
    ErrorInOk,
}

/// Decides record by record who is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partial {
    fraction: f64,
    pub(crate) code: PartialCode,
    seed: u64,
}

impl Partial {
    pub(crate) fn refuses(&self, index: usize) -> bool {
        unit(mix(self.seed ^ mix(index as u64))) < self.fraction
    }
}

/// A call as faults see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallSite<'a> {
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) bytes: usize,
}

/// All faults and quotas of a server.
#[derive(Debug)]
pub(crate) struct FaultEngine {
    seed: u64,
    armed: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    rules: Vec<Rule>,
    quotas: Vec<QuotaRule>,
}

#[derive(Debug)]
struct Rule {
    id: FaultId,
    fault: Fault,
    matched: u64,
    struck: u64,
}

impl FaultEngine {
    pub(crate) fn new(seed: u64) -> Self {
        FaultEngine { seed, armed: AtomicBool::new(false), inner: Mutex::default() }
    }

    pub(crate) fn add(&self, fault: Fault) -> FaultId {
        let mut inner = locked(&self.inner);
        inner.next_id += 1;
        let id = FaultId(inner.next_id);
        inner.rules.push(Rule { id, fault, matched: 0, struck: 0 });
        self.armed.store(true, Ordering::Release);
        id
    }

    pub(crate) fn remove(&self, id: FaultId) -> bool {
        let mut inner = locked(&self.inner);
        let before = inner.rules.len();
        inner.rules.retain(|rule| rule.id != id);
        before != inner.rules.len()
    }

    pub(crate) fn clear(&self) {
        let mut inner = locked(&self.inner);
        inner.rules.clear();
        inner.quotas.clear();
        self.armed.store(false, Ordering::Release);
    }

    pub(crate) fn add_quota(&self, quota: Quota) {
        let mut inner = locked(&self.inner);
        inner.quotas.push(QuotaRule::new(quota));
        self.armed.store(true, Ordering::Release);
    }

    pub(crate) fn report(&self) -> Vec<FaultReport> {
        let inner = locked(&self.inner);
        let of = |rule: &Rule| FaultReport {
            id: rule.id,
            fault: rule.fault.clone(),
            matched: rule.matched,
            struck: rule.struck,
        };
        inner.rules.iter().map(of).collect()
    }

    /// Says whether the call is cut before its body is read.
    pub(crate) fn cuts_before_body(&self, call: CallSite<'_>) -> bool {
        if !self.armed.load(Ordering::Acquire) {
            return false;
        }
        let mut inner = locked(&self.inner);
        let mut is_cut = false;
        for rule in inner.rules.iter_mut().filter(|rule| rule.is_for_head(call.service)) {
            is_cut |= rule.strikes(self.seed, call).is_some();
        }
        is_cut
    }

    /// Decides what happens to a call whose body has been read.
    pub(crate) fn plan(&self, call: CallSite<'_>) -> Plan {
        let mut plan = Plan::default();
        if !self.armed.load(Ordering::Acquire) {
            return plan;
        }
        let mut inner = locked(&self.inner);
        if inner.quotas.iter_mut().any(|rule| rule.refuses(call)) {
            plan.verdict = Verdict::Fail(over_quota(call.service));
        }
        for rule in inner.rules.iter_mut().filter(|rule| !rule.is_for_head(call.service)) {
            let Some(draw) = rule.strikes(self.seed, call) else { continue };
            rule.fault.kind.enter(&mut plan, call.service, draw);
        }
        plan
    }
}

impl Rule {
    fn is_for_head(&self, service: Service) -> bool {
        let early = self.fault.kind == FaultKind::Cut { at: CutPoint::BeforeBody };
        early && (self.fault.resource.is_none() || service == Service::S3)
    }

    /// Counts the call if the fault applies; returns a random draw if it strikes.
    fn strikes(&mut self, seed: u64, call: CallSite<'_>) -> Option<u64> {
        if !self.fault.applies(call) {
            return None;
        }
        self.matched += 1;
        let draw = mix(seed ^ mix(self.id.0) ^ mix(self.matched.wrapping_mul(0x9e37_79b9)));
        let struck = match self.fault.when {
            When::Always => true,
            When::Probability(share) => unit(draw) < share,
            When::First(count) => self.matched <= count,
            When::Every(step) => step > 0 && self.matched.is_multiple_of(step),
            When::Nth(one) => self.matched == one,
        };
        self.struck += u64::from(struck);
        struck.then(|| mix(draw))
    }
}

impl Fault {
    fn applies(&self, call: CallSite<'_>) -> bool {
        self.service.is_none_or(|service| service == call.service)
            && self.operation.as_deref().is_none_or(|operation| operation == call.operation)
            && self.resource.as_deref().is_none_or(|pattern| match pattern.strip_suffix('*') {
                Some(start) => call.resource.starts_with(start),
                None => call.resource == pattern,
            })
    }
}

impl FaultKind {
    fn enter(&self, plan: &mut Plan, service: Service, draw: u64) {
        let verdict = match self {
            FaultKind::Latency { min_ms, max_ms } => {
                plan.before += pause(*min_ms, *max_ms, draw);
                return;
            }
            FaultKind::LateAnswer { min_ms, max_ms } => {
                plan.after += pause(*min_ms, *max_ms, draw);
                return;
            }
            FaultKind::InternalError => Verdict::Fail(service.words(Trouble::Internal)),
            FaultKind::Unavailable => Verdict::Fail(service.words(Trouble::Unavailable)),
            FaultKind::Throttle => Verdict::Fail(service.words(Trouble::Throttled)),
            FaultKind::ExpiredToken => Verdict::Fail(service.words(Trouble::ExpiredToken)),
            FaultKind::AccessDenied => Verdict::Fail(service.words(Trouble::AccessDenied)),
            FaultKind::UnknownKey => Verdict::Fail(service.words(Trouble::UnknownKey)),
            FaultKind::Error { status, code, message } => {
                Verdict::Fail(ApiError::new(*status, code.clone(), message.clone()))
            }
            FaultKind::Partial { fraction, code } => {
                Verdict::Partial(Partial { fraction: *fraction, code: *code, seed: draw })
            }
            FaultKind::Cut { at } => Verdict::Cut(*at),
            FaultKind::ErrorInOk => Verdict::ErrorInOk,
        };
        if matches!(plan.verdict, Verdict::Handle) {
            plan.verdict = verdict;
        }
    }
}

fn pause(min_ms: u64, max_ms: u64, draw: u64) -> Duration {
    let span = max_ms.saturating_sub(min_ms);
    Duration::from_micros(min_ms * 1000 + (unit(draw) * (span * 1000) as f64) as u64)
}

/// SplitMix64's finisher: turns any number into one that looks random.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Maps a draw to 0 ≤ x < 1.
fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CallSite<'static> {
        CallSite { service: Service::Firehose, operation: "PutRecordBatch", resource: "web-1", bytes: 10 }
    }

    fn failures(engine: &FaultEngine, calls: usize) -> Vec<usize> {
        (1..=calls).filter(|_| matches!(engine.plan(call()).verdict, Verdict::Fail(_))).collect()
    }

    fn struck(when: When) -> Vec<usize> {
        let engine = FaultEngine::new(1);
        engine.add(Fault::new(FaultKind::Throttle).when(when));
        let mut struck = Vec::new();
        for n in 1..=9 {
            if matches!(engine.plan(call()).verdict, Verdict::Fail(_)) {
                struck.push(n);
            }
        }
        struck
    }

    #[test]
    fn first_every_and_nth_strike_the_calls_they_name() {
        assert_eq!(struck(When::First(2)), [1, 2]);
        assert_eq!(struck(When::Every(4)), [4, 8]);
        assert_eq!(struck(When::Nth(3)), [3]);
        assert_eq!(struck(When::Always).len(), 9);
    }

    #[test]
    fn a_probability_is_kept_and_the_same_seed_gives_the_same_run() {
        let run = |seed| {
            let engine = FaultEngine::new(seed);
            engine.add(Fault::new(FaultKind::Throttle).when(When::Probability(0.3)));
            failures(&engine, 10_000)
        };
        let first = run(5);
        assert!((2_800..3_200).contains(&first.len()), "{}", first.len());
        assert_eq!(first, run(5));
        assert_ne!(first, run(6));
    }

    #[test]
    fn a_fault_for_other_calls_is_not_even_counted() {
        let engine = FaultEngine::new(1);
        engine.add(Fault::new(FaultKind::Throttle).service(Service::S3));
        engine.add(Fault::new(FaultKind::Throttle).on(Service::Firehose, "PutRecord"));
        engine.add(Fault::new(FaultKind::Throttle).resource("web-2"));
        assert!(failures(&engine, 5).is_empty());
        assert!(engine.report().iter().all(|report| report.matched == 0));
        engine.add(Fault::new(FaultKind::Throttle).resource("web-*"));
        assert_eq!(failures(&engine, 5).len(), 5);
    }

    #[test]
    fn a_fault_reads_back_from_its_json() {
        let json = r#"{"kind":"cut","at":"mid_answer","service":"logs","when":{"every":3}}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        let cut = FaultKind::Cut { at: CutPoint::MidAnswer };
        assert_eq!(fault, Fault::new(cut).service(Service::Logs).when(When::Every(3)));
        assert_eq!(serde_json::from_str::<Fault>(&serde_json::to_string(&fault).unwrap()).unwrap(), fault);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_lets_its_rate_pass() {
        let engine = FaultEngine::new(1);
        engine.add_quota(Quota {
            service: Service::Firehose,
            operation: None,
            per_resource: true,
            calls_per_second: Some(10.0),
            bytes_per_second: None,
            burst_seconds: 1.0,
        });
        assert_eq!(failures(&engine, 15).len(), 5);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(failures(&engine, 15).len(), 5);
    }
}
