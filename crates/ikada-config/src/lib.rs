//! From configuration files to a pipeline of instances, with a finding for every mistake.
//!
//! The program calls [`load`] (or [`load_classic`]) and [`build_pipeline`], and hands each [`Instance`] to the plugin
//! of its name, which takes its options from the bag. Everything is read through [`Files`] and [`Env`], so that tests
//! need no disk; nothing ends the loading early: the answer is always a [`Loaded`], with [`Diagnostics`] that say what
//! was wrong.
//!
//! [`Diagnostics`]: ikada_diag::Diagnostics
//!
//! **The order of things.** The main file is read from its top; at an `@INCLUDE`, the included files come before the
//! rest of the file, sorted where a pattern names them. A relative path starts at the working directory, then at the
//! main file's directory, then at that of the including file (patterns: at the main file's directory first). `@SET`
//! lines count wherever they stand. When everything is read, `${NAME}` is replaced in values, once: by what `@SET` says,
//! else by the environment, else by the default in `${NAME:-default}`. Keys, section names and paths of includes hold no
//! variables.
//!
//! **Two formats, one tree.** A file's extension decides: `.yaml` and `.yml` are YAML, everything else is classic, in
//! the main file, in includes and in files of parsers. In YAML, relative paths start at the including file's directory
//! alone, `env` is what `@SET` is, and a list of texts is an option that is written several times. [`Format`] stays with
//! each section, so that helps show what to type there.
//!
//! **What it does not know:** which plugins exist and which options they have, parsers and patterns, terminals.
//!
//! In reading order: [`Document`] and [`Section`], [`Loaded`] and [`load_classic`], [`Pipeline`] with its [`Instance`]s,
//! [`stream::Task`]s and [`Upstream`]s, [`ServiceOptions`].
//!
//! ```
//! use ikada_config::{build_pipeline, from_text};
//!
//! let mut loaded = from_text("demo.conf", "[INPUT]\n    Name dummy\n    Tag  app.${COLOUR}\n[OUTPUT]\n    Name stdout\n");
//! let mut found = std::mem::take(&mut loaded.diagnostics);
//! let pipeline = build_pipeline(&loaded.document, &mut found);
//!
//! assert_eq!(pipeline.inputs[0].id, "dummy.0");
//! assert_eq!(pipeline.inputs[0].bag.peek("tag").unwrap().value.value, "app.");
//! assert_eq!(pipeline.outputs[0].bag.peek("match").unwrap().value.value, "*");
//! assert_eq!(
//!     found.lines(&loaded.sources).collect::<Vec<_>>(),
//!     ["demo.conf:3:14: warning[undefined-variable]: `${COLOUR}` in `Tag` is not set; nothing takes its place \
//!       (help: set it, or write a default: `${COLOUR:-default}`)"]
//! );
//!
//! let loaded = from_text("demo.yaml", "pipeline:\n  outputs:\n    - { name: stdout, match: * }\n");
//! assert_eq!(
//!     loaded.diagnostics.lines(&loaded.sources).collect::<Vec<_>>(),
//!     ["demo.yaml:3:30: error[unquoted-value]: a value that starts with `*` is an alias in YAML \
//!       (help: quote it: `match: \"*\"`)"]
//! );
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod classic;
mod document;
mod env;
mod files;
pub mod fuzz;
mod loaded;
mod pipeline;
mod processor;
mod service;
pub mod stream;
mod upstream;
mod variables;
mod yaml;

pub use document::{Document, Format, Section, SectionKind};
pub use env::{Env, MapEnv, ProcessEnv};
pub use files::{DiskFiles, Files, LARGEST_FILE, MemoryFiles, is_pattern};
pub use loaded::{Loaded, from_text, load, load_classic, load_text};
pub use pipeline::{Instance, Pipeline, build_pipeline};
pub use processor::{ConditionOp, ConditionRule, Processor, ProcessorCondition, RuleOp};
pub use service::{BinarySize, FlushInterval, Grace, ServiceOptions, StorageSync};
pub use upstream::{Node, Upstream};
pub use variables::Variables;
