//! From options to a multiline parser.

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::codes;
use ikada_options::{Diagnostic, Diagnostics, Spanned, quoted_list};

use super::options::{MultilineOptions, MultilineType};
use super::rules::{RuleText, Rules, START};
use super::{MultilineParser, Test};
use crate::Parser;

impl MultilineParser {
    /// Builds a multiline parser; `parser` is the one its options name. Every mistake is reported; `None` if one of them is an
    /// error.
    pub fn build(
        options: &MultilineOptions,
        parser: Option<Arc<Parser>>,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let test = match options.kind {
            MultilineType::Regex => rules(options, found).map(Test::Rules),
            MultilineType::EndsWith => {
                text(options, found).map(|text| Test::EndsWith { text, negate: options.negate })
            }
            MultilineType::Equal => {
                text(options, found).map(|text| Test::Equal { text, negate: options.negate })
            }
        };
        let key = |key: &Option<String>| key.as_ref().map(|key| key.as_bytes().into());
        Some(Self {
            name: options.name.value.as_str().into(),
            test: test?,
            parser,
            key_content: key(&options.key_content),
            key_pattern: key(&options.key_pattern),
            key_group: key(&options.key_group),
            flush_timeout: Duration::from_millis(options.flush_timeout),
        })
    }
}

fn text(options: &MultilineOptions, found: &mut Diagnostics) -> Option<Box<[u8]>> {
    let Some(text) = &options.match_string else {
        let message = format!("multiline parser `{}` needs the option `match_string`", options.name.value);
        let help = "add a line `match_string END`";
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(options.name.span).help(help));
        return None;
    };
    Some(text.as_bytes().into())
}

fn rules(options: &MultilineOptions, found: &mut Diagnostics) -> Option<Rules> {
    let written = &options.rule;
    if written.is_empty() {
        let message = format!("multiline parser `{}` needs the option `rule`", options.name.value);
        let help = r#"add a line `rule "start_state" "/^\S/" "cont"`"#;
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(options.name.span).help(help));
        return None;
    }
    let texts: Option<Vec<_>> = written.iter().map(|rule| rule_text(rule, found)).collect();
    let texts = texts?;
    let mut sound = true;
    let mut say = |message: String, rule: usize, help: String| {
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(written[rule].span).help(help));
        sound = false;
    };
    if !texts[0].states.contains(&START) {
        let message = "the first rule must start a record".to_owned();
        say(message, 0, format!("give it the state `{START}`"));
    }
    let states: Vec<&str> = texts.iter().flat_map(|text| text.states.iter().copied()).collect();
    for (at, text) in texts.iter().enumerate() {
        if let Some(next) = text.next.filter(|next| !states.contains(next)) {
            let message = format!("no rule has the state `{next}`, which this one leads to");
            say(message, at, format!("there are {}", quoted_list(&states, "and")));
        }
    }
    if !sound {
        return None;
    }
    match Rules::new(&texts) {
        Ok(rules) => Some(rules),
        Err((at, error)) => {
            let message = format!("not a regular expression: {}", error.message);
            found.push(Diagnostic::error(codes::BAD_REGEX, message).at(written[at].span));
            None
        }
    }
}

/// Reads `"state, state" "/regex/" "next state"`.
fn rule_text<'t>(
    rule: &'t Spanned<ikada_options::SpaceList>,
    found: &mut Diagnostics,
) -> Option<RuleText<'t>> {
    let (states, regex, next) = match &*rule.value.0 {
        [states, regex] => (states, regex, None),
        [states, regex, next] => (states, regex, Some(next.as_str()).filter(|next| !next.is_empty())),
        words => {
            let message = format!("a rule has three parts in quotes, not {}", words.len());
            let help = r#"type `rule "start_state" "/^\S/" "cont"`"#;
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(rule.span).help(help));
            return None;
        }
    };
    let states = states.split(',').map(str::trim).filter(|state| !state.is_empty()).collect();
    Some(RuleText { states, regex, next })
}
