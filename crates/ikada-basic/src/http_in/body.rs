//! From a body to records. No I/O.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::StatusCode;
use ikada_msgpack::{View, write};
use ikada_parse::json::transcode_one;

/// Why a request is not taken, for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    /// What Fluent Bit answers to everything that it does not understand.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message }
    }
}

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON values, one after another.
    Json,
    /// `a=b&c=d`.
    Form,
}

impl Content {
    /// The content of a `Content-Type`, whose parameters mean nothing.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json"
            | "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines" => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            _ => None,
        }
    }
}

/// Unpacks a body; `limit` is for what comes out.
pub(super) fn unpacked(body: &[u8], encoding: &str, limit: usize) -> Result<Vec<u8>, Refusal> {
    let most = limit as u64 + 1;
    let mut out = Vec::new();
    let read = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body.to_vec()),
        "gzip" | "x-gzip" => MultiGzDecoder::new(body).take(most).read_to_end(&mut out),
        "deflate" => ZlibDecoder::new(body).take(most).read_to_end(&mut out),
        "zstd" => zstd::Decoder::new(body).and_then(|decoder| decoder.take(most).read_to_end(&mut out)),
        other => {
            let message = format!("the content encoding {other} is not known");
            return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message });
        }
    };
    match read {
        Err(error) => Err(Refusal::bad(format!("the body cannot be unpacked: {error}"))),
        Ok(_) if out.len() > limit => Err(Refusal::too_large(limit)),
        Ok(_) => Ok(out),
    }
}

/// The records of a body, each an encoded map.
pub(super) fn records(body: &[u8], content: Content) -> Result<Vec<Vec<u8>>, Refusal> {
    let records = match content {
        Content::Json => json(body)?,
        Content::Form => vec![form(body)],
    };
    // An empty list is a batch of nothing.
    let is_nothing = content != Content::Json || body.trim_ascii().is_empty();
    if records.is_empty() && is_nothing { Err(Refusal::bad("the body has no records")) } else { Ok(records) }
}

/// Objects, and arrays of objects, one after another; commas between them and a NUL at the end mean nothing.
fn json(whole: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let (mut records, mut body) = (Vec::new(), whole);
    loop {
        body = body.trim_ascii_start();
        match body {
            [] | [0] => return Ok(records),
            [b',', rest @ ..] if !records.is_empty() => {
                body = rest;
                continue;
            }
            _ => {}
        }
        let mut value = Vec::new();
        let used = transcode_one(body, &mut value).map_err(|mut error| {
            error.offset += whole.len() - body.len();
            Refusal::bad(format!("not JSON: {error}"))
        })?;
        body = &body[used..];
        match View::parse(&value) {
            Ok((View::Map(_), _)) => records.push(value),
            Ok((View::Array(array), _)) => {
                for element in array.raw() {
                    if !matches!(View::parse(element), Ok((View::Map(_), _))) {
                        return Err(Refusal::bad("an array holds something that is no object"));
                    }
                    records.push(element.to_vec());
                }
            }
            _ => return Err(Refusal::bad("a value is neither an object nor an array of objects")),
        }
    }
}

/// The pairs of a form (URL standard, "application/x-www-form-urlencoded parsing").
fn form(body: &[u8]) -> Vec<u8> {
    let pairs: Vec<&[u8]> = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).collect();
    let mut record = Vec::new();
    write::map_header(&mut record, pairs.len());
    for pair in pairs {
        let middle = pair.iter().position(|byte| *byte == b'=');
        let (key, value) = middle.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
        write::str(&mut record, &decoded(key));
        write::str(&mut record, &decoded(value));
    }
    record
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (text[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
        at += 1;
    }
    out
}

/// The tag of a path: without its first slash, and `_` for everything but letters, digits, `_` and `.`. `None` for `/` alone.
pub(super) fn tag_of(path: &str) -> Option<Vec<u8>> {
    let tag = path.strip_prefix('/').unwrap_or(path);
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    (!tag.is_empty()).then(|| tag.bytes().map(|byte| if safe(byte) { byte } else { b'_' }).collect())
}

#[cfg(test)]
mod tests {
    use ikada_record::json::{JsonStyle, write_record};

    use super::*;

    fn texts(body: &str, content: Content) -> Result<Vec<String>, String> {
        let text = |record: Vec<u8>| {
            let mut out = Vec::new();
            write_record(&mut out, &record, JsonStyle { escape_unicode: false });
            String::from_utf8(out).unwrap()
        };
        records(body.as_bytes(), content)
            .map(|records| records.into_iter().map(text).collect())
            .map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_path_is_the_tag() {
        assert_eq!(tag_of("/app.log/x-y").unwrap(), b"app.log_x_y");
        assert_eq!(tag_of("/%E3").unwrap(), b"_E3");
        assert_eq!(tag_of("/"), None);
        assert_eq!(tag_of(""), None);
    }

    #[test]
    fn objects_come_alone_in_arrays_and_in_rows() {
        let json = |body| texts(body, Content::Json);
        assert_eq!(json(" {\"a\":1} "), Ok(vec!["{\"a\":1}".into()]));
        assert_eq!(
            json("[{\"a\":1},{\"b\":2}]\n{\"c\":3}{}"),
            Ok(["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "{}"].map(String::from).into())
        );
        assert_eq!(json("[{},1]"), Err("an array holds something that is no object".into()));
        assert_eq!(json("[]"), Ok(Vec::new()));
        assert_eq!(json("{\"a\":1},[{\"b\":2}], {}\0").map(|all| all.len()), Ok(3));
        assert_eq!(json("{\"a\":1} x"), Err("not JSON: expected a value at byte 8".into()));
        assert!(json(",{}").is_err());
        assert!(json("7").is_err() && json("").is_err());
    }

    #[test]
    fn a_form_is_one_record() {
        let form = |body| texts(body, Content::Form).unwrap().remove(0);
        assert_eq!(
            form("a=b+c&d=%E6%97%A5&e&f=%zz"),
            "{\"a\":\"b c\",\"d\":\"日\",\"e\":\"\",\"f\":\"%zz\"}"
        );
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = zstd::bulk::compress(&vec![b' '; 1_000_000], 1).unwrap();
        assert_eq!(unpacked(&packed, "zstd", 1000).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(unpacked(&packed, "zstd", 1_000_000).unwrap().len(), 1_000_000);
        assert_eq!(unpacked(b"x", "gzip", 10).unwrap_err().status, StatusCode::BAD_REQUEST);
        assert_eq!(unpacked(b"x", "br", 10).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
