//! A guess at the format of a time that did not fit.

use super::format::TimeFormat;

/// Formats that people write, the more telling ones first.
const USUAL: [&str; 24] = [
    "%Y-%m-%dT%H:%M:%S.%L%z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%L",
    "%Y-%m-%dT%H:%M:%S,%L%z",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%L%z",
    "%Y-%m-%d %H:%M:%S,%L%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%L %Z",
    "%Y-%m-%d %H:%M:%S %Z",
    "%Y-%m-%d %H:%M:%S.%L",
    "%Y-%m-%d %H:%M:%S,%L",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S.%L",
    "%Y/%m/%d %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S.%L %Y",
    "%a %b %d %H:%M:%S %Y",
    "%b %d %H:%M:%S",
    "%s.%L",
    "%s",
    "%Y-%m-%d",
];

/// Returns the first of the usual formats that takes the whole text.
#[must_use]
pub fn suggest(text: &[u8]) -> Option<&'static str> {
    let fits = |format: &TimeFormat| {
        let read = format.read(text);
        read.whole && read.end == text.len()
    };
    USUAL.into_iter().find(|usual| TimeFormat::new(usual).is_ok_and(|format| fits(&format)))
}
