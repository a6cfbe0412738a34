//! Which characters a name means, spelled out as the content of a bracket.
//!
//! `\w \d \s` are ASCII unless `(?u)`, POSIX brackets Unicode unless `(?a)`, properties Unicode and `\h` ASCII always
//! (recorded cases `rx-w-unicode`, `rx-alpha-unicode`, `rx-w-u-flag`; Onigmo's `doc/RE`, sections 3, 6 and 7).

use super::Sets;

/// A set of characters: the content of a bracket, and whether it is meant the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charset {
    pub content: String,
    pub negated: bool,
    /// U+FFFD may belong to it, so stray bytes may match.
    pub takes_any: bool,
}

/// The ASCII characters of `\w`.
pub(super) const ASCII_WORD: &str = "0-9A-Za-z_";

const ASCII_SPACE: &str = r"\t\n\x0B\x0C\r ";
const HEX_DIGIT: &str = "0-9A-Fa-f";
const UNICODE_WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}";

impl Charset {
    fn ascii(content: &str, negated: bool) -> Self {
        Self { content: content.to_owned(), negated, takes_any: negated }
    }

    fn unicode(content: impl Into<String>, negated: bool) -> Self {
        Self { content: content.into(), negated, takes_any: true }
    }

    /// As an item of its own.
    pub(super) fn bracket(&self) -> String {
        let caret = if self.negated { "^" } else { "" };
        format!("[{caret}{}]", self.content)
    }

    /// As an item within brackets.
    pub(super) fn item(&self) -> String {
        if self.negated { self.bracket() } else { self.content.clone() }
    }
}

/// `\w`, `\D`, …: a capital letter means the rest of the world.
pub(super) fn shorthand(letter: char, sets: Sets) -> Option<Charset> {
    let negated = letter.is_ascii_uppercase();
    let unicode = sets == Sets::Unicode;
    Some(match letter.to_ascii_lowercase() {
        'h' => Charset::ascii(HEX_DIGIT, negated),
        'w' if unicode => Charset::unicode(UNICODE_WORD, negated),
        'd' if unicode => Charset::unicode(r"\p{Nd}", negated),
        's' if unicode => Charset::unicode(r"\p{White_Space}", negated),
        'w' => Charset::ascii(ASCII_WORD, negated),
        'd' => Charset::ascii("0-9", negated),
        's' => Charset::ascii(ASCII_SPACE, negated),
        _ => return None,
    })
}

/// `[:alpha:]` and its like.
pub(super) fn posix(name: &str, negated: bool, sets: Sets) -> Option<Charset> {
    if sets == Sets::Ascii {
        return ascii_posix(name).map(|content| Charset::ascii(content, negated));
    }
    let content = match name {
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "alpha" => r"\p{Alphabetic}",
        "ascii" => return Some(Charset::ascii(r"\x00-\x7F", negated)),
        "blank" => r"\p{Zs}\t",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\p{White_Space}\p{Cc}\p{Cn}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"\p{Zs}[^\p{White_Space}\p{Cc}\p{Cn}]",
        "punct" => r"\p{P}$+<=>\^`|\~",
        "space" => r"\p{White_Space}",
        "upper" => r"\p{Uppercase}",
        "xdigit" => return Some(Charset::ascii(HEX_DIGIT, negated)),
        "word" => UNICODE_WORD,
        _ => return None,
    };
    Some(Charset::unicode(content, negated))
}

fn ascii_posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "alnum" => "0-9A-Za-z",
        "alpha" => "A-Za-z",
        "ascii" => r"\x00-\x7F",
        "blank" => r" \t",
        "cntrl" => r"\x00-\x1F\x7F",
        "digit" => "0-9",
        "graph" => r"\x21-\x7E",
        "lower" => "a-z",
        "print" => r"\x20-\x7E",
        "punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
        "space" => ASCII_SPACE,
        "upper" => "A-Z",
        "xdigit" => HEX_DIGIT,
        "word" => ASCII_WORD,
        _ => return None,
    })
}

/// `\p{name}`: a POSIX name, a general category, a script or a binary property, however it is spelled.
pub(super) fn property(name: &str, negated: bool) -> Option<Charset> {
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | '=');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let loose: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let content = match loose.to_ascii_lowercase().as_str() {
        // Unlike the POSIX bracket, the property leaves symbols such as `$` and `+` out.
        "punct" => return Some(Charset::unicode(r"\p{P}", negated)),
        "xposixpunct" => "punct".to_owned(),
        other => other.to_owned(),
    };
    if let Some(set) = posix(&content, negated, Sets::Unicode) {
        return Some(set);
    }
    let content = format!(r"\p{{{name}}}");
    // The engines know the tables; asking one here tells where in the pattern the unknown name stands.
    regex::bytes::Regex::new(&content).is_ok().then(|| Charset::unicode(content, negated))
}
