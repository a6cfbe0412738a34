//! Tests that need something of the machine say so when it is not there.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

/// Says in one line that tests are left out, once per program, past the test harness that would keep the line to itself.
///
/// # Panics
/// `IKADA_TEST_REQUIRE`, a list with commas, names `what`: there nothing may be left out.
pub(crate) fn skip(what: &'static str, reason: &str) {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let required = std::env::var("IKADA_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required: {reason}");
    if SAID.lock().unwrap().insert(what) {
        drop(writeln!(std::io::stderr(), "skipped: {reason}"));
    }
}

/// Whether one of the folders that programs lie in has this one; administrators' folders count too.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|dir| dir.join(program).is_file())
}

/// `PATH` with the administrators' folders, which a user's `PATH` may lack.
pub(crate) fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}
