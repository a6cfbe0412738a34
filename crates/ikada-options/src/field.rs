//! From properties to the fields of an options struct: what a type has to offer to stand in one.
//!
//! Three layers: an [`OptionValue`] is read from one text; an [`Item`] is a value, or a value that remembers its
//! place; a [`Field`] is one item, perhaps one, or any number of them.

use std::ops::Deref;

use ikada_diag::{Diagnostic, Diagnostics, Span, Spanned, codes};

use crate::bag::{Property, PropertyBag};
use crate::nearest::{nearest, quoted_list};
use crate::spec::OptionSpec;

/// Why a text is not a value of its type, or (as a warning) why it is a strange one.
///
/// The message continues a sentence whose subject is the value: "is not a size". It does not repeat the value, which
/// may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    /// What is wrong, as the rest of a sentence that starts with the value.
    pub message: String,
    /// What to type instead.
    pub help: Option<String>,
}

impl ValueError {
    /// Returns an error whose message continues "the value …".
    pub fn new(message: impl Into<String>) -> Self {
        ValueError { message: message.into(), help: None }
    }

    /// Says what to type instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the error for a text that is none of the choices.
    pub fn no_choice(text: &str, choices: &[(&str, &str)]) -> Self {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let near = nearest(text, names.iter().copied());
        let error = ValueError::new("is not one of the choices");
        match near.is_empty() {
            true => error.help(format!("type {}", quoted_list(&names, "or"))),
            false => error.help(format!("did you mean {}?", quoted_list(&near, "or"))),
        }
    }
}

/// A type whose values are read from one text.
pub trait OptionValue: Sized {
    /// What people are told the type is: "size".
    const KIND: &'static str;

    /// The allowed texts with their docs, where only some are allowed.
    const CHOICES: &'static [(&'static str, &'static str)] = &[];

    /// Whether a value may hold a secret, so that findings do not show it.
    const IS_SECRET: bool = false;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// When the text is not of this type.
    fn parse_value(text: &str) -> Result<Self, ValueError>;

    /// Reads a value and tells what is strange about it although it is accepted.
    ///
    /// # Errors
    ///
    /// When the text is not of this type.
    fn parse_with_warnings(text: &str, _warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        Self::parse_value(text)
    }
}

/// A value out of a fixed list of names.
pub trait Choice: OptionValue {
    /// Returns the name of the value.
    fn name(&self) -> &'static str;
}

/// A value and its place among all properties of its section, for rules whose order matters across several keys
/// (`Regex` and `Exclude` of grep).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InOrder<T> {
    /// Number of properties before it in the section.
    pub order: usize,
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Deref for InOrder<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value, or a value that remembers its place.
pub trait Item: Sized {
    /// The type of the value.
    type Value: OptionValue;

    /// Puts a value at its place.
    fn place(value: Self::Value, span: Span, order: usize) -> Self;
}

impl<V: OptionValue> Item for V {
    type Value = V;

    fn place(value: V, _span: Span, _order: usize) -> Self {
        value
    }
}

impl<V: OptionValue> Item for Spanned<V> {
    type Value = V;

    fn place(value: V, span: Span, _order: usize) -> Self {
        Spanned { value, span }
    }
}

impl<V: OptionValue> Item for InOrder<V> {
    type Value = V;

    fn place(value: V, span: Span, order: usize) -> Self {
        InOrder { order, value, span }
    }
}

/// A type that can stand as a field of an options struct.
pub trait Field: Sized {
    /// What it is made of.
    type Item: Item;

    /// Whether it takes any number of items.
    const MANY: bool;

    /// Whether it can do without any.
    const OPTIONAL: bool;

    /// Makes the field of its items; `None` when there are too few.
    fn gather(items: Vec<Self::Item>) -> Option<Self>;
}

impl<I: Item> Field for I {
    type Item = I;
    const MANY: bool = false;
    const OPTIONAL: bool = false;

    fn gather(mut items: Vec<I>) -> Option<Self> {
        items.pop()
    }
}

impl<I: Item> Field for Option<I> {
    type Item = I;
    const MANY: bool = false;
    const OPTIONAL: bool = true;

    fn gather(mut items: Vec<I>) -> Option<Self> {
        Some(items.pop())
    }
}

impl<I: Item> Field for Vec<I> {
    type Item = I;
    const MANY: bool = true;
    const OPTIONAL: bool = true;

    fn gather(items: Vec<I>) -> Option<Self> {
        Some(items)
    }
}

type ValueOf<F> = <<F as Field>::Item as Item>::Value;

/// Returns what people are told the type of a field is.
pub const fn kind_of<F: Field>() -> &'static str {
    ValueOf::<F>::KIND
}

/// Returns the choices of a field's type.
pub const fn choices_of<F: Field>() -> &'static [(&'static str, &'static str)] {
    ValueOf::<F>::CHOICES
}

/// Says whether a text is a value for a field.
///
/// # Errors
///
/// When it is not.
pub fn check_value<F: Field>(text: &str) -> Result<(), ValueError> {
    ValueOf::<F>::parse_value(text).map(drop)
}

/// Takes one option from a bag and makes a field of it; what is wrong with it becomes a diagnostic.
pub fn take<F: Field>(bag: &mut PropertyBag, spec: &OptionSpec, diags: &mut Diagnostics) -> Option<F> {
    let names: Vec<&str> = spec.names().collect();
    let written = bag.take_all(&names);
    let empty = written.iter().find(|(_, property)| property.value.is_empty()).map(|(_, p)| p.clone());
    let mut given: Vec<(usize, Property)> =
        written.into_iter().filter(|(_, property)| !property.value.is_empty()).collect();
    if let Some(empty) = &empty {
        report_empty(empty, spec, given.is_empty(), diags);
    }
    if spec.no_effect {
        return without_effect::<F>(bag, spec, &given, diags);
    }
    if !F::MANY {
        keep_last(&mut given, spec, diags);
    }
    if given.is_empty() {
        return absent::<F>(bag, spec, empty.is_some(), diags);
    }
    let items: Vec<Option<F::Item>> =
        given.iter().map(|(order, property)| read::<F::Item>(property, *order, diags)).collect();
    F::gather(items.into_iter().collect::<Option<Vec<_>>>()?)
}

/// An empty value counts as not given, as it does in Fluent Bit when a variable is empty.
fn report_empty(property: &Property, spec: &OptionSpec, nothing_else: bool, diags: &mut Diagnostics) {
    let key = &property.key.value;
    if spec.required && nothing_else {
        let diagnostic = match &property.written {
            Some(written) => {
                Diagnostic::error(codes::EMPTY_VALUE, format!("`{key}` is empty: `{written}` gave nothing"))
                    .help("set the variable, or write a default: `${NAME:-default}`")
            }
            None => Diagnostic::error(codes::EMPTY_VALUE, format!("`{key}` is empty"))
                .maybe_help(spec.example.map(|example| format!("type `{key} {example}`"))),
        };
        diags.push(diagnostic.at(property.value.span));
        return;
    }
    // A variable that is empty has been reported where it was replaced, unless it was meant to be: `${X:-}`.
    if property.written.is_none() {
        let message = format!("`{key}` is empty and counts as not given");
        diags.push(Diagnostic::warning(codes::EMPTY_VALUE, message).at(property.key.span));
    }
}

fn without_effect<F: Field>(
    bag: &PropertyBag,
    spec: &OptionSpec,
    given: &[(usize, Property)],
    diags: &mut Diagnostics,
) -> Option<F> {
    let Some((order, property)) = given.last() else { return absent(bag, spec, false, diags) };
    let message = format!("`{}` has no effect here", property.key.value);
    diags.push(
        Diagnostic::note(codes::NO_EFFECT, message)
            .at(property.key.span)
            .maybe_help(first_sentence(spec.doc)),
    );
    match ValueOf::<F>::parse_value(&property.value) {
        Ok(value) => F::gather(vec![F::Item::place(value, property.value.span, *order)]),
        Err(_) => absent(bag, spec, false, diags),
    }
}

fn first_sentence(doc: &str) -> Option<String> {
    let sentence = doc.split(". ").next()?.split('\n').collect::<Vec<_>>().join(" ");
    let sentence = sentence.trim().trim_end_matches('.');
    let sentence = sentence.strip_prefix("Has no effect: ").unwrap_or(sentence);
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

fn keep_last(given: &mut Vec<(usize, Property)>, spec: &OptionSpec, diags: &mut Diagnostics) {
    if given.len() < 2 {
        return;
    }
    let Some(last) = given.pop() else { return };
    let message = format!("`{}` is given {} times; the last one wins", spec.name, given.len() + 1);
    diags.push(
        Diagnostic::warning(codes::REPEATED_OPTION, message).at(last.1.key.span).help("remove the others"),
    );
    *given = vec![last];
}

fn absent<F: Field>(
    bag: &PropertyBag,
    spec: &OptionSpec,
    reported: bool,
    diags: &mut Diagnostics,
) -> Option<F> {
    if spec.required {
        if !reported {
            let message = format!("{} needs the option `{}`", bag.section(), spec.name);
            let help = spec.example.map(|example| format!("add a line `{} {example}`", spec.name));
            diags.push(Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header()).maybe_help(help));
        }
        return None;
    }
    let Some(default) = spec.default else { return F::gather(Vec::new()) };
    match ValueOf::<F>::parse_value(default) {
        Ok(value) => F::gather(vec![F::Item::place(value, bag.header(), bag.properties().len())]),
        Err(error) => {
            let message = format!("the default `{default}` of `{}` {error}", spec.name);
            diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(bag.header()));
            None
        }
    }
}

fn read<I: Item>(property: &Property, order: usize, diags: &mut Diagnostics) -> Option<I> {
    let mut warnings = Vec::new();
    let text = &property.value.value;
    let result = I::Value::parse_with_warnings(text, &mut warnings);
    let say = |error: ValueError| {
        let value =
            if I::Value::IS_SECRET { "the value".to_owned() } else { format!("`{}`", property.shown()) };
        let message = format!("`{}`: {value} {}", property.key.value, error.message);
        Diagnostic::error(codes::BAD_VALUE, message).at(property.value.span).maybe_help(error.help)
    };
    diags.extend(warnings.into_iter().map(|warning| Diagnostic {
        severity: ikada_diag::Severity::Warning,
        code: codes::ADJUSTED_VALUE,
        ..say(warning)
    }));
    match result {
        Ok(value) => Some(I::place(value, property.value.span, order)),
        Err(error) => {
            let help = comment_help::<I::Value>(text);
            diags.push(say(error).maybe_help(help));
            None
        }
    }
}

/// A comment behind a value is part of it; where it is what makes the value bad, that is the help.
fn comment_help<V: OptionValue>(text: &str) -> Option<String> {
    let (before, _) = text.split_once(" #").or_else(|| text.split_once("\t#"))?;
    let value = before.trim_end();
    V::parse_value(value).ok()?;
    Some(format!("type `{value}`; a comment needs a line of its own"))
}
