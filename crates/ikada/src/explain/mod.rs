//! `ikada explain [TAG|CONTAINER]`: the way of a record through the configuration.
//!
//! For a tag, or the container that FireLens gives it to: the inputs it can come from, the filters it passes in order, the outputs
//! that take it, and what it is called there. Without a name, for every tag that the configuration gives away: those that inputs set,
//! and those that patterns are made for. Filters that give new tags are followed.
//!
//! **What it does not know:** what filters do to a record; names that depend on a record's fields are shown as they are written.
//!
//! In reading order: [`Args`] and [`run`], [`Map`], [`names`], `draw`.

mod command;
mod draw;
mod map;
pub mod names;
#[cfg(test)]
mod tests;

pub use command::{Args, Format, run};
pub use map::{Map, Node, Way};
