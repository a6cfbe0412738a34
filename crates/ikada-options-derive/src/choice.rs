//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Token, Variant};

use crate::doc_of;

struct Named<'a> {
    ident: &'a Ident,
    /// The name that is shown first, then the aliases; all lower case.
    names: Vec<String>,
    doc: String,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "a choice is an enum"));
    };
    let variants = data.variants.iter().map(named).collect::<Result<Vec<_>>>()?;
    if variants.is_empty() {
        return Err(Error::new(input.ident.span(), "a choice has at least one variant"));
    }

    let ident = &input.ident;
    let kind = kind_text(&variants);
    let choices = variants.iter().map(|Named { names, doc, .. }| {
        let name = &names[0];
        quote!((#name, #doc))
    });
    let parse = variants.iter().map(|Named { ident, names, .. }| quote!(#(#names)|* => Self::#ident));
    let show = variants.iter().map(|Named { ident, names, .. }| {
        let name = &names[0];
        quote!(Self::#ident => #name)
    });
    Ok(quote! {
        #[automatically_derived]
        impl ::ikada_options::OptionValue for #ident {
            const KIND: &'static str = #kind;
            const CHOICES: &'static [(&'static str, &'static str)] = &[#(#choices),*];

            fn parse_value(text: &str) -> ::std::result::Result<Self, ::ikada_options::ValueError> {
                let lower = text.to_ascii_lowercase();
                ::std::result::Result::Ok(match lower.as_str() {
                    #(#parse,)*
                    _ => return ::std::result::Result::Err(
                        ::ikada_options::ValueError::no_choice(text, <Self as ::ikada_options::OptionValue>::CHOICES),
                    ),
                })
            }
        }

        #[automatically_derived]
        impl ::ikada_options::Choice for #ident {
            fn name(&self) -> &'static str {
                match self {
                    #(#show,)*
                }
            }
        }
    })
}

fn named(variant: &Variant) -> Result<Named<'_>> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new(variant.ident.span(), "a choice has variants without fields"));
    }
    let mut names = Vec::new();
    for attribute in variant.attrs.iter().filter(|a| a.path().is_ident("choice")) {
        let texts = attribute.parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)?;
        names.extend(texts.iter().map(|text| text.value().to_ascii_lowercase()));
    }
    if names.is_empty() {
        names.push(snake_case(&variant.ident.to_string()));
    }
    Ok(Named { ident: &variant.ident, names, doc: doc_of(&variant.attrs) })
}

/// `JsonLines` becomes `json_lines`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// `a`, `b` or `c`, as people are told.
fn kind_text(variants: &[Named]) -> String {
    let quoted: Vec<String> = variants.iter().map(|v| format!("`{}`", v.names[0])).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
