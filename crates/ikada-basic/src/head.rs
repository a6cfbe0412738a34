//! Reads the beginning of a file again and again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use ikada_diag::Diagnostics;
use ikada_msgpack::write;
use ikada_options::{ByteSize, Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};

use crate::complaints::Complaints;
use crate::ticker::{self, Interval};

/// Reads the beginning of a file again and again, as of `/proc/uptime`.
#[derive(Debug, Options)]
#[options(input = "head")]
pub struct HeadOptions {
    /// File to read.
    #[option(required, example = "/proc/uptime")]
    pub file: PathBuf,
    /// Key of the text.
    #[option(default = "head")]
    pub key: String,
    /// Bytes to read, or with `Split_Line` the most of a line; what is longer goes on in the next line. Otherwise lines of up to 1,000,000
    /// bytes are whole.
    #[option(default = "256")]
    pub buf_size: ByteSize,
    /// Lines to read; 0 reads bytes, or 10 lines with `Split_Line`.
    #[option(default = "0")]
    pub lines: u32,
    /// Puts each line under a key of its own: `line0`, `line1` and so on.
    #[option(default = "off")]
    pub split_line: bool,
    /// Adds the file's path.
    #[option(default = "off")]
    pub add_path: bool,
    /// How often.
    #[option(flatten)]
    pub interval: Interval,
}

/// The most of a line that is not split off.
const LONGEST: u64 = 1_000_000;

/// Lines to split off where no number is given.
const SPLIT: u32 = 10;

struct Head {
    tag: Option<String>,
    options: HeadOptions,
    complaints: Complaints,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = HeadOptions::parse(bag, diagnostics)?;
    Some(Box::new(Head { tag: cx.tag.clone(), options, complaints: Complaints::default() }))
}

impl Input for Head {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
            let path = self.options.file.display().to_string();
            ticker::run(&cx, self.options.interval.every(), |adder| match read(&self.options) {
                Ok(text) => adder.add(tag, adder.clock, &record(&self.options, &text)),
                Err(error) => self.complaints.say(&cx, &path, &format!("the file cannot be read: {error}")),
            })
            .await;
            Ok(())
        })
    }
}

/// The lines, or all bytes as one.
fn read(options: &HeadOptions) -> io::Result<Vec<Vec<u8>>> {
    let size = options.buf_size.0.clamp(1, 64_000_000);
    let mut file = BufReader::new(File::open(&options.file)?);
    let (count, most) = match (options.lines, options.split_line) {
        (0, false) => {
            let mut text = Vec::new();
            file.take(size).read_to_end(&mut text)?;
            return Ok(vec![text]);
        }
        (0, true) => (SPLIT, size),
        (count, true) => (count, size),
        (count, false) => (count, LONGEST),
    };
    let mut lines = Vec::new();
    for _ in 0..count {
        let mut line = Vec::new();
        if file.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}

fn record(options: &HeadOptions, texts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let count = if options.split_line { texts.len() } else { 1 };
    write::map_header(&mut out, count + usize::from(options.add_path));
    if options.split_line {
        for (n, line) in texts.iter().enumerate() {
            write::str(&mut out, format!("line{n}").as_bytes());
            write::str(&mut out, line.strip_suffix(b"\n").unwrap_or(line));
        }
    } else {
        write::str(&mut out, options.key.as_bytes());
        write::str(&mut out, &texts.concat());
    }
    if options.add_path {
        write::str(&mut out, b"path");
        write::str(&mut out, options.file.as_os_str().as_encoded_bytes());
    }
    out
}
