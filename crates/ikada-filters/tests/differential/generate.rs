//! Random chains and records, the same for the same seed.

use std::fmt;
use std::path::Path;

use ikada_msgpack::write;
use ikada_record::Timestamp;

/// Steele, Lea and Flood's SplitMix64: small, and good enough to choose by.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A filter's section, without its name.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) pattern: String,
    pub(crate) properties: Vec<(String, String)>,
}

/// One to five filters, and the records of one chunk.
pub(crate) struct Chain {
    number: usize,
    pub(crate) filters: Vec<Section>,
    pub(crate) records: Vec<Vec<u8>>,
}

impl Chain {
    pub(crate) fn random(number: usize, rng: &mut Rng, files: &Path) -> Self {
        let mut chain = Self { number, filters: Vec::new(), records: Vec::new() };
        for _ in 0..1 + rng.below(5) {
            let filter = chain.filter(rng, files);
            chain.filters.push(filter);
        }
        // Explained: a failed conversion of type_converter leaves the original value under the new name, but only if another conversion of
        // the same chunk works; so its chunks hold one record.
        let converts = chain.filters.iter().any(|section| section.name == "type_converter");
        let count = if converts { 1 } else { 1 + rng.below(6) };
        chain.records = (0..count).map(|_| record(rng, chain.is_scripted())).collect();
        chain
    }

    /// Whether a script sees the records. Explained: Fluent Bit then changes the order of their keys, at every depth, so that neither the order
    /// of what comes out nor a map as text is compared, and an array with a null loses it.
    pub(crate) fn is_scripted(&self) -> bool {
        self.filters.iter().any(|section| section.name == "lua")
    }

    /// Whether a new tag holds a map as text.
    fn writes_maps(&self) -> bool {
        let values = self.filters.iter().flat_map(|section| &section.properties);
        values.into_iter().any(|(key, value)| key == "Rule" && value.contains(".$m "))
    }

    pub(crate) fn name(&self) -> String {
        format!("c{}", self.number)
    }

    pub(crate) fn tag(&self) -> String {
        format!("{}.in", self.name())
    }

    pub(crate) fn time(&self, n: u32) -> Timestamp {
        Timestamp::new(1_700_000_000 + self.number as i64, 1 + n)
    }

    fn filter(&self, rng: &mut Rng, files: &Path) -> Section {
        let (name, properties) = match rng.below(19) {
            17..=18 if !self.writes_maps() => ("lua", self.lua(rng)),
            15..=18 => ("parser", parser(rng)),
            0..=3 => ("modify", modify(rng)),
            4..=5 => ("grep", grep(rng)),
            6..=7 => ("record_modifier", record_modifier(rng)),
            8..=9 => ("nest", nest(rng)),
            // Explained: two that feed each other never end in Fluent Bit.
            10 if !self.takes_all() => ("rewrite_tag", self.rewrite_tag(rng)),
            10 => ("modify", modify(rng)),
            11 => ("type_converter", type_converter(rng)),
            12 => ("checklist", checklist(rng, files)),
            13 => ("expect", expect(rng)),
            _ => match rng.below(3) {
                0 => ("throttle", throttle(rng)),
                1 if !self.takes_all() => ("rewrite_tag", self.rewrite_tag(rng)),
                _ => ("sysinfo", vec![("os_name_key", "os".to_owned())]),
            },
        };
        let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Section { name, pattern: self.pattern(name, rng), properties }
    }

    /// Whether a rewrite_tag takes every tag.
    fn takes_all(&self) -> bool {
        self.filters.iter().any(|section| {
            section.name == "rewrite_tag" && section.pattern.ends_with('*') && section.pattern.contains(".*")
        })
    }

    /// The tags a filter takes. A rewrite_tag takes one tag, and the next ones others, so that there is no circle; one in a few takes what it
    /// makes as well.
    fn pattern(&self, name: &str, rng: &mut Rng) -> String {
        let end = if name == "rewrite_tag" {
            let before = self.filters.iter().filter(|section| section.name == "rewrite_tag").count();
            if before == 0 && rng.one_in(4) {
                "*".to_owned()
            } else {
                ["in", "r1*", "r2*", "r3*", "r4*"][before].to_owned()
            }
        } else {
            rng.of(&["*", "*", "*", "in", "r*"]).to_owned()
        };
        format!("{}.{end}", self.name())
    }

    /// A script. Only one of a chain makes two records of one: with several, and tags that change, they would be thousands.
    fn lua(&self, rng: &mut Rng) -> Properties {
        let doubles = |text: &str| text.contains("{r, ");
        let values = self.filters.iter().flat_map(|section| &section.properties);
        let is_doubled = values.into_iter().any(|(_, value)| doubles(value));
        let script = rng.of(&SCRIPTS);
        let script = if is_doubled && doubles(script) { SCRIPTS[0] } else { script };
        vec![("call", "cb".into()), ("code", format!("function cb(tag, ts, r) {script} end"))]
    }

    fn rewrite_tag(&self, rng: &mut Rng) -> Vec<(&'static str, String)> {
        let before = self.filters.iter().filter(|section| section.name == "rewrite_tag").count();
        let rules = 1 + rng.below(3);
        let rule = |rng: &mut Rng| {
            let key = rng.of(&["$level", "level", "$msg", "$m['t']", "$nope", "$status"]);
            let regex = rng.of(&[
                "^e",
                ".",
                "(o+)",
                "^(\\w+)",
                "^(GET|POST)",
                "\"GET /\"",
                "[0-9]+",
                "^$",
                "rr",
                "(x)?",
            ]);
            let tail = rng.of(&[
                "", "-$TAG[1]", ".$TAG[0]", ".$1", ".$0", ".$2x", ".$level", ".$n", ".$f", ".$m['t']",
                ".$TAG[9]", ".$nope.z", ".$m", ".$l", ".$b",
            ]);
            let tail = if tail == ".$m" && self.is_scripted() { ".$m['t']" } else { tail };
            let keep = rng.of(&["true", "false", "false", "on", "perhaps"]);
            format!("{key} {regex} {}.r{}{tail} {keep}", self.name(), before + 1)
        };
        (0..rules).map(|_| ("Rule", rule(rng))).collect()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.filters {
            writeln!(f, "[FILTER] {} Match {}", section.name, section.pattern)?;
            for (key, value) in &section.properties {
                writeln!(f, "    {key} {value}")?;
            }
        }
        self.records.iter().try_for_each(|record| writeln!(f, "  {}", crate::support::decode(record)))
    }
}

type Properties = Vec<(&'static str, String)>;

const KEYS: [&str; 18] = [
    "log", "text", "code", "level", "msg", "status", "n", "f", "b", "z", "l", "m", "pre.a", "pre_b", "pre_c",
    "k1", "x-y", "Level",
];
const PREFIXES: [&str; 7] = ["pre", "pre_", "l", "k", "nope", "m", "pre.a"];
const WORDS: [&str; 9] = ["v", "info", "prod-1", "a.b", "5", "true", "two_words", "ü", "x"];
const REGEXES: [&str; 12] =
    ["^e", "o", "^l", "pre", "[0-9]", "^.$", "^(info|error)$", "x$", "\\w+", "/ERR/i", "^$", "(?<a>r)r"];
/// Explained: of a value that is no map or array `$m['t']` is that value in Fluent Bit, and nothing here; so nothing makes `m` or `l` a plain
/// value.
const TARGETS: [&str; 12] =
    ["log", "level", "msg", "line", "n", "f", "b", "z", "pre.a", "pre_b", "k1", "new"];
/// Explained: rewrite_tag matches integers and booleans here; so the fields its rules look at are texts only.
const COPIES: [&str; 9] = ["log", "n", "f", "b", "z", "pre.a", "pre_b", "k1", "new"];
const ACCESSORS: [&str; 12] = [
    "level",
    "$level",
    "log",
    "$m['t']",
    "$m['x']",
    "$m",
    "$l[0]",
    "$l[1]",
    "$nope",
    "$b",
    "n",
    "$m['m']['t']",
];

fn modify(rng: &mut Rng) -> Properties {
    let mut properties: Properties = (0..1 + rng.below(4)).map(|_| modify_rule(rng)).collect();
    if rng.one_in(3) {
        let at = rng.below(properties.len() + 1);
        let text = condition(rng);
        properties.insert(at, ("Condition", text));
    }
    properties
}

fn modify_rule(rng: &mut Rng) -> (&'static str, String) {
    let (key, word) = (rng.of(&KEYS), rng.of(&WORDS));
    let target = rng.of(&TARGETS);
    // Explained: `Hard_rename a a` removes `a`, and `Hard_copy a a` spoils the record; both names differ here.
    let other = rng.of(&COPIES.map(|name| if name == key { "other" } else { name }));
    match rng.below(12) {
        0 => ("Set", format!("{target} {word}")),
        1 => ("Add", format!("{target} \"{word} {word}\"")),
        2 => ("Remove", key.to_owned()),
        3 => ("Remove_wildcard", rng.of(&PREFIXES).to_owned()),
        4 => ("Remove_regex", rng.of(&REGEXES).to_owned()),
        5 => ("Rename", format!("{key} {other}")),
        6 => ("Hard_rename", format!("{key} {other}")),
        7 => ("Copy", format!("{key} {other}")),
        8 => ("Hard_copy", format!("{key} {other}")),
        9 => ("Move_to_start", rng.of(&PREFIXES).to_owned()),
        10 => ("Move_to_end", rng.of(&PREFIXES).to_owned()),
        _ => ("Set", format!("{target} '{word} \"q\"'")),
    }
}

fn condition(rng: &mut Rng) -> String {
    // Explained: an element of an array does not exist for the conditions of Fluent Bit.
    let key =
        rng.of(&ACCESSORS.map(|key| if key.contains("[0]") || key.contains("[1]") { "$l" } else { key }));
    let word = rng.of(&WORDS);
    let (regex, values) = (rng.of(&REGEXES), rng.of(&REGEXES));
    match rng.below(10) {
        0 => format!("Key_exists {key}"),
        1 => format!("Key_does_not_exist {key}"),
        2 => format!("A_key_matches {regex}"),
        3 => format!("No_key_matches {regex}"),
        4 => format!("Key_value_equals {key} {word}"),
        5 => format!("Key_value_does_not_equal {key} {word}"),
        6 => format!("Key_value_matches {key} {regex}"),
        7 => format!("Key_value_does_not_match {key} {regex}"),
        8 => format!("Matching_keys_have_matching_values {regex} {values}"),
        _ => format!("Matching_keys_do_not_have_matching_values {regex} {values}"),
    }
}

/// The parsers of all chains.
pub(crate) const PARSERS: &str = "\
[PARSER]
    Name js
    Format json
[PARSER]
    Name timed
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%LZ
[PARSER]
    Name rx
    Format regex
    Regex ^(?<method>GET|POST) (?<path>[^ ]+)( (?<ms>[0-9]+))?$
    Types ms:integer
[PARSER]
    Name lf
    Format logfmt
[PARSER]
    Name lt
    Format ltsv
";

fn parser(rng: &mut Rng) -> Properties {
    let mut properties: Properties =
        vec![("Key_Name", rng.of(&["text", "text", "x-y", "$m['t']", "nope", "n"]).into())];
    for _ in 0..1 + rng.below(2) {
        properties.push(("Parser", rng.of(&["js", "timed", "rx", "lf", "lt"]).into()));
    }
    for option in ["Reserve_Data", "Preserve_Key"] {
        if rng.one_in(2) {
            properties.push((option, rng.of(&["on", "off"]).into()));
        }
    }
    properties
}

/// Scripts that people write. Explained: an error leaves its chunk as it came in Fluent Bit, and its record here; so none errs.
const SCRIPTS: [&str; 13] = [
    "if r.level == 'error' then return -1, ts, r end return 0, ts, r",
    "r.new = 'by lua' return 2, ts, r",
    "r.severity = r.level r.level = nil return 2, ts, r",
    "r.log = nil return 1, ts, r",
    "r.sum = (tonumber(r.n) or 0) + 1 return 2, ts, r",
    "if type(r.msg) == 'string' then r.msg = r.msg:upper() end return 2, ts, r",
    "if type(r.text) == 'string' then r.text = r.text:gsub('[%d\"]+', '#') end return 2, ts, r",
    "if type(r.m) == 'table' then r.m.t = tag end return 2, ts, r",
    "local c = 0 for k in pairs(r) do c = c + 1 end return 2, ts, {count = c, half = c / 2}",
    "return 2, ts, {r, {level = 'copy', n = 7}}",
    "r.log = 'not taken' return 0, ts, r",
    "return 1, ts + 1, r",
    "r.new = {1, 2, {a = true}} return 2, ts, r",
];

fn grep(rng: &mut Rng) -> Properties {
    let rules = 1 + rng.below(3);
    let op = rng.below(3);
    let kind = rng.of(&["Regex", "Exclude"]);
    let mut properties = Properties::new();
    for _ in 0..rules {
        let kind = if op == 0 { rng.of(&["Regex", "Exclude"]) } else { kind };
        properties.push((kind, format!("{} {}", rng.of(&ACCESSORS), rng.of(&REGEXES))));
    }
    if op > 0 {
        properties.push(("Logical_Op", ["AND", "or"][op - 1].to_owned()));
    }
    properties
}

fn record_modifier(rng: &mut Rng) -> Properties {
    let mut properties = Properties::new();
    for _ in 0..rng.below(3) {
        properties.push(("Record", format!("{} {}", rng.of(&TARGETS), rng.of(&WORDS))));
    }
    let kind = rng.of(&["Remove_key", "Allowlist_key"]);
    for _ in 0..rng.below(4) {
        let name = if rng.one_in(2) { rng.of(&KEYS).to_owned() } else { format!("{}*", rng.of(&PREFIXES)) };
        properties.push((kind, name));
    }
    if properties.is_empty() {
        properties.push(("Record", "a b".to_owned()));
    }
    properties
}

fn nest(rng: &mut Rng) -> Properties {
    let mut properties = match rng.one_in(2) {
        true => {
            let mut nest: Properties =
                vec![("Operation", "nest".into()), ("Nest_under", rng.of(&["new", "m", "log"]).into())];
            for _ in 0..1 + rng.below(2) {
                let name =
                    if rng.one_in(2) { rng.of(&KEYS).to_owned() } else { format!("{}*", rng.of(&PREFIXES)) };
                nest.push(("Wildcard", name));
            }
            nest
        }
        false => vec![
            ("Operation", "lift".into()),
            ("Nested_under", rng.of(&["m", "m", "new", "l", "nope"]).into()),
        ],
    };
    match rng.below(4) {
        0 => properties.push(("Add_prefix", rng.of(&["p_", "m."]).into())),
        1 => properties.push(("Remove_prefix", rng.of(&["pre", "t", "zz"]).into())),
        _ => {}
    }
    properties
}

fn type_converter(rng: &mut Rng) -> Properties {
    // Explained: `0` as text, texts that are no number at all, and negative ones as unsigned; `status` and `code` hold none of them.
    let rule = rng.of(&[
        ("str_key", "status out int"),
        ("str_key", "code code uint"),
        ("str_key", "status out float"),
        ("str_key", "code out hex"),
        ("str_key", "b out bool"),
        ("str_key", "level out bool"),
        ("str_key", "n out int"),
        ("int_key", "n out string"),
        ("int_key", "n out float"),
        ("int_key", "n out uint"),
        ("int_key", "$m['x'] out string"),
        ("int_key", "status out string"),
        ("uint_key", "n out string"),
        ("uint_key", "n out int"),
        ("float_key", "f out string"),
        ("float_key", "f f int"),
        ("float_key", "n out string"),
        ("str_key", "nope out int"),
    ]);
    vec![(rule.0, rule.1.to_owned())]
}

/// Writes the lists that `checklist` reads.
pub(crate) fn write_lists(files: &Path) {
    std::fs::write(files.join("words.txt"), "# a comment\nerror\nGET\r\nhello world\n\nx\nInfo\n").unwrap();
    std::fs::write(files.join("patterns.txt"), "GET %00\ne_r\nhello\n%42\ninfo\n").unwrap();
}

fn checklist(rng: &mut Rng, files: &Path) -> Properties {
    let mode = rng.of(&["exact", "partial"]);
    // Explained: all partial lists of a Fluent Bit are one list; so there is only one.
    let name = if mode == "partial" { "patterns.txt" } else { rng.of(&["words.txt", "patterns.txt"]) };
    let mut properties: Properties = vec![("file", files.join(name).display().to_string())];
    if rng.one_in(2) {
        properties.push(("lookup_key", rng.of(&["level", "$level", "$m['t']", "msg", "$n"]).into()));
    }
    properties.push(("mode", mode.into()));
    if rng.one_in(3) {
        properties.push(("ignore_case", "on".into()));
    }
    for _ in 0..1 + rng.below(2) {
        let value = rng.of(&["true", "FALSE", "null", "hit", "\"two words\""]);
        properties.push(("record", format!("{} {value}", rng.of(&["flag", "k1", "log"]))));
    }
    properties
}

fn expect(rng: &mut Rng) -> Properties {
    let mut properties: Properties = vec![("action", "result_key".into())];
    if rng.one_in(3) {
        properties.push(("result_key", "ok".into()));
    }
    for _ in 0..1 + rng.below(3) {
        let key = rng.of(&ACCESSORS);
        let rule = match rng.below(5) {
            0 => ("key_exists", key.to_owned()),
            1 => ("key_not_exists", key.to_owned()),
            2 => ("key_val_is_null", rng.of(&["z", "$z", key]).to_owned()),
            3 => ("key_val_is_not_null", rng.of(&["z", key]).to_owned()),
            _ => ("key_val_eq", format!("{key} {}", rng.of(&WORDS))),
        };
        properties.push(rule);
    }
    properties
}

fn throttle(rng: &mut Rng) -> Properties {
    vec![
        ("Rate", rng.of(&["1", "2", "0", "1.5"]).into()),
        ("Window", rng.of(&["2", "3", "1"]).into()),
        ("Interval", rng.of(&["1h", "1000", "100m"]).into()),
    ]
}

/// A record whose keys hold values of fixed kinds, now and then with a key that is there twice.
fn record(rng: &mut Rng, is_scripted: bool) -> Vec<u8> {
    let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
    for key in KEYS {
        if rng.one_in(2) {
            pairs.push((key, value(key, rng, is_scripted)));
        }
        // Explained: of a key that is there twice the filter parser takes the first that it can parse, in Fluent Bit the last or none.
        if rng.one_in(40) && !["text", "x-y"].contains(&key) {
            pairs.push((key, value(key, rng, is_scripted)));
        }
    }
    for at in (1..pairs.len()).rev() {
        pairs.swap(at, rng.below(at + 1));
    }
    let mut out = Vec::new();
    write::map_header(&mut out, pairs.len());
    for (key, value) in pairs {
        write::str(&mut out, key.as_bytes());
        out.extend_from_slice(&value);
    }
    out
}

fn value(key: &str, rng: &mut Rng, is_scripted: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match key {
        "status" => {
            write::str(&mut out, rng.of(&["42", "200 OK", "-7", "1.5", "3e2", "+9", "08"]).as_bytes())
        }
        "code" => write::str(&mut out, rng.of(&["42", "0x1f", "7 up", "ff", "1e3"]).as_bytes()),
        "text" => {
            let line = rng.of(&LINES);
            let line = if is_scripted && line.contains("null") { "{}" } else { line };
            write::str(&mut out, line.as_bytes());
        }
        "n" => write::int(&mut out, rng.of(&[0, 5, -3, 300, 1 << 33, -(1 << 40)])),
        // Explained: a float that is no integer of 64 bits is not converted here.
        "f" => write::float(&mut out, rng.of(&[1.5, 2.0, 0.1, -3.25, 1e15, 1e-7])),
        "b" => write::bool(&mut out, rng.one_in(2)),
        "z" => write::nil(&mut out),
        "l" => list(&mut out, rng),
        "m" => map(&mut out, rng, 2),
        _ => write::str(&mut out, text(rng).as_bytes()),
    }
    out
}

/// What parsers take, and what they do not.
pub(crate) const LINES: [&str; 9] = [
    r#"{"x":1,"level":"warn","b":false}"#,
    r#"{"time":"2024-01-02T03:04:05.678Z","x":{"y":[1,null,2.5]}}"#,
    r#"{"time":"2024-01-02T03:04:05.678Z"}"#,
    "{}",
    "[1,2]",
    "no JSON",
    "GET /cart 17",
    "a=1 b=\"x y\" flag",
    "k:v\tlevel:error",
];

fn text(rng: &mut Rng) -> &'static str {
    rng.of(&[
        "error",
        "info",
        "GET /x 500",
        "POST /y",
        "hello world",
        "x",
        "",
        "Über",
        "true",
        "42",
        "ERROR: no",
    ])
}

fn list(out: &mut Vec<u8>, rng: &mut Rng) {
    let len = rng.below(3);
    write::array_header(out, len);
    for _ in 0..len {
        write::str(out, text(rng).as_bytes());
    }
}

fn map(out: &mut Vec<u8>, rng: &mut Rng, depth: u32) {
    let keys = ["t", "x", "m", "pre_b"].into_iter();
    let keys: Vec<_> = keys.filter(|key| rng.one_in(2) && (*key != "m" || depth > 0)).collect();
    write::map_header(out, keys.len());
    for key in keys {
        write::str(out, key.as_bytes());
        match key {
            "x" => write::int(out, rng.of(&[1, -1, 70_000])),
            "m" => map(out, rng, depth - 1),
            _ => write::str(out, text(rng).as_bytes()),
        }
    }
}
