//! `lua`: the scripts people write, and those that go wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Filter, Service, Variables};
use ikada_record::Tag;
use ikada_route::Pattern;

use crate::pipeline::{Link, Record, pass};
use crate::support::{Built, build, build_in, context, decode, encode, filter, run_json, time};

/// A filter with a script of its own, called `cb`.
fn scripted(code: &str) -> Box<dyn Filter> {
    filter("lua", &[("call", "cb"), ("code", code)])
}

/// What one record becomes.
fn one(code: &str, record: &str) -> Vec<String> {
    run_json(&*scripted(code), &[record])
}

/// Times and records that come out of one.
fn timed(properties: &[(&str, &str)], record: &str) -> Vec<(String, String)> {
    let chain = [Link { pattern: Pattern::new("*"), filter: filter("lua", properties) }];
    let record = Record { time: time(), metadata: None, body: encode(record) };
    let out = pass(&chain, &Tag::from("app.log"), vec![record]);
    let shown =
        |record: Record| (format!("{}.{:09}", record.time.secs(), record.time.nanos()), decode(&record.body));
    out.into_iter().map(|(_, record)| shown(record)).collect()
}

#[test]
fn a_script_drops_by_a_field() {
    let code = "function cb(tag, ts, r) if r.level == 'debug' then return -1, ts, r end return 0, ts, r end";
    assert_eq!(one(code, r#"{"level":"debug"}"#), Vec::<String>::new());
    assert_eq!(one(code, r#"{"level":"info"}"#), [r#"{"level":"info"}"#]);
}

#[test]
fn a_script_masks_secrets() {
    let code = r#"
        function cb(tag, ts, r)
            r.log = r.log:gsub("password=%S+", "password=***")
            return 2, ts, r
        end"#;
    assert_eq!(
        one(code, r#"{"log":"user=a password=x1 ok","n":1}"#),
        [r#"{"log":"user=a password=*** ok","n":1}"#]
    );
}

#[test]
fn a_script_renames_a_field() {
    let code = "function cb(tag, ts, r) r.message = r.log r.log = nil return 2, ts, r end";
    assert_eq!(one(code, r#"{"log":"x","a":1}"#), [r#"{"a":1,"message":"x"}"#]);
}

#[test]
fn a_script_flattens_a_map() {
    let code = r#"
        local function flat(out, prefix, map)
            for k, v in pairs(map) do
                if type(v) == "table" then flat(out, prefix .. k .. ".", v) else out[prefix .. k] = v end
            end
            return out
        end
        function cb(tag, ts, r) return 2, ts, flat({}, "", r) end"#;
    assert_eq!(one(code, r#"{"a":{"b":{"c":1},"d":"x"},"e":true}"#), [r#"{"e":true,"a.b.c":1,"a.d":"x"}"#]);
}

#[test]
fn a_script_parses_a_number() {
    let code = "function cb(tag, ts, r) r.ms = tonumber(r.log:match('(%d+%.?%d*) ms')) return 2, ts, r end";
    assert_eq!(one(code, r#"{"log":"took 12.5 ms"}"#), [r#"{"log":"took 12.5 ms","ms":12.5}"#]);
}

#[test]
fn a_script_adds_the_time() {
    let code = "function cb(tag, ts, r) r.at = os.date('!%Y-%m-%dT%H:%M:%SZ', ts) return 2, ts, r end";
    assert_eq!(one(code, r#"{"log":"x"}"#), [r#"{"log":"x","at":"2023-11-14T22:13:20Z"}"#]);
}

#[test]
fn a_script_makes_many_records_of_one() {
    let code = r#"
        function cb(tag, ts, r)
            local out = {}
            for word in r.log:gmatch("%a+") do out[#out + 1] = { word = word } end
            return 1, ts + 1, out
        end"#;
    let out = timed(&[("call", "cb"), ("code", code)], r#"{"log":"one two three"}"#);
    let words: Vec<_> = out.iter().map(|(_, record)| &**record).collect();
    assert_eq!(words, [r#"{"word":"one"}"#, r#"{"word":"two"}"#, r#"{"word":"three"}"#]);
    assert!(out.iter().all(|(time, _)| time.starts_with("1700000001.")), "{out:?}");
}

#[test]
fn a_script_sets_the_time_exactly_through_a_table() {
    let code = "function cb(tag, ts, r) ts.sec = ts.sec + 10 return 1, ts, r end";
    let out = timed(&[("call", "cb"), ("code", code), ("time_as_table", "on")], r#"{"log":"x"}"#);
    assert_eq!(out, [("1700000010.123456789".to_owned(), r#"{"log":"x"}"#.to_owned())]);
}

#[test]
fn a_script_hashes_a_field() {
    // FNV-1a of "42" in 32 bits.
    let code = r#"
        function cb(tag, ts, r)
            local h = 2166136261
            for i = 1, #r.user do
                h = bit.bxor(h, r.user:byte(i))
                h = bit.tobit(bit.lshift(h, 24) + bit.lshift(h, 8) + h * 147)
            end
            r.user = bit.tohex(h)
            return 2, ts, r
        end"#;
    let mut hash = 0x811c_9dc5_u32;
    b"42".iter().for_each(|byte| hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    assert_eq!(one(code, r#"{"user":"42"}"#), [format!(r#"{{"user":"{hash:08x}"}}"#)]);
}

#[test]
fn a_script_counts_over_records() {
    let counts = scripted("n = 0 function cb(tag, ts, r) n = n + 1 r.n = n return 2, ts, r end");
    assert_eq!(run_json(&*counts, &["{}", "{}"]), [r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(run_json(&*counts, &["{}"]), [r#"{"n":3}"#]);
}

#[test]
fn an_endless_loop_is_interrupted_and_the_records_pass_as_they_came() {
    let endless = scripted("function cb(tag, ts, r) r.x = 1 while r.loop do end return 2, ts, r end");
    let looping = r#"{"loop":true}"#;
    assert_eq!(run_json(&*endless, &[looping, r#"{"loop":false}"#]), [looping, r#"{"loop":false,"x":1}"#]);
    // So many loops end the chunk's instructions, and the next chunk has its own.
    assert_eq!(run_json(&*endless, &[looping; 200]), [looping; 200]);
    assert_eq!(run_json(&*endless, &["{}"]), [r#"{"x":1}"#]);
}

#[test]
fn a_script_cannot_catch_its_interruption() {
    for code in [
        "function cb(tag, ts, r) while true do pcall(function() while true do end end) end end",
        "function cb(tag, ts, r) while true do xpcall(function() while true do end end, print) end end",
        "function cb(tag, ts, r) jit.on() for i = 1, 1e15 do r.x = i end end",
        "function cb(tag, ts, r)
            while true do coroutine.resume(coroutine.create(function() while true do end end)) end
        end",
    ] {
        assert_eq!(one(code, r#"{"log":"x"}"#), [r#"{"log":"x"}"#], "{code}");
    }
}

#[test]
fn endless_allocation_ends_and_the_next_record_is_served() {
    let local = "function cb(tag, ts, r) local t = {} while r.grow do t[#t + 1] = ('x'):rep(1000) .. #t end r.x = 1 return 2, ts, r end";
    let kept = "t = {} function cb(tag, ts, r) while r.grow do t[#t + 1] = ('x'):rep(1000) .. #t end r.x = 1 return 2, ts, r end";
    let once =
        "function cb(tag, ts, r) if r.grow then r.log = ('x'):rep(1e9) end r.x = 1 return 2, ts, r end";
    for code in [local, kept, once] {
        let filter = scripted(code);
        for _ in 0..3 {
            let out = run_json(&*filter, &[r#"{"grow":true}"#, r#"{"log":"x"}"#]);
            assert_eq!(out, [r#"{"grow":true}"#, r#"{"log":"x","x":1}"#], "{code}");
        }
    }
}

#[test]
fn an_error_at_each_record_leaves_each_as_it_came() {
    let code = "function cb(tag, ts, r) r.x = 1 if r.bad then error('boom') end return 2, ts, r end";
    let out = run_json(&*scripted(code), &[r#"{"bad":true}"#, r#"{"a":1}"#, r#"{"bad":true}"#]);
    assert_eq!(out, [r#"{"bad":true}"#, r#"{"a":1,"x":1}"#, r#"{"bad":true}"#]);
}

#[test]
fn what_is_no_record_leaves_the_record_as_it_came() {
    for returned in [
        "2, ts, 'text'",
        "2, ts, {1, 2}",
        "2, ts, {{a = 1}, 2}",
        "2",
        "1, 'now', r",
        "1, -5, r",
        "'x', ts, r",
        "7, ts, r",
        "",
        "2, ts, loop()",
        "2, ts, deep()",
        "2, ts, wide()",
    ] {
        let code = format!(
            "function loop() local t = {{}} t.t = t return t end
             function deep() local t = {{}} for i = 1, 5000 do t = {{ t = t }} end return t end
             function wide() local t = {{ 'x' }} for i = 1, 50 do t = {{ t, t }} end return {{ t = t }} end
             function cb(tag, ts, r) r.x = 1 return {returned} end"
        );
        assert_eq!(one(&code, r#"{"log":"x"}"#), [r#"{"log":"x"}"#], "{returned}");
    }
}

#[test]
fn a_script_cannot_end_the_router() {
    assert_eq!(one("function cb(tag, ts, r) os.exit(1) end", "{}"), ["{}"]);
}

#[test]
fn fields_keep_their_order_and_large_integers_their_digits() {
    let code = "function cb(tag, ts, r) r.m.new = 1 r.z = 'y' return 2, ts, r end";
    let record =
        r#"{"z":"x","id":9007199254740993,"m":{"b":-9007199254740993,"a":[18446744073709551615]},"a":1}"#;
    let expected = r#"{"z":"y","id":9007199254740993,"m":{"b":-9007199254740993,"a":[18446744073709551615],"new":1},"a":1}"#;
    assert_eq!(one(code, record), [expected]);
}

#[test]
fn nulls_in_an_array_keep_their_places() {
    let code = "function cb(tag, ts, r) r.x = 1 return 2, ts, r end";
    assert_eq!(one(code, r#"{"a":[null,1,null,3]}"#), [r#"{"a":[null,1,null,3],"x":1}"#]);
}

#[test]
fn a_table_with_gaps_is_an_array_with_nulls_and_one_with_far_places_a_map() {
    let becomes = |table: &str| {
        one(&format!("function cb(tag, ts, r) r.x = {table} return 2, ts, r end"), "{}").remove(0)
    };
    assert_eq!(becomes("{1, nil, 3}"), r#"{"x":[1,null,3]}"#);
    assert_eq!(becomes("{[1] = 'a', [3] = 'c'}"), r#"{"x":["a",null,"c"]}"#);
    assert_eq!(becomes("{[2] = 'b'}"), r#"{"x":[null,"b"]}"#);
    assert_eq!(becomes("{[200] = 3}"), r#"{"x":{"200":3}}"#);
    assert_eq!(becomes("{1, a = 2}"), r#"{"x":{"1":1,"a":2}}"#);
}

#[test]
fn a_code_may_be_a_number_in_text() {
    let returns =
        |code: &str| one(&format!("function cb(tag, ts, r) r.x = 1 return {code}, ts, r end"), r#"{"a":1}"#);
    assert_eq!(returns("'2'"), [r#"{"a":1,"x":1}"#]);
    assert_eq!(returns("' 2.0 '"), [r#"{"a":1,"x":1}"#]);
    assert_eq!(returns("'0'"), [r#"{"a":1}"#]);
    assert_eq!(returns("'-1'"), Vec::<String>::new());
}

#[test]
fn a_null_can_be_told_and_set() {
    let code = "function cb(tag, ts, r) r.was = r.a == flb_null r.b = flb_null return 2, ts, r end";
    let filter = filter("lua", &[("call", "cb"), ("code", code), ("enable_flb_null", "on")]);
    assert_eq!(run_json(&*filter, &[r#"{"a":null}"#]), [r#"{"a":null,"b":null,"was":true}"#]);
}

#[test]
fn an_empty_table_is_an_array_where_the_options_say_so() {
    let code = "function cb(tag, ts, r) r.tags = {} r.map = {} return 2, ts, r end";
    let filter = filter("lua", &[("call", "cb"), ("code", code), ("type_array_key", "tags other")]);
    assert_eq!(run_json(&*filter, &["{}"]), [r#"{"map":{},"tags":[]}"#]);
}

#[test]
fn what_is_no_value_becomes_null_and_what_is_no_key_is_left_out() {
    let code = "function cb(tag, ts, r)
        r.m.f = print r.m.t = coroutine.create(print) r.m[print] = 1 r.m[{}] = 2 r.m.n = 9007199254740993LL
        return 2, ts, r
    end";
    let record = r#"{"m":{"list":[],"a":[1,null,2]},"id":9007199254740993}"#;
    let expected =
        r#"{"m":{"list":[],"a":[1,null,2],"f":null,"n":9007199254740992,"t":null},"id":9007199254740993}"#;
    assert_eq!(one(code, record), [expected]);
    let code = "function cb(tag, ts, r) r.n = 9007199254740993LL r[{}] = 1 return 2, ts, r end";
    assert_eq!(one(code, "{}"), [r#"{"n":9007199254740993}"#], "LuaJIT's integers keep their digits");
}

#[test]
fn of_a_key_that_comes_twice_the_script_sees_the_last() {
    let lua = scripted("function cb(tag, ts, r) r.seen = r.a return 2, ts, r end");
    for others in [0, 20] {
        let others: Vec<_> = (0..others).map(|n| format!("\"k{n}\":{n},")).collect();
        let others = others.concat();
        let record = format!(r#"{{"a":1,{others}"b":2,"a":3}}"#);
        let expected = format!(r#"{{{others}"b":2,"a":3,"seen":3}}"#);
        assert_eq!(run_json(&*lua, &[&record]), [expected]);
    }
}

#[test]
fn long_texts_and_many_fields_cross_whole() {
    let lua = scripted("function cb(tag, ts, r) r.k7 = r.k7 .. '!' return 2, ts, r end");
    let text = |n: usize| "x".repeat([0, 1, 190, 191, 192, 8000, 8127, 8128, 8129, 70_000][n % 10]);
    let fields = |mark: &str| {
        let fields = (0..40).map(|n| format!("\"k{n}\":\"{}{}\"", text(n), if n == 7 { mark } else { "" }));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    assert_eq!(run_json(&*lua, &[&fields("")]), [fields("!")]);
}

/// The only finding of a section.
fn finding(properties: &[(&str, &str)]) -> String {
    let built = build("lua", properties);
    assert_eq!(built.findings.len(), 1, "{:?}", built.findings);
    built.findings[0].clone()
}

#[test]
fn a_script_that_is_not_there_or_broken_is_found_at_the_start() {
    let files = tempfile::tempdir().unwrap();
    let place = |name: &str| files.path().join(name).display().to_string();
    let missing = finding(&[("call", "cb"), ("script", &place("no.lua"))]);
    assert!(missing.contains("x.conf:3:") && missing.contains("no.lua` cannot be read"), "{missing}");

    std::fs::write(files.path().join("t.lua"), "-- a comment\nfunction cb(\n").unwrap();
    let broken = finding(&[("call", "cb"), ("script", &place("t.lua"))]);
    assert!(broken.contains("x.conf:3:") && broken.contains("t.lua:3: "), "{broken}");

    let failing = finding(&[("call", "cb"), ("code", "error('no table')")]);
    assert!(failing.contains("code:1: no table"), "{failing}");

    let nameless = finding(&[("call", "other"), ("code", "function cb() end")]);
    assert!(nameless.contains("x.conf:2:") && nameless.contains("no function `other`"), "{nameless}");

    let empty = finding(&[("call", "cb")]);
    assert!(empty.contains("needs a script"), "{empty}");

    let endless = finding(&[("call", "cb"), ("code", "while true do end")]);
    assert!(endless.contains("code:1: ") && endless.contains("too long"), "{endless}");

    let bytecode = finding(&[("call", "cb"), ("code", "\u{1b}LJ")]);
    assert!(bytecode.contains("error["), "{bytecode}");
}

#[test]
fn unprotected_mode_is_said_to_have_no_effect() {
    let code = "function cb(tag, ts, r) error('x') end";
    let built = build("lua", &[("call", "cb"), ("code", code), ("protected_mode", "off")]);
    assert!(built.findings[0].contains("warning[") && built.filter.is_some(), "{:?}", built.findings);
}

/// Builds the filter beside a main configuration file in `folder`, which sets a variable.
fn built_in(folder: &Path, dry_run: bool, properties: &[(&str, &str)]) -> Built {
    let variables = Variables([("STAGE".to_owned(), "prod".to_owned())].into());
    let service = Service { config_dir: folder.to_path_buf(), variables, ..Service::default() };
    let mut all = vec![("call", "cb")];
    all.extend(properties);
    build_in("lua", &all, &BuildContext { service: Arc::new(service), dry_run, ..context("lua") })
}

#[test]
fn a_script_may_lie_beside_the_main_file_and_sees_the_variables_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let script = "function cb(tag, ts, r) r.stage = FLB_ENV.STAGE r.path = FLB_ENV.PATH r.host = FLB_ENV.HOSTNAME return 2, ts, r end";
    std::fs::write(folder.path().join("stage.lua"), script).unwrap();
    let built = built_in(folder.path(), false, &[("script", "stage.lua")]);
    assert_eq!(built.findings, Vec::<String>::new());
    assert_eq!(run_json(&*built.filter.unwrap(), &[r#"{"a":1}"#]), [r#"{"a":1,"stage":"prod"}"#]);
}

#[test]
fn a_check_reads_the_script_and_runs_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let checked = |script: &str| {
        std::fs::write(folder.path().join("s.lua"), script).unwrap();
        built_in(folder.path(), true, &[("script", "s.lua")]).findings.join("\n")
    };
    assert_eq!(checked("error('it runs') function cb() end"), "");
    assert!(checked("function cb( end").contains("s.lua:1"), "{}", checked("function cb( end"));
    assert!(checked("function other() end").contains("defines no function `cb`"));
    assert_eq!(checked("_G['c' .. 'b'] = print"), "", "what cannot be seen is not told");
    let absent = built_in(folder.path(), true, &[("script", "absent.lua")]);
    assert_eq!(absent.findings, Vec::<String>::new(), "the check of paths tells");
}

#[test]
fn a_script_that_takes_long_leaves_the_thread_to_others() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let served = Arc::new(AtomicBool::new(false));
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    let is_served = Arc::clone(&served);
    let looping = runtime.spawn(async move {
        let endless = scripted("function cb() while true do end end");
        for _ in 0..100 {
            run_json(&*endless, &["{}"]);
            // Nobody listens any more after the first one.
            started.try_send(()).unwrap_or_default();
            if is_served.load(Relaxed) {
                return;
            }
        }
        panic!("nobody else was served");
    });
    has_started.recv().unwrap();
    let other = Arc::clone(&served);
    let other = runtime.spawn(async move { other.store(true, Relaxed) });
    runtime.block_on(async { (other.await.unwrap(), looping.await.unwrap()) });
}

/// Metadata and records that come out of one with metadata.
fn with_metadata(code: &str) -> Vec<(String, String)> {
    let chain = [Link { pattern: Pattern::new("*"), filter: scripted(code) }];
    let metadata = Some(encode(r#"{"k":"v","num":7}"#));
    let out = pass(
        &chain,
        &Tag::from("a"),
        vec![Record { time: time(), metadata, body: encode(r#"{"log":"x"}"#) }],
    );
    out.into_iter().map(|(_, record)| (decode(&record.metadata.unwrap()), decode(&record.body))).collect()
}

#[test]
fn metadata_is_what_the_script_makes_of_it() {
    let pair = |metadata: &str, record: &str| (metadata.to_owned(), record.to_owned());
    let one = "function cb(tag, ts, g, m, r) m.new = 1 m.k = nil return 2, ts, m, r end";
    assert_eq!(with_metadata(one), [pair(r#"{"num":7,"new":1}"#, r#"{"log":"x"}"#)]);
    let each = "function cb(tag, ts, g, m, r) m.new = 1 return 2, ts, {m, {}}, {r, {z=1}} end";
    let first = pair(r#"{"k":"v","num":7,"new":1}"#, r#"{"log":"x"}"#);
    assert_eq!(with_metadata(each), [first, pair("{}", r#"{"z":1}"#)]);
    let split = "function cb(tag, ts, r) return 2, ts, {{a=1}, {a=2}} end";
    let came = r#"{"k":"v","num":7}"#;
    assert_eq!(with_metadata(split), [pair(came, r#"{"a":1}"#), pair(came, r#"{"a":2}"#)]);
}
