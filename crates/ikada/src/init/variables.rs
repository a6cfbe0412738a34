//! Which variables the init process listens to, and which only look as if it did.

/// What a variable's name says its value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VariableKind {
    /// A path inside the image: `aws_fluent_bit_init_file_*`.
    File,
    /// The ARN of an object: `aws_fluent_bit_init_s3_*`.
    S3,
}

impl VariableKind {
    /// The name of such a variable, as AWS documents it, for a number.
    #[must_use]
    pub fn name(self, number: &str) -> String {
        let word = if self == Self::S3 { "s3" } else { "file" };
        format!("aws_fluent_bit_init_{word}_{number}")
    }
}

/// A variable of the environment that the init process has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, without blanks around it.
    pub value: String,
    /// What its name says the value is; `None` for a name that is only nearly one.
    pub kind: Option<VariableKind>,
    /// The name as it is documented, where this one differs from it.
    pub meant: Option<String>,
}

/// Finds the init process's variables in an environment, in the order in which their files are read: by the number at the
/// end of the name, then by name; names without a number come last. (AWS's own order is that of the environment block, which ECS
/// does not promise anything about.)
pub fn scan(environment: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    let mut found: Vec<Variable> =
        environment.into_iter().filter_map(|(name, value)| look_at(name, &value)).collect();
    found.sort_by_cached_key(|variable| (number(&variable.name).unwrap_or(u64::MAX), variable.name.clone()));
    found
}

fn look_at(name: String, value: &str) -> Option<Variable> {
    let kind = kind_of(&name);
    let meant = match kind {
        Some(kind) => (!is_documented(&name, kind)).then(|| kind.name(suffix(&name))),
        None => Some(nearly(&name)?),
    };
    Some(Variable { name, value: value.trim().to_owned(), kind, meant })
}

/// The patterns of AWS's init process, which stand anywhere in a name: `aws_fluent_bit_init_[sS]3`, `aws_fluent_bit_init_[fF]ile`.
fn kind_of(name: &str) -> Option<VariableKind> {
    name.match_indices("aws_fluent_bit_init_").find_map(|(at, start)| {
        let rest = name.get(at + start.len()..)?;
        let starts = |words: [&str; 2]| words.iter().any(|word| rest.starts_with(word));
        match () {
            () if starts(["s3", "S3"]) => Some(VariableKind::S3),
            () if starts(["file", "File"]) => Some(VariableKind::File),
            () => None,
        }
    })
}

fn is_documented(name: &str, kind: VariableKind) -> bool {
    let word = if kind == VariableKind::S3 { ["s3_", "S3_"] } else { ["file_", "File_"] };
    let rest = name.strip_prefix("aws_fluent_bit_init_");
    rest.is_some_and(|rest| word.iter().any(|word| rest.len() > word.len() && rest.starts_with(word)))
}

/// The documented name that is meant by one that is nearly it.
fn nearly(name: &str) -> Option<String> {
    let plain: String = name.to_ascii_lowercase().replace(['-', '.'], "_");
    if !plain.contains("fluent") || !plain.contains("init") && !plain.starts_with("aws_fluent_bit") {
        return None;
    }
    let number = suffix(name);
    let stem = plain.strip_suffix(number).unwrap_or(&plain).trim_end_matches('_');
    let kinds = [VariableKind::S3, VariableKind::File];
    let likeness = |kind: VariableKind| {
        let known = kind.name("");
        strsim::normalized_damerau_levenshtein(stem, known.trim_end_matches('_'))
    };
    let best = kinds.into_iter().max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)))?;
    (likeness(best) >= 0.75).then(|| best.name(number))
}

/// The digits at the end of a name, `1` where there are none.
fn suffix(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    // The 3 of `s3` is no number.
    if digits.is_empty() || stem.ends_with(['s', 'S']) && digits == "3" { "1" } else { digits }
}

fn number(name: &str) -> Option<u64> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.ends_with(['s', 'S']) && name.ends_with("s3") {
        return None;
    }
    name[stem.len()..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(environment: &[&str]) -> Vec<String> {
        let pairs = environment.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
        scan(pairs).into_iter().map(|variable| variable.name).collect()
    }

    fn one(name: &str) -> Option<(Option<VariableKind>, Option<String>)> {
        let found = scan([(name.to_owned(), " x ".to_owned())]);
        found.into_iter().next().map(|variable| (variable.kind, variable.meant))
    }

    #[test]
    fn files_are_read_by_number_then_by_name() {
        let environment = [
            "aws_fluent_bit_init_s3_10",
            "aws_fluent_bit_init_s3_2",
            "PATH",
            "aws_fluent_bit_init_file_2",
            "aws_fluent_bit_init_s3_last",
            "aws_fluent_bit_init_file_1",
        ];
        let wanted = [
            "aws_fluent_bit_init_file_1",
            "aws_fluent_bit_init_file_2",
            "aws_fluent_bit_init_s3_2",
            "aws_fluent_bit_init_s3_10",
            "aws_fluent_bit_init_s3_last",
        ];
        assert_eq!(names(&environment), wanted);
    }

    #[test]
    fn what_aws_s_patterns_take_is_taken_and_called_out_where_it_is_odd() {
        let s3 = Some(VariableKind::S3);
        assert_eq!(one("aws_fluent_bit_init_s3_1"), Some((s3, None)));
        assert_eq!(one("aws_fluent_bit_init_S3_orders"), Some((s3, None)));
        assert_eq!(one("aws_fluent_bit_init_file_1"), Some((Some(VariableKind::File), None)));
        let meant = |number| Some(VariableKind::S3.name(number));
        assert_eq!(one("aws_fluent_bit_init_s3-1"), Some((s3, meant("1"))));
        assert_eq!(one("aws_fluent_bit_init_s3"), Some((s3, meant("1"))));
        assert_eq!(one("MY_aws_fluent_bit_init_s3_4"), Some((s3, meant("4"))));
    }

    #[test]
    fn names_that_aws_ignores_are_called_out() {
        let meant = |name: &str| one(name).and_then(|(kind, meant)| kind.is_none().then_some(meant?));
        let s3 = |number| Some(VariableKind::S3.name(number));
        assert_eq!(meant("AWS_FLUENT_BIT_INIT_S3_1"), s3("1"));
        assert_eq!(meant("aws-fluent-bit-init-s3-2"), s3("2"));
        assert_eq!(meant("aws_fluentbit_init_s3_1"), s3("1"));
        assert_eq!(meant("aws_fluent_bit_s3_1"), s3("1"));
        assert_eq!(meant("aws_fluent_bit_init_files_1"), None, "AWS takes it");
        assert_eq!(meant("AWS_FLUENT_BIT_INIT_FILE_7"), Some(VariableKind::File.name("7")));
        for other in ["FLUENT_HOST", "FLB_LOG_LEVEL", "PATH", "INIT_DB", "fluent_bit_init_done"] {
            assert_eq!(one(other), None, "{other}");
        }
    }

    #[test]
    fn values_lose_the_blanks_around_them() {
        let found = scan([("aws_fluent_bit_init_file_1".to_owned(), " /a b.conf\n".to_owned())]);
        assert_eq!(found[0].value, "/a b.conf");
    }
}
