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
    /// Bytes to read, or with `Lines` the most of a line.
    #[option(default = "256")]
    pub buf_size: ByteSize,
    /// Lines to read; 0 reads bytes.
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
    let most = options.buf_size.0.clamp(1, 64_000_000);
    let mut file = BufReader::new(File::open(&options.file)?);
    if options.lines == 0 {
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text)?;
        return Ok(vec![text]);
    }
    let mut lines = Vec::new();
    for _ in 0..options.lines {
        let mut line = Vec::new();
        if file.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}

fn record(options: &HeadOptions, texts: &[Vec<u8>]) -> Vec<u8> {
    let split: Vec<&[u8]> = match options.split_line {
        true => texts.iter().flat_map(|text| text.split_inclusive(|byte| *byte == b'\n')).collect(),
        false => Vec::new(),
    };
    let mut out = Vec::new();
    let texts_written = if options.split_line { split.len() } else { 1 };
    write::map_header(&mut out, texts_written + usize::from(options.add_path));
    for (n, line) in split.iter().enumerate() {
        write::str(&mut out, format!("line{n}").as_bytes());
        write::str(&mut out, line.strip_suffix(b"\n").unwrap_or(line));
    }
    if !options.split_line {
        write::str(&mut out, options.key.as_bytes());
        write::str(&mut out, &texts.concat());
    }
    if options.add_path {
        write::str(&mut out, b"path");
        write::str(&mut out, options.file.as_os_str().as_encoded_bytes());
    }
    out
}
