//! Records as GELF 1.1 (Graylog Extended Log Format).
//!
//! Five keys have a meaning of their own; every other one is an additional field, `_` in front. Maps are flattened with `_` between the
//! names, arrays become text, booleans `"true"` and `"false"`, and what is nil is left out (reference, outputs §7.5, and measured). The
//! short message must be there: without one it is the record as JSON.

use ikada_msgpack::{MapView, View};
use ikada_options::Options;
use ikada_record::Entry;
use ikada_record::json::{JsonStyle, write_record_in_string, write_str_escaped, write_value};

/// Which fields of a record are GELF's own.
#[derive(Debug, Clone, Options)]
#[options(common = "gelf")]
pub struct GelfKeys {
    /// Field with the time; without it the record's own time is written.
    #[option(name = "gelf_timestamp_key", default = "timestamp")]
    pub timestamp: String,
    /// Field with the host.
    #[option(name = "gelf_host_key", default = "host")]
    pub host: String,
    /// Field with the message; without it the record is the message, as JSON.
    #[option(name = "gelf_short_message_key", default = "short_message")]
    pub short_message: String,
    /// Field with the long message.
    #[option(name = "gelf_full_message_key", default = "full_message")]
    pub full_message: String,
    /// Field with the level: a number from 0 to 7, or a name as `warning`.
    #[option(name = "gelf_level_key", default = "level")]
    pub level: String,
}

/// Names of the levels, the number being the place (RFC 5424, table 2).
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Nesting that is followed; what is deeper is left out.
const DEPTH: usize = 32;

/// Writes an entry and a line end.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry<'_>, keys: &GelfKeys, style: JsonStyle) {
    out.extend_from_slice(b"{\"version\":\"1.1\"");
    let mut writer = Writer { out, style };
    let (mut has_time, mut has_message) = (false, false);
    for (key, value) in entry.record().raw() {
        let Some(key) = ikada_msgpack::str_bytes(key) else { continue };
        let is = |name: &str| key == name.as_bytes();
        let own = [
            (&keys.timestamp, "timestamp"),
            (&keys.host, "host"),
            (&keys.short_message, "short_message"),
            (&keys.full_message, "full_message"),
        ];
        if let Some((_, name)) = own.iter().find(|(key, _)| is(key)) {
            has_time |= *name == "timestamp";
            has_message |= *name == "short_message" && is_one_field(value);
            writer.field(name.as_bytes(), value, 0);
        } else if is(&keys.level) {
            writer.level(value);
        } else {
            // `_id` is the server's own (GELF 1.1, "Additional field").
            let prefix: &[u8] = if key == b"id" { b"__" } else { b"_" };
            writer.field(&[prefix, key].concat(), value, 0);
        }
    }
    if !has_time {
        let time = entry.time();
        let text = format!(",\"timestamp\":{}.{:03}", time.secs(), time.nanos() / 1_000_000);
        writer.out.extend_from_slice(text.as_bytes());
    }
    if !has_message {
        writer.name(b"short_message");
        writer.out.push(b'"');
        write_record_in_string(writer.out, entry.record_bytes(), style);
        writer.out.push(b'"');
    }
    writer.out.extend_from_slice(b"}\n");
}

/// Whether a value is written under its own name: nil is left out, and a map is flattened.
fn is_one_field(value: &[u8]) -> bool {
    !matches!(View::parse(value), Ok((View::Nil | View::Map(_), _)) | Err(_))
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    style: JsonStyle,
}

impl Writer<'_> {
    fn field(&mut self, name: &[u8], value: &[u8], depth: usize) {
        let Ok((view, _)) = View::parse(value) else { return };
        match view {
            View::Nil => {}
            View::Map(map) => self.flattened(name, map, depth),
            View::Array(_) => {
                self.name(name);
                let mut text = Vec::new();
                plain(&mut text, value, 0);
                self.text(&text);
            }
            View::Bool(value) => {
                self.name(name);
                self.text(if value { b"true" } else { b"false" });
            }
            _ => {
                self.name(name);
                write_value(self.out, value, self.style);
            }
        }
    }

    fn flattened(&mut self, name: &[u8], map: MapView<'_>, depth: usize) {
        if depth >= DEPTH {
            return;
        }
        for (key, value) in map.raw() {
            if let Some(key) = ikada_msgpack::str_bytes(key) {
                self.field(&[name, b"_", key].concat(), value, depth + 1);
            }
        }
    }

    /// A number from 0 to 7 or a level's name; anything else is no level and becomes an additional field.
    fn level(&mut self, value: &[u8]) {
        let number = match View::parse(value) {
            Ok((View::Uint(n @ 0..=7), _)) => Some(n as usize),
            Ok((View::Str([digit @ b'0'..=b'7']), _)) => Some(usize::from(digit - b'0')),
            Ok((View::Str(name), _)) => {
                LEVELS.iter().position(|level| level.as_bytes().eq_ignore_ascii_case(name))
            }
            _ => None,
        };
        match number {
            Some(number) => {
                self.name(b"level");
                self.out.extend_from_slice(number.to_string().as_bytes());
            }
            None => self.field(b"_level", value, 0),
        }
    }

    /// Names hold letters, digits, `_`, `-` and `.` only.
    fn name(&mut self, name: &[u8]) {
        self.out.extend_from_slice(b",\"");
        let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        self.out.extend(name.iter().map(|byte| if safe(byte) { *byte } else { b'_' }));
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        write_str_escaped(self.out, text);
        self.out.push(b'"');
    }
}

/// A value as text: `1, a, k=2`.
fn plain(out: &mut Vec<u8>, value: &[u8], depth: usize) {
    let Ok((view, _)) = View::parse(value) else { return };
    if depth >= DEPTH {
        return;
    }
    match view {
        View::Str(text) => out.extend_from_slice(text),
        View::Array(array) => {
            for (n, element) in array.raw().enumerate() {
                out.extend_from_slice(if n > 0 { b", " } else { b"" });
                plain(out, element, depth + 1);
            }
        }
        View::Map(map) => {
            for (n, (key, value)) in map.raw().enumerate() {
                out.extend_from_slice(if n > 0 { b", " } else { b"" });
                plain(out, key, depth + 1);
                out.push(b'=');
                plain(out, value, depth + 1);
            }
        }
        _ => {
            write_value(out, value, JsonStyle { escape_unicode: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_options::{Diagnostics, PropertyBag, Sources};
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};

    use super::*;

    fn keys() -> GelfKeys {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", "");
        let mut bag = PropertyBag::new("output http", file.span(0, 0), Vec::new());
        GelfKeys::parse(&mut bag, &mut Diagnostics::new()).unwrap()
    }

    fn gelf(json: &str, keys: &GelfKeys) -> String {
        let mut record = Vec::new();
        ikada_parse::json::transcode_one(json.as_bytes(), &mut record).unwrap();
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1_700_000_000, 123_456_717), &record);
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        write(&mut out, &chunk.entries().next().unwrap(), keys, JsonStyle::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_measured_record_comes_out_as_measured() {
        let json = r#"{"log":"short","host":"h1","level":"3","short_message":"sm","full_message":"fm","n":1,"f":1.5,"b":true,
            "nil":null,"m":{"x":1,"y":{"z":"q"}},"arr":[1,"a",{"k":2}],"_id":"u","we ird":"v","timestamp":"12","app":"A"}"#;
        let keys = GelfKeys { short_message: "log".into(), ..keys() };
        assert_eq!(
            gelf(json, &keys),
            concat!(
                r#"{"version":"1.1","short_message":"short","host":"h1","level":3,"_short_message":"sm","full_message":"fm","_n":1,"_f":1.5,"#,
                r#""_b":"true","_m_x":1,"_m_y_z":"q","_arr":"1, a, k=2","__id":"u","_we_ird":"v","timestamp":"12","_app":"A"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn without_a_time_of_its_own_the_record_s_is_written() {
        let text = gelf(r#"{"short_message":"a\"b","id":1,"level":"WARNING"}"#, &keys());
        let wanted =
            r#"{"version":"1.1","short_message":"a\"b","__id":1,"level":4,"timestamp":1700000000.123}"#;
        assert_eq!(text, format!("{wanted}\n"));
        assert!(gelf(r#"{"level":99}"#, &keys()).contains("\"_level\":99"));
    }

    #[test]
    fn without_a_short_message_the_record_is_it() {
        assert_eq!(
            gelf(r#"{"timestamp":1,"log":"a\"b"}"#, &keys()),
            concat!(
                r#"{"version":"1.1","timestamp":1,"_log":"a\"b","short_message":"{\"timestamp\":1,\"log\":\"a\\\"b\"}"}"#,
                "\n"
            )
        );
        for none in ["null", "{}", r#"{"k":1}"#] {
            let record = format!("{{\"short_message\":{none}}}");
            let text = gelf(&record, &keys());
            let message: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(message["short_message"], record, "{text}");
        }
        assert!(gelf(r#"{"short_message":""}"#, &keys()).contains(r#""short_message":"","#));
    }
}
