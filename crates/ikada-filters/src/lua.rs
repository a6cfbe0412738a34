//! `lua`: a function of the user's own looks at every record.
//!
//! The script runs in one LuaJIT state behind a lock ([`vm`]); records become tables and tables records ([`value`]). A script may err, loop
//! or grow: its memory is bounded, its instructions are counted, and whatever goes wrong, the record passes as it came and one line in a
//! while says how many it stands for.
//!
//! Instructions can be counted only where LuaJIT interprets: its compiled code never looks up. The compiler is therefore off.

mod trouble;
mod value;
mod vm;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{Options, PropertyBag, SpaceList, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece, record_at};

use self::trouble::{Failure, Troubles};
use self::vm::{Answer, Script, Vm};

/// Runs a Lua function on every record.
///
/// The function gets the tag, the time and the record, and returns a code, a time and a record: `-1` drops the record, `0` leaves it as it
/// was, `1` takes time and record, `2` takes the record only. A list of records instead of a record makes several.
#[derive(Debug, Options)]
#[options(filter = "lua")]
pub struct LuaOptions {
    /// The script's file. A path is relative to the working directory.
    #[option(example = "/fluent-bit/etc/mask.lua")]
    pub script: Option<Spanned<PathBuf>>,
    /// The script itself, in place of a file.
    #[option(example = "function cb(tag, ts, record) record.seen = true return 2, ts, record end")]
    pub code: Option<Spanned<String>>,
    /// The function that is called with every record. One with five parameters gets `(tag, time, group, metadata, record)` and returns
    /// `code, time, metadata, record`; the metadata it returns is not taken.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter for Lua {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let mut state = self.state();
        if cx.position == 0 {
            state.vm.new_chunk();
        }
        let State { vm, troubles, original } = &mut *state;
        original.clear();
        fields.write(original);
        match vm.run(cx, original) {
            Ok(Answer::Keep) => Verdict::Keep,
            Ok(Answer::Drop) => Verdict::Drop,
            Ok(Answer::Take { time, mut records }) => {
                let Some(last) = records.pop() else { return Verdict::Drop };
                if let Some(time) = time {
                    cx.set_time(time);
                }
                for record in records {
                    cx.emit(cx.time, record);
                }
                if last != *original {
                    replace(fields, &last);
                }
                Verdict::Keep
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

    fn end_of_chunk(&self) {
        self.state().troubles.tell();
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
    let (name, text, place) = source(&options, section, cx.dry_run, found)?;
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
        only_checked: cx.dry_run,
    };
    Lua::build(script, place, options.call.span, found).map(|filter| Box::new(filter) as Box<dyn Filter>)
}

/// The script's name as Lua shows it, its text and its place in the configuration.
fn source(
    options: &LuaOptions,
    section: Span,
    dry_run: bool,
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
    // A check may run where the file is not.
    match if dry_run { Ok(Vec::new()) } else { std::fs::read(&script.value) } {
        Ok(text) => Some((name, text, script.span)),
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", script.value.display());
            let finding = Diagnostic::error(codes::UNREADABLE_FILE, message).at(script.span);
            found.push(finding.help("a path is relative to the working directory"));
            None
        }
    }
}
