//! How much memory is used.

use ikada_diag::Diagnostics;
use ikada_msgpack::write;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};

use crate::ticker::{self, Interval};
use crate::unsupported::refuse;

/// Says how much memory and swap are used, in KiB.
#[derive(Debug, Options)]
#[options(input = "mem")]
pub struct MemOptions {
    /// How often.
    #[option(flatten)]
    pub interval: Interval,
}

struct Mem {
    tag: Option<String>,
    interval: Interval,
}

const FILE: &str = "/proc/meminfo";

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    refuse(bag, &["pid"], "remove it: the memory of single processes is not told", diagnostics);
    let options = MemOptions::parse(bag, diagnostics)?;
    Some(Box::new(Mem { tag: cx.tag.clone(), interval: options.interval }))
}

impl Input for Mem {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        let readable = std::fs::read(FILE).map(drop);
        let opened = readable.map_err(|source| InputError::Io { doing: format!("read {FILE}"), source });
        Box::pin(std::future::ready(opened))
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
            ticker::run(&cx, self.interval.every(), |adder| {
                if let Ok(text) = std::fs::read_to_string(FILE) {
                    adder.add(tag, adder.clock, &record(&text));
                }
            })
            .await;
            Ok(())
        })
    }
}

/// What is used is what is not free: caches count as used, as in Fluent Bit.
fn record(meminfo: &str) -> Vec<u8> {
    let find = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut out = Vec::new();
    write::map_header(&mut out, 6);
    for (kind, total, free) in [("Mem", "MemTotal", "MemFree"), ("Swap", "SwapTotal", "SwapFree")] {
        let (total, free) = (find(total), find(free));
        for (name, value) in [("total", total), ("used", total.saturating_sub(free)), ("free", free)] {
            write::str(&mut out, format!("{kind}.{name}").as_bytes());
            write::uint(&mut out, value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ikada_record::json::{JsonStyle, write_record};

    use super::*;

    #[test]
    fn the_record_has_the_recorded_shape() {
        let meminfo = "MemTotal:       1000 kB\nMemFree:         400 kB\nMemAvailable: 1 kB\nSwapTotal: 10 kB\nSwapFree: 9 kB\n";
        let mut out = Vec::new();
        write_record(&mut out, &record(meminfo), JsonStyle::default());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"Mem.total\":1000,\"Mem.used\":600,\"Mem.free\":400,\"Swap.total\":10,\"Swap.used\":1,\"Swap.free\":9}"
        );
    }
}
