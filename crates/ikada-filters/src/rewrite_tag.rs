//! `rewrite_tag`: sends records on under a new tag, made of the old one, fields and what an expression captured.
//!
//! The first rule whose key matches decides. The record enters the router anew under its new tag and passes every filter of that tag but
//! this one; the original ends here unless the rule keeps it. A record that has been re-tagged too often goes on as it is.

use std::sync::{Mutex, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_options::{ByteSize, Options, PropertyBag, SpaceList, Spanned, StorageType};
use ikada_parse::regex::{Regex, Slots};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::Fields;
use ikada_record::accessor::{Accessor, Part, Template};

use crate::rule::{Together, name_or_accessor, regex};

/// A filter that takes records of every tag sees re-tagged ones again in the others.
const MATCHES_EVERY_TAG: &str = "retag-every-tag";

/// Sends records on under a new tag, chosen by regular expressions over their fields.
///
/// The record passes all filters of its new tag from the first one on, except this one.
#[derive(Debug, Options)]
#[options(filter = "rewrite_tag")]
pub struct RewriteTagOptions {
    /// A rule: `FIELD REGEX NEW_TAG KEEP`; quotes keep blanks inside a word.
    ///
    /// The field is a name or an accessor such as `$kubernetes['labels']['app']`; its text, integer or boolean must match (in Fluent Bit only
    /// texts do). The new tag may hold `$TAG`, `$TAG[n]` (the n-th part between dots), `$name['inner']` (a field) and `$0` to `$9` (what the
    /// expression captured; all empty if it has no group). With `true`, `on` or `yes` for KEEP the record also goes on under its old tag. The first
    /// rule that matches decides.
    #[option(required, example = "$level ^error$ error.$TAG false")]
    pub rule: Vec<Spanned<SpaceList>>,
    /// Has no effect: there is no input of its own behind this filter.
    #[option(no_effect)]
    pub emitter_name: Option<String>,
    /// Has no effect: re-tagged records wait where all others wait.
    #[option(no_effect, name = "emitter_storage.type")]
    pub emitter_storage_type: Option<StorageType>,
    /// Has no effect: re-tagged records count against the memory of the process as all others do.
    #[option(no_effect)]
    pub emitter_mem_buf_limit: Option<ByteSize>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct RewriteTag {
    groups: Vec<Group>,
}

/// Rules in a row that look at one key.
#[derive(Debug)]
struct Group {
    /// Never empty.
    rules: Vec<Rule>,
    together: Option<Together>,
}

#[derive(Debug)]
struct Rule {
    key: Accessor,
    regex: Regex,
    tag: Template,
    keep: bool,
    /// Room for the groups, if the new tag names one and the expression has any.
    captures: Option<Mutex<Slots>>,
}

impl RewriteTag {
    /// Checks the rules.
    pub fn build(options: &RewriteTagOptions, found: &mut Diagnostics) -> Option<Self> {
        let rules: Vec<_> = options.rule.iter().map(|rule| Rule::build(rule, found)).collect();
        Some(Self { groups: grouped(rules.into_iter().collect::<Option<Vec<_>>>()?) })
    }

    /// The first rule that matches.
    fn decide(&self, fields: &Fields<'_>) -> Option<&Rule> {
        self.groups.iter().find_map(|group| group.decide(fields))
    }
}

impl Group {
    /// The first rule that matches. The key is looked up once.
    fn decide(&self, fields: &Fields<'_>) -> Option<&Rule> {
        let mut number = itoa::Buffer::new();
        let text = text(self.rules.first()?.key.lookup(fields), &mut number)?;
        match &self.together {
            None => self.rules.iter().find(|rule| rule.regex.is_match(text)),
            Some(together) => {
                let said = together.ask(text);
                let at = (0..self.rules.len()).find(|number| said.matches(*number))?;
                self.rules.get(at)
            }
        }
    }
}

fn grouped(rules: Vec<Rule>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for rule in rules {
        match groups.last_mut().filter(|group| group.rules[0].key.as_str() == rule.key.as_str()) {
            Some(group) => group.rules.push(rule),
            None => groups.push(Group { rules: vec![rule], together: None }),
        }
    }
    for group in &mut groups {
        group.together = Together::of(group.rules.iter().map(|rule| &rule.regex));
    }
    groups
}

impl Filter for RewriteTag {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let Some(rule) = self.decide(fields) else { return Verdict::Keep };
        let mut tag = fields.buffer();
        rule.write_tag(&mut tag, cx, fields);
        // A tag ends where a NUL stands in it, as in Fluent Bit.
        let end = memchr::memchr(0, &tag).unwrap_or(tag.len());
        let sent = cx.retag(&tag[..end], fields);
        fields.recycle(tag);
        if sent && !rule.keep { Verdict::Drop } else { Verdict::Keep }
    }
}

impl Rule {
    /// A field that is not there leaves its place in the tag empty.
    fn write_tag(&self, out: &mut Vec<u8>, cx: &EntryContext<'_>, fields: &Fields<'_>) {
        let Some(slots) = &self.captures else {
            return self.tag.render_fields(out, cx.tag, fields, |_| None).unwrap_or_default();
        };
        let mut number = itoa::Buffer::new();
        let subject = text(self.key.lookup(fields), &mut number).unwrap_or_default();
        let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
        self.regex.captures_into(subject, &mut slots);
        let capture = |group| subject.get(slots.get(group)?);
        self.tag.render_fields(out, cx.tag, fields, capture).unwrap_or_default();
    }

    fn build(words: &Spanned<SpaceList>, found: &mut Diagnostics) -> Option<Self> {
        let span = words.span;
        let [key, pattern, tag, keep, rest @ ..] = &*words.value.0 else {
            let message = format!("`Rule` needs four words, not {}", words.value.0.len());
            let help = "type `Rule $field ^regex$ new.$TAG false`; double quotes keep blanks inside a word";
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
            return None;
        };
        if !rest.is_empty() {
            let message = format!("`Rule` takes four words; `{}` is ignored", rest.join(" "));
            let help = "put an expression with blanks in double quotes";
            found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span).help(help));
        }
        let key = name_or_accessor(key, span, found);
        let regex = regex(pattern, span, found);
        let tag = template(tag, span, found);
        let keep = keep_flag(keep, span, found);
        let (key, regex, tag) = (key?, regex?, tag?);
        let names_group = tag.parts().iter().any(|part| matches!(part, Part::Capture(_)));
        let captures = (names_group && regex.group_count() > 0).then(Mutex::default);
        if names_group && captures.is_none() {
            let message = format!("`{}` has no group, so that `$0` to `$9` are empty", regex.as_str());
            let help = "put what is to be captured in brackets: `^(.*)$`";
            found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span).help(help));
        }
        Some(Self { key, regex, tag, keep, captures })
    }
}

/// What an expression looks at: a text, an integer or a boolean.
fn text<'r>(value: Option<View<'r>>, number: &'r mut itoa::Buffer) -> Option<&'r [u8]> {
    match value? {
        View::Str(text) => Some(text),
        View::Int(n) => Some(number.format(n).as_bytes()),
        View::Uint(n) => Some(number.format(n).as_bytes()),
        View::Bool(true) => Some(b"true"),
        View::Bool(false) => Some(b"false"),
        _ => None,
    }
}

fn template(text: &str, span: Span, found: &mut Diagnostics) -> Option<Template> {
    match Template::new(text) {
        Ok(template) => {
            for caution in template.cautions() {
                let finding =
                    Diagnostic::warning(codes::ADJUSTED_VALUE, format!("`{text}`: {}", caution.message));
                found.push(Diagnostic { help: caution.help.clone(), ..finding.at(span) });
            }
            Some(template)
        }
        Err(error) => {
            let message = format!("`{text}` is no tag: {error}");
            let help = "a reference is `$TAG`, `$TAG[1]`, `$1` or `$name['inner']`";
            found.push(Diagnostic::error(codes::BAD_TEMPLATE, message).at(span).help(help));
            None
        }
    }
}

/// Anything that is no boolean counts as false, as in Fluent Bit: recorded case `rt-bad-keep`.
fn keep_flag(text: &str, span: Span, found: &mut Diagnostics) -> bool {
    let is = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    let keep = is(["true", "on", "yes"]);
    if !keep && !is(["false", "off", "no"]) {
        let message = format!("`{text}` is no boolean, so the original is not kept");
        let finding = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span);
        found.push(finding.help("end the rule with `true` or `false`"));
    }
    keep
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "rewrite_tag", aliases: &[], options: RewriteTagOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    tell_of_every_tag(bag, found);
    let options = RewriteTagOptions::parse(bag, found)?;
    Some(Box::new(RewriteTag::build(&options, found)?))
}

fn tell_of_every_tag(bag: &PropertyBag, found: &mut Diagnostics) {
    let Some(pattern) = bag.peek("match") else { return };
    let text = &pattern.value.value;
    if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
        let message =
            "this filter takes every tag, so that rules of other filters can send its records in a circle";
        let finding = Diagnostic::warning(MATCHES_EVERY_TAG, message).at(pattern.value.span);
        found.push(finding.help("match the tags that come from inputs: `Match app.*`"));
    }
}
