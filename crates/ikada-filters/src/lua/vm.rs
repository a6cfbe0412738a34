//! One Lua state with its script, within bounds of memory and instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ikada_plugin::EntryContext;
use ikada_record::{Timestamp, record_at};
use mlua::chunk::ChunkMode;
use mlua::debug::Debug;
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::trouble::Failure;
use super::value::{Rules, Values};

/// Bytes that a state may hold.
const MEMORY: usize = 64 * 1024 * 1024;

/// Instructions between two looks at what has been used.
const STEP: i64 = 10_000;

/// Instructions for the script's start and for one record: about half a second.
const PER_CALL: i64 = 100_000_000;

/// Instructions that are long for a record: some milliseconds.
const LONG: i64 = 1_000_000;

/// Instructions for all records of a chunk.
const PER_CHUNK: i64 = 500_000_000;

/// What a returned table costs, in instructions: reading it is not the script's work, but its doing.
const PER_TABLE: i64 = 100;

/// What a state is made of.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// The name that errors show, with the sign in front that Lua wants.
    pub(super) name: String,
    pub(super) text: Vec<u8>,
    pub(super) call: String,
    pub(super) rules: Rules,
    pub(super) time_as_table: bool,
    /// What the global `FLB_ENV` holds.
    pub(super) environment: Vec<(String, String)>,
    /// The script is read but not run.
    pub(super) only_checked: bool,
}

/// Words by which a script may define a function whose name is not in its text.
const BY_OTHER_MEANS: [&[u8]; 4] = [b"load", b"require", b"dofile", b"_G"];

impl Script {
    /// Whether the text can define the function, as far as that shows without running it.
    fn may_define_its_function(&self) -> bool {
        let has = |word: &[u8]| memchr::memmem::find(&self.text, word).is_some();
        self.text.is_empty() || has(self.call.as_bytes()) || BY_OTHER_MEANS.into_iter().any(has)
    }
}

/// What a script says of a record.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Keep,
    Drop,
    Take {
        time: Option<Timestamp>,
        /// One for all records, or one for each; none if it stays as it came.
        metadata: Vec<Vec<u8>>,
        records: Vec<Vec<u8>>,
    },
}

/// A running script.
#[derive(Debug)]
pub(super) struct Vm {
    script: Script,
    lua: Lua,
    call: Option<Function>,
    /// Whether the function wants group and metadata too.
    takes_metadata: bool,
    values: Values,
    left: Arc<Left>,
}

/// Instructions that are left.
#[derive(Debug, Default)]
struct Left {
    call: AtomicI64,
    chunk: AtomicI64,
}

impl Left {
    fn is_spent(&self) -> bool {
        self.call.load(Relaxed) <= 0 || self.chunk.load(Relaxed) <= 0
    }
}

impl Vm {
    /// Makes a state and runs the script in it.
    pub(super) fn start(script: Script) -> Result<Self, Failure> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(MEMORY)?;
        let left = Arc::new(Left { call: PER_CALL.into(), chunk: PER_CHUNK.into() });
        let function_info = bound(&lua, &left)?;
        let values = Values::new(&lua, script.rules.clone())?;
        let environment = lua.create_table()?;
        for (name, value) in &script.environment {
            environment.raw_set(&**name, &**value)?;
        }
        lua.globals().raw_set("FLB_ENV", environment)?;

        let main =
            lua.load(&*script.text).set_name(&*script.name).set_mode(ChunkMode::Text).into_function()?;
        let mut vm = Self { script, lua, call: None, takes_metadata: false, values, left };
        if vm.script.only_checked {
            return if vm.script.may_define_its_function() {
                Ok(vm)
            } else {
                Err(Failure::NoFunction(vm.script.call))
            };
        }
        main.call::<()>(())?;
        let Ok(Value::Function(call)) = vm.lua.globals().get::<Value>(&*vm.script.call) else {
            return Err(Failure::NoFunction(vm.script.call));
        };
        let parameters = function_info.call::<Table>(&call)?.raw_get::<Option<u32>>("params")?;
        vm.takes_metadata = parameters.is_some_and(|count| count >= 5);
        vm.call = Some(call);
        Ok(vm)
    }

    /// Gives the script its instructions for another chunk.
    pub(super) fn new_chunk(&self) {
        self.left.chunk.store(PER_CHUNK, Relaxed);
    }

    /// Whether the last record took long.
    pub(super) fn took_long(&self) -> bool {
        self.left.call.load(Relaxed) < PER_CALL - LONG
    }

    /// Lets go of what a script held when it ran out of memory; one that keeps it starts anew.
    pub(super) fn recover(&mut self) -> Result<(), Failure> {
        if self.lua.gc_collect().is_ok() && self.lua.used_memory() < MEMORY / 2 {
            return Ok(());
        }
        tracing::warn!(call = %self.script.call, "filter lua: the script holds too much memory; it starts anew");
        let left = self.left.chunk.load(Relaxed);
        *self = Self::start(self.script.clone())?;
        self.left.chunk.store(left, Relaxed);
        Ok(())
    }

    /// Calls the function with one encoded record.
    pub(super) fn run(&self, cx: &EntryContext<'_>, record: &[u8]) -> Result<Answer, Failure> {
        let Some(call) = &self.call else { return Ok(Answer::Keep) };
        if self.left.chunk.load(Relaxed) <= 0 {
            return Err(Failure::Spent);
        }
        self.left.call.store(PER_CALL, Relaxed);
        let tag = self.lua.create_string(cx.tag.as_bytes())?;
        let time = self.time(cx.time)?;
        let table = self.values.table(&self.lua, record_at(record))?;
        let mut answer = if self.takes_metadata {
            let group = self.lua.create_table()?;
            let metadata = match cx.metadata {
                Some(metadata) => self.values.table(&self.lua, record_at(metadata))?,
                None => self.lua.create_table()?,
            };
            call.call::<MultiValue>((tag, time, group, metadata, table))?
        } else {
            call.call::<MultiValue>((tag, time, table))?
        };
        let mut next = || answer.pop_front().unwrap_or(Value::Nil);
        let (code, time) = (next(), next());
        let metadata = if self.takes_metadata { next() } else { Value::Nil };
        let returned = next();
        let takes_time = match code {
            Value::Nil => return Ok(Answer::Keep),
            ref code => match number(code) {
                Some(-1.0) => return Ok(Answer::Drop),
                Some(0.0) => return Ok(Answer::Keep),
                Some(1.0) => true,
                Some(2.0) => false,
                Some(other) => return Err(Failure::Code(other.to_string())),
                None => return Err(Failure::Code(format!("of type {}", code.type_name()))),
            },
        };
        let time = if takes_time { Some(read_time(&time).ok_or(Failure::NoTime)?) } else { None };
        let records = self.records(&returned, record);
        let metadata = self.metadata(&metadata, cx.metadata);
        self.left.chunk.fetch_sub(PER_TABLE * self.values.tables_read(), Relaxed);
        Ok(Answer::Take { time, metadata: metadata?, records: records? })
    }

    /// The metadata that was returned: one map, or one for each record. Whatever else it is, the metadata stays as it came.
    fn metadata(&self, returned: &Value, original: Option<&[u8]>) -> Result<Vec<Vec<u8>>, Failure> {
        let Value::Table(table) = returned else { return Ok(Vec::new()) };
        let original = original.map(record_at);
        match self.values.list(table)? {
            None => Ok(vec![self.values.record(table, original)?]),
            Some(list) => list.iter().map(|item| self.values.record(item, original)).collect(),
        }
    }

    fn records(&self, returned: &Value, record: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let Value::Table(table) = returned else { return Err(Failure::NoRecord) };
        let original = Some(record_at(record));
        match self.values.list(table)? {
            None => Ok(vec![self.values.record(table, original)?]),
            Some(list) => list.iter().map(|item| self.values.record(item, original)).collect(),
        }
    }

    fn time(&self, time: Timestamp) -> mlua::Result<Value> {
        if !self.script.time_as_table {
            return Ok(Value::Number(time.as_f64()));
        }
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("sec", time.secs() as f64)?;
        table.raw_set("nsec", f64::from(time.nanos()))?;
        Ok(Value::Table(table))
    }
}

/// Counts the state's instructions and takes from it what would get round the count. Returns the function that describes functions.
fn bound(lua: &Lua, left: &Arc<Left>) -> mlua::Result<Function> {
    let counted = left.clone();
    let triggers = HookTriggers::new().every_nth_instruction(STEP as u32);
    lua.set_global_hook(triggers, move |_, debug| {
        counted.call.fetch_sub(STEP, Relaxed);
        counted.chunk.fetch_sub(STEP, Relaxed);
        if counted.is_spent() { Err(overdue(debug)) } else { Ok(VmState::Continue) }
    })?;
    let asked = left.clone();
    let is_spent = lua.create_function(move |_, ()| Ok(asked.is_spent()))?;
    lua.load(include_str!("prelude.lua")).set_name("=prelude").call(is_spent)
}

fn overdue(debug: &Debug) -> Error {
    let source = debug.source();
    let (script, line) = (source.short_src.as_deref().unwrap_or("?"), debug.current_line().unwrap_or(0));
    Error::RuntimeError(format!("{script}:{line}: the script runs too long and was interrupted"))
}

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::Integer(n) => Some(n as f64),
        Value::Number(n) => Some(n),
        _ => None,
    }
}

/// A time as a number of seconds or as `{sec=…, nsec=…}`.
fn read_time(value: &Value) -> Option<Timestamp> {
    if let Some(secs) = number(value) {
        // The fraction is cut off, not rounded (recorded case `lua-mod-1`).
        Timestamp::from_f64(secs)?;
        return Some(Timestamp::new(secs.trunc() as i64, (secs.fract() * 1e9) as u32));
    }
    let Value::Table(table) = value else { return None };
    let part = |name| number(&table.raw_get::<Value>(name).ok()?).filter(|n| (0.0..9e15).contains(n));
    let nanos = part("nsec").unwrap_or(0.0);
    (nanos < 1e9).then_some(Timestamp::new(part("sec")? as i64, nanos as u32))
}
