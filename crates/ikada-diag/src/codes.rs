//! Every stable code, each with the sentence that documents it.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $code;)+

        /// Every code with its sentence, in the order of this file.
        pub const ALL: &[(&str, &str)] = &[$(($code, concat!($($doc),+).trim_ascii())),+];
    };
}

codes! {
    // The text of a file.

    /// A file starts with a byte order mark, which is skipped.
    BOM = "bom";
    /// A file holds bytes that are not UTF-8; they are read as U+FFFD.
    INVALID_UTF8 = "invalid-utf8";
    /// A line is longer than the format allows.
    LINE_TOO_LONG = "line-too-long";
    /// A file is too large to be a configuration.
    FILE_TOO_LARGE = "file-too-large";
    /// A file is in a format that cannot be read.
    UNSUPPORTED_FORMAT = "unsupported-format";
    /// A file cannot be read.
    UNREADABLE_FILE = "unreadable-file";

    // Lines of the classic format.

    /// A key stands alone on its line, without a value.
    MISSING_VALUE = "missing-value";
    /// A key is followed by blanks only, or by variables that are all empty.
    EMPTY_VALUE = "empty-value";
    /// A property stands before the first section header.
    KEY_BEFORE_SECTION = "key-before-section";
    /// A section header has no closing bracket.
    BAD_HEADER = "bad-header";
    /// Text behind the closing bracket of a header is ignored.
    TEXT_AFTER_HEADER = "text-after-header";
    /// A header stands behind blanks, which makes it a property instead.
    INDENTED_HEADER = "indented-header";
    /// The brackets of a header hold blanks around the name, which makes the name unknown.
    BLANK_IN_HEADER = "blank-in-header";
    /// A section's name is not one of the known ones; the section is ignored.
    UNKNOWN_SECTION = "unknown-section";
    /// A section has no properties.
    EMPTY_SECTION = "empty-section";
    /// A line is indented less or more than the first property of its file.
    BAD_INDENTATION = "bad-indentation";
    /// A line is indented with tabs where the file uses blanks, or the reverse.
    MIXED_INDENTATION = "mixed-indentation";
    /// A key is separated from its value by a tab.
    TAB_SEPARATOR = "tab-separator";
    /// A `#` behind a value does not start a comment; it is part of the value.
    TRAILING_COMMENT = "trailing-comment";
    /// A key ends with a colon or an equals sign, as in other formats.
    KEY_PUNCTUATION = "key-punctuation";
    /// A line that starts with `@` is no command that is known.
    UNKNOWN_COMMAND = "unknown-command";

    // YAML.

    /// A file breaks the rules of YAML; nothing behind the place is read.
    YAML_SYNTAX = "yaml-syntax";
    /// A YAML file has a list, a mapping or a text where another of the three belongs.
    YAML_SHAPE = "yaml-shape";
    /// A YAML file uses an anchor, an alias or a merge key.
    YAML_ALIAS = "yaml-alias";
    /// A value without quotes starts with a character that YAML keeps for itself.
    UNQUOTED_VALUE = "unquoted-value";
    /// An option has a mapping, or a list of more than texts, where it takes text.
    NESTED_VALUE = "nested-value";
    /// The section `service` stands more than once in the YAML files of a configuration.
    DUPLICATE_SERVICE = "duplicate-service";

    // Includes.

    /// An `@INCLUDE` that is indented is read as a property.
    INDENTED_INCLUDE = "indented-include";
    /// An included file does not exist.
    MISSING_INCLUDE = "missing-include";
    /// An include pattern matches no file.
    INCLUDE_NO_MATCH = "include-no-match";
    /// An include names a directory, which reads as nothing.
    INCLUDE_DIRECTORY = "include-directory";
    /// A file is included a second time; the second time has no effect.
    INCLUDE_REPEATED = "include-repeated";
    /// A file includes itself, directly or through others.
    INCLUDE_CYCLE = "include-cycle";
    /// More files are included than the limit allows.
    TOO_MANY_FILES = "too-many-files";
    /// The included files together are larger than the limit allows.
    TOO_MUCH_TEXT = "too-much-text";

    // Variables.

    /// A variable is used but not set; nothing takes its place.
    UNDEFINED_VARIABLE = "undefined-variable";
    /// A `${…}` stays as it is, because its closing brace is missing, another one stands before it, or there is no name in it.
    UNREPLACED_VARIABLE = "unreplaced-variable";
    /// Variables make a value longer than a configuration may be.
    TOO_MUCH_EXPANSION = "too-much-expansion";
    /// An `@SET` line does not have the form `@SET name=value`.
    BAD_SET = "bad-set";
    /// The name in an `@SET` line has blanks around it, so that `${name}` does not find it.
    BLANK_IN_SET = "blank-in-set";
    /// The file behind a variable cannot be read.
    VARIABLE_FILE = "variable-file";

    // The init process.

    /// A variable's name is nearly one of the init process's.
    INIT_NAME = "init-variable-name";
    /// An init variable for a path names an object in S3, or the reverse.
    INIT_KIND = "init-variable-kind";
    /// The value of an init variable names neither a file nor an object.
    INIT_VALUE = "init-variable-value";
    /// An object that an init variable names cannot be fetched.
    INIT_FETCH = "init-fetch";
    /// ECS does not tell what task the program runs in.
    TASK_METADATA = "task-metadata";

    // A task definition.

    /// A task definition cannot be read.
    TASK_DEFINITION = "task-definition";
    /// Containers use `awsfirelens`, but none is a log router.
    NO_LOG_ROUTER = "no-log-router";
    /// The log router's container is not set up as one should be.
    LOG_ROUTER = "log-router";
    /// An option of FireLens or of the log driver `awsfirelens` is not as the agent takes it.
    FIRELENS_OPTION = "firelens-option";
    /// A log driver may hold more events than the task has memory for.
    BUFFER_LIMIT = "buffer-limit";
    /// ECS kills the router before it has delivered, or waits for nothing.
    STOP_TIMEOUT = "stop-timeout";
    /// A health check asks where nobody answers.
    HEALTH_CHECK = "health-check";
    /// A file is tailed that no volume brings into the router's container.
    MISSING_MOUNT = "missing-mount";
    /// A file is to be written where the router may not write.
    READ_ONLY = "read-only";
    /// The task has no role for what its router does.
    TASK_ROLE = "task-role";
    /// A file of the configuration is not at hand, and was not looked at.
    NOT_AT_HAND = "not-at-hand";

    // Sections and plugins.

    /// A section that starts a plugin has no `Name`.
    MISSING_NAME = "missing-name";
    /// No plugin has this name.
    UNKNOWN_PLUGIN = "unknown-plugin";
    /// Fluent Bit has this plugin, Ikada does not.
    UNSUPPORTED_PLUGIN = "unsupported-plugin";
    /// Fluent Bit has this kind of section, Ikada does not.
    UNSUPPORTED_SECTION = "unsupported-section";
    /// Two instances carry the same alias.
    DUPLICATE_ALIAS = "duplicate-alias";
    /// A filter or output has neither `Match` nor `Match_Regex`.
    MISSING_MATCH = "missing-match";
    /// An output matches no tag that an input can give.
    UNREACHABLE_OUTPUT = "unreachable-output";
    /// A filter matches no tag that an input can give.
    UNREACHABLE_FILTER = "unreachable-filter";
    /// No output matches the tag of an input.
    UNMATCHED_INPUT = "unmatched-input";
    /// The configuration has no input.
    NO_INPUT = "no-input";
    /// The configuration has no output.
    NO_OUTPUT = "no-output";

    // Options.

    /// No option of the plugin has this name.
    UNKNOWN_OPTION = "unknown-option";
    /// Fluent Bit has this option, Ikada does not.
    UNSUPPORTED_OPTION = "unsupported-option";
    /// A `[SERVICE]` key is not one of the known ones; it is ignored.
    UNKNOWN_SERVICE_KEY = "unknown-service-key";
    /// An option that the plugin needs is not given.
    MISSING_OPTION = "missing-option";
    /// A value is not of the option's type.
    BAD_VALUE = "bad-value";
    /// A value is accepted but means something else than it seems to, or was changed to fit.
    ADJUSTED_VALUE = "adjusted-value";
    /// An option that takes one value is given more than once; the last one wins.
    REPEATED_OPTION = "repeated-option";
    /// An option is accepted for compatibility and changes nothing.
    NO_EFFECT = "no-effect";
    /// Options contradict each other.
    CONFLICTING_OPTIONS = "conflicting-options";
    /// A value works, but not for long.
    DEPRECATED = "deprecated";

    // What options refer to.

    /// No parser has this name.
    UNKNOWN_PARSER = "unknown-parser";
    /// Two parsers have the same name.
    DUPLICATE_PARSER = "duplicate-parser";
    /// A regular expression cannot be compiled.
    BAD_REGEX = "bad-regex";
    /// A time format cannot be understood.
    BAD_TIME_FORMAT = "bad-time-format";
    /// A record accessor cannot be understood.
    BAD_ACCESSOR = "bad-accessor";
    /// A template for a name or key cannot be understood.
    BAD_TEMPLATE = "bad-template";
    /// A stream task cannot be understood, or reads from what is not there.
    BAD_STREAM_TASK = "bad-stream-task";
    /// A file or directory that an option names is not there.
    MISSING_PATH = "missing-path";
    /// No group of servers is in the file that an output names, or has this name.
    UNKNOWN_UPSTREAM = "unknown-upstream";
    /// Filters that give records a new tag send them round in a circle.
    TAG_CYCLE = "tag-cycle";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn codes_are_unique() {
        let unique: HashSet<_> = ALL.iter().map(|(code, _)| code).collect();
        assert_eq!(unique.len(), ALL.len());
    }

    #[test]
    fn codes_are_kebab_case() {
        for (code, _) in ALL {
            let words_are_plain = code.split('-').all(|word| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
            assert!(words_are_plain, "{code}");
        }
    }

    #[test]
    fn every_code_has_a_sentence() {
        for (code, sentence) in ALL {
            assert!(sentence.ends_with('.') && sentence.len() > 15, "{code}: {sentence}");
            assert!(sentence.starts_with(|c: char| c.is_uppercase()), "{code}: {sentence}");
        }
    }
}
