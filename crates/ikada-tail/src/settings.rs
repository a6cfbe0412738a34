//! What the options come down to.

use std::time::Duration;

use crate::join::Making;
use crate::options::{Charset, UnicodeEncoding};
use crate::pattern::PathPattern;
use crate::record::RecordRule;
use crate::tag::TagRule;

/// Size of one read.
pub(crate) const READ: usize = 256 * 1024;

/// Longest line where `Buffer_Max_Size` is not given.
pub(crate) const LONGEST: usize = 1_000_000;

/// What the options come down to.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) patterns: Vec<PathPattern>,
    pub(crate) excludes: Vec<String>,
    pub(crate) tags: TagRule,
    pub(crate) records: RecordRule,
    pub(crate) making: Making,
    pub(crate) from_head: bool,
    pub(crate) new_from_head: bool,
    pub(crate) ignore_older: Option<Duration>,
    pub(crate) ignore_active_older: bool,
    pub(crate) skips_long: bool,
    /// Longest line that is taken whole, without its end.
    pub(crate) longest: usize,
    /// What is left of a longer one.
    pub(crate) cut: usize,
    pub(crate) turn: usize,
    pub(crate) refresh: Duration,
    pub(crate) rotate_wait: Duration,
    pub(crate) watch_links: Duration,
    pub(crate) check: Duration,
    pub(crate) exit_on_eof: bool,
    pub(crate) is_told: bool,
    pub(crate) compare_name: bool,
    pub(crate) encoding: Option<UnicodeEncoding>,
    /// Another encoding than UTF-8 and UTF-16.
    pub(crate) charset: Option<Charset>,
}
