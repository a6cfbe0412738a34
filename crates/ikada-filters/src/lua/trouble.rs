//! What goes wrong with a script, and how it is told: one line in a while, which says how many records it stands for.

use std::time::Duration;

use tokio::time::Instant;

/// At most one line is written in this time.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a script did not start or a record passes as it came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The script's own error, with its place, or Lua's.
    #[error("{}", message(.0))]
    Lua(#[from] mlua::Error),
    #[error("the script defines no function `{0}`")]
    NoFunction(String),
    #[error("the script has used up its instructions for this chunk")]
    Spent,
    #[error("the script returned the unknown code {0}")]
    Code(String),
    #[error("the script returned neither a record nor a list of records")]
    NoRecord,
    #[error("the script returned no time")]
    NoTime,
    #[error("the script returned a table that is nested too deep, or contains itself")]
    TooDeep,
    #[error("the script returned a record of more than {0} bytes")]
    TooLarge(usize),
    #[error("the script returned more than {0} tables")]
    TooMany(usize),
}

impl Failure {
    /// Whether the script was out of memory.
    pub(super) fn is_of_memory(&self) -> bool {
        matches!(self, Self::Lua(error) if is_of_memory(error))
    }
}

fn is_of_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_of_memory(cause),
        _ => false,
    }
}

/// The first line of an error, which names script and line; behind it stands the call stack.
fn message(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::CallbackError { cause, .. } => return message(cause),
        mlua::Error::RuntimeError(text) | mlua::Error::SyntaxError { message: text, .. } => text.clone(),
        mlua::Error::MemoryError(_) => "the script needs more memory than it may have".to_owned(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// What has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    records: u64,
    first: String,
    told: Option<Instant>,
}

impl Troubles {
    /// Counts a record that passes as it came.
    pub(super) fn note(&mut self, failure: &Failure) {
        self.records += 1;
        if self.records == 1 {
            self.first = failure.to_string();
        }
    }

    /// Writes a line if there is something to tell and the last one is long enough ago.
    pub(super) fn tell(&mut self) {
        if self.records == 0 || self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        self.write();
    }

    fn write(&mut self) {
        tracing::error!(
            records = self.records,
            first = %self.first,
            "filter lua: the script failed; records pass as they came"
        );
        self.records = 0;
    }
}

impl Drop for Troubles {
    fn drop(&mut self) {
        if self.records > 0 {
            self.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_for_all_failures_since_the_last_one() {
        let mut troubles = Troubles::default();
        troubles.note(&Failure::NoTime);
        troubles.tell();
        assert_eq!(troubles.records, 0);
        troubles.note(&Failure::Spent);
        troubles.note(&Failure::NoRecord);
        troubles.tell();
        assert_eq!((troubles.records, &*troubles.first), (2, &*Failure::Spent.to_string()));
    }
}
