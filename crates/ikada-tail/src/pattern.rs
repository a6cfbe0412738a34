//! Patterns of paths: which files they find, and which folders have to be watched for more.
//!
//! `*`, `?` and `[…]` match within one part of a path, and hidden names need an explicit dot (glob(7)). For `Exclude_Path` they match
//! over the whole path, and `*` goes across folders (fnmatch(3) without flags; reference, inputs §3.1).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A pattern of `Path`.
#[derive(Debug, Clone)]
pub(crate) struct PathPattern {
    /// Where the walk starts: `/`, or nothing for the working directory.
    root: PathBuf,
    parts: Vec<Vec<u8>>,
}

/// What patterns have found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Paths that match, each once.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// Folders in which a new name could match, or could lead to one.
    pub(crate) folders: BTreeSet<PathBuf>,
    /// Folders that cannot be listed.
    pub(crate) closed: Vec<(PathBuf, std::io::Error)>,
}

impl PathPattern {
    /// A pattern; `~` stands for the home folder.
    pub(crate) fn new(text: &str) -> Self {
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        let text = match (text.strip_prefix('~'), home()) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(text),
        };
        let mut root = PathBuf::new();
        let mut parts = Vec::new();
        for component in text.components() {
            match component {
                Component::RootDir | Component::Prefix(_) => root.push("/"),
                Component::CurDir => {}
                Component::ParentDir => parts.push(b"..".to_vec()),
                Component::Normal(part) => parts.push(part.as_bytes().to_vec()),
            }
        }
        Self { root, parts }
    }

    /// Adds what the pattern finds now.
    pub(crate) fn find(&self, found: &mut Found) {
        self.walk(self.root.clone(), 0, found);
    }

    /// Whether the pattern finds a file of this path.
    pub(crate) fn finds(&self, path: &Path) -> bool {
        let is_match = |part: &[u8], name: &[u8]| match is_wild(part) {
            true => (!name.starts_with(b".") || part.starts_with(b".")) && matches(part, name),
            false => unescape(part) == name,
        };
        let Ok(path) = path.strip_prefix(&self.root) else { return false };
        let names: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
        names.len() == self.parts.len()
            && self.parts.iter().zip(names).all(|(part, name)| is_match(part, name.as_os_str().as_bytes()))
    }

    fn walk(&self, at: PathBuf, depth: usize, found: &mut Found) {
        let Some(part) = self.parts.get(depth) else {
            found.paths.insert(at);
            return;
        };
        let is_last = depth + 1 == self.parts.len();
        if is_wild(part) {
            found.folders.insert(folder(&at));
            let mut names = match names_in(&folder(&at), part) {
                Ok(names) => names,
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::NotFound {
                        found.closed.push((at, error));
                    }
                    return;
                }
            };
            names.sort_unstable();
            for name in names {
                let next = at.join(OsStr::from_bytes(&name));
                if is_last || next.is_dir() {
                    self.walk(next, depth + 1, found);
                }
            }
            return;
        }
        let next = at.join(OsStr::from_bytes(&unescape(part)));
        let exists = if is_last { next.symlink_metadata().is_ok() } else { next.is_dir() };
        if is_last || !exists {
            found.folders.insert(folder(&at));
        }
        if exists {
            self.walk(next, depth + 1, found);
        }
    }
}

/// The folder itself, `.` for the empty path.
fn folder(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

fn names_in(folder: &Path, part: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let name = name.as_bytes();
        if (!name.starts_with(b".") || part.starts_with(b".")) && matches(part, name) {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn is_wild(part: &[u8]) -> bool {
    part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

fn unescape(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next().or(Some(byte))),
            other => out.push(*other),
        }
    }
    out
}

/// Whether a pattern matches the whole text. `*` matches any bytes at all. Work is bounded by the product of the lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on with the last star taking one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if p < pattern.len()
            && let Some(len) = one(&pattern[p..], text[t])
        {
            p += len;
            t += 1;
            continue;
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from + 1));
        (p, t) = (star, from + 1);
    }
}

/// Length of the pattern's first element if it takes the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => match set(&pattern[1..], byte) {
            Some((taken, len)) => taken.then_some(len + 1),
            None => (byte == b'[').then_some(1),
        },
        other => (other == byte).then_some(1),
    }
}

/// Whether a bracket expression takes the byte, and its length behind the `[`; `None` if it never closes.
fn set(rest: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let mut hit = false;
    let mut is_first = true;
    loop {
        let mut low = *rest.get(at)?;
        if low == b']' && !is_first {
            return Some((hit != negated, at + 1));
        }
        is_first = false;
        if let Some((name, len)) = class(&rest[at..]) {
            hit |= is_in(name, byte);
            at += len;
            continue;
        }
        if low == b'\\' {
            at += 1;
            low = *rest.get(at)?;
        }
        let mut high = low;
        if rest.get(at + 1) == Some(&b'-') && rest.get(at + 2).is_some_and(|byte| *byte != b']') {
            high = rest[at + 2];
            at += 2;
        }
        hit |= (low..=high).contains(&byte);
        at += 1;
    }
}

/// The name in `[:name:]` and the length of all that, if it stands here.
fn class(rest: &[u8]) -> Option<(&[u8], usize)> {
    let inner = rest.strip_prefix(b"[:")?;
    let end = inner.iter().position(|byte| !byte.is_ascii_lowercase())?;
    inner[end..].starts_with(b":]").then_some((&inner[..end], end + 4))
}

/// Whether a byte is in a POSIX class, as the C locale has them.
fn is_in(class: &[u8], byte: u8) -> bool {
    match class {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &Path) -> Found {
        let mut found = Found::default();
        PathPattern::new(pattern.to_str().unwrap()).find(&mut found);
        found
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let cases = [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("a[", "a[", true),
            ("[[:alpha:]]", "b", true),
            ("[[:alpha:]]", "1", false),
            ("[![:digit:]_]x", "_x", false),
            ("[[:digit:]a-c:]", ":", true),
            ("[[:no]", ":", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("", "", true),
            ("*", "", true),
            ("/var/*.gz", "/var/log/a/b.gz", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_knows_what_it_finds() {
        let cases = [
            ("/l/*.log", "/l/a.log", true),
            ("/l/*.log", "/l/a.log.1", false),
            ("/l/*.log", "/l/.a.log", false),
            ("/l/*.log", "/l/b/a.log", false),
            ("/l/*/*.log", "/l/b/a.log", true),
            ("/l/\\*.log", "/l/*.log", true),
            ("l/*.log", "l/a.log", true),
            ("./l/*.log", "l/a.log", true),
            ("l/*.log", "/l/a.log", false),
            ("/l/a.log", "/l/a.log", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(PathPattern::new(pattern).finds(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn stars_cost_no_more_than_the_lengths_multiplied() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
    }

    #[test]
    fn folders_are_named_in_which_a_new_file_could_match() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("one/logs")).unwrap();
        fs::create_dir_all(at("two")).unwrap();
        fs::write(at("one/logs/a.log"), "").unwrap();
        fs::write(at("one/logs/.hidden.log"), "").unwrap();
        let found = found(&at("*/logs/*.log"));
        assert_eq!(found.paths.into_iter().collect::<Vec<_>>(), [at("one/logs/a.log")]);
        let folders: Vec<_> = found.folders.into_iter().collect();
        assert_eq!(folders, [dir.path().to_owned(), at("one/logs"), at("two")]);
    }

    #[test]
    fn a_missing_folder_is_waited_for_where_it_would_appear() {
        let dir = tempfile::tempdir().unwrap();
        let found = found(&dir.path().join("not/yet/*.log"));
        assert!(found.paths.is_empty());
        assert_eq!(found.folders.into_iter().collect::<Vec<_>>(), [dir.path().to_owned()]);
    }
}
