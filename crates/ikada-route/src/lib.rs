//! Decides which filters and outputs a tag goes to, and remembers the answer.
//!
//! Stands on floor 2. The engine asks it once for each tag it has not met: every configured instance
//! says with a [`Matcher`] which tags it takes, the engine builds a *plan* out of the
//! answers, and a [`PlanCache`] hands that plan to every later chunk of the tag. Matching therefore costs per new tag,
//! never per record.
//!
//! **The rule.** `Match` is a glob over the whole tag, byte by byte and case sensitive: `*` stands for any run of
//! bytes, none and dots included; everything else is literal. `Match_Regex` is a Ruby expression that must match at the
//! tag's start, over one byte at least. An instance with both takes what either takes; one with neither takes nothing.
//!
//! What it does not know: what a plan holds, what a record looks like, where tags come from. It keeps no clock, opens
//! nothing, and never waits.
//!
//! In reading order: [`Pattern`], [`TagRegex`], [`Matcher`], [`PlanCache`].
//!
//! ```
//! use ikada_route::{Matcher, Pattern, PlanCache, TagRegex};
//!
//! let web = Matcher { regex: Some(TagRegex::new("(app|web)-")?), ..Matcher::default() };
//! let outputs = [web, Matcher::from(Pattern::new("*"))];
//! let plans: PlanCache<Vec<usize>> = PlanCache::default();
//!
//! let plan = plans.get_or_build(b"app-firelens-0123", |tag| {
//!     (0..outputs.len()).filter(|&i| outputs[i].matches(tag)).collect()
//! });
//! assert_eq!(*plan, [0, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod matcher;
mod pattern;
mod plan_cache;
mod tag_regex;

pub use matcher::Matcher;
pub use pattern::Pattern;
pub use plan_cache::PlanCache;
pub use tag_regex::TagRegex;
