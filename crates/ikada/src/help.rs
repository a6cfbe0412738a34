//! `-h`: of the program, of its commands, and the options of a plugin.

use ikada_options::{FilterCommon, InputCommon, OptionSet, Options, OutputCommon};
use ikada_plugin::registry::{Plugin, Registry, find};

use crate::cli::{HELP, Section};
use crate::dlq;

const CHECK: &str = "\
Usage: ikada check [OPTION]... [FILE] [--format text|json] [--from fluent-bit]
       ikada check --task-definition FILE [--region REGION] [--file NAME=PATH]... [--iam|--iam-execution|--config]

Tells everything that is wrong with a configuration, without starting anything. All flags of a run are understood (ikada -h).
Without FILE and -c it is /fluent-bit/etc/fluent-bit.conf.

  --format text|json     findings for people, or for programs
  --from fluent-bit      tells what becomes of each option of a configuration for Fluent Bit
  --task-definition FILE looks at an ECS task and the configuration that the agent makes of it
  --file NAME=PATH       the file that the task definition calls NAME: a path in the image or an ARN (repeatable)
  --region REGION        where the task is to run
  --iam                  prints the policy that the task role needs, and nothing else
  --iam-execution        the same for the execution role
  --config               prints the file that the agent would write, and nothing else

Exit status: 0 nothing to mend, 1 errors, 2 warnings only.
";

const EXPLAIN: &str = "\
Usage: ikada explain [OPTION]... [TAG|CONTAINER] [--format text|dot|mermaid]

Shows where records of a tag, or of a container, come from, which filters they pass and which outputs take them; without a
name, for every tag that the configuration gives. The configuration is named as for a run (ikada -h).
";

const TEST: &str = "\
Usage: ikada test [OPTION]... FILE...

Runs samples through a configuration without sending anything, or tries out files of expectations (.yaml). The configuration
is named as for a run (ikada -h).

  --tag TAG      the tag of the samples
  --from NAME    the input that they come from
  --format json  one JSON line for each record that an output receives
  -              reads standard input

Exit status: 0 every test passed, 1 one failed or the configuration has an error.
";

const SCHEMA: &str = "\
Usage: ikada schema

Prints a JSON Schema for configurations in YAML.
";

/// The help of a command, where the words behind it ask for one.
#[must_use]
pub fn command(name: &str, rest: &[String]) -> Option<&'static str> {
    let text = match name {
        "check" => CHECK,
        "dlq" => dlq::USAGE,
        "explain" => EXPLAIN,
        "schema" => SCHEMA,
        "test" => TEST,
        _ => return None,
    };
    rest.iter().any(|word| ["-h", "--help"].contains(&word.as_str())).then_some(text)
}

/// The general help: flags, then the plugins that are built in.
#[must_use]
pub fn general(registry: &Registry) -> String {
    let mut text = HELP.to_owned();
    let lists = [
        ("Inputs", lines(&registry.inputs)),
        ("Filters", lines(&registry.filters)),
        ("Outputs", lines(&registry.outputs)),
    ];
    for (title, list) in lists {
        text.push_str(&format!("\n{title}\n{list}"));
    }
    text
}

fn lines<P: ?Sized>(plugins: &[Plugin<P>]) -> String {
    plugins
        .iter()
        .map(|plugin| format!("  {:<22} {}\n", plugin.name, first_sentence((plugin.options)().doc)))
        .collect()
}

fn first_sentence(doc: &str) -> String {
    let text = doc.trim().replace('\n', " ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}

/// The options of one plugin, its own first; `None` if there is no such plugin.
#[must_use]
pub fn plugin(registry: &Registry, section: Section, name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let (own, common) = match section {
        Section::Input => ((find(&registry.inputs, &name)?.options)(), InputCommon::set()),
        Section::Filter => ((find(&registry.filters, &name)?.options)(), FilterCommon::set()),
        Section::Output => ((find(&registry.outputs, &name)?.options)(), OutputCommon::set()),
    };
    let mut text = format!("{}\n\nOptions of {name}\n", own.doc.trim());
    text.push_str(&options(&own));
    text.push_str(&format!("\nOptions of every {}\n", common.name));
    text.push_str(&options(&common));
    Some(text)
}

fn options(set: &OptionSet) -> String {
    let mut text = String::new();
    for spec in &set.specs {
        let mut about = vec![spec.kind.to_owned()];
        about.extend(spec.required.then(|| "required".to_owned()));
        about.extend(spec.default.map(|default| format!("default {default}")));
        about.extend(spec.repeatable.then(|| "repeatable".to_owned()));
        if !spec.aliases.is_empty() {
            about.push(format!("also {}", spec.aliases.join(", ")));
        }
        let doc = spec.doc.trim().replace('\n', "\n      ");
        text.push_str(&format!("\n  {} ({})\n      {doc}\n", spec.name, about.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_help() {
        let of = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            command(&words[0], &words[1..])
        };
        for name in ["check", "dlq", "explain", "schema", "test"] {
            let usage = format!("Usage: ikada {name}");
            assert!(HELP.contains(&format!("ikada {name}")), "{name}");
            for asked in ["-h", "--help", "-c a.conf -h", "list --help"] {
                assert!(of(&format!("{name} {asked}")).unwrap().starts_with(&usage), "{name} {asked}");
            }
            assert_eq!(of(&format!("{name} -c help")), None);
        }
        assert_eq!(of("-o s3 -h"), None);
    }
}
