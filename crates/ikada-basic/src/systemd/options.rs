//! What is written in a section of the `systemd` input, and what it comes to.

use std::path::PathBuf;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Choice, Options, Spanned};
use ikada_plugin::registry::BuildContext;

/// Reads the systemd journal.
///
/// The program `journalctl` must be there: it reads the journal's files. A `*` in `tag` stands for the unit.
#[derive(Debug, Options)]
#[options(input = "systemd")]
pub struct SystemdOptions {
    /// Directory of the journal, in place of this machine's own.
    #[option(example = "/var/log/journal")]
    pub path: Option<PathBuf>,
    /// Field and value that entries must have. May be given many times.
    #[option(example = "_SYSTEMD_UNIT=docker.service")]
    pub systemd_filter: Vec<Spanned<String>>,
    /// Whether an entry must fit one of the filters or all of them.
    #[option(default = "or")]
    pub systemd_filter_type: FilterType,
    /// Begins with what is written from now on, where no position is known.
    #[option(default = "off")]
    pub read_from_tail: bool,
    /// Fields that a record has at most; the others are left out.
    #[option(default = "8000")]
    pub max_fields: usize,
    /// Entries that are taken before the outputs get them.
    #[option(default = "5000")]
    pub max_entries: usize,
    /// Writes the names of fields in lower case.
    #[option(default = "off")]
    pub lowercase: bool,
    /// Takes `_` off the beginning of the names of fields.
    #[option(default = "off")]
    pub strip_underscores: bool,
    /// File that remembers how far the outputs have come. Without it a start begins anew.
    #[option(example = "/var/lib/ikada/systemd.db")]
    pub db: Option<PathBuf>,
    /// How the file is written: `full` and `extra` wait for the disk at each position.
    #[option(name = "db.sync", default = "normal")]
    pub db_sync: DbSync,
}

/// Whether one filter is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum FilterType {
    /// One of them.
    Or,
    /// All of them.
    And,
}

/// How a database is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum DbSync {
    /// Waits for the disk, and once more.
    Extra,
    /// Waits for the disk.
    Full,
    /// Lets the system write when it likes; a power failure costs the last positions.
    Normal,
    /// The same.
    Off,
}

/// What the options come to.
pub(super) struct Settled {
    /// The tag, and where the unit goes into it.
    pub(super) tag: Option<String>,
    pub(super) program: PathBuf,
    /// What `journalctl` is told besides how to write and where to begin.
    pub(super) arguments: Vec<String>,
    pub(super) from_tail: bool,
    pub(super) max_fields: usize,
    pub(super) max_entries: usize,
    pub(super) lowercase: bool,
    pub(super) strips: bool,
    pub(super) db: Option<PathBuf>,
    pub(super) syncs_fully: bool,
}

impl SystemdOptions {
    /// Checks the options against each other.
    pub(super) fn settle(self, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Settled> {
        let mut sound = true;
        for filter in &self.systemd_filter {
            let is_pair = filter.value.split_once('=').is_some_and(|(name, _)| is_field(name));
            if !is_pair {
                sound = false;
                let message = format!("`{}` is no field and value", filter.value);
                diagnostics.push(
                    Diagnostic::error(codes::BAD_VALUE, message)
                        .at(filter.span)
                        .help("type `Systemd_Filter _SYSTEMD_UNIT=docker.service`"),
                );
            }
        }
        let mut arguments = Vec::new();
        if let Some(path) = &self.path {
            arguments.push(format!("--directory={}", path.display()));
        }
        let filters = self.systemd_filter.iter().map(|filter| filter.value.clone());
        match self.systemd_filter_type {
            FilterType::And => arguments.extend(filters),
            // `journalctl` takes `+` for "or".
            FilterType::Or => {
                for (n, filter) in filters.enumerate() {
                    if n > 0 {
                        arguments.push("+".to_owned());
                    }
                    arguments.push(filter);
                }
            }
        }
        sound.then(|| Settled {
            tag: cx.tag.clone(),
            program: "journalctl".into(),
            arguments,
            from_tail: self.read_from_tail,
            max_fields: self.max_fields.max(1),
            max_entries: self.max_entries.max(1),
            lowercase: self.lowercase,
            strips: self.strip_underscores,
            db: self.db,
            syncs_fully: matches!(self.db_sync, DbSync::Extra | DbSync::Full),
        })
    }
}

/// Fields of the journal are upper-case letters, digits and `_` (systemd.journal-fields(7)).
fn is_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
