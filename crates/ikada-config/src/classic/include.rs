//! `@INCLUDE`: finding the files, and reading each once.

use std::io;
use std::path::{Path, PathBuf};

use ikada_diag::{Diagnostic, Span, codes};

use super::Loader;
use crate::document::Format;
use crate::files::{LARGEST_FILE, is_pattern};

/// Most files that a configuration is made of, as in Fluent Bit.
const MOST_FILES: usize = 1000;

/// Bytes that all files together may have.
pub(super) const LARGEST_TOTAL: usize = 2 * LARGEST_FILE;

/// Longest path that is looked for, in bytes: the limit of Linux.
const LONGEST_PATH: usize = 4096;

/// How many files at either end of a long chain of includes are named.
const CHAIN_END: usize = 8;

/// Device and inode.
type Identity = (u64, u64);

/// Why a file is not read; nothing when there is nothing to say about it.
type Refusal = Option<Diagnostic>;

/// A file that was found and waits to be read.
pub(super) struct Pending {
    path: PathBuf,
    /// The path as people are told.
    name: String,
    /// Where it was asked for.
    span: Option<Span>,
    /// Whether a pattern found it.
    by_pattern: bool,
}

impl Loader<'_> {
    /// Reads the file that everything starts with.
    pub(crate) fn start_file(&mut self, path: &Path, span: Option<Span>) {
        let full = self.place.working_dir.join(path);
        let pending = Pending { path: full, name: path.display().to_string(), span, by_pattern: false };
        self.open(pending);
    }

    /// Looks for what an `@INCLUDE` or an entry of `includes` names and puts it before the next line.
    pub(super) fn include(&mut self, written: &str, span: Span) {
        if written.len() > LONGEST_PATH {
            let message = format!("the path is longer than {LONGEST_PATH} bytes");
            self.diags.push(Diagnostic::error(codes::MISSING_INCLUDE, message).at(span));
            return;
        }
        let found = match self.find_file(written) {
            Some(path) => Ok(vec![self.pending(path, written, span, false)]),
            None if is_pattern(written) => self.find_by_pattern(written, span),
            None => Err(self.missing(written, span)),
        };
        match (found, self.frames.last_mut()) {
            (Ok(pending), Some(frame)) => frame.pending.extend(pending),
            (Ok(_), None) => {}
            (Err(diagnostic), _) => self.diags.push(diagnostic),
        }
    }

    /// A path below the working directory is shown as it was written, others in full.
    fn pending(&self, path: PathBuf, written: &str, span: Span, by_pattern: bool) -> Pending {
        let relative = match Path::new(written).is_absolute() {
            true => None,
            false => path.strip_prefix(self.place.working_dir).ok(),
        };
        let name = relative.unwrap_or(&path).display().to_string();
        Pending { path, name, span: Some(span), by_pattern }
    }

    /// The directories that a relative path may start at: Fluent Bit's two, then that of the including file. In YAML,
    /// it is the including file's alone.
    fn directories(&self) -> Vec<PathBuf> {
        let own = self.frames.last().map(|frame| frame.directory.clone());
        if self.reads_yaml() {
            return own.into_iter().collect();
        }
        let mut directories = vec![self.place.working_dir.to_path_buf(), self.main_dir.clone()];
        directories.extend(own);
        let mut unique: Vec<PathBuf> = Vec::new();
        for directory in directories {
            if !unique.contains(&directory) {
                unique.push(directory);
            }
        }
        unique
    }

    fn reads_yaml(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.items.is_some())
    }

    fn find_file(&self, written: &str) -> Option<PathBuf> {
        self.candidates(written).into_iter().find(|path| self.place.files.exists(path))
    }

    fn candidates(&self, written: &str) -> Vec<PathBuf> {
        if Path::new(written).is_absolute() {
            return vec![PathBuf::from(written)];
        }
        self.directories().into_iter().map(|directory| directory.join(written)).collect()
    }

    /// Fluent Bit looks for patterns beside the main file only, so that place comes first.
    fn find_by_pattern(&self, written: &str, span: Span) -> Result<Vec<Pending>, Diagnostic> {
        let mut directories = self.directories();
        if directories.len() > 1 {
            directories.swap(0, 1);
        }
        for directory in &directories {
            let found = self.place.files.glob(directory, Path::new(written)).map_err(|error| {
                let message = format!("`{written}` is no pattern for files: {error}");
                Diagnostic::error(codes::MISSING_INCLUDE, message).at(span)
            })?;
            let files: Vec<Pending> = found
                .into_iter()
                .filter(|path| !self.place.files.is_dir(path))
                .map(|path| self.pending(path, written, span, true))
                .collect();
            if !files.is_empty() {
                return Ok(files);
            }
        }
        let tried: Vec<String> = match Path::new(written).is_absolute() {
            true => vec![format!("`{written}`")],
            false => directories
                .iter()
                .map(|directory| format!("`{}`", directory.join(written).display()))
                .collect(),
        };
        let message = format!("no file matches `{written}`");
        let help = format!("tried {}", tried.join(", "));
        Err(Diagnostic::warning(codes::INCLUDE_NO_MATCH, message).at(span).help(help))
    }

    fn missing(&self, written: &str, span: Span) -> Diagnostic {
        let message = format!("the included file `{written}` does not exist");
        let tried: Vec<String> =
            self.candidates(written).iter().map(|path| format!("`{}`", path.display())).collect();
        let help = if written.contains("${") {
            "variables are not replaced in the path of an include: write the path itself".to_owned()
        } else if let Some((path, _)) = written.split_once(" #")
            && !self.reads_yaml()
        {
            format!("write `@INCLUDE {}`: a comment needs a line of its own", path.trim_end())
        } else {
            format!("tried {}", tried.join(", "))
        };
        Diagnostic::error(codes::MISSING_INCLUDE, message).at(span).help(help)
    }

    /// Reads a file, unless there is a reason not to.
    pub(super) fn open(&mut self, pending: Pending) {
        match self.read(&pending) {
            Ok((bytes, identity)) => {
                let directory = pending.path.parent().unwrap_or(Path::new("/")).to_path_buf();
                let format = Format::of(&pending.path);
                self.start(&pending.name, bytes, directory, Some(identity), format);
            }
            Err(Some(diagnostic)) => self.diags.push(diagnostic.at(pending.span)),
            Err(None) => {}
        }
    }

    fn read(&mut self, pending: &Pending) -> Result<(Vec<u8>, Identity), Refusal> {
        let Pending { path, name, span, by_pattern } = pending;
        if self.place.files.is_dir(path) {
            return Err(
                (!by_pattern).then(|| is_directory(name, if self.reads_yaml() { "yaml" } else { "conf" }))
            );
        }
        let unreadable = |error: &io::Error| {
            Diagnostic::error(codes::UNREADABLE_FILE, format!("cannot read `{name}`: {}", reason(error)))
        };
        let identity = self.place.files.identity(path).map_err(|error| Some(unreadable(&error)))?;
        self.refuse_again(name, identity)?;
        if self.seen.len() >= MOST_FILES {
            self.frames.iter_mut().for_each(|frame| frame.pending.clear());
            return Err(Some(Diagnostic::error(
                codes::TOO_MANY_FILES,
                format!("`{name}` is the file number {}; at most {MOST_FILES} are read", MOST_FILES + 1),
            )));
        }
        self.seen.insert(identity, *span);
        let bytes = self.place.files.read(path).map_err(|error| {
            Some(match error.kind() {
                io::ErrorKind::FileTooLarge => Diagnostic::error(
                    codes::FILE_TOO_LARGE,
                    format!("`{name}` has more than {LARGEST_FILE} bytes"),
                ),
                _ => unreadable(&error),
            })
        })?;
        let Some(room) = self.room.checked_sub(bytes.len()) else {
            let message = format!("with `{name}`, the files have more than {LARGEST_TOTAL} bytes");
            return Err(Some(Diagnostic::error(codes::TOO_MUCH_TEXT, message)));
        };
        self.room = room;
        Ok((bytes, identity))
    }

    /// Names the files that include each other; of many, the first and the last.
    fn chain(&self) -> String {
        let name = |frame: &super::Frame| format!("`{}`", self.sources.name(frame.source));
        if self.frames.len() <= 2 * CHAIN_END {
            return self.frames.iter().map(name).collect::<Vec<_>>().join(", ");
        }
        let (first, last) = (&self.frames[..CHAIN_END], &self.frames[self.frames.len() - CHAIN_END..]);
        let told = |frames: &[super::Frame]| frames.iter().map(name).collect::<Vec<_>>().join(", ");
        format!("{}, …, {}", told(first), told(last))
    }

    /// A file that includes itself is an error; a file that was read before has no effect.
    fn refuse_again(&self, name: &str, identity: Identity) -> Result<(), Refusal> {
        if self.frames.iter().any(|frame| frame.identity == Some(identity)) {
            let message = format!("`{name}` includes itself");
            let help =
                format!("remove this line; the files include each other in the order {}", self.chain());
            return Err(Some(Diagnostic::error(codes::INCLUDE_CYCLE, message).help(help)));
        }
        let Some(before) = self.seen.get(&identity) else { return Ok(()) };
        let place = before.map(|span| {
            let at = self.sources.location(span);
            format!(" at {}:{}", at.name, at.line)
        });
        let message =
            format!("`{name}` was included before{}; this has no effect", place.unwrap_or_default());
        Err(Some(Diagnostic::warning(codes::INCLUDE_REPEATED, message).help("remove one of the two")))
    }
}

fn is_directory(name: &str, extension: &str) -> Diagnostic {
    Diagnostic::warning(codes::INCLUDE_DIRECTORY, format!("`{name}` is a directory; nothing is read from it"))
        .help(format!("`{}/*.{extension}` names the files in it", name.trim_end_matches('/')))
}

/// Returns what the system says, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
