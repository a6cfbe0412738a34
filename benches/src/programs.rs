//! The programs that are measured, and the one that they deliver to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What takes part.
pub(crate) struct Programs {
    ikada: Program,
    peer: Option<Program>,
    /// The local AWS.
    pub(crate) localaws: PathBuf,
}

/// A router that is measured.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// `ikada` or `peer`.
    pub(crate) name: &'static str,
    /// Its file.
    pub(crate) path: PathBuf,
    /// What it calls itself.
    pub(crate) version: String,
}

impl Programs {
    /// Takes those that are named, and builds the others, optimised as for a release.
    pub(crate) fn find(
        ikada: Option<PathBuf>,
        localaws: Option<PathBuf>,
        peer: Option<PathBuf>,
    ) -> Result<Programs> {
        let ikada = ikada.map_or_else(|| build("ikada", "ikada"), Ok)?;
        let localaws = localaws.map_or_else(|| build("ikada-localaws", "localaws"), Ok)?;
        let peer = peer.map(|path| Program::at("peer", path)).transpose()?;
        Ok(Programs { ikada: Program::at("ikada", ikada)?, peer, localaws })
    }

    /// Ikada, then the peer if there is one.
    pub(crate) fn routers(&self) -> impl Iterator<Item = &Program> {
        std::iter::once(&self.ikada).chain(&self.peer)
    }
}

impl Program {
    fn at(name: &'static str, path: PathBuf) -> Result<Program> {
        let version = version(&path)?;
        Ok(Program { name, path, version })
    }
}

/// The first line that the program answers to `-V`.
fn version(path: &Path) -> Result<String> {
    let output = Command::new(path)
        .arg("-V")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("says no version").trim().to_owned())
}

fn build(package: &str, binary: &str) -> Result<PathBuf> {
    eprintln!("building {package} …");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", package, "--bin", binary])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(std::env::var_os("CARGO_MANIFEST_DIR").map_or(here.to_owned(), PathBuf::from))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{package} does not build");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().with_context(|| format!("cargo names no program of {package}"))
}
