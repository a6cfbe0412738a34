//! Where records wait, and how much of them: what `[SERVICE]` and the instances say about memory and disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ikada_aws::letters::LetterPlace;
use ikada_config::{ServiceOptions, StorageSync};
use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_engine::{Limits, OverflowPolicy, Pipeline, Storage};
use ikada_options::{InputCommon, Overflow, StorageType};
use ikada_plugin::{InputMemory, LetterStore};
use ikada_store::chunks::Sync;

use crate::memory;

/// What an output's queue holds at least, however little memory there is.
const LEAST: usize = 1 << 20;

/// The disk, if one is named.
pub(crate) fn storage(service: &ServiceOptions) -> Option<Storage> {
    let sync = match service.storage_sync {
        StorageSync::Normal => Sync::Normal,
        StorageSync::Full => Sync::Full,
    };
    service.storage_path.as_ref().map(|path| Storage { path: path.value.clone(), sync })
}

/// Dead letters of each output take at most this if the configuration does not say.
const LETTERS: u64 = 100_000_000;

/// Where dead letters are kept and how many bytes of them, if they are.
pub(crate) fn dead_letters(service: &ServiceOptions, found: &mut Diagnostics) -> Option<(PathBuf, u64)> {
    let go_far = service.ikada_dlq_s3_bucket.is_some();
    if !service.storage_keep_rejected && !go_far {
        return None;
    }
    let path = &service.storage_rejected_path;
    let path = match &service.storage_path {
        Some(root) => root.value.join(path),
        None if path.is_absolute() => path.clone(),
        // They wait in memory.
        None if go_far => return None,
        None => {
            let message = "`storage.keep.rejected` has no effect: there is no directory";
            let help = "say where: `storage.path /var/lib/ikada` in [SERVICE]";
            found.push(Diagnostic::warning(codes::NO_EFFECT, message).help(help));
            return None;
        }
    };
    let limit = service.storage_rejected_limit.map_or(Some(LETTERS), |limit| limit.0);
    Some((path, limit.unwrap_or(u64::MAX)))
}

/// The bucket that dead letters are brought to, if they are.
pub(crate) fn far_letters(
    service: &ServiceOptions,
    hostname: &str,
    found: &mut Diagnostics,
) -> Option<Arc<dyn LetterStore>> {
    let place = LetterPlace {
        bucket: service.ikada_dlq_s3_bucket.clone()?,
        prefix: format!("{}/{}", service.ikada_dlq_s3_prefix.trim_end_matches('/'), hostname),
        region: service.ikada_dlq_s3_region.clone(),
        endpoint: service.ikada_dlq_s3_endpoint.clone(),
        role_arn: service.ikada_dlq_s3_role_arn.clone(),
    };
    Some(Arc::new(place.open(found)?))
}

/// Bounds and times. `is_set` says whether the configuration writes a key of `[SERVICE]`.
pub(crate) fn limits(service: &ServiceOptions, is_set: impl Fn(&str) -> bool, outputs: usize) -> Limits {
    let usual = Limits::default();
    let queue_full = (budget(service) / outputs.max(1)).max(LEAST);
    let written = |key: &str, value: Duration, usual: Duration| if is_set(key) { value } else { usual };
    Limits {
        queue_full,
        // A part of the memory is left for batches on their way.
        queue_pace: usual.queue_pace.min(queue_full / 2),
        stall: service.ikada_stall_limit.0,
        backoff_base: written("scheduler.base", service.scheduler_base.0, usual.backoff_base),
        backoff_cap: written("scheduler.cap", service.scheduler_cap.0, usual.backoff_cap),
        ..usual
    }
}

/// Memory for all that waits.
fn budget(service: &ServiceOptions) -> usize {
    match &service.ikada_memory_limit {
        Some(limit) if limit.value.0 > 0 => usize::try_from(limit.value.0).unwrap_or(usize::MAX),
        _ => memory::budget(),
    }
}

/// The part of it that inputs may take for what they have not handed over. What they take of it, the queues have less.
pub(crate) fn input_memory(service: &ServiceOptions) -> InputMemory {
    InputMemory::new((budget(service) / 4).max(LEAST / 4), service.ikada_stall_limit.0)
}

/// Says where records wait when an output is stuck, for a start's first lines.
pub(crate) fn told(pipeline: &Pipeline) -> String {
    let limits = &pipeline.limits;
    let (kilobytes, seconds) = (limits.queue_full / 1000, limits.stall.as_secs_f64());
    let stuck = format!(
        "when an output is stuck for {seconds} s, records wait in {kilobytes} kB of memory for each output"
    );
    match &pipeline.storage {
        Some(storage) => format!("{stuck}, then in {}", storage.path.display()),
        None => format!("{stuck}, then the oldest are dropped and counted: there is no `storage.path`"),
    }
}

/// Whether an input's chunks are put on disk as they come, and what happens to them when there is no room.
pub(crate) fn of_input(
    common: &InputCommon,
    service: &ServiceOptions,
    found: &mut Diagnostics,
) -> (bool, OverflowPolicy) {
    let inherited = service.storage_type.as_ref().filter(|_| service.storage_inherit);
    let kind = common.storage_type.as_ref().or(inherited);
    let durable = kind.is_some_and(|kind| kind.value == StorageType::Filesystem);
    if let Some(kind) = kind.filter(|_| durable && service.storage_path.is_none()) {
        let message = "`storage.type filesystem` needs a directory, and there is none";
        let help = "say where: `storage.path /var/lib/ikada` in [SERVICE]";
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(kind.span).help(help));
    }
    let policy = match common.overflow {
        Some(Overflow::Spill) => OverflowPolicy::Spill,
        Some(Overflow::DropOldest) => OverflowPolicy::DropOldest,
        Some(Overflow::DropNewest) => OverflowPolicy::DropNewest,
        Some(Overflow::Block) => OverflowPolicy::Block,
        None if kind.is_some_and(|kind| kind.value == StorageType::MemoryRing) => OverflowPolicy::DropOldest,
        None => OverflowPolicy::Spill,
    };
    (durable, policy)
}
