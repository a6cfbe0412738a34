//! Records as Lua tables, and back.
//!
//! Lua knows one kind of number and one kind of table, and forgets the order of keys. On the way back the record that came is therefore
//! looked at again: its fields keep their order, what was binary stays binary, and an integer above 2^53, which a double cannot hold, stays
//! what it was if the script did not change it. New keys follow in the order of their bytes.

use std::cell::Cell;
use std::collections::HashMap;

use ikada_msgpack::{MapView, View, str_bytes, write};
use mlua::{Lua, Table, Value};

use super::trouble::Failure;

/// Tables may be nested so deep: a little less than a record may.
const DEPTH: usize = 56;

/// Bytes of what a script returns for one record.
const LARGEST: usize = 16 * 1024 * 1024;

/// Tables in what a script returns for one record: a few that hold each other can stand for any number.
const MOST_TABLES: i64 = 100_000;

/// What the options say about values.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) int_keys: Vec<String>,
    pub(super) array_keys: Vec<String>,
    pub(super) keeps_null: bool,
}

/// Turns values into Lua's and back.
#[derive(Debug)]
pub(super) struct Values {
    rules: Rules,
    /// The metatable of tables that were arrays, so that an empty one stays an array.
    array: Table,
    /// Tables read since the count was last asked for.
    read: Cell<i64>,
}

/// A map's encoded keys with their places and values.
type Places<'r> = HashMap<&'r [u8], (usize, View<'r>), foldhash::fast::RandomState>;

impl Values {
    pub(super) fn new(lua: &Lua, rules: Rules) -> mlua::Result<Self> {
        if rules.keeps_null {
            lua.globals().raw_set("flb_null", Value::NULL)?;
        }
        Ok(Self { rules, array: lua.create_table()?, read: Cell::new(0) })
    }

    /// A value as Lua sees it.
    pub(super) fn to_lua(&self, lua: &Lua, view: View<'_>) -> mlua::Result<Value> {
        Ok(match view {
            View::Nil if self.rules.keeps_null => Value::NULL,
            View::Nil | View::Ext(..) => Value::Nil,
            View::Bool(value) => Value::Boolean(value),
            View::Int(n) => Value::Number(n as f64),
            View::Uint(n) => Value::Number(n as f64),
            View::Float(n) => Value::Number(n),
            View::Str(bytes) | View::Bin(bytes) => Value::String(lua.create_string(bytes)?),
            View::Map(map) => Value::Table(self.table(lua, map)?),
            View::Array(list) => {
                let table = lua.create_table_with_capacity(list.len().min(1024), 0)?;
                for (number, item) in list.iter().enumerate() {
                    table.raw_set(number as f64 + 1.0, self.to_lua(lua, item)?)?;
                }
                table.set_metatable(Some(self.array.clone()))?;
                Value::Table(table)
            }
        })
    }

    /// A map as a table.
    pub(super) fn table(&self, lua: &Lua, map: MapView<'_>) -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(0, map.len().min(1024))?;
        for (key, value) in map.iter() {
            // Lua has no such keys.
            if matches!(key, View::Nil | View::Ext(..)) || matches!(key, View::Float(n) if n.is_nan()) {
                continue;
            }
            table.raw_set(self.to_lua(lua, key)?, self.to_lua(lua, value)?)?;
        }
        Ok(table)
    }

    /// How many tables were read since this was asked last.
    pub(super) fn tables_read(&self) -> i64 {
        self.read.take()
    }

    /// The items of a table that is a list of tables, `None` for a record.
    pub(super) fn list(&self, table: &Table) -> Result<Option<Vec<Table>>, Failure> {
        if table.raw_len() == 0 && table.metatable().as_ref() != Some(&self.array) {
            return Ok(None);
        }
        let Some(items) = self.items(table, false)? else { return Ok(None) };
        let tables = items.into_iter().map(|item| match item {
            Value::Table(item) => Ok(item),
            _ => Err(Failure::NoRecord),
        });
        tables.collect::<Result<_, _>>().map(Some)
    }

    /// A table as an encoded map; `original` is what came.
    pub(super) fn record(&self, table: &Table, original: Option<MapView<'_>>) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        self.write_map(&mut out, table, original, 1)?;
        Ok(out)
    }

    /// The items of a table that is an array, `None` if it is a map.
    fn items(&self, table: &Table, is_meant: bool) -> Result<Option<Vec<Value>>, Failure> {
        let was = is_meant || table.metatable().as_ref() == Some(&self.array);
        let len = table.raw_len();
        if len == 0 && !was {
            return Ok(None);
        }
        let (mut count, mut highest, mut others) = (0_usize, 0_usize, false);
        for pair in table.pairs::<Value, Value>() {
            match place(&pair?.0) {
                Some(at) => (count, highest) = (count + 1, highest.max(at)),
                None => others = true,
            }
        }
        // What was an array may have lost nulls on the way in: their places become null again. Far places make a map.
        let is_array = !others && (count == highest || (was && highest <= 2 * count + 8));
        if !is_array && !is_meant {
            return Ok(None);
        }
        let end = if is_array { highest } else { len };
        let items = (1..=end).map(|at| table.raw_get::<Value>(at as f64));
        Ok(Some(items.collect::<mlua::Result<_>>()?))
    }

    fn write_map(
        &self,
        out: &mut Vec<u8>,
        table: &Table,
        original: Option<MapView<'_>>,
        depth: usize,
    ) -> Result<(), Failure> {
        let places = places(original);
        let mut pairs = Vec::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            let mut encoded = Vec::new();
            match &key {
                Value::String(text) => write::str(&mut encoded, &text.as_bytes()),
                Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => scalar(&mut encoded, &key, None),
                // A table or function is no key.
                _ => continue,
            }
            let known = places.get(&*encoded).copied();
            pairs.push((known.map_or(usize::MAX, |(at, _)| at), encoded, value, known.map(|(_, view)| view)));
        }
        pairs.sort_by(|a, b| (a.0, str_bytes(&a.1), &a.1).cmp(&(b.0, str_bytes(&b.1), &b.1)));
        write::map_header(out, pairs.len());
        for (_, key, value, original) in pairs {
            out.extend_from_slice(&key);
            let name = str_bytes(&key);
            let is_in = |list: &[String]| list.iter().any(|known| Some(known.as_bytes()) == name);
            match value {
                Value::Integer(_) | Value::Number(_) if is_in(&self.rules.int_keys) => {
                    scalar(out, &truncated(&value), original);
                }
                value => self.write(out, &value, original, is_in(&self.rules.array_keys), depth)?,
            }
        }
        Ok(())
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        value: &Value,
        original: Option<View<'_>>,
        is_array: bool,
        depth: usize,
    ) -> Result<(), Failure> {
        if out.len() > LARGEST {
            return Err(Failure::TooLarge(LARGEST));
        }
        let Value::Table(table) = value else {
            scalar(out, value, original);
            return Ok(());
        };
        if depth >= DEPTH {
            return Err(Failure::TooDeep);
        }
        self.read.set(self.read.get() + 1);
        if self.read.get() > MOST_TABLES {
            return Err(Failure::TooMany(MOST_TABLES));
        }
        let Some(items) = self.items(table, is_array)? else {
            return self.write_map(out, table, original.and_then(|view| view.as_map()), depth + 1);
        };
        let mut originals = original.and_then(|view| view.as_array()).map(|list| list.raw());
        write::array_header(out, items.len());
        for item in items {
            let raw = originals.as_mut().and_then(Iterator::next);
            let original = raw.and_then(|raw| View::parse(raw).ok()).map(|(view, _)| view);
            self.write(out, &item, original, false, depth + 1)?;
        }
        Ok(())
    }
}

fn places(map: Option<MapView<'_>>) -> Places<'_> {
    let mut places = Places::default();
    for (at, (key, value)) in map.into_iter().flat_map(|map| map.raw()).enumerate() {
        if let Ok((view, _)) = View::parse(value) {
            places.insert(key, (at, view));
        }
    }
    places
}

/// The place in an array that a key stands for.
fn place(key: &Value) -> Option<usize> {
    match *key {
        Value::Integer(n) => usize::try_from(n).ok().filter(|at| *at > 0),
        Value::Number(n) if n >= 1.0 && n.fract() == 0.0 && n < 1e15 => Some(n as usize),
        _ => None,
    }
}

fn truncated(value: &Value) -> Value {
    match *value {
        Value::Number(n) if n.is_finite() => Value::Number(n.trunc()),
        _ => value.clone(),
    }
}

/// Writes what is no table. A number without a fraction is an integer (recorded case `lua-integral-float`).
fn scalar(out: &mut Vec<u8>, value: &Value, original: Option<View<'_>>) {
    match value {
        Value::Boolean(value) => write::bool(out, *value),
        Value::Integer(n) => number(out, *n as f64, original),
        Value::Number(n) => number(out, *n, original),
        Value::String(text) => match original {
            Some(View::Bin(bytes)) if *text.as_bytes() == *bytes => write::bin(out, bytes),
            _ => write::str(out, &text.as_bytes()),
        },
        _ => write::nil(out),
    }
}

fn number(out: &mut Vec<u8>, n: f64, original: Option<View<'_>>) {
    match original {
        Some(View::Int(was)) if was as f64 == n => write::int(out, was),
        Some(View::Uint(was)) if was as f64 == n => write::uint(out, was),
        _ if n.fract() == 0.0 && n.abs() < 2f64.powi(63) => write::int(out, n as i64),
        _ => write::float(out, n),
    }
}
