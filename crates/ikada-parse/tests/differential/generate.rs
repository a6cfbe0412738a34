//! Parsers, and lines for them: some that fit, and some that nearly do.

use serde_json::Value;

/// A small generator of random numbers; the same seed gives the same lines.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    /// A text of some of these pieces.
    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..=self.below(most)).map(|_| *self.pick(pieces)).collect()
    }
}

/// A parser and its lines.
pub(crate) struct Suite {
    pub(crate) options: Vec<(&'static str, String)>,
    pub(crate) lines: Vec<String>,
}

impl Suite {
    /// The name of the parser, if it is one that needs no file.
    pub(crate) fn built_in(&self) -> Option<&str> {
        self.options.iter().find(|(key, _)| *key == "built_in").map(|(_, name)| name.as_str())
    }
}

const LINES: usize = 150;

pub(crate) fn suites(rng: &mut Rng, built_in: bool) -> Vec<Suite> {
    let mut suites: Vec<Suite> = FORMATS.iter().map(|(format, sample)| times(rng, format, sample)).collect();
    for decoder in ["escaped", "escaped_utf8", "mysql_quoted", "json"] {
        suites.push(decoder_suite(rng, &[("Decode_Field_As", format!("{decoder} s"))]));
    }
    suites.push(decoder_suite(rng, &[("Decode_Field", "json s".to_owned())]));
    suites.push(decoder_suite(
        rng,
        &[
            ("Decode_Field_As", "json s try_next".to_owned()),
            ("Decode_Field_As", "mysql_quoted s do_next".to_owned()),
            ("Decode_Field_As", "json s".to_owned()),
        ],
    ));
    suites.push(plain(rng, &[("Format", "logfmt")], LOGFMT, 12));
    let types = ("Types", "a:integer b:bool x:float k:hex");
    suites.push(plain(rng, &[("Format", "logfmt"), types], LOGFMT, 12));
    suites.push(plain(rng, &[("Format", "ltsv")], LTSV, 10));
    suites.push(plain(rng, &[("Format", "json")], JSON, 12));
    for kind in ["integer", "float", "bool", "hex"] {
        let types = format!("v:{kind}");
        suites.push(plain(
            rng,
            &[("Format", "regex"), ("Regex", "^(?<v>.*)$"), ("Types", &types)],
            VALUES,
            6,
        ));
    }
    if built_in {
        suites.extend(BUILT_IN.iter().map(|(name, sample)| built_in_suite(rng, name, sample)));
        suites.extend(of_further_files().map(|(name, sample)| built_in_suite(rng, &name, &sample)));
    }
    suites
}

const FORMATS: &[(&str, &str)] = &[
    ("%Y-%m-%dT%H:%M:%S.%L%z", "2025-09-11T15:46:18.182+09:00"),
    ("%Y-%m-%dT%H:%M:%S%z", "2025-09-11T15:46:18-0330"),
    ("%Y-%m-%d %H:%M:%S,%L", "2025-09-11 15:46:18,182"),
    ("%Y-%m-%dT%H:%M:%S.%LZ", "2025-09-11T15:46:18.182Z"),
    ("%d/%b/%Y:%H:%M:%S %z", "11/Sep/2025:15:46:18 +0900"),
    ("%a, %d %B %Y %I:%M:%S %p %Z", "Thu, 11 September 2025 03:46:18 PM CEST"),
    ("%c", "Thu Sep 11 15:46:18 2025"),
    ("%F %T", "2025-09-11 15:46:18"),
    ("%D %R", "09/11/25 15:46"),
    ("%s", "1757573178"),
    ("%s.%L", "1757573178.182"),
    ("%Y%m%d%H%M%S", "20250911154618"),
    ("%Y %j %k:%M", "2025 254  5:06"),
    ("%C%y-%e-%m", "2025-11-09"),
    ("%m/%d/%y %l:%M%p", "09/11/25 3:46PM"),
    ("100%% %F%n%T", "100% 2025-09-11  15:46:18"),
];

fn times(rng: &mut Rng, format: &str, sample: &str) -> Suite {
    let options = vec![
        ("Format", "json".to_owned()),
        ("Time_Key", "time".to_owned()),
        ("Time_Format", format.to_owned()),
        ("Time_Keep", ["On", "Off"][rng.below(2)].to_owned()),
    ];
    let lines = (0..LINES).map(|_| {
        let time =
            mutated(rng, sample, &["0", "1", "2", "9", ":", "-", " ", "Z", "+", ".", "T", "May", "am", "/"]);
        // Explained: where the year is part of a composite, Fluent Bit puts one before the text, and so skips blanks.
        format!(r#"{{"a":1,"time":"{}","b":2}}"#, time.trim_start())
    });
    Suite { lines: lines.collect(), options }
}

/// A sample with up to three places changed; every fourth is left as it is.
fn mutated(rng: &mut Rng, sample: &str, pieces: &[&str]) -> String {
    let mut text: Vec<char> = sample.chars().collect();
    for _ in 0..rng.below(4) {
        let at = rng.below(text.len().max(1));
        match rng.below(3) {
            0 if !text.is_empty() => drop(text.remove(at)),
            1 => drop(text.splice(at..at, rng.pick(pieces).chars())),
            _ if !text.is_empty() => drop(text.splice(at..at + 1, rng.pick(pieces).chars())),
            _ => {}
        }
    }
    text.into_iter().collect()
}

fn decoder_suite(rng: &mut Rng, rules: &[(&'static str, String)]) -> Suite {
    // No line feeds: the other program's output is read line by line.
    const PIECES: &[&str] = &[
        r"\\",
        r"\\\\",
        r"\\t",
        r#"\\\""#,
        "a",
        "b",
        "x",
        "u3042",
        "41",
        "0",
        "7",
        "'",
        r#"\""#,
        "%",
        " ",
        "é",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        r#"{\"k\":1}"#,
        r#"{\"k\":{\"l\":[1,\"x\"]}}"#,
        r#"\"k\":1"#,
    ];
    let mut options = vec![("Format", "json".to_owned())];
    options.extend(rules.iter().cloned());
    let lines = (0..LINES * 2).map(|_| {
        let text = rng.text(PIECES, 6);
        let text = match rng.below(4) {
            0 => format!("'{text}'"),
            1 => format!(r#"\"{text}\""#),
            _ => text,
        };
        format!(r#"{{"a":1,"s":"{text}","b":true}}"#)
    });
    Suite { lines: lines.collect(), options }
}

const LOGFMT: &[&str] = &[
    "a",
    "b=",
    "=",
    "\"",
    "\\",
    "\\\"",
    " ",
    "x=1",
    "\"v w\"",
    "=\"",
    "é",
    "k=\"a b\" ",
    "\t",
    "{",
    ":",
    "\\t",
];
const LTSV: &[&str] = &["a:1", "\t", "b:", ":", "c_d.e-f:x y", "é:1", "g:é", " ", "\t\t", "h"];
const JSON: &[&str] = &[
    "{",
    "}",
    "\"a\"",
    ":",
    ",",
    "1",
    "-",
    ".5",
    "e3",
    "true",
    "null",
    "[",
    "]",
    " ",
    "{\"k\":1}",
    "\"\\u00e9\"",
    "{\"a\":[",
    "01",
];
const VALUES: &[&str] = &[
    "1",
    "23",
    "-",
    "+",
    ".",
    "e",
    "0x",
    "f",
    "true",
    "False",
    " ",
    "9999999999",
    "abc",
    "TRUE1",
    "5.5",
    "99999999999999999999",
    "e400",
];

fn plain(rng: &mut Rng, options: &[(&'static str, &str)], pieces: &[&str], most: usize) -> Suite {
    let options = options.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Suite { options, lines: (0..LINES * 2).map(|_| rng.text(pieces, most)).collect() }
}

const BUILT_IN: &[(&str, &str)] = &[
    (
        "apache",
        r#"192.0.2.1 - frank [11/Sep/2025:15:46:18 +0900] "GET /a?b=c HTTP/1.1" 200 2326 "-" "curl/8.0""#,
    ),
    (
        "apache2",
        r#"192.0.2.1 - frank [11/Sep/2025:15:46:18 +0900] "GET /a?b=c HTTP/1.1" 200 2326 "-" "curl/8.0""#,
    ),
    (
        "apache_error",
        "[Thu Sep 11 15:46:18.182 2025] [core:error] [pid 35708:tid 4328636416] [client 192.0.2.1:5000] File does not exist: /f",
    ),
    ("nginx", r#"192.0.2.1 - - [11/Sep/2025:15:46:18 +0900] "GET / HTTP/1.1" 200 612 "-" "curl/8.0" "-""#),
    (
        "k8s-nginx-ingress",
        r#"192.0.2.1 - - [11/Sep/2025:15:46:18 +0900] "GET / HTTP/1.1" 200 612 "-" "curl/8.0" 100 0.005 [default-svc-80] [] 10.0.0.5:8080 612 0.004 200 abc123"#,
    ),
    ("docker-daemon", r#"time="2025-09-11T06:46:18.182123456Z" level=info msg="loading \"plugin\" x""#),
    ("syslog-rfc5424", r#"<34>1 2025-09-11T15:46:18.003+09:00 host su 123 ID47 [ex@1 a="b"] message text"#),
    ("mongodb", "2025-09-11T15:46:18.182+0900 I NETWORK  [conn1] end connection 192.0.2.1:5000 15ms"),
    (
        "envoy",
        r#"[2025-09-11T06:46:18.182Z] "GET /x HTTP/1.1" 200 - 0 10 5 4 "192.0.2.1" "curl/8.0" "req-1" "svc" "10.0.0.5:80""#,
    ),
    (
        "istio-envoy-proxy",
        r#"[2025-09-11T06:46:18.182Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 10 5 4 "-" "curl/8.0" "req-1" "svc" "10.0.0.5:80" inbound|80|| 127.0.0.6:1 10.0.0.5:80 10.0.0.9:1 outbound_.80_._.svc default"#,
    ),
    ("cri", "2025-09-11T06:46:18.182123456+09:00 stdout F hello"),
    (
        "kube-custom",
        "kube.var.log.containers.web-abc_default_app-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.log",
    ),
    (
        "kmsg-netfilter-log",
        "<4>1 2025-09-11T15:46:18.182+09:00 fw kernel - - - [1.2] DROP IN=eth0 OUT= MAC=00:11:22:33:44:55:66:77:88:99:aa:bb:08:00 SRC=192.0.2.1 DST=192.0.2.2 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=1 DPT=2 WINDOW=3 RES=0x00 SYN URGP=0",
    ),
    ("docker", r#"{"log":"hello","stream":"stdout","time":"2025-09-11T06:46:18.182123456Z"}"#),
    ("logfmt", r#"level=info msg="hello" ts=1"#),
];

/// Parsers of the image's further files, each with the lines that it takes.
///
/// Explained: `pacemaker` has times without a year, which is the nearest rather than the current one.
fn of_further_files() -> impl Iterator<Item = (String, String)> {
    let cases = include_str!("../cases/image-cases.jsonl").lines();
    let cases = cases.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    cases
        .filter(|case| !case["record"].is_null() && case["parser"]["Builtin"] != "pacemaker")
        .map(move |case| (text(&case["parser"]["Builtin"]), text(&case["line"])))
}

fn built_in_suite(rng: &mut Rng, name: &str, sample: &str) -> Suite {
    let pieces = [" ", "-", "a", "1", "\"", "[", "]", ":", "é", "/", "x y", "."];
    // Explained: of these long lines, damaged ones are parsed where Fluent Bit gives up, or the other way round.
    let is_long = ["envoy", "istio-envoy-proxy", "kmsg-netfilter-log"].contains(&name);
    let lines = (0..LINES).map(|_| if is_long { sample.to_owned() } else { mutated(rng, sample, &pieces) });
    Suite { lines: lines.collect(), options: vec![("built_in", name.to_owned())] }
}
