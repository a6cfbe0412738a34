//! Typed options of plugins, grown from one declaration: a struct with doc comments.
//!
//! The loader fills a [`PropertyBag`] with what stands in a section; a plugin's options struct takes what it knows
//! from it; [`PropertyBag::finish`] reports the rest. The same declaration, as an [`OptionSet`], is what help texts,
//! reference pages and checks are made of.
//!
//! **What it does not know:** files, variables and sections (the loader does), which plugins exist (the registry
//! does), and how options of one plugin depend on each other (the plugin's builder checks that).
//!
//! **The grammar of values** is that of Fluent Bit where that is safe, and a finding with the right text where it is
//! not: sizes are decimal (`5M` is 5,000,000; [`ByteSize`]), times have one letter (`5m`, never `500ms`;
//! [`Seconds`]), booleans are six words, lists are parted by commas ([`CommaList`]) or by blanks ([`SpaceList`]). A
//! number may carry a comment behind it, as Fluent Bit reads its leading digits only. An empty value counts as not
//! given.
//!
//! **Attributes.** On the struct: `#[options(output = "s3")]`, with `service`, `input`, `filter`, `output`,
//! `parser`, `multiline_parser`, `custom` or `common`. On a field: `#[option(…)]` with
//!
//! | word | meaning |
//! |---|---|
//! | `required` | the plugin cannot do without |
//! | `default = "100M"` | the value when none is given |
//! | `example = "logs"` | a value that makes sense, for help and documentation |
//! | `name = "net.io_timeout"` | the option's name, where it is not the field's |
//! | `alias = "size"` | another name; may stand more than once |
//! | `no_effect` | accepted for compatibility; a note says so |
//! | `flatten` | the field is another options struct |
//!
//! A field is an [`OptionValue`], `Spanned<…>` of one (it keeps its place), or [`InOrder`]`<…>` (it keeps its rank
//! in the section); an `Option<…>` of those may be absent; a `Vec<…>` may be given many times.
//!
//! In reading order: [`Options`], [`OptionSpec`] and [`OptionSet`], [`PropertyBag`], [`OptionValue`] and the shelf of
//! values, the common sets ([`InputCommon`], [`FilterCommon`], [`OutputCommon`], [`NetOptions`], [`TlsOptions`]), and what
//! Fluent Bit has by name ([`known_option`], [`is_known_plugin`]).
//!
//! ```
//! use ikada_options::{ByteSize, Diagnostics, Options, Property, PropertyBag, Sources, Spanned};
//!
//! /// Gathers records into objects in an Amazon S3 bucket.
//! #[derive(Debug, Options)]
//! #[options(output = "s3")]
//! pub struct S3Options {
//!     /// Bucket that receives the objects.
//!     #[option(required, example = "audit-logs-prod")]
//!     pub bucket: String,
//!     /// Size at which an object is complete.
//!     #[option(default = "100M")]
//!     pub total_file_size: ByteSize,
//! }
//!
//! let mut sources = Sources::default();
//! let file = sources.add("s3.conf", "[OUTPUT]\n    Bucket logs\n    Regoin here\n");
//! let property = |key: (usize, usize), value: (usize, usize)| {
//!     let text = |(start, end)| {
//!         let span = file.span(start, end);
//!         Spanned::new(sources.slice(span).to_owned(), span)
//!     };
//!     Property::new(text(key), text(value))
//! };
//! let properties = vec![property((13, 19), (20, 24)), property((29, 35), (36, 40))];
//! let mut bag = PropertyBag::new("output s3", file.span(0, 8), properties);
//!
//! let mut found = Diagnostics::new();
//! let options = S3Options::parse(&mut bag, &mut found).unwrap();
//! bag.finish(&[&S3Options::set()], &mut found);
//!
//! assert_eq!(options.bucket, "logs");
//! assert_eq!(options.total_file_size, ByteSize(100_000_000));
//! assert_eq!(
//!     found.lines(&sources).collect::<Vec<_>>(),
//!     ["s3.conf:3:5: error[unknown-option]: `Regoin` is no option of output s3 \
//!       (help: it knows `bucket` and `total_file_size`)"]
//! );
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

// The derive macros write `::ikada_options::…`, here as elsewhere.
extern crate self as ikada_options;

mod bag;
mod check;
mod common;
mod field;
mod known;
mod nearest;
mod net;
mod spec;
mod values;

pub use bag::{Property, PropertyBag};
pub use check::{check_set, problems_of};
pub use common::{Active, FilterCommon, InputCommon, OutputCommon, Overflow, StorageType};
pub use field::{
    Choice, Field, InOrder, Item, OptionValue, ValueError, check_value, choices_of, kind_of, take,
};
pub use ikada_diag::{Diagnostic, Diagnostics, Severity, SourceId, Sources, Span, Spanned};
pub use ikada_options_derive::{Choice, Options};
pub use known::{
    Advice, FLUENT_BIT, KnownOption, advice_on_option, advice_on_plugin, is_known_plugin, kinds_of_plugin,
    known_option, known_options, nearest_plugins,
};
pub use nearest::{nearest, quoted_list};
pub use net::{HostPort, NetOptions, TlsOptions, TlsVersion};
pub use spec::{OptionSet, OptionSpec, Options, PluginKind};
pub use values::{ByteSize, CommaList, LogLevel, Octal, RetryLimit, Seconds, Secret, SizeLimit, SpaceList};
