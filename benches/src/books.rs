//! The router's books: its last lines, and whether they balance.
//!
//! Ikada tells at its end what each input read and what became of it at each output:
//!
//! ```text
//! [input:forward:forward.0] read=300, unsent=0, filtered=10, unmatched=0
//! [output:s3:s3.0] sent=280, unsent=0, dropped=10, overflow=10
//! ```
//!
//! A program that tells nothing like this has no books.

/// What became of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// What the inputs read.
    read: u64,
    /// What they handed over to every output: read, without what was filtered, and without what they still held.
    dispatched: u64,
    /// What each output says of it, all taken together: sent, unsent, dropped, on disk.
    accounted: Vec<u64>,
}

impl Books {
    /// Reads them from a log; there are none where it has no such lines.
    pub(crate) fn of(log: &str) -> Option<Books> {
        let mut books = Books::default();
        for line in log.lines() {
            if line.contains("[input:") && line.contains(" read=") {
                let number = |name| number(line, name);
                let gone = number("unsent") + number("filtered") + number("unmatched");
                books.read += number("read");
                books.dispatched += (number("read") + number("added")).saturating_sub(gone);
            } else if line.contains("[output:") && line.contains(" sent=") {
                let all = ["sent", "unsent", "dropped", "on_disk"].map(|name| number(line, name));
                books.accounted.push(all.iter().sum());
            }
        }
        (!books.accounted.is_empty()).then_some(books)
    }

    /// Whether all that was written was read, and each output accounts for each record.
    pub(crate) fn balance(&self, written: u64) -> bool {
        self.read == written && self.accounted.iter().all(|accounted| *accounted == self.dispatched)
    }
}

/// The number behind `name=`, as a word of its own; 0 where there is none.
fn number(line: &str, name: &str) -> u64 {
    let words = line.split([' ', ',']);
    let value = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next();
    value.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[2026/11/23 00:00:00] [ info] [input:forward:forward.0] read=300, unsent=0, filtered=10, unmatched=0\n\
                       [2026/11/23 00:00:00] [ info] [output:null:null.0] sent=290, unsent=0, dropped=0\n\
                       [2026/11/23 00:00:00] [error] [output:s3:s3.0] sent=200, unsent=50, dropped=40, overflow=40\n";

    #[test]
    fn they_balance_when_each_output_accounts_for_each_record() {
        let books = Books::of(LOG).unwrap();
        assert!(books.balance(300));
        assert!(!books.balance(301));
        assert!(!Books::of(&LOG.replace("unsent=50", "unsent=49")).unwrap().balance(300));
    }

    #[test]
    fn another_programs_log_has_none() {
        assert_eq!(Books::of("[2026/11/23 00:00:00] [ info] [input:forward:forward.0] resume\n"), None);
    }
}
