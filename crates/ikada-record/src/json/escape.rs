//! The body of a JSON string.
//!
//! `ON` says whether characters beyond ASCII become `\uxxxx`; `IN` says whether the JSON text is itself being put into a JSON
//! string, so that each `"` and `\` of it is escaped once more.

/// Writes the body of a string and returns how many bytes of it are due to `IN`.
#[inline]
pub(super) fn text<const ON: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let clean = clean_len(text);
    out.extend_from_slice(&text[..clean]);
    if clean == text.len() {
        return 0;
    }
    rest::<ON, IN>(out, &text[clean..])
}

/// The way on from the first byte that cannot be copied.
fn rest<const ON: bool, const IN: bool>(out: &mut Vec<u8>, mut text: &[u8]) -> usize {
    let mut extra = 0;
    loop {
        let Some(&byte) = text.first() else { return extra };
        if byte < 0x80 {
            extra += escape::<IN>(out, byte);
            text = &text[1..];
        } else {
            let (used, more) = if ON { wide::<IN>(out, text) } else { raw::<IN>(out, text) };
            extra += more;
            text = &text[used..];
        }
        let clean = clean_len(text);
        out.extend_from_slice(&text[..clean]);
        text = &text[clean..];
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether a byte cannot be copied as it is.
#[inline]
fn is_dirty(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x7f
}

/// Number of bytes before the first that needs work: below 0x20, `"`, `\`, or from 0x7f on.
#[inline]
fn clean_len(text: &[u8]) -> usize {
    let (blocks, tail) = text.as_chunks::<32>();
    let mut at = 0;
    for block in blocks {
        if block.iter().fold(false, |any, byte| any | is_dirty(*byte)) {
            return at + clean_len_short(block);
        }
        at += 32;
    }
    at + clean_len_short(tail)
}

fn clean_len_short(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let dirty = dirty_bits(u64::from_le_bytes(*word));
        if dirty != 0 {
            return at + dirty.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| is_dirty(*byte)).unwrap_or(tail.len())
}

/// The lowest set bit marks the first dirty byte of a little-endian word; bits above it may be wrong.
#[inline]
fn dirty_bits(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let high = word.wrapping_add(ONES) | word;
    (control | high | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes an ASCII byte that needs escaping; returns what `IN` adds.
fn escape<const IN: bool>(out: &mut Vec<u8>, byte: u8) -> usize {
    let letter = match byte {
        b'"' | b'\\' => {
            out.extend_from_slice(if IN { b"\\\\\\" } else { b"\\" });
            out.push(byte);
            return if IN { 2 } else { 0 };
        }
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return escape_unit::<IN>(out, u16::from(byte)),
    };
    out.extend_from_slice(if IN { b"\\\\" } else { b"\\" });
    out.push(letter);
    usize::from(IN)
}

/// Writes `\uxxxx`; returns what `IN` adds.
#[inline]
fn escape_unit<const IN: bool>(out: &mut Vec<u8>, unit: u16) -> usize {
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 15)];
    if IN {
        out.push(b'\\');
    }
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    usize::from(IN)
}

/// Escapes the run of bytes beyond ASCII that `text` starts with; returns its length and what `IN` adds.
fn wide<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> (usize, usize) {
    let (mut at, mut extra) = (0, 0);
    while let Some(&lead) = text.get(at)
        && lead >= 0x80
    {
        let announced = match lead {
            ..0xc0 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf8 => 4,
            0xf8..0xfc => 5,
            0xfc.. => 6,
        };
        let Some(sequence) = text.get(at..at + announced) else {
            // The lead byte of what the value's end cuts off is lost in Fluent Bit too.
            at += 1;
            continue;
        };
        let Some(code) = decode(sequence) else {
            // U+E0NN stands for the byte 0xNN. What follows the lead byte comes to the same end on its own, if it has to.
            out.extend_from_slice(&[0xee, 0x80 | lead >> 6, 0x80 | lead & 0x3f]);
            at += 1;
            continue;
        };
        at += announced;
        if let Ok(unit) = u16::try_from(code) {
            extra += escape_unit::<IN>(out, unit);
        } else {
            extra += escape_unit::<IN>(out, 0xd800 + ((code - 0x1_0000) >> 10) as u16);
            extra += escape_unit::<IN>(out, 0xdc00 + (code & 0x3ff) as u16);
        }
    }
    (at, extra)
}

/// The code point of a sequence of 2 to 4 bytes. Overlong forms count (Java's `c0 80` is U+0000); surrogates do not.
#[inline]
fn decode(sequence: &[u8]) -> Option<u32> {
    let tail = |byte: u8| (byte & 0xc0 == 0x80).then_some(u32::from(byte & 0x3f));
    match *sequence {
        [a, b] => Some(u32::from(a & 0x1f) << 6 | tail(b)?),
        [a, b, c] => {
            let code = u32::from(a & 0x0f) << 12 | tail(b)? << 6 | tail(c)?;
            (code & 0xf800 != 0xd800).then_some(code)
        }
        [a, b, c, d] => {
            let code = u32::from(a & 0x07) << 18 | tail(b)? << 12 | tail(c)? << 6 | tail(d)?;
            // An overlong surrogate is one too.
            (code <= 0x10_ffff && !(0xd800..0xe000).contains(&code)).then_some(code)
        }
        _ => None,
    }
}

/// Copies the run of bytes up to the next ASCII byte that needs escaping, U+FFFD in place of each byte that is not UTF-8.
fn raw<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> (usize, usize) {
    let end = text.iter().position(|byte| *byte < 0x80 && is_dirty(*byte)).unwrap_or(text.len());
    for chunk in text[..end].utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    (end, 0)
}
