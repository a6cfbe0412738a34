//! `lua`: a function of the user's own looks at every record.
//!
//! The script runs in one LuaJIT state behind a lock ([`vm`]); records become tables in one step that LuaJIT itself does ([`wire`]), and
//! tables records ([`value`]). A script may err, loop or grow: its memory is bounded, its instructions are counted, and whatever goes wrong,
//! the record passes as it came and one line in a while says how many it stands for. A script that takes long is run where the tasks of
//! other inputs and outputs do not wait for it.
//!
//! Instructions can be counted only where LuaJIT interprets: its compiled code never looks up. The compiler is therefore off.

mod trouble;
mod value;
mod vm;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{Options, PropertyBag, SpaceList, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{Emitted, EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece, record_at};
use tokio::runtime::{Handle, RuntimeFlavor};

use self::trouble::{Failure, Troubles};
use self::vm::{Answer, Script, Vm};

/// Runs a Lua function on every record.
///
/// The function gets the tag, the time and the record, and returns a code, a time and a record: `-1` drops the record, `0` leaves it as it
/// was, `1` takes time and record, `2` takes the record only. A list of records instead of a record makes several.
#[derive(Debug, Options)]
#[options(filter = "lua")]
pub struct LuaOptions {
    /// The script's file. A relative path starts at the working directory, then at the directory of the main configuration file.
    #[option(example = "/fluent-bit/etc/mask.lua")]
    pub script: Option<Spanned<PathBuf>>,
    /// The script itself, in place of a file.
    #[option(example = "function cb(tag, ts, record) record.seen = true return 2, ts, record end")]
    pub code: Option<Spanned<String>>,
    /// The function that is called with every record. One with five parameters gets `(tag, time, group, metadata, record)` and returns
    /// `code, time, metadata, record`, or lists of both.
    #[option(required, example = "cb")]
    pub call: Spanned<String>,
    /// Names of fields whose numbers become integers; a fraction is cut off.
    #[option(example = "status bytes")]
    pub type_int_key: Option<SpaceList>,
    /// Names of fields whose tables become arrays, even when they are empty.
    #[option(example = "tags")]
    pub type_array_key: Option<SpaceList>,
    /// An error in the script leaves the record as it was. Ikada does so always.
    #[option(default = "true")]
    pub protected_mode: Spanned<bool>,
    /// Hands the time over as a table `{sec=…, nsec=…}` and takes it back as one. A plain number of seconds loses the last digits.
    #[option(default = "false")]
    pub time_as_table: bool,
    /// Hands null over as the global `flb_null`; without it, fields that are null vanish.
    #[option(default = "false")]
    pub enable_flb_null: bool,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Lua {
    state: Mutex<State>,
    turn: Turn,
    /// How many more records are expected to take long.
    slow: AtomicU32,
}

/// After a record that took long, so many records are run where others do not wait for them.
const SLOW: u32 = 1000;

/// How often it is looked whether the script is free before the thread is left to others: another input's record takes some microseconds,
/// less than to wait and to be woken.
const LOOKS: u32 = 200;

/// Longest wait for another input's chunk.
const LONGEST_TURN: Duration = Duration::from_millis(50);

/// The thread whose chunk passes. Chunks pass one after the other: two whose records took turns would spend more time waiting than running. The
/// lock around the script is what keeps them apart; where a chunk takes long or its end is never told, the next one goes ahead.
#[derive(Debug, Default)]
struct Turn {
    of: Mutex<Option<ThreadId>>,
    free: Condvar,
}

impl Turn {
    fn of(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) {
        let me = thread::current().id();
        let is_taken = |of: &mut Option<ThreadId>| of.is_some_and(|other| other != me);
        let mut of = self.of();
        if is_taken(&mut of) {
            drop(of);
            of = beside(|| {
                let waited = self.free.wait_timeout_while(self.of(), LONGEST_TURN, is_taken);
                waited.unwrap_or_else(PoisonError::into_inner).0
            });
        }
        *of = Some(me);
    }

    fn end(&self) {
        if self.of().take_if(|of| *of == thread::current().id()).is_some() {
            self.free.notify_one();
        }
    }
}

#[derive(Debug)]
struct State {
    vm: Vm,
    troubles: Troubles,
    /// The record as it came, encoded; kept for its room.
    original: Vec<u8>,
}

impl Lua {
    /// Runs the script and finds its function.
    fn build(script: Script, place: Span, call: Span, found: &mut Diagnostics) -> Option<Self> {
        let function = script.call.clone();
        match Vm::start(script) {
            Ok(vm) => Some(Self {
                state: Mutex::new(State { vm, troubles: Troubles::default(), original: Vec::new() }),
                turn: Turn::default(),
                slow: AtomicU32::new(0),
            }),
            Err(failure) => {
                let place = if matches!(failure, Failure::NoFunction(_)) { call } else { place };
                let finding = Diagnostic::error(codes::BAD_VALUE, failure.to_string()).at(place);
                found.push(match failure {
                    Failure::NoFunction(_) => {
                        finding.help(format!("define it: `function {function}(tag, timestamp, record)`"))
                    }
                    _ => finding,
                });
                None
            }
        }
    }

    /// The script, as soon as it serves no other input.
    fn state(&self) -> MutexGuard<'_, State> {
        for _ in 0..LOOKS {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        beside(|| self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if cx.position == 0 {
            self.turn.take();
        }
        let mut state = self.state();
        if cx.position == 0 {
            state.vm.new_chunk();
        }
        let State { vm, troubles, original } = &mut *state;
        original.clear();
        fields.write(original);
        let answer = vm.run(cx, original);
        if vm.took_long() {
            self.slow.store(SLOW, Relaxed);
        }
        match answer {
            Ok(Answer::Keep) => Verdict::Keep,
            Ok(Answer::Drop) => Verdict::Drop,
            Ok(Answer::Take { time }) => {
                if let Some(time) = time {
                    cx.set_time(time);
                }
                take(vm, original, cx, fields)
            }
            Err(failure) => {
                troubles.note(&failure);
                if failure.is_of_memory()
                    && let Err(failure) = vm.recover()
                {
                    troubles.note(&failure);
                }
                Verdict::Keep
            }
        }
    }
}

/// Puts what the script returned in the place of a record: the last of several, while those before it are emitted.
fn take(vm: &Vm, original: &[u8], cx: &mut EntryContext<'_>, fields: &mut Fields<'_>) -> Verdict {
    let (records, metadata) = (vm.records(), vm.metadata());
    let came = cx.metadata.unwrap_or(NO_METADATA);
    let of_record = |number: usize| match metadata.len() {
        0 => came,
        1 => metadata.get(0).unwrap_or(NO_METADATA),
        _ => metadata.get(number).unwrap_or(NO_METADATA),
    };
    let Some(last) = records.len().checked_sub(1) else { return Verdict::Drop };
    for number in 0..last {
        cx.emit_held(Emitted {
            tag: cx.tag.clone(),
            time: cx.time,
            metadata: of_record(number).to_vec(),
            record: records.get(number).unwrap_or(NO_METADATA).to_vec(),
            held: Vec::new(),
        });
    }
    if of_record(last) != came {
        cx.set_metadata(of_record(last).to_vec());
    }
    if let Some(record) = records.get(last).filter(|record| *record != original) {
        replace(fields, record);
    }
    Verdict::Keep
}

/// An empty map.
const NO_METADATA: &[u8] = &[0x80];

/// Does work that may take long, or waits, while another thread goes on with the other tasks of this one.
fn beside<R>(work: impl FnOnce() -> R) -> R {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Filter for Lua {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        match self.slow.load(Relaxed) {
            0 => self.run(cx, fields),
            left => {
                self.slow.store(left - 1, Relaxed);
                beside(|| self.run(cx, fields))
            }
        }
    }

    fn end_of_chunk(&self) {
        self.state().troubles.tell();
        self.turn.end();
    }
}

/// Puts the fields of an encoded record in the place of others.
fn replace(fields: &mut Fields<'_>, record: &[u8]) {
    fields.retain(|_| false);
    for (key, value) in record_at(record).raw() {
        let (mut new_key, mut new_value) = (fields.buffer(), fields.buffer());
        new_key.extend_from_slice(key);
        new_value.extend_from_slice(value);
        fields.push(Piece::Own(new_key), Piece::Own(new_value));
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "lua", aliases: &[], options: LuaOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = LuaOptions::parse(bag, found)?;
    if !options.protected_mode.value {
        let message = "errors of the script never end the router";
        found.push(Diagnostic::warning(codes::NO_EFFECT, message).at(options.protected_mode.span));
    }
    let (name, text, place) = source(&options, section, cx, found)?;
    let keys = |list: &Option<SpaceList>| list.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let script = Script {
        name,
        text,
        call: options.call.value.clone(),
        rules: value::Rules {
            int_keys: keys(&options.type_int_key),
            array_keys: keys(&options.type_array_key),
            keeps_null: options.enable_flb_null,
        },
        time_as_table: options.time_as_table,
        environment: cx.service.variables.0.to_vec(),
        only_checked: cx.dry_run,
    };
    Lua::build(script, place, options.call.span, found).map(|filter| Box::new(filter) as Box<dyn Filter>)
}

/// The script's name as Lua shows it, its text and its place in the configuration.
fn source(
    options: &LuaOptions,
    section: Span,
    cx: &BuildContext,
    found: &mut Diagnostics,
) -> Option<(String, Vec<u8>, Span)> {
    let (script, code) = (&options.script, &options.code);
    if let (Some(script), Some(_)) = (script, code) {
        let message = "`script` is not read where there is `code`";
        found.push(Diagnostic::warning(codes::CONFLICTING_OPTIONS, message).at(script.span));
    }
    if let Some(code) = code {
        return Some(("=code".into(), code.value.clone().into_bytes(), code.span));
    }
    let Some(script) = script else {
        let message = "the filter `lua` needs a script";
        let finding = Diagnostic::error(codes::MISSING_OPTION, message).at(section);
        found.push(finding.help("add `script` with a file, or `code` with the script itself"));
        return None;
    };
    let name = format!("@{}", script.value.display());
    match read(&script.value, &cx.service.config_dir) {
        Ok(text) => Some((name, text, script.span)),
        // A check may run where the file is not; whether it is there is looked at for all plugins at once.
        Err(_) if cx.dry_run => Some((name, Vec::new(), script.span)),
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", script.value.display());
            let finding = Diagnostic::error(codes::UNREADABLE_FILE, message).at(script.span);
            found.push(finding.help(
                "a relative path starts at the working directory, then at that of the main configuration file",
            ));
            None
        }
    }
}

/// Reads a file in the working directory, or else beside the main configuration file (reference, filters §12).
fn read(path: &Path, config_dir: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_relative() => {
            std::fs::read(config_dir.join(path)).map_err(|_| error)
        }
        read => read,
    }
}
