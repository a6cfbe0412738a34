//! The mistakes in YAML, as data: the loader is held to them, and so is the JSON Schema.

/// A mistake, its findings, and the text with the helps followed.
pub(crate) const MISTAKES: &[(&str, &[&str], &str)] = &[
    // Values without quotes.
    (
        "pipeline:\n  outputs:\n    - name: stdout\n      match: *\n",
        &[
            "main.yaml:4:14: error[unquoted-value]: a value that starts with `*` is an alias in YAML (help: quote it: `match: \"*\"`)",
        ],
        "pipeline:\n  outputs:\n    - name: stdout\n      match: \"*\"\n",
    ),
    (
        "pipeline:\n  outputs: [ { name: stdout, match: * } ]\n",
        &[
            "main.yaml:2:37: error[unquoted-value]: a value that starts with `*` is an alias in YAML (help: quote it: `match: \"*\"`)",
        ],
        "pipeline:\n  outputs: [ { name: stdout, match: \"*\" } ]\n",
    ),
    (
        "pipeline:\n  outputs:\n    - name: stdout\n      match: *.app\n    - name: file\n      match: *\n",
        &[
            "main.yaml:4:14: error[unquoted-value]: a value that starts with `*` is an alias in YAML (help: quote it: `match: \"*.app\"`)",
            "main.yaml:6:14: error[unquoted-value]: a value that starts with `*` is an alias in YAML (help: quote it: `match: \"*\"`)",
        ],
        "pipeline:\n  outputs:\n    - name: stdout\n      match: \"*.app\"\n    - name: file\n      match: \"*\"\n",
    ),
    (
        "plugins:\n  - *.so\n",
        &[
            "main.yaml:2:5: error[unquoted-value]: a value that starts with `*` is an alias in YAML (help: quote it: `\"*.so\"`)",
            "main.yaml:1:1: warning[unsupported-section]: `plugins` is ignored: shared objects are not loaded (help: remove it)",
        ],
        "",
    ),
    (
        "env:\n  PASSWORD: @secret\n",
        &[
            "main.yaml:2:13: error[unquoted-value]: no value may start with `@` in YAML (help: quote it: `PASSWORD: \"@secret\"`)",
        ],
        "env:\n  PASSWORD: \"@secret\"\n",
    ),
    (
        "env:\n  FORMAT: %d\"\n",
        &[
            "main.yaml:2:11: error[unquoted-value]: no value may start with `%` in YAML (help: quote it: `FORMAT: '%d\"'`)",
        ],
        "env:\n  FORMAT: '%d\"'\n",
    ),
    (
        "env: { A: &x }\n",
        &[
            "main.yaml:1:11: warning[yaml-alias]: the anchor `&x` has no effect (help: remove it: aliases are not supported; a text that starts with `&` needs quotes)",
        ],
        "env: { A: x }\n",
    ),
    // Anchors, aliases, merge keys.
    (
        "env:\n  A: &a x\n  B: *a\n",
        &[
            "main.yaml:2:6: warning[yaml-alias]: the anchor `&a` has no effect (help: remove it: aliases are not supported; a text that starts with `&` needs quotes)",
            "main.yaml:3:6: error[yaml-alias]: the alias `*a` is not supported (help: write out here what its anchor stands for; a text that starts with `*` needs quotes)",
        ],
        "env:\n  A: x\n  B: x\n",
    ),
    (
        "parsers:\n  - &base\n    name: a\n    format: json\n  - <<: *base\n    name: b\n",
        &[
            "main.yaml:2:5: warning[yaml-alias]: the anchor `&base` has no effect (help: remove it: aliases are not supported; a text that starts with `&` needs quotes)",
            "main.yaml:5:9: error[yaml-alias]: the alias `*base` is not supported (help: write out here what its anchor stands for; a text that starts with `*` needs quotes)",
            "main.yaml:5:5: error[yaml-alias]: the merge key `<<` is not supported (help: write the keys out that it would bring)",
        ],
        "parsers:\n  - name: a\n    format: json\n  - name: b\n    format: json\n",
    ),
    // What is no YAML.
    (
        "service:\n\tflush: 1\n",
        &[
            "main.yaml:2:2: error[yaml-syntax]: a tab stands where YAML takes only blanks (help: indent the line with blanks)",
        ],
        "service:\n    flush: 1\n",
    ),
    (
        "service:\n  flush: 1\n    grace: 5\n",
        &[
            "main.yaml:3:10: error[yaml-syntax]: the line is indented, but the key above it has a value already (help: start it in the same column as the line above)",
        ],
        "service:\n  flush: 1\n  grace: 5\n",
    ),
    (
        "parsers:\n  - name: a\n    format: regex\n    regex: ^(?<a>x): (?<b>.*)$\n",
        &[
            "main.yaml:4:20: error[yaml-syntax]: a `:` with a blank behind it stands inside a value (help: quote the value: `regex: \"^(?<a>x): (?<b>.*)$\"`)",
        ],
        "parsers:\n  - name: a\n    format: regex\n    regex: \"^(?<a>x): (?<b>.*)$\"\n",
    ),
    (
        "parsers:\n  - name: a\n    format: regex\n    regex: \"^(?<a>\\d)\"\n",
        &[
            "main.yaml:4:12: error[yaml-syntax]: a `\\` in double quotes starts an escape, and this one does not exist (help: use single quotes, in which a `\\` is a `\\`)",
        ],
        "parsers:\n  - name: a\n    format: regex\n    regex: '^(?<a>\\d)'\n",
    ),
    (
        "env:\n  A: \"x\n  B: y\n",
        &["main.yaml:2:6: error[yaml-syntax]: a quote is not closed (help: type the closing quote)"],
        "env:\n  A: \"x\"\n  B: y\n",
    ),
    (
        "env:\n  A: 'x\n",
        &["main.yaml:2:6: error[yaml-syntax]: a quote is not closed (help: type the closing quote)"],
        "env:\n  A: 'x'\n",
    ),
    (
        "env:\n  A: \"x\" y\n",
        &[
            "main.yaml:2:10: error[yaml-syntax]: text stands behind the closing quote (help: put the whole value in quotes)",
        ],
        "env:\n  A: '\"x\" y'\n",
    ),
    (
        "includes: [ 'a.conf'\nservice: { flush: 1 }\n",
        &[
            "main.yaml:1:11: error[yaml-syntax]: this `[` is not closed before the next key (help: type `]` behind its last entry, and a comma between two entries)",
        ],
        "includes: []\nservice: { flush: 1 }\n",
    ),
    (
        "service: { flush: 1\n",
        &[
            "main.yaml:1:10: error[yaml-syntax]: this `{` is not closed before the next key (help: type `}` behind its last entry, and a comma between two entries)",
        ],
        "service: { flush: 1 }\n",
    ),
    (
        "service:\n  flush: 1\n  grace\n  log_level: info\n",
        &[
            "main.yaml:4:3: error[yaml-syntax]: a line above has no `:` (help: write it as `key: value`, the blank included)",
        ],
        "service:\n  flush: 1\n  grace: 5\n  log_level: info\n",
    ),
    (
        "service:\n  flush:1\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: `service` holds keys, and this is a text (help: put its keys on lines below it, without `-` and with a blank behind the `:`: `flush: 1`)",
        ],
        "service:\n  flush: 1\n",
    ),
    (
        "service:\n    flush: 1\n  grace: 5\n",
        &[
            "main.yaml:3:3: error[yaml-syntax]: the line does not start in the column of the lines it belongs to (help: start it in the same column as they do)",
        ],
        "service:\n    flush: 1\n    grace: 5\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: - x\n",
        &[
            "main.yaml:4:12: error[yaml-syntax]: a `-` starts a list in the middle of a line (help: start the list on a line of its own, or quote the `-`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: \"- x\"\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n     tag: x\n",
        &[
            "main.yaml:4:6: error[yaml-syntax]: the line does not start in the column of the lines it belongs to (help: start it in the same column as they do)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: x\n",
    ),
    (
        "[SERVICE]\n    Flush 1\n",
        &[
            "main.yaml:1:1: error[unsupported-format]: the file is named as YAML and written in the classic format (help: give it a name that ends with `.conf`)",
        ],
        "",
    ),
    (
        "@INCLUDE a.conf\n",
        &[
            "main.yaml:1:1: error[unsupported-format]: the file is named as YAML and written in the classic format (help: give it a name that ends with `.conf`)",
        ],
        "",
    ),
    (
        "flush 1\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: a configuration starts with keys, and this is a text (help: start with `pipeline:`, and put `inputs:`, `filters:` and `outputs:` below it)",
        ],
        "",
    ),
    (
        "- name: tail\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: a configuration starts with keys, and this is a list (help: start with `pipeline:`, and put `inputs:`, `filters:` and `outputs:` below it)",
        ],
        "",
    ),
    // Another shape than the place asks for.
    (
        "pipeline:\n  - name: dummy\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: `pipeline` holds keys, and this is a list (help: put its keys on lines below it, without `-` and with a blank behind the `:`: `inputs: …`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  inputs:\n    name: dummy\n    tag: x\n",
        &[
            "main.yaml:2:3: error[yaml-shape]: `inputs` is a list, and this is a mapping (help: start each of its entries with `-`: `- name: …`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: x\n",
    ),
    (
        "pipeline:\n  inputs: dummy\n",
        &[
            "main.yaml:2:3: error[yaml-shape]: `inputs` is a list, and this is a text (help: start each of its entries with `-`: `- name: …`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  inputs:\n    - dummy\n",
        &[
            "main.yaml:3:7: error[yaml-shape]: an entry of `inputs` is a text (help: write keys and values: `- name: dummy`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  inputs:\n    - - name: dummy\n",
        &["main.yaml:3:7: error[yaml-shape]: an entry of `inputs` is a list (help: remove one `-`)"],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n    -\n",
        &["main.yaml:2:3: error[yaml-shape]: an entry of `inputs` is empty (help: remove the `-`)"],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  inputs:\n    - tail:\n        path: /a\n",
        &[
            "main.yaml:3:7: error[nested-value]: `tail` stands as a key with options below it (help: write `- name: tail`, and the options in the column of `name`)",
        ],
        "pipeline:\n  inputs:\n    - name: tail\n      path: /a\n",
    ),
    (
        "pipeline:\n  inputs:\n    - tag: x\n",
        &[
            "main.yaml:3:7: error[missing-name]: this input has no `name` (help: say which input it is: `name: forward`)",
        ],
        "pipeline:\n  inputs:\n    - name: forward\n      tag: x\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name:\n",
        &[
            "main.yaml:3:7: error[missing-name]: the name of this input is empty (help: say which input it is: `name: forward`)",
        ],
        "pipeline:\n  inputs:\n    - name: forward\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      name: cpu\n",
        &[
            "main.yaml:4:7: warning[repeated-option]: `name` is given 2 times; the first one counts (help: start each plugin with a `-` of its own)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n    - name: cpu\n",
    ),
    (
        "pipeline:\n  filters:\n    - name: grep\n",
        &[
            "main.yaml:3:7: error[missing-match]: filter grep.0 has no `match`, so nothing reaches it (help: say which tags it takes: `match: \"*\"` takes all)",
        ],
        "pipeline:\n  filters:\n    - name: grep\n      match: \"*\"\n",
    ),
    (
        "service:\n  - flush: 1\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: `service` holds keys, and this is a list (help: put its keys on lines below it, without `-` and with a blank behind the `:`: `flush: 1`)",
        ],
        "service:\n  flush: 1\n",
    ),
    (
        "includes: a.yaml\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: `includes` is a list, and this is a text (help: start each of its entries with `-`: `- path/to/file.yaml`)",
            "main.yaml:1:11: error[missing-include]: the included file `a.yaml` does not exist (help: tried `/a.yaml`)",
        ],
        "includes: []\n",
    ),
    (
        "includes:\n  - { path: a.yaml }\n",
        &[
            "main.yaml:2:5: error[yaml-shape]: an entry of `includes` is a mapping (help: write each path as a text of its own)",
        ],
        "includes: []\n",
    ),
    (
        "includes:\n  -\n",
        &[
            "main.yaml:1:1: error[missing-value]: an entry of `includes` names no file (help: write a path, or remove it)",
        ],
        "includes: []\n",
    ),
    (
        "? [ a ]\n: b\n",
        &[
            "main.yaml:1:3: error[yaml-shape]: a key is a text, and this is a list (help: write a name and a `:`; braces that a value starts with need quotes around it)",
        ],
        "",
    ),
    // Names.
    (
        "pipelines:\n  inputs:\n    - name: dummy\n",
        &[
            "main.yaml:1:1: error[unknown-section]: no part of a configuration is named `pipelines`; it is ignored (help: did you mean `pipeline`?)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "inputs:\n  - name: dummy\n",
        &[
            "main.yaml:1:1: error[unknown-section]: no part of a configuration is named `inputs`; it is ignored (help: put it below `pipeline:`, as `inputs:`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "parser:\n  name: a\n",
        &[
            "main.yaml:1:1: warning[unknown-section]: no part of a configuration is named `parser`; it is ignored (help: did you mean `parsers`?)",
        ],
        "parsers:\n  - name: a\n",
    ),
    (
        "x-notes:\n  author: me\n",
        &[
            "main.yaml:1:1: warning[unknown-section]: no part of a configuration is named `x-notes`; it is ignored (help: remove it)",
        ],
        "",
    ),
    (
        "pipeline:\n  input:\n    - name: dummy\n",
        &[
            "main.yaml:2:3: error[unknown-section]: `input` is no part of a pipeline (help: did you mean `inputs`?)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "pipeline:\n  parsers:\n    - name: a\n",
        &[
            "main.yaml:2:3: error[unknown-section]: `parsers` is no part of a pipeline (help: start `parsers:` in the first column)",
        ],
        "parsers:\n  - name: a\n",
    ),
    (
        "pipeline:\n  colour: red\n",
        &[
            "main.yaml:2:3: error[unknown-section]: `colour` is no part of a pipeline (help: it holds `inputs`, `filters` and `outputs`: remove the rest)",
        ],
        "",
    ),
    (
        "service:\n  flsh: 1\n",
        &[
            "main.yaml:2:3: warning[unknown-service-key]: `flsh` is no key of [SERVICE]; it is ignored (help: did you mean `flush`?)",
        ],
        "service:\n  flush: 1\n",
    ),
    // Values of options.
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      dummy: {\"a\": 1}\n",
        &[
            "main.yaml:4:14: error[nested-value]: `dummy` takes text, and this is a mapping (help: quote it: `dummy: '{\"a\": 1}'`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      dummy: '{\"a\": 1}'\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      storage:\n        type: memory\n",
        &[
            "main.yaml:4:7: error[nested-value]: `storage` takes text, and this is a mapping (help: options are flat: write `storage.type: …`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      storage.type: memory\n",
    ),
    (
        "pipeline:\n  filters:\n    - name: modify\n      match: x\n      set:\n        a: 1\n",
        &[
            "main.yaml:5:7: error[nested-value]: `set` takes text, and this is a mapping (help: write each pair as a text: `set: key value`, or a list of such texts)",
        ],
        "pipeline:\n  filters:\n    - name: modify\n      match: x\n      set: a 1\n",
    ),
    (
        "pipeline:\n  filters:\n    - name: modify\n      match: x\n      set:\n        - a: 1\n",
        &[
            "main.yaml:5:7: error[nested-value]: `set` takes text, and this is a mapping (help: write each pair as a text: `set: key value`, or a list of such texts)",
        ],
        "pipeline:\n  filters:\n    - name: modify\n      match: x\n      set:\n        - a 1\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      tag:\n",
        &[
            "main.yaml:4:7: warning[empty-value]: `tag` has no value, which makes it an empty text (help: remove the line or give it a value; `\"\"` says that it is meant to be empty)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: \"\"\n",
    ),
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      tag: []\n",
        &[
            "main.yaml:4:7: warning[empty-value]: `tag` has no value, which makes it an empty text (help: remove the line or give it a value; `\"\"` says that it is meant to be empty)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "service:\n  parsers_file: [ a.conf, b.conf ]\n",
        &[
            "main.yaml:2:3: warning[yaml-shape]: `parsers_file` is a list, which Fluent Bit refuses (help: name the files in `includes`: parsers may stand in any file)",
        ],
        "includes: []\n",
    ),
    (
        "service:\n  flush: [ 1, 2 ]\n",
        &[
            "main.yaml:2:3: error[yaml-shape]: `flush` of the service takes one text, and this is a list (help: write one value behind the `:`)",
            "main.yaml:2:3: warning[repeated-option]: `flush` is given 2 times; the last one wins (help: remove the others)",
        ],
        "service:\n  flush: 1\n",
    ),
    (
        "service:\n  storage: { path: /x }\n",
        &[
            "main.yaml:2:12: error[nested-value]: `storage` takes text, and this is a mapping (help: options are flat: write `storage.path: …`)",
        ],
        "service:\n  storage.path: /x\n",
    ),
    // What Fluent Bit has in YAML alone.
    (
        "pipeline:\n  inputs:\n    - name: dummy\n      processors:\n        logs:\n          - name: content_modifier\n      telemetry: { x: y }\n      routes:\n        logs:\n          - name: errs\n",
        &[
            "main.yaml:7:7: warning[unsupported-option]: `telemetry` is ignored: it is not supported (help: remove it)",
            "main.yaml:8:7: error[unsupported-option]: conditional routes are not supported, so records would go elsewhere (help: route by tag: give the input a `tag` and each output a `match`)",
        ],
        "pipeline:\n  inputs:\n    - name: dummy\n",
    ),
    (
        "service:\n  telemetry:\n    metrics:\n      logs: { tag_records: { enabled: true } }\n  flush: 1\n",
        &[
            "main.yaml:2:3: warning[unsupported-option]: `telemetry` is ignored: it is not supported (help: remove it)",
        ],
        "service:\n  flush: 1\n",
    ),
    (
        "pipeline:\n  filters:\n    - name: grep\n      match: x\n      processors: {}\n",
        &[
            "main.yaml:5:7: warning[unsupported-option]: a filter has no processors; they are ignored (help: remove them)",
        ],
        "pipeline:\n  filters:\n    - name: grep\n      match: x\n",
    ),
    (
        "pipeline:\n  outputs:\n    - name: stdout\n      match: x\n      routes: {}\n",
        &[
            "main.yaml:5:7: error[unsupported-option]: `routes` and `telemetry` belong to inputs (help: remove it)",
        ],
        "pipeline:\n  outputs:\n    - name: stdout\n      match: x\n",
    ),
    // Variables.
    (
        "env: x\n",
        &[
            "main.yaml:1:1: error[yaml-shape]: `env` holds variables, and this is a text (help: put each on a line below it: `NAME: value`)",
        ],
        "env: { x: y }\n",
    ),
    (
        "env:\n  A: [ x ]\n",
        &[
            "main.yaml:2:3: error[nested-value]: the variable `A` is a list (help: give it a text: `A: value`)",
        ],
        "env:\n  A: x\n",
    ),
    (
        "env:\n  - { name: A }\n  - { name: [ b ], value: c }\n  - { name: C, uri: /c }\n  - { name: D, value: d, refresh_interval: 5, colour: red }\n",
        &[
            "main.yaml:2:7: error[missing-option]: the variable `A` has neither `value` nor `uri` (help: write `- { name: A, value: … }`)",
            "main.yaml:3:7: error[missing-value]: a variable's `name` is a text (help: write `- { name: NAME, value: … }`)",
            "main.yaml:4:16: error[bad-value]: the `uri` of the variable `C` names no file (help: write `uri: file:///path/to/file`)",
            "main.yaml:5:26: warning[no-effect]: `refresh_interval` has no effect: a variable is read once (help: remove it)",
            "main.yaml:5:47: error[unknown-option]: `colour` is no part of a variable (help: it has `name`, and `value` or `uri`)",
        ],
        "env:\n  - { name: A, value: a }\n",
    ),
    // Parsers and the rest.
    (
        "parsers:\n  - format: json\n",
        &["main.yaml:2:5: error[missing-name]: this parser has no `name` (help: give it one: `name: …`)"],
        "parsers:\n  - { name: a, format: json }\n",
    ),
    (
        "multiline_parsers:\n  - name: m\n    rules:\n      - { state: a, regex: b }\n      - { state: a, regex: b, next_state: c, colour: red }\n      - a b c\n",
        &[
            "main.yaml:4:11: error[missing-option]: the rule has no `next_state` (help: write `- { state: start_state, regex: '/^x/', next_state: cont }`)",
            "main.yaml:5:46: error[unknown-option]: `colour` is no part of a rule (help: a rule has `state`, `regex` and `next_state`)",
            "main.yaml:6:9: error[yaml-shape]: an entry of `rules` is a text (help: write keys and values: `- { state: start_state, regex: '/^x/', next_state: cont }`)",
        ],
        "multiline_parsers:\n  - name: m\n    rules:\n      - { state: a, regex: b, next_state: c }\n",
    ),
    (
        "upstream_servers:\n  - name: up\n    nodes:\n      - { host: h }\n",
        &[
            "main.yaml:4:11: error[missing-name]: this node has no `name` (help: give it one: `name: …`)",
            "main.yaml:4:11: error[missing-option]: this server has no `Port` (help: write `port: 24224`)",
        ],
        "parsers:\n  - { name: a }\n",
    ),
];
