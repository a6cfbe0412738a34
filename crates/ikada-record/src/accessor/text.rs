//! A value as plain text.

use std::io::Write as _;

use ikada_msgpack::View;

use crate::json::{JsonStyle, write_value};

/// Appends the text form of one encoded value, as templates and tags use it (`reference/filters.md` §2).
///
/// A string is itself, whatever its bytes; an integer is decimal; a float has six decimals; booleans are `true` and `false`;
/// nil is `null`; a map is JSON; binary is lower-case hexadecimal; an array and an extension value are empty.
pub fn write_text(out: &mut Vec<u8>, value: &[u8]) {
    let Ok((view, _)) = View::parse(value) else { return };
    match view {
        View::Str(text) => out.extend_from_slice(text),
        View::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        View::Uint(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        View::Float(n) => write_float(out, n),
        View::Bool(true) => out.extend_from_slice(b"true"),
        View::Bool(false) => out.extend_from_slice(b"false"),
        View::Nil => out.extend_from_slice(b"null"),
        View::Map(_) => {
            write_value(out, value, JsonStyle::default());
        }
        View::Bin(data) => out.extend(data.iter().flat_map(|byte| hex(*byte))),
        View::Array(_) | View::Ext(..) => {}
    }
}

/// C's `%f`.
fn write_float(out: &mut Vec<u8>, n: f64) {
    if n.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    // Writing into a `Vec` cannot fail.
    let written = write!(out, "{n:.6}");
    debug_assert!(written.is_ok());
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}
