//! Reads the systemd journal through `journalctl`, and remembers how far every output has come.
//!
//! `journalctl --output=json --follow` writes one object a line: the journal's own program knows every format, compression and version of journal
//! files. Entries gather until the flush; what is handed over at once is a *round*, whose chunks share one receipt and which ends at one
//! cursor.
//!
//! ```text
//! journalctl ──► entries ──► round: chunks + cursor ──► router
//!                                     │ settled, in order
//!                                     └──► cursor in the database (`in_systemd_cursor`)
//! ```
//!
//! **The cursor never runs ahead**: it is written when every output has settled everything up to it, where Fluent Bit writes it before the
//! last entries have gone on (reference, inputs §4.6). After a crash what was not settled is read again.
//!
//! In reading order: `options`, `entry` (from a line to a record, no I/O), `rounds` (which cursor may be written, no I/O), `cursor` (the
//! database), `read` (the process and the loop).

mod cursor;
mod entry;
mod options;
mod read;
mod rounds;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};

pub use options::{FilterType, SystemdOptions};

/// The input.
pub struct Systemd {
    settled: options::Settled,
    database: Option<cursor::Database>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    Systemd::build(bag, cx, diagnostics).map(|systemd| Box::new(systemd) as Box<dyn Input>)
}

impl Systemd {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        let settled = SystemdOptions::parse(bag, diagnostics)?.settle(cx, diagnostics)?;
        Some(Self { settled, database: None })
    }

    /// Runs this program in place of `journalctl`.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<std::path::PathBuf>) -> Self {
        self.settled.program = program.into();
        self
    }
}

impl Input for Systemd {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let Some(path) = self.settled.db.clone() else { return Ok(()) };
            let full = self.settled.syncs_fully;
            let doing = format!("open the database {}", path.display());
            let opened = tokio::task::spawn_blocking(move || cursor::Database::open(&path, full)).await;
            let opened = opened
                .map_err(std::io::Error::other)
                .and_then(|opened| opened.map_err(std::io::Error::other));
            self.database = Some(opened.map_err(|source| InputError::Io { doing, source })?);
            Ok(())
        })
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            read::Reader::new(self.settled, self.database).run(&cx).await;
            Ok(())
        })
    }
}
