//! Content as it is remembered, and how it is recognised when it turns up in another file.
//!
//! A name and an inode say where content lies; what it is, say its first bytes, the bytes before the position up to which it was read, and its length. By these it
//! is found in a copy (`copytruncate`), and packed, where its own file is gone.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::disk::{head, unpack};
use crate::identity::{HEAD, Head, MARKER, Place, Print, Stat, hash};

/// Content as it is remembered: its first bytes, and how far it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) print: Print,
    pub(crate) offset: u64,
    pub(crate) marker: i64,
    pub(crate) marker_size: u8,
    /// When its file was changed last, as far as it was read, in nanoseconds.
    pub(crate) mtime: i64,
}

impl Known {
    /// The place where to go on, if the file holds this content.
    pub(crate) fn fits(&self, file: &File, is_packed: bool) -> Option<Place> {
        if self.print.size > 0 && !head(file, is_packed).ok()?.has(self.print) {
            return None;
        }
        let before = before(file, is_packed, self.offset)?;
        let want = usize::from(self.marker_size).min(before.len());
        let is_same = want == 0 || hash(&before[before.len() - want..]) == self.marker;
        is_same.then(|| Place::new(self.offset, &before))
    }

    /// Whether enough is known to find the content in another file.
    pub(crate) fn is_telling(&self) -> bool {
        self.print.size > 0 && (self.offset == 0 || self.marker_size > 0)
    }

    /// Where to go on in a file that may be a copy of this content, which itself is gone.
    ///
    /// Its length decides in doubt: what is shorter than [`HEAD`] may begin like other content by chance. A copy may be shorter than what was read, if lines came
    /// between the copying and the cut; then it is not younger than what was read.
    pub(crate) fn copied_to(&self, file: &File, stat: &Stat, is_packed: bool) -> Option<Place> {
        if self.print.size == 0 || self.offset == 0 || !head(file, is_packed).ok()?.has(self.print) {
            return None;
        }
        let end = end_of_text(file, is_packed).ok()?;
        if end.offset < self.offset {
            let is_whole_head = usize::from(self.print.size) == HEAD;
            return (is_whole_head && stat.mtime <= self.mtime).then_some(end);
        }
        let place = self.fits(file, is_packed)?;
        let is_sure = end.offset == self.offset || self.is_telling() && self.offset >= HEAD as u64;
        is_sure.then_some(place)
    }
}

/// Whether a file is a copy of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kin {
    /// It holds the same, as far as it goes.
    Copy,
    /// It may be one that is being made.
    Perhaps,
    /// It holds something else.
    Other,
}

/// A file that may be a copy.
#[derive(Debug)]
pub(crate) struct Candidate<'c> {
    pub(crate) file: &'c File,
    pub(crate) stat: &'c Stat,
    pub(crate) head: &'c Head,
    pub(crate) is_packed: bool,
}

impl Candidate<'_> {
    /// Whether it is a copy of content of which `known` has been read, that begins with `head` and lies in `original` if that can be read.
    pub(crate) fn kin_to(&self, known: &Known, head: &Head, original: &dyn Fn() -> Option<File>) -> Kin {
        if self.head.len() == 0 {
            return Kin::Perhaps;
        }
        if head.len() == 0 || !self.head.begins_like(head) {
            return Kin::Other;
        }
        // Packed text that cannot be read to its end is on its way.
        let Ok(end) = end_of_text(self.file, self.is_packed) else { return Kin::Perhaps };
        if known.offset > 0 && end.offset >= known.offset {
            // How it begins was compared above, as far as it goes.
            let known = Known { print: Print { hash: 0, size: 0 }, ..*known };
            let is_same = known.fits(self.file, self.is_packed).is_some();
            return if is_same { Kin::Copy } else { Kin::Other };
        }
        self.kin_on_disk(end, head, original())
    }

    /// Compares what lies before the end of the shorter one of both.
    fn kin_on_disk(&self, end: Place, head: &Head, original: Option<File>) -> Kin {
        let same = original.filter(|file| {
            let now = self::head(file, false);
            now.is_ok_and(|now| now.len() >= head.len() && now.begins_like(head))
        });
        let Some(original) = same else { return Kin::Perhaps };
        let Ok(meta) = original.metadata() else { return Kin::Perhaps };
        let len = meta.len().min(end.offset);
        let theirs = before(&original, false, len);
        match theirs {
            None => Kin::Perhaps,
            theirs if theirs == before(self.file, self.is_packed, len) => Kin::Copy,
            Some(_) => Kin::Other,
        }
    }
}

/// Up to [`MARKER`] bytes before a position in a file's text; `None` if the text is shorter.
fn before(file: &File, is_packed: bool, offset: u64) -> Option<Vec<u8>> {
    if is_packed {
        return before_in_packed(file, offset);
    }
    if file.metadata().ok()?.len() < offset {
        return None;
    }
    // As much as there is, so that the place is known again as well as can be.
    let len = MARKER.min(usize::try_from(offset).ok()?);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset - len as u64).ok()?;
    Some(bytes)
}

fn before_in_packed(file: &File, offset: u64) -> Option<Vec<u8>> {
    let mut text = unpack(file).ok()?;
    let len = offset.min(MARKER as u64);
    io::copy(&mut (&mut text).take(offset - len), &mut io::sink())
        .ok()
        .filter(|skipped| *skipped == offset - len)?;
    let mut bytes = vec![0; len as usize];
    text.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// The end of a file's text.
///
/// # Errors
/// It cannot be read, or is packed and not whole.
pub(crate) fn end_of_text(file: &File, is_packed: bool) -> io::Result<Place> {
    match reach(file, is_packed) {
        (place, None) => Ok(place),
        (_, Some(error)) => Err(error),
    }
}

/// The end of what can be read of the text now.
pub(crate) fn end_for_now(file: &File, is_packed: bool) -> Place {
    reach(file, is_packed).0
}

/// How far the text can be read, and why not further.
fn reach(file: &File, is_packed: bool) -> (Place, Option<io::Error>) {
    let mut place = Place::default();
    if !is_packed {
        return match file.metadata() {
            Ok(meta) => (Place::new(meta.len(), &before(file, false, meta.len()).unwrap_or_default()), None),
            Err(error) => (place, Some(error)),
        };
    }
    let mut text = match unpack(file) {
        Ok(text) => text,
        Err(error) => return (place, Some(error)),
    };
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match text.read(&mut bytes) {
            Ok(0) => return (place, None),
            Ok(len) => place.advance(&bytes[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (place, Some(error)),
        }
    }
}
