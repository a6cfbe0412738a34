//! `ikada check --task-definition FILE`: a task definition, checked together with the configuration that the ECS agent makes of it.
//!
//! The task definition is read with its places; the agent's file is written as the agent would, each part with the place it comes
//! from; then it is loaded and assembled as at a start, with the variables of the router's container. A finding in the
//! generated file is told at the place in the task definition that it comes from. What surrounds the router is looked at
//! besides, and what its roles must be allowed is put together.
//!
//! Nothing is fetched: files of the image and objects in S3 are handed over with `--file`, by the name that the task definition
//! gives them. What is not handed over is named, and not looked at.
//!
//! In reading order: `Args`, [`check`], [`model`], [`agent`], [`rules`], [`iam`].

pub mod agent;
pub mod iam;
pub mod model;
mod rules;
mod story;
#[cfg(test)]
mod tests;

pub use story::{Args, TaskCheck, check, run};
