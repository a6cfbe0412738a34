//! The program's own log lines, in the shape that people's alarms and parsers expect.
//!
//! `[2026/11/22 15:41:46.979] [ info] [input:forward:forward.0] listening on unix:///var/run/fluent.sock`
//!
//! The stamp is local time, the level padded to five (reference, "Internal log lines"). An event's field `instance` becomes
//! the bracket before the text, unless the text brings its own; other fields follow as `key=value`.
//!
//! A thread of its own writes the lines: who logs never waits for whoever reads stderr. Lines that the reader is too slow for are
//! counted, and the count is a line.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ikada_options::LogLevel;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

static LINES: OnceLock<&'static Lines> = OnceLock::new();

/// Lines that may wait for whoever reads them.
const WAITING: usize = 4096;

/// How long the end of the program waits until its last lines are written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where lines go and which are written.
struct Lines {
    state: Mutex<State>,
    pen: Pen,
}

/// The near end of the thread that writes.
#[derive(Clone)]
struct Pen {
    orders: SyncSender<Order>,
    lost: Arc<AtomicU64>,
}

/// What the thread that writes is to do.
enum Order {
    /// Write a log line.
    Line(String),
    /// Write a line to stderr, wherever log lines go.
    Say(String),
    /// Write further log lines to this file.
    Switch(File),
    /// Say that all before this is written.
    Tell(SyncSender<()>),
}

struct State {
    level: LevelFilter,
    instances: HashMap<String, LevelFilter>,
}

/// Starts logging to stderr at the given level.
pub fn start(level: LogLevel) {
    let lines: &'static Lines = LINES.get_or_init(|| {
        let state = State { level: filter(level), instances: HashMap::new() };
        let pen = Pen::new(Box::new(std::io::stderr()));
        Box::leak(Box::new(Lines { state: Mutex::new(state), pen }))
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
            Some((_, Ok(file))) => lines.pen.order(Order::Switch(file)),
            Some((path, Err(error))) => failed = Some((path, error)),
            None => {}
        }
    }
    tracing::callsite::rebuild_interest_cache();
    if let Some((path, error)) = failed {
        tracing::error!("[log] error opening log file {}. Using stderr: {error}", path.display());
    }
}

/// Writes a line to stderr as it is, wherever log lines go.
pub fn say(text: String) {
    if let Some(lines) = LINES.get() {
        lines.pen.order(Order::Say(text));
    }
}

/// Waits until all lines are written, or for as long as a dead reader is worth.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.pen.flush(LAST_LINES);
    }
}

impl Pen {
    /// A thread that writes to `out`.
    fn new(out: Box<dyn Write + Send>) -> Self {
        let (orders, received) = sync_channel(WAITING);
        let pen = Self { orders, lost: Arc::default() };
        let lost = pen.lost.clone();
        let thread = std::thread::Builder::new().name("ikada-log".into());
        if let Err(error) = thread.spawn(move || write(&received, out, &lost)) {
            // Nobody will read the orders, and nobody waits for them.
            drop(writeln!(std::io::stderr(), "no log lines: their thread could not start: {error}"));
        }
        pen
    }

    /// Never waits. A line for which there is no room is lost, and counted.
    fn order(&self, order: Order) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(order) {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self, most: Duration) {
        let latest = Instant::now() + most;
        let (done, told) = sync_channel(1);
        let mut order = Order::Tell(done);
        while let Err(TrySendError::Full(again)) = self.orders.try_send(order) {
            if Instant::now() >= latest {
                return;
            }
            order = again;
            std::thread::sleep(Duration::from_millis(5));
        }
        told.recv_timeout(latest.saturating_duration_since(Instant::now())).ok();
    }
}

/// Writes until nobody can log any more. Nothing can be done about a log that cannot be written, and it must not end the router.
fn write(orders: &Receiver<Order>, mut out: Box<dyn Write + Send>, lost: &AtomicU64) {
    for order in orders {
        match order {
            Order::Line(text) => drop(out.write_all(text.as_bytes())),
            Order::Say(text) => drop(std::io::stderr().lock().write_all(text.as_bytes())),
            Order::Switch(file) => out = Box::new(file),
            Order::Tell(done) => drop(done.try_send(())),
        }
        let lost = lost.swap(0, Relaxed);
        if lost > 0 {
            let head = head(Level::WARN);
            drop(writeln!(
                out,
                "{head} [log] {lost} lines are left out: the reader of this log was too slow"
            ));
        }
    }
}

/// `[2026/11/22 15:41:46.979] [ info]`.
fn head(level: Level) -> String {
    let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S%.3f");
    format!("[{stamp}] [{}]", padded(level))
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
        let allowed = {
            let state = self.0.state();
            line.name().and_then(|name| state.instances.get(name)).copied().unwrap_or(state.level)
        };
        if level <= allowed {
            self.0.pen.order(Order::Line(format!("{} {line}\n", head(level))));
        }
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

    /// A reader that takes a line when it is asked to.
    struct Slow(Arc<Mutex<Vec<u8>>>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.1.recv().ok();
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_for_who_reads_and_lost_lines_are_counted() {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (go_on, asked) = std::sync::mpsc::sync_channel(0);
        let pen = Pen::new(Box::new(Slow(text.clone(), asked)));
        for n in 0..2 * WAITING {
            pen.order(Order::Line(format!("{n}\n")));
        }
        // From here on the reader is there.
        drop(go_on);
        pen.flush(Duration::from_secs(60));
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        let (told, written): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains(" [log] "));
        let lost: usize = told[0].split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert_eq!((told.len(), written.len() + lost), (1, 2 * WAITING));
        assert_eq!(written[..3], ["0", "1", "2"]);
    }
}
