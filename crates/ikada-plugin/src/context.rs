//! What every plugin is told about the place it runs in.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ikada_options::PropertyBag;
use ikada_record::Timestamp;
use ikada_record::json::JsonStyle;
use tokio::time::Instant;

use crate::InputMemory;

/// The three kinds of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Brings entries in.
    Input,
    /// Changes or drops records.
    Filter,
    /// Delivers entries.
    Output,
}

impl Kind {
    /// `input`, `filter` or `output`, as log lines and metrics spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Filter => "filter",
            Self::Output => "output",
        }
    }
}

/// The name of one configured plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceId {
    /// Input, filter or output.
    pub kind: Kind,
    /// The plugin's name, as `forward`.
    pub plugin: String,
    /// Plugin and number in file order, as `forward.0`. The default tag of an input.
    pub name: String,
    /// The name the configuration gives it.
    pub alias: Option<String>,
}

impl InstanceId {
    /// The alias if there is one, else the name: what logs and metrics call it.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

impl fmt::Display for InstanceId {
    /// As in log lines: `input:forward:forward.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.name(), self.plugin, self.shown())
    }
}

/// Tells wall-clock time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::new(since.as_secs() as i64, since.subsec_nanos())
    }
}

/// Nanoseconds in a second.
const NANOS: u128 = 1_000_000_000;

/// The rhythm of flushes: ticks every `Flush` seconds, the same for all inputs, so that outputs see what belongs
/// together at once.
#[derive(Debug, Clone, Copy)]
pub struct FlushClock {
    start: Instant,
    every: Duration,
}

impl FlushClock {
    /// Ticks every `every` from `start` on.
    #[must_use]
    pub fn new(start: Instant, every: Duration) -> Self {
        Self { start, every: every.max(Duration::from_millis(1)) }
    }

    /// Time between two ticks.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// The first tick after `now`.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let every = self.every.as_nanos();
        // Within one interval, which a `Duration` holds however long the process has run.
        let left = every - passed % every;
        now.max(self.start) + Duration::new((left / NANOS) as u64, (left % NANOS) as u32)
    }
}

/// What the `[SERVICE]` section and the process settle for all plugins.
#[derive(Debug, Clone)]
pub struct Service {
    /// `Flush`.
    pub flush: Duration,
    /// How JSON is written: `json.escape_unicode`.
    pub json: JsonStyle,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// The host's name.
    pub hostname: String,
    /// Directory of the main configuration file.
    pub config_dir: PathBuf,
    /// What the configuration sets for itself, and the host's name where the environment does not tell it.
    pub variables: Variables,
    /// Groups of servers.
    pub groups: ServerGroups,
    /// What inputs may hold of what they have not handed over.
    pub input_memory: Arc<InputMemory>,
}

/// Groups of servers by the word with which outputs name them: that of a file, or their own.
#[derive(Clone, Default)]
pub struct ServerGroups(pub Arc<HashMap<String, Vec<GroupServer>>>);

/// A server of a group.
#[derive(Clone)]
pub struct GroupServer {
    /// Its name, for people.
    pub name: String,
    /// Where it listens.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What else is written for it.
    pub bag: PropertyBag,
}

impl fmt::Debug for ServerGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is written for servers may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What `@SET` lines and the section `env` set, and what is set beforehand, by name. Values may be secrets.
#[derive(Clone, Default)]
pub struct Variables(pub Arc<[(String, String)]>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            flush: Duration::from_secs(1),
            json: JsonStyle::default(),
            clock: Arc::new(SystemClock),
            hostname: String::new(),
            config_dir: PathBuf::new(),
            variables: Variables::default(),
            groups: ServerGroups::default(),
            input_memory: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_the_same_for_all_who_ask_between_them() {
        let start = Instant::now();
        let clock = FlushClock::new(start, Duration::from_secs(1));
        let at = |ms| clock.next(start + Duration::from_millis(ms)) - start;
        assert_eq!(at(0), Duration::from_secs(1));
        assert_eq!(at(999), Duration::from_secs(1));
        assert_eq!(at(1000), Duration::from_secs(2));
    }

    #[test]
    fn the_next_tick_lies_ahead_however_long_the_process_has_run() {
        let start = Instant::now();
        let clock = FlushClock::new(start, Duration::from_millis(1));
        let later = start + Duration::from_secs(60 * 86_400);
        assert_eq!(clock.next(later), later + Duration::from_millis(1));
    }
}
