//! Fields of text on their way into a map: the time is read, the others get their types.

use ikada_msgpack::write;
use ikada_record::Timestamp;

use super::NoMatch;
use super::map::MapWriter;
use super::time_field::TimeField;
use super::types::FieldType;

/// What a field is beside text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// The time is looked for in it.
    pub(super) is_time: bool,
    pub(super) kind: FieldType,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'t> {
    Text(&'t [u8]),
    /// A logfmt key without a value.
    True,
}

/// A record under way.
pub(super) struct Building<'b> {
    time_field: Option<&'b TimeField>,
    now: Timestamp,
    map: MapWriter,
    out: &'b mut Vec<u8>,
    time: Option<Timestamp>,
    fields: usize,
}

impl<'b> Building<'b> {
    pub(super) fn new(
        time_field: Option<&'b TimeField>,
        now: Timestamp,
        map: MapWriter,
        out: &'b mut Vec<u8>,
    ) -> Self {
        Self { time_field, now, map, out, time: None, fields: 0 }
    }

    /// Adds a field whose name is encoded already.
    pub(super) fn put_encoded(&mut self, key: &[u8], role: Role, value: Value<'_>) {
        if self.keeps(role, value) {
            self.out.extend_from_slice(key);
            self.write(role, value);
        }
    }

    pub(super) fn put(&mut self, name: &[u8], role: Role, value: Value<'_>) {
        if self.keeps(role, value) {
            write::str(self.out, name);
            self.write(role, value);
        }
    }

    /// Ends the record and returns its time.
    pub(super) fn finish(self) -> Option<Timestamp> {
        self.map.finish(self.out);
        self.time
    }

    /// Ends a record that must have had a field.
    pub(super) fn finish_some(self) -> Result<Option<Timestamp>, NoMatch> {
        if self.fields == 0 { Err(NoMatch) } else { Ok(self.finish()) }
    }

    /// Reads the time where it stands; says whether the field goes into the record.
    fn keeps(&mut self, role: Role, value: Value<'_>) -> bool {
        self.fields += 1;
        let (true, None, Some(field), Value::Text(text)) = (role.is_time, self.time, self.time_field, value)
        else {
            return true;
        };
        let Some(found) = field.read(text, self.now) else { return true };
        self.time = found.time;
        found.keep
    }

    fn write(&mut self, role: Role, value: Value<'_>) {
        match value {
            Value::Text(text) => role.kind.write(text, self.out),
            Value::True => write::bool(self.out, true),
        }
        self.map.add(1);
    }
}
