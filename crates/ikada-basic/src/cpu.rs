//! How busy the processors are.

use std::path::{Path, PathBuf};

use ikada_diag::Diagnostics;
use ikada_msgpack::write;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};
use tokio::time::Instant;

use crate::ticker::{self, Interval};

/// Says how busy the processors are, or what one process takes of them, in percent.
#[derive(Debug, Options)]
#[options(input = "cpu")]
pub struct CpuOptions {
    /// How often.
    #[option(flatten)]
    pub interval: Interval,
    /// Process to watch, in place of the processors.
    #[option(default = "-1")]
    pub pid: i64,
}

struct Cpu {
    tag: Option<String>,
    interval: Interval,
    watched: Watched,
}

enum Watched {
    Processors(PathBuf),
    Process(PathBuf),
}

/// Ticks of the clock in a second, as programs see them (proc(5)).
const TICKS: f64 = 100.0;

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = CpuOptions::parse(bag, diagnostics)?;
    let watched = match options.pid {
        ..0 => Watched::Processors("/proc/stat".into()),
        pid => Watched::Process(format!("/proc/{pid}/stat").into()),
    };
    Some(Box::new(Cpu { tag: cx.tag.clone(), interval: options.interval, watched }))
}

impl Input for Cpu {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let (Watched::Processors(path) | Watched::Process(path)) = &self.watched;
            let readable = std::fs::read(path);
            readable
                .map(drop)
                .map_err(|source| InputError::Io { doing: format!("read {}", path.display()), source })
        })
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
            let mut before = self.look();
            ticker::run(&cx, self.interval.every(), |adder| {
                let now = self.look();
                if let (Some(before), Some(now)) = (&before, &now)
                    && let Some(record) = record(before, now)
                {
                    adder.add(tag, adder.clock, &record);
                }
                before = now;
            })
            .await;
            Ok(())
        })
    }
}

/// What was counted at one moment.
#[derive(Debug, Clone, PartialEq)]
enum Look {
    /// The sum first, then each processor.
    Processors(Vec<Times>),
    Process {
        user: u64,
        system: u64,
        at: Instant,
    },
}

/// Ticks that were spent in one way or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    user: u64,
    system: u64,
    total: u64,
}

impl Cpu {
    fn look(&self) -> Option<Look> {
        match &self.watched {
            Watched::Processors(path) => Some(Look::Processors(processors(&read(path)?))),
            Watched::Process(path) => {
                let (user, system) = process(&read(path)?)?;
                Some(Look::Process { user, system, at: Instant::now() })
            }
        }
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `cpu  user nice system idle iowait irq softirq steal …`, first the sum, then a line for each processor.
fn processors(text: &str) -> Vec<Times> {
    let lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let times = |line: &str| {
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map_while(|n| n.parse().ok()).collect();
        let at = |n: usize| ticks.get(n).copied().unwrap_or(0);
        Times { user: at(0) + at(1), system: at(2), total: ticks.iter().sum() }
    };
    lines.map(times).collect()
}

/// `utime` and `stime`: the 14th and 15th field, counted behind the name, which may hold anything.
fn process(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn record(before: &Look, now: &Look) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (before, now) {
        (Look::Processors(before), Look::Processors(now)) => {
            let shares: Vec<_> = before.iter().zip(now).map(|(before, now)| shares(before, now)).collect();
            let (all, each) = shares.split_first()?;
            write::map_header(&mut out, 3 * shares.len());
            write_shares(&mut out, ["cpu_p".into(), "user_p".into(), "system_p".into()], *all);
            for (n, own) in each.iter().enumerate() {
                let names = ["p_cpu", "p_user", "p_system"].map(|name| format!("cpu{n}.{name}"));
                write_shares(&mut out, names, *own);
            }
        }
        (
            Look::Process { user: user_before, system: system_before, at: then },
            Look::Process { user, system, at },
        ) => {
            let ticks = at.duration_since(*then).as_secs_f64() * TICKS;
            let share = |before: u64, now: u64| 100.0 * now.saturating_sub(before) as f64 / ticks.max(1e-9);
            let shares = (share(*user_before, *user), share(*system_before, *system));
            write::map_header(&mut out, 3);
            write_shares(&mut out, ["cpu_p".into(), "user_p".into(), "system_p".into()], shares);
        }
        _ => return None,
    }
    Some(out)
}

/// What part of the time went to programs and to the system, in percent.
fn shares(before: &Times, now: &Times) -> (f64, f64) {
    let total = now.total.saturating_sub(before.total).max(1) as f64;
    let share = |before: u64, now: u64| 100.0 * now.saturating_sub(before) as f64 / total;
    (share(before.user, now.user), share(before.system, now.system))
}

fn write_shares(out: &mut Vec<u8>, names: [String; 3], (user, system): (f64, f64)) {
    for (name, share) in names.iter().zip([user + system, user, system]) {
        write::str(out, name.as_bytes());
        write::float(out, share);
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::json::{JsonStyle, write_record};

    use super::*;

    fn text(record: &[u8]) -> String {
        let mut out = Vec::new();
        write_record(&mut out, record, JsonStyle::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let before = processors("cpu  10 0 10 80 0 0 0 0 5 5\ncpu0 10 0 10 80 0 0 0 0 0 0\nintr 5\n");
        let now = processors("cpu  20 10 20 150 0 0 0 0 9 9\ncpu0 20 10 20 150 0 0 0 0 0 0\nintr 9\n");
        let record = record(&Look::Processors(before), &Look::Processors(now)).unwrap();
        assert_eq!(
            text(&record),
            "{\"cpu_p\":30.0,\"user_p\":20.0,\"system_p\":10.0,\"cpu0.p_cpu\":30.0,\"cpu0.p_user\":20.0,\"cpu0.p_system\":10.0}"
        );
    }

    #[test]
    fn a_process_is_told_by_its_ticks() {
        assert_eq!(process("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 40 0 0"), Some((250, 40)));
        assert_eq!(process("nonsense"), None);
    }
}
