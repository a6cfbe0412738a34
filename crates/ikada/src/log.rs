//! The program's own log lines, in the shape that people's alarms and parsers expect.
//!
//! `[2026/11/22 15:41:46.979] [ info] [input:forward:forward.0] listening on unix:///var/run/fluent.sock`
//!
//! The stamp is local time, the level padded to five (reference, "Internal log lines"). An event's field `instance` becomes
//! the bracket before the text, unless the text brings its own; other fields follow as `key=value`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use ikada_options::LogLevel;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

static LINES: OnceLock<&'static Lines> = OnceLock::new();

/// Where lines go and which are written.
struct Lines {
    state: Mutex<State>,
}

struct State {
    level: LevelFilter,
    instances: HashMap<String, LevelFilter>,
    file: Option<File>,
}

/// Starts logging to stderr at the given level.
pub fn start(level: LogLevel) {
    let lines: &'static Lines = LINES.get_or_init(|| {
        let state = State { level: filter(level), instances: HashMap::new(), file: None };
        Box::leak(Box::new(Lines { state: Mutex::new(state) }))
    });
    // A second call finds the subscriber in place: there is one for the life of the process.
    if tracing::subscriber::set_global_default(Registry::default().with(Layer_(lines))).is_err() {
        lines.state().level = filter(level);
    }
}

/// Settles what the configuration says: the level, the levels of single instances, and a file instead of stderr.
///
/// A file that cannot be opened leaves stderr in use and says so.
pub fn configure(level: LogLevel, instances: HashMap<String, LogLevel>, file: Option<&Path>) {
    let Some(lines) = LINES.get() else { return };
    let opened = file.map(|path| (path, File::options().create(true).append(true).open(path)));
    let mut failed = None;
    {
        let mut state = lines.state();
        state.level = filter(level);
        state.instances = instances.into_iter().map(|(name, level)| (name, filter(level))).collect();
        match opened {
            Some((_, Ok(file))) => state.file = Some(file),
            Some((path, Err(error))) => failed = Some((path, error)),
            None => {}
        }
    }
    tracing::callsite::rebuild_interest_cache();
    if let Some((path, error)) = failed {
        tracing::error!("[log] error opening log file {}. Using stderr: {error}", path.display());
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl Lines {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Layer_(&'static Lines);

impl<S: Subscriber> Layer<S> for Layer_ {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let state = self.0.state();
        let most = state.instances.values().copied().fold(state.level, LevelFilter::max);
        // Libraries below us have their own idea of what is worth a line.
        let ours = metadata.target().starts_with("ikada");
        *metadata.level() <= if ours { most } else { most.min(LevelFilter::WARN) }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        let mut state = self.0.state();
        let allowed = line.name().and_then(|name| state.instances.get(name)).copied().unwrap_or(state.level);
        if level > allowed {
            return;
        }
        let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S%.3f");
        let text = format!("[{stamp}] [{}] {line}\n", padded(level));
        // Nothing can be done about a log that cannot be written, and it must not end the router.
        drop(match &mut state.file {
            Some(file) => file.write_all(text.as_bytes()),
            None => std::io::stderr().lock().write_all(text.as_bytes()),
        });
    }
}

fn padded(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => " warn",
        Level::INFO => " info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// One event's fields on their way into a line.
#[derive(Default)]
struct Line {
    instance: Option<String>,
    message: String,
    fields: String,
}

impl Line {
    /// The instance's shown name, the last part of `input:forward:forward.0`.
    fn name(&self) -> Option<&str> {
        self.instance.as_deref()?.splitn(3, ':').nth(2)
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "instance" => self.instance = Some(value.to_string()),
            "message" => self.message = value.to_string(),
            name => write!(self.fields, " {name}={value}").expect("writing into a String does not fail"),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) if !self.message.starts_with('[') => write!(f, "[{instance}] ")?,
            _ => {}
        }
        // One event, one line, whatever a message from outside contains.
        for c in self.message.chars().chain(self.fields.chars()) {
            f.write_char(if c.is_control() { ' ' } else { c })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(instance: Option<&str>, message: &str, fields: &str) -> String {
        Line { instance: instance.map(Into::into), message: message.into(), fields: fields.into() }
            .to_string()
    }

    #[test]
    fn the_instance_stands_before_the_text_unless_the_text_brings_its_own_bracket() {
        assert_eq!(line(Some("input:tcp:tcp.0"), "closed", " peer=x"), "[input:tcp:tcp.0] closed peer=x");
        assert_eq!(line(Some("output:s3:s3.0"), "[engine] failed", ""), "[engine] failed");
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(line(None, "a\nb\u{1b}[31m", ""), "a b [31m");
    }
}
