//! One Lua state with its script, within bounds of memory and instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ikada_plugin::EntryContext;
use ikada_record::{Tag, Timestamp, record_at};
use mlua::chunk::ChunkMode;
use mlua::debug::Debug;
use mlua::state::{GcIncParams, GcMode};
use mlua::{
    BString, Error, Function, HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, Value, VmState,
};

use super::trouble::Failure;
use super::value::{Maps, Returned, Rules};
use super::wire::Writer;

/// Bytes that a state may hold.
const MEMORY: usize = 64 * 1024 * 1024;

/// The collector waits until the state holds so many times, in hundredths, what was in use; as usual where a script keeps much.
const PAUSE: i32 = 400;
const USUAL_PAUSE: i32 = 200;

/// A script that holds more than this keeps much.
const MUCH: usize = MEMORY / 16;

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

/// What it costs, in instructions, to fill the memory and to clear it again.
const PER_FULL_MEMORY: i64 = 20_000_000;

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
    /// There are records, and metadata, in the place of what came: [`Vm::records`], [`Vm::metadata`].
    Take {
        time: Option<Timestamp>,
    },
}

/// A running script.
#[derive(Debug)]
pub(super) struct Vm {
    script: Script,
    lua: Lua,
    bridge: Option<Bridge>,
    /// The tag that was handed over last.
    tag: Option<(Tag, LuaString)>,
    left: Arc<Left>,
    writer: Writer,
    /// What is handed over, as LuaJIT reads it; kept for its room.
    coming: Vec<u8>,
    returned: Returned,
    records: Maps,
    metadata: Maps,
    /// How long the collector rests, as it was told.
    pause: i32,
}

/// The way to the script's function.
#[derive(Debug)]
struct Bridge {
    run: Function,
    release: Function,
    /// Whether the function wants group and metadata too.
    takes_metadata: bool,
}

/// What comes back: code, time in seconds, nanoseconds if the time was a table, records and metadata.
type Answered = (Value, Value, Option<f64>, Option<BString>, Option<BString>);

impl Bridge {
    /// Puts the code that converts in front of a function of the script.
    fn new(lua: &Lua, call: Function, function_info: &Function) -> mlua::Result<Self> {
        let parameters = function_info.call::<Table>(&call)?.raw_get::<Option<u32>>("params")?;
        let takes_metadata = parameters.is_some_and(|count| count >= 5);
        let convert = lua.load(include_str!("convert.lua")).set_name("=convert").into_function()?;
        let (run, release) = convert.call((lua.create_table()?, Value::NULL, call, takes_metadata))?;
        Ok(Self { run, release, takes_metadata })
    }
}

/// The tag as Lua has it; `last` is the one that was handed over last.
fn tag_text<'t>(last: &'t mut Option<(Tag, LuaString)>, lua: &Lua, tag: &Tag) -> mlua::Result<&'t LuaString> {
    let (_, text) = match last.take().filter(|(known, _)| known == tag) {
        Some(known) => last.insert(known),
        None => last.insert((tag.clone(), lua.create_string(tag.as_bytes())?)),
    };
    Ok(text)
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

    fn take(&self, instructions: i64) {
        self.call.fetch_sub(instructions, Relaxed);
        self.chunk.fetch_sub(instructions, Relaxed);
    }
}

impl Vm {
    /// Makes a state and runs the script in it.
    pub(super) fn start(script: Script) -> Result<Self, Failure> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(MEMORY)?;
        let left = Arc::new(Left { call: PER_CALL.into(), chunk: PER_CHUNK.into() });
        let function_info = bound(&lua, &left)?;
        if script.rules.keeps_null {
            lua.globals().raw_set("flb_null", Value::NULL)?;
        }
        let environment = lua.create_table()?;
        for (name, value) in &script.environment {
            environment.raw_set(&**name, &**value)?;
        }
        lua.globals().raw_set("FLB_ENV", environment)?;

        let main =
            lua.load(&*script.text).set_name(&*script.name).set_mode(ChunkMode::Text).into_function()?;
        let mut vm = Self {
            bridge: None,
            tag: None,
            left,
            writer: Writer::new(script.rules.keeps_null),
            coming: Vec::new(),
            returned: Returned::new(script.rules.clone()),
            records: Maps::default(),
            metadata: Maps::default(),
            pause: USUAL_PAUSE,
            script,
            lua,
        };
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
        vm.bridge = Some(Bridge::new(&vm.lua, call, &function_info)?);
        Ok(vm)
    }

    /// Gives the script its instructions for another chunk.
    pub(super) fn new_chunk(&self) {
        self.left.chunk.store(PER_CHUNK, Relaxed);
    }

    /// Lets the collector rest longer where little is in use: records leave much behind, and looking through what stays costs the most.
    fn pace_collector(&mut self) {
        let pause = if self.lua.used_memory() > MUCH { USUAL_PAUSE } else { PAUSE };
        if pause != self.pause {
            self.pause = pause;
            self.lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(pause)));
        }
    }

    /// Whether the last record took long.
    pub(super) fn took_long(&self) -> bool {
        self.left.call.load(Relaxed) < PER_CALL - LONG
    }

    /// The records that were returned.
    pub(super) fn records(&self) -> &Maps {
        &self.records
    }

    /// The metadata that was returned: none if it stays as it came, one map for all records, or one for each.
    pub(super) fn metadata(&self) -> &Maps {
        &self.metadata
    }

    /// Lets go of what a script held when it ran out of memory; one that keeps it starts anew.
    pub(super) fn recover(&mut self) -> Result<(), Failure> {
        self.left.take(PER_FULL_MEMORY);
        let released = self.bridge.as_ref().is_none_or(|bridge| bridge.release.call::<()>(()).is_ok());
        if released && self.lua.gc_collect().is_ok() && self.lua.used_memory() < MEMORY / 2 {
            return Ok(());
        }
        tracing::warn!(call = %self.script.call, "filter lua: the script holds too much memory; it starts anew");
        let left = self.left.chunk.load(Relaxed);
        *self = Self::start(self.script.clone())?;
        self.left.chunk.store(left, Relaxed);
        Ok(())
    }

    /// Calls the function with one encoded record.
    pub(super) fn run(&mut self, cx: &EntryContext<'_>, record: &[u8]) -> Result<Answer, Failure> {
        self.pace_collector();
        let Some(bridge) = &self.bridge else { return Ok(Answer::Keep) };
        if self.left.chunk.load(Relaxed) <= 0 {
            return Err(Failure::Spent);
        }
        self.left.call.store(PER_CALL, Relaxed);
        let mut hand_over = |map: &[u8]| {
            self.coming.clear();
            self.writer.map(&mut self.coming, record_at(map));
            self.lua.create_string(&self.coming)
        };
        let tag = tag_text(&mut self.tag, &self.lua, cx.tag)?;
        let (secs, nanos) = match self.script.time_as_table {
            true => (cx.time.secs() as f64, Some(cx.time.nanos())),
            false => (cx.time.as_f64(), None),
        };
        let answered: Answered = match cx.metadata.filter(|_| bridge.takes_metadata) {
            None => bridge.run.call((tag, secs, nanos, hand_over(record)?))?,
            Some(metadata) => {
                bridge.run.call((tag, secs, nanos, hand_over(record)?, hand_over(metadata)?))?
            }
        };
        self.read(cx, record, answered)
    }

    /// Reads what the function returned.
    fn read(&mut self, cx: &EntryContext<'_>, record: &[u8], answered: Answered) -> Result<Answer, Failure> {
        let (code, secs, nanos, records, metadata) = answered;
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
        let time = match takes_time {
            true => Some(number(&secs).and_then(|secs| read_time(secs, nanos)).ok_or(Failure::NoTime)?),
            false => None,
        };
        let records = records.ok_or(Failure::NoRecord)?;
        let read = self.returned.read(&records, Some(record_at(record)), &mut self.records);
        let read = read.and_then(|()| match metadata {
            // Whatever else was returned, the metadata stays as it came.
            None => {
                self.metadata.clear();
                Ok(())
            }
            Some(metadata) => {
                let original = cx.metadata.map(record_at);
                self.returned.read(&metadata, original, &mut self.metadata)
            }
        });
        self.left.take(PER_TABLE * self.returned.tables_read() as i64);
        read.map(|()| Answer::Take { time })
    }
}

/// Counts the state's instructions and takes from it what would get round the count. Returns the function that describes functions.
fn bound(lua: &Lua, left: &Arc<Left>) -> mlua::Result<Function> {
    let counted = left.clone();
    let triggers = HookTriggers::new().every_nth_instruction(STEP as u32);
    lua.set_global_hook(triggers, move |_, debug| {
        counted.take(STEP);
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

/// A time in seconds; with nanoseconds if the script had it as `{sec=…, nsec=…}`.
fn read_time(secs: f64, nanos: Option<f64>) -> Option<Timestamp> {
    let Some(nanos) = nanos else {
        // The fraction is cut off, not rounded (recorded case `lua-mod-1`).
        Timestamp::from_f64(secs)?;
        return Some(Timestamp::new(secs.trunc() as i64, (secs.fract() * 1e9) as u32));
    };
    let nanos = nanos.max(0.0);
    ((0.0..9e15).contains(&secs) && nanos < 1e9).then_some(Timestamp::new(secs as i64, nanos as u32))
}
