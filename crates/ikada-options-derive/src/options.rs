//! `#[derive(Options)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result};

use crate::doc_of;

/// What `#[options(…)]` says about the struct.
struct Container {
    kind: TokenStream,
    name: String,
}

/// One field: an option, or another set of options.
enum Part<'a> {
    Option(OptionField<'a>),
    Flatten(&'a Field),
}

/// What `#[option(…)]` says about a field.
struct OptionField<'a> {
    field: &'a Field,
    name: String,
    aliases: Vec<String>,
    default: Option<LitStr>,
    example: Option<LitStr>,
    required: bool,
    no_effect: bool,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let container = container_of(input)?;
    let parts = parts_of(input)?;

    let options: Vec<&OptionField> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Option(option) => Some(option),
            Part::Flatten(_) => None,
        })
        .collect();
    let specs = options.iter().map(|option| spec_of(option));
    let checks = options.iter().map(|option| check_of(option));
    let gather = gather_specs(&parts);
    let (takes, fills) = take_and_fill(&parts);

    let Container { kind, name } = container;
    let doc = doc_of(&input.attrs);
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        const _: () = {
            const SPECS: &[::ikada_options::OptionSpec] = &[#(#specs),*];
            #(#checks)*

            #[automatically_derived]
            impl #impl_generics ::ikada_options::Options for #ident #type_generics #where_clause {
                fn set() -> ::ikada_options::OptionSet {
                    let mut specs = ::std::vec::Vec::new();
                    #(#gather)*
                    ::ikada_options::OptionSet { kind: #kind, name: #name, doc: #doc, specs }
                }

                fn parse(
                    bag: &mut ::ikada_options::PropertyBag,
                    diags: &mut ::ikada_options::Diagnostics,
                ) -> ::std::option::Option<Self> {
                    #(#takes)*
                    ::std::option::Option::Some(Self { #(#fills),* })
                }
            }
        };
    })
}

fn container_of(input: &DeriveInput) -> Result<Container> {
    let mut found = None;
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("options")) {
        attribute.parse_nested_meta(|meta| {
            let name = if meta.input.peek(syn::Token![=]) { text_of(&meta)?.value() } else { String::new() };
            let kind = kind_of(&meta)?;
            found = Some(Container { kind, name });
            Ok(())
        })?;
    }
    found.ok_or_else(|| {
        Error::new(input.ident.span(), "say what has these options: `#[options(output = \"s3\")]`")
    })
}

fn kind_of(meta: &ParseNestedMeta) -> Result<TokenStream> {
    let kinds = [
        ("service", "Service"),
        ("input", "Input"),
        ("filter", "Filter"),
        ("output", "Output"),
        ("parser", "Parser"),
        ("multiline_parser", "MultilineParser"),
        ("custom", "Custom"),
        ("common", "Common"),
    ];
    let found = kinds.iter().find(|(word, _)| meta.path.is_ident(word));
    let Some((_, variant)) = found else {
        let words: Vec<&str> = kinds.iter().map(|(word, _)| *word).collect();
        return Err(meta.error(format!("expected one of {}", words.join(", "))));
    };
    let variant = format_ident!("{variant}");
    Ok(quote!(::ikada_options::PluginKind::#variant))
}

fn parts_of(input: &DeriveInput) -> Result<Vec<Part<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "options are a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.ident.span(), "options are a struct with named fields"));
    };
    fields.named.iter().map(part_of).collect()
}

fn part_of(field: &Field) -> Result<Part<'_>> {
    let ident = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let mut option = OptionField {
        field,
        name: ident,
        aliases: Vec::new(),
        default: None,
        example: None,
        required: false,
        no_effect: false,
    };
    let mut flatten = false;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("option")) {
        attribute.parse_nested_meta(|meta| {
            match meta.path.get_ident().map(ToString::to_string).as_deref() {
                Some("flatten") => flatten = true,
                Some("required") => option.required = true,
                Some("no_effect") => option.no_effect = true,
                Some("name") => option.name = text_of(&meta)?.value(),
                Some("alias") => option.aliases.push(text_of(&meta)?.value()),
                Some("default") => option.default = Some(text_of(&meta)?),
                Some("example") => option.example = Some(text_of(&meta)?),
                _ => {
                    return Err(
                        meta.error("expected required, default, example, name, alias, no_effect or flatten")
                    );
                }
            }
            Ok(())
        })?;
    }
    if flatten {
        return Ok(Part::Flatten(field));
    }
    if option.required && option.default.is_some() {
        return Err(Error::new(field.span(), "an option with a default is not required"));
    }
    Ok(Part::Option(option))
}

fn text_of(meta: &ParseNestedMeta) -> Result<LitStr> {
    meta.value()?.parse::<LitStr>()
}

fn spec_of(option: &OptionField) -> TokenStream {
    let OptionField { field, name, aliases, default, example, required, no_effect } = option;
    let doc = doc_of(&field.attrs);
    let ty = &field.ty;
    let default = optional(default.as_ref());
    let example = optional(example.as_ref());
    quote! {
        ::ikada_options::OptionSpec {
            name: #name,
            aliases: &[#(#aliases),*],
            doc: #doc,
            kind: ::ikada_options::kind_of::<#ty>(),
            choices: ::ikada_options::choices_of::<#ty>(),
            default: #default,
            example: #example,
            required: #required,
            repeatable: <#ty as ::ikada_options::Field>::MANY,
            no_effect: #no_effect,
            check: ::ikada_options::check_value::<#ty>,
        }
    }
}

fn optional(text: Option<&LitStr>) -> TokenStream {
    match text {
        Some(text) => quote!(::std::option::Option::Some(#text)),
        None => quote!(::std::option::Option::None),
    }
}

/// A field that may stay without a value has to be able to say so; this is checked when the crate is compiled.
fn check_of(option: &OptionField) -> TokenStream {
    let ty = &option.field.ty;
    let name = &option.name;
    if option.default.is_some() {
        return quote!();
    }
    if option.required {
        let message = format!("`{name}` is required: its type should not be an `Option`");
        return quote_spanned! {ty.span()=>
            const _: () = assert!(
                !<#ty as ::ikada_options::Field>::OPTIONAL || <#ty as ::ikada_options::Field>::MANY,
                #message
            );
        };
    }
    let message = format!("`{name}` needs `required`, a default, or a type `Option<…>` or `Vec<…>`");
    quote_spanned! {ty.span()=>
        const _: () = assert!(<#ty as ::ikada_options::Field>::OPTIONAL, #message);
    }
}

/// Statements that collect the specs in the order of the fields.
fn gather_specs(parts: &[Part]) -> Vec<TokenStream> {
    let mut at = 0_usize;
    parts
        .iter()
        .map(|part| match part {
            Part::Option(_) => {
                let index = at;
                at += 1;
                quote!(specs.push(SPECS[#index]);)
            }
            Part::Flatten(field) => {
                let ty = &field.ty;
                quote!(specs.extend(<#ty as ::ikada_options::Options>::set().specs);)
            }
        })
        .collect()
}

/// Statements that read every field, and the expressions that fill the struct when all could be read.
fn take_and_fill(parts: &[Part]) -> (Vec<TokenStream>, Vec<TokenStream>) {
    let mut at = 0_usize;
    parts
        .iter()
        .map(|part| {
            let (field, take) = match part {
                Part::Option(option) => {
                    let (index, ty) = (at, &option.field.ty);
                    at += 1;
                    (option.field, quote!(::ikada_options::take::<#ty>(bag, &SPECS[#index], diags)))
                }
                Part::Flatten(field) => {
                    let ty = &field.ty;
                    (*field, quote!(<#ty as ::ikada_options::Options>::parse(bag, diags)))
                }
            };
            let ident = &field.ident;
            (quote!(let #ident = #take;), quote!(#ident: #ident?))
        })
        .unzip()
}
