//! Values as the text that Fluent Bit's `stdout` prints.

use std::io::Write as _;

use ikada_msgpack::MAX_DEPTH;

use super::number;
use super::token::{Token, token};
use crate::{Entry, Tag};

/// Writes one encoded value in text form: `{"key"=>"value", "n"=>1}`.
///
/// Strings stand in quotes and are not escaped, floats have six decimals, `nil` is `nil`, bytes of binary data and of
/// `(ext: T)"..."` that are not printable ASCII are `\xNN`. Made for eyes: it cannot be read back.
pub fn dump_value(out: &mut Vec<u8>, value: &[u8]) -> usize {
    value_at(out, value, 0)
}

/// Writes an entry as the output `stdout` shows it: `[0] tag: [[1700000000.123456717, {}], {"key"=>"value"}]`, without a
/// line break. `index` counts from 0 in each chunk.
pub fn dump_entry(out: &mut Vec<u8>, index: usize, tag: &Tag, entry: &Entry<'_>) {
    head(out, index, tag, b"[[");
    time(out, entry);
    out.extend_from_slice(b"], ");
    dump_value(out, entry.record_bytes());
    out.push(b']');
}

/// Writes an entry as the filter `stdout` shows it: `[0] tag: [1700000000.123456717, {}, {"key"=>"value"}]`, without a line
/// break.
pub fn dump_entry_flat(out: &mut Vec<u8>, index: usize, tag: &Tag, entry: &Entry<'_>) {
    head(out, index, tag, b"[");
    time(out, entry);
    out.extend_from_slice(b", ");
    dump_value(out, entry.record_bytes());
    out.push(b']');
}

fn head(out: &mut Vec<u8>, index: usize, tag: &Tag, open: &[u8]) {
    out.push(b'[');
    number::uint(out, index as u64);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(open);
}

/// `1700000000.123456717, {metadata}`.
fn time(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let time = entry.time();
    print(out, format_args!("{}.{:09}, ", time.secs(), time.nanos()));
    dump_value(out, entry.metadata().unwrap_or(&[0x80]));
}

/// Bytes that end early are shown as `nil`; nesting beyond what a walk accepts is not shown.
fn value_at(out: &mut Vec<u8>, buf: &[u8], depth: usize) -> usize {
    let Some((token, len)) = token(buf) else {
        out.extend_from_slice(b"nil");
        return buf.len();
    };
    match token {
        Token::Nil => out.extend_from_slice(b"nil"),
        Token::Bool(true) => out.extend_from_slice(b"true"),
        Token::Bool(false) => out.extend_from_slice(b"false"),
        Token::Uint(n) => number::uint(out, n),
        Token::Int(n) => number::int(out, n),
        Token::Float(n) => float(out, n),
        Token::Str(text) => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
        Token::Bin(data) => binary(out, data),
        Token::Ext(kind, data) => {
            print(out, format_args!("(ext: {kind})"));
            binary(out, data);
        }
        Token::Array(count) => return len + array(out, &buf[len..], count, depth),
        Token::Map(pairs) => return len + map(out, &buf[len..], pairs, depth),
    }
    len
}

fn array(out: &mut Vec<u8>, body: &[u8], count: usize, depth: usize) -> usize {
    out.push(b'[');
    let mut at = 0;
    for index in 0..count {
        if at >= body.len() || depth >= MAX_DEPTH {
            break;
        }
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        at += value_at(out, &body[at..], depth + 1);
    }
    out.push(b']');
    at
}

fn map(out: &mut Vec<u8>, body: &[u8], pairs: usize, depth: usize) -> usize {
    out.push(b'{');
    let mut at = 0;
    for index in 0..pairs {
        if at >= body.len() || depth >= MAX_DEPTH {
            break;
        }
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        at += value_at(out, &body[at..], depth + 1);
        out.extend_from_slice(b"=>");
        at += value_at(out, &body[at..], depth + 1);
    }
    out.push(b'}');
    at
}

/// `%f`: six decimals, in words what is no number.
fn float(out: &mut Vec<u8>, n: f64) {
    if n.is_finite() {
        print(out, format_args!("{n:.6}"));
        return;
    }
    if n.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(if n.is_nan() { b"nan" } else { b"inf" });
}

fn binary(out: &mut Vec<u8>, data: &[u8]) {
    out.push(b'"');
    for &byte in data {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            0x20..=0x7e => out.push(byte),
            _ => print(out, format_args!("\\x{byte:02x}")),
        }
    }
    out.push(b'"');
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing into a Vec does not fail");
}
