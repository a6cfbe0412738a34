//! The walk over a pattern.

use super::charset::{self, ASCII_WORD, Charset};
use super::class;
use super::cursor::{Cursor, error_at};
use super::escape::char_escape;
use super::quantifier::{Greed, Quantifier};
use super::reference::{self, Use};
use super::{Carets, Flags, Groups, Lines, RegexError, Sets, Source, Translation};

pub(super) struct Translator<'p> {
    cursor: Cursor<'p>,
    /// `None` while the groups are being learned.
    known: Option<&'p Groups>,
    lines: Lines,
    backtracking: bool,

    flags: Flags,
    frames: Vec<Frame>,
    out: String,
    /// The engine's `i` option at the end of `out`.
    ignoring_case: bool,
    /// What a quantifier would apply to.
    last: Last,
    /// Something in the innermost open group takes characters.
    solid: bool,

    found: Groups,
    alternatives: Alternatives,
    literal: Option<String>,
    needs_backtracking: bool,
    takes_any: bool,
    has_dollar: bool,
}

/// An open group.
struct Frame {
    /// Where it was opened, in the pattern and in the translation.
    at: usize,
    start: usize,
    /// What holds again when it is closed.
    flags: Flags,
    ignoring_case: bool,
    solid: bool,
    closer: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Does something of its own: captures, holds, chooses.
    Group,
    /// `(?:…)`: is what it contains.
    Bare,
    /// A look-around: takes no characters, and engines repeat none.
    Look,
    /// `(?i)` on its own: a group up to the end of the one around it.
    Options { top: bool },
}

/// What stands before the cursor, by its start in the translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom(usize),
    /// An anchor or a look-around.
    Empty(usize),
    Caret(usize),
}

/// Counts the alternatives of the whole pattern and the carets in it.
#[derive(Debug)]
struct Alternatives {
    all: usize,
    led: usize,
    carets: usize,
    at_start: bool,
}

impl<'p> Translator<'p> {
    pub(super) fn new(
        source: &Source<'p>,
        known: Option<&'p Groups>,
        lines: Lines,
        backtracking: bool,
    ) -> Self {
        Self {
            cursor: Cursor::new(source.body),
            known,
            lines,
            backtracking,
            flags: source.flags,
            frames: Vec::new(),
            out: String::with_capacity(2 * source.body.len()),
            ignoring_case: false,
            last: Last::Nothing,
            solid: false,
            found: Groups::default(),
            alternatives: Alternatives { all: 1, led: 0, carets: 0, at_start: true },
            literal: Some(String::new()),
            needs_backtracking: false,
            takes_any: false,
            has_dollar: false,
        }
    }

    pub(super) fn run(mut self) -> Result<(Translation, Groups), RegexError> {
        while let Some(c) = self.cursor.peek() {
            self.step(c)?;
        }
        self.close_options();
        if let Some(frame) = self.frames.last() {
            return Err(error_at(frame.at, "end pattern with unmatched parenthesis"));
        }
        let carets = match &self.alternatives {
            Alternatives { carets: 0, .. } => Carets::None,
            a if a.led == a.all && a.carets == a.led => Carets::Leading,
            _ => Carets::Anywhere,
        };
        let translation = Translation {
            text: self.out,
            literal: self.literal,
            needs_backtracking: self.needs_backtracking,
            takes_any: self.takes_any,
            carets,
            has_dollar: self.has_dollar,
        };
        Ok((translation, self.found))
    }

    fn step(&mut self, c: char) -> Result<(), RegexError> {
        if let Some(quantifier) = Quantifier::parse(&mut self.cursor)? {
            return self.quantify(quantifier);
        }
        let at = self.cursor.at();
        self.cursor.next();
        match c {
            '#' if self.flags.extended => {
                let comment = self.cursor.rest().find('\n');
                self.cursor.go_back_to(self.cursor.at() + comment.unwrap_or(self.cursor.rest().len()));
            }
            c if self.flags.extended && c.is_ascii_whitespace() => {}
            '(' => self.open(at)?,
            ')' => self.close(at)?,
            '|' => self.alternative(),
            '\\' => self.escape(at)?,
            '[' => self.class()?,
            '.' => self.any(),
            '^' => self.caret(),
            '$' => self.dollar(),
            c => self.character(c),
        }
        Ok(())
    }

    // ---- characters

    fn character(&mut self, c: char) {
        if !self.flags.ignore_case
            && let Some(literal) = &mut self.literal
        {
            literal.push(c);
        } else {
            self.literal = None;
        }
        self.takes_any |= c == char::REPLACEMENT_CHARACTER;
        // Digits and punctuation know no case; the option need not change for them.
        let cased = if c.is_alphabetic() { self.flags.ignore_case } else { self.ignoring_case };
        let start = self.atom(cased);
        class::push_literal(&mut self.out, c);
        self.last = Last::Atom(start);
    }

    fn any(&mut self) {
        self.takes_any = true;
        self.write_atom(if self.flags.dot_all { "(?s:.)" } else { "." });
    }

    fn class(&mut self) -> Result<(), RegexError> {
        let class = class::parse(&mut self.cursor, self.flags.sets)?;
        self.takes_any |= class.takes_any;
        self.literal = None;
        let start = self.atom(self.flags.ignore_case);
        self.out.push_str(&class.text);
        self.last = Last::Atom(start);
        Ok(())
    }

    fn charset(&mut self, set: &Charset) {
        self.takes_any |= set.takes_any;
        self.write_atom(&set.bracket());
    }

    /// Makes the engine's case option what it must be, and returns where the next atom starts.
    fn atom(&mut self, ignore_case: bool) -> usize {
        self.alternatives.at_start = false;
        self.solid = true;
        if self.ignoring_case != ignore_case {
            self.out.push_str(if ignore_case { "(?i)" } else { "(?-i)" });
            self.ignoring_case = ignore_case;
        }
        self.out.len()
    }

    /// Writes an atom that has no case.
    fn write_atom(&mut self, text: &str) {
        self.literal = None;
        let start = self.atom(false);
        self.out.push_str(text);
        self.last = Last::Atom(start);
    }

    // ---- places

    fn caret(&mut self) {
        self.alternatives.carets += 1;
        if self.alternatives.at_start && self.at_top() {
            self.alternatives.led += 1;
        }
        self.write_place(match (self.lines, self.backtracking) {
            (Lines::One, _) => r"\A",
            (Lines::Many, false) => "(?m:^)",
            (Lines::Many, true) => r"(?:\A|(?<=\n)(?!\z))",
        });
        if let Last::Empty(start) = self.last {
            self.last = Last::Caret(start);
        }
    }

    fn dollar(&mut self) {
        self.has_dollar = true;
        self.write_place(match self.lines {
            Lines::One => r"\z",
            Lines::Many => "(?m:$)",
        });
    }

    /// Unicode's, like POSIX brackets, unless `(?a)`.
    fn boundary(&mut self, inside: bool) {
        let w = format!("[{ASCII_WORD}]");
        let ascii = self.flags.sets == Sets::Ascii;
        // Next to a stray byte the linear engine would deny both that it is at a boundary and that it is not.
        self.takes_any |= inside;
        let text = match (ascii, self.backtracking, inside) {
            (false, _, false) => r"\b".to_owned(),
            (false, _, true) => r"\B".to_owned(),
            (true, false, false) => r"(?-u:\b)".to_owned(),
            (true, false, true) => r"(?-u:\B)".to_owned(),
            // The backtracking engine's own boundary is Unicode's.
            (true, true, false) => format!("(?:(?<={w})(?!{w})|(?<!{w})(?={w}))"),
            (true, true, true) => format!("(?:(?<={w})(?={w})|(?<!{w})(?!{w}))"),
        };
        self.write_place(&text);
    }

    fn write_place(&mut self, text: &str) {
        let solid = self.solid;
        self.write_atom(text);
        self.solid = solid;
        if let Last::Atom(start) = self.last {
            self.last = Last::Empty(start);
        }
    }

    /// Whether what stands here stands in no group.
    fn at_top(&self) -> bool {
        self.frames.iter().all(|frame| frame.kind == Kind::Options { top: true })
    }

    // ---- escapes

    fn escape(&mut self, at: usize) -> Result<(), RegexError> {
        let Some(letter) = self.cursor.next() else {
            return Err(error_at(at, "end pattern at escape"));
        };
        if let Some(set) = charset::shorthand(letter, self.flags.sets) {
            self.charset(&set);
            return Ok(());
        }
        match letter {
            'b' => self.boundary(false),
            'B' => self.boundary(true),
            'A' | 'G' => self.write_place(r"\A"),
            'z' => self.write_place(r"\z"),
            'Z' => {
                self.needs_backtracking = true;
                self.write_place(r"(?=\n?\z)");
            }
            'K' => {
                self.needs_backtracking = true;
                self.write_place(r"\K");
            }
            'R' => {
                self.needs_backtracking = true;
                self.write_atom(r"(?>\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])");
            }
            'X' => return Err(error_at(at, "\\X is not supported")),
            'p' | 'P' if self.cursor.eat("{") => {
                let name = self.cursor.until('}').unwrap_or_default();
                let set = charset::property(name, letter == 'P')
                    .ok_or_else(|| error_at(at, format!("invalid character property name {{{name}}}")))?;
                self.charset(&set);
            }
            'k' | 'g' => self.named_reference(letter, at)?,
            '1'..='9' => self.numbered_reference(at)?,
            _ => {
                let c = char_escape(&mut self.cursor, letter)?.unwrap_or(letter);
                self.character(c);
            }
        }
        Ok(())
    }

    fn named_reference(&mut self, letter: char, at: usize) -> Result<(), RegexError> {
        let usage = if letter == 'k' { Use::Back } else { Use::Call };
        match reference::delimited(&mut self.cursor)? {
            Some(text) => self.refer(text, at, usage),
            None => {
                self.character(letter);
                Ok(())
            }
        }
    }

    /// `\1` to `\9` always refer; a longer number only if there are so many groups, else it is an octal code.
    fn numbered_reference(&mut self, at: usize) -> Result<(), RegexError> {
        self.cursor.go_back_to(at + 1);
        let digits = self.cursor.digits(10, 9);
        let groups = self.known.map_or(usize::MAX, Groups::count);
        if digits.len() == 1 || digits.parse::<usize>().is_ok_and(|n| n <= groups) {
            return self.refer(digits, at, Use::Back);
        }
        self.cursor.go_back_to(at + 1);
        let octal = self.cursor.digits(8, 3);
        let code = u32::from_str_radix(octal, 8).ok();
        match code.filter(|code| *code < 0x80).and_then(char::from_u32) {
            Some(c) => {
                self.character(c);
                Ok(())
            }
            None => Err(error_at(at, "invalid backref number")),
        }
    }

    fn refer(&mut self, text: &str, at: usize, usage: Use) -> Result<(), RegexError> {
        self.needs_backtracking = true;
        self.literal = None;
        let start = self.atom(self.flags.ignore_case);
        self.last = Last::Atom(start);
        let Some(groups) = self.known else {
            return Ok(());
        };
        let targets = reference::resolve(text, at, usage, groups, self.opened())?;
        let letter = if usage == Use::Back { 'k' } else { 'g' };
        let each: Vec<String> = targets.iter().rev().map(|group| format!("\\{letter}<{group}>")).collect();
        match each.as_slice() {
            [only] => self.out.push_str(only),
            several => self.out.push_str(&format!("(?:{})", several.join("|"))),
        }
        Ok(())
    }

    /// How many capturing groups began so far.
    fn opened(&self) -> usize {
        self.found.count()
    }

    // ---- groups

    fn open(&mut self, at: usize) -> Result<(), RegexError> {
        if !self.cursor.eat("?") {
            return self.open_unnamed(at);
        }
        if self.cursor.eat("#") {
            return self.comment(at);
        }
        let looks = [("=", "(?="), ("!", "(?!"), ("<=", "(?<="), ("<!", "(?<!")];
        for (mark, text) in looks {
            if self.cursor.eat(mark) {
                self.needs_backtracking = true;
                self.push_frame(at, text, ")", Kind::Look);
                return Ok(());
            }
        }
        if self.cursor.eat(":") {
            self.push_frame(at, "(?:", ")", Kind::Bare);
            return Ok(());
        }
        if self.cursor.eat(">") {
            self.needs_backtracking = true;
            self.push_frame(at, "(?>", ")", Kind::Group);
            return Ok(());
        }
        if self.cursor.eat("~") {
            self.needs_backtracking = true;
            self.takes_any = true;
            self.push_frame(at, "(?~(?:", "))", Kind::Group);
            return Ok(());
        }
        if self.cursor.eat("(") {
            return self.open_condition(at);
        }
        match reference::delimited(&mut self.cursor)? {
            Some(name) => self.open_named(at, name),
            None => self.options(at),
        }
    }

    fn open_unnamed(&mut self, at: usize) -> Result<(), RegexError> {
        let captures = !self.known.is_some_and(Groups::are_named);
        if captures {
            self.found.unnamed += 1;
        }
        let (opener, kind) = if captures { ("(", Kind::Group) } else { ("(?:", Kind::Bare) };
        self.push_frame(at, opener, ")", kind);
        Ok(())
    }

    fn open_named(&mut self, at: usize, name: &str) -> Result<(), RegexError> {
        if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') || name.contains(')') {
            return Err(error_at(at, format!("invalid group name <{name}>")));
        }
        self.found.names.push(name.to_owned());
        self.push_frame(at, "(", ")", Kind::Group);
        Ok(())
    }

    /// `(?(1)…|…)`, `(?(<name>)…|…)`: what follows depends on whether a group took part.
    fn open_condition(&mut self, at: usize) -> Result<(), RegexError> {
        self.needs_backtracking = true;
        let text = match reference::delimited(&mut self.cursor)? {
            Some(name) if self.cursor.eat(")") => name,
            Some(_) => return Err(error_at(at, "invalid conditional pattern")),
            None => self.cursor.until(')').ok_or_else(|| error_at(at, "invalid conditional pattern"))?,
        };
        let group = match self.known {
            None => 1,
            Some(groups) => {
                *reference::resolve(text, at, Use::Condition, groups, self.opened())?.last().unwrap_or(&1)
            }
        };
        self.push_frame(at, &format!("(?({group})"), ")", Kind::Group);
        Ok(())
    }

    fn push_frame(&mut self, at: usize, opener: &str, closer: &'static str, kind: Kind) {
        self.literal = None;
        let (start, flags, ignoring_case, solid) =
            (self.out.len(), self.flags, self.ignoring_case, self.solid);
        self.frames.push(Frame { at, start, flags, ignoring_case, solid, closer, kind });
        self.solid = false;
        self.out.push_str(opener);
        self.last = Last::Nothing;
    }

    fn close(&mut self, at: usize) -> Result<(), RegexError> {
        self.close_options();
        let within = self.solid;
        let Some(frame) = self.pop_frame() else {
            return Err(error_at(at, "unmatched close parenthesis"));
        };
        self.alternatives.at_start = false;
        self.last = match frame.kind {
            Kind::Look => Last::Empty(frame.start),
            Kind::Bare if !within => Last::Empty(frame.start),
            _ => Last::Atom(frame.start),
        };
        Ok(())
    }

    fn close_options(&mut self) {
        while self.frames.last().is_some_and(|frame| matches!(frame.kind, Kind::Options { .. })) {
            self.pop_frame();
        }
    }

    fn pop_frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        self.out.push_str(frame.closer);
        self.flags = frame.flags;
        self.ignoring_case = frame.ignoring_case;
        let takes = match frame.kind {
            Kind::Group => true,
            Kind::Bare | Kind::Options { .. } => self.solid,
            Kind::Look => false,
        };
        self.solid = frame.solid || takes;
        Some(frame)
    }

    fn comment(&mut self, at: usize) -> Result<(), RegexError> {
        loop {
            match self.cursor.next() {
                Some(')') => return Ok(()),
                Some('\\') => {
                    self.cursor.next();
                }
                Some(_) => {}
                None => return Err(error_at(at, "end pattern in group")),
            }
        }
    }

    /// `(?imx-imx)` and `(?imx-imx:…)`.
    fn options(&mut self, at: usize) -> Result<(), RegexError> {
        let mut flags = self.flags;
        let mut on = true;
        loop {
            match self.cursor.next() {
                Some('-') => on = false,
                Some('i') => flags.ignore_case = on,
                Some('m') => flags.dot_all = on,
                Some('x') => flags.extended = on,
                Some('a') if on => flags.sets = Sets::Ascii,
                Some('d') if on => flags.sets = Sets::Mixed,
                Some('u') if on => flags.sets = Sets::Unicode,
                Some(end @ (')' | ':')) => {
                    let top = self.alternatives.at_start && self.at_top();
                    let kind = if end == ')' { Kind::Options { top } } else { Kind::Bare };
                    self.push_frame(at, "(?:", ")", kind);
                    self.flags = flags;
                    return Ok(());
                }
                Some(_) => return Err(error_at(at, "undefined group option")),
                None => return Err(error_at(at, "end pattern in group")),
            }
        }
    }

    fn alternative(&mut self) {
        self.literal = None;
        self.out.push('|');
        self.last = Last::Nothing;
        if self.at_top() {
            self.alternatives.all += 1;
            self.alternatives.at_start = true;
        }
    }

    // ---- quantifiers

    fn quantify(&mut self, quantifier: Quantifier) -> Result<(), RegexError> {
        self.literal = None;
        match self.last {
            Last::Nothing => Err(self.cursor.error("target of repeat operator is not specified")),
            Last::Atom(start) => {
                self.repeat(start, quantifier);
                Ok(())
            }
            Last::Empty(start) => {
                self.repeat_place(start, quantifier);
                Ok(())
            }
            Last::Caret(start) => {
                // It may be skipped now, so it leads nothing.
                self.alternatives.carets = usize::MAX / 2;
                self.repeat_place(start, quantifier);
                Ok(())
            }
        }
    }

    /// Always leaves one closed group behind, so that a quantifier may follow a quantifier as Ruby allows.
    fn repeat(&mut self, start: usize, quantifier: Quantifier) {
        let opener = if quantifier.greed == Greed::Possessive { "(?>" } else { "(?:" };
        self.needs_backtracking |= quantifier.greed == Greed::Possessive;
        self.out.insert_str(start, opener);
        self.out.push_str(&quantifier.text());
        self.out.push(')');
    }

    /// A place matched twice is matched once: only whether it may be skipped counts.
    fn repeat_place(&mut self, start: usize, quantifier: Quantifier) {
        if quantifier.min > 0 {
            return;
        }
        match quantifier.greed {
            Greed::Lazy => {
                self.out.insert_str(start, "(?:|");
                self.out.push(')');
            }
            Greed::Greedy | Greed::Possessive => {
                self.out.insert_str(start, "(?:");
                self.out.push_str("|)");
            }
        }
    }
}
