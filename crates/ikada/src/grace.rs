//! How long a stop may take: what the configuration says, else what ECS allows, less a margin.
//!
//! ECS kills a container some time after it has asked it to stop: the task definition's `stopTimeout`, or else what the agent's own setting
//! `ECS_CONTAINER_STOP_TIMEOUT` says, 30 seconds if it says nothing. Neither the task metadata nor the environment of a container tells it, so
//! a task definition that sets `stopTimeout` may hand it to the router as a variable of the agent's name.

use std::time::Duration;

use ikada_config::Grace;

/// The variable, as the ECS agent names its own.
pub(crate) const VARIABLE: &str = "ECS_CONTAINER_STOP_TIMEOUT";

/// What ECS allows between SIGTERM and SIGKILL if nothing else is said.
const USUAL: Duration = Duration::from_secs(30);

/// What is left of it for the process's own end.
const MARGIN: Duration = Duration::from_secs(2);

/// `Grace -1`, as a time that nobody lives to see.
const UNTIL_DELIVERED: Duration = Duration::from_secs(u32::MAX as u64);

/// How long a stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed(Duration);

impl Allowed {
    /// As the configuration says, if `written` there, else as the variable says, if that is set.
    ///
    /// # Errors
    /// The variable's value is no time; the usual one is taken.
    pub(crate) fn of(written: Option<Grace>, variable: Option<&str>) -> (Self, Result<(), String>) {
        let (timeout, said) = match (written, variable) {
            (Some(Grace::Within(grace)), _) => return (Self(grace), Ok(())),
            (Some(Grace::UntilDelivered), _) => return (Self(UNTIL_DELIVERED), Ok(())),
            (_, None) => (USUAL, Ok(())),
            (_, Some(text)) => match seconds(text) {
                Some(timeout) => (timeout, Ok(())),
                None => (USUAL, Err(format!("`{text}` in {VARIABLE} is no time, as `30s` or `2m` are"))),
            },
        };
        (Self(timeout.saturating_sub(MARGIN).max(timeout / 2)), said)
    }

    pub(crate) fn time(self) -> Duration {
        self.0
    }

    /// Whether a stop ends whatever is left.
    pub(crate) fn is_bounded(self) -> bool {
        self.0 < UNTIL_DELIVERED
    }
}

/// A time as the agent takes it, `1m30s`, or whole seconds.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let unit_len = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let one = match &unit[..unit_len] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(one.checked_mul(number.parse().ok()?)?)?;
        rest = &unit[unit_len..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(grace: Option<Grace>, variable: Option<&str>) -> (u64, bool) {
        let (allowed, said) = Allowed::of(grace, variable);
        (allowed.time().as_secs(), said.is_ok())
    }

    #[test]
    fn what_is_written_counts_then_the_variable_less_a_margin_then_what_ecs_usually_allows() {
        let five = Grace::Within(Duration::from_secs(5));
        assert_eq!(of(Some(five), Some("120s")), (5, true));
        assert_eq!(of(Some(Grace::UntilDelivered), None), (u32::MAX.into(), true));
        assert_eq!(of(None, None), (28, true));
        for (text, grace) in [("120s", 118), ("2m", 118), ("1m30s", 88), (" 60 ", 58), ("2s", 1), ("0", 0)] {
            assert_eq!(of(None, Some(text)), (grace, true), "{text}");
        }
        for text in ["", "soon", "30x", "s", "99999999999h", "30s later"] {
            assert_eq!(of(None, Some(text)), (28, false), "{text}");
        }
    }
}
