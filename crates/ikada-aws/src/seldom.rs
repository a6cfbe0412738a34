//! Log lines for what may happen with every record or request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two lines.
const APART: Duration = Duration::from_secs(30);

/// Counts what is worth a line, and says when to write it. Shared by all who may meet the same thing.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<(u64, Option<Instant>)>);

impl Seldom {
    /// Counts `n` more; the number a line is to be written for, if one is due.
    pub(crate) fn count(&self, n: u64, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += n;
        if state.0 == 0 || state.1.is_some_and(|last| now < last + APART) {
            return None;
        }
        state.1 = Some(now);
        Some(std::mem::take(&mut state.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_it_stands_for() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.count(0, start), None);
        assert_eq!(seldom.count(2, start), Some(2));
        assert_eq!(seldom.count(3, start + APART / 2), None);
        assert_eq!(seldom.count(4, start + APART), Some(7));
    }
}
