//! The body of a JSON string.
//!
//! `ON` says whether characters beyond ASCII become `\uxxxx`; `IN` says whether the JSON text is itself being put into a JSON
//! string, so that each `"` and `\` of it is escaped once more.
//!
//! Nearly all text is clean. Keys and other short texts are looked at as two words in registers; longer ones in blocks, which
//! compilers turn into vector instructions, and copied as one piece. A block with something to escape goes byte by byte through
//! a table, without a branch that depends on the text: JSON inside a log line has a quote every few bytes, and guessing where
//! costs more than looking.

/// Writes the body of a string and returns how many bytes of it are due to `IN`.
#[inline(always)]
pub(super) fn text<const ON: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    if text.len() > 16 {
        return long::<ON, IN>(out, text);
    }
    let (low, high) = ends(text);
    if !is_clean_short(low, high, text.len()) {
        return mixed::<ON, IN>(out, text, 0);
    }
    let end = out.len() + text.len();
    out.extend_from_slice(&(u128::from(low) | u128::from(high) << 64).to_le_bytes());
    out.truncate(end);
    0
}

#[inline]
fn long<const ON: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let clean = clean_len(text);
    if clean < text.len() {
        return mixed::<ON, IN>(out, text, clean);
    }
    out.extend_from_slice(text);
    0
}

/// The bytes of at most 16 as two little-endian words; what is left over in them is 0.
#[inline(always)]
pub(super) fn ends(text: &[u8]) -> (u64, u64) {
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

const HIGH: u64 = 0x8080_8080_8080_8080;

/// How much of a text of 16 bytes or more is known to need no work: all of it, or some whole blocks at its start.
///
/// Work is for bytes below 0x20, `"`, `\`, and from 0x7f on.
#[inline]
fn clean_len(text: &[u8]) -> usize {
    if let Some(last) = text.last_chunk::<32>() {
        let (blocks, _) = text.as_chunks::<32>();
        let clean = blocks.iter().take_while(|block| is_clean_32(block)).count();
        return if clean == blocks.len() && is_clean_32(last) { text.len() } else { 32 * clean };
    }
    let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) else { return 0 };
    if is_dirty::<false>(first) || is_dirty::<false>(last) { 0 } else { text.len() }
}

/// Whether a text of at most 16 bytes needs no work.
#[inline(always)]
fn is_clean_short(low: u64, high: u64, len: usize) -> bool {
    // Spaces where there are no bytes.
    let spaces = SPACES.checked_shl(8 * len as u32).unwrap_or(0);
    (dirty_bits(low | spaces as u64) | dirty_bits(high | (spaces >> 64) as u64)) & HIGH == 0
}

const SPACES: u128 = u128::from_le_bytes([b' '; 16]);

/// Has the high bit of a byte set if one of the eight needs work. Where no byte is beyond ASCII a difference has it
/// exactly if it was taken from too little.
#[inline(always)]
fn dirty_bits(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    word | word.wrapping_add(ONES) | control | quote | backslash
}

/// Whether a byte of the block needs work. With `WIDE`, bytes beyond ASCII do not.
#[inline]
fn is_dirty<const WIDE: bool>(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |any, byte| any | (margin::<WIDE>(*byte) == 0))
}

#[inline]
fn is_clean_32(block: &[u8; 32]) -> bool {
    let (low, high) = block.split_at(16);
    let pairs = low.iter().zip(high);
    pairs.fold(true, |all, (a, b)| all & (margin::<false>(*a).min(margin::<false>(*b)) != 0))
}

/// Zero for a byte that needs work. Minima and saturating differences are single instructions on vectors of bytes.
#[inline]
fn margin<const WIDE: bool>(byte: u8) -> u8 {
    let marks = (byte ^ b'"').min(byte ^ b'\\');
    if WIDE {
        return marks.min(byte ^ 0x7f).min(byte.saturating_sub(0x1f));
    }
    marks.min(0x5fu8.saturating_sub(byte.wrapping_sub(0x20)))
}

/// Text in which something needs work, but not in its first `clean` bytes.
#[inline(never)]
fn mixed<const ON: bool, const IN: bool>(out: &mut Vec<u8>, text: &[u8], clean: usize) -> usize {
    let (clean, mut text) = text.split_at(clean);
    out.extend_from_slice(clean);
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
        let end = if WIDE { block.len() } else { ascii_len(block) };
        extra += table::<IN>(out, &block[..end]);
        at += end;
        if at == text.len() || end < block.len() {
            return (at, extra);
        }
    }
}

/// How many of at most 16 bytes come before the first beyond ASCII.
#[inline]
fn ascii_len(block: &[u8]) -> usize {
    let (low, high) = ends(block);
    let (low, high) = (low & HIGH, high & HIGH);
    match (low, high) {
        (0, 0) => block.len(),
        (0, _) => 8 + high.trailing_zeros() as usize / 8,
        _ => low.trailing_zeros() as usize / 8,
    }
}

/// Writes at most 16 bytes through the table; returns what `IN` adds.
#[inline]
fn table<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    // 16 times 7 bytes at most, and the rest of the last word.
    const ROOM: usize = 128;
    let start = out.len();
    out.extend_from_slice(&[0; ROOM + 8]);
    let Some((window, _)) = out[start..].split_first_chunk_mut::<{ ROOM + 8 }>() else { return 0 };
    let (mut at, mut extra) = (0, 0);
    let mut put = |byte: u8| {
        let entry = if IN { TWICE[usize::from(byte)] } else { ONCE[usize::from(byte)] };
        let place = at % ROOM;
        window[place..place + 8].copy_from_slice(&entry.to_le_bytes());
        if IN {
            at += (entry >> 56 & 15) as usize;
            extra += (entry >> 60) as usize;
        } else {
            at += (entry >> 56) as usize;
        }
    };
    match text.as_array::<16>() {
        Some(block) => block.iter().for_each(|byte| put(*byte)),
        None => text.iter().for_each(|byte| put(*byte)),
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

/// `\uxxxx` as a little-endian word, 6 bytes long, or 7 with `IN`.
#[inline]
fn unit_word<const IN: bool>(unit: u16) -> u64 {
    let unit = u64::from(unit);
    // A hex digit to each byte, the highest first; those from ten on lie 39 further up.
    let digits = unit >> 12 | (unit >> 8 & 15) << 8 | (unit >> 4 & 15) << 16 | (unit & 15) << 24;
    let letters = (digits + 0x0606_0606) >> 4 & 0x0101_0101;
    let digits = digits + 0x3030_3030 + letters * 39;
    if IN {
        u64::from_le_bytes(*b"\\\\u\0\0\0\0\0") | digits << 24
    } else {
        u64::from_le_bytes(*b"\\u\0\0\0\0\0\0") | digits << 16
    }
}

/// Writes `\uxxxx`.
#[inline]
fn escape_unit<const IN: bool>(out: &mut Vec<u8>, unit: u16) {
    let end = out.len() + if IN { 7 } else { 6 };
    out.extend_from_slice(&unit_word::<IN>(unit).to_le_bytes());
    out.truncate(end);
}

/// Writes four of them at once.
#[inline]
fn escape_units<const IN: bool>(out: &mut Vec<u8>, units: [u16; 4]) {
    let [a, b, c, d] = units.map(|unit| u128::from(unit_word::<IN>(unit)));
    let bits = if IN { 56 } else { 48 };
    let (first, second) = (a | b << bits, c | d << bits);
    // Each half is 12 or 14 bytes of 16.
    let end = out.len() + bits / 2;
    out.extend_from_slice(&first.to_le_bytes());
    out.truncate(end - bits / 4);
    out.extend_from_slice(&second.to_le_bytes());
    out.truncate(end);
}

/// Escapes the run of bytes beyond ASCII that `text` starts with; returns its length and what `IN` adds.
fn wide<const IN: bool>(out: &mut Vec<u8>, text: &[u8]) -> (usize, usize) {
    let mut rest = text;
    let mut escapes = 0;
    loop {
        // Most scripts of the world take three bytes.
        while let Some((&[a, b, c, d, e, f, g, h, i, j, k, l], behind)) = rest.split_first_chunk::<12>()
            && let (Some(first), Some(second)) = (decode_3(a, b, c), decode_3(d, e, f))
            && let (Some(third), Some(fourth)) = (decode_3(g, h, i), decode_3(j, k, l))
        {
            escape_units::<IN>(out, [first, second, third, fourth]);
            escapes += 4;
            rest = behind;
        }
        while let Some((&[a, b, c], behind)) = rest.split_first_chunk::<3>()
            && let Some(unit) = decode_3(a, b, c)
        {
            escape_unit::<IN>(out, unit);
            escapes += 1;
            rest = behind;
        }
        let Some(&lead @ 0x80..) = rest.first() else { break };
        let (used, more) = wide_one::<IN>(out, rest, lead);
        rest = &rest[used..];
        escapes += more;
    }
    (text.len() - rest.len(), if IN { escapes } else { 0 })
}

/// Escapes what one lead byte begins; returns how many bytes that is, and how many escapes.
fn wide_one<const IN: bool>(out: &mut Vec<u8>, text: &[u8], lead: u8) -> (usize, usize) {
    let announced = match lead {
        ..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        0xf8..0xfc => 5,
        0xfc.. => 6,
    };
    // The lead byte of what the value's end cuts off is lost in Fluent Bit too.
    let Some(sequence) = text.get(..announced) else { return (1, 0) };
    let Some(code) = decode(sequence) else {
        // U+E0NN stands for the byte 0xNN. What follows the lead byte comes to the same end on its own, if it has to.
        out.extend_from_slice(&[0xee, 0x80 | lead >> 6, 0x80 | lead & 0x3f]);
        return (1, 0);
    };
    if let Ok(unit) = u16::try_from(code) {
        escape_unit::<IN>(out, unit);
        return (announced, 1);
    }
    escape_unit::<IN>(out, 0xd800 + ((code - 0x1_0000) >> 10) as u16);
    escape_unit::<IN>(out, 0xdc00 + (code & 0x3ff) as u16);
    (announced, 2)
}

/// The code point of three bytes, if they are the form of one and it is no surrogate.
#[inline]
fn decode_3(a: u8, b: u8, c: u8) -> Option<u16> {
    let code = u16::from(a & 0x0f) << 12 | u16::from(b & 0x3f) << 6 | u16::from(c & 0x3f);
    let shaped = (a & 0xf0 == 0xe0) & (b & 0xc0 == 0x80) & (c & 0xc0 == 0x80);
    (shaped & (code & 0xf800 != 0xd800)).then_some(code)
}

/// The code point of a sequence of 2 to 4 bytes. Overlong forms count (Java's `c0 80` is U+0000); surrogates do not.
#[inline]
fn decode(sequence: &[u8]) -> Option<u32> {
    let tail = |byte: u8| (byte & 0xc0 == 0x80).then_some(u32::from(byte & 0x3f));
    match *sequence {
        [a, b, c] => decode_3(a, b, c).map(u32::from),
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
