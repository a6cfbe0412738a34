//! A progress bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};

use crate::table::grouped;

const WIDTH: u64 = 30;

/// How far the demo is.
pub(crate) struct Progress {
    total: u64,
    is_terminal: bool,
    told: Option<u64>,
}

impl Progress {
    /// A bar that is full at `total`.
    pub(crate) fn new(total: u64) -> Progress {
        Progress { total: total.max(1), is_terminal: std::io::stderr().is_terminal(), told: None }
    }

    /// Shows how much was sent and how much of it was delivered.
    pub(crate) fn show(&mut self, sent: u64, delivered: u64) {
        if self.is_terminal {
            self.tell(&format!("\r\x1b[K{}", line(self.total, sent, delivered)));
            return;
        }
        // Away from a terminal, a line for each tenth is enough.
        let tenth = (sent + delivered) * 10 / (2 * self.total);
        if self.told != Some(tenth) {
            self.told = Some(tenth);
            self.tell(&format!("{}\n", line(self.total, sent, delivered)));
        }
    }

    /// Shows the last state and ends the line.
    pub(crate) fn finish(&mut self, sent: u64, delivered: u64) {
        self.show(sent, delivered);
        if self.is_terminal {
            self.tell("\n");
        }
    }

    fn tell(&self, text: &str) {
        // Progress that nobody can read is no reason to stop.
        std::io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}

/// `█` is delivered, `▒` is sent and on its way.
fn line(total: u64, sent: u64, delivered: u64) -> String {
    let full = (delivered * WIDTH / total).min(WIDTH);
    let half = (sent * WIDTH / total).min(WIDTH).saturating_sub(full);
    let rest = WIDTH - full - half;
    let bar: String =
        [("█", full), ("▒", half), ("░", rest)].map(|(sign, count)| sign.repeat(count as usize)).concat();
    format!("  {bar}  {} sent, {} delivered", grouped(sent), grouped(delivered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_delivered_from_sent() {
        assert_eq!(line(300, 200, 100), "  ██████████▒▒▒▒▒▒▒▒▒▒░░░░░░░░░░  200 sent, 100 delivered");
        assert_eq!(line(1, 1, 1), format!("  {}  1 sent, 1 delivered", "█".repeat(30)));
    }
}
