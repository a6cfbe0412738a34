//! The command line: Fluent Bit's flags.
//!
//! Read by hand and not by a library: `-p` and `-m` belong to the plugin named before them, so the order of flags is their
//! meaning (reference, "Command line, signals, exit codes").

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run, or with `dry_run` only load and check.
    Run(Box<Run>),
    /// `-h`: general help, or the options of the plugin named before it.
    Help(Option<(Section, String)>),
    /// `-V`.
    Version,
}

/// Everything a run is told on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// `-c`: the last one counts.
    pub config: Option<PathBuf>,
    /// `-R`: parser files.
    pub parsers: Vec<PathBuf>,
    /// `-e`: shared objects, which Ikada does not load.
    pub plugins: Vec<String>,
    /// `-i`, `-F`, `-o`, in order, with their properties.
    pub sections: Vec<Plugin>,
    /// `-T`: stream tasks, which stand before those of the file.
    pub stream_tasks: Vec<String>,
    /// Service settings, which the file overrides.
    pub service: Vec<(&'static str, String)>,
    /// `-l`.
    pub log_file: Option<PathBuf>,
    /// `-v`, counted.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
    /// `-D`.
    pub dry_run: bool,
    /// `-w`.
    pub workdir: Option<PathBuf>,
    /// Words that are no flags: a run tells that they do nothing.
    pub words: Vec<String>,
    /// Flags that are accepted and do nothing, told to the user.
    pub ignored: Vec<String>,
}

/// The kinds of sections a command line can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `-i`.
    Input,
    /// `-F`.
    Filter,
    /// `-o`.
    Output,
}

/// A plugin started on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Which kind.
    pub section: Section,
    /// Its name, or `forward://host:port`.
    pub name: String,
    /// Its properties, in order.
    pub properties: Vec<(String, String)>,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such flag.
    #[error("there is no flag `{0}`")]
    Unknown(String),
    /// A flag at the end that needs a value.
    #[error("`{0}` needs a value")]
    Missing(String),
    /// A value that the flag does not know.
    #[error("`{0}` does not know `{1}`: it takes {2}")]
    Value(String, String, &'static str),
    /// `-p` before any plugin.
    #[error("`{0}` belongs to a plugin: name one with -i, -F or -o before it")]
    NoSection(String),
}

impl UsageError {
    /// The answer of a command to a flag that only the program itself has.
    pub(crate) fn of_a_run(command: &Command) -> Self {
        Self::Unknown(if *command == Command::Version { "-V" } else { "-h" }.to_owned())
    }
}

/// Long names and the letters they stand for.
const LONG: &[(&str, char)] = &[
    ("storage_path", 'b'),
    ("config", 'c'),
    ("daemon", 'd'),
    ("supervisor", 'd'),
    ("dry-run", 'D'),
    ("flush", 'f'),
    ("input", 'i'),
    ("filter", 'F'),
    ("match", 'm'),
    ("output", 'o'),
    ("prop", 'p'),
    ("parser", 'R'),
    ("plugin", 'e'),
    ("log_file", 'l'),
    ("tag", 't'),
    ("sp-task", 'T'),
    ("verbose", 'v'),
    ("workdir", 'w'),
    ("http", 'H'),
    ("http_server", 'H'),
    ("http_listen", 'L'),
    ("port", 'P'),
    ("http_port", 'P'),
    ("coro_stack_size", 's'),
    ("quiet", 'q'),
    ("sosreport", 'S'),
    ("enable-hot-reload", 'Y'),
    ("version", 'V'),
    ("help", 'h'),
    ("help-json", 'J'),
];

/// Flags that take a value.
const WITH_VALUE: &str = "bcfiFmopReltTwLPs";

/// Reads the arguments after the program's name.
///
/// # Errors
/// A flag that does not exist, lacks its value, or stands where it means nothing.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let mut args = args.into_iter();
    let mut run = Run::default();
    while let Some(arg) = args.next() {
        let (flag, mut value) = match split(&arg)? {
            Some(parts) => parts,
            None => {
                run.words.push(arg);
                continue;
            }
        };
        if WITH_VALUE.contains(flag) && value.is_none() {
            value = Some(args.next().ok_or_else(|| UsageError::Missing(arg.clone()))?);
        }
        match flag {
            'h' => return Ok(Command::Help(run.sections.pop().map(|last| (last.section, last.name)))),
            'V' => return Ok(Command::Version),
            _ => run.apply(flag, value.unwrap_or_default(), &arg)?,
        }
    }
    Ok(Command::Run(Box::new(run)))
}

/// A flag's letter and the value glued to it; `None` for a word that is no flag.
fn split(arg: &str) -> Result<Option<(char, Option<String>)>, UsageError> {
    if let Some(long) = arg.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_owned())));
        let letter = LONG.iter().find(|(long, _)| *long == name).map(|(_, letter)| *letter);
        return letter.map(|letter| Some((letter, value))).ok_or_else(|| UsageError::Unknown(arg.to_owned()));
    }
    let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) else { return Ok(None) };
    let mut chars = short.chars();
    let letter = chars.next().unwrap_or('-');
    let glued = chars.as_str();
    let known = LONG.iter().any(|(_, known)| *known == letter) || letter == 'W' || letter == 'Z';
    if !known {
        return Err(UsageError::Unknown(arg.to_owned()));
    }
    if glued.is_empty() {
        return Ok(Some((letter, None)));
    }
    if WITH_VALUE.contains(letter) {
        return Ok(Some((letter, Some(glued.to_owned()))));
    }
    // `-vv` is a flag said twice; anything else glued to a flag without value is a mistake.
    if glued.chars().all(|c| c == letter) {
        return Ok(Some((letter, Some(glued.to_owned()))));
    }
    Err(UsageError::Unknown(arg.to_owned()))
}

impl Run {
    fn apply(&mut self, flag: char, value: String, arg: &str) -> Result<(), UsageError> {
        match flag {
            'c' => self.config = Some(value.into()),
            'R' => self.parsers.push(value.into()),
            'e' => self.plugins.push(value),
            'i' => self.start(Section::Input, value),
            'F' => self.start(Section::Filter, value),
            'o' => self.start(Section::Output, value),
            'p' => match value.split_once('=') {
                Some(_) if self.sections.is_empty() => return Err(UsageError::NoSection(arg.to_owned())),
                Some((key, value)) => self.property(key, value, arg),
                None => self.ignored.push(format!("-p {value}")),
            },
            'm' => self.property("match", &value, &format!("-m {value}")),
            't' => self.property("tag", &value, &format!("-t {value}")),
            'T' => self.stream_tasks.push(value),
            'f' => self.service.push(("flush", value)),
            'b' => self.service.push(("storage.path", value)),
            'l' => self.log_file = Some(value.into()),
            'w' => self.workdir = Some(value.into()),
            'H' => self.service.push(("http_server", "on".into())),
            'L' => self.service.push(("http_listen", value)),
            'P' => self.service.push(("http_port", value)),
            'v' => self.verbose = self.verbose.saturating_add(1 + value.len() as u8),
            'q' => self.quiet = true,
            'D' => self.dry_run = true,
            _ => self.ignored.push(arg.to_owned()),
        }
        Ok(())
    }

    fn start(&mut self, section: Section, name: String) {
        self.sections.push(Plugin { section, name, properties: Vec::new() });
    }

    /// Before any plugin a tag or pattern belongs to none; Fluent Bit passes over it.
    fn property(&mut self, key: &str, value: &str, written: &str) {
        match self.sections.last_mut() {
            Some(last) => last.properties.push((key.to_owned(), value.to_owned())),
            None => self.ignored.push(written.to_owned()),
        }
    }
}

/// The text of `-h`.
pub const HELP: &str = "\
Usage: ikada [OPTION]...
       ikada check [OPTION]... [FILE] [--format text|json] [--from fluent-bit]
       ikada check --task-definition FILE [--iam]   checks an ECS task and its configuration
       ikada explain [OPTION]... [TAG|CONTAINER]    shows the way of a record
       ikada test [OPTION]... FILE...               runs samples without sending anything
       ikada dlq list|show|export|replay            looks at dead letters, and sends them anew
       ikada schema                                 prints a JSON Schema for YAML

Runs a log pipeline from a configuration in Fluent Bit's format.

  -c, --config=FILE      the configuration
  -R, --parser=FILE      a file with parser definitions (repeatable)
  -D, --dry-run          load and check everything, then stop
  -i, --input=NAME       start an input; -i NAME -h lists its options
  -F, --filter=NAME      start a filter; -F NAME -h lists its options
  -o, --output=NAME      start an output; -o NAME -h lists its options
  -p, --prop=KEY=VALUE   set a property of the plugin started last
  -m, --match=PATTERN    the same as -p match=PATTERN
  -t, --tag=TAG          the same as -p tag=TAG
  -T, --sp-task=SQL      add a stream task (repeatable)
  -f, --flush=SECONDS    time between flushes (the file wins)
  -l, --log_file=FILE    write log lines to a file
  -w, --workdir=DIR      change to this directory first
  -H, --http             turn the HTTP server on (-L address, -P port)
  -e, --plugin=FILE      accepted for Fluent Bit's sake: AWS plugins are built in
  -v, --verbose          more log lines (repeatable)
  -q, --quiet            no log lines
  -V, --version          the version
  -h, --help             this text

Exit status: 0 everything was delivered, 1 configuration or command line, 2 records were left unsent at
the stop, 255 an input or listener could not start.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command, UsageError> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    fn run(text: &str) -> Run {
        match words(text) {
            Ok(Command::Run(run)) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_aws_image_s_own_command_line_is_understood() {
        let run =
            run("-e /fluent-bit/firehose.so -e /fluent-bit/cloudwatch.so -c /fluent-bit/etc/fluent-bit.conf");
        assert_eq!(run.plugins.len(), 2);
        assert_eq!(run.config, Some("/fluent-bit/etc/fluent-bit.conf".into()));
        assert!(run.ignored.is_empty());
    }

    #[test]
    fn properties_belong_to_the_plugin_before_them() {
        let run = run("-i dummy -t app -p rate=5 -o stdout -m app* -p format=json_lines -f 0.2 -vv");
        assert_eq!(run.sections[0].properties, [("tag".into(), "app".into()), ("rate".into(), "5".into())]);
        assert_eq!(run.sections[1].properties[0], ("match".into(), "app*".into()));
        assert_eq!(run.service, [("flush", "0.2".to_owned())]);
        assert_eq!(run.verbose, 2);
    }

    #[test]
    fn help_after_a_plugin_is_about_that_plugin() {
        assert_eq!(words("-o s3 -h"), Ok(Command::Help(Some((Section::Output, "s3".into())))));
        assert_eq!(words("--help"), Ok(Command::Help(None)));
        assert_eq!(words("-V"), Ok(Command::Version));
    }

    #[test]
    fn what_means_nothing_is_passed_over_and_told() {
        let run = run("-t x -mx --supervisor -J -i dummy -t y -o stdout -m *");
        assert_eq!(run.ignored, ["-t x", "-m x", "--supervisor", "-J"]);
        assert_eq!(run.sections[0].properties, [("tag".into(), "y".into())]);
    }

    #[test]
    fn stream_tasks_are_kept_in_order() {
        let run = run("-T one --sp-task=two -i dummy");
        assert_eq!(run.stream_tasks, ["one", "two"]);
        assert!(run.ignored.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(words("--nope"), Err(UsageError::Unknown("--nope".into())));
        assert_eq!(words("-c"), Err(UsageError::Missing("-c".into())));
        assert_eq!(words("-p a=b"), Err(UsageError::NoSection("-p".into())));
        assert_eq!(run("stray --config=a.conf").words, ["stray"]);
    }
}
