//! Writing MessagePack into a buffer, always in the shortest form.
//!
//! Thin over `rmp::encode`: writing into a `Vec` cannot fail, so nothing here does.

/// Writes `nil`.
pub fn nil(buf: &mut Vec<u8>) {
    buf.push(0xc0);
}

/// Writes a boolean.
pub fn bool(buf: &mut Vec<u8>, value: bool) {
    buf.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes an unsigned integer.
pub fn uint(buf: &mut Vec<u8>, value: u64) {
    infallible(rmp::encode::write_uint(buf, value));
}

/// Writes a signed integer.
pub fn int(buf: &mut Vec<u8>, value: i64) {
    infallible(rmp::encode::write_sint(buf, value));
}

/// Writes a 64 bit float.
pub fn float(buf: &mut Vec<u8>, value: f64) {
    infallible(rmp::encode::write_f64(buf, value));
}

/// Writes a string. Its bytes are not checked.
pub fn str(buf: &mut Vec<u8>, text: &[u8]) {
    infallible(rmp::encode::write_str_len(buf, clamp(text.len())));
    buf.extend_from_slice(text);
}

/// Writes binary data.
pub fn bin(buf: &mut Vec<u8>, data: &[u8]) {
    infallible(rmp::encode::write_bin_len(buf, clamp(data.len())));
    buf.extend_from_slice(data);
}

/// Writes the header of an array; `len` values must follow.
pub fn array_header(buf: &mut Vec<u8>, len: usize) {
    infallible(rmp::encode::write_array_len(buf, clamp(len)));
}

/// Writes the header of a map; `pairs` keys and values must follow in turn.
pub fn map_header(buf: &mut Vec<u8>, pairs: usize) {
    infallible(rmp::encode::write_map_len(buf, clamp(pairs)));
}

/// Writes an EventTime: ext type 0, big-endian seconds and nanoseconds (Forward protocol v1, "EventTime Ext Format").
pub fn event_time(buf: &mut Vec<u8>, secs: u32, nanos: u32) {
    buf.extend_from_slice(&[0xd7, 0x00]);
    buf.extend_from_slice(&secs.to_be_bytes());
    buf.extend_from_slice(&nanos.to_be_bytes());
}

/// A buffer never holds 4 GiB, so a length that does not fit stands for a bug of the caller.
fn clamp(len: usize) -> u32 {
    u32::try_from(len).expect("buffers are bounded far below 4 GiB")
}

fn infallible<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.expect("writing into a Vec does not fail");
}
