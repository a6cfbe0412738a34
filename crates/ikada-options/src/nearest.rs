//! "Did you mean": the known names that are near an unknown one.

/// Words longer than this have no near names: nobody mistypes that much.
const LONGEST: usize = 64;

/// Returns up to three of `names` that `word` was probably meant to be, the nearest first.
///
/// Case, `_`, `-`, `.` and blanks do not count (`logGroupName` is near `log_group_name`); a third of the letters may
/// differ (none of a word of two); a name that holds all words of the other is near as well (`log_group`, `log_group_name`).
///
/// ```
/// use ikada_options::nearest;
/// assert_eq!(nearest("Total_File_Sise", ["bucket", "total_file_size"]), ["total_file_size"]);
/// assert!(nearest("colour", ["bucket", "total_file_size"]).is_empty());
/// ```
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return Vec::new();
    }
    let letters = letters_of(word);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| distance(word, &letters, name).map(|distance| (distance, name)))
        .collect();
    found.sort_unstable();
    found.dedup();
    let Some((best, _)) = found.first().copied() else { return Vec::new() };
    found.into_iter().filter(|(distance, _)| *distance <= best + 1).map(|(_, name)| name).take(3).collect()
}

/// Returns names as people read them: `` `a`, `b` or `c` ``.
pub fn quoted_list(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

fn distance(word: &str, letters: &str, name: &str) -> Option<usize> {
    let others = letters_of(name);
    let limit = letters.len().max(others.len()) / 3;
    let distance = strsim::osa_distance(letters, &others);
    if distance <= limit {
        return Some(distance);
    }
    shares_all_words(word, name).then_some(limit + 1)
}

fn letters_of(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Says whether all words of the shorter name stand in the longer one.
fn shares_all_words(a: &str, b: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
    };
    let (a, b) = (words(a), words(b));
    let (short, long) = if a.len() < b.len() { (&a, &b) } else { (&b, &a) };
    let letters: usize = short.iter().map(String::len).sum();
    letters >= 4 && short.iter().all(|word| long.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = [
        "log_group_name",
        "log_stream_name",
        "log_stream_prefix",
        "region",
        "log_key",
        "tls.verify",
        "bucket",
    ];

    #[test]
    fn a_slip_of_the_finger_is_near() {
        assert_eq!(nearest("regoin", NAMES), ["region"]);
        assert_eq!(nearest("log_grup_name", NAMES), ["log_group_name"]);
    }

    #[test]
    fn another_way_of_writing_is_near() {
        assert_eq!(nearest("logGroupName", NAMES), ["log_group_name"]);
        assert_eq!(nearest("TLS_Verify", NAMES), ["tls.verify"]);
        assert_eq!(nearest("log-key", NAMES), ["log_key"]);
    }

    #[test]
    fn a_part_of_the_name_is_near() {
        assert_eq!(nearest("log_group", NAMES)[0], "log_group_name");
        assert_eq!(nearest("bucket_name", NAMES), ["bucket"]);
    }

    #[test]
    fn other_words_are_not_near() {
        assert!(nearest("compression", NAMES).is_empty());
        assert!(nearest("x", ["y", "xy"]).is_empty());
        assert!(nearest(&"region".repeat(100), NAMES).is_empty());
        assert!(nearest("", NAMES).is_empty());
    }

    #[test]
    fn lists_are_read_out() {
        assert_eq!(quoted_list(&[], "or"), "");
        assert_eq!(quoted_list(&["a"], "or"), "`a`");
        assert_eq!(quoted_list(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
