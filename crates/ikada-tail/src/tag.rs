//! The tag of a file (reference, inputs §3.7).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ikada_parse::regex::Regex;
use ikada_record::Tag;

/// How files get their tags.
#[derive(Debug)]
pub(crate) struct TagRule {
    template: String,
    regex: Option<Regex>,
}

impl TagRule {
    pub(crate) fn new(template: String, regex: Option<Regex>) -> Self {
        Self { template, regex }
    }

    /// The tag of a file; `None` if the expression does not match its path, so that it is not read.
    pub(crate) fn tag(&self, path: &Path) -> Option<Tag> {
        let path = path.as_os_str().as_bytes();
        if let Some(regex) = &self.regex {
            return self.filled_in(regex, path).map(|tag| Tag::new(&tag));
        }
        let template = self.template.as_bytes();
        let Some(star) = template.iter().position(|byte| *byte == b'*') else {
            return Some(Tag::new(template));
        };
        let mut tag = Vec::with_capacity(template.len() + path.len());
        tag.extend_from_slice(&template[..star]);
        // Separators become dots, runs of dots one dot; none leads, and none stands behind another.
        for byte in path {
            match byte {
                b'/' | b'\\' | b':' | b'.' => {
                    if !matches!(tag.last(), None | Some(b'.')) {
                        tag.push(b'.');
                    }
                }
                // Stars are taken out wherever they stand.
                b'*' => {}
                other => tag.push(*other),
            }
        }
        for byte in template[star + 1..].iter().filter(|byte| **byte != b'*') {
            if *byte != b'.' || tag.last() != Some(&b'.') {
                tag.push(*byte);
            }
        }
        if tag.last() == Some(&b'.') {
            tag.pop();
        }
        Some(Tag::new(&tag))
    }

    fn filled_in(&self, regex: &Regex, path: &[u8]) -> Option<Vec<u8>> {
        let captures = regex.captures(path)?;
        let mut tag = Vec::new();
        let mut rest = self.template.as_str();
        while let Some(open) = rest.find('<') {
            let Some(close) = rest[open..].find('>') else { break };
            tag.extend_from_slice(&rest.as_bytes()[..open]);
            let name = &rest[open + 1..open + close];
            let found = captures.name(name).filter(|found| !found.is_empty());
            tag.extend_from_slice(found.unwrap_or(b"_"));
            rest = &rest[open + close + 1..];
        }
        tag.extend_from_slice(rest.as_bytes());
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(template: &str, path: &str) -> String {
        TagRule::new(template.to_owned(), None).tag(Path::new(path)).unwrap().to_string()
    }

    #[test]
    fn a_star_stands_for_the_path_with_dots() {
        let path = "/var/log/app/audit-2025-09-11.log";
        assert_eq!(tag("audit.*", path), "audit.var.log.app.audit-2025-09-11.log");
        assert_eq!(tag("*", path), "var.log.app.audit-2025-09-11.log");
        assert_eq!(tag("a.*.b.*.c", "/x/y"), "a.x.y.b.c");
        assert_eq!(tag("plain", path), "plain");
        assert_eq!(tag("a.*", "/l/z*.log"), "a.l.z.log");
        assert_eq!(tag("t.*", "/a..b/c:d."), "t.a.b.c.d");
    }

    #[test]
    fn named_groups_of_the_path_fill_the_tag_in() {
        let regex = Regex::new(r"/(?<svc>[a-z]+)-(?<date>[0-9-]+)\.log$").unwrap();
        let rule = TagRule::new("re.<svc>.<date>.<none>.x".to_owned(), Some(regex));
        let tag = rule.tag(Path::new("/var/log/audit-2025-09-11.log")).unwrap();
        assert_eq!(tag.to_string(), "re.audit.2025-09-11._.x");
        assert!(rule.tag(Path::new("/var/log/other.txt")).is_none());
        let regex = Regex::new(r"(?<svc>[a-z]+)(?<n>\d*)\.log").unwrap();
        let rule = TagRule::new("<svc>.<n>".to_owned(), Some(regex));
        assert_eq!(rule.tag(Path::new("/l/a.log")).unwrap().to_string(), "a._");
    }
}
