//! Options that Fluent Bit has and these plugins have not: refused at start, never ignored.

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::PropertyBag;

/// Values that turn an option off, so that not having it makes no difference.
const OFF: [&str; 5] = ["", "0", "false", "off", "no"];

/// Takes these options out of the bag and refuses each that is turned on. `help` says what to do about it.
pub(crate) fn refuse(bag: &mut PropertyBag, options: &[&str], help: &str, diagnostics: &mut Diagnostics) {
    for (_, property) in bag.take_all(options) {
        if OFF.iter().any(|off| property.value.value.eq_ignore_ascii_case(off)) {
            continue;
        }
        let message = format!("`{}` is not supported", property.key.value);
        diagnostics
            .push(Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(property.key.span).help(help));
    }
}
