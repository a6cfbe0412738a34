//! The workspace: where it stands, how cargo is called in it, and what cargo knows about its packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The top folder of the project.
pub(crate) fn root() -> PathBuf {
    // Set anew by every `cargo run`, so that a folder that was moved is still found.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// Cargo, to be run at the top of the project.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Everything `cargo metadata` tells, dependencies resolved.
pub(crate) struct Metadata(Value);

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Metadata> {
        let output = cargo(["metadata", "--format-version", "1"]).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Metadata(serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?))
    }

    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Metadata {
        Metadata(value)
    }

    /// Where cargo builds.
    pub(crate) fn target_directory(&self) -> Option<PathBuf> {
        self.0["target_directory"].as_str().map(PathBuf::from)
    }

    /// All packages, the dependencies too.
    pub(crate) fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        self.0["packages"].as_array().into_iter().flatten().map(Package)
    }

    /// The packages of the house: those in `crates/`.
    pub(crate) fn house(&self) -> impl Iterator<Item = Package<'_>> {
        let crates = self.0["workspace_root"].as_str().map(|root| Path::new(root).join("crates"));
        self.packages().filter(move |package| {
            crates
                .as_ref()
                .is_some_and(|crates| package.source().is_none() && package.folder().starts_with(crates))
        })
    }

    /// What a package depends on in the resolved graph, without what only its tests and its build need.
    pub(crate) fn normal_dependencies(&self, id: &str) -> impl Iterator<Item = &str> {
        let nodes = self.0["resolve"]["nodes"].as_array().into_iter().flatten();
        let node = nodes.filter(move |node| node["id"] == id);
        let deps = node.flat_map(|node| node["deps"].as_array().into_iter().flatten());
        let is_normal = |dep: &&Value| {
            dep["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        };
        deps.filter(is_normal).filter_map(|dep| dep["pkg"].as_str())
    }
}

/// One package.
#[derive(Clone, Copy)]
pub(crate) struct Package<'a>(&'a Value);

impl<'a> Package<'a> {
    pub(crate) fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn version(self) -> &'a str {
        self.0["version"].as_str().unwrap_or_default()
    }

    pub(crate) fn id(self) -> &'a str {
        self.0["id"].as_str().unwrap_or_default()
    }

    pub(crate) fn licence(self) -> Option<&'a str> {
        self.0["license"].as_str()
    }

    /// Where it came from; `None` for a package of the workspace.
    pub(crate) fn source(self) -> Option<&'a str> {
        self.0["source"].as_str()
    }

    /// The folder of its manifest.
    pub(crate) fn folder(self) -> &'a Path {
        let manifest = Path::new(self.0["manifest_path"].as_str().unwrap_or_default());
        manifest.parent().unwrap_or(manifest)
    }

    /// The floor it says it stands on.
    pub(crate) fn floor(self) -> Option<u64> {
        self.0["metadata"]["ikada"]["floor"].as_u64()
    }

    /// Names of the packages that its manifest asks for, without what only its tests and its build need.
    pub(crate) fn asks_for(self) -> impl Iterator<Item = &'a str> {
        let asked = self.0["dependencies"].as_array().into_iter().flatten();
        asked.filter(|dep| dep["kind"].is_null()).filter_map(|dep| dep["name"].as_str())
    }
}
