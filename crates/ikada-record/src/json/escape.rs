//! The body of a JSON string.
//!
//! `ON` says whether characters beyond ASCII become `\uxxxx`; `IN` says whether the JSON text is itself being put into a JSON
//! string, so that each `"` and `\` of it is escaped once more.
//!
//! Nearly all text is clean: it is looked through in blocks of 16 bytes, which compilers turn into vector instructions, and copied
//! as one piece. A block with something to escape goes byte by byte through a table, without a branch that depends on the
//! text: JSON inside a log line has a quote every few bytes, and guessing where costs more than looking.

/// Writes the body of a string and returns how many bytes of it are due to `IN`.
#[inline]
pub(super) fn text<const ON: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    if !is_clean(text) {
        return mixed::<ON, IN>(out, text);
    }
    copy(out, text);
    0
}

/// Copies text; what is short without a call.
#[inline]
fn copy(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() > 16 {
        out.extend_from_slice(text);
        return;
    }
    let end = out.len() + text.len();
    let (low, high) = ends(text);
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&high.to_le_bytes());
    out.truncate(end);
}

/// The bytes of at most 16 as two little-endian words; what is left over in them is 0.
#[inline]
fn ends(text: &[u8]) -> (u64, u64) {
    let len = text.len() as u32;
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return (first, last.checked_shr(8 * (16 - len)).unwrap_or(0));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return (u64::from(first) | u64::from(last) << (8 * (len - 4)), 0);
    }
    let [first, .., last] = *text else { return (text.first().map_or(0, |byte| u64::from(*byte)), 0) };
    let middle = u64::from(text[text.len() / 2]) << (8 * (len / 2));
    (u64::from(first) | middle | u64::from(last) << (8 * (len - 1)), 0)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether every byte can be copied as it is: none below 0x20, no `"`, no `\`, none from 0x7f on.
#[inline]
fn is_clean(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<16>() else {
        let (low, high) = ends(text);
        // Clean bytes where there are none.
        let len = text.len() as u32;
        let fill = |from: u32| (ONES * 0x20).checked_shl(8 * len.saturating_sub(from)).unwrap_or(0);
        return dirty_bits(low | fill(0)) | dirty_bits(high | fill(8)) == 0;
    };
    let (blocks, _) = text.as_chunks::<16>();
    blocks.iter().all(|block| !is_dirty::<false>(block)) && !is_dirty::<false>(last)
}

/// Zero if no byte of the word needs work.
#[inline]
fn dirty_bits(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let high = word.wrapping_add(ONES) | word;
    (control | high | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH
}

/// Whether a byte of the block needs work. With `WIDE`, bytes beyond ASCII do not.
#[inline]
fn is_dirty<const WIDE: bool>(block: &[u8; 16]) -> bool {
    let mut any = 0u8;
    for &byte in block {
        let top = if WIDE { byte == 0x7f } else { byte >= 0x7f };
        any |= u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(top);
    }
    any != 0
}

/// Text in which something needs work.
#[inline(never)]
fn mixed<const ON: bool, const IN: bool>(out: &mut Vec<u8>, mut text: &[u8]) -> usize {
    let (mut used, mut extra) = ascii::<false, IN>(out, text);
    text = &text[used..];
    if !ON && !text.is_empty() {
        return extra + raw::<IN>(out, text);
    }
    while !text.is_empty() {
        let mut more;
        (used, more) = wide::<IN>(out, text);
        text = &text[used..];
        extra += more;
        (used, more) = ascii::<false, IN>(out, text);
        text = &text[used..];
        extra += more;
    }
    extra
}

/// Writes text up to the first byte beyond ASCII, or with `WIDE` all of it, such bytes copied. Returns how much that was, and what
/// `IN` adds.
fn ascii<const WIDE: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> (usize, usize) {
    let (mut at, mut extra) = (0, 0);
    loop {
        let (blocks, _) = text[at..].as_chunks::<16>();
        let clean = 16 * blocks.iter().take_while(|block| !is_dirty::<WIDE>(block)).count();
        if clean > 0 {
            out.extend_from_slice(&text[at..at + clean]);
            at += clean;
        }
        let block = &text[at..text.len().min(at + 16)];
        let end = if WIDE {
            block.len()
        } else {
            block.iter().position(|byte| *byte >= 0x80).unwrap_or(block.len())
        };
        extra += table::<IN>(out, &block[..end]);
        at += end;
        if at == text.len() || end < block.len() {
            return (at, extra);
        }
    }
}

/// Writes at most 16 bytes through the table; returns what `IN` adds.
#[inline]
fn table<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let table = if IN { &TWICE } else { &ONCE };
    let start = out.len();
    out.extend_from_slice(&[0; 16 * 7 + 8]);
    let window = &mut out[start..];
    let (mut at, mut extra) = (0, 0);
    for &byte in text {
        let entry = table[usize::from(byte)];
        let Some(slot) = window.get_mut(at..at + 8) else { break };
        slot.copy_from_slice(&entry.to_le_bytes());
        at += (entry >> 56 & 15) as usize;
        extra += (entry >> 60) as usize;
    }
    out.truncate(start + at);
    extra
}

/// What each byte is written as: up to seven bytes from the lowest on, in the highest one their number in the low half and how
/// many of them a second escaping adds in the high half.
static ONCE: [u64; 256] = entries(false);
static TWICE: [u64; 256] = entries(true);

const fn entries(twice: bool) -> [u64; 256] {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = entry(byte as u8, twice);
        byte += 1;
    }
    all
}

const fn entry(byte: u8, twice: bool) -> u64 {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 | 0x7f => b'u',
        _ => return byte as u64 | 1 << 56,
    };
    // The backslash, once more if it is escaped itself, then the letter, likewise.
    let mut text = b'\\' as u64;
    let mut len = 1;
    if twice {
        text |= (b'\\' as u64) << 8;
        len = 2;
    }
    let mut extra = len - 1;
    if twice && (letter == b'"' || letter == b'\\') {
        text |= (b'\\' as u64) << (8 * len);
        len += 1;
        extra += 1;
    }
    text |= (letter as u64) << (8 * len);
    len += 1;
    if letter == b'u' {
        let digits = [b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]];
        let mut at = 0;
        while at < 4 {
            text |= (digits[at] as u64) << (8 * len);
            len += 1;
            at += 1;
        }
    }
    text | (len as u64) << 56 | (extra as u64) << 60
}

/// Writes `\uxxxx`.
#[inline]
fn escape_unit<const IN: bool>(out: &mut Vec<u8>, unit: u16) {
    let unit = u64::from(unit);
    // A hex digit to each byte, the highest first; those from ten on lie 39 further up.
    let digits = unit >> 12 | (unit >> 8 & 15) << 8 | (unit >> 4 & 15) << 16 | (unit & 15) << 24;
    let letters = (digits + 0x0606_0606) >> 4 & 0x0101_0101;
    let digits = digits + 0x3030_3030 + letters * 39;
    if IN {
        let text = u64::from_le_bytes(*b"\\\\u\0\0\0\0\0") | digits << 24;
        out.extend_from_slice(&text.to_le_bytes());
        out.truncate(out.len() - 1);
    } else {
        let text = u64::from_le_bytes(*b"\\u\0\0\0\0\0\0") | digits << 16;
        out.extend_from_slice(&text.to_le_bytes());
        out.truncate(out.len() - 2);
    }
}

/// Escapes the run of bytes beyond ASCII that `text` starts with; returns its length and what `IN` adds.
fn wide<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> (usize, usize) {
    let (mut at, mut escapes) = (0, 0);
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
            escape_unit::<IN>(out, unit);
            escapes += 1;
        } else {
            escape_unit::<IN>(out, 0xd800 + ((code - 0x1_0000) >> 10) as u16);
            escape_unit::<IN>(out, 0xdc00 + (code & 0x3ff) as u16);
            escapes += 2;
        }
    }
    (at, if IN { escapes } else { 0 })
}

/// The code point of a sequence of 2 to 4 bytes. Overlong forms count (Java's `c0 80` is U+0000); surrogates do not.
#[inline]
fn decode(sequence: &[u8]) -> Option<u32> {
    let tail = |byte: u8| (byte & 0xc0 == 0x80).then_some(u32::from(byte & 0x3f));
    match *sequence {
        [a, b, c] => {
            let code = u32::from(a & 0x0f) << 12 | tail(b)? << 6 | tail(c)?;
            (code & 0xf800 != 0xd800).then_some(code)
        }
        [a, b] => Some(u32::from(a & 0x1f) << 6 | tail(b)?),
        [a, b, c, d] => {
            let code = u32::from(a & 0x07) << 18 | tail(b)? << 12 | tail(c)? << 6 | tail(d)?;
            // An overlong surrogate is one too.
            (code <= 0x10_ffff && !(0xd800..0xe000).contains(&code)).then_some(code)
        }
        _ => None,
    }
}

/// Writes text with what is beyond ASCII copied, and U+FFFD in place of each byte that is not UTF-8.
fn raw<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let mut extra = 0;
    for chunk in text.utf8_chunks() {
        extra += ascii::<true, IN>(out, chunk.valid().as_bytes()).1;
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    extra
}
