//! `[SERVICE]`: settings of the whole process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{
    ByteSize, Choice, LogLevel, OptionValue, Options, Property, PropertyBag, Seconds, SizeLimit, ValueError,
    nearest, quoted_list,
};

use crate::document::{Document, SectionKind};

/// Settings of the whole process.
#[derive(Debug, Clone, Options)]
#[options(service)]
pub struct ServiceOptions {
    /// Time between two deliveries of what has been gathered.
    #[option(default = "1")]
    pub flush: FlushInterval,
    /// Time that deliveries have at the end; -1 waits until everything is delivered.
    #[option(default = "5")]
    pub grace: Grace,
    /// Runs in the background. `on` is not supported: the process stays in the foreground, and a warning says so.
    #[option(default = "off")]
    pub daemon: Spanned<bool>,
    /// How much is logged.
    #[option(default = "info")]
    pub log_level: LogLevel,
    /// File to log into; the standard error when it is not given.
    #[option(example = "/var/log/ikada.log")]
    pub log_file: Option<Spanned<PathBuf>>,
    /// File with parser definitions; may be given more than once.
    #[option(example = "parsers.conf")]
    pub parsers_file: Vec<Spanned<PathBuf>>,
    /// File that names shared objects; may be given more than once. They are not loaded, and a warning says so.
    #[option(example = "plugins.conf")]
    pub plugins_file: Vec<Spanned<PathBuf>>,
    /// File with stream tasks. Not supported.
    #[option(example = "streams.conf")]
    pub streams_file: Option<Spanned<PathBuf>>,
    /// Serves health and metrics over HTTP.
    #[option(default = "off")]
    pub http_server: bool,
    /// Address that the HTTP server listens on.
    #[option(default = "0.0.0.0")]
    pub http_listen: String,
    /// Port that the HTTP server listens on.
    #[option(default = "2020")]
    pub http_port: u16,
    /// Judges health by errors and failed retries.
    #[option(default = "off")]
    pub health_check: bool,
    /// Errors within the period beyond which the process is unhealthy.
    #[option(default = "5")]
    pub hc_errors_count: u64,
    /// Failed retries within the period beyond which the process is unhealthy.
    #[option(default = "5")]
    pub hc_retry_failure_count: u64,
    /// Seconds that are looked back on for health.
    #[option(default = "60")]
    pub hc_period: u64,
    /// Reads the configuration anew when it is told to. `on` is not supported yet, and a warning says so.
    #[option(default = "off")]
    pub hot_reload: Spanned<bool>,
    /// Has no effect: a reload waits for everything that is under way.
    #[option(name = "hot_reload.ensure_thread_safety", no_effect)]
    pub hot_reload_ensure_thread_safety: Option<bool>,
    /// Has no effect: there is no reload yet.
    #[option(name = "hot_reload.timeout", no_effect)]
    pub hot_reload_timeout: Option<Seconds>,
    /// Shortest time before a delivery is tried again.
    #[option(name = "scheduler.base", default = "5")]
    pub scheduler_base: Seconds,
    /// Longest time before a delivery is tried again.
    #[option(name = "scheduler.cap", default = "2000")]
    pub scheduler_cap: Seconds,
    /// Directory for chunks that wait for their outputs on disk; it is made if it is missing.
    ///
    /// Inputs with `storage.type filesystem` are written there as their chunks come; of other inputs what does not fit into memory
    /// while an output makes no progress, and what a stop leaves. Chunks of an earlier run are delivered first. Chunk files of
    /// Fluent Bit are left alone.
    #[option(name = "storage.path", example = "/var/lib/ikada")]
    pub storage_path: Option<Spanned<PathBuf>>,
    /// When written chunks are on the disk itself: `full` waits for it, so that they survive a loss of power.
    #[option(name = "storage.sync", default = "normal")]
    pub storage_sync: StorageSync,
    /// Has no effect: chunk files always carry sums, and those that do not fit are set aside.
    #[option(name = "storage.checksum", no_effect)]
    pub storage_checksum: Option<bool>,
    /// Has no effect: the metrics are always there.
    #[option(name = "storage.metrics", no_effect)]
    pub storage_metrics: Option<bool>,
    /// Has no effect: memory is bounded in bytes.
    #[option(name = "storage.max_chunks_up", no_effect)]
    pub storage_max_chunks_up: Option<u64>,
    /// Has no effect: chunks of an earlier run are read one by one, when it is their turn.
    #[option(name = "storage.backlog.mem_limit", no_effect)]
    pub storage_backlog_mem_limit: Option<ByteSize>,
    /// Has no effect: at a stop all that waits is delivered as far as the grace allows, chunks of an earlier run too.
    #[option(name = "storage.backlog.flush_on_shutdown", no_effect)]
    pub storage_backlog_flush_on_shutdown: Option<bool>,
    /// Has no effect: damaged chunk files are set aside in a directory `damaged`.
    #[option(name = "storage.delete_irrecoverable_chunks", no_effect)]
    pub storage_delete_irrecoverable_chunks: Option<bool>,
    /// Has no effect: chunk files are never larger than what is in them.
    #[option(name = "storage.trim_files", no_effect)]
    pub storage_trim_files: Option<bool>,
    /// Where records of inputs wait that do not say it themselves, if `storage.inherit` is on.
    #[option(name = "storage.type", example = "filesystem")]
    pub storage_type: Option<Spanned<ikada_options::StorageType>>,
    /// Lets `storage.type` of this section hold for inputs that have none.
    #[option(name = "storage.inherit", default = "off")]
    pub storage_inherit: bool,
    /// Keeps records that an output refuses, gives up or cannot send, as dead letters.
    #[option(name = "storage.keep.rejected", default = "off")]
    pub storage_keep_rejected: bool,
    /// Directory of the dead letters; a name without `/` at its start lies below `storage.path`.
    #[option(name = "storage.rejected.path", default = "rejected")]
    pub storage_rejected_path: PathBuf,
    /// Bytes of dead letters that are kept at most; the oldest make room. 100 MiB when it is not given.
    #[option(name = "storage.rejected.limit", example = "500M")]
    pub storage_rejected_limit: Option<SizeLimit>,
    /// Bucket that dead letters are brought to, for tasks whose disk goes with them. They are kept then whatever `storage.keep.rejected` says.
    ///
    /// Each becomes an object with a note in JSON beside it: `PREFIX/HOST/outputs/OUTPUT/FILE`. `aws s3 sync s3://BUCKET/PREFIX/HOST DIR` makes a
    /// directory of them that `ikada dlq list|show|export|replay --path DIR` reads. With a directory (`storage.path`) they wait there until S3 has them,
    /// over a restart too; without one they wait in memory, 8 MiB at most. The role needs `s3:PutObject`.
    #[option(name = "ikada.dlq_s3_bucket", example = "dead-letters-prod")]
    pub ikada_dlq_s3_bucket: Option<Spanned<String>>,
    /// What the names of these objects begin with.
    #[option(name = "ikada.dlq_s3_prefix", default = "dead-letters")]
    pub ikada_dlq_s3_prefix: String,
    /// Region of that bucket. Without it, `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile and the instance's metadata are asked in this order.
    #[option(name = "ikada.dlq_s3_region", example = "eu-central-1")]
    pub ikada_dlq_s3_region: Option<Spanned<String>>,
    /// Host of S3 for these objects, for VPC endpoints and stand-ins: `host`, `host:port`, or a URL of scheme, host and port.
    #[option(
        name = "ikada.dlq_s3_endpoint",
        example = "https://bucket.vpce-0123.s3.eu-central-1.vpce.amazonaws.com"
    )]
    pub ikada_dlq_s3_endpoint: Option<Spanned<String>>,
    /// ARN of a role to take on before they are written.
    #[option(name = "ikada.dlq_s3_role_arn", example = "arn:aws:iam::123456789012:role/dead-letters")]
    pub ikada_dlq_s3_role_arn: Option<Spanned<String>>,
    /// Memory that records may take while they wait, all inputs and outputs together.
    ///
    /// By default half of the container's limit or of the machine's memory, 256 MiB at most.
    #[option(name = "ikada.memory_limit", example = "128M")]
    pub ikada_memory_limit: Option<Spanned<ByteSize>>,
    /// How long an output may make no progress before inputs that may not block go on reading.
    #[option(name = "ikada.stall_limit", default = "1")]
    pub ikada_stall_limit: Seconds,
    /// Has no effect: the system resolves names.
    #[option(name = "dns.mode", no_effect)]
    pub dns_mode: Option<String>,
    /// Has no effect: the system resolves names.
    #[option(name = "dns.resolver", no_effect)]
    pub dns_resolver: Option<String>,
    /// Has no effect: all addresses of a name are tried.
    #[option(name = "dns.prefer_ipv4", no_effect)]
    pub dns_prefer_ipv4: Option<bool>,
    /// Has no effect: all addresses of a name are tried.
    #[option(name = "dns.prefer_ipv6", no_effect)]
    pub dns_prefer_ipv6: Option<bool>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive", no_effect)]
    pub flush_adaptive: Option<bool>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.min_interval", no_effect)]
    pub flush_adaptive_min_interval: Option<f64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.max_interval", no_effect)]
    pub flush_adaptive_max_interval: Option<f64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.low_pressure", no_effect)]
    pub flush_adaptive_low_pressure: Option<f64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.medium_pressure", no_effect)]
    pub flush_adaptive_medium_pressure: Option<f64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.high_pressure", no_effect)]
    pub flush_adaptive_high_pressure: Option<f64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.up_steps", no_effect)]
    pub flush_adaptive_up_steps: Option<u64>,
    /// Has no effect: deliveries follow the load by themselves.
    #[option(name = "flush.adaptive.down_steps", no_effect)]
    pub flush_adaptive_down_steps: Option<u64>,
    /// Has no effect: what is no number is always written as null.
    #[option(name = "json.convert_nan_to_null", no_effect)]
    pub json_convert_nan_to_null: Option<bool>,
    /// Writes letters beyond ASCII as `\u` escapes.
    #[option(name = "json.escape_unicode", example = "off")]
    pub json_escape_unicode: Option<bool>,
    /// Has no effect yet: no lines are joined.
    #[option(name = "multiline_buffer_limit", no_effect)]
    pub multiline_buffer_limit: Option<BinarySize>,
    /// Has no effect: there are no coroutines.
    #[option(no_effect)]
    pub coro_stack_size: Option<u64>,
    /// Has no effect: `ikada test` shows the way of a record.
    #[option(no_effect)]
    pub enable_chunk_trace: Option<bool>,
    /// Has no effect: stream tasks compare text as text.
    #[option(name = "sp.convert_from_str_to_num", no_effect)]
    pub sp_convert_from_str_to_num: Option<bool>,
    /// Has no effect: one cryptography is used always.
    #[option(name = "security.fips_mode", no_effect)]
    pub security_fips_mode: Option<bool>,
}

/// Time between two flushes: more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushInterval(pub Duration);

impl OptionValue for FlushInterval {
    const KIND: &'static str = "time";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let exponent = with_exponent(text).map(|seconds| format!("{seconds:.9}"));
        let Seconds(interval) = Seconds::parse_value(exponent.as_deref().unwrap_or(text))?;
        if interval.is_zero() {
            return Err(ValueError::new("is no time at all").help("type seconds, more than 0: `1` or `0.5`"));
        }
        Ok(FlushInterval(interval))
    }
}

/// A number as `1e-1`, which Fluent Bit takes for this one time.
fn with_exponent(text: &str) -> Option<f64> {
    let (number, exponent) = text.split_once(['e', 'E'])?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_number && exponent.parse::<i16>().is_ok()).then(|| text.parse().ok())?
}

/// Time that deliveries have at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// This long.
    Within(Duration),
    /// Until everything is delivered: `-1`.
    UntilDelivered,
}

impl OptionValue for Grace {
    const KIND: &'static str = "time or `-1`";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        match i64::parse_value(text) {
            Ok(-1) => Ok(Grace::UntilDelivered),
            _ => Seconds::parse_value(text).map(|Seconds(time)| Grace::Within(time)),
        }
    }
}

/// How what is stored reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum StorageSync {
    /// When the system writes it.
    Normal,
    /// At once.
    Full,
}

/// A number of bytes with binary units, for the one option that has them: `2M` and `2MiB` are 2,097,152.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinarySize(pub u64);

impl OptionValue for BinarySize {
    const KIND: &'static str = "binary size";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new("is not a size").help("type a number with `K`, `M` or `G`: `2M`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(1 << shift).map(BinarySize).ok_or_else(error)
    }
}

/// Reads all `[SERVICE]` sections as one: what a later section says wins, and files add up.
///
/// A value that is wrong is told and counts as not given; all others hold.
pub(crate) fn service_of(document: &Document, diags: &mut Diagnostics) -> Option<ServiceOptions> {
    let mut bag = merged(document);
    let options = ServiceOptions::parse(&mut bag, diags);
    report_unknown(&bag, diags);
    // What is wrong has been told.
    options.or_else(|| ServiceOptions::parse(&mut sound(&bag), &mut Diagnostics::new()))
}

/// The bag without the values that their options do not take, and with nothing taken.
fn sound(bag: &PropertyBag) -> PropertyBag {
    let set = ServiceOptions::set();
    let is_sound = |property: &&Property| {
        set.find(&property.key.value).is_none_or(|spec| (spec.check)(&property.value.value).is_ok())
    };
    let properties = bag.properties().iter().filter(is_sound).cloned().collect();
    PropertyBag::new(bag.section(), bag.header(), properties)
}

fn merged(document: &Document) -> PropertyBag {
    let set = ServiceOptions::set();
    let repeatable = |name: &str| set.find(name).is_some_and(|spec| spec.repeatable);
    let sections: Vec<_> = document.of_kind(SectionKind::Service).collect();
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, section) in sections.iter().enumerate() {
        for property in &section.properties {
            last.insert(property.name(), at);
        }
    }
    let counts = |at: usize, property: &Property| {
        let name = property.name();
        repeatable(&name) || last.get(&name) == Some(&at)
    };
    let properties = sections
        .iter()
        .enumerate()
        .flat_map(|(at, section)| section.properties.iter().map(move |property| (at, property)))
        .filter(|(at, property)| counts(*at, property))
        .map(|(_, property)| property.clone())
        .collect();
    let header = sections.last().map_or(document.origin(), |section| section.header);
    PropertyBag::new("[SERVICE]", header, properties)
}

/// Fluent Bit ignores unknown keys without a word; here they are ignored with one.
fn report_unknown(bag: &PropertyBag, diags: &mut Diagnostics) {
    let set = ServiceOptions::set();
    for property in bag.leftover() {
        let key = &property.key.value;
        let near = nearest(key, set.specs.iter().filter(|spec| !spec.no_effect).map(|spec| spec.name));
        let help = (!near.is_empty()).then(|| format!("did you mean {}?", quoted_list(&near, "or")));
        let message = format!("`{key}` is no key of [SERVICE]; it is ignored");
        let diagnostic = Diagnostic::warning(codes::UNKNOWN_SERVICE_KEY, message).at(property.key.span);
        diags.push(diagnostic.maybe_help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_sound() {
        ikada_options::check_set::<ServiceOptions>();
    }

    #[test]
    fn a_flush_interval_is_more_than_nothing() {
        assert_eq!(FlushInterval::parse_value("0.2"), Ok(FlushInterval(Duration::from_millis(200))));
        assert_eq!(FlushInterval::parse_value("1e-1"), Ok(FlushInterval(Duration::from_millis(100))));
        assert_eq!(FlushInterval::parse_value(".5E+1"), Ok(FlushInterval(Duration::from_secs(5))));
        for wrong in ["1e-12", "1e400", "e1", "-1e1", "1e", "1e1s"] {
            assert!(FlushInterval::parse_value(wrong).is_err(), "{wrong}");
        }
        assert!(FlushInterval::parse_value("0").is_err());
        assert!(FlushInterval::parse_value("-1").is_err());
    }

    #[test]
    fn grace_may_be_endless() {
        assert_eq!(Grace::parse_value("-1"), Ok(Grace::UntilDelivered));
        assert_eq!(Grace::parse_value("30"), Ok(Grace::Within(Duration::from_secs(30))));
        assert!(Grace::parse_value("-2").is_err());
        assert!(Grace::parse_value("abc").is_err());
    }

    #[test]
    fn one_option_has_binary_sizes() {
        assert_eq!(BinarySize::parse_value("2MiB"), Ok(BinarySize(2 << 20)));
        assert_eq!(BinarySize::parse_value("2m"), Ok(BinarySize(2 << 20)));
        assert_eq!(BinarySize::parse_value("10"), Ok(BinarySize(10)));
        assert!(BinarySize::parse_value("99999999999999999G").is_err());
        assert!(BinarySize::parse_value("x").is_err());
    }
}
