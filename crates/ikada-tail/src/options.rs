//! The options of `tail`.

use std::path::PathBuf;

use ikada_options::{ByteSize, Choice, CommaList, Options, Seconds, Spanned};

/// Follows files and makes a record of each line.
///
/// With `DB` the position in each file is stored once every output has taken what lies before it: after a restart nothing is lost.
/// Files that are rotated, cut, compressed or deleted are read to their end.
#[derive(Debug, Options)]
#[options(input = "tail")]
pub struct TailOptions {
    /// Files to follow: patterns with `*`, `?` and `[…]`, several with commas between them. Hidden files need an explicit dot.
    #[option(required, example = "/var/log/app/*.log")]
    pub path: Spanned<CommaList>,
    /// Patterns over the whole path, for files that are not to be read; here `*` goes across folders.
    #[option(example = "*.gz,*.zip")]
    pub exclude_path: Option<CommaList>,
    /// Key of the line in the record, where no parser has made one.
    #[option(default = "log")]
    pub key: String,
    /// Key under which the file's path is added.
    #[option(example = "file")]
    pub path_key: Option<String>,
    /// Key under which the position of the line's first byte is added.
    #[option(example = "offset")]
    pub offset_key: Option<String>,
    /// Expression over the path; its named groups take the place of `<name>` in `Tag`.
    #[option(example = "(?<app>[a-z]+)[.]log$")]
    pub tag_regex: Option<Spanned<String>>,
    /// Parser that makes the record; a line it does not take becomes a plain record.
    #[option(example = "json")]
    pub parser: Option<Spanned<String>>,
    /// Seconds between two looks for new files. They are only for what the system does not tell: new files are found at once.
    #[option(default = "60")]
    pub refresh_interval: Seconds,
    /// Seconds that a rotated or deleted file has to be quiet before it is closed. It is always read to its end first.
    #[option(default = "5")]
    pub rotate_wait: Seconds,
    /// Seconds between two looks at symbolic links.
    #[option(default = "2")]
    pub watcher_interval: Seconds,
    /// Seconds between two looks at the sizes of all files, for changes that the system did not tell.
    #[option(default = "2")]
    pub progress_check_interval: Seconds,
    /// Nanoseconds that are added to `Progress_Check_Interval`.
    #[option(default = "0")]
    pub progress_check_interval_nsec: u32,
    /// Reads files that are found at the start from their first line; otherwise only what is written from then on.
    ///
    /// Files that are found later, and files whose position is known, are not touched by this.
    #[option(default = "off")]
    pub read_from_head: bool,
    /// Reads files that are found after the start from their first line.
    #[option(default = "on")]
    pub read_newly_discovered_files_from_head: bool,
    /// Leaves out files that were not changed for this long; `0` for none.
    #[option(default = "0", example = "2d")]
    pub ignore_older: Seconds,
    /// Lets go of files under way, too, when they reach the age of `Ignore_Older`.
    #[option(default = "off")]
    pub ignore_active_older_files: bool,
    /// Leaves out lines that are longer than `Buffer_Max_Size`, and counts them.
    #[option(default = "off")]
    pub skip_long_lines: bool,
    /// Cuts lines that are longer than `Buffer_Max_Size`. Without this and `Skip_Long_Lines` they are cut as well, where Fluent Bit gives
    /// the whole file up.
    #[option(default = "off")]
    pub truncate_long_lines: bool,
    /// Leaves out empty lines.
    #[option(default = "off")]
    pub skip_empty_lines: bool,
    /// Has no effect: all files share one read buffer.
    #[option(no_effect)]
    pub buffer_chunk_size: Option<ByteSize>,
    /// Longest line, in bytes with its end. Without it, lines of up to 1,000,000 bytes are read; Fluent Bit's default is 32 KB.
    #[option(example = "256k")]
    pub buffer_max_size: Option<ByteSize>,
    /// Bytes that are read from one file before it is the next one's turn.
    #[option(default = "50M")]
    pub static_batch_size: ByteSize,
    /// Bytes that are read from one file before it is the next one's turn. The smaller one of the two counts.
    #[option(default = "50M")]
    pub event_batch_size: ByteSize,
    /// Stops the program when all files have been read. While there is none, it waits for the first.
    #[option(default = "off")]
    pub exit_on_eof: bool,
    /// Has no effect: what is read once is left to the system to keep or not.
    #[option(no_effect)]
    pub file_cache_advise: Option<bool>,
    /// Lets the system tell of changes; `off` looks at the files four times in a second instead. On network file systems that is done anyway.
    #[option(default = "on")]
    pub inotify_watcher: bool,
    /// SQLite database of positions; Fluent Bit's own is taken over.
    #[option(example = "/var/lib/ikada/tail.db")]
    pub db: Option<Spanned<PathBuf>>,
    /// How hard the database is written: SQLite's `synchronous`.
    #[option(name = "db.sync", default = "normal")]
    pub db_sync: Sync,
    /// Keeps other programs out of the database.
    #[option(name = "db.locking", default = "off")]
    pub db_locking: bool,
    /// How the database makes its changes whole: SQLite's `journal_mode`.
    #[option(name = "db.journal_mode", default = "WAL")]
    pub db_journal_mode: JournalMode,
    /// Takes a stored position only for a file of the same name.
    #[option(name = "db.compare_filename", default = "off")]
    pub db_compare_filename: bool,
    /// Joins lines, the old way: `Parser_Firstline` starts a record.
    #[option(default = "off")]
    pub multiline: bool,
    /// Seconds after which lines under way are let go.
    #[option(default = "4")]
    pub multiline_flush: Seconds,
    /// Parser that takes the first line of a record, for `Multiline On`.
    #[option(example = "java_start")]
    pub parser_firstline: Option<Spanned<String>>,
    /// Multiline parsers, tried in order: `docker, cri`, or defined in `[MULTILINE_PARSER]`.
    #[option(name = "multiline.parser", example = "docker, cri")]
    pub multiline_parser: Vec<Spanned<CommaList>>,
    /// Joins the JSON lines that Docker has split.
    #[option(default = "off")]
    pub docker_mode: bool,
    /// Seconds after which lines under way are let go.
    #[option(default = "4")]
    pub docker_mode_flush: Seconds,
    /// Parser that takes the first line of a record in Docker mode.
    pub docker_mode_parser: Option<Spanned<String>>,
    /// Encoding of the files; records are UTF-8. Without it text is taken as it is.
    #[option(name = "unicode.encoding", example = "auto")]
    pub unicode_encoding: Option<UnicodeEncoding>,
    /// Encoding of the files that is neither UTF-8 nor UTF-16; records are UTF-8, and what is no text becomes U+FFFD.
    #[option(name = "generic.encoding", example = "ShiftJIS")]
    pub generic_encoding: Option<Spanned<Charset>>,
}

/// Encoding of a file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum UnicodeEncoding {
    /// What the file's first line says, or the first 256 bytes of it: UTF-16 if it begins with a byte order mark of it; UTF-16LE without
    /// a mark if it has characters of ASCII or Latin-1 in that encoding, and either no others or is no UTF-8; else UTF-8.
    #[choice("auto")]
    Auto,
    /// UTF-16, the low byte first.
    #[choice("UTF-16LE", "UTF16-LE")]
    Utf16Le,
    /// UTF-16, the high byte first.
    #[choice("UTF-16BE", "UTF16-BE")]
    Utf16Be,
}

/// An encoding whose characters are bytes or begin with one, and in which a line feed is a line feed wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Charset {
    /// Japanese, with Microsoft's additions.
    #[choice("ShiftJIS", "SJIS", "CP932", "Windows-31J")]
    ShiftJis,
    /// Korean.
    #[choice("UHC", "CP949", "Windows-949")]
    Uhc,
    /// Simplified Chinese.
    #[choice("GBK", "CP936")]
    Gbk,
    /// Chinese, all of Unicode.
    #[choice("GB18030")]
    Gb18030,
    /// Traditional Chinese.
    #[choice("Big5", "CP950")]
    Big5,
    /// Cyrillic, of DOS.
    #[choice("Win866", "CP866")]
    Win866,
    /// Thai.
    #[choice("Win874", "CP874")]
    Win874,
    /// Central European.
    #[choice("Win1250", "CP1250")]
    Win1250,
    /// Cyrillic.
    #[choice("Win1251", "CP1251")]
    Win1251,
    /// Western European.
    #[choice("Win1252", "CP1252")]
    Win1252,
    /// Greek.
    #[choice("Win1253", "CP1253")]
    Win1253,
    /// Turkish.
    #[choice("Win1254", "CP1254")]
    Win1254,
    /// Hebrew.
    #[choice("Win1255", "CP1255")]
    Win1255,
    /// Arabic.
    #[choice("Win1256", "CP1256")]
    Win1256,
}

/// SQLite's `synchronous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Sync {
    /// As `full`, and the journal's folder too.
    Extra,
    /// Every change is on the disk before the next one.
    Full,
    /// A loss of power may undo the last changes.
    Normal,
    /// A loss of power may destroy the database.
    Off,
}

/// SQLite's `journal_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum JournalMode {
    /// A log that is written ahead.
    #[choice("WAL")]
    Wal,
    /// A journal file that is removed after each change.
    #[choice("DELETE")]
    Delete,
    /// A journal file that is cut to nothing.
    #[choice("TRUNCATE")]
    Truncate,
    /// A journal file whose header is cleared.
    #[choice("PERSIST")]
    Persist,
    /// A journal in memory.
    #[choice("MEMORY")]
    Memory,
    /// No journal.
    #[choice("OFF")]
    Off,
}
