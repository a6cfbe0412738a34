//! Values as a tree, and their JSON text written the obvious way.

use ikada_msgpack::write;
use proptest::prelude::*;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Uint(u64),
    Int(i64),
    Float(f64),
    Str(Vec<u8>),
    Bin(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Ext(i8, Vec<u8>),
}

impl Value {
    /// The value as MessagePack.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => write::nil(out),
            Self::Bool(yes) => write::bool(out, *yes),
            Self::Uint(n) => write::uint(out, *n),
            Self::Int(n) => write::int(out, *n),
            Self::Float(n) => write::float(out, *n),
            Self::Str(text) => write::str(out, text),
            Self::Bin(data) => write::bin(out, data),
            Self::Array(list) => {
                write::array_header(out, list.len());
                list.iter().for_each(|value| value.encode(out));
            }
            Self::Map(pairs) => {
                write::map_header(out, pairs.len());
                for (key, value) in pairs {
                    key.encode(out);
                    value.encode(out);
                }
            }
            Self::Ext(kind, data) => {
                let len = u16::try_from(data.len()).unwrap();
                out.extend_from_slice(&[0xc8, (len >> 8) as u8, len as u8, *kind as u8]);
                out.extend_from_slice(data);
            }
        }
    }

    /// The value as JSON.
    pub(crate) fn json(&self, escape_unicode: bool) -> Vec<u8> {
        self.json_in(escape_unicode, false)
    }

    fn json_in(&self, on: bool, in_key: bool) -> Vec<u8> {
        match self {
            Self::Nil => b"null".to_vec(),
            Self::Bool(yes) => yes.to_string().into_bytes(),
            Self::Uint(n) => n.to_string().into_bytes(),
            Self::Int(n) => n.to_string().into_bytes(),
            Self::Float(n) => float(*n).into_bytes(),
            Self::Str(text) | Self::Bin(text) => quoted(text, on),
            Self::Ext(_, data) => quoted(hex(data).as_bytes(), on),
            Self::Array(list) => {
                let parts: Vec<_> = list.iter().map(|value| value.json_in(on, in_key)).collect();
                [&b"["[..], &parts.join(&b','), b"]"].concat()
            }
            Self::Map(pairs) => {
                let parts: Vec<_> = pairs
                    .iter()
                    .enumerate()
                    .filter(|(index, (key, _))| {
                        let repeated = pairs[index + 1..].iter().any(|(later, _)| later == key);
                        !(matches!(key, Self::Str(_)) && repeated)
                    })
                    .map(|(_, (key, value))| [key.key(on, in_key), value.json_in(on, in_key)].join(&b':'))
                    .collect();
                [&b"{"[..], &parts.join(&b','), b"}"].concat()
            }
        }
    }

    fn key(&self, on: bool, in_key: bool) -> Vec<u8> {
        match self {
            Self::Str(_) | Self::Bin(_) | Self::Ext(..) => self.json_in(on, in_key),
            Self::Array(_) | Self::Map(_) if in_key => quoted(hex(&self.encoded()).as_bytes(), on),
            _ => quoted(&self.json_in(on, true), on),
        }
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn float(n: f64) -> String {
    if !n.is_finite() {
        return "null".into();
    }
    if (n as i64) as f64 == n && n != 2f64.powi(63) {
        return format!("{n:.1}");
    }
    let text = format!("{n:.15e}");
    let (digits, exponent) = text.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    if (-4..16).contains(&exponent) {
        let text = format!("{n:.*}", (15 - exponent) as usize);
        return if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').into()
        } else {
            text
        };
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn quoted(text: &[u8], on: bool) -> Vec<u8> {
    let mut out = String::from("\"");
    let mut at = 0;
    while at < text.len() {
        at += if on { escaped(&mut out, &text[at..]) } else { plain(&mut out, &text[at..]) };
    }
    out.push('"');
    out.into_bytes()
}

fn ascii(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        8 => out.push_str("\\b"),
        9 => out.push_str("\\t"),
        10 => out.push_str("\\n"),
        12 => out.push_str("\\f"),
        13 => out.push_str("\\r"),
        0x20..=0x7e => out.push(byte as char),
        _ => out.push_str(&format!("\\u{byte:04x}")),
    }
}

fn plain(out: &mut String, text: &[u8]) -> usize {
    if text[0] < 0x80 {
        ascii(out, text[0]);
        return 1;
    }
    for len in 2..=4.min(text.len()) {
        if let Ok(valid) = std::str::from_utf8(&text[..len]) {
            out.push_str(valid);
            return len;
        }
    }
    out.push('\u{fffd}');
    1
}

fn escaped(out: &mut String, text: &[u8]) -> usize {
    let lead = text[0];
    if lead < 0x80 {
        ascii(out, lead);
        return 1;
    }
    let len = match lead.leading_ones() {
        1 => 1,
        7 | 8 => 6,
        ones => ones as usize,
    };
    if len > text.len() {
        return 1;
    }
    let tail = &text[1..len];
    let mut code = u32::from(lead) & (0x7f >> len);
    for byte in tail {
        code = code << 6 | u32::from(byte & 0x3f);
    }
    let shaped = (2..=4).contains(&len) && tail.iter().all(|byte| byte & 0xc0 == 0x80);
    // U+0000 stands for every code that is none.
    let Some(char) = shaped.then(|| char::from_u32(code)).flatten() else {
        out.push(char::from_u32(0xe000 + u32::from(lead)).unwrap());
        return 1;
    };
    for unit in char.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
    len
}

/// Text of all kinds: plain, beyond ASCII, control bytes, and bytes that are no text.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-c]{0,2}".prop_map(String::into_bytes),
        "[ -~]{0,90}".prop_map(String::into_bytes),
        "\\PC{0,30}".prop_map(String::into_bytes),
        "[a-z\"\\\\\n\t\x00-\x1f\x7f]{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(
            prop_oneof![Just(0xe3u8), Just(0x81), Just(0xf0), Just(b'a'), any::<u8>()],
            0..12
        ),
    ]
}

/// Random values, with keys that repeat now and then.
pub(crate) fn values() -> impl Strategy<Value = Value> {
    let float = prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        (-1e6..1e6),
        any::<f32>().prop_map(f64::from)
    ];
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::Uint),
        (i64::MIN..0).prop_map(Value::Int),
        float.prop_map(Value::Float),
        texts().prop_map(Value::Str),
        texts().prop_map(Value::Str),
        texts().prop_map(Value::Bin),
        (any::<i8>(), texts()).prop_map(|(kind, data)| Value::Ext(kind, data)),
    ];
    leaf.prop_recursive(5, 80, 40, |inner| {
        let key = prop_oneof![8 => texts().prop_map(Value::Str), 1 => inner.clone()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..10).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner.clone()), 0..10).prop_map(Value::Map),
            proptest::collection::vec((key, inner), 0..45).prop_map(Value::Map),
        ]
    })
}
