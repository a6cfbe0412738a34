//! Log lines for what may happen with every record.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two lines.
const APART: Duration = Duration::from_secs(10);

/// Counts what is worth a line, and says when to write it.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    count: u64,
    last: Option<Instant>,
}

impl Seldom {
    /// Counts `n` more; the number a line is to be written for, if one is due.
    pub(crate) fn count(&mut self, n: u64, now: Instant) -> Option<u64> {
        self.count += n;
        if self.last.is_some_and(|last| now < last + APART) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_it_stands_for() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.count(2, start), Some(2));
        assert_eq!(seldom.count(3, start + APART / 2), None);
        assert_eq!(seldom.count(4, start + APART), Some(7));
    }
}
