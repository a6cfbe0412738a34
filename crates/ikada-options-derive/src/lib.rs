//! The derive macros behind `ikada-options`: `#[derive(Options)]` and `#[derive(Choice)]`.
//!
//! Only `ikada-options` uses this crate and re-exports both; the attributes are described there. It does not know
//! what a value means: it writes down names, texts and types, and leaves every rule to the traits.
//!
//! ```ignore
//! #[derive(Options)]
//! #[options(output = "s3")]
//! pub struct S3Options {
//!     /// Bucket that receives the objects.
//!     #[option(required, example = "audit-logs-prod")]
//!     pub bucket: String,
//! }
//! ```

mod choice;
mod options;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `ikada_options::Options` for a struct with named fields.
#[proc_macro_derive(Options, attributes(options, option))]
pub fn derive_options(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    options::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Derives `ikada_options::OptionValue` and `ikada_options::Choice` for an enum of unit variants.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Returns the doc comment among attributes: lines trimmed of their first blank, paragraphs kept apart.
fn doc_of(attributes: &[syn::Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    lines.join("\n").trim().to_owned()
}

fn doc_line(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(meta) = &attribute.meta else { return None };
    if !meta.path.is_ident("doc") {
        return None;
    }
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &meta.value else { return None };
    let text = text.value();
    Some(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
}
