//! `IKADA_CONFIG=lenient`: a start goes on where Fluent Bit's would have.
//!
//! Fluent Bit starts with an input whose parser is not there, without a stream task that makes
//! no sense; and it has plugins and options that Ikada has not. With the variable set, what such a finding is about is left out and the
//! rest runs. What stops Fluent Bit, too, stops here.

use ikada_diag::{Diagnostics, Severity, codes};
use tracing::warn;

/// The variable.
const VARIABLE: &str = "IKADA_CONFIG";

/// Errors that do not stop Fluent Bit.
const LET_PASS: [&str; 6] = [
    codes::UNKNOWN_PARSER,
    codes::UNSUPPORTED_PLUGIN,
    codes::UNSUPPORTED_OPTION,
    codes::UNSUPPORTED_SECTION,
    codes::BAD_STREAM_TASK,
    codes::BAD_TIME_FORMAT,
];

/// Says whether the errors among the findings are let pass, and logs that they are.
pub(crate) fn lets_pass(found: &Diagnostics) -> bool {
    let is_set = std::env::var(VARIABLE).is_ok_and(|value| value.eq_ignore_ascii_case("lenient"));
    if !is_set || !are_all_passable(found) {
        return false;
    }
    let errors = found.counts().errors;
    warn!(
        "[config] going on in spite of {errors} errors, as {VARIABLE}=lenient asks: what they are about is left out"
    );
    true
}

fn are_all_passable(found: &Diagnostics) -> bool {
    // What is only counted is not known.
    found.left_out() == 0
        && found.iter().all(|finding| finding.severity != Severity::Error || LET_PASS.contains(&finding.code))
}

#[cfg(test)]
mod tests {
    use ikada_diag::Diagnostic;

    use super::*;

    #[test]
    fn only_what_does_not_stop_fluent_bit_is_let_pass() {
        let with = |codes: &[&'static str]| {
            let mut found = Diagnostics::new();
            codes.iter().for_each(|code| found.push(Diagnostic::error(code, "x")));
            found.push(Diagnostic::warning(codes::EMPTY_SECTION, "y"));
            found
        };
        assert!(are_all_passable(&with(&[codes::UNKNOWN_PARSER, codes::UNSUPPORTED_OPTION])));
        assert!(!are_all_passable(&with(&[codes::UNKNOWN_PARSER, codes::UNKNOWN_OPTION])));
        assert!(!are_all_passable(&with(&[codes::MISSING_INCLUDE])));
    }
}
