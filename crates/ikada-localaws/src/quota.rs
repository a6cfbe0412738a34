//! Rates that the services hold their callers to.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::faults::CallSite;
use crate::service::{Service, Trouble};

/// A rate that a service holds its callers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// The service.
    pub service: Service,
    /// The operation; `None`: any.
    #[serde(default)]
    pub operation: Option<String>,
    /// One bucket for each resource instead of one for all.
    #[serde(default)]
    pub per_resource: bool,
    /// Calls per second.
    #[serde(default)]
    pub calls_per_second: Option<f64>,
    /// Request body bytes per second.
    #[serde(default)]
    pub bytes_per_second: Option<f64>,
    /// How many seconds' worth may be used at once.
    #[serde(default = "one_second")]
    pub burst_seconds: f64,
}

fn one_second() -> f64 {
    1.0
}

/// A quota and what is left of it.
#[derive(Debug)]
pub(crate) struct QuotaRule {
    quota: Quota,
    buckets: HashMap<String, Buckets>,
}

#[derive(Debug)]
struct Buckets {
    calls: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
}

/// The answer to a call over the quota.
pub(crate) fn over_quota(service: Service) -> ApiError {
    // Firehose speaks of its throughput limits with ServiceUnavailableException.
    let trouble = if service == Service::Firehose { Trouble::Unavailable } else { Trouble::Throttled };
    service.words(trouble)
}

impl QuotaRule {
    pub(crate) fn new(quota: Quota) -> Self {
        QuotaRule { quota, buckets: HashMap::new() }
    }

    /// Charges a call; says whether it is over the quota.
    pub(crate) fn refuses(&mut self, call: CallSite<'_>) -> bool {
        let quota = &self.quota;
        let applies = quota.service == call.service
            && quota.operation.as_deref().is_none_or(|operation| operation == call.operation);
        if !applies {
            return false;
        }
        let key = if quota.per_resource { call.resource } else { "" };
        let burst = quota.burst_seconds;
        let buckets = self.buckets.entry(key.to_owned()).or_insert_with(|| Buckets {
            calls: quota.calls_per_second.map(|rate| TokenBucket::new(rate, rate * burst)),
            bytes: quota.bytes_per_second.map(|rate| TokenBucket::new(rate, rate * burst)),
        });
        let calls_ok = buckets.calls.as_mut().is_none_or(|bucket| bucket.take(1.0));
        let bytes_ok = buckets.bytes.as_mut().is_none_or(|bucket| bucket.take(call.bytes as f64));
        !(calls_ok && bytes_ok)
    }
}

/// Lets `rate` units pass per second, and up to `burst` at once.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(rate: f64, burst: f64) -> Self {
        let burst = burst.max(1.0);
        TokenBucket { rate, burst, level: burst, at: Instant::now() }
    }

    pub(crate) fn take(&mut self, amount: f64) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.at).as_secs_f64() * self.rate;
        self.at = now;
        self.level = (self.level + gained).min(self.burst);
        // An amount over the whole burst passes when the bucket is full, or it would never pass.
        if self.level < amount.min(self.burst) {
            return false;
        }
        self.level -= amount;
        true
    }
}
