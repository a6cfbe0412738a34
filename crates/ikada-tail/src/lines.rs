//! A file's turn: its lines become entries.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use ikada_plugin::ALWAYS;
use ikada_record::Timestamp;
use memchr::{memchr, memchr_iter};
use tokio::time::Instant;
use tracing::warn;

use crate::copies::Copy;
use crate::disk;
use crate::followed::{Filled, Followed, Life};
use crate::identity::{FileId, HEAD, MARKER, Place, Stat};
use crate::join::{Joining, Line, Making, parsed};
use crate::known::Candidate;
use crate::record::{Emit, cut_at, without_return};
use crate::settings::{READ, Settings};
use crate::tailer::{Start, Tailer};
use crate::unicode::Order;

/// What a look into a file led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is more to read.
    On,
    /// Everything that is there has been read.
    End,
}

impl Tailer {
    /// Gives the next file that waits its turn. Returns whether there was one.
    pub(crate) fn read_next(&mut self, now: Instant) -> bool {
        let Some(id) = self.ready_rotated.pop_front().or_else(|| self.ready.pop_front()) else {
            return false;
        };
        let Some(file) = self.files.get_mut(&id) else { return true };
        file.is_ready = false;
        if !self.open_again(id) {
            return true;
        }
        self.find_hidden(id, now);
        if self.is_copy_now(id, now) {
            return true;
        }
        let mut left = self.settings.turn;
        loop {
            let step = self.step(id, now, &mut left);
            self.account(now);
            let is_out = self.parcels.has_full() || left == 0;
            match step {
                Step::On if is_out => {
                    self.make_ready_first(id, left > 0);
                    return true;
                }
                Step::On => {}
                Step::End => {
                    self.at_end(id);
                    return true;
                }
            }
        }
    }

    /// Books what is held in memory. When that fills what inputs may hold, what is whole goes out at once, and where that is not enough the
    /// longest of the records that wait for further lines as it is.
    pub(crate) fn account(&mut self, now: Instant) {
        self.book();
        if self.memory.is_full() {
            self.parcels.close_all();
        }
        if !self.memory.is_pressed() {
            return;
        }
        let sizes = self.waiting.iter().filter_map(|id| Some((self.files.get(id)?.held(), *id)));
        let Some((_, id)) = sizes.max().filter(|(size, _)| *size > ALWAYS) else { return };
        self.let_lines_go(id, None, now);
        self.counts.cut_records += 1;
        self.parcels.close_all();
        self.book();
        if let Some(name) = self.files.get(&id).map(|file| file.name.clone()) {
            self.tell_once(
                &name,
                "memory",
                "the memory of all inputs is full: lines that wait for others go on without them",
            );
        }
    }

    fn book(&mut self) {
        let buffer = self.buf.len().saturating_sub(READ);
        self.memory.set(self.held + buffer, self.parcels.size());
    }

    /// A file that was empty has content: other content may have come and gone in between.
    fn find_hidden(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.get_mut(&id).filter(|file| file.may_hide.is_some()) else { return };
        // Nobody need have looked since, and what is there now is about to be read.
        if let Some(stat) = file.opened().and_then(|handle| Some(Stat::of(&handle.metadata().ok()?))) {
            (file.size, file.mtime) = (stat.size, stat.mtime);
        }
        if file.may_hide.is_some_and(|since| file.size > 0 || file.mtime != since) {
            file.may_hide = (file.size == 0).then_some(file.mtime);
            let origin = file.generation.origin();
            self.is_series_old = true;
            self.find_missed(&origin, &HashSet::from([id]), now);
        }
    }

    /// A file that was empty may have been made into a copy. Returns whether it is no longer what it was.
    fn is_copy_now(&mut self, id: FileId, now: Instant) -> bool {
        let Some(file) = self.files.get_mut(&id).filter(|file| file.is_blank() && file.size > 0) else {
            return false;
        };
        let (name, life, origin) = (file.name.clone(), file.life, file.generation.origin());
        let Some(handle) = file.opened() else { return false };
        let Ok(stat) = handle.metadata().map(|meta| Stat::of(&meta)) else { return false };
        let head = disk::head(&handle, file.is_packed).unwrap_or_default();
        if head.len() == 0 {
            return false;
        }
        file.was_empty = false;
        let candidate = Candidate { file: &handle, stat: &stat, head: &head, is_packed: file.is_packed };
        if self.original_of(&name, &candidate, None).is_some() {
            self.let_go(id);
            self.copies.insert(id, Copy::new(name, stat.size, Start::Head, now));
            return true;
        }
        let Some(start) = self.past_start(&name, &candidate) else { return false };
        self.let_go(id);
        self.follow(&name, Some(&origin), (handle, &stat), head, start);
        if matches!(life, Life::Rotated(_)) {
            self.now_rotated(&name, &origin, now);
        }
        true
    }

    /// A file that is at its end may be closed if many others are open.
    fn at_end(&mut self, id: FileId) {
        if self.buf.len() > READ && !self.has_ready() {
            self.buf.truncate(READ);
            self.buf.shrink_to_fit();
        }
        let open = self.counts.opened - self.counts.closed.min(self.counts.opened);
        let Some(file) = self.files.get_mut(&id) else { return };
        if !file.is_packed {
            file.is_at_end = true;
        }
        if open > self.most_open as u64 && file.life == Life::Named && !file.is_ready {
            file.handle = None;
            file.unpacker = None;
            self.counts.closed += 1;
        }
    }

    /// The file goes on with its turn when there is room again, before the others.
    fn make_ready_first(&mut self, id: FileId, has_turn: bool) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.is_ready = true;
        let queue = match file.life {
            Life::Named => &mut self.ready,
            Life::Rotated(_) => &mut self.ready_rotated,
        };
        if has_turn { queue.push_front(id) } else { queue.push_back(id) }
    }

    /// Opens a file that was closed at its end. It must still be the same.
    fn open_again(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get_mut(&id) else { return false };
        if file.handle.is_some() {
            return true;
        }
        match disk::open(&file.name) {
            Ok((handle, stat)) if stat.id == id => {
                file.handle = Some(handle);
                file.is_at_end = true;
                self.counts.opened += 1;
                true
            }
            Ok(_) => false,
            Err(error) => {
                let name = file.name.clone();
                file.size = u64::MAX;
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.tell_once(&name, "open", &format!("the file cannot be read: {error}"));
                }
                false
            }
        }
    }

    fn step(&mut self, id: FileId, now: Instant, left: &mut usize) -> Step {
        let mut buf = mem::take(&mut self.buf);
        let Some(file) = self.files.get_mut(&id) else { return Step::End };
        let filled = file.fill(&mut buf);
        let step = match filled {
            Ok(Filled::Bytes(from, to)) => {
                let is_whole = to == buf.len();
                let is_waiting = self.take_lines(id, &buf[from..to], false, now);
                *left = left.saturating_sub(to - from);
                self.after_lines(id, is_waiting && is_whole, is_waiting && !is_whole, &mut buf)
            }
            Ok(Filled::End) => {
                if let Some(file) = self.files.get_mut(&id)
                    && let Life::Rotated(since) = &mut file.life
                {
                    *since = (*since).max(now);
                }
                Step::End
            }
            Ok(Filled::Finished) => {
                self.finish_packed(id, now);
                Step::End
            }
            Ok(Filled::Replaced) => {
                self.buf = buf;
                self.replaced(id, now);
                return Step::End;
            }
            Err(error) => {
                let name = file.name.clone();
                file.unpacker = None;
                self.tell_once(&name, "read", &format!("the file cannot be read on: {error}"));
                Step::End
            }
        };
        self.buf = buf;
        step
    }

    /// What to do when lines were taken: a line that fills the buffer needs a larger one, an unfinished one is waited for.
    fn after_lines(&mut self, id: FileId, is_large: bool, is_unfinished: bool, buf: &mut Vec<u8>) -> Step {
        if is_large {
            let need = (buf.len() * 2).min(self.settings.longest + 2 + MARKER);
            if need > buf.len() {
                buf.resize(need, 0);
            }
            return Step::On;
        }
        let is_packed = self.files.get(&id).is_some_and(|file| file.is_packed);
        if is_unfinished && !is_packed { Step::End } else { Step::On }
    }

    /// Makes entries of the lines in `data`, which is what follows the file's position. Returns whether no line was finished.
    fn take_lines(&mut self, id: FileId, data: &[u8], is_last: bool, now: Instant) -> bool {
        let time = self.clock.now();
        let Some(file) = self.files.get_mut(&id) else { return false };
        let from = file.reach().offset;
        if file.head.len() < HEAD {
            file.head.grow(from, data);
        }
        let order = Order::of(self.settings.encoding, &file.head);
        let (tag, shown, held) = (file.tag.clone(), file.shown.clone(), file.held());
        let builder = self.parcels.builder(&tag);
        let (entries, size) = (builder.len(), builder.size());
        let mut taker = Taker {
            settings: &self.settings,
            joining: file.joining.take(),
            file,
            time,
            now: now.saturating_duration_since(self.born),
            long: 0,
            seen: 0,
            misfits: 0,
            order,
            wide: String::new(),
            scratch: &mut self.scratch,
            emit: Emit { rule: &self.settings.records, out: builder, path: &shown, cuts: 0 },
        };
        taker.take(data, is_last);
        let (long, seen, misfits) = (taker.long, taker.seen, taker.misfits);
        self.counts.cut_records += taker.emit.cuts;
        let joining = taker.joining.take();
        if joining.as_ref().is_some_and(|joining| joining.start().is_some()) {
            self.waiting.insert(id);
        }
        file.joining = joining;
        self.held = self.held + file.held() - held;
        let records = (builder.len() - entries) as u64;
        let bytes = (builder.size() - size) as u64;
        self.metrics.records.add(records);
        self.metrics.bytes.add(bytes);
        self.counts.long_lines += long;
        self.metrics.malformed.add(long);
        self.told_lines(id, records > 0, now);
        if long > 0 {
            self.tell_long(id);
        }
        if misfits > 0 {
            self.tell_misfits(id, misfits);
        }
        self.parcels.close_full(&tag);
        seen == 0
    }

    /// Books what was read of a file.
    pub(crate) fn told_lines(&mut self, id: FileId, has_entries: bool, now: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let (head, mtime) = (file.head.print(), file.mtime);
        let mut has_grown = false;
        file.generation.relabel(|label| {
            has_grown = label.head != head;
            label.head = head;
            label.mtime = mtime;
        });
        // Never past the first line that waits for another.
        let end = file.joining.as_ref().and_then(|joining| joining.start()).unwrap_or(file.place);
        let has_moved = self.parcels.told(&file.tag, &file.generation, end, has_entries, now);
        // By its beginning the content is found again, wherever it goes before it is settled.
        if has_moved || has_grown {
            self.commits.list(&file.generation);
        }
    }

    fn tell_long(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if mem::replace(&mut file.has_told_long, true) {
            return;
        }
        let what = if self.settings.skips_long { "left out" } else { "cut" };
        warn!(
            instance = %self.input, path = %file.name.display(), limit = self.settings.longest,
            "a line is longer than Buffer_Max_Size and was {what}; further ones in this file are only counted"
        );
    }

    /// A compressed file has ended: its last line needs no line end.
    fn finish_packed(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if let Some(line) = file.last_packed_line() {
            self.push_last(id, &line, now);
        }
        let Some(file) = self.files.get_mut(&id) else { return };
        file.unpacker = None;
        let size = file.size;
        let is_new = file.generation.relabel(|label| label.packed_end = Some(size));
        if is_new {
            self.commits.list(&file.generation);
        }
    }

    /// The last line of a deleted file needs no line end: none will come.
    pub(crate) fn last_line(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let mut buf = vec![0; self.settings.longest + 2 + MARKER];
        file.is_at_end = false;
        if file.skip.is_none()
            && !file.is_packed
            && let Ok(Filled::Bytes(from, to)) = file.fill(&mut buf)
        {
            self.push_last(id, &buf[from..to], now);
        }
    }

    fn push_last(&mut self, id: FileId, line: &[u8], now: Instant) {
        self.take_lines(id, line, true, now);
    }

    fn tell_misfits(&mut self, id: FileId, misfits: u64) {
        self.counts.misfits += misfits;
        let Some(file) = self.files.get(&id) else { return };
        let text = format!(
            "{misfits} lines do not fit the parser and are kept as text, the last ones before offset {}; further ones in this file are only counted",
            file.place.offset
        );
        let name = file.name.clone();
        self.tell_once(&name, "parser", &text);
    }

    /// Lines under way are let go.
    pub(crate) fn finish_lines(&mut self, id: FileId) {
        self.let_lines_go(id, None, Instant::now());
    }

    /// Lines that have waited too long are let go.
    pub(crate) fn flush_lines(&mut self, now: Instant) {
        let Some(due) = self.lines_due() else { return };
        if due > now {
            return;
        }
        for id in self.waiting.iter().copied().collect::<Vec<_>>() {
            self.let_lines_go(id, Some(now), now);
        }
    }

    /// When lines have waited long enough.
    pub(crate) fn lines_due(&self) -> Option<Instant> {
        let files = self.waiting.iter().filter_map(|id| self.files.get(id));
        let due = files.filter_map(|file| file.joining.as_ref()?.due(&self.settings.making)).min();
        due.map(|due| self.born + due)
    }

    fn let_lines_go(&mut self, id: FileId, until: Option<Instant>, now: Instant) {
        if !self.waiting.contains(&id) {
            return;
        }
        let Some(file) = self.files.get_mut(&id) else {
            self.waiting.remove(&id);
            return;
        };
        let held = file.held();
        let Some(joining) = &mut file.joining else { return };
        let builder = self.parcels.builder(&file.tag);
        let (entries, size) = (builder.len(), builder.size());
        let mut emit = Emit { rule: &self.settings.records, out: builder, path: &file.shown, cuts: 0 };
        let until = until.map(|until| until.saturating_duration_since(self.born));
        joining.flush(&self.settings.making, until, file.place.offset, &mut emit);
        self.counts.cut_records += emit.cuts;
        self.held = self.held + joining.held() - held;
        if joining.start().is_none() {
            self.waiting.remove(&id);
        }
        let records = (builder.len() - entries) as u64;
        self.metrics.records.add(records);
        self.metrics.bytes.add((builder.size() - size) as u64);
        let tag = file.tag.clone();
        self.told_lines(id, records > 0, now);
        self.parcels.close_full(&tag);
    }
}

/// Takes lines out of bytes.
struct Taker<'t> {
    settings: &'t Settings,
    file: &'t mut Followed,
    joining: Option<Box<Joining>>,
    time: Timestamp,
    /// The moment, since the input started.
    now: Duration,
    /// Lines that were too long.
    long: u64,
    /// Bytes that were taken.
    seen: usize,
    /// Lines that the parser did not take.
    misfits: u64,
    /// For text in UTF-16.
    order: Option<Order>,
    wide: String,
    scratch: &'t mut Vec<u8>,
    emit: Emit<'t>,
}

impl Taker<'_> {
    /// Takes the lines in `data`; the last one counts without an end if `is_last`.
    fn take(&mut self, data: &[u8], is_last: bool) {
        let begin = self.skip_on(data);
        if self.file.skip.is_some() {
            return;
        }
        let base = self.file.place.offset;
        let mut start = begin;
        if let Some(order) = self.order {
            for at in order.ends(&data[begin..]) {
                let end = begin + at;
                self.wide_line(order, &data[start..end], base + (start - begin) as u64, &data[begin..start]);
                start = end + 2;
            }
        } else {
            for at in memchr_iter(b'\n', &data[begin..]) {
                let end = begin + at;
                self.narrow_line(&data[start..end], base + (start - begin) as u64, &data[begin..start]);
                start = end + 1;
            }
        }
        // Holes that `copytruncate` leaves when the writer goes on where it was: they belong to no line.
        let holes = data[start..].iter().take_while(|byte| **byte == 0).count();
        start += if self.order.is_some() { holes & !1 } else { holes };
        let rest = &data[start..];
        let is_long = rest.len() > self.settings.longest;
        if is_last && !rest.is_empty() || is_long {
            let (offset, before) = (base + (start - begin) as u64, &data[begin..start]);
            match self.order {
                Some(order) => self.wide_line(order, rest, offset, before),
                None => self.narrow_line(rest, offset, before),
            }
        }
        if is_last {
            start = data.len();
        }
        self.file.place.advance(&data[begin..start]);
        self.seen = start;
        if is_long && !is_last {
            let mut skip = self.file.place;
            skip.advance(rest);
            self.file.skip = Some(skip);
            self.seen = data.len();
        }
    }

    /// Goes on in a line that is too long. Returns where the next one starts.
    fn skip_on(&mut self, data: &[u8]) -> usize {
        let Some(mut skip) = self.file.skip else { return 0 };
        let end = match self.order {
            Some(order) => order.ends(data).next().map(|end| end + 1),
            None => memchr(b'\n', data),
        };
        let begin = end.map_or(data.len(), |end| end + 1);
        skip.advance(&data[..begin]);
        self.seen = begin;
        self.file.skip = Some(skip);
        if end.is_some() {
            self.file.place = skip;
            self.file.skip = None;
        }
        begin
    }

    /// Takes a line of UTF-16.
    fn wide_line(&mut self, order: Order, line: &[u8], offset: u64, before: &[u8]) {
        let mut wide = mem::take(&mut self.wide);
        order.decode(line, &mut wide);
        self.line(wide.as_bytes(), offset, before);
        self.wide = wide;
    }

    /// Takes a line whose characters are bytes, or begin with one.
    #[inline]
    fn narrow_line(&mut self, line: &[u8], offset: u64, before: &[u8]) {
        let Some(charset) = self.settings.charset else { return self.line(line, offset, before) };
        self.line(charset.decode(line).as_bytes(), offset, before);
    }

    /// Takes a line at `offset`, behind `before`.
    #[inline]
    fn line(&mut self, mut line: &[u8], mut offset: u64, before: &[u8]) {
        if line.first() == Some(&0) {
            let holes = line.iter().take_while(|byte| **byte == 0).count();
            line = &line[holes..];
            offset += holes as u64;
        }
        if line.len() > self.settings.longest {
            self.long += 1;
            if !self.settings.skips_long {
                if let Some(joining) = &mut self.joining {
                    joining.cut(&mut self.emit);
                }
                let cut = cut_at(line, self.settings.cut);
                self.emit.plain(self.time, &line[..cut], offset);
            }
            return;
        }
        if self.settings.records.skips_empty && matches!(line, b"" | b"\r") {
            return;
        }
        if let Some(joining) = &mut self.joining {
            let start = if before.is_empty() { self.file.place } else { Place::new(offset, before) };
            let line = Line { text: line, start, time: self.time, now: self.now };
            let fits = joining.push(&self.settings.making, line, &mut self.emit);
            self.misfits += u64::from(!fits);
            return;
        }
        if let Making::Parsed(parser) = &self.settings.making {
            // What the parser does not take keeps its carriage return (reference, inputs §3.4).
            let text = without_return(line);
            let fits = parsed(parser, text, line, self.time, offset, self.scratch, &mut self.emit);
            self.misfits += u64::from(!fits);
            return;
        }
        self.emit.plain(self.time, without_return(line), offset);
    }
}
