//! The engine as a whole, with inputs and outputs that play a script.
#![allow(clippy::unwrap_used, missing_docs)]

mod books;
mod disk;
mod fake;
mod filters;
mod lanes;
mod life;
