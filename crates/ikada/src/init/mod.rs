//! The init process of the AWS images, in the same program: files and objects that variables name.
//!
//! AWS's `init-*` images run a program of their own before Fluent Bit. Here it is part of the start, whatever the image is
//! called: [`Init::prepare`] looks at the environment, fetches what `aws_fluent_bit_init_s3_*` names, asks ECS about the task, and
//! writes a main file that includes everything in order: first the file of `-c`, then those of the variables, by the
//! number at the end of their names, then by name. The loader reads it all through [`Init::files`] and [`Init::env`];
//! nothing is written to disk, so that a read-only root file system is enough.
//!
//! A file is included whatever is in it. AWS's init process takes one with a `[PARSER]` in it for parsers only, and the rest
//! of that file vanishes.
//!
//! **What it does not know:** what stands in the files; plugins.
//!
//! In reading order: [`Variable`] and [`variables::scan`], [`Init`], [`TaskEnv`], [`Overlay`], [`Fetch`].

mod env;
mod fetch;
mod overlay;
pub(crate) mod shipped;
mod story;
pub mod variables;

pub use env::TaskEnv;
pub use fetch::{AwsFetch, Fetch};
pub use overlay::Overlay;
pub use story::{ENVIRONMENT, Init, InitSource};
pub use variables::{Variable, VariableKind};
