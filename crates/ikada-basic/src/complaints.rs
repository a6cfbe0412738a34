//! What an input says of bytes it cannot use: one line for many.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ikada_plugin::InputContext;
use tokio::time::Instant;
use tracing::warn;

/// Time between two lines of one input.
const EVERY: Duration = Duration::from_secs(10);

/// When the last line was written, and how much has not been told since.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Complaints {
    /// Counts something malformed, and says so unless something like it was said a moment ago.
    pub(crate) fn say(&self, cx: &InputContext, from: &str, what: &str) {
        cx.metrics.malformed.add(1);
        let Some(untold) = self.admit(Instant::now()) else { return };
        warn!(instance = %cx.id, from, "{what}{}", and_more(untold));
    }

    /// Whether a line is due; if so, how many others it stands for.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, untold) = &mut *state;
        if last.is_some_and(|last| now < last + EVERY) {
            *untold += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(untold))
    }
}

fn and_more(untold: u64) -> String {
    if untold == 0 { String::new() } else { format!(" (and {untold} more since the last line)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stands_for_many() {
        let complaints = Complaints::default();
        let now = Instant::now();
        assert_eq!(complaints.admit(now), Some(0));
        assert_eq!(complaints.admit(now), None);
        assert_eq!(complaints.admit(now + EVERY / 2), None);
        assert_eq!(complaints.admit(now + EVERY), Some(2));
        assert_eq!(and_more(2), " (and 2 more since the last line)");
    }
}
